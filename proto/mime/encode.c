#include "proto/mime/encode.h"

#include "proto/base/check.h"

enum { LINE = 76 }; /* octets of a line of output (RFC 2045, 6.7 (5), 6.8) */

void encoder_begin(struct transfer_encoder *e, char encoding)
{
    CHECK(encoding == 'q' || encoding == 'b');
    *e = (struct transfer_encoder){.encoding = encoding};
}

/* --- quoted-printable (RFC 2045, 6.7) ------------------------------------- */

static size_t put(struct transfer_encoder *e, char *at, const char *text, unsigned len)
{
    memcpy(at, text, len);
    e->column = (uint8_t)(e->column + len);
    return len;
}

/* Room for so many octets and the "=" of a soft line break in this line, or a new one. */
static size_t make_room(struct transfer_encoder *e, char *at, unsigned len)
{
    if (e->column + len < LINE)
        return 0;
    memcpy(at, "=\r\n", 3);
    e->column = 0;
    return 3;
}

static size_t put_encoded(struct transfer_encoder *e, char *at, char c)
{
    static const char digits[] = "0123456789ABCDEF";
    char text[] = {'=', digits[(unsigned char)c >> 4], digits[c & 15]};
    size_t n = make_room(e, at, sizeof text);

    return n + put(e, at + n, text, sizeof text);
}

static size_t put_plain(struct transfer_encoder *e, char *at, char c)
{
    size_t n = make_room(e, at, 1);

    if (e->column == 0 && (c == '-' || c == '.'))
        return n + put_encoded(e, at + n, c);
    return n + put(e, at + n, &c, 1);
}

/* The CR is no part of a line end, so the blank is not at one. */
static size_t flush_inside(struct transfer_encoder *e, char *at)
{
    size_t n = 0;

    if (e->blank)
        n += put_plain(e, at, e->blank);
    if (e->cr)
        n += put_encoded(e, at + n, '\r');
    e->blank = 0;
    e->cr = false;
    return n;
}

/* A blank at the end of a line would get lost on the way. */
static size_t flush_at_end(struct transfer_encoder *e, char *at)
{
    size_t n = e->blank ? put_encoded(e, at, e->blank) : 0;

    e->blank = 0;
    return n;
}

static size_t put_line_end(struct transfer_encoder *e, char *at)
{
    size_t n = flush_at_end(e, at);

    e->cr = false;
    e->column = 0;
    memcpy(at + n, "\r\n", 2);
    return n + 2;
}

static size_t quoted_octet(struct transfer_encoder *e, char c, char *at)
{
    size_t n;

    if (c == '\n' && e->cr)
        return put_line_end(e, at);
    if (c == '\r' && !e->cr) {
        e->cr = true;
        return 0;
    }
    n = flush_inside(e, at);
    if (c == '\r')
        e->cr = true;
    else if (c == ' ' || c == '\t')
        e->blank = c;
    else if (c > ' ' && c <= '~' && c != '=')
        n += put_plain(e, at + n, c);
    else
        n += put_encoded(e, at + n, c);
    return n;
}

static size_t quoted_end(struct transfer_encoder *e, char *at)
{
    size_t n = e->cr ? flush_inside(e, at) : 0;

    return n + flush_at_end(e, at + n);
}

/* --- base64 (RFC 2045, 6.8) ----------------------------------------------- */

/* The octets held, which may be fewer than three, as four letters. */
static size_t put_group(struct transfer_encoder *e, char *at)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned a = e->octets[0], b = e->held > 1 ? e->octets[1] : 0;
    unsigned c = e->held > 2 ? e->octets[2] : 0;
    char text[] = {letters[a >> 2], letters[(a & 3) << 4 | b >> 4],
        e->held > 1 ? letters[(b & 15) << 2 | c >> 6] : '=',
        e->held > 2 ? letters[c & 63] : '='};
    size_t n = 0;

    if (e->column == LINE) {
        memcpy(at, "\r\n", 2);
        e->column = 0;
        n = 2;
    }
    e->held = 0;
    return n + put(e, at + n, text, sizeof text);
}

static size_t base64_octet(struct transfer_encoder *e, char c, char *at)
{
    e->octets[e->held++] = (uint8_t)c;
    return e->held == 3 ? put_group(e, at) : 0;
}

/* --- both ----------------------------------------------------------------- */

size_t encoder_run(struct transfer_encoder *e, struct slice *in, char *at, size_t room)
{
    size_t n = 0;

    while (in->len && room - n >= ENCODE_ROOM_MIN) {
        char c = slice_take(in, 1).at[0];

        n += e->encoding == 'q' ? quoted_octet(e, c, at + n) : base64_octet(e, c, at + n);
    }
    return n;
}

size_t encoder_end(struct transfer_encoder *e, char *at)
{
    if (e->encoding == 'q')
        return quoted_end(e, at);
    return e->held ? put_group(e, at) : 0;
}
