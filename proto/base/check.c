#include "proto/base/check.h"

#include <stdio.h>
#include <stdlib.h>

const char *status_text(enum status status)
{
    static const char *const texts[] = {
#define X(name, text) [STATUS_##name] = (text),
        STATUSES(X)
#undef X
    };

    return texts[status];
}

void check_failed(const char *file, int line, const char *what)
{
    fprintf(
        stderr, "level=crit event=check-failed at=%s:%d what=\"%s\"\n", file, line, what);
    abort();
}
