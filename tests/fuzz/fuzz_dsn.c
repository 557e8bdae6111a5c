/* fuzz_dsn.c -- reports made of any octets: three parts, one field of each name, nothing
 * else; the same however the returned message is cut.
 *
 * Octets 0 to 3 choose flags, action, status and cutting; then slices, each with its
 * length in front; the rest is the message. */
#include "tests/proto/smtp/dsn_check.h"

enum { CONTROL = 4, RCPTS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A slice of the input with its length in front. */
static struct slice next(struct slice *in)
{
    size_t n;

    if (in->len == 0)
        return S("");
    n = (unsigned char)slice_take(in, 1).at[0];
    return slice_take(in, n < in->len ? n : in->len);
}

static void fill(struct dsn_rcpt *r, const uint8_t *data, unsigned i, struct slice *in)
{
    *r = (struct dsn_rcpt){.address = next(in),
        .orcpt = next(in),
        .action = (data[1] + i) % 5,
        .status = {data[2] & 7, data[2] >> 3 & 7, data[2] >> 6},
        .remote = next(in),
        .code = data[1] & 0x80 ? 550 : 0,
        .text = next(in),
        .attempt_s = data[1] & 0x40 ? 1750000000 : 0,
        .retry_until_s = data[1] & 0x20 ? 1750000000 : 0};
}

/* Does the header hold octets above 127? */
static bool header_is_8bit(struct slice message)
{
    size_t end = 0;

    while (end < message.len &&
        !starts(slice_of(message.at + end, message.len - end), S("\r\n\r\n")))
        if ((unsigned char)message.at[end++] > 127)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    struct dsn_rcpt rcpts[RCPTS];
    struct dsn d;

    if (size < CONTROL)
        return 0;
    slice_take(&in, CONTROL);
    d = (struct dsn){.host = next(&in),
        .from = next(&in),
        .to = next(&in),
        .envid = next(&in),
        .unique = S("u1"),
        .message_id = next(&in),
        .log_id = next(&in),
        .hold = next(&in),
        .by_s = (data[1] & 64) ? 1750000001 : 0,
        .arrived_s = 1750000000,
        .now_s = 1750000000,
        .returned = data[0] % 3,
        .returned_8bit = (data[0] & 4) != 0,
        .returned_8bit_header = (data[0] & 8) != 0,
        .returned_utf8 = (data[0] & 16) != 0,
        .rcpts = rcpts,
        .rcpt_count = 1 + (data[0] >> 5) % RCPTS};
    for (unsigned i = 0; i < d.rcpt_count; i++)
        fill(&rcpts[i], data, i, &in);
    if (d.returned_8bit && header_is_8bit(in))
        d.returned_8bit_header = true; /* who knows of the one knows of the other */
    check_dsn(&d, in, data[3] ? data[3] : 1);
    return 0;
}
