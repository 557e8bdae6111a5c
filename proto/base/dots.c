#include "proto/base/dots.h"

#include "proto/base/scan.h"

/* Notes that `run`, which is not empty, has gone out. */
static void pass(struct dots *d, struct slice run)
{
    char before = run.len > 1 ? run.at[run.len - 2] : d->last;

    d->last = run.at[run.len - 1];
    d->in_line = before != '\r' || d->last != '\n';
}

struct slice dots_next(struct dots *d, struct slice *in)
{
    bool at_start = !d->in_line || d->last == '\n';
    struct slice rest = *in, run;
    size_t dot;

    if (rest.len == 0)
        return rest;
    if (rest.at[0] == '.' && at_start && !d->doubled) {
        d->doubled = true;
        return slice_of(rest.at, 1);
    }
    d->doubled = false;
    dot = scan_lf_dot(slice_of(rest.at + 1, rest.len - 1), rest.at[0]);
    if (dot == rest.len - 1) {
        run = slice_take(in, rest.len);
        pass(d, run);
        return run;
    }
    run = slice_take(in, 1 + dot);
    pass(d, run);
    run.len++; /* with the dot, which stays in the input */
    d->doubled = true;
    return run;
}

void dots_put(struct dots *d, struct slice text, struct out *out)
{
    while (text.len)
        out_put(out, dots_next(d, &text));
}

struct slice dots_end(const struct dots *d)
{
    return d->in_line ? S("\r\n.\r\n") : S(".\r\n");
}
