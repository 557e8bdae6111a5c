/* mode.c -- which modes there are. */
#include "bench/mode.h"

const struct mode *mode_find(const struct options *o)
{
    static const struct mode *const modes[MODE_COUNT] = {
        [MODE_POP3] = &mode_pop3,
        [MODE_IMAP] = &mode_imap,
        [MODE_LOGIN] = &mode_imap_login,
        [MODE_IDLE] = &mode_idle,
        [MODE_MIXED] = &mode_mixed,
        [MODE_SINK] = &mode_sink,
    };

    if (o->mode == MODE_IMAP && o->op == OP_LOGIN)
        return &mode_imap_login;
    if (o->mode == MODE_IMAP && o->op == OP_APPEND)
        return &mode_imap_append;
    if (o->mode == MODE_LOGIN && o->protocol == LOGIN_POP3)
        return &mode_pop3;
    return modes[o->mode] ? modes[o->mode] : mode_smtp;
}
