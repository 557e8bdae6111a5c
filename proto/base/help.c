/* help.c -- a flag and its help in two columns. */
#include "proto/base/help.h"

#include <string.h>

enum { COLUMN = 28, WIDTH = 80 };

static void pad(struct out *out, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        out_byte(out, ' ');
}

/* Words of `text` between the columns; the cursor stands at column `at`. */
static size_t wrap(struct out *out, size_t at, struct slice text)
{
    while (text.len > 0) {
        struct slice word = slice_take(&text, slice_find(text, ' '));

        if (text.len > 0)
            slice_take(&text, 1);
        if (word.len == 0)
            continue;
        if (at > COLUMN && at + 1 + word.len > WIDTH) {
            out_byte(out, '\n');
            pad(out, 0, COLUMN);
            at = COLUMN;
        } else if (at > COLUMN) {
            out_byte(out, ' ');
            at++;
        }
        out_put(out, word);
        at += word.len;
    }
    return at;
}

void help_flag(struct out *out, const char *name, const char *value, const char *help,
    struct slice facts)
{
    size_t at = 4 + strlen(name) + (*value ? 1 + strlen(value) : 0);

    out_str(out, "  --");
    out_str(out, name);
    if (*value) {
        out_byte(out, ' ');
        out_str(out, value);
    }
    if (at + 2 > COLUMN) {
        out_byte(out, '\n');
        at = 0;
    }
    pad(out, at, COLUMN);
    at = wrap(out, COLUMN, slice_str(help));
    wrap(out, at, facts);
    out_byte(out, '\n');
}
