/* Tests for server/queue_state.h: values and bytes, there and back, and bytes that are
 * no state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/queue_state.h"

enum { ROOM = 64 << 10, ARENA = 1 << 20 };

static const struct queue_answer busy = {
    450, {4, 2, 1}, false, SI("mx.example.org"), SI("busy, come again")};
static const struct queue_answer busy_too = {
    450, {4, 2, 1}, false, SI("mx.example.org"), SI("busy, come again")};
static const struct queue_answer silent = {0, {4, 4, 1}, true, SI(""), SI("no answer")};

static void assert_same(const struct queue_state *a, const struct queue_state *b)
{
    assert_int_equal(a->held, b->held);
    assert_int_equal(a->delay_told, b->delay_told);
    assert_int_equal(a->by_told, b->by_told);
    assert_int_equal(a->unsure, b->unsure);
    assert_int_equal(a->rcpt_count, b->rcpt_count);
    for (unsigned i = 0; i < a->rcpt_count; i++) {
        const struct queue_rcpt *x = &a->rcpts[i], *y = &b->rcpts[i];

        assert_int_equal(x->fate, y->fate);
        assert_int_equal(x->attempts, y->attempts);
        assert_int_equal(x->next_s, y->next_s);
        assert_int_equal(x->answer != NULL, y->answer != NULL);
        if (!x->answer)
            continue;
        assert_int_equal(x->answer->code, y->answer->code);
        assert_int_equal(x->answer->ours, y->answer->ours);
        assert_memory_equal(x->answer->status, y->answer->status, 3);
        assert_true(slice_eq(x->answer->host, y->answer->host));
        assert_true(slice_eq(x->answer->text, y->answer->text));
    }
}

static struct slice encoded(const struct queue_state *s, char *room)
{
    struct out out = out_of(room, ROOM);

    queue_state_encode(s, &out);
    assert_false(out.full);
    assert_true(out.len <= queue_state_bytes(s));
    return out_slice(&out);
}

static struct queue_rcpt mixed[] = {{.fate = QUEUE_PENDING},
    {.fate = QUEUE_PENDING, .attempts = 3, .next_s = 1800000000, .answer = &busy},
    {.fate = QUEUE_PENDING, .attempts = 3, .next_s = 1800000000, .answer = &busy_too},
    {.fate = QUEUE_PENDING, .attempts = 3, .next_s = 1800000001, .answer = &busy},
    {.fate = QUEUE_DELIVERED}, {.fate = QUEUE_RELAYED}, {.fate = QUEUE_RELAYED},
    {.fate = QUEUE_FAILED}, {.fate = QUEUE_EXPIRED}, {.fate = QUEUE_DROPPED},
    {.fate = QUEUE_PENDING, .attempts = 1, .answer = &silent}};

static const struct queue_state whole = {.held = true,
    .by_told = true,
    .unsure = 7,
    .rcpts = mixed,
    .rcpt_count = sizeof mixed / sizeof *mixed};

static void test_there_and_back(void **state)
{
    struct arena arena = arena_of(ARENA);
    char room[ROOM];
    struct queue_state back;

    (void)state;
    assert_int_equal(
        queue_state_decode(encoded(&whole, room), whole.rcpt_count, &arena, &back),
        STATUS_OK);
    assert_same(&whole, &back);
    arena_reset(&arena);
}

static void test_nothing_yet(void **state)
{
    struct arena arena = arena_of(ARENA);
    struct queue_state s;

    (void)state;
    assert_int_equal(queue_state_decode(S(""), 3, &arena, &s), STATUS_OK);
    assert_int_equal(s.rcpt_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(s.rcpts[i].fate, QUEUE_PENDING);
        assert_int_equal(s.rcpts[i].next_s, 0);
    }
    arena_reset(&arena);
}

/* Recipients that have all in common take the room of one. */
static void test_runs_are_small(void **state)
{
    struct queue_rcpt *rcpts = calloc(1000, sizeof *rcpts);
    struct queue_state s = {.rcpts = rcpts, .rcpt_count = 1000};
    char room[ROOM];

    (void)state;
    assert_non_null(rcpts);
    for (unsigned i = 0; i < 1000; i++)
        rcpts[i] = (struct queue_rcpt){
            .attempts = 2, .next_s = 1700000000, .answer = i % 2 ? &busy : &busy_too};
    assert_in_range(encoded(&s, room).len, 30, 80);
    free(rcpts);
}

static void test_long_texts_are_cut(void **state)
{
    static char text[QUEUE_TEXT_MAX + 9], host[QUEUE_HOST_MAX + 9];
    struct queue_answer a = {.host = {host, sizeof host}, .text = {text, sizeof text}};
    struct queue_rcpt one = {.answer = &a};
    struct queue_state s = {.rcpts = &one, .rcpt_count = 1}, back;
    struct arena arena = arena_of(ARENA);
    char room[ROOM];

    (void)state;
    memset(text, 't', sizeof text);
    memset(host, 'h', sizeof host);
    assert_int_equal(queue_state_decode(encoded(&s, room), 1, &arena, &back), STATUS_OK);
    assert_int_equal(back.rcpts[0].answer->text.len, QUEUE_TEXT_MAX);
    assert_int_equal(back.rcpts[0].answer->host.len, QUEUE_HOST_MAX);
    arena_reset(&arena);
}

/* Cut anywhere, of another count of recipients, with octets behind, of a newer version:
 * never taken for a state. */
static void test_no_state(void **state)
{
    char room[ROOM];
    struct slice bytes = encoded(&whole, room);
    struct arena arena = arena_of(ARENA);
    struct queue_state s;

    (void)state;
    for (size_t n = 1; n < bytes.len; n++)
        assert_int_equal(
            queue_state_decode(slice_of(bytes.at, n), whole.rcpt_count, &arena, &s),
            STATUS_CORRUPT);
    assert_int_equal(queue_state_decode(bytes, 10, &arena, &s), STATUS_CORRUPT);
    assert_int_equal(queue_state_decode(bytes, 12, &arena, &s), STATUS_CORRUPT);
    room[bytes.len] = 0;
    assert_int_equal(queue_state_decode(
                         slice_of(bytes.at, bytes.len + 1), whole.rcpt_count, &arena, &s),
        STATUS_CORRUPT);
    room[0] = QUEUE_STATE_VERSION + 1;
    assert_int_equal(
        queue_state_decode(bytes, whole.rcpt_count, &arena, &s), STATUS_INVALID);
    arena_reset(&arena);
}

/* Any octet changed: refused, or a state that is within bounds and can be written. */
static void test_flipped_octets(void **state)
{
    char room[ROOM], again[ROOM], copy[ROOM];
    struct slice bytes = encoded(&whole, room);
    struct queue_state s;

    (void)state;
    for (size_t at = 0; at < bytes.len; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct arena arena = arena_of(ARENA);
            enum status status;

            memcpy(copy, bytes.at, bytes.len);
            copy[at] = (char)(copy[at] ^ (1 << bit));
            status = queue_state_decode(
                slice_of(copy, bytes.len), whole.rcpt_count, &arena, &s);
            assert_in_range(status, STATUS_OK, STATUS_CORRUPT);
            if (status == STATUS_OK)
                encoded(&s, again);
            arena_reset(&arena);
        }
}

static void test_no_memory(void **state)
{
    char room[ROOM];
    struct slice bytes = encoded(&whole, room);
    struct queue_state s;
    bool failed = false, good = false;

    (void)state;
    for (size_t limit = 0; limit < 64 << 10; limit += 256) {
        struct arena arena = arena_of(limit);
        enum status status = queue_state_decode(bytes, whole.rcpt_count, &arena, &s);

        failed |= status == STATUS_NO_MEMORY;
        good |= status == STATUS_OK;
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        arena_reset(&arena);
    }
    assert_true(failed && good);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_nothing_yet), cmocka_unit_test(test_runs_are_small),
        cmocka_unit_test(test_long_texts_are_cut), cmocka_unit_test(test_no_state),
        cmocka_unit_test(test_flipped_octets), cmocka_unit_test(test_no_memory)};

    return cmocka_run_group_tests_name("queue_state", tests, NULL, NULL);
}
