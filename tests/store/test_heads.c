/* Heads against a plain array, and what they take of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/heads.h"

enum { IDS = 4000, STEPS = 40000, MANY = 100000, ROUNDS = 50, NAME_CAP = 1100 };

static uint64_t random_state = 1;

static uint64_t draw(uint64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % n;
}

/* Of all lengths, some longer than a user's may be. */
static struct slice name_of(uint64_t id, char at[NAME_CAP])
{
    int len = snprintf(at, NAME_CAP, "user%llu@", (unsigned long long)id);
    size_t more = id * 7919 % (NAME_CAP - 40);

    memset(at + len, 'x', more);
    return slice_of(at, (size_t)len + more);
}

static void assert_same(const struct heads *h, const bool there[IDS])
{
    char at[NAME_CAP];
    uint32_t count = 0;

    for (uint64_t id = 1; id < IDS; id++) {
        struct head *head = heads_by_id(h, id);

        assert_int_equal(head != NULL, there[id]);
        assert_ptr_equal(heads_find(h, name_of(id, at)), head);
        if (!head)
            continue;
        assert_true(slice_eq(head_name(head), name_of(id, at)));
        count++;
    }
    assert_int_equal(h->count, count);
}

static void as_a_plain_array(void **state)
{
    static bool there[IDS];
    struct heads h;
    char at[NAME_CAP];

    (void)state;
    assert_int_equal(heads_init(&h, 7), STATUS_OK);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t id = 1 + draw(IDS - 1);
        struct head *head = heads_by_id(&h, id);

        assert_int_equal(head != NULL, there[id]);
        if (head)
            heads_remove(&h, head);
        else
            heads_name(&h, heads_add(&h, id, name_of(id, at)));
        there[id] = !there[id];
        if (i % (STEPS / 8) == 0)
            assert_same(&h, there);
    }
    assert_same(&h, there);
    heads_free(&h);
}

static void fill(struct heads *h, uint64_t from, uint64_t count)
{
    char at[64];

    for (uint64_t id = from; id < from + count; id++) {
        int len = snprintf(at, sizeof at, "u%08llu@example.test", (unsigned long long)id);
        struct head *head = heads_add(h, id, slice_of(at, (size_t)len));

        assert_non_null(head);
        heads_name(h, head);
    }
}

/* A head, its name to the next eight octets, a bucket in each table; a tenth beside. */
static void memory_is_what_heads_need(void **state)
{
    const size_t each = sizeof(struct head) + 24 + 2 * sizeof(uint32_t);
    struct heads h;

    (void)state;
    assert_int_equal(heads_init(&h, 7), STATUS_OK);
    fill(&h, 1, MANY);
    assert_true(h.memory.bytes < MANY * each * 11 / 10 + (4 << 20));
    heads_free(&h);
}

/* Users who come and go leave no memory behind. */
static void memory_comes_back(void **state)
{
    struct heads h;
    size_t bytes;

    (void)state;
    assert_int_equal(heads_init(&h, 7), STATUS_OK);
    fill(&h, 1, IDS);
    bytes = h.memory.bytes;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint64_t id = 1; id <= IDS; id++)
            heads_remove(&h, heads_by_id(&h, round * IDS + id));
        assert_int_equal(h.count, 0);
        fill(&h, (round + 1) * IDS + 1, IDS);
    }
    assert_int_equal(h.memory.bytes, bytes);
    heads_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_a_plain_array),
        cmocka_unit_test(memory_is_what_heads_need),
        cmocka_unit_test(memory_comes_back),
    };

    return cmocka_run_group_tests_name("heads", tests, NULL, NULL);
}
