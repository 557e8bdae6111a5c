/* fuzz_smtp_answer.c -- replies of a server, whole and in two pieces: the same result,
 * nothing but printable ASCII, all of it bounded. */
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/smtp/smtp_answer.h"

static const struct smtp_answer_limits limits = {.line_max = 4096, .lines_max = 128};

static void check(const struct smtp_answer *a)
{
    CHECK(a->len <= sizeof a->text);
    CHECK(a->lines <= limits.lines_max);
    for (unsigned i = 0; i < a->len; i++)
        CHECK(a->text[i] >= 0x20 && a->text[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size), in;
    size_t cut = size ? data[0] * size / 256 : 0;
    enum smtp_answer_result whole, parts;
    struct smtp_answer a = {0}, b = {0};
    struct smtp_hello h = {0}, g = {0};

    if (size)
        slice_take(&text, 1);
    cut = cut < text.len ? cut : text.len;
    in = text;
    whole = smtp_answer_read(&a, &in, limits, &h);
    check(&a);
    in = slice_of(text.at, cut);
    parts = smtp_answer_read(&b, &in, limits, &g);
    if (parts == SMTP_ANSWER_MORE) {
        in = slice_of(in.at, text.len - (size_t)(in.at - text.at));
        parts = smtp_answer_read(&b, &in, limits, &g);
    }
    check(&b);
    CHECK(whole == parts && a.code == b.code && a.len == b.len);
    CHECK(a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
    CHECK(memcmp(&h, &g, sizeof h) == 0);
    return 0;
}
