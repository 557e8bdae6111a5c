/* mode.c -- which modes there are. */
#include "bench/mode.h"

const struct mode *mode_find(const struct options *o)
{
    static const struct mode *const modes[MODE_COUNT] = {
        [MODE_SMTP] = &mode_smtp,
        [MODE_SUBMISSION] = &mode_smtp,
        [MODE_LMTP] = &mode_smtp,
    };

    return modes[o->mode];
}
