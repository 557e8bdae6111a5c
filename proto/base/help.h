/* help.h -- a flag in a --help: its name, and beside it, in a column, what it does. */
#pragma once
#include "proto/base/slice.h"

/* "  --name VALUE      What it does, in lines of at most 80 octets, then `facts`".
 * `value` is empty for a flag that takes none. */
void help_flag(struct out *out, const char *name, const char *value, const char *help,
    struct slice facts);
