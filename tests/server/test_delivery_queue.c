/* Deliveries with recipients elsewhere; shares that are refused after the promise; users
 * with an outcome each; fields put in front. */
#include <stdio.h>

#include "tests/server/delivery_fake.h"

static const struct envelope_rcpt elsewhere[] = {
    {.address = SI("x@far")}, {.address = SI("y@far"), .notify = SMTP_NOTIFY_NEVER}};
static const struct envelope envelopes[] = {
    {.sender = SI("sender@x"), .rcpts = elsewhere, .rcpt_count = 2},
    {.sender = SI(""), .notice = true, .rcpts = elsewhere + 1, .rcpt_count = 1}};

static struct delivery_conf queued_conf(const struct slice *users, unsigned count)
{
    return (struct delivery_conf){.users = users,
        .count = count,
        .sender = S("sender@x"),
        .queued = true,
        .shard = -1};
}

/* Entry i of the shard is this envelope. */
static void assert_queued(unsigned shard, unsigned i, const struct envelope *want)
{
    size_t n = envelope_bytes(want);
    struct out out = out_of(malloc(n), n);

    envelope_encode(want, &out);
    assert_true(i < stores[shard].queued_count);
    assert_true(slice_eq(out_slice(&out), stores[shard].queued[i]));
    free(out.at);
}

/* Envelope i of the shard, for the accounts with these names. */
static void assert_left(unsigned shard, const char *sender, const char *names)
{
    struct arena arena = arena_of(1 << 16);
    char buffer[128];
    struct out out = out_of(buffer, sizeof buffer);
    struct envelope e;

    assert_int_equal(stores[shard].queued_count, 1);
    assert_int_equal(envelope_decode(stores[shard].queued[0], &arena, &e), STATUS_OK);
    assert_true(slice_eq(e.sender, slice_str(sender)));
    for (unsigned i = 0; i < e.rcpt_count; i++) {
        out_put(&out, e.rcpts[i].address);
        out_byte(&out, ' ');
    }
    assert_true(slice_eq(out_slice(&out), slice_str(names)));
    assert_int_equal(e.arrived_s, 1000);
    assert_int_equal(stores[shard].entered_count, 1);
    assert_int_equal(stores[shard].left_size, stores[shard].body_len);
    arena_reset(&arena);
}

/* --- recipients elsewhere --------------------------------------------------------- */

static void nobody_here_is_one_message_with_entries(void **state)
{
    static const size_t sizes[] = {300, 2 * STORE_CHUNK_BYTES + 5};

    for (unsigned i = 0; i < 2; i++) {
        struct delivery_conf conf = queued_conf(NULL, 0);
        struct slice bytes = text_of(sizes[i]);
        struct delivery *d;

        set_up(state);
        d = begin_conf(&conf);
        add(d, bytes);
        assert_int_equal(finish_with(d, envelopes, 2), STATUS_OK);
        assert_string_equal(events, i ? "c0c0m0e0e0" : "m0e0e0");
        assert_stored(0, bytes, 0);
        assert_queued(0, 0, &envelopes[0]);
        assert_queued(0, 1, &envelopes[1]);
        assert_int_equal(stores[0].entered[1], 2);
        assert_int_equal(stores[0].id, 0);
        delivery_free(d);
    }
}

/* With the message of a user here: one body, one commit. Else the first shard of this
 * thread, or the one that is named; it is the first of all. */
static void the_queue_goes_ahead(void **state)
{
    static const struct slice here[] = {SI("u3@a"), SI("u1@b")}, there[] = {SI("u3@a")};
    static const struct {
        const struct slice *users;
        unsigned count;
        int shard;
        const char *events;
    } cases[] = {
        {here, 2, -1, "m1e1m3f1"},
        {there, 1, -1, "m0e0m3f0"},
        {here, 2, 3, "m3e3m1f3"},
        {here, 2, 2, "m2e2m1m3f2"},
        {here + 1, 1, 1, "m1e1"},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct delivery_conf conf = queued_conf(cases[i].users, cases[i].count);
        struct slice bytes = text_of(400);
        struct delivery *d;

        set_up(state);
        conf.shard = cases[i].shard;
        d = begin_conf(&conf);
        add(d, bytes);
        assert_int_equal(finish_with(d, envelopes, 1), STATUS_OK);
        delivery_free(d);
        pump();
        assert_string_equal(events, cases[i].events);
        for (unsigned k = 0; k < cases[i].count; k++)
            assert_stored((unsigned)(cases[i].users[k].at[1] - '0'), bytes, 1);
    }
}

static void no_entry_when_the_first_shard_refuses(void **state)
{
    struct delivery_conf conf = queued_conf(spread, 5);
    struct delivery *d = begin_conf(&conf);

    (void)state;
    stores[0].message_status = STATUS_NO_SPACE;
    add(d, text_of(100));
    assert_int_equal(finish_with(d, envelopes, 1), STATUS_NO_SPACE);
    assert_string_equal(events, "m0");
    delivery_free(d);
}

/* All local accounts of the queue's shard have gone: its entries have not. */
static void the_queue_stays_when_the_accounts_go(void **state)
{
    struct delivery_conf conf = queued_conf(spread, 5);
    struct delivery *d = begin_conf(&conf);

    (void)state;
    removed = "u0@b u0@e u2@a";
    add(d, text_of(100));
    assert_int_equal(finish_with(d, envelopes, 1), STATUS_OK);
    delivery_free(d);
    pump();
    assert_string_equal(events, "m0e0m2m3f0");
    assert_int_equal(stores[0].users, 0);
    assert_int_equal(stores[2].users, 1);
}

static void a_report_settles_its_entry(void **state)
{
    static const struct slice reader[] = {SI("u2@a")};
    char text[] = "told";
    struct store_queue_change settles = {.id = 77, .state = S("")};
    struct delivery_conf conf = {
        .users = reader, .count = 1, .shard = 2, .notice = true, .settles = &settles};
    struct delivery *d;

    (void)state;
    settles.state = slice_str(text);
    d = begin_conf(&conf);
    memset(text, 'x', 4); /* it has been copied */
    settles.id = 0;
    add(d, text_of(100));
    assert_int_equal(finish(d), STATUS_OK);
    assert_string_equal(events, "m2");
    assert_int_equal(stores[2].settles, 77);
    assert_string_equal(stores[2].settled, "told");
    delivery_free(d);

    set_up(state);
    removed = "u2@a"; /* the report has no reader: nothing is settled */
    settles = (struct store_queue_change){.id = 77, .done = true};
    d = begin_conf(&conf);
    add(d, text_of(100));
    assert_int_equal(finish(d), STATUS_NOT_FOUND);
    assert_string_equal(events, "");
    delivery_free(d);
}

static void an_id_of_the_caller_is_that_of_the_message(void **state)
{
    static const struct slice reader[] = {SI("u2@a")};
    struct delivery_conf conf = {
        .users = reader, .count = 1, .shard = -1, .fanout_id = 9};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct delivery *d = begin_conf(&conf);

        add(d, text_of(2 * STORE_CHUNK_BYTES));
        assert_int_equal(finish(d), STATUS_OK);
        delivery_free(d);
        pump();
        assert_int_equal(stores[2].users, 1);
        assert_int_equal(stores[2].id, 9);
        assert_false(stores[2].promised);
    }
    assert_null(strchr(events, 'f'));
    for (unsigned i = 0; i < stores[2].chunk_count; i++) /* those of the second went */
        assert_int_equal(stores[2].chunk[i].at != NULL, stores[2].named[i]);
}

/* --- refused after the promise -------------------------------------------------------
 */

static void a_refused_share_is_left_to_the_queue(void **state)
{
    static const enum status refusals[] = {STATUS_LIMIT, STATUS_READ_ONLY, STATUS_IO};

    for (unsigned i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct delivery *d;

        set_up(state);
        d = begin(spread, 5);
        stores[0].message_status = refusals[i];
        add(d, text_of(500));
        assert_int_equal(finish(d), STATUS_OK);
        assert_null(timer);
        assert_string_equal(events, "m2m0m3q2e2");
        assert_left(2, "sender@x", "u0@b u0@e ");
        delivery_free(d);
        pump();
        assert_null(strchr(events, 'f')); /* it went with the entry */
    }
}

static void two_refused_shares_are_one_entry(void **state)
{
    struct delivery *d = begin(spread, 5);

    (void)state;
    stores[0].message_status = stores[3].message_status = STATUS_LIMIT;
    add(d, text_of(2 * STORE_CHUNK_BYTES));
    assert_int_equal(finish(d), STATUS_OK);
    assert_left(2, "sender@x", "u0@b u0@e u3@c ");
    delivery_free(d);
    pump();
    for (unsigned i = 0; i < stores[0].chunk_count; i++)
        assert_null(stores[0].chunk[i].at);
}

/* Full for long: a minute of tries, then the queue. */
static void a_share_without_room_is_left_to_the_queue_in_the_end(void **state)
{
    struct delivery *d = begin(spread, 5);
    unsigned tries = 0;

    (void)state;
    stores[3].message_status = STATUS_NO_SPACE;
    add(d, text_of(500));
    assert_int_equal(finish(d), STATUS_OK);
    delivery_free(d);
    for (; timer; tries++)
        ring_timer();
    assert_int_equal(tries, 12);
    assert_left(2, "sender@x", "u3@c ");
}

static void when_the_queue_can_t_have_it_it_stays_open(void **state)
{
    struct delivery *d = begin(spread, 5);

    (void)state;
    stores[0].message_status = STATUS_LIMIT;
    stores[2].queue_status = STATUS_READ_ONLY;
    add(d, text_of(500));
    assert_int_equal(finish(d), STATUS_OK);
    assert_string_equal(events, "m2m0m3q2");
    delivery_free(d);
}

/* The sender goes away at any moment: for all or for none, by way of the queue or not. */
static void given_up_at_any_moment_a_refusal_is_not_lost(void **state)
{
    for (unsigned steps = 0; steps < 20; steps++) {
        struct delivery *d;

        set_up(state);
        d = begin(spread, 5);
        add(d, text_of(300));
        stores[3].message_status = STATUS_LIMIT;
        delivery_commit(d, NULL, 0);
        for (unsigned i = 0; i < steps && step(); i++)
            ;
        delivery_free(d);
        pump();
        assert_int_equal(stores[2].queued_count, stores[2].users ? 1 : 0);
        assert_int_equal(stores[2].entered_count, stores[2].queued_count);
        assert_int_equal(stores[0].users, stores[2].users);
    }
}

/* --- at a start ----------------------------------------------------------------------
 */

static void a_share_that_fails_at_the_start_is_left_to_the_queue(void **state)
{
    (void)state;
    crash_after_first(700);
    stores[3].message_status = STATUS_NO_SPACE;
    assert_int_equal(recover(), 0);
    assert_null(timer);
    assert_left(2, "sender@x", "u3@c ");
    assert_true(stores[0].promised);
}

static void a_fan_out_of_format_2_has_no_sender(void **state)
{
    (void)state;
    crash_after_first(700);
    stores[2].open[0].rest.len -= sizeof(uint32_t) + strlen("sender@x") + 1;
    stores[0].message_status = STATUS_READ_ONLY;
    assert_int_equal(recover(), 0);
    assert_left(2, "", "u0@b u0@e ");
}

static void when_not_even_the_queue_can_have_it_the_next_start_tries(void **state)
{
    (void)state;
    crash_after_first(700);
    stores[3].message_status = STATUS_IO;
    stores[2].queue_status = STATUS_IO;
    assert_int_equal(recover(), 1);
    assert_null(strchr(events, 'f'));
}

/* --- an outcome each ------------------------------------------------------------------
 */

static struct delivery *begin_each(bool queued)
{
    struct delivery_conf conf = {
        .users = spread, .count = 5, .queued = queued, .shard = -1, .each = true};

    return begin_conf(&conf);
}

/* spread: u2@a u0@b u3@c u2@d u0@e, then the envelopes. */
static void assert_outcomes(const struct delivery *d, const char *want)
{
    for (unsigned i = 0; want[i]; i++) {
        enum status status = delivery_user_status(d, i);

        assert_int_equal(want[i],
            status == STATUS_OK              ? '.'
                : status == STATUS_LIMIT     ? 'L'
                : status == STATUS_NOT_FOUND ? 'N'
                : status == STATUS_IO        ? 'I'
                                             : '?');
    }
}

static void everybody_has_his_own_outcome(void **state)
{
    static const struct {
        const char *removed, *full;
        enum status shard0, shard3;
        const char *outcomes;
        enum status status;
    } cases[] = {
        {"", NULL, STATUS_OK, STATUS_OK, ".....", STATUS_OK},
        {"u2@a", "u0@e", STATUS_OK, STATUS_OK, "N...L", STATUS_OK},
        {"u2@a u2@d", NULL, STATUS_OK, STATUS_OK, "N..N.", STATUS_OK},
        {"", NULL, STATUS_IO, STATUS_LIMIT, ".IL.I", STATUS_OK},
        {"u2@a u2@d", NULL, STATUS_IO, STATUS_LIMIT, "NILNI", STATUS_NOT_FOUND},
        {"u2@d", "u2@a", STATUS_IO, STATUS_OK, "LI.NI", STATUS_OK},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct delivery *d;

        set_up(state);
        d = begin_each(false);
        removed = cases[i].removed;
        for (unsigned k = 0; k < SHARDS; k++)
            stores[k].full = cases[i].full;
        stores[0].message_status = cases[i].shard0;
        stores[3].message_status = cases[i].shard3;
        add(d, text_of(STORE_CHUNK_BYTES + 1000));
        assert_int_equal(finish(d), cases[i].status);
        assert_outcomes(d, cases[i].outcomes);
        assert_null(timer);
        assert_null(strchr(events, 'f'));
        delivery_free(d);
        pump();
    }
}

static void the_envelopes_have_one_too(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct delivery *d;

        set_up(state);
        d = begin_each(true);
        stores[0].message_status = i ? STATUS_IO : STATUS_OK;
        add(d, text_of(100));
        assert_int_equal(finish_with(d, envelopes, 2), STATUS_OK);
        assert_outcomes(d, i ? ".I..II" : "......");
        assert_int_equal(stores[0].entered_count, i ? 0 : 2);
        delivery_free(d);
    }
}

/* --- in front --------------------------------------------------------------------------
 */

static void fields_go_in_front(void **state)
{
    static const struct {
        struct slice fields;
        bool summary;
    } cases[] = {{SI("X-Checked: yes\r\n"), true}, {SI(""), true},
        {SI("Subject: [spam]\r\n"), false}};
    static const size_t sizes[] = {1000, STORE_CHUNK_BYTES, 3 * STORE_CHUNK_BYTES + 9};

    for (unsigned i = 0; i < 9; i++) {
        struct slice fields = cases[i % 3].fields, bytes = text_of(sizes[i / 3]);
        char *whole = malloc(fields.len + bytes.len);
        struct delivery *d;

        memcpy(whole, fields.at, fields.len);
        memcpy(whole + fields.len, bytes.at, bytes.len);
        set_up(state);
        d = begin(spread, 5);
        add(d, bytes);
        assert_true(delivery_front(d, fields));
        assert_int_equal(delivery_size(d), fields.len + bytes.len);
        assert_int_equal(finish(d), STATUS_OK);
        for (unsigned k = 0; k < SHARDS; k++)
            if (k != 1) {
                assert_stored(k, slice_of(whole, fields.len + bytes.len), k == 3 ? 1 : 2);
                assert_int_equal(stores[k].has_summary, cases[i % 3].summary);
            }
        delivery_free(d);
        pump();
        free(whole);
    }
}

static void too_much_in_front_is_refused(void **state)
{
    struct delivery *d = begin(spread, 5);
    char *many = malloc(DELIVERY_FRONT_MAX + 1);

    (void)state;
    memset(many, 'x', DELIVERY_FRONT_MAX + 1);
    add(d, text_of(10));
    assert_false(delivery_front(d, slice_of(many, DELIVERY_FRONT_MAX + 1)));
    assert_int_equal(delivery_size(d), 10);
    delivery_free(d);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_here_is_one_message_with_entries),
        TEST(the_queue_goes_ahead),
        TEST(no_entry_when_the_first_shard_refuses),
        TEST(the_queue_stays_when_the_accounts_go),
        TEST(a_report_settles_its_entry),
        TEST(an_id_of_the_caller_is_that_of_the_message),
        TEST(a_refused_share_is_left_to_the_queue),
        TEST(two_refused_shares_are_one_entry),
        TEST(a_share_without_room_is_left_to_the_queue_in_the_end),
        TEST(when_the_queue_can_t_have_it_it_stays_open),
        TEST(given_up_at_any_moment_a_refusal_is_not_lost),
        TEST(a_share_that_fails_at_the_start_is_left_to_the_queue),
        TEST(a_fan_out_of_format_2_has_no_sender),
        TEST(when_not_even_the_queue_can_have_it_the_next_start_tries),
        TEST(everybody_has_his_own_outcome),
        TEST(the_envelopes_have_one_too),
        TEST(fields_go_in_front),
        TEST(too_much_in_front_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
