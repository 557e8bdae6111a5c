#include "proto/sasl/base64.h"

static const char alphabet[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct out *out, struct slice bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.at;

    for (size_t left = bytes.len; left; p += 3) {
        size_t n = left < 3 ? left : 3;
        unsigned bits = (unsigned)p[0] << 16 | (n > 1 ? (unsigned)p[1] << 8 : 0U) |
            (n > 2 ? (unsigned)p[2] : 0U);
        char quad[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63],
            n > 1 ? alphabet[bits >> 6 & 63] : '=', n > 2 ? alphabet[bits & 63] : '='};

        out_put(out, slice_of(quad, sizeof quad));
        left -= n;
    }
}

/* The six bits of c, or -1. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* Decodes four octets into up to three; 0 when they are not base64. Padding is taken
 * only when `last`. */
static size_t decode_quad(const char *quad, bool last, char *bytes)
{
    size_t pads = quad[3] != '=' ? 0 : quad[2] != '=' ? 1 : 2;
    unsigned bits = 0;

    if (pads && !last)
        return 0;
    for (size_t i = 0; i < 4; i++) {
        int v = i < 4 - pads ? value_of(quad[i]) : 0;

        if (v < 0)
            return 0;
        bits = bits << 6 | (unsigned)v;
    }
    if (bits & ((1U << (8 * pads)) - 1))
        return 0;
    bytes[0] = (char)(bits >> 16);
    bytes[1] = (char)(bits >> 8 & 255);
    bytes[2] = (char)(bits & 255);
    return 3 - pads;
}

bool base64_decode(struct out *out, struct slice text)
{
    size_t before = out->len;
    char bytes[3];

    if (text.len % 4 != 0)
        return false;
    while (text.len && !out->full) {
        size_t n = decode_quad(text.at, text.len == 4, bytes);

        if (n == 0)
            break;
        out_put(out, slice_of(bytes, n));
        slice_take(&text, 4);
    }
    if (text.len == 0 && !out->full)
        return true;
    out->len = before;
    return false;
}
