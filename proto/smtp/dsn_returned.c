#include "proto/smtp/dsn_parts.h"

#include "proto/base/check.h"

void dsn_returned_begin(struct dsn_returned *r, const struct dsn *d)
{
    struct out out = out_of(r->delimiter, sizeof r->delimiter);

    *r = (struct dsn_returned){.dsn = d,
        .over = d->returned == DSN_RETURN_NOTHING,
        .encoded = dsn_returns_encoded(d),
        .line_start = true};
    out_put(&out, S("--"));
    dsn_put_boundary(&out, d);
    CHECK(!out.full);
    r->delimiter_len = (uint8_t)out.len;
    if (r->encoded)
        encoder_begin(&r->encoder, 'q');
}

static void put_encoded(struct dsn_returned *r, struct slice s, struct out *out)
{
    char text[512];

    while (s.len) {
        size_t n = encoder_run(&r->encoder, &s, text, sizeof text);

        out_put(out, slice_of(text, n));
    }
}

static void put_returned(struct dsn_returned *r, struct slice s, struct out *out)
{
    if (r->encoded)
        put_encoded(r, s, out);
    else
        out_put(out, s);
}

/* The octets that begin the line and were taken for something else. */
static void put_held(struct dsn_returned *r, struct out *out)
{
    if (r->cr)
        put_returned(r, S("\r"), out);
    put_returned(r, slice_of(r->delimiter, r->matched), out);
    r->cr = false;
    r->matched = 0;
}

/* One octet more is that of a delimiter. */
static void hold_delimiter(struct dsn_returned *r, struct out *out)
{
    if (r->cr)
        put_held(r, out);
    if (++r->matched < r->delimiter_len)
        return;
    put_returned(r, S(" "), out); /* only the line that we write may end the part */
    put_held(r, out);
    r->line_start = false;
}

/* One octet at the beginning of a line. False: it is ordinary, and not taken. */
static bool begin_line(struct dsn_returned *r, char c, struct out *out)
{
    bool line_end = r->after_cr && c == '\n';
    bool header =
        r->dsn->returned == DSN_RETURN_HEADER && r->matched == 0 && !r->after_cr;

    r->after_cr = false;
    if (line_end) {
        put_returned(r, S("\n"), out);
    } else if (header && c == '\n') {
        r->over = true;
        r->cr = false;
    } else if (header && c == '\r' && !r->cr) {
        r->cr = true;
    } else if (!r->encoded && c == r->delimiter[r->matched]) {
        hold_delimiter(r, out);
    } else {
        put_held(r, out);
        r->line_start = false;
        return false;
    }
    return true;
}

/* The rest of the line. Lenient readers end lines at a CR or an LF alone. */
static struct slice take_line(struct dsn_returned *r, struct slice *in)
{
    size_t n = 0;

    while (n < in->len && in->at[n] != '\n' && in->at[n] != '\r')
        n++;
    if (n == in->len)
        return slice_take(in, n);
    r->line_start = true;
    r->after_cr = in->at[n] == '\r';
    return slice_take(in, n + 1);
}

void dsn_returned_feed(struct dsn_returned *r, struct slice in, struct out *out)
{
    while (in.len && !r->over) {
        if (r->line_start && begin_line(r, in.at[0], out))
            slice_take(&in, 1);
        else
            put_returned(r, take_line(r, &in), out);
    }
}

void dsn_returned_end(struct dsn_returned *r, struct out *out)
{
    char text[ENCODE_ROOM_MIN];

    put_held(r, out);
    if (r->encoded)
        out_put(out, slice_of(text, encoder_end(&r->encoder, text)));
    r->over = true;
    out_put(out, S("\r\n--"));
    dsn_put_boundary(out, r->dsn);
    out_put(out, S("--\r\n"));
}
