/* Entries of the queue and the power: it goes at each request to the disk in turn, while
 * entries come, change, settle, go, and are moved. What was answered is there, once; what
 * was on its way is there whole or not at all. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/store/queuekit.h"

enum { ENTRIES_MAX = 128, STEPS = 70, FIRST_FANOUT = 1000 };

static uint64_t compacted; /* over all runs */

struct known {
    uint64_t id; /* 0: gone */
    unsigned tag, bytes;
    char state[16];
};

/* What was answered, and the step that was not. */
struct world {
    struct skit k;
    struct known entries[ENTRIES_MAX];
    unsigned count, inbox; /* entries ever, messages of a@x */
    enum { PUT, CHANGE, DONE, REPORT, LEAVE, NOTHING } pending;
    unsigned at; /* the entry that is changed */
    bool fanout; /* one is open */
    uint64_t random;
};

static unsigned draw(struct world *w, unsigned n)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((w->random >> 33) % n);
}

static const char *tag_of(unsigned n)
{
    static char tag[16];

    snprintf(tag, sizeof tag, "m%u", n);
    return tag;
}

static void know(struct world *w, uint64_t id, unsigned tag, unsigned bytes)
{
    assert_true(w->count < ENTRIES_MAX);
    w->entries[w->count++] = (struct known){.id = id, .tag = tag, .bytes = bytes};
}

/* --- steps: false, when the power has gone ------------------------------------------ */

static bool put(struct world *w, unsigned n)
{
    unsigned bytes = draw(w, 8) ? 200 + draw(w, 20000) : 300000;
    bool user = draw(w, 2);
    struct qkit_put p = {
        .users = user ? "a@x" : NULL, .envelopes = "e", .tag = tag_of(n), .bytes = bytes};

    w->pending = PUT;
    if (qkit_put(&w->k, &p) != STATUS_OK)
        return false;
    know(w, p.ids[0], n, bytes);
    w->inbox += user;
    return true;
}

static bool change(struct world *w, unsigned n)
{
    struct known *e = &w->entries[w->at];

    w->pending = CHANGE;
    if (qkit_change(&w->k, e->id, tag_of(n)) != STATUS_OK)
        return false;
    snprintf(e->state, sizeof e->state, "%s", tag_of(n));
    return true;
}

static bool done(struct world *w)
{
    struct known *e = &w->entries[w->at];

    w->pending = DONE;
    if (qkit_change(&w->k, e->id, NULL) != STATUS_OK)
        return false;
    e->id = 0;
    return true;
}

/* A report to a@x, and the state that says so. */
static bool report(struct world *w, unsigned n)
{
    struct known *e = &w->entries[w->at];
    struct store_queue_change settles = {.id = e->id, .state = slice_str("reported")};
    struct qkit_put p = {.users = "a@x",
        .envelopes = "e",
        .tag = tag_of(n),
        .bytes = 500,
        .settles = &settles};

    w->pending = REPORT;
    if (qkit_put(&w->k, &p) != STATUS_OK)
        return false;
    snprintf(e->state, sizeof e->state, "reported");
    know(w, p.ids[0], n, 500);
    w->inbox++;
    return true;
}

static bool leave(struct world *w, unsigned n)
{
    struct qkit_put p = {.users = "a@x",
        .tag = tag_of(n),
        .bytes = 900,
        .fanout_id = FIRST_FANOUT + n,
        .rest = "rest"};
    struct slice envelope = S("e");
    uint64_t id;
    struct store_fanout_queue q = {.op.done = skit_done,
        .fanout_id = FIRST_FANOUT + n,
        .size = 900,
        .envelopes = &envelope,
        .count = 1,
        .ids = &id};

    w->pending = LEAVE;
    w->fanout = false;
    if (qkit_put(&w->k, &p) != STATUS_OK)
        return false;
    w->fanout = true;
    w->inbox++;
    store_fanout_queue(w->k.store, &q);
    skit_run(&w->k, &q.op);
    if (skit_status(&q.op) != STATUS_OK)
        return false;
    w->fanout = false;
    know(w, id, n, 900);
    return true;
}

/* An entry that lives; false: none does. */
static bool choose(struct world *w)
{
    for (unsigned i = 0; i < 10 && w->count; i++) {
        w->at = draw(w, w->count);
        if (w->entries[w->at].id)
            return true;
    }
    return false;
}

static bool step(struct world *w, unsigned n)
{
    unsigned what = draw(w, 10);
    bool good;

    if (what < 3 || !choose(w))
        good = put(w, n);
    else if (what < 5)
        good = change(w, n);
    else if (what < 8)
        good = done(w);
    else if (what < 9)
        good = report(w, n);
    else
        good = leave(w, n);
    if (good)
        w->pending = NOTHING;
    for (unsigned i = draw(w, 30); i; i--)
        skit_turn(&w->k);
    return good;
}

/* --- afterwards ------------------------------------------------------------------------
 */

static unsigned inbox_of(struct skit *k)
{
    struct user *u;
    struct mailbox *m;
    unsigned n;

    if (skit_user(k, "a@x", false, &u) != STATUS_OK)
        return 0;
    m = skit_open_mailbox(k, u, "INBOX");
    n = m->content->messages;
    mailbox_close(m);
    user_close(u);
    return n;
}

static void check_entry(struct world *w, unsigned i, unsigned extra)
{
    const struct known *e = &w->entries[i];
    const char *state = e->state;
    struct store_queued q;
    bool changing =
        w->pending != PUT && w->pending != LEAVE && w->pending != NOTHING && w->at == i;

    if (!store_queue_find(w->k.store, e->id, &q)) {
        assert_true(changing && w->pending == DONE);
        return;
    }
    if (changing && !slice_eq(q.state, slice_str(state))) {
        assert_true(w->pending == CHANGE ||
            (w->pending == REPORT && slice_eq(q.state, S("reported"))));
        if (w->pending == REPORT)
            assert_int_equal(extra, 1);
        state = w->pending == REPORT ? "reported" : NULL;
    } else if (changing && w->pending == REPORT && strcmp(state, "reported") != 0) {
        assert_int_equal(extra, 0);
    }
    if (state)
        qkit_check(&w->k, e->id, "e", state, tag_of(e->tag), e->bytes);
}

/* At most the message under way is there beside what was answered, with its entry. */
static void verify(struct world *w)
{
    unsigned inbox = inbox_of(&w->k), there = qkit_count(&w->k), known = 0, extra;
    struct store_fanout f;

    for (unsigned i = 0; i < w->count; i++)
        known += w->entries[i].id && qkit_there(&w->k, w->entries[i].id);
    extra = there - known;
    assert_in_range(extra, 0, w->pending == NOTHING ? 0 : 1);
    assert_in_range(inbox, w->inbox, w->inbox + (w->pending == NOTHING ? 0 : 1));
    if (w->pending == REPORT)
        assert_int_equal(inbox - w->inbox, extra);
    for (unsigned i = 0; i < w->count; i++)
        if (w->entries[i].id)
            check_entry(w, i, extra);
    if (w->pending == LEAVE && w->fanout) /* a fan-out, or an entry */
        assert_int_equal(store_fanout_open(w->k.store, 0, &f), extra == 0);
}

/* False: the fault was not reached. */
static bool run(uint64_t seed, uint64_t at, bool power)
{
    struct world *w = calloc(1, sizeof *w);
    bool reached;
    uint64_t hash;

    w->random = seed;
    w->pending = NOTHING;
    skit_init(&w->k, seed);
    w->k.conf.segment_bytes = 256 << 10;
    w->k.conf.checkpoint_bytes = 128 << 10;
    w->k.disk.fault = (struct memdisk_fault){.kind = power ? FAULT_POWER : FAULT_NONE,
        .calls = 1 << DISK_COMMIT | 1 << DISK_WRITE | 1 << DISK_SYNC | 1 << DISK_REMOVE,
        .at = at};
    if (skit_try_open(&w->k) == STATUS_OK) {
        for (unsigned n = 0; n < STEPS && step(w, n); n++)
            if (!power && n == at)
                break;
        compacted += w->k.store->compacted_bytes;
        skit_crash(&w->k, power);
    } else {
        memdisk_revive(&w->k.disk);
    }
    reached = power ? w->k.disk.fault.hits > 0 : at < STEPS;
    w->k.disk.fault = (struct memdisk_fault){0};
    skit_open(&w->k);
    verify(w);
    skit_settle(&w->k);
    hash = qkit_hash(&w->k);
    skit_crash(&w->k, power);
    skit_open(&w->k);
    assert_true(hash == qkit_hash(&w->k));
    verify(w);
    skit_close(&w->k);
    skit_forget_checkpoints(&w->k);
    skit_open(&w->k);
    verify(w);
    skit_close(&w->k);
    skit_free(&w->k);
    free(w);
    return reached;
}

/* All of it is one thread: the sanitizer of threads has little to see. */
enum { STRIDE = KIT_STEP > 3 ? 8 * KIT_STEP : KIT_STEP };

static void the_power_goes_at_each_request(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        uint64_t at = seed;

        while (run(seed, at, true))
            at += 5 * STRIDE;
        assert_true(at > 100);
    }
    assert_true(compacted > 0);
}

static void the_process_ends_after_each_step(void **state)
{
    (void)state;
    for (uint64_t seed = 4; seed <= 5; seed++)
        for (uint64_t at = 0; run(seed, at, false); at += 3 * STRIDE)
            ;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_power_goes_at_each_request),
        cmocka_unit_test(the_process_ends_after_each_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
