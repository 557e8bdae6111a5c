#include "tests/store/queuekit.h"

#include <stdio.h>
#include <stdlib.h>

struct findings {
    unsigned lines;
    char text[200][512];
};

static void say(void *arg, const char *line)
{
    struct findings *f = arg;

    if (getenv("SKIT_VERBOSE"))
        fprintf(stderr, "%s\n", line);
    if (f->lines < 200)
        snprintf(f->text[f->lines++], sizeof f->text[0], "%s", line);
}

static bool said(const struct findings *f, const char *word, const char *other)
{
    for (unsigned i = 0; i < f->lines; i++)
        if (strstr(f->text[i], word) && strstr(f->text[i], other))
            return true;
    return false;
}

static uint64_t hash_disk(const struct memdisk *m)
{
    uint64_t h = 0;

    for (const struct memfile *f = m->files; f; f = f->next)
        if (f->linked)
            h += slice_hash(slice_of((const char *)f->now, f->bytes), 1) ^
                slice_hash(slice_str(f->name), 2);
    return h;
}

static uint64_t check(struct skit *k, bool repair, struct findings *f)
{
    *f = (struct findings){0};
    return store_check(&k->disk.disk, &k->conf, repair, say, f);
}

static void fill(struct skit *k, unsigned messages)
{
    struct user *u;
    struct mailbox *m;

    for (unsigned i = 0; i < messages; i++) {
        char tag[32];

        snprintf(tag, sizeof tag, "m%u", i);
        assert_int_equal(
            skit_deliver(k, i % 3 ? "a@x" : "b@x", NULL, tag, 300, NULL), STATUS_OK);
    }
    assert_int_equal(skit_deliver(k, "a@x", "Sent", "large", 400000, NULL), STATUS_OK);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_int_equal(skit_copy(k, m, 1, 5, "Trash", false, NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
}

static void a_good_store_has_no_problems_and_stays_as_it_is(void **state)
{
    struct skit *k = *state;
    struct findings f;
    uint64_t before;

    fill(k, 300);
    skit_close(k);
    before = hash_disk(&k->disk);
    assert_int_equal(check(k, false, &f), 0);
    assert_true(said(&f, "0 problems", "2 users"));
    assert_true(before == hash_disk(&k->disk));
}

static void a_store_after_a_crash_has_no_problems(void **state)
{
    struct skit *k = *state;
    struct findings f;

    fill(k, 50);
    skit_crash(k, true);
    assert_int_equal(check(k, false, &f), 0);
}

static struct memfile *segment_of(struct skit *k, uint64_t place)
{
    char name[DISK_NAME_MAX];

    snprintf(name, sizeof name, SEGMENT_NAME, PLACE_SEGMENT(place));
    return memdisk_find(&k->disk, name);
}

static struct entry entry_of(struct skit *k, const char *box, unsigned i)
{
    struct user *u = skit_open_user(k, "a@x");
    struct mailbox *m = skit_open_mailbox(k, u, box);
    struct entry e;

    assert_true(skit_entry(m, i, &e));
    mailbox_close(m);
    user_close(u);
    return e;
}

static unsigned messages_of(struct skit *k, const char *box)
{
    struct user *u = skit_open_user(k, "a@x");
    struct mailbox *m = skit_open_mailbox(k, u, box);
    unsigned n = m->content->messages;

    mailbox_close(m);
    user_close(u);
    return n;
}

/* D09: exactly the damaged message is named, and dropped only by a repair. */
static void a_damaged_body_is_named_and_dropped(void **state)
{
    struct skit *k = *state;
    struct findings f;
    struct entry e;
    uint64_t before;

    fill(k, 60);
    e = entry_of(k, "INBOX", 7);
    skit_close(k);
    memdisk_flip(segment_of(k, e.body), (PLACE_OFFSET(e.body) + 100) * (uint64_t)8 + 3);
    before = hash_disk(&k->disk);
    assert_true(check(k, false, &f) > 0);
    assert_true(said(&f, "user=a@x", "uid=8 "));
    assert_true(before == hash_disk(&k->disk));
    skit_open(k);
    assert_int_equal(messages_of(k, "INBOX"), 40);
    skit_close(k);
    assert_true(check(k, true, &f) > 0);
    assert_true(said(&f, "dropped", ""));
    skit_open(k);
    assert_int_equal(messages_of(k, "INBOX"), 39);
    e = entry_of(k, "INBOX", 7);
    assert_int_equal(e.uid, 9);
}

static void a_damaged_chunk_loses_one_message(void **state)
{
    struct skit *k = *state;
    struct findings f;
    struct entry e;
    uint64_t chunk;

    fill(k, 10);
    e = entry_of(k, "Sent", 0);
    {
        unsigned n;
        const struct straddle *t = straddle_find(k->store, e.body, &n);

        (void)t;
        chunk = e.body - 200000; /* inside one of its chunks */
    }
    skit_close(k);
    memdisk_flip(segment_of(k, e.body), PLACE_OFFSET(chunk) * (uint64_t)8);
    assert_true(check(k, false, &f) > 0);
    assert_true(said(&f, "mailbox=\"Sent\" uid=1", "part"));
    assert_true(check(k, true, &f) > 0);
    assert_int_equal(check(k, false, &f), 1); /* the damaged range is still there */
    skit_open(k);
    assert_int_equal(messages_of(k, "Sent"), 0);
    assert_int_equal(messages_of(k, "INBOX"), 6);
}

static void a_damaged_summary_costs_no_message(void **state)
{
    struct skit *k = *state;
    struct findings f;
    struct entry e;
    struct user *u;
    struct mailbox *m;
    struct slice summary;

    fill(k, 10);
    e = entry_of(k, "INBOX", 2);
    skit_close(k);
    memdisk_flip(segment_of(k, e.summary), (PLACE_OFFSET(e.summary) + 50) * (uint64_t)8);
    assert_true(check(k, true, &f) > 0);
    assert_true(said(&f, "uid=3 ", "summary"));
    skit_open(k);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_true(skit_entry(m, 2, &e));
    assert_int_equal(skit_summary(k, m, &e, &summary), STATUS_OK);
    assert_int_equal(summary.len, 0);
    free((char *)summary.at);
    skit_check_body(k, &e, "m4", 300);
    mailbox_close(m);
    user_close(u);
}

enum { MANY = 40 };

static const char *name_of(unsigned i)
{
    static char name[16];

    snprintf(name, sizeof name, "u%u@x", i);
    return name;
}

static void fill_many(struct skit *k)
{
    char tag[32];

    for (unsigned i = 0; i < 100 * MANY; i++) {
        snprintf(tag, sizeof tag, "m%u", i);
        assert_int_equal(
            skit_deliver(k, name_of(i % MANY), NULL, tag, 1000, NULL), STATUS_OK);
    }
    for (unsigned i = 0; i < MANY; i++) {
        struct user *u = skit_open_user(k, name_of(i));
        struct mailbox *m = skit_open_mailbox(k, u, "INBOX");

        assert_int_equal(skit_expunge(k, m, 6, 95, true, NULL), STATUS_OK);
        mailbox_close(m);
        user_close(u);
    }
}

/* Compaction is due, but while messages are looked up where they were found none may go
 * elsewhere. */
static void repair_moves_nothing(void **state)
{
    struct skit *k = *state;
    struct findings f;
    uint64_t before[MANY];

    k->conf.compact_percent = STORE_COMPACT_NEVER;
    fill_many(k);
    for (unsigned i = 0; i < MANY; i++)
        before[i] = skit_hash_shown(k, name_of(i));
    skit_close(k);
    k->conf.compact_percent = 110;
    assert_int_equal(check(k, true, &f), 0);
    skit_open(k);
    for (unsigned i = 0; i < MANY; i++)
        assert_true(skit_hash_shown(k, name_of(i)) == before[i]);
}

/* An entry of the queue without its message: named, and dropped only by a repair. */
static void a_damaged_message_of_the_queue_is_named_and_dropped(void **state)
{
    static const unsigned sizes[] = {300, 400000};
    struct skit *k = *state;
    struct findings f;
    struct store_queued q;
    uint64_t good, bad[2], before;
    char line[64];

    for (unsigned i = 0; i < 2; i++) {
        bad[i] = qkit_add(k, "e", "bad", sizes[i]);
        assert_true(store_queue_find(k->store, bad[i], &q));
    }
    good = qkit_add(k, "e", "good", 300);
    assert_int_equal(qkit_change(k, good, "state"), STATUS_OK);
    fill(k, 10);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(store_queue_find(k->store, bad[i], &q));
        skit_close(k);
        if (i == 0)
            assert_int_equal(check(k, false, &f), 0);
        if (i == 0)
            assert_true(said(&f, "3 queue entries", " 0 problems"));
        memdisk_flip(
            segment_of(k, q.body), (PLACE_OFFSET(q.body) + 50) * (uint64_t)8 + 3);
        before = hash_disk(&k->disk);
        assert_true(check(k, false, &f) > 0);
        snprintf(line, sizeof line, "queue entry %llx ", (unsigned long long)bad[i]);
        assert_true(said(&f, line, "the message is missing"));
        assert_true(before == hash_disk(&k->disk));
        skit_open(k);
        assert_int_equal(qkit_count(k), 3 - i);
        skit_close(k);
        assert_true(check(k, true, &f) > 0);
        assert_true(said(&f, "dropped", "do not get"));
        skit_open(k);
        assert_false(qkit_there(k, bad[i]));
        qkit_check(k, good, "e", "state", "good", 300);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_good_store_has_no_problems_and_stays_as_it_is, skit_start, skit_stop),
        cmocka_unit_test_setup_teardown(
            a_store_after_a_crash_has_no_problems, skit_start, skit_stop),
        cmocka_unit_test_setup_teardown(
            a_damaged_body_is_named_and_dropped, skit_start, skit_stop),
        cmocka_unit_test_setup_teardown(
            a_damaged_chunk_loses_one_message, skit_start, skit_stop),
        cmocka_unit_test_setup_teardown(
            a_damaged_summary_costs_no_message, skit_start, skit_stop),
        cmocka_unit_test_setup_teardown(repair_moves_nothing, skit_start, skit_stop),
        cmocka_unit_test_setup_teardown(
            a_damaged_message_of_the_queue_is_named_and_dropped, skit_start, skit_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
