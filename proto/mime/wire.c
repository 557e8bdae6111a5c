#include "proto/mime/wire.h"

static bool is_special(char c)
{
    return c == '"' || c == '\\' || c == '\r' || c == '\n' || c == 0;
}

/* The octets that stand for one of the text. */
static size_t clean(char *at, char c, bool quoted)
{
    if (!is_special(c)) {
        *at = c;
        return 1;
    }
    if (c == '\r' || c == '\n' || c == 0) {
        *at = c == 0 ? '?' : ' ';
        return 1;
    }
    if (quoted)
        *at++ = '\\';
    *at = c;
    return quoted ? 2 : 1;
}

/* By way of a small buffer, so that a text of nothing but special octets costs little
 * more than another. */
static void put_cleaned(struct out *out, struct slice s, bool quoted)
{
    char buffer[256];
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        n += clean(buffer + n, s.at[i], quoted);
        if (n > sizeof buffer - 2) {
            out_put(out, slice_of(buffer, n));
            n = 0;
        }
    }
    out_put(out, slice_of(buffer, n));
}

static bool has_8bit(struct slice s)
{
    char bits = 0;

    for (size_t i = 0; i < s.len; i++)
        bits = (char)(bits | s.at[i]);
    return (bits & 0x80) != 0;
}

void wire_put_string(struct out *out, struct slice s)
{
    if (has_8bit(s)) {
        out_byte(out, '{');
        out_u64(out, s.len);
        out_str(out, "}\r\n");
        put_cleaned(out, s, false);
        return;
    }
    out_byte(out, '"');
    put_cleaned(out, s, true);
    out_byte(out, '"');
}

void wire_put_nstring(struct out *out, struct slice s)
{
    if (s.at)
        wire_put_string(out, s);
    else
        out_put(out, S("NIL"));
}
