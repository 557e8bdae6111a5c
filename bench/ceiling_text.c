/* ceiling_text.c -- what has to be done with each octet of a message that comes in: find
 * the stuffed dots, copy without them, checksum. */
#include <string.h>

#include "bench/ceiling.h"
#include "proto/base/scan.h"
#include "server/clock.h"
#include "store/format.h"

enum { MESSAGE_BYTES = 10240, LINE_BYTES = 72, DOT_EVERY = 40 };

/* Lines as in mail; now and then one begins with a stuffed dot. */
static void fill(char *text)
{
    memset(text, 'm', MESSAGE_BYTES);
    for (size_t at = 0, line = 0; at + LINE_BYTES <= MESSAGE_BYTES; line++) {
        if (line % DOT_EVERY == 0)
            memcpy(text + at, "..", 2);
        at += LINE_BYTES;
        memcpy(text + at - 2, "\r\n", 2);
    }
}

/* Copies the text without its stuffed dots; returns how much that is. */
static size_t unstuff(char *to, const char *from, size_t len)
{
    struct slice in = slice_of(from, len);
    char before = '\n';
    size_t used = 0;

    while (in.len) {
        size_t dot = scan_lf_dot(in, before);

        memcpy(to + used, in.at, dot);
        used += dot;
        slice_take(&in, dot < in.len ? dot + 1 : dot);
        before = '.';
    }
    return used;
}

void ceiling_text(const struct ceiling_conf *conf)
{
    static char from[MESSAGE_BYTES], to[MESSAGE_BYTES];
    int64_t began = clock_cpu_ns(), end = began + (int64_t)(conf->seconds * 0.2e9), now;
    uint64_t rounds = 0;
    volatile uint32_t sum = 0;

    fill(from);
    do {
        for (unsigned i = 0; i < 100; i++)
            sum = crc32c(sum, to, unstuff(to, from, sizeof from));
        rounds += 100;
        now = clock_cpu_ns();
    } while (now < end);
    ceiling_put(conf, "us", (double)(now - began) / 1e3 / (double)rounds);
}
