#include "proto/base/line.h"

/* Index just behind the first CR LF in the first `n` octets of s, from `from` on;
 * 0 when there is none. s.at[from - 1] is looked at. */
static size_t line_end(struct slice s, size_t from, size_t n)
{
    if (n > s.len)
        n = s.len;
    while (from < n) {
        size_t lf = from + slice_find(slice_of(s.at + from, n - from), '\n');

        if (lf == n)
            return 0;
        if (lf > 0 && s.at[lf - 1] == '\r')
            return lf + 1;
        from = lf + 1;
    }
    return 0;
}

/* Takes n octets, but not a CR at their end: the LF to it may be the next octet. */
static void drop(struct slice *in, size_t n)
{
    if (n && in->at[n - 1] == '\r')
        n--;
    slice_take(in, n);
}

/* The rest of an overlong line. LINE_DONE: it is gone, and *in begins a new line. */
static enum line_cut discard(
    struct line_cutter *c, struct slice *in, struct line_limits limits)
{
    size_t room = limits.discard_max - c->discarded;
    size_t end = line_end(*in, 0, room);
    size_t before = in->len;

    if (end) {
        slice_take(in, end);
        *c = (struct line_cutter){0};
        return LINE_DONE;
    }
    if (in->len >= room) {
        slice_take(in, in->len);
        return LINE_FLOOD;
    }
    drop(in, in->len);
    c->discarded += before - in->len;
    return LINE_MORE;
}

static enum line_cut judge(struct slice line)
{
    if (slice_find(line, '\r') < line.len || slice_find(line, '\n') < line.len)
        return LINE_BARE;
    if (slice_find(line, '\0') < line.len)
        return LINE_NUL;
    return LINE_DONE;
}

enum line_cut line_cut(struct line_cutter *c, struct slice *in, struct line_limits limits,
    struct slice *line)
{
    size_t end;

    if (c->discarding) {
        enum line_cut rest = discard(c, in, limits);

        if (rest != LINE_DONE)
            return rest;
    }
    end = line_end(*in, c->seen, limits.max);
    if (end) {
        c->seen = 0;
        *line = slice_take(in, end);
        line->len -= 2;
        return judge(*line);
    }
    if (in->len < limits.max) {
        c->seen = in->len;
        return LINE_MORE;
    }
    c->seen = 0;
    c->discarding = true;
    drop(in, limits.max);
    return LINE_LONG;
}
