#include "proto/pop3/pop3.h"

/* Notes octets of the line under way. A line is empty when it holds nothing but the
 * CR of its line end. */
static void note_line(struct pop3_top *t, struct slice part)
{
    if (part.len == 0)
        return;
    t->line_octets = t->line_octets == 0 && part.len == 1 && part.at[0] == '\r' ? 1 : 2;
}

static void end_line(struct pop3_top *t)
{
    if (t->in_body)
        t->lines_left--;
    else
        t->in_body = t->line_octets < 2;
    t->line_octets = 0;
    t->done = t->in_body && t->lines_left == 0;
}

struct slice pop3_top_take(struct pop3_top *t, struct slice bytes)
{
    struct slice left = bytes;

    while (left.len && !t->done) {
        note_line(t, slice_take(&left, slice_find(left, '\n')));
        if (left.len == 0)
            break;
        slice_take(&left, 1);
        end_line(t);
    }
    return slice_of(bytes.at, bytes.len - left.len);
}
