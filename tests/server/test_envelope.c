/* Envelopes as the queue keeps them: what goes in comes out, and bytes that are not whole
 * are told from those that are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/check.h"
#include "server/envelope.h"

static const struct envelope_rcpt few[] = {
    {.address = SI("anna@example.org")},
    {.address = SI("bert@example.net"),
        .orcpt = SI("rfc822;Bert+40example.net"),
        .notify = SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
        .forwarded = true},
    {.address = SI("carl@\xc3\xbc.example"), .notify = SMTP_NOTIFY_NEVER},
};

static const struct envelope cases[] = {
    {.rcpts = few, .rcpt_count = 1},
    {.sender = SI("dora@example.org"),
        .envid = SI("QQ314159"),
        .auth = SI("<>"),
        .user = SI("dora@example.org"),
        .log_id = SI("4kzY2x"),
        .ret = SMTP_RET_HDRS,
        .body = SMTP_BODY_8BITMIME,
        .utf8 = true,
        .text_8bit = true,
        .tls_optional = true,
        .by_trace = true,
        .priority = -9,
        .arrived_s = 1700000000,
        .hold_until_s = 1700003600,
        .hold = SI("3600"),
        .by_s = 1700007200,
        .text_at = 33,
        .header_bytes = 1234,
        .rcpts = few,
        .rcpt_count = 3},
    {.body = SMTP_BODY_BINARYMIME,
        .ret = SMTP_RET_FULL,
        .utf8_header = true,
        .require_tls = true,
        .notice = true,
        .by_notify = true,
        .priority = 9,
        .arrived_s = INT64_MIN,
        .by_s = INT64_MAX,
        .text_at = UINT32_MAX,
        .header_bytes = UINT32_MAX,
        .rcpts = few + 1,
        .rcpt_count = 2},
};

static struct slice encode(const struct envelope *e)
{
    size_t n = envelope_bytes(e);
    struct out out = out_of(malloc(n + 1), n);

    assert_non_null(out.at);
    envelope_encode(e, &out);
    assert_false(out.full);
    assert_int_equal(out.len, n);
    return out_slice(&out);
}

static void assert_same_slice(struct slice a, struct slice b)
{
    assert_true(slice_eq(a, b));
}

static void assert_same_flags(const struct envelope *a, const struct envelope *b)
{
    assert_int_equal(a->ret, b->ret);
    assert_int_equal(a->body, b->body);
    assert_int_equal(a->utf8, b->utf8);
    assert_int_equal(a->utf8_header, b->utf8_header);
    assert_int_equal(a->text_8bit, b->text_8bit);
    assert_int_equal(a->require_tls, b->require_tls);
    assert_int_equal(a->tls_optional, b->tls_optional);
    assert_int_equal(a->notice, b->notice);
    assert_int_equal(a->by_notify, b->by_notify);
    assert_int_equal(a->by_trace, b->by_trace);
    assert_int_equal(a->priority, b->priority);
}

static void assert_same(const struct envelope *a, const struct envelope *b)
{
    assert_same_slice(a->sender, b->sender);
    assert_same_slice(a->envid, b->envid);
    assert_same_slice(a->auth, b->auth);
    assert_same_slice(a->hold, b->hold);
    assert_same_slice(a->user, b->user);
    assert_same_slice(a->log_id, b->log_id);
    assert_same_flags(a, b);
    assert_true(a->arrived_s == b->arrived_s && a->hold_until_s == b->hold_until_s);
    assert_true(a->by_s == b->by_s);
    assert_true(a->text_at == b->text_at && a->header_bytes == b->header_bytes);
    assert_int_equal(a->rcpt_count, b->rcpt_count);
    for (unsigned i = 0; i < a->rcpt_count; i++) {
        assert_same_slice(a->rcpts[i].address, b->rcpts[i].address);
        assert_same_slice(a->rcpts[i].orcpt, b->rcpts[i].orcpt);
        assert_int_equal(a->rcpts[i].notify, b->rcpts[i].notify);
        assert_int_equal(a->rcpts[i].forwarded, b->rcpts[i].forwarded);
    }
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena = arena_of(1 << 16);
        struct slice bytes = encode(&cases[i]);
        struct envelope e;

        assert_int_equal(envelope_decode(bytes, &arena, &e), STATUS_OK);
        assert_same(&e, &cases[i]);
        arena_reset(&arena);
        free((char *)bytes.at);
    }
}

/* The bytes of version 1, and with `hold` of version 2: what stands on disks. */
static void the_layout_is_for_ever(void **state)
{
    static const struct envelope_rcpt rcpt = {
        .address = SI("b@y"), .orcpt = SI("rfc822;b"), .notify = 4, .forwarded = true};
    struct envelope e = {.sender = SI("a@x"),
        .envid = SI("I"),
        .user = SI("u"),
        .log_id = SI("L1"),
        .ret = SMTP_RET_FULL,
        .body = SMTP_BODY_8BITMIME,
        .utf8 = true,
        .by_trace = true,
        .priority = -2,
        .arrived_s = 0x0102030405060708,
        .hold_until_s = 2,
        .by_s = 3,
        .text_at = 4,
        .header_bytes = 5,
        .rcpts = &rcpt,
        .rcpt_count = 1};
    static const char want[] = "\x01\x01\x01\xfe\x81\0\0\0"
                               "\x08\x07\x06\x05\x04\x03\x02\x01"
                               "\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0"
                               "\x04\0\0\0\x05\0\0\0\x01\0\0\0"
                               "\x03\0\0\0a@x\x01\0\0\0I\0\0\0\0\x01\0\0\0u\x02\0\0\0L1"
                               "\x04\x01\x03\0\0\0b@y\x08\0\0\0rfc822;b";
    enum { HOLD_AT = 44 + 7 + 5 + 4 };
    struct slice bytes = encode(&e);

    (void)state;
    assert_int_equal(bytes.len, sizeof want - 1);
    assert_memory_equal(bytes.at, want, bytes.len);
    free((char *)bytes.at);
    e.hold = S("60");
    bytes = encode(&e);
    assert_int_equal(bytes.len, sizeof want - 1 + 6);
    assert_int_equal(bytes.at[0], 2);
    assert_memory_equal(bytes.at + 1, want + 1, HOLD_AT - 1);
    assert_memory_equal(bytes.at + HOLD_AT,
        "\x02\0\0\0"
        "60",
        6);
    assert_memory_equal(
        bytes.at + HOLD_AT + 6, want + HOLD_AT, sizeof want - 1 - HOLD_AT);
    free((char *)bytes.at);
}

static void no_truncation_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice bytes = encode(&cases[i]);

        for (size_t n = 0; n < bytes.len; n++) {
            struct arena arena = arena_of(1 << 16);
            char *copy = malloc(n + 1); /* so that what is behind is not ours */
            struct envelope e;

            memcpy(copy, bytes.at, n);
            assert_int_equal(
                envelope_decode(slice_of(copy, n), &arena, &e), STATUS_CORRUPT);
            arena_reset(&arena);
            free(copy);
        }
        free((char *)bytes.at);
    }
}

static void nothing_may_follow(void **state)
{
    struct arena arena = arena_of(1 << 16);
    struct slice bytes = encode(&cases[0]);
    char *longer = malloc(bytes.len + 1);
    struct envelope e;

    (void)state;
    memcpy(longer, bytes.at, bytes.len);
    longer[bytes.len] = 0;
    assert_int_equal(
        envelope_decode(slice_of(longer, bytes.len + 1), &arena, &e), STATUS_CORRUPT);
    arena_reset(&arena);
    free(longer);
    free((char *)bytes.at);
}

/* Whatever is taken, is taken as it stands: it is written again as the same bytes. */
static void no_flipped_bit_is_lost(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice bytes = encode(&cases[i]);
        char *at = (char *)bytes.at;

        for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
            struct arena arena = arena_of(1 << 16);
            struct envelope e;
            enum status status;

            at[bit / 8] ^= (char)(1 << bit % 8);
            status = envelope_decode(bytes, &arena, &e);
            if (status == STATUS_OK) {
                struct slice again = encode(&e);

                assert_same_slice(again, bytes);
                free((char *)again.at);
            } else {
                assert_true(status == STATUS_CORRUPT ||
                    (status == STATUS_INVALID && (uint8_t)at[0] > ENVELOPE_VERSION));
            }
            at[bit / 8] ^= (char)(1 << bit % 8);
            arena_reset(&arena);
        }
        free((char *)bytes.at);
    }
}

static void a_newer_version_is_told(void **state)
{
    struct arena arena = arena_of(1 << 16);
    struct envelope e;

    (void)state;
    assert_int_equal(envelope_decode(S("\x03whatever"), &arena, &e), STATUS_INVALID);
    assert_int_equal(envelope_decode(S("\xff"), &arena, &e), STATUS_INVALID);
    assert_int_equal(envelope_decode(slice_of(NULL, 0), &arena, &e), STATUS_CORRUPT);
}

/* As many recipients as there may be; none, and one more. */
static void the_number_of_recipients_is_bounded(void **state)
{
    static const struct {
        unsigned count;
        enum status status;
    } numbers[] = {{0, STATUS_CORRUPT}, {1, STATUS_OK}, {ENVELOPE_RCPTS_MAX, STATUS_OK},
        {ENVELOPE_RCPTS_MAX + 1, STATUS_CORRUPT}};
    struct envelope_rcpt *many = calloc(ENVELOPE_RCPTS_MAX + 1, sizeof *many);

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct envelope e = {.rcpts = many, .rcpt_count = numbers[i].count}, read;
        struct arena arena = arena_of(1 << 20);
        struct slice bytes = encode(&e);

        assert_int_equal(envelope_decode(bytes, &arena, &read), numbers[i].status);
        arena_reset(&arena);
        free((char *)bytes.at);
    }
    free(many);
}

static void an_arena_that_is_too_small_is_told(void **state)
{
    struct arena arena = arena_of(16);
    struct slice bytes = encode(&cases[1]);
    struct envelope e;

    (void)state;
    assert_int_equal(envelope_decode(bytes, &arena, &e), STATUS_NO_MEMORY);
    arena_reset(&arena);
    free((char *)bytes.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(the_layout_is_for_ever),
        cmocka_unit_test(no_truncation_is_whole),
        cmocka_unit_test(nothing_may_follow),
        cmocka_unit_test(no_flipped_bit_is_lost),
        cmocka_unit_test(a_newer_version_is_told),
        cmocka_unit_test(the_number_of_recipients_is_bounded),
        cmocka_unit_test(an_arena_that_is_too_small_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
