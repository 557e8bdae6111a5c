#include "tests/store/storekit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void a_delivered_message_is_there(void **state)
{
    struct skit *k = *state;
    struct user *u;
    struct mailbox *m;
    struct entry e;
    struct slice summary;
    uint32_t uid;

    assert_int_equal(skit_deliver(k, "a@x", NULL, "one", 1000, &uid), STATUS_OK);
    assert_int_equal(uid, 1);
    assert_int_equal(skit_deliver(k, "a@x", NULL, "two", 200000, &uid), STATUS_OK);
    assert_int_equal(uid, 2);
    assert_int_equal(skit_deliver(k, "a@x", NULL, "three", 900000, &uid), STATUS_OK);
    u = skit_open_user(k, "a@x");
    assert_int_equal(user_bytes(u), 1101000);
    m = skit_open_mailbox(k, u, "inbox");
    assert_true(skit_entry(m, 0, &e));
    skit_check_body(k, &e, "one", 1000);
    assert_int_equal(e.date_zone, 120);
    assert_int_equal(e.date_s, 1600000000);
    assert_int_equal(skit_summary(k, m, &e, &summary), STATUS_OK);
    assert_int_equal(summary.len, 14);
    assert_memory_equal(summary.at, "summary of one", 14);
    free((char *)summary.at);
    assert_true(skit_entry(m, 1, &e));
    skit_check_body(k, &e, "two", 200000);
    assert_true(skit_entry(m, 2, &e));
    skit_check_body(k, &e, "three", 900000);
    assert_false(skit_entry(m, 3, &e));
    mailbox_close(m);
    user_close(u);
}

static void everything_is_there_after_a_restart(void **state)
{
    struct skit *k = *state;
    uint64_t heads, user;
    struct user *u;
    struct mailbox *m;
    struct entry e;

    assert_int_equal(skit_deliver(k, "a@x", NULL, "one", 1000, NULL), STATUS_OK);
    assert_int_equal(skit_deliver(k, "a@x", "Trash", "two", 1000, NULL), STATUS_OK);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_int_equal(skit_flags(k, m, 1, 1, FLAGS_ADD, FLAG_SEEN, "$Work"), STATUS_OK);
    assert_int_equal(skit_copy(k, m, 1, 1, "Sent", false, NULL), STATUS_OK);
    assert_int_equal(skit_change(k, u, MAILBOX_CREATE, "a/b/c", NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
    skit_settle(k);
    heads = skit_hash_heads(k);
    user = skit_hash_user(k, "a@x");
    for (int round = 0; round < 4; round++) {
        if (round % 2)
            skit_crash(k, round == 3);
        else
            skit_close(k);
        skit_open(k);
        assert_true(heads == skit_hash_heads(k));
        assert_true(user == skit_hash_user(k, "a@x"));
    }
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "Sent");
    assert_true(skit_entry(m, 0, &e));
    skit_check_body(k, &e, "one", 1000);
    assert_int_equal(e.flags, FLAG_SEEN);
    assert_true(mailbox_keyword_in(m, e.keywords, 0));
    mailbox_close(m);
    user_close(u);
}

/* --- deliveries to several shards --- */

static enum status share(struct skit *k, uint64_t id, struct slice rest, uint64_t *uids)
{
    char *body = skit_body("shared", 700);
    struct store_target targets[3] = {
        {.user = S("c@x")}, {.user = S("a@x"), .mailbox = S("Sent")}, {.user = S("a@x")}};
    struct store_message m = {.op.done = skit_done,
        .head = slice_of(body, 700),
        .size = 700,
        .targets = targets,
        .target_count = 3,
        .fanout_id = id,
        .fanout_rest = rest};

    store_message(k->store, &m);
    skit_run(k, &m.op);
    free(body);
    *uids = targets[0].uid + targets[1].uid * 100ul + targets[2].uid * 10000ul;
    return skit_status(&m.op);
}

static unsigned inbox_count(struct skit *k, const char *name)
{
    struct user *u;
    struct mailbox *m;
    unsigned n;

    if (skit_user(k, name, false, &u) != STATUS_OK)
        return 0;
    m = skit_open_mailbox(k, u, "INBOX");
    n = m->content->messages;
    mailbox_close(m);
    user_close(u);
    return n;
}

static void a_share_is_stored_once(void **state)
{
    struct skit *k = *state;
    uint64_t uids;

    assert_int_equal(share(k, 77, S(""), &uids), STATUS_OK);
    assert_int_equal(uids, 10101);
    assert_int_equal(share(k, 77, S(""), &uids), STATUS_OK);
    assert_int_equal(uids, 0);
    assert_int_equal(inbox_count(k, "a@x"), 1);
    for (int round = 0; round < 3; round++) {
        skit_crash(k, round % 2);
        if (round == 2)
            skit_forget_checkpoints(k);
        skit_open(k);
        assert_int_equal(share(k, 77, S(""), &uids), STATUS_OK);
        assert_int_equal(inbox_count(k, "a@x"), 1);
        assert_int_equal(inbox_count(k, "c@x"), 1);
    }
}

/* C12: what other shards are still to get is remembered until they have it. */
static void an_open_fan_out_outlives_everything(void **state)
{
    struct skit *k = *state;
    struct store_fanout f;
    struct body b;
    uint64_t uids;
    struct user *u;
    struct mailbox *m;

    assert_false(store_fanout_open(k->store, 0, &f));
    assert_int_equal(share(k, 5, S("the rest of 5"), &uids), STATUS_OK);
    assert_int_equal(share(k, 6, S("the rest of 6"), &uids), STATUS_OK);
    store_fanout_done(k->store, 6);
    /* All copies here go, and so do the segments. */
    for (int i = 0; i < 900; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 3000, NULL), STATUS_OK);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_int_equal(skit_expunge(k, m, 1, 902, true, NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
    assert_int_equal(skit_remove(k, "c@x"), STATUS_OK);
    for (int i = 0; i < 5000; i++)
        skit_turn(k);
    assert_true(k->store->compacted_bytes > 0);
    skit_crash(k, true);
    skit_forget_checkpoints(k);
    skit_open(k);
    assert_true(store_fanout_open(k->store, 0, &f));
    assert_int_equal(f.id, 5);
    assert_true(slice_eq(f.rest, S("the rest of 5")));
    assert_int_equal(body_open_place(k->store, &b, f.body, 0, UINT64_MAX), STATUS_OK);
    if (!body_next(&b, skit_done)) {
        skit_run(k, &b.op);
        assert_int_equal(skit_status(&b.op), STATUS_OK);
    }
    assert_int_equal(b.piece.len, 700);
    body_close(&b);
    assert_false(store_fanout_open(k->store, 1, &f));
    store_fanout_done(k->store, 5);
    skit_settle(k);
    skit_crash(k, true);
    skit_open(k);
    assert_false(store_fanout_open(k->store, 0, &f));
}

static void recent_ids_forget_the_oldest(void **state)
{
    struct recent_ids r = {0};
    uint64_t n = FANOUT_RECENT + 5000;

    (void)state;
    assert_int_equal(recent_init(&r), STATUS_OK);
    for (uint64_t i = 1; i <= n; i++)
        recent_add(&r, i * 0x10001);
    for (uint64_t i = 1; i <= n; i++)
        assert_int_equal(recent_has(&r, i * 0x10001), i > 5000);
    recent_free(&r);
}

/* --- a full disk, a failing one --- */

/* D02: nothing more comes in, but what is there can be read and deleted. */
static void a_full_disk_takes_deletions(void **state)
{
    struct skit *k = *state;
    struct user *u;
    struct mailbox *m;
    struct entry e;
    enum status status = STATUS_OK;
    unsigned stored = 0;

    k->disk.capacity = 12 << 20;
    while (stored < 5000 && status == STATUS_OK) {
        status = skit_deliver(k, "a@x", NULL, "m", 20000, NULL);
        stored += status == STATUS_OK;
    }
    assert_int_equal(status, STATUS_NO_SPACE);
    assert_int_equal(k->disk_full, 1);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_int_equal(m->content->messages, stored);
    assert_true(skit_entry(m, 3, &e));
    skit_check_body(k, &e, "m", 20000);
    assert_int_equal(skit_flags(k, m, 1, 5, FLAGS_ADD, FLAG_DELETED, NULL), STATUS_OK);
    assert_int_equal(skit_expunge(k, m, 1, stored - 5, true, NULL), STATUS_OK);
    for (int i = 0; i < 20000; i++) {
        skit_turn(k);
        k->disk.now_ns += 1000000;
    }
    /* The room comes back. */
    assert_int_equal(k->disk_full, 0);
    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 20000, NULL), STATUS_OK);
    assert_int_equal(m->content->messages, 6);
    mailbox_close(m);
    user_close(u);
}

/* D03, D04: whatever write fails, what had an answer stays, and nothing else shows. */
static void a_failed_commit_shows_nothing(void **state)
{
    (void)state;
    for (uint64_t at = 1; at < 12; at++) {
        struct skit k;
        struct user *u;
        struct mailbox *m;
        unsigned stored = 0;

        skit_init(&k, at);
        skit_open(&k);
        k.disk.fault = (struct memdisk_fault){.kind = FAULT_ERROR,
            .calls = 1u << DISK_COMMIT,
            .at = at,
            .for_ever = true,
            .error = 5};
        for (int i = 0; i < 15; i++)
            stored += skit_deliver(&k, "a@x", NULL, "m", 500, NULL) == STATUS_OK;
        assert_true(store_read_only(k.store));
        assert_int_equal(inbox_count(&k, "a@x"), stored);
        if (stored) {
            u = skit_open_user(&k, "a@x");
            m = skit_open_mailbox(&k, u, "INBOX");
            assert_int_equal(skit_expunge(&k, m, 1, 9, true, NULL), STATUS_READ_ONLY);
            assert_int_equal(m->content->messages, stored);
            mailbox_close(m);
            user_close(u);
        }
        skit_crash(&k, true);
        k.disk.fault = (struct memdisk_fault){0};
        skit_open(&k);
        assert_true(inbox_count(&k, "a@x") >= stored);
        assert_true(inbox_count(&k, "a@x") <= stored + 1);
        skit_close(&k);
        skit_free(&k);
    }
}

/* D16: a record that stands in the log twice counts once. */
static void a_record_counts_once(void **state)
{
    struct skit *k = *state;
    struct head *head;
    uint64_t before, bytes;
    struct log_read read;

    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 1000, NULL), STATUS_OK);
    head = heads_find(&k->store->heads, S("a@x"));
    before = head->uid_next;
    bytes = head->bytes;
    assert_true(log_read(k->store->log, &read, head->last, 0, NULL));
    k->store->replaying = true;
    assert_int_equal(store_note(k->store, &read.record), STATUS_OK);
    k->store->replaying = false;
    log_read_end(&read);
    assert_int_equal(head->uid_next, before);
    assert_int_equal(head->bytes, bytes);
}

/* --- how a message ends ---------------------------------------------------------------
 */

enum { ENDS = 6 };
static const char *const ends[ENDS] = {"a\r\n", "a\n", "a\r", "\n", "\r\n", "a\n\r"};

static void deliver_text(struct skit *k, struct slice head, struct slice tail)
{
    struct store_target target = {.user = S("a@x")};
    struct store_message m = {.op.done = skit_done,
        .head = head,
        .tail = tail,
        .size = head.len + tail.len,
        .summary = S("summary"),
        .targets = &target,
        .target_count = 1};

    store_message(k->store, &m);
    skit_run(k, &m.op);
    assert_int_equal(skit_status(&m.op), STATUS_OK);
}

/* The mailbox holds the texts of ends[], and knows how they end. */
static void check_ends(struct skit *k, struct user *u, const char *name)
{
    struct mailbox *m = skit_open_mailbox(k, u, name);
    struct entry e;

    for (unsigned i = 0; i < ENDS; i++) {
        assert_true(skit_entry(m, i, &e));
        assert_int_equal(e.ends_with_crlf, i == 0 || i == 4);
    }
    assert_false(skit_entry(m, ENDS, &e));
    mailbox_close(m);
}

static void check_all_ends(struct skit *k)
{
    struct user *u = skit_open_user(k, "a@x");

    check_ends(k, u, "INBOX");
    check_ends(k, u, "Trash");
    user_close(u);
}

/* By a COPY, and then a MOVE. */
static void copy_to_trash(struct skit *k)
{
    struct user *u = skit_open_user(k, "a@x");
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");

    assert_int_equal(skit_flags(k, m, 1, 3, FLAGS_ADD, FLAG_SEEN, "$A"), STATUS_OK);
    assert_int_equal(skit_copy(k, m, 1, ENDS, "Sent", false, NULL), STATUS_OK);
    mailbox_close(m);
    m = skit_open_mailbox(k, u, "Sent");
    assert_int_equal(skit_copy(k, m, 1, ENDS, "Trash", true, NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
}

/* From the log, from a checkpoint, and from a state that was folded. */
static void the_end_of_a_message_is_known(void **state)
{
    struct skit *k = *state;

    for (unsigned i = 0; i < ENDS; i++)
        deliver_text(k, slice_str(ends[i]), slice_of(NULL, 0));
    copy_to_trash(k);
    for (unsigned round = 0; round < 4; round++) {
        check_all_ends(k);
        k->store->chain_fold = round == 1 ? 1 : CHAIN_FOLD;
        skit_settle(k);
        skit_close(k);
        if (round % 2)
            skit_forget_checkpoints(k);
        skit_open(k);
    }
    check_all_ends(k);
}

/* Only what is at hand when the message is stored is looked at. */
static void an_end_in_two_pieces_is_unknown(void **state)
{
    struct skit *k = *state;
    struct user *u;
    struct mailbox *m;
    struct entry e;
    static const struct {
        struct slice head, tail;
        bool known;
    } rows[] = {
        {SI("a\r\n"), SI("b"), false},
        {SI("a"), SI("b\r\n"), true},
        {SI("a\r"), SI("\n"), false},
    };

    for (unsigned i = 0; i < 3; i++)
        deliver_text(k, rows[i].head, rows[i].tail);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    for (unsigned i = 0; i < 3; i++) {
        assert_true(skit_entry(m, i, &e));
        assert_int_equal(e.ends_with_crlf, rows[i].known);
    }
    mailbox_close(m);
    user_close(u);
}

/* Stores written before the index kept this have a zero there. */
static void older_records_leave_the_end_unknown(void **state)
{
    struct skit *k = *state;
    struct progress p = {.budget = 1000};
    struct rec_delivery *d;
    struct rec_target *t;
    struct log_record r;
    struct log_read read;
    struct user *u;
    struct mailbox *m;
    struct entry e;

    deliver_text(k, S("a\r\n"), slice_of(NULL, 0));
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_true(log_read(k->store->log, &read, u->head->last, 0, NULL));
    r = read.record;
    d = malloc(r.payload.len);
    memcpy(d, r.payload.at, r.payload.len);
    r.payload.at = (const char *)d;
    log_read_end(&read);
    t = (struct rec_target *)(d + 1);
    t->uid++;
    d->ends_with_crlf = 0;
    assert_int_equal(user_apply(u, &r, &p), APPLIED);
    free(d);
    assert_true(skit_entry(m, 0, &e));
    assert_true(e.ends_with_crlf);
    assert_true(skit_entry(m, 1, &e));
    assert_false(e.ends_with_crlf);
    mailbox_close(m);
    user_close(u);
}

/* Payloads of any length and content are refused, not believed. */
static void cut_records_are_passed_over(void **state)
{
    struct skit *k = *state;
    struct head *head;
    struct log_read read;
    struct user *u;

    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 1000, NULL), STATUS_OK);
    head = heads_find(&k->store->heads, S("a@x"));
    u = skit_open_user(k, "a@x");
    assert_true(log_read(k->store->log, &read, head->last, 0, NULL));
    for (unsigned kind = 0; kind < 256; kind++)
        for (size_t len = 0; len < read.record.payload.len; len++) {
            char *copy = malloc(len + 1);
            struct log_record r = {.kind = (enum record_kind)kind,
                .seq = head->seq,
                .payload = slice_of(copy, len)};
            struct progress p = {.budget = 1000};

            memcpy(copy, read.record.payload.at, len);
            k->store->replaying = true;
            (void)store_note(k->store, &r);
            k->store->replaying = false;
            if (r.kind != RECORD_USER_STATE && r.kind != RECORD_USER)
                (void)user_apply(u, &r, &p);
            free(copy);
        }
    log_read_end(&read);
    user_close(u);
}

/* A checkpoint is on its way when a commit fails: the heads in it tell of a message that
 * nobody has. */
static void a_failed_commit_is_in_no_checkpoint(void **state)
{
    struct skit *k = *state;
    struct user *u;
    struct mailbox *m;

    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 100, NULL), STATUS_OK);
    skit_settle(k);
    k->store->conf.checkpoint_bytes = 1;
    k->disk.fault = (struct memdisk_fault){.kind = FAULT_ERROR,
        .calls = 1 << DISK_COMMIT,
        .at = 1,
        .for_ever = true,
        .error = EIO};
    assert_int_equal(skit_deliver(k, "a@x", NULL, "n", 100, NULL), STATUS_READ_ONLY);
    skit_settle(k);
    assert_null(k->store->checkpoint);
    skit_crash(k, false);
    k->disk.fault = (struct memdisk_fault){0};
    skit_open(k);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_int_equal(m->content->messages, 1);
    assert_int_equal(user_bytes(u), 100);
    mailbox_close(m);
    user_close(u);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, skit_start, skit_stop)
    const struct CMUnitTest tests[] = {
        TEST(a_delivered_message_is_there),
        TEST(everything_is_there_after_a_restart),
        TEST(a_share_is_stored_once),
        TEST(an_open_fan_out_outlives_everything),
        TEST(recent_ids_forget_the_oldest),
        TEST(a_full_disk_takes_deletions),
        TEST(a_failed_commit_shows_nothing),
        TEST(a_record_counts_once),
        TEST(the_end_of_a_message_is_known),
        TEST(an_end_in_two_pieces_is_unknown),
        TEST(older_records_leave_the_end_unknown),
        TEST(cut_records_are_passed_over),
        TEST(a_failed_commit_is_in_no_checkpoint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
