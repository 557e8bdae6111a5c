/* Sets of UIDs against an array of marks: rank, place and the end are what a walk finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/uids.h"

enum { UIDS = 20000, RUN = 512, STEPS = 400, MANY = 1000000 };

static uint64_t random_state = 1;

static uint32_t draw(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % n);
}

/* The UID of mark i: dense at first, then with gaps wider than a block, to the end. */
static uint32_t uid_of(uint32_t i)
{
    return i < UIDS / 2 ? i + 1 : UINT32_MAX - 3000 * (UIDS - 1 - i);
}

static void put(struct uids *u, bool *marks)
{
    uint32_t uids[RUN], from = draw(UIDS), step = 1 + draw(30);
    unsigned n = 0;

    for (uint32_t i = from; i < UIDS && n < 1 + draw(RUN); i += step) {
        marks[i] = true;
        uids[n++] = uid_of(i);
    }
    assert_true(uids_reserve(u, uids, n));
    uids_add(u, uids, n);
}

static void take(struct uids *u, bool *marks)
{
    uint32_t i = UIDS;

    while (!marks[--i])
        ;
    assert_int_equal(uids_at(u, u->count - 1), uid_of(i));
    marks[i] = false;
    uids_take_last(u);
}

static void compare(const struct uids *u, const bool *marks)
{
    uint32_t rank = 0;

    for (uint32_t i = 0; i < UIDS; i++) {
        assert_int_equal(uids_rank(u, uid_of(i) - 1), rank);
        if (marks[i])
            assert_int_equal(uids_at(u, rank++), uid_of(i));
        assert_int_equal(uids_rank(u, uid_of(i)), rank);
    }
    assert_int_equal(u->count, rank);
}

static void a_set_is_what_was_put_in(void **state)
{
    bool *marks = calloc(UIDS, 1);
    struct uids u = {0};

    (void)state;
    assert_int_equal(uids_rank(&u, 7), 0);
    for (unsigned step = 0; step < STEPS; step++) {
        put(&u, marks);
        for (uint32_t n = draw(2000); n && u.count; n--)
            take(&u, marks);
        if (step % 20 == 0)
            compare(&u, marks);
    }
    while (u.count)
        take(&u, marks);
    assert_int_equal(u.block_count, 0);
    uids_free(&u);
    free(marks);
}

/* Room that was made and not used changes nothing, also when it was the last. */
static void room_is_no_member(void **state)
{
    const uint32_t some[] = {5, 7, 9000}, more[] = {3000, 4000000};
    struct uids u = {0};

    (void)state;
    assert_true(uids_reserve(&u, some, 3));
    uids_add(&u, some, 3);
    assert_true(uids_reserve(&u, more, 2));
    assert_int_equal(u.count, 3);
    assert_int_equal(uids_at(&u, 2), 9000);
    assert_int_equal(uids_rank(&u, 3000), 2);
    assert_int_equal(uids_rank(&u, UINT32_MAX), 3);
    uids_take_last(&u);
    assert_int_equal(uids_at(&u, u.count - 1), 7);
    uids_free(&u);
}

/* What grows is the list of blocks: 16 octets for 2,048 UIDs. */
static void a_million_that_go_leave_little_to_copy(void **state)
{
    uint32_t uids[RUN];
    struct uids u = {0};

    (void)state;
    for (uint32_t uid = 1; uid <= MANY;) {
        unsigned n = 0;

        while (n < RUN && uid <= MANY)
            uids[n++] = uid++;
        assert_true(uids_reserve(&u, uids, n));
        uids_add(&u, uids, n);
    }
    assert_int_equal(u.count, MANY);
    assert_int_equal(uids_at(&u, MANY / 2), MANY / 2 + 1);
    assert_in_range(u.block_cap * sizeof *u.blocks, 1, MANY / 32);
    uids_free(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_what_was_put_in),
        cmocka_unit_test(room_is_no_member),
        cmocka_unit_test(a_million_that_go_leave_little_to_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
