/* Entries of the queue: with their message or not at all, as long as they live and no
 * longer, wherever their bytes are moved to. */
#include "tests/store/queuekit.h"

#include <stdio.h>
#include <stdlib.h>

static int start_small(void **state)
{
    struct skit *k = calloc(1, sizeof *k);

    skit_init(k, 1);
    k->conf.segment_bytes = 256 << 10;
    k->conf.checkpoint_bytes = 256 << 10;
    skit_open(k);
    *state = k;
    return 0;
}

static void reopen(struct skit *k, bool checkpoints)
{
    skit_close(k);
    if (!checkpoints)
        skit_forget_checkpoints(k);
    skit_open(k);
}

static void idle(struct skit *k, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++)
        skit_turn(k);
}

static unsigned messages_of(struct skit *k, const char *user)
{
    struct user *u;
    struct mailbox *m;
    unsigned n;

    if (skit_user(k, user, false, &u) != STATUS_OK)
        return 0;
    m = skit_open_mailbox(k, u, "INBOX");
    n = m->content->messages;
    mailbox_close(m);
    user_close(u);
    return n;
}

static void expunge_all(struct skit *k, const char *user)
{
    struct user *u = skit_open_user(k, user);
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");

    assert_int_equal(skit_expunge(k, m, 1, UINT32_MAX, true, NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
}

/* --- their life -----------------------------------------------------------------------
 */

static void an_entry_lives_until_it_is_done(void **state)
{
    struct skit *k = *state;
    uint64_t id = qkit_add(k, "envelope", "m", 700), other;

    assert_true(id != 0);
    qkit_check(k, id, "envelope", "", "m", 700);
    for (unsigned i = 0; i < 2; i++) {
        reopen(k, i);
        qkit_check(k, id, "envelope", i ? "second" : "", "m", 700);
        assert_int_equal(qkit_change(k, id, "first, which is longer"), STATUS_OK);
        assert_int_equal(qkit_change(k, id, "second"), STATUS_OK);
        reopen(k, i);
        qkit_check(k, id, "envelope", "second", "m", 700);
    }
    other = qkit_add(k, "other", "n", 100);
    assert_true(other > id);
    assert_int_equal(qkit_change(k, id, NULL), STATUS_OK);
    assert_int_equal(qkit_change(k, id, NULL), STATUS_NOT_FOUND);
    assert_int_equal(qkit_change(k, id, "more"), STATUS_NOT_FOUND);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(qkit_there(k, id));
        assert_int_equal(qkit_count(k), 1);
        reopen(k, i);
    }
}

/* It is not shown before it is durable, and never when that fails. */
static void what_is_not_durable_is_not_shown(void **state)
{
    struct skit *k = *state;
    struct slice envelope = S("e");
    uint64_t id;
    char *body = skit_body("m", 100);
    struct store_message m = {.op.done = skit_done,
        .head = slice_of(body, 100),
        .size = 100,
        .queue_envelopes = &envelope,
        .queue_count = 1,
        .queue_ids = &id};
    struct store_queued q;

    store_message(k->store, &m);
    assert_false(store_queue_after(k->store, 0, &q));
    skit_run(k, &m.op);
    assert_true(store_queue_after(k->store, 0, &q));
    assert_int_equal(q.id, id);

    k->disk.fault = (struct memdisk_fault){.kind = FAULT_ERROR,
        .calls = 1 << DISK_COMMIT,
        .at = 1,
        .for_ever = true,
        .error = 5};
    store_message(k->store, &m);
    skit_run(k, &m.op);
    assert_int_equal(skit_status(&m.op), STATUS_READ_ONLY);
    assert_false(store_queue_after(k->store, q.id, &q));
    assert_int_equal(qkit_count(k), 1);
    assert_int_equal(qkit_change(k, q.id, "state"), STATUS_READ_ONLY);
    skit_crash(k, true);
    k->disk.fault = (struct memdisk_fault){0};
    skit_open(k);
    assert_int_equal(qkit_count(k), 1);
    free(body);
}

/* One body, whoever lets go first. */
static void users_and_entries_share_a_body(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct skit *k = *state;
        unsigned bytes = i / 2 ? 400000 : 3000;
        struct qkit_put p = {
            .users = "a@x b@x", .envelopes = "e1 e2", .tag = "shared", .bytes = bytes};
        struct store_queued q[2];

        assert_int_equal(qkit_put(k, &p), STATUS_OK);
        assert_true(store_queue_find(k->store, p.ids[0], &q[0]));
        assert_true(store_queue_find(k->store, p.ids[1], &q[1]));
        assert_true(q[0].body == q[1].body);
        if (i % 2) {
            expunge_all(k, "a@x");
            expunge_all(k, "b@x");
        }
        assert_int_equal(qkit_change(k, p.ids[0], NULL), STATUS_OK);
        reopen(k, false);
        qkit_check(k, p.ids[1], "e2", "", "shared", bytes);
        assert_int_equal(qkit_change(k, p.ids[1], NULL), STATUS_OK);
        assert_int_equal(messages_of(k, "a@x"), i % 2 ? 0 : 1);
        if (i % 2 == 0) {
            expunge_all(k, "a@x");
            expunge_all(k, "b@x");
        }
        assert_int_equal(qkit_count(k), 0);
    }
}

static void a_number_is_never_given_twice(void **state)
{
    struct skit *k = *state;
    uint64_t last = 0;

    for (unsigned i = 0; i < 60; i++) {
        uint64_t id = qkit_add(k, "e", "garbage", 30000);

        assert_true(id > last);
        last = id;
        assert_int_equal(qkit_change(k, id, NULL), STATUS_OK);
        if (i % 7 == 6) {
            idle(k, 3000);
            reopen(k, i % 2);
        }
    }
    assert_true(k->store->compacted_bytes > 0);
    assert_int_equal(last >> USER_SHARD_SHIFT, k->conf.shard);
}

static void what_is_too_large_is_refused(void **state)
{
    struct skit *k = *state;
    char *large = malloc(STORE_QUEUE_STATE_MAX + 2);
    uint64_t id;

    memset(large, 'x', STORE_QUEUE_STATE_MAX + 1);
    large[STORE_QUEUE_STATE_MAX + 1] = '\0';
    assert_int_equal(qkit_add(k, large, "m", 100), 0);
    assert_int_equal(qkit_count(k), 0);
    id = qkit_add(k, "e", "m", 100);
    assert_int_equal(qkit_change(k, id, large), STATUS_LIMIT);
    qkit_check(k, id, "e", "", "m", 100);
    free(large);
}

/* The largest that there may be, through a checkpoint and without. */
static void the_largest_is_taken(void **state)
{
    struct skit *k = *state;
    char *large = malloc(STORE_QUEUE_STATE_MAX + 1);
    uint64_t ids[3];

    skit_close(k);
    k->conf.segment_bytes = 8 << 20;
    skit_open(k);
    memset(large, 'x', STORE_QUEUE_STATE_MAX);
    large[STORE_QUEUE_STATE_MAX] = '\0';
    for (unsigned i = 0; i < 3; i++) {
        ids[i] = qkit_add(k, large, "m", 100);
        assert_int_equal(qkit_change(k, ids[i], large), STATUS_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        reopen(k, i);
        for (unsigned n = 0; n < 3; n++)
            qkit_check(k, ids[n], large, large, "m", 100);
    }
    free(large);
}

/* --- all or none -----------------------------------------------------------------------
 */

static void a_report_and_the_state_that_says_so_are_one(void **state)
{
    struct skit *k = *state;
    uint64_t id = qkit_add(k, "e", "m", 500);
    struct store_queue_change settles = {.id = id, .state = S("told")};
    struct qkit_put p = {
        .users = "a@x", .tag = "report", .bytes = 300, .settles = &settles};

    assert_int_equal(qkit_put(k, &p), STATUS_OK);
    qkit_check(k, id, "e", "told", "m", 500);
    p.users = NULL;
    p.envelopes = "report";
    settles = (struct store_queue_change){.id = id, .done = true};
    assert_int_equal(qkit_put(k, &p), STATUS_OK);
    assert_false(qkit_there(k, id));
    qkit_check(k, p.ids[0], "report", "", "report", 300);
    p.users = "a@x";
    assert_int_equal(qkit_put(k, &p), STATUS_NOT_FOUND); /* it has been made */
    assert_int_equal(messages_of(k, "a@x"), 1);
    assert_int_equal(qkit_count(k), 1);
    reopen(k, false);
    assert_int_equal(messages_of(k, "a@x"), 1);
    assert_int_equal(qkit_count(k), 1);
}

static void a_known_message_makes_no_entry(void **state)
{
    struct skit *k = *state;
    struct qkit_put p = {
        .users = "a@x", .envelopes = "e", .tag = "m", .bytes = 500, .fanout_id = 5};

    assert_int_equal(qkit_put(k, &p), STATUS_OK);
    assert_true(p.ids[0] != 0);
    assert_int_equal(qkit_put(k, &p), STATUS_OK);
    assert_true(p.ids[0] == 0);
    p.users = NULL; /* and it is remembered without users, too */
    p.fanout_id = 6;
    assert_int_equal(qkit_put(k, &p), STATUS_OK);
    reopen(k, false);
    assert_int_equal(qkit_put(k, &p), STATUS_OK);
    assert_true(p.ids[0] == 0);
    assert_int_equal(qkit_count(k), 2);
    assert_int_equal(messages_of(k, "a@x"), 1);
}

static void users_over_quota_are_left_out(void **state)
{
    static const struct {
        const char *envelopes;
        unsigned bytes;
        enum status status, told[3];
    } cases[] = {
        {NULL, 900, STATUS_OK, {STATUS_OK, STATUS_OK, STATUS_OK}},
        {"e", 900, STATUS_OK, {STATUS_OK, STATUS_LIMIT, STATUS_OK}},
        {NULL, 900, STATUS_LIMIT, {STATUS_LIMIT, STATUS_LIMIT, STATUS_LIMIT}},
        {"e", 900, STATUS_OK, {STATUS_LIMIT, STATUS_LIMIT, STATUS_LIMIT}},
    };
    struct skit *k = *state;

    k->store->conf.quota_bytes = 2000;
    assert_int_equal(skit_deliver(k, "b@x", NULL, "filler", 500, NULL), STATUS_OK);
    for (unsigned i = 0; i < 4; i++) {
        struct qkit_put p = {.users = "a@x b@x c@x",
            .envelopes = cases[i].envelopes,
            .tag = "m",
            .bytes = cases[i].bytes,
            .each = true};

        assert_int_equal(qkit_put(k, &p), cases[i].status);
        for (unsigned n = 0; n < 3; n++)
            assert_int_equal(p.told[n], cases[i].told[n]);
    }
    assert_int_equal(messages_of(k, "a@x"), 2);
    assert_int_equal(messages_of(k, "b@x"), 2);
    assert_int_equal(qkit_count(k), 2);
}

static enum status leave(
    struct skit *k, uint64_t fanout, const char *envelope, uint64_t *id)
{
    struct slice one = slice_str(envelope);
    struct store_fanout_queue q = {.op.done = skit_done,
        .fanout_id = fanout,
        .size = 5000,
        .envelopes = &one,
        .count = 1,
        .ids = id};

    store_fanout_queue(k->store, &q);
    skit_run(k, &q.op);
    return skit_status(&q.op);
}

/* With users in the first shard, and without. */
static void what_is_left_of_a_fan_out_becomes_an_entry(void **state)
{
    struct skit *k = *state;
    struct store_fanout f;
    uint64_t ids[2], none;

    for (unsigned i = 0; i < 2; i++) {
        struct qkit_put p = {.users = i ? "a@x" : NULL,
            .envelopes = "e",
            .tag = "m",
            .bytes = 5000,
            .fanout_id = 70 + i,
            .rest = "others"};

        assert_int_equal(qkit_put(k, &p), STATUS_OK);
        assert_int_equal(qkit_change(k, p.ids[0], NULL), STATUS_OK);
        reopen(k, false);
        assert_true(store_fanout_open(k->store, 0, &f));
        assert_true(slice_eq(f.rest, S("others")));
        assert_int_equal(leave(k, 70 + i, "left", &ids[i]), STATUS_OK);
        assert_false(store_fanout_open(k->store, 0, &f));
        assert_int_equal(leave(k, 70 + i, "again", &none), STATUS_NOT_FOUND);
        qkit_check(k, ids[i], "left", "", "m", 5000);
    }
    expunge_all(k, "a@x");
    reopen(k, false);
    assert_false(store_fanout_open(k->store, 0, &f));
    for (unsigned i = 0; i < 2; i++)
        qkit_check(k, ids[i], "left", "", "m", 5000);
    assert_int_equal(qkit_count(k), 2);
}

/* New mail is refused, and what is there can come to its end. */
static void a_full_disk_lets_entries_go(void **state)
{
    struct skit *k = *state;
    uint64_t ids[100];
    unsigned count = 0;

    k->disk.capacity = memdisk_used(&k->disk) + (3 << 20);
    while (count < 100 && (ids[count] = qkit_add(k, "e", "m", 60000)))
        count++;
    assert_true(count > 10 && count < 100);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(qkit_change(k, ids[i], "tried"), STATUS_OK);
        assert_int_equal(qkit_change(k, ids[i], NULL), STATUS_OK);
    }
    idle(k, 5000);
    assert_true(qkit_add(k, "e", "m", 60000) != 0); /* there is room again */
}

/* --- compaction
 * ------------------------------------------------------------------------- */

static uint64_t live(struct skit *k)
{
    struct store_stats st;

    store_stats(k->store, &st);
    return st.live_bytes;
}

/* What comes and goes leaves nothing; a replay counts the same. */
static void live_bytes_add_up(void **state)
{
    struct skit *k = *state;
    uint64_t ids[40], before, hash;

    k->store->conf.compact_percent = STORE_COMPACT_NEVER;
    k->conf.compact_percent = STORE_COMPACT_NEVER;
    skit_settle(k);
    before = live(k);
    for (unsigned i = 0; i < 40; i++) {
        ids[i] = qkit_add(k, "envelope", "m", i % 8 ? 3000 : 300000);
        assert_true(ids[i] != 0);
    }
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(qkit_change(k, ids[i * 7 % 40], "state by state"), STATUS_OK);
    for (unsigned i = 0; i < 40; i += 2)
        assert_int_equal(qkit_change(k, ids[i], NULL), STATUS_OK);
    for (unsigned i = 0; i < 4; i++) {
        hash = qkit_hash(k);
        if (i < 2)
            reopen(k, i == 0);
        else
            skit_crash(k, true), skit_open(k);
        assert_true(hash == qkit_hash(k));
    }
    for (unsigned i = 1; i < 40; i += 2)
        assert_int_equal(qkit_change(k, ids[i], NULL), STATUS_OK);
    assert_int_equal(live(k), before);
    reopen(k, false);
    assert_int_equal(live(k), before);
}

static void assert_unused(struct skit *k, uint32_t segment)
{
    const struct queued *q = queued_after(&k->store->queue, 0);

    for (; q; q = queued_after(&k->store->queue, q->id))
        assert_true(PLACE_SEGMENT(q->body) != segment &&
            PLACE_SEGMENT(q->record) != segment &&
            PLACE_SEGMENT(q->state_record) != segment);
}

/* Every fourth of many stays, with its state, through compactions of all segments. */
static void compaction_takes_entries_along(void **state)
{
    struct skit *k = *state;
    enum { MANY = 400 };
    static uint64_t ids[MANY];
    unsigned rounds = 0;
    char tag[32], text[32];

    for (unsigned i = 0; i < MANY; i++) {
        struct qkit_put p = {.users = i % 3 ? NULL : "a@x",
            .envelopes = "e",
            .tag = tag,
            .bytes = i % 50 == 48 ? 300000 : 4000};

        snprintf(tag, sizeof tag, "m%u", i);
        snprintf(text, sizeof text, "state of %u", i);
        assert_int_equal(qkit_put(k, &p), STATUS_OK);
        ids[i] = p.ids[0];
        if (i >= 40 && i % 4 == 0)
            assert_int_equal(qkit_change(k, ids[i - 40], "passing"), STATUS_OK);
        if (i % 8 == 0)
            assert_int_equal(qkit_change(k, ids[i], text), STATUS_OK);
        if (i % 4)
            assert_int_equal(qkit_change(k, ids[i], NULL), STATUS_OK);
        for (unsigned n = 0; n < 20; n++) {
            k->compacted = 0;
            skit_turn(k);
            if (k->compacted) {
                assert_unused(k, k->compacted);
                rounds++;
            }
        }
    }
    expunge_all(k, "a@x");
    idle(k, 20000);
    assert_true(rounds > 3);
    for (unsigned r = 0; r < 3; r++) {
        for (unsigned i = 0; i < MANY; i += 4) {
            snprintf(tag, sizeof tag, "m%u", i);
            snprintf(text, sizeof text, "state of %u", i);
            qkit_check(k, ids[i], "e",
                i + 40 < MANY && (i + 40) % 4 == 0 ? "passing"
                    : i % 8 == 0                   ? text
                                                   : "",
                tag, i % 50 == 48 ? 300000 : 4000);
        }
        assert_int_equal(qkit_count(k), MANY / 4);
        reopen(k, r == 0);
    }
}

/* A body that is being read when its segment goes. */
static void a_body_being_read_stays(void **state)
{
    struct skit *k = *state;
    uint64_t id = qkit_add(k, "e", "kept", 100000);
    struct store_queued before, after;
    char *want = skit_body("kept", 100000);
    struct body b;
    size_t at = 0;

    assert_true(store_queue_find(k->store, id, &before));
    assert_int_equal(
        body_open_place(k->store, &b, before.body, 0, UINT64_MAX), STATUS_OK);
    after = before;
    for (unsigned i = 0; i < 200 && after.body == before.body; i++) {
        bool kept = i % 8 == 0; /* enough to be worth a look */

        assert_int_equal(
            qkit_change(k, qkit_add(k, "e", "garbage", 30000), kept ? "" : NULL),
            STATUS_OK);
        idle(k, 200);
        assert_true(store_queue_find(k->store, id, &after));
    }
    assert_true(after.body != before.body);
    idle(k, 5000);
    for (;;) {
        if (!body_next(&b, skit_done)) {
            skit_run(k, &b.op);
            assert_int_equal(skit_status(&b.op), STATUS_OK);
        }
        if (b.piece.len == 0)
            break;
        assert_memory_equal(b.piece.at, want + at, b.piece.len);
        at += b.piece.len;
    }
    assert_int_equal(at, 100000);
    body_close(&b);
    qkit_check(k, id, "e", "", "kept", 100000);
    free(want);
}

/* An entry that ends while its chunks are being moved: the next one gets its own. */
static void an_entry_may_end_while_it_is_moved(void **state)
{
    struct skit *k = *state;
    char tag[32];

    for (unsigned round = 0; round < 30; round++) {
        uint64_t ids[6];

        for (unsigned i = 0; i < 6; i++) {
            snprintf(tag, sizeof tag, "r%u-%u", round, i);
            ids[i] = qkit_add(k, "e", tag, 140000 + 1000 * i);
            assert_int_equal(
                qkit_change(k, qkit_add(k, "e", "garbage", 120000), NULL), STATUS_OK);
        }
        idle(k, 10 + round * 7);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(qkit_change(k, ids[i], NULL), STATUS_OK);
            idle(k, round % 5);
        }
        idle(k, 500);
        for (unsigned i = 3; i < 6; i++) {
            snprintf(tag, sizeof tag, "r%u-%u", round, i);
            qkit_check(k, ids[i], "e", "", tag, 140000 + 1000 * i);
            assert_int_equal(qkit_change(k, ids[i], NULL), STATUS_OK);
        }
    }
    assert_true(k->store->compacted_bytes > 1000000);
}

/* --- older stores
 * ------------------------------------------------------------------------- */

static void set_version(struct memfile *f, size_t at, uint32_t version)
{
    for (unsigned image = 0; image < 2; image++) {
        unsigned char *head = (image ? f->durable : f->now) + at;
        struct segment_header h;

        memcpy(&h, head, sizeof h);
        assert_int_equal(h.version, FORMAT_VERSION);
        h.version = version;
        h.crc = 0;
        h.crc = crc32c(0, &h, sizeof h);
        memcpy(head, &h, sizeof h);
    }
}

/* What a server of before has left: no entries, and files that say so. */
static void a_store_of_format_2_is_read(void **state)
{
    struct skit *k = *state;
    uint64_t shown, id;

    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "old", 5000, NULL), STATUS_OK);
    shown = skit_hash_shown(k, "a@x");
    skit_close(k);
    skit_forget_checkpoints(k); /* those have other pieces */
    for (struct memfile *f = k->disk.files; f; f = f->next) {
        set_version(f, 0, 2);
        set_version(f, SEGMENT_COPY_AT, 2);
    }
    skit_open(k);
    assert_int_equal(k->damages, 0);
    assert_true(shown == skit_hash_shown(k, "a@x"));
    id = qkit_add(k, "e", "new", 300);
    reopen(k, false);
    assert_true(shown == skit_hash_shown(k, "a@x"));
    qkit_check(k, id, "e", "", "new", 300);
}

#define SMALL(name) cmocka_unit_test_setup_teardown(name, start_small, skit_stop)
#define T(name)     cmocka_unit_test_setup_teardown(name, skit_start, skit_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_entry_lives_until_it_is_done),
        T(what_is_not_durable_is_not_shown),
        SMALL(users_and_entries_share_a_body),
        SMALL(a_number_is_never_given_twice),
        T(what_is_too_large_is_refused),
        T(the_largest_is_taken),
        T(a_report_and_the_state_that_says_so_are_one),
        T(a_known_message_makes_no_entry),
        T(users_over_quota_are_left_out),
        T(what_is_left_of_a_fan_out_becomes_an_entry),
        SMALL(a_full_disk_lets_entries_go),
        SMALL(live_bytes_add_up),
        SMALL(compaction_takes_entries_along),
        SMALL(a_body_being_read_stays),
        SMALL(an_entry_may_end_while_it_is_moved),
        T(a_store_of_format_2_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
