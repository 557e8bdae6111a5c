/* Users and queues of two old shards, dealt out to new ones: nothing of them may differ.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/reshard.h"
#include "tests/store/queuekit.h"

enum { USERS = 12, OLD = 2, QUEUED = 12 };

struct shards {
    struct skit old[OLD];
    struct skit to;
    uint64_t hashes[USERS];
    uint64_t queued[QUEUED]; /* entries, in one old shard after the other */
    unsigned part, parts;    /* which users are wanted */
};

static const char *name_of(unsigned i)
{
    static char name[16];

    snprintf(name, sizeof name, "u%u@x", i);
    return name;
}

static struct skit *owner(struct shards *s, unsigned i)
{
    return &s->old[i % OLD];
}

static bool wanted(void *arg, struct slice user)
{
    const struct shards *s = arg;

    return (unsigned)strtoul(user.at + 1, NULL, 10) % s->parts == s->part;
}

static bool wanted_queued(void *arg, uint64_t id)
{
    const struct shards *s = arg;

    return id % s->parts == s->part;
}

/* --- mail -------------------------------------------------------------------- */

static void fill_mailboxes(struct skit *k, struct user *u, unsigned i)
{
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");
    char keyword[16];

    snprintf(keyword, sizeof keyword, "k%u", i);
    assert_int_equal(
        skit_flags(k, m, 2, 4, FLAGS_ADD, FLAG_SEEN | FLAG_FLAGGED, keyword), STATUS_OK);
    assert_int_equal(
        skit_flags(k, m, 3, 3, FLAGS_ADD, FLAG_DELETED, "$Other"), STATUS_OK);
    assert_int_equal(skit_expunge(k, m, 3, 3, false, NULL), STATUS_OK);
    assert_int_equal(skit_change(k, u, MAILBOX_CREATE, "a/b", NULL), STATUS_OK);
    assert_int_equal(skit_change(k, u, MAILBOX_SUBSCRIBE, "nowhere", NULL), STATUS_OK);
    assert_int_equal(skit_copy(k, m, 1, 4, "a/b", false, NULL), STATUS_OK);
    assert_int_equal(skit_copy(k, m, 5, 5, "Trash", true, NULL), STATUS_OK);
    if (i % 3 == 0)
        assert_int_equal(skit_change(k, u, MAILBOX_RENAME, "a", "c"), STATUS_OK);
    mailbox_close(m);
}

static void fill_user(struct skit *k, unsigned i)
{
    struct user *u;
    unsigned count = i == 4 ? 1300 : 8; /* many: pages of their own */
    char tag[32];

    assert_int_equal(skit_user(k, name_of(i), true, &u), STATUS_OK);
    for (unsigned n = 0; n < count; n++) {
        unsigned bytes = n == 6 ? 700000 : 100 + n % 50;

        snprintf(tag, sizeof tag, "u%u-%u", i, n);
        assert_int_equal(skit_deliver(k, name_of(i), NULL, tag, bytes, NULL), STATUS_OK);
    }
    fill_mailboxes(k, u, i);
    user_close(u);
}

/* One body for all users of the shard. */
static void fill_shared(struct skit *k, unsigned first)
{
    struct store_target targets[USERS] = {0};
    char *body = skit_body("all", 5000), names[USERS][16];
    struct store_message m = {.op.done = skit_done,
        .head = slice_of(body, 5000),
        .size = 5000,
        .summary = S("summary of all"),
        .targets = targets};

    for (unsigned i = first; i < USERS; i += OLD) {
        snprintf(names[i], sizeof names[i], "u%u@x", i);
        targets[m.target_count++].user = slice_str(names[i]);
    }
    store_message(k->store, &m);
    skit_run(k, &m.op);
    assert_int_equal(skit_status(&m.op), STATUS_OK);
    free(body);
}

static unsigned queued_bytes(unsigned i)
{
    return i % 4 == 3 ? 500000 : 1000 + i;
}

/* With a message of a user, or alone; some have been tried. */
static void fill_queue(struct shards *s)
{
    for (unsigned i = 0; i < QUEUED; i++) {
        struct skit *k = owner(s, i);
        struct qkit_put p = {.users = i % 3 ? NULL : name_of(i),
            .envelopes = "envelope other",
            .tag = "queued",
            .bytes = queued_bytes(i)};

        assert_int_equal(qkit_put(k, &p), STATUS_OK);
        s->queued[i] = p.ids[0];
        assert_int_equal(qkit_change(k, p.ids[1], NULL), STATUS_OK);
        if (i % 2)
            assert_int_equal(qkit_change(k, p.ids[0], "tried"), STATUS_OK);
    }
}

static int start(void **state)
{
    struct shards *s = calloc(1, sizeof *s);

    for (unsigned i = 0; i < OLD; i++) {
        skit_init(&s->old[i], 10 + i);
        s->old[i].conf.shard = i;
        skit_open(&s->old[i]);
        s->old[i].store->uid_validity += 5000 * i;
    }
    skit_init(&s->to, 30);
    for (unsigned i = 0; i < USERS; i++)
        fill_user(owner(s, i), i);
    fill_queue(s);
    for (unsigned i = 0; i < OLD; i++)
        fill_shared(&s->old[i], i);
    for (unsigned i = 0; i < USERS; i++)
        s->hashes[i] = skit_hash_shown(owner(s, i), name_of(i));
    *state = s;
    return 0;
}

static int stop(void **state)
{
    struct shards *s = *state;

    for (unsigned i = 0; i < OLD; i++) {
        if (s->old[i].store)
            reshard_close(s->old[i].store);
        skit_free(&s->old[i]);
    }
    skit_free(&s->to);
    free(s);
    return 0;
}

/* --- tests ------------------------------------------------------------------- */

static void reopen_old(struct shards *s)
{
    for (unsigned i = 0; i < OLD; i++) {
        if (s->old[i].store)
            reshard_close(s->old[i].store);
        skit_open(&s->old[i]);
    }
}

static void fresh_target(struct shards *s, unsigned part)
{
    struct store *from[OLD] = {s->old[0].store, s->old[1].store};

    skit_free(&s->to);
    skit_init(&s->to, 31 + part);
    s->to.conf.shard = OLD + part;
    s->to.conf.segments_from = reshard_segments_from(from, OLD);
    reshard_conf(&s->to.conf);
    skit_open(&s->to);
    s->part = part;
}

static struct reshard job(struct shards *s, struct store **from)
{
    for (unsigned i = 0; i < OLD; i++)
        from[i] = s->old[i].store;
    return (struct reshard){.from = from,
        .from_count = OLD,
        .to = s->to.store,
        .wanted = wanted,
        .wanted_queued = wanted_queued,
        .arg = s};
}

static void check_users(struct shards *s)
{
    for (unsigned i = 0; i < USERS; i++) {
        uint64_t hash = skit_hash_shown(&s->to, name_of(i));

        assert_true(hash == (i % s->parts == s->part ? s->hashes[i] : 0));
    }
}

static void check_queue(struct shards *s)
{
    unsigned count = 0;

    for (unsigned i = 0; i < QUEUED; i++) {
        if (!wanted_queued(s, s->queued[i])) {
            assert_false(qkit_there(&s->to, s->queued[i]));
            continue;
        }
        qkit_check(&s->to, s->queued[i], "envelope", i % 2 ? "tried" : "", "queued",
            queued_bytes(i));
        count++;
    }
    assert_int_equal(qkit_count(&s->to), count);
}

static void move_part(struct shards *s, unsigned part)
{
    struct store *from[OLD];
    struct reshard r;

    fresh_target(s, part);
    r = job(s, from);
    assert_int_equal(reshard_copy(&r), STATUS_OK);
    assert_int_equal(r.users, USERS / s->parts);
    assert_int_equal(reshard_finish(s->to.store), STATUS_OK);
    skit_open(&s->to);
    r = job(s, from);
    assert_int_equal(reshard_verify(&r), STATUS_OK);
    assert_int_equal(r.users, USERS / s->parts);
    reshard_close(s->to.store);
}

static void users_are_the_same_in_the_new_shard(void **state)
{
    struct shards *s = *state;

    for (s->parts = 1; s->parts <= 3; s->parts++)
        for (unsigned part = 0; part < s->parts; part++) {
            reopen_old(s);
            move_part(s, part);
            skit_open(&s->to);
            check_users(s);
            check_queue(s);
            skit_close(&s->to);
            skit_forget_checkpoints(&s->to); /* the log alone suffices */
            skit_open(&s->to);
            check_users(s);
            check_queue(s);
            assert_false(qkit_there(&s->to, qkit_add(&s->to, "e", "n", 100) + 1));
            assert_true(s->to.store->uid_validity >= s->old[1].store->uid_validity);
            assert_int_equal(
                skit_deliver(&s->to, name_of(part), NULL, "new", 100, NULL), STATUS_OK);
            skit_close(&s->to);
            assert_int_equal(s->to.damages, 0);
        }
}

/* The message that all have is stored once a shard. */
static void bodies_are_shared(void **state)
{
    struct shards *s = *state;
    struct store *from[OLD];
    struct user *a, *b;
    struct mailbox *m, *n;
    struct entry e, f;
    struct reshard r;

    s->parts = 1;
    fresh_target(s, 0);
    r = job(s, from);
    assert_int_equal(reshard_copy(&r), STATUS_OK);
    a = skit_open_user(&s->to, "u0@x");
    b = skit_open_user(&s->to, "u2@x");
    m = skit_open_mailbox(&s->to, a, "INBOX");
    n = skit_open_mailbox(&s->to, b, "INBOX");
    assert_true(skit_entry(m, m->content->messages - 1, &e));
    assert_true(skit_entry(n, n->content->messages - 1, &f));
    assert_int_equal(e.size, 5000);
    assert_true(e.body == f.body && e.summary == f.summary);
    mailbox_close(m);
    mailbox_close(n);
    user_close(a);
    user_close(b);
    assert_int_equal(reshard_finish(s->to.store), STATUS_OK);
}

static void damage(struct skit *k, uint64_t place)
{
    char name[DISK_NAME_MAX];

    snprintf(name, sizeof name, SEGMENT_NAME, PLACE_SEGMENT(place));
    memdisk_flip(memdisk_find(&k->disk, name), (PLACE_OFFSET(place) + 50) * (uint64_t)8);
}

static uint64_t body_of(struct skit *k, const char *user)
{
    struct user *u = skit_open_user(k, user);
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");
    struct entry e;

    assert_true(skit_entry(m, 1, &e));
    mailbox_close(m);
    user_close(u);
    return e.body;
}

/* A message that can't be read is named, and nothing is left hanging. */
static void damage_is_named(void **state)
{
    struct shards *s = *state;
    struct store *from[OLD];
    struct reshard r;
    uint64_t body = body_of(&s->old[1], "u3@x");

    skit_close(&s->old[1]);
    damage(&s->old[1], body);
    skit_open(&s->old[1]);
    s->parts = 1;
    fresh_target(s, 0);
    r = job(s, from);
    assert_int_equal(reshard_copy(&r), STATUS_CORRUPT);
    assert_non_null(strstr(r.why, "u3@x, mailbox INBOX, UID 2"));
    reshard_close(s->to.store);
}

/* An entry whose message can't be read is named. */
static void damage_in_the_queue_is_named(void **state)
{
    struct shards *s = *state;
    struct store *from[OLD];
    struct store_queued q;
    struct reshard r;

    assert_true(store_queue_find(s->old[1].store, s->queued[1], &q));
    skit_close(&s->old[1]);
    damage(&s->old[1], q.body);
    skit_open(&s->old[1]);
    s->parts = 1;
    fresh_target(s, 0);
    r = job(s, from);
    assert_int_equal(reshard_copy(&r), STATUS_CORRUPT);
    assert_non_null(strstr(r.why, "queue entry"));
    reshard_close(s->to.store);
}

/* One that is gone, one that says something else, one too many. */
static void differences_in_the_queue_are_found(void **state)
{
    struct shards *s = *state;

    for (unsigned i = 0; i < 3; i++) {
        struct store *from[OLD];
        struct reshard r;

        reopen_old(s);
        s->parts = 1;
        fresh_target(s, 0);
        r = job(s, from);
        assert_int_equal(reshard_copy(&r), STATUS_OK);
        assert_int_equal(reshard_finish(s->to.store), STATUS_OK);
        skit_open(&s->to);
        if (i == 2)
            assert_true(qkit_add(&s->to, "e", "n", 100) != 0);
        else
            assert_int_equal(
                qkit_change(&s->to, s->queued[0], i ? "other" : NULL), STATUS_OK);
        r = job(s, from);
        assert_int_equal(reshard_verify(&r), STATUS_CORRUPT);
        assert_non_null(strstr(r.why, "queue entr"));
        reshard_close(s->to.store);
    }
}

/* What differs after the copy is found. */
static void differences_are_found(void **state)
{
    struct shards *s = *state;
    struct store *from[OLD];
    struct reshard r;
    uint64_t body;

    s->parts = 1;
    fresh_target(s, 0);
    r = job(s, from);
    assert_int_equal(reshard_copy(&r), STATUS_OK);
    assert_int_equal(reshard_finish(s->to.store), STATUS_OK);
    skit_open(&s->to);
    body = body_of(&s->to, "u5@x");
    skit_close(&s->to);
    damage(&s->to, body);
    skit_open(&s->to);
    r = job(s, from);
    assert_int_equal(reshard_verify(&r), STATUS_CORRUPT);
    assert_non_null(strstr(r.why, "u5@x, mailbox INBOX, UID 2"));
    reshard_close(s->to.store);
    fresh_target(s, 0);
    r = job(s, from);
    assert_int_equal(reshard_verify(&r), STATUS_CORRUPT); /* nobody is there */
    reshard_close(s->to.store);
}

static void a_full_disk_is_told(void **state)
{
    struct shards *s = *state;
    struct store *from[OLD];
    struct reshard r;

    s->parts = 1;
    fresh_target(s, 0);
    s->to.disk.capacity = 5 << 20;
    r = job(s, from);
    assert_int_equal(reshard_copy(&r), STATUS_NO_SPACE);
    reshard_close(s->to.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(users_are_the_same_in_the_new_shard, start, stop),
        cmocka_unit_test_setup_teardown(bodies_are_shared, start, stop),
        cmocka_unit_test_setup_teardown(damage_is_named, start, stop),
        cmocka_unit_test_setup_teardown(damage_in_the_queue_is_named, start, stop),
        cmocka_unit_test_setup_teardown(differences_in_the_queue_are_found, start, stop),
        cmocka_unit_test_setup_teardown(differences_are_found, start, stop),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
