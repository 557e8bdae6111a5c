/* fuzz_repair.c -- submitted messages, cut anywhere: what comes out is the same however
 * it was cut, is a header with the fields it must have and no blind recipients, and is
 * changed no more by a second repair. The first octet says how it is cut. */
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/mime/header.h"
#include "proto/smtp/smtp_repair.h"

static bool nobody(void *arg, struct slice address)
{
    (void)arg;
    return address.len % 2 == 0;
}

static const struct smtp_repair_conf conf = {.user = SI("a@x.test"),
    .id = SI("1"),
    .host = SI("h.test"),
    .time_s = 1772442000,
    .may_write_as = nobody};

static struct slice repair(struct slice in, size_t piece, char *at, size_t cap)
{
    struct arena arena = arena_of(SMTP_REPAIR_BYTES_MAX);
    struct out out = out_of(at, cap);
    struct smtp_repair r;
    struct slice run;

    smtp_repair_begin(&r, &conf, &arena);
    while (in.len > 0) {
        struct slice part = slice_take(&in, piece < in.len ? piece : in.len);

        while (smtp_repair_next(&r, &part, &run)) {
            CHECK(run.len > 0);
            out_put(&out, run);
        }
    }
    while (smtp_repair_end(&r, &run))
        out_put(&out, run);
    CHECK(!out.full && !r.no_memory);
    arena_reset(&arena);
    return out_slice(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cap = size + 1024, piece = size ? 1 + data[0] % 40u : 1;
    char *one = malloc(cap), *two = malloc(cap);
    struct slice in, whole, pieces, value;

    CHECK(one && two);
    in = size ? slice_of((const char *)data + 1, size - 1) : S("");
    whole = repair(in, in.len, one, cap);
    pieces = repair(in, piece, two, cap);
    CHECK(slice_eq(whole, pieces));
    CHECK(whole.len >= 2 && memmem(whole.at, whole.len, "\r\n", 2));
    /* bare line ends are read in another way there, and such text is refused */
    if (!memchr(in.at, '\n', in.len) || memmem(in.at, in.len, "\r\n", 2)) {
        bool bare = false;

        for (size_t i = 0; i < in.len; i++)
            bare |= (in.at[i] == '\n' && (i == 0 || in.at[i - 1] != '\r')) ||
                (in.at[i] == '\r' && (i + 1 == in.len || in.at[i + 1] != '\n'));
        if (!bare) {
            CHECK(header_find(whole, S("date"), &value));
            CHECK(header_find(whole, S("from"), &value));
            CHECK(header_find(whole, S("message-id"), &value));
            CHECK(!header_find(whole, S("bcc"), &value));
            CHECK(!header_find(whole, S("return-path"), &value));
            CHECK(slice_eq(whole, repair(whole, piece, two, cap)));
        }
    }
    free(one);
    free(two);
    return 0;
}
