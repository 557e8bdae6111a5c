/* mode.c -- which modes there are. */
#include "bench/mode.h"

const struct mode *mode_find(const struct options *o)
{
    static const struct mode *const modes[MODE_COUNT] = {
        [MODE_SMTP] = &mode_smtp,
        [MODE_SUBMISSION] = &mode_smtp,
        [MODE_LMTP] = &mode_smtp,
        [MODE_IMAP] = &mode_imap,
        [MODE_LOGIN] = &mode_imap_login,
    };

    if (o->mode == MODE_IMAP && o->op == OP_LOGIN)
        return &mode_imap_login;
    return modes[o->mode];
}
