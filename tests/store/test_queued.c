/* The table of entries against a plain sorted array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/check.h"
#include "store/queued.h"

enum { IDS = 3000, STEPS = 60000 };

static uint64_t random_state = 1;

static uint64_t draw(uint64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % n;
}

static void assert_same(
    const struct queue_table *t, const bool there[IDS], const unsigned sizes[IDS])
{
    uint64_t count = 0, bytes = 0;
    const struct queued *q = queued_after(t, 0);

    for (uint64_t id = 1; id < IDS; id++) {
        char name[16];

        assert_int_equal(queued_find(t, id) != NULL, there[id]);
        if (!there[id])
            continue;
        assert_non_null(q);
        assert_int_equal(q->id, id);
        snprintf(name, sizeof name, "e%u", (unsigned)id);
        assert_true(slice_eq(queued_envelope(q), slice_str(name)));
        count++;
        bytes += sizes[id];
        q = queued_after(t, q->id);
    }
    assert_null(q);
    assert_int_equal(t->count, count);
    assert_int_equal(t->bytes, bytes);
}

static void it_is_a_sorted_array(void **state)
{
    static bool there[IDS];
    static unsigned sizes[IDS];
    struct queue_table t = {0};

    (void)state;
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t id = 1 + draw(IDS - 1);
        char name[16];

        snprintf(name, sizeof name, "e%u", (unsigned)id);
        if (there[id]) {
            queued_remove(&t, queued_find(&t, id));
        } else {
            struct queued *q = queued_add(&t, id, slice_str(name));

            assert_non_null(q);
            q->size = sizes[id] = (unsigned)draw(1000);
            queued_show(&t, q);
            queued_show(&t, q);
        }
        there[id] = !there[id];
        if (i % 5000 == 0)
            assert_same(&t, there, sizes);
    }
    assert_same(&t, there, sizes);
    assert_null(queued_after(&t, UINT64_MAX));
    queue_table_free(&t);
    assert_null(queued_after(&t, 0));
}

static void states_take_what_they_need(void **state)
{
    struct queue_table t = {0};
    struct queued *q = queued_add(&t, 7, S("env"));

    (void)state;
    assert_int_equal(t.count, 0); /* not shown */
    assert_int_equal(t.held, 3);
    assert_int_equal(queued_state(q).len, 0);
    assert_true(queued_reserve(q, 5));
    queued_set_state(&t, q, S("12345"));
    assert_true(queued_reserve(q, 2));
    assert_true(slice_eq(queued_state(q), S("12345")));
    queued_set_state(&t, q, S("ab"));
    assert_true(slice_eq(queued_state(q), S("ab")));
    assert_int_equal(t.held, 5);
    assert_true(queued_reserve(q, 0));
    queued_set_state(&t, q, S(""));
    queued_remove(&t, q);
    assert_int_equal(t.held, 0);
    queue_table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_sorted_array),
        cmocka_unit_test(states_take_what_they_need),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
