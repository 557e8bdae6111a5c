#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/proxy/proxy.h"
#include "tests/proto/base/fence.h"

#define MAGIC "\r\n\r\n\0\r\nQUIT\n"
#define V4    "\xc0\0\2\1\xc6\x33\x64\7\xdc\4\0\x19"
#define V6                                                                           \
    "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2\xdc" \
    "\4\0\x19"

static const struct {
    struct slice header;
    const char *source; /* NULL: the peer speaks for itself */
    unsigned port;
} good[] = {
    {SI("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n"), "192.0.2.1", 56324},
    {SI("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255",
        65535},
    {SI("PROXY TCP6 2001:db8::1 2001:db8::2 0 25\r\n"), "2001:db8::1", 0},
    {SI("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535},
    {SI("PROXY UNKNOWN\r\n"), NULL, 0},
    {SI("PROXY UNKNOWN ffff:f...f:ffff 65535 whatever\r\n"), NULL, 0},
    {SI(MAGIC "\x21\x11\0\x0c" V4), "192.0.2.1", 56324},
    {SI(MAGIC "\x21\x11\0\x10" V4 "\3\0\1x"), "192.0.2.1", 56324},
    {SI(MAGIC "\x21\x21\0\x24" V6), "2001:db8::1", 56324},
    {SI(MAGIC "\x20\0\0\0"), NULL, 0}, {SI(MAGIC "\x20\x11\0\x0c" V4), NULL, 0},
    {SI(MAGIC "\x21\0\0\3abc"), NULL, 0},
    {SI(MAGIC "\x21\x12\0\x0c" V4), NULL, 0}, /* datagrams */
};

/* Every beginning is good so far; what follows changes nothing. */
static void good_headers(void **state)
{
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct slice header = good[i].header;
        struct proxy_header h;
        char text[64] = "", more[300];

        for (size_t n = 0; n < header.len; n++)
            assert_int_equal(
                proxy_parse(fence_end(&fence, slice_of(header.at, n)), &h), PROXY_MORE);
        memcpy(more, header.at, header.len);
        memcpy(more + header.len, "\r\nEHLO x\r\n", 10);
        for (size_t n = 0; n <= 10; n++) {
            assert_int_equal(
                proxy_parse(fence_end(&fence, slice_of(more, header.len + n)), &h),
                PROXY_DONE);
            assert_int_equal(h.len, header.len);
            assert_int_equal(h.named, good[i].source != NULL);
            assert_int_equal(h.port, good[i].port);
        }
        if (!good[i].source)
            continue;
        if (h.six)
            for (size_t k = 0; k < 16; k += 2) {
                char part[8];

                snprintf(part, sizeof part, "%02x%02x", h.source[k], h.source[k + 1]);
                strcat(text, part);
            }
        else
            snprintf(text, sizeof text, "%d.%d.%d.%d", h.source[12], h.source[13],
                h.source[14], h.source[15]);
        if (!h.six)
            assert_string_equal(text, good[i].source);
        else if (good[i].source[0] == '2')
            assert_string_equal(text, "20010db8000000000000000000000001");
        else
            assert_string_equal(text, "ffffffffffffffffffffffffffffffff");
    }
    fence_free(&fence);
}

static void bad_headers(void **state)
{
    static const struct slice bad[] = {
        SI("EHLO c.test\r\n"), SI("proxy TCP4 192.0.2.1 198.51.100.7 56324 25\r\n"),
        SI("PROXY\r\n"), SI("PROXY \r\n"), SI("PROXY TCP4\r\n"),
        SI("PROXY TCP5 192.0.2.1 198.51.100.7 56324 25\r\n"),
        SI("PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n"),
        SI("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25 1\r\n"),
        SI("PROXY TCP4  192.0.2.1 198.51.100.7 56324 25\r\n"),
        SI("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\n"),
        SI("PROXY TCP4 192.0.2 198.51.100.7 56324 25\r\n"),
        SI("PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n"),
        SI("PROXY TCP6 192.0.2.1 198.51.100.7 56324 25\r\n"),
        SI("PROXY TCP4 192.0.2.1\0 198.51.100.7 56324 25\r\n"),
        SI("PROXY TCP4 192.0.2.1 198.51.100.7 65536 25\r\n"),
        SI("PROXY TCP4 192.0.2.1 198.51.100.7 -1 25\r\n"),
        SI("PROXY TCP4 192.0.2.1 198.51.100.7 025 25\r\n"),
        SI("PROXY TCP4 192.0.2.1 198.51.100.7 1 \r\n"),
        SI("PROXY UNKNOWN "
           "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
           "ffffffffffffffffffff\r\n"),
        SI("\r\n\r\n\0\r\nQUIT\r\n\r\n\r\n"),
        SI(MAGIC "\x11\x11\0\x0c" V4), /* version 1 */
        SI(MAGIC "\x22\x11\0\x0c" V4), /* no such command */
        SI(MAGIC "\x21\x11\0\x0b" V4), /* too short for what it is */
        SI(MAGIC "\x21\x21\0\x0c" V4), SI(MAGIC "\x21\x11\x10\x01" V4), /* 4097 octets */
    };
    struct fence fence = fence_make();
    struct proxy_header h;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (proxy_parse(fence_end(&fence, bad[i]), &h) != PROXY_BAD)
            fail_msg("%zu: %.*s", i, (int)bad[i].len, bad[i].at);
    fence_free(&fence);
}

/* Neither form is waited for without end. */
static void endless_headers(void **state)
{
    char text[8192];
    struct proxy_header h;

    (void)state;
    memset(text, 'f', sizeof text);
    memcpy(text, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_parse(slice_of(text, PROXY_LINE_MAX - 1), &h), PROXY_MORE);
    assert_int_equal(proxy_parse(slice_of(text, PROXY_LINE_MAX), &h), PROXY_BAD);
    memcpy(text, MAGIC "\x21\0\x10\0", 16);
    assert_int_equal(proxy_parse(slice_of(text, 16 + 4095), &h), PROXY_MORE);
    assert_int_equal(proxy_parse(slice_of(text, 16 + 4096), &h), PROXY_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_headers),
        cmocka_unit_test(bad_headers),
        cmocka_unit_test(endless_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
