/* Segments rewritten: disk use, shared bodies, pins, and a crash at any step. */
#include "store/log_parts.h"
#include "tests/store/storekit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int start_with(void **state, uint32_t segment_bytes)
{
    struct skit *k = calloc(1, sizeof *k);

    skit_init(k, 1);
    k->conf.segment_bytes = segment_bytes;
    k->conf.checkpoint_bytes = 256 << 10;
    skit_open(k);
    *state = k;
    return 0;
}

static int start(void **state)
{
    return start_with(state, 256 << 10);
}

static int start_large(void **state)
{
    return start_with(state, 2 << 20);
}

/* Turns enough for everything that is worth it to be rewritten and removed. */
static void idle(struct skit *k, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++)
        skit_turn(k);
}

static void disk_use_follows_what_is_live(void **state)
{
    struct skit *k = *state;
    struct user *u;
    struct mailbox *m;
    struct store_stats st;
    char tag[32];

    for (unsigned i = 1; i <= 2000; i++) {
        snprintf(tag, sizeof tag, "m%u", i);
        assert_int_equal(skit_deliver(k, "a@x", NULL, tag, 2000, NULL), STATUS_OK);
        if (i > 100 && i % 2 == 0) {
            u = skit_open_user(k, "a@x");
            m = skit_open_mailbox(k, u, "INBOX");
            assert_int_equal(skit_expunge(k, m, i - 100, i - 99, true, NULL), STATUS_OK);
            mailbox_close(m);
            user_close(u);
        }
    }
    idle(k, 20000);
    store_stats(k->store, &st);
    assert_true(st.compacted_bytes > 1000000);
    /* About a hundred messages of two thousand octets are left, and open segments. */
    assert_true(st.log_bytes < 1000000);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    for (unsigned i = 0; i < m->content->messages; i++) {
        struct entry e;

        skit_entry(m, i, &e);
        snprintf(tag, sizeof tag, "m%u", e.uid);
        skit_check_body(k, &e, tag, 2000);
    }
    mailbox_close(m);
    user_close(u);
}

/* X06: a body of two; one lets go, and compaction runs. */
static void what_one_deletes_the_other_reads(void **state)
{
    struct skit *k = *state;
    char *body = skit_body("shared", 5000);
    struct store_target targets[2] = {{.user = S("a@x")}, {.user = S("b@x")}};
    struct store_message message = {.op.done = skit_done,
        .head = slice_of(body, 5000),
        .size = 5000,
        .summary = S("the summary"),
        .targets = targets,
        .target_count = 2};
    struct user *u;
    struct mailbox *m;
    struct entry e;
    uint64_t place;
    struct slice summary;

    store_message(k->store, &message);
    skit_run(k, &message.op);
    assert_int_equal(skit_status(&message.op), STATUS_OK);
    u = skit_open_user(k, "b@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_true(skit_entry(m, 0, &e));
    place = e.body;
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 3000, NULL), STATUS_OK);
    {
        struct user *a = skit_open_user(k, "a@x");
        struct mailbox *inbox = skit_open_mailbox(k, a, "INBOX");

        assert_int_equal(skit_expunge(k, inbox, 1, 301, true, NULL), STATUS_OK);
        mailbox_close(inbox);
        user_close(a);
    }
    idle(k, 5000);
    assert_true(skit_entry(m, 0, &e));
    assert_true(e.body != place);
    skit_check_body(k, &e, "shared", 5000);
    assert_int_equal(skit_summary(k, m, &e, &summary), STATUS_OK);
    assert_true(slice_eq(summary, S("the summary")));
    free((char *)summary.at);
    mailbox_close(m);
    user_close(u);
    free(body);
}

/* Large bodies whose chunks lie in other segments than their message. */
static void chunks_move_with_their_message(void **state)
{
    struct skit *k = *state;
    struct user *u;
    struct mailbox *m;
    struct entry e;
    char tag[32];

    for (unsigned i = 1; i <= 12; i++) {
        snprintf(tag, sizeof tag, "large %u", i);
        assert_int_equal(skit_deliver(k, "a@x", NULL, tag, 700000, NULL), STATUS_OK);
    }
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    for (uint32_t uid = 1; uid <= 12; uid++)
        if (uid % 4)
            assert_int_equal(skit_expunge(k, m, uid, uid, true, NULL), STATUS_OK);
    idle(k, 20000);
    assert_true(k->store->compacted_bytes > 2000000);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(skit_entry(m, i, &e));
        snprintf(tag, sizeof tag, "large %u", e.uid);
        skit_check_body(k, &e, tag, 700000);
    }
    mailbox_close(m);
    user_close(u);
}

/* Whatever the disk has given meanwhile. */
static void a_turn_moves_little(void **state)
{
    enum { BYTES = 100000, MESSAGES = 60, MOST = (256 << 10) + BYTES + (16 << 10) };
    struct skit *k = *state;
    const struct log *log = k->store->log;
    struct user *u;
    struct mailbox *m;
    uint64_t most = 0;

    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", BYTES, NULL), STATUS_OK);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    for (uint32_t uid = 1; uid + 1 <= MESSAGES; uid += 5)
        assert_int_equal(skit_expunge(k, m, uid, uid + 1, true, NULL), STATUS_OK);
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t before = log->waiting_bytes;

        store_turn(k->store, k->now_s);
        if (log->waiting_bytes > before && log->waiting_bytes - before > most)
            most = log->waiting_bytes - before;
        while (memdisk_step(&k->disk))
            ;
    }
    assert_in_range(k->store->compacted_bytes, 10 * BYTES, MESSAGES * (BYTES + 5000));
    assert_in_range(most, 2 * BYTES, MOST);
    mailbox_close(m);
    user_close(u);
}

/* A POP3 maildrop reads what has been deleted and moved since it was opened. */
static void a_pin_keeps_old_bodies_readable(void **state)
{
    struct skit *k = *state;
    struct store_pin *pin;
    struct user *u;
    struct mailbox *m;
    struct entry e;

    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 3000, NULL), STATUS_OK);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_true(skit_entry(m, 5, &e));
    pin = store_pin(k->store);
    assert_int_equal(skit_expunge(k, m, 1, 190, true, NULL), STATUS_OK);
    idle(k, 10000);
    assert_true(k->store->compacted_bytes > 0);
    skit_check_body(k, &e, "m", 3000);
    store_unpin(k->store, pin);
    mailbox_close(m);
    user_close(u);
}

/* An upload takes its time; its chunks are no garbage. */
static void chunks_on_their_way_are_left_alone(void **state)
{
    struct skit *k = *state;
    char *body = skit_body("slow", STORE_CHUNK_BYTES);
    struct store_chunk c = {
        .op.done = skit_done, .bytes = slice_of(body, STORE_CHUNK_BYTES)};
    struct store_target target = {.user = S("a@x")};
    uint32_t bytes = STORE_CHUNK_BYTES;
    struct store_message message = {.op.done = skit_done,
        .chunk_bytes = &bytes,
        .chunk_count = 1,
        .size = STORE_CHUNK_BYTES,
        .targets = &target,
        .target_count = 1};
    struct user *u;
    struct mailbox *m;
    struct entry e;

    store_chunk(k->store, &c);
    skit_run(k, &c.op);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 3000, NULL), STATUS_OK);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_int_equal(skit_expunge(k, m, 1, 300, true, NULL), STATUS_OK);
    idle(k, 5000);
    message.chunks = &c.place;
    store_message(k->store, &message);
    skit_run(k, &message.op);
    assert_int_equal(skit_status(&message.op), STATUS_OK);
    assert_true(skit_entry(m, 0, &e));
    skit_check_body(k, &e, "slow", STORE_CHUNK_BYTES);
    /* Named once, never again. */
    store_message(k->store, &message);
    skit_run(k, &message.op);
    assert_int_equal(skit_status(&message.op), STATUS_INVALID);
    mailbox_close(m);
    user_close(u);
    free(body);
}

static unsigned readable(struct skit *k, const char *user, const char *box)
{
    struct user *u = skit_open_user(k, user);
    struct mailbox *m = skit_open_mailbox(k, u, box);
    unsigned n = m->content->messages;

    for (unsigned i = 0; i < n; i++) {
        struct slice got;
        struct entry e;

        assert_true(skit_entry(m, i, &e));
        assert_int_equal(skit_read(k, &e, 0, UINT64_MAX, &got), STATUS_OK);
        assert_int_equal(got.len, e.size);
        free((char *)got.at);
    }
    mailbox_close(m);
    user_close(u);
    return n;
}

static void fill_and_delete(struct skit *k)
{
    struct user *u;
    struct mailbox *m;
    char tag[32];

    for (unsigned i = 1; i <= 120; i++) {
        snprintf(tag, sizeof tag, "m%u", i);
        assert_int_equal(skit_deliver(k, i % 3 ? "a@x" : "b@x", i % 5 ? NULL : "Sent",
                             tag, 3000, NULL),
            STATUS_OK);
    }
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_int_equal(skit_copy(k, m, 1, 30, "Trash", false, NULL), STATUS_OK);
    assert_int_equal(skit_expunge(k, m, 1, 55, true, NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
}

static void check_all(struct skit *k)
{
    assert_int_equal(readable(k, "a@x", "Trash"), 30);
    assert_int_equal(readable(k, "a@x", "INBOX"), 9);
    assert_int_equal(readable(k, "a@x", "Sent"), 16);
    assert_int_equal(readable(k, "b@x", "INBOX"), 32);
    assert_int_equal(readable(k, "b@x", "Sent"), 8);
}

/* D19, C05: whatever turn it stops in, all mail is there, once. */
static void a_crash_at_any_step_loses_nothing(void **state)
{
    (void)state;
    for (unsigned stop_at = 1; stop_at < 400; stop_at += 13 * KIT_STEP) {
        struct skit k;

        skit_init(&k, stop_at);
        k.conf.segment_bytes = 128 << 10;
        k.conf.checkpoint_bytes = 128 << 10;
        skit_open(&k);
        fill_and_delete(&k);
        idle(&k, stop_at);
        skit_crash(&k, stop_at % 2);
        if (stop_at % 3 == 0)
            skit_forget_checkpoints(&k);
        skit_open(&k);
        check_all(&k);
        idle(&k, 500);
        skit_close(&k);
        skit_open(&k);
        check_all(&k);
        skit_close(&k);
        skit_free(&k);
    }
}

/* --- what only the state on disk names --- */

static void mail_in_sent(struct skit *k)
{
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(skit_deliver(k, "a@x", "Sent", "late", 40, NULL), STATUS_OK);
}

static void inbox_renamed_and_deleted(struct skit *k)
{
    struct user *u = skit_open_user(k, "a@x");

    assert_int_equal(skit_change(k, u, MAILBOX_RENAME, "INBOX", "old"), STATUS_OK);
    assert_int_equal(skit_change(k, u, MAILBOX_DELETE, "old", NULL), STATUS_OK);
    user_close(u);
    assert_int_equal(skit_deliver(k, "a@x", NULL, "new", 40, NULL), STATUS_OK);
}

/* Its last page and its directory are written anew, the other pages stay where they are.
 */
static void last_one_flagged(struct skit *k)
{
    struct user *u = skit_open_user(k, "a@x");
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(
            skit_flags(k, m, 20, 20, FLAGS_SET, (uint8_t)(1 << i), NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
}

static void first_pages_expunged(struct skit *k)
{
    struct user *u = skit_open_user(k, "a@x");
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");

    assert_int_equal(skit_expunge(k, m, 1, 16, true, NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
}

static bool segment_is_there(struct skit *k, uint32_t segment)
{
    struct log_segment_info info;

    for (unsigned i = 0; log_segment_at(k->store->log, i, &info); i++)
        if (info.number == segment)
            return true;
    return false;
}

/* A user's state in a later segment still names what was written in the first. Then that
 * goes away in memory, and the first segment goes before there is another state. */
static void crash_after(void (*last_state)(struct skit *), void (*change)(struct skit *),
    unsigned inbox, unsigned sent)
{
    struct skit k;
    struct user *u;
    struct mailbox *m;

    skit_init(&k, 1);
    k.conf.segment_bytes = 256 << 10;
    k.conf.checkpoint_bytes = 256 << 10;
    k.conf.compact_percent = STORE_COMPACT_NEVER;
    skit_open(&k);
    k.store->chain_fold = 1;
    k.store->page_entries = 8;
    k.store->inline_entries = 4;
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(skit_deliver(&k, "a@x", NULL, "m", 40, NULL), STATUS_OK);
    skit_settle(&k);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(skit_deliver(&k, "b@x", NULL, "m", 3000, NULL), STATUS_OK);
    u = skit_open_user(&k, "b@x");
    m = skit_open_mailbox(&k, u, "INBOX");
    assert_int_equal(skit_expunge(&k, m, 1, 70, true, NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
    last_state(&k);
    skit_settle(&k);
    k.store->chain_fold = 1000;
    change(&k);
    k.store->conf.compact_percent = 50;
    for (unsigned i = 0; i < 5000 && segment_is_there(&k, 1); i++)
        skit_turn(&k);
    assert_false(segment_is_there(&k, 1));
    skit_crash(&k, false);
    skit_open(&k);
    assert_int_equal(readable(&k, "a@x", "INBOX"), inbox);
    assert_int_equal(readable(&k, "a@x", "Sent"), sent);
    skit_close(&k);
    skit_free(&k);
}

static void what_a_state_names_stays_until_the_next(void **state)
{
    (void)state;
    crash_after(mail_in_sent, inbox_renamed_and_deleted, 1, 3);
    crash_after(last_one_flagged, first_pages_expunged, 4, 0);
}

/* How often the disk was asked in vain during many turns. */
static uint64_t in_vain(struct skit *k, enum disk_call call, int error)
{
    k->disk.fault = (struct memdisk_fault){.kind = FAULT_ERROR,
        .calls = 1u << call,
        .at = 1,
        .for_ever = true,
        .error = error};
    idle(k, 2000);
    return k->disk.fault.hits;
}

/* Checkpoints that find no room, and a segment that cannot be read: each is tried again
 * after a while, not in every turn, and is done when the disk is well again. */
static void what_failed_rests_a_while(void **state)
{
    struct skit *k = *state;
    struct store_stats st;

    k->conf.compact_percent = STORE_COMPACT_NEVER;
    skit_close(k);
    skit_open(k);
    k->store->conf.checkpoint_bytes = UINT64_MAX;
    fill_and_delete(k);
    k->store->conf.checkpoint_bytes = 100 << 10;
    for (unsigned i = 0; i < 3; i++, k->now_s += STORE_REST_S)
        assert_in_range(in_vain(k, DISK_WRITE, ENOSPC), 1, 2);
    assert_true(log_since_checkpoint(k->store->log) > 100 << 10);
    k->store->conf.compact_percent = 50;
    for (unsigned i = 0; i < 3; i++, k->now_s += STORE_REST_S)
        assert_in_range(in_vain(k, DISK_READ, EIO), 1, 2);
    assert_true(log_since_checkpoint(k->store->log) < 100 << 10);
    store_stats(k->store, &st);
    assert_int_equal(st.compacted_bytes, 0);
    k->disk.fault = (struct memdisk_fault){0};
    idle(k, 2000);
    store_stats(k->store, &st);
    assert_true(st.compacted_bytes > 0);
    check_all(k);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, skit_stop)
    const struct CMUnitTest tests[] = {
        TEST(disk_use_follows_what_is_live),
        TEST(what_one_deletes_the_other_reads),
        TEST(chunks_move_with_their_message),
        cmocka_unit_test_setup_teardown(a_turn_moves_little, start_large, skit_stop),
        TEST(a_pin_keeps_old_bodies_readable),
        TEST(chunks_on_their_way_are_left_alone),
        TEST(a_crash_at_any_step_loses_nothing),
        cmocka_unit_test(what_a_state_names_stays_until_the_next),
        TEST(what_failed_rests_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
