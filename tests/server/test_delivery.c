/* Deliveries over one shard or several: what reaches each store, in which order, and what
 * is left when a step fails, is given up, or the server dies. */
#include "tests/server/delivery_fake.h"

static const struct slice one[] = {SI("u0@x")};
static const struct slice two_here[] = {SI("u0@x"), SI("u0@y")};

static void small_message_is_one_record(void **state)
{
    struct slice bytes = text_of(1000);
    struct delivery *d = begin(two_here, 2);

    (void)state;
    add(d, bytes);
    assert_int_equal(delivery_size(d), 1000);
    assert_int_equal(finish(d), STATUS_OK);
    assert_string_equal(events, "m0");
    assert_stored(0, bytes, 2);
    assert_int_equal(stores[0].id, 0);
    assert_int_equal(stores[0].date, 1000);
    assert_int_equal(woken, 1);
    delivery_free(d);
}

static void text_that_is_copied_takes_no_memory(void **state)
{
    struct slice bytes = text_of(10000);
    struct delivery *d = begin(one, 1);

    (void)state;
    add(d, bytes);
    assert_true(threads[0].stats.buffered > 10000);
    hold = stores[0].copies = true;
    delivery_commit(d, NULL, 0);
    pump();
    assert_int_equal(threads[0].stats.buffered, 0);
    assert_int_equal(woken, 0);
    hold = false;
    pump();
    assert_int_equal(woken, 1);
    assert_stored(0, bytes, 1);
    delivery_free(d);
}

static void text_that_others_still_need_stays(void **state)
{
    struct slice bytes = text_of(10000);
    struct delivery *d = begin(spread, 5);

    (void)state;
    for (unsigned i = 0; i < SHARDS; i++)
        stores[i].copies = true;
    add(d, bytes);
    assert_int_equal(finish(d), STATUS_OK);
    assert_stored(2, bytes, 2);
    assert_stored(0, bytes, 2);
    assert_stored(3, bytes, 1);
    delivery_free(d);
}

static void sizes_around_a_chunk(void **state)
{
    static const size_t sizes[] = {STORE_CHUNK_BYTES - 1, STORE_CHUNK_BYTES,
        STORE_CHUNK_BYTES + 1, 2 * STORE_CHUNK_BYTES, 2 * STORE_CHUNK_BYTES + 1,
        20 * STORE_CHUNK_BYTES + 5};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct slice bytes = text_of(sizes[i]);
        struct delivery *d;

        set_up(state);
        d = begin(one, 1);
        add(d, bytes);
        assert_int_equal(finish(d), STATUS_OK);
        assert_stored(0, bytes, 1);
        assert_int_equal(stores[0].chunk_count, (sizes[i] - 1) / STORE_CHUNK_BYTES);
        delivery_free(d);
    }
}

static void a_slow_disk_makes_the_sender_wait(void **state)
{
    struct slice bytes = text_of(8 * STORE_CHUNK_BYTES), rest = bytes;
    struct delivery *d = begin(one, 1);
    uint64_t most;

    (void)state;
    hold = true;
    while (!delivery_busy(d))
        delivery_add(d, slice_take(&rest, 4096));
    assert_true(rest.len >= 5 * STORE_CHUNK_BYTES);
    most = threads[0].stats.buffered;
    assert_true(most >= 2 * STORE_CHUNK_BYTES && most <= 4 * STORE_CHUNK_BYTES);
    hold = false;
    assert_true(step());
    assert_int_equal(woken, 1);
    assert_false(delivery_busy(d));
    add(d, rest);
    assert_int_equal(finish(d), STATUS_OK);
    assert_stored(0, bytes, 1);
    delivery_free(d);
}

static void several_shards_follow_the_first(void **state)
{
    struct slice bytes = text_of(3 * STORE_CHUNK_BYTES);
    struct delivery *d = begin(spread, 5);

    (void)state;
    add(d, bytes);
    pump();
    memset(events, 0, sizeof events);
    assert_int_equal(finish(d), STATUS_OK);
    assert_string_equal(events, "m2m0m3f2");
    assert_stored(2, bytes, 2);
    assert_stored(0, bytes, 2);
    assert_stored(3, bytes, 1);
    assert_int_equal(stores[0].id, 4711);
    assert_int_equal(stores[2].id, 4711);
    assert_true(stores[2].rest_len > 0);
    assert_int_equal(stores[0].rest_len, 0);
    delivery_free(d);
}

static void nothing_is_stored_when_the_first_shard_fails(void **state)
{
    struct delivery *d = begin(spread, 5);

    (void)state;
    stores[2].message_status = STATUS_NO_SPACE;
    add(d, text_of(2 * STORE_CHUNK_BYTES));
    pump();
    memset(events, 0, sizeof events);
    assert_int_equal(finish(d), STATUS_NO_SPACE);
    assert_string_equal(events, "m2");
    delivery_free(d);
    pump();
    assert_string_equal(events, "m2d2d0d3");
}

static void a_lost_chunk_fails_the_message(void **state)
{
    struct delivery *d = begin(spread, 5);

    (void)state;
    stores[3].chunk_status = STATUS_IO;
    add(d, text_of(3 * STORE_CHUNK_BYTES));
    assert_int_equal(finish(d), STATUS_IO);
    assert_null(strchr(events, 'm'));
    delivery_free(d);
    pump();
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(stores[2 * i].users, 0);
        assert_null(stores[2 * i].chunk[0].at);
    }
}

static void given_up_before_the_commit_nothing_is_stored(void **state)
{
    for (unsigned steps = 0; steps < 12; steps++) {
        struct delivery *d;

        set_up(state);
        d = begin(spread, 5);
        add(d, text_of(2 * STORE_CHUNK_BYTES + 7));
        for (unsigned i = 0; i < steps && step(); i++)
            ;
        delivery_free(d);
        pump();
        assert_null(strchr(events, 'm'));
        for (unsigned i = 0; i < SHARDS; i++)
            for (unsigned k = 0; k < stores[i].chunk_count; k++)
                assert_null(stores[i].chunk[k].at);
        assert_int_equal(threads[0].stats.buffered, 0);
    }
}

/* A sender who goes away after the end of the text: for all or for none. */
static void given_up_after_the_commit_it_is_for_all_or_none(void **state)
{
    for (unsigned steps = 0; steps < 20; steps++) {
        struct delivery *d;

        set_up(state);
        d = begin(spread, 5);
        add(d, text_of(STORE_CHUNK_BYTES + 7));
        delivery_commit(d, NULL, 0);
        for (unsigned i = 0; i < steps && step(); i++)
            ;
        delivery_free(d);
        pump();
        assert_int_equal(stores[0].users, stores[2].users);
        assert_int_equal(stores[2].users ? 1 : 0, stores[3].users);
        assert_int_equal(strchr(events, 'f') != NULL, stores[2].users > 0);
        assert_int_equal(threads[0].stats.buffered, 0);
    }
}

/* Who is gone, what is asked of the stores for a message in chunks, for how many users
 * each has it, the end. */
static const struct {
    const char *removed, *disabled, *events;
    unsigned users[SHARDS];
    enum status status;
} departures[] = {
    {"", NULL, "m2m0m3f2", {2, 0, 2, 1}, STATUS_OK},
    {"u2@a", "u0@e", "m2m0m3f2", {2, 0, 1, 1}, STATUS_OK},
    {"u2@a u2@d", NULL, "m0m3f0", {2, 0, 0, 1}, STATUS_OK},
    {"u2@a", "u2@d u0@b", "m0m3f0", {1, 0, 0, 1}, STATUS_OK},
    {"u0@b u0@e", NULL, "m2m3f2", {0, 0, 2, 1}, STATUS_OK},
    {"u3@c", NULL, "m2m0f2", {2, 0, 2, 0}, STATUS_OK},
    {"u0@b u0@e u3@c", NULL, "m2f2", {0, 0, 2, 0}, STATUS_OK},
    {"u2@a u2@d u0@b u0@e", NULL, "m3", {0, 0, 0, 1}, STATUS_OK},
    {"u2@a u2@d u3@c", NULL, "m0f0", {2, 0, 0, 0}, STATUS_OK},
    {"u2@a u2@d u3@c u0@b u0@e", NULL, "", {0, 0, 0, 0}, STATUS_NOT_FOUND},
    {NULL, "u2@a u2@d u3@c u0@b u0@e", "", {0, 0, 0, 0}, STATUS_NOT_FOUND},
};

static void accounts_removed_since_rcpt_get_nothing(void **state)
{
    for (unsigned i = 0; i < sizeof departures / sizeof *departures; i++) {
        struct slice bytes = text_of(3 * STORE_CHUNK_BYTES);
        struct delivery *d;

        set_up(state);
        d = begin(spread, 5);
        add(d, bytes);
        pump();
        memset(events, 0, sizeof events);
        removed = departures[i].removed;
        disabled = departures[i].disabled;
        assert_int_equal(finish(d), departures[i].status);
        assert_string_equal(events, departures[i].events);
        delivery_free(d);
        pump();
        for (unsigned k = 0; k < SHARDS; k++) {
            if (departures[i].users[k])
                assert_stored(k, bytes, departures[i].users[k]);
            else
                assert_int_equal(stores[k].users, 0);
            for (unsigned c = 0; c < stores[k].chunk_count; c++)
                assert_int_equal(
                    stores[k].chunk[c].at != NULL, departures[i].users[k] > 0);
        }
    }
}

/* It is alone in its shard, which had no room at first. */
static void an_account_removed_between_tries_gets_nothing(void **state)
{
    struct delivery *d = begin(spread, 5);
    struct timer *due;

    (void)state;
    stores[3].message_status = STATUS_NO_SPACE;
    add(d, text_of(500));
    assert_int_equal(finish(d), STATUS_OK);
    delivery_free(d);
    due = timer;
    assert_non_null(due);
    timer = NULL;
    removed = "u3@c";
    due->due(due);
    pump();
    assert_null(timer);
    assert_string_equal(events, "m2m0m3f2");
    assert_int_equal(stores[3].users, 0);
}

static void a_later_share_is_tried_again(void **state)
{
    struct slice bytes = text_of(500);
    struct delivery *d = begin(spread, 5);

    (void)state;
    stores[3].message_status = STATUS_NO_SPACE;
    add(d, bytes);
    assert_int_equal(finish(d), STATUS_OK);
    assert_string_equal(events, "m2m0m3");
    delivery_free(d);
    for (unsigned i = 0; i < 3; i++) {
        struct timer *due = timer;

        assert_non_null(due);
        timer = NULL;
        if (i == 2)
            stores[3].message_status = STATUS_OK;
        due->due(due);
        pump();
    }
    assert_null(timer);
    assert_string_equal(events, "m2m0m3m3m3m3f2");
    assert_stored(3, bytes, 1);
}

static void a_stop_ends_the_tries(void **state)
{
    struct delivery *d = begin(spread, 5);
    struct timer *due;

    (void)state;
    stores[3].message_status = STATUS_BUSY;
    add(d, text_of(500));
    assert_int_equal(finish(d), STATUS_OK);
    delivery_free(d);
    threads[0].stopping = true;
    due = timer;
    timer = NULL;
    due->due(due);
    pump();
    assert_string_equal(events, "m2m0m3");
}

static void short_memory_puts_large_mail_off(void **state)
{
    struct delivery *d = begin(one, 1);

    (void)state;
    short_of_memory = true;
    add(d, text_of(4000));
    assert_int_equal(finish(d), STATUS_OK);
    delivery_free(d);
    d = begin(one, 1);
    add(d, text_of(5000));
    assert_int_equal(finish(d), STATUS_NO_MEMORY);
    delivery_free(d);
    assert_string_equal(events, "m0");
}

/* --- recovery ------------------------------------------------------------------------
 */

static void open_fanouts_are_finished(void **state)
{
    static const size_t sizes[] = {900, STORE_CHUNK_BYTES, 5 * STORE_CHUNK_BYTES + 3};

    for (unsigned i = 0; i < 6; i++) {
        struct slice bytes;

        set_up(state);
        pieces_late = i >= 3;
        piece_bytes = i % 2 ? 100000 : 999;
        bytes = crash_after_first(sizes[i % 3]);
        assert_int_equal(recover(), 0);
        assert_stored(0, bytes, 2);
        assert_stored(3, bytes, 1);
        assert_int_equal(stores[0].date, 1000);
        assert_int_equal(stores[0].id, 4711);
        assert_int_equal(stores[2].users, 2);
        assert_string_equal(events + strlen(events) - 2, "f2");
    }
}

/* Accounts that were removed while the server was down. One that takes no mail now has
 * been promised this one. */
static void removed_accounts_are_not_made_anew(void **state)
{
    struct slice bytes = crash_after_first(3 * STORE_CHUNK_BYTES);

    (void)state;
    removed = "u3@c u0@b";
    disabled = "u0@e";
    assert_int_equal(recover(), 0);
    assert_stored(0, bytes, 1);
    assert_int_equal(stores[3].users, 0);
    for (unsigned i = 0; i < stores[3].chunk_count; i++)
        assert_null(stores[3].chunk[i].at);
    assert_non_null(strstr(events, "f2"));
}

/* The crash came after shard 0 had stored its share, but before that was known. */
static void what_is_there_already_is_not_stored_again(void **state)
{
    struct slice bytes = crash_after_first(3 * STORE_CHUNK_BYTES);

    (void)state;
    stores[0].id = 4711;
    assert_int_equal(recover(), 0);
    assert_int_equal(stores[0].users, 0);
    for (unsigned i = 0; i < stores[0].chunk_count; i++)
        assert_null(stores[0].chunk[i].at);
    assert_stored(3, bytes, 1);
}

static void an_unreadable_body_stays_open(void **state)
{
    (void)state;
    crash_after_first(700);
    pieces_late = true;
    body_status = STATUS_CORRUPT;
    assert_int_equal(recover(), 1);
    assert_string_equal(events, "");
}

static void a_damaged_account_stays_open(void **state)
{
    const size_t without_sender = sizeof(uint32_t) + strlen("sender@x") + 1;
    struct slice whole;

    (void)state;
    crash_after_first(700);
    whole = stores[2].open[0].rest;
    for (size_t n = 0; n < whole.len; n++) {
        if (n == whole.len - without_sender)
            continue; /* as format 2 has it */
        stores[2].open[0].rest.len = n;
        assert_int_equal(recover(), 1);
    }
    assert_string_equal(events, "");
}

static void several_are_finished_one_after_the_other(void **state)
{
    (void)state;
    crash_after_first(700);
    stores[3].open[0] = stores[2].open[0];
    stores[3].open[0].id = 9;
    stores[3].open[0].body = 4;
    stores[3].open_count = 1;
    put_body(&stores[3], S("Subject: other\r\n\r\n"));
    assert_int_equal(recover(), 0);
    assert_string_equal(events, "m3m0f2m3m0f3");
}

static void nothing_open_is_over_at_once(void **state)
{
    (void)state;
    assert_int_equal(recover(), 0);
    assert_string_equal(events, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_message_is_one_record),
        TEST(text_that_is_copied_takes_no_memory),
        TEST(text_that_others_still_need_stays),
        TEST(sizes_around_a_chunk),
        TEST(a_slow_disk_makes_the_sender_wait),
        TEST(several_shards_follow_the_first),
        TEST(nothing_is_stored_when_the_first_shard_fails),
        TEST(a_lost_chunk_fails_the_message),
        TEST(given_up_before_the_commit_nothing_is_stored),
        TEST(given_up_after_the_commit_it_is_for_all_or_none),
        TEST(accounts_removed_since_rcpt_get_nothing),
        TEST(an_account_removed_between_tries_gets_nothing),
        TEST(a_later_share_is_tried_again),
        TEST(a_stop_ends_the_tries),
        TEST(short_memory_puts_large_mail_off),
        TEST(open_fanouts_are_finished),
        TEST(removed_accounts_are_not_made_anew),
        TEST(what_is_there_already_is_not_stored_again),
        TEST(an_unreadable_body_stays_open),
        TEST(a_damaged_account_stays_open),
        TEST(several_are_finished_one_after_the_other),
        TEST(nothing_open_is_over_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
