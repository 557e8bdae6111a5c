/* Mail that stays in its segments while its users go to other shards, and on. */
#include <stdio.h>
#include <stdlib.h>

#include "store/reshard.h"
#include "tests/store/queuekit.h"

enum { USERS = 12, SHARDS_MAX = 3, LARGE = 700000, QUEUED = 24 };

/* The shards of a store, old or new. */
struct layout {
    struct skit at[SHARDS_MAX];
    unsigned shards;
    uint32_t first;
};

struct world {
    struct layout now, next;
    uint64_t hashes[USERS];
    uint64_t queued[QUEUED]; /* entries; 0: gone */
    unsigned part;           /* of `next`, in hand */
    unsigned shared;         /* segments adopted, in all */
    bool links;              /* files know that others have them as well */
};

static const char *name_of(unsigned i)
{
    static char name[16];

    snprintf(name, sizeof name, "u%u@x", i);
    return name;
}

static struct skit *owner(struct layout *l, unsigned i)
{
    return &l->at[i % l->shards];
}

/* --- a store ------------------------------------------------------------------- */

static void layout_init(struct layout *l, unsigned shards, uint32_t first, uint32_t from)
{
    *l = (struct layout){.shards = shards, .first = first};
    for (unsigned i = 0; i < shards; i++) {
        struct skit *k = &l->at[i];

        skit_init(k, first + i + 1);
        k->conf.shard = first + i;
        k->conf.lanes = shards;
        k->conf.lane = i;
        k->conf.segments_from = from;
        k->conf.segment_bytes = 256 << 10;
        k->conf.checkpoint_bytes = 256 << 10;
    }
}

static void layout_free(struct layout *l)
{
    for (unsigned i = 0; i < l->shards; i++) {
        if (l->at[i].store)
            skit_close(&l->at[i]);
        skit_free(&l->at[i]);
    }
    l->shards = 0;
}

static void deliver(struct world *w, unsigned i, unsigned n, unsigned bytes)
{
    char tag[32];

    snprintf(tag, sizeof tag, "u%u-%u", i, n);
    assert_int_equal(
        skit_deliver(owner(&w->now, i), name_of(i), NULL, tag, bytes, NULL), STATUS_OK);
}

/* One body for all users of the shard. */
static void deliver_to_all(struct layout *l, unsigned shard)
{
    struct store_target targets[USERS] = {0};
    char *body = skit_body("all", 5000), names[USERS][16];
    struct store_message m = {.op.done = skit_done,
        .head = slice_of(body, 5000),
        .size = 5000,
        .summary = S("summary of all"),
        .targets = targets};

    for (unsigned i = shard; i < USERS; i += l->shards) {
        snprintf(names[i], sizeof names[i], "%s", name_of(i));
        targets[m.target_count++].user = slice_str(names[i]);
    }
    store_message(l->at[shard].store, &m);
    skit_run(&l->at[shard], &m.op);
    assert_int_equal(skit_status(&m.op), STATUS_OK);
    free(body);
}

static void see(struct world *w)
{
    for (unsigned i = 0; i < USERS; i++)
        w->hashes[i] = skit_hash_shown(owner(&w->now, i), name_of(i));
}

static void expect(struct world *w)
{
    for (unsigned i = 0; i < USERS; i++)
        for (unsigned k = 0; k < w->now.shards; k++)
            assert_true(skit_hash_shown(&w->now.at[k], name_of(i)) ==
                (k == i % w->now.shards ? w->hashes[i] : 0));
}

static int start(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    layout_init(&w->now, 2, 0, 0);
    for (unsigned i = 0; i < 2; i++)
        skit_open(&w->now.at[i]);
    for (unsigned n = 0; n < 40; n++)
        for (unsigned i = 0; i < USERS; i++)
            deliver(w, i, n, n == 20 && i % 5 == 0 ? LARGE : 4000 + 13 * n);
    for (unsigned i = 0; i < 2; i++)
        deliver_to_all(&w->now, i);
    see(w);
    *state = w;
    return 0;
}

static int stop(void **state)
{
    struct world *w = *state;

    layout_free(&w->now);
    layout_free(&w->next);
    free(w);
    return 0;
}

/* --- another number of shards ------------------------------------------------------ */

static bool wanted_queued(void *arg, uint64_t id)
{
    const struct world *w = arg;

    return id % w->next.shards == w->part;
}

static bool wanted(void *arg, struct slice user)
{
    const struct world *w = arg;

    return (unsigned)strtoul(user.at + 1, NULL, 10) % w->next.shards == w->part;
}

static enum status adopt(void *arg, unsigned i, uint32_t segment)
{
    struct world *w = arg;
    struct memdisk *to = &w->next.at[w->part].disk;
    char name[DISK_NAME_MAX];

    snprintf(name, sizeof name, SEGMENT_NAME, segment);
    memdisk_copy(to, name, memdisk_find(&w->now.at[i].disk, name));
    if (w->links)
        memdisk_find(to, name)->links = w->next.shards;
    w->shared++;
    return STATUS_OK;
}

static struct reshard job(struct world *w, struct store **from)
{
    for (unsigned i = 0; i < w->now.shards; i++)
        from[i] = w->now.at[i].store;
    return (struct reshard){.from = from,
        .from_count = w->now.shards,
        .to = w->next.at[w->part].store,
        .wanted = wanted,
        .wanted_queued = wanted_queued,
        .adopt = adopt,
        .arg = w};
}

static void fill_part(struct world *w)
{
    struct store *from[SHARDS_MAX];
    struct skit *k = &w->next.at[w->part];
    struct store_conf conf = k->conf;
    struct reshard r;

    reshard_conf(&k->conf);
    skit_open(k);
    r = job(w, from);
    assert_int_equal(reshard_copy(&r), STATUS_OK);
    assert_int_equal(reshard_finish(k->store), STATUS_OK);
    skit_open(k);
    r = job(w, from);
    if (reshard_verify(&r) != STATUS_OK)
        fail_msg("%s", r.why);
    reshard_close(k->store);
    k->store = NULL;
    k->conf = conf;
}

/* All new shards are made; then they are the store. They are closed. */
static void reshard(struct world *w, unsigned shards)
{
    struct store *from[SHARDS_MAX];

    for (unsigned i = 0; i < w->now.shards; i++) {
        if (w->now.at[i].store)
            skit_close(&w->now.at[i]);
        skit_open(&w->now.at[i]);
        from[i] = w->now.at[i].store;
    }
    layout_init(&w->next, shards, w->now.first + w->now.shards,
        reshard_segments_from(from, w->now.shards));
    for (w->part = 0; w->part < shards; w->part++)
        fill_part(w);
    for (unsigned i = 0; i < w->now.shards; i++) {
        reshard_close(w->now.at[i].store);
        w->now.at[i].store = NULL;
    }
    layout_free(&w->now);
    w->now = w->next;
    w->next.shards = 0;
    for (unsigned i = 0; i < shards; i++) /* it has moved */
        w->now.at[i].conf.arg = &w->now.at[i];
}

static void open_all(struct world *w)
{
    for (unsigned i = 0; i < w->now.shards; i++)
        if (!w->now.at[i].store)
            skit_open(&w->now.at[i]);
}

static void close_all(struct world *w)
{
    for (unsigned i = 0; i < w->now.shards; i++)
        if (w->now.at[i].store)
            skit_close(&w->now.at[i]);
}

static unsigned adopted_in(const struct skit *k)
{
    struct log_segment_info info;
    unsigned count = 0;

    for (unsigned i = 0; log_segment_at(k->store->log, i, &info); i++)
        count += info.adopted;
    return count;
}

/* Used bytes of segments that the shard wrote itself. */
static uint64_t own_bytes(const struct skit *k)
{
    struct log_segment_info info;
    uint64_t bytes = 0;

    for (unsigned i = 0; log_segment_at(k->store->log, i, &info); i++)
        bytes += info.adopted ? 0 : info.used_bytes;
    return bytes;
}

static unsigned damages(const struct world *w)
{
    unsigned count = 0;

    for (unsigned i = 0; i < w->now.shards; i++)
        count += w->now.at[i].damages;
    return count;
}

/* --- tests -------------------------------------------------------------------- */

static void only_the_index_is_written(void **state)
{
    struct world *w = *state;
    uint64_t live = 0;

    for (unsigned i = 0; i < 2; i++) {
        struct store_stats st;

        store_stats(w->now.at[i].store, &st);
        live += st.live_bytes;
    }
    w->links = true;
    reshard(w, 3);
    open_all(w);
    expect(w);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(adopted_in(&w->now.at[i]) > 5);
        assert_true(own_bytes(&w->now.at[i]) < live / 10);
    }
    assert_int_equal(damages(w), 0);
}

static void it_can_be_done_again_and_again(void **state)
{
    static const unsigned counts[] = {3, 1, 2, 3};
    struct world *w = *state;

    for (unsigned c = 0; c < sizeof counts / sizeof *counts; c++) {
        reshard(w, counts[c]);
        open_all(w);
        expect(w);
        for (unsigned i = 0; i < USERS; i++)
            deliver(w, i, 100 + c, i == c ? LARGE : 900);
        see(w);
        close_all(w);
        for (unsigned i = 0; i < w->now.shards; i++)
            skit_forget_checkpoints(&w->now.at[i]); /* the log alone suffices */
        open_all(w);
        expect(w);
        assert_int_equal(damages(w), 0);
    }
}

static uint64_t live_of(const struct skit *k, bool adopted)
{
    struct log_segment_info info;
    uint64_t bytes = 0;

    for (unsigned i = 0; log_segment_at(k->store->log, i, &info); i++)
        bytes += info.adopted == adopted ? info.live_bytes : 0;
    return bytes;
}

/* What is alive, and where chunks lie, is known with and without a checkpoint. */
static void accounts_survive_a_start(void **state)
{
    struct world *w = *state;
    struct skit *k = &w->now.at[1];
    uint64_t live;
    uint32_t straddles;

    reshard(w, 3);
    skit_open(k);
    live = live_of(k, true);
    straddles = k->store->straddle_count;
    assert_true(live > 4 * 40 * 1000 && straddles > 0);
    skit_close(k);
    skit_forget_checkpoints(k);
    skit_open(k);
    assert_int_equal(live_of(k, true), live);
    assert_int_equal(k->store->straddle_count, straddles);
}

static void keep_few(struct world *w, unsigned i)
{
    struct skit *k = owner(&w->now, i);
    struct user *u = skit_open_user(k, name_of(i));
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");

    assert_int_equal(skit_expunge(k, m, 1, 19, true, NULL), STATUS_OK);
    assert_int_equal(skit_expunge(k, m, 22, 40, true, NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
}

static void idle(struct skit *k, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++)
        skit_turn(k);
}

/* Adopted segments are rewritten like others, and their files go. */
static void compaction_gives_the_disk_back(void **state)
{
    struct world *w = *state;

    reshard(w, 3);
    open_all(w);
    for (unsigned i = 0; i < USERS; i++)
        keep_few(w, i);
    see(w);
    for (unsigned i = 0; i < 3; i++) {
        struct skit *k = &w->now.at[i];
        unsigned before = adopted_in(k);
        struct store_stats st;

        idle(k, 30000);
        store_stats(k->store, &st);
        assert_true(adopted_in(k) < before);
        assert_true(st.log_bytes < 2 * st.live_bytes + (1 << 20));
        assert_true(memdisk_used(&k->disk) < 2 * st.live_bytes + (2 << 20));
    }
    expect(w);
    close_all(w);
    for (unsigned i = 0; i < 3; i++)
        skit_forget_checkpoints(&w->now.at[i]);
    open_all(w);
    expect(w);
    assert_int_equal(damages(w), 0);
    reshard(w, 2); /* what is left of them is adopted again */
    open_all(w);
    expect(w);
}

/* A file that three share costs each a third: nothing is rewritten for having been
 * shared. When the others let go, it is. */
static void who_shares_a_file_has_a_part_of_it(void **state)
{
    struct world *w = *state;
    struct store_stats st;
    struct skit *k = &w->now.at[0];
    unsigned before;

    w->links = true;
    reshard(w, 3);
    open_all(w);
    before = adopted_in(k);
    for (unsigned n = 0; n < 20; n++)
        deliver(w, 0, 200 + n, 1000);
    idle(k, 20000);
    assert_int_equal(adopted_in(k), before);
    for (struct memfile *f = k->disk.files; f; f = f->next)
        f->links = 1;
    for (unsigned n = 0; n < 60; n++) {
        deliver(w, 0, 300 + n, 1000);
        idle(k, 300);
    }
    store_stats(k->store, &st);
    assert_true(st.compacted_bytes > 0);
    assert_true(adopted_in(k) < before);
}

/* The power goes somewhere in the compaction. */
static void a_crash_while_it_moves_out_loses_nothing(void **state)
{
    struct world *w = *state;

    reshard(w, 1);
    open_all(w);
    for (unsigned i = 0; i < USERS; i++)
        keep_few(w, i);
    see(w);
    for (unsigned round = 0; round < 60; round++) {
        struct skit *k = &w->now.at[0];

        idle(k, 17 + 31 * round);
        skit_crash(k, round % 4 != 0);
        if (round % 3 == 0)
            skit_forget_checkpoints(k);
        skit_open(k);
        if (round % 5 == 0)
            expect(w);
    }
    expect(w);
    assert_int_equal(damages(w), 0);
}

static unsigned queued_bytes(unsigned i)
{
    return i % 6 == 5 ? LARGE : 3000 + i;
}

/* Among the mail of users, every third in one message with theirs. */
static void fill_queue(struct world *w)
{
    for (unsigned i = 0; i < QUEUED; i++) {
        struct skit *k = owner(&w->now, i);
        struct qkit_put p = {.users = i % 3 ? NULL : name_of(i % USERS),
            .envelopes = "envelope",
            .tag = "queued",
            .bytes = queued_bytes(i)};

        assert_int_equal(qkit_put(k, &p), STATUS_OK);
        w->queued[i] = p.ids[0];
        if (i % 2)
            assert_int_equal(qkit_change(k, p.ids[0], "tried"), STATUS_OK);
    }
    see(w);
}

/* Each is in one shard, as it was. */
static void expect_queue(struct world *w)
{
    unsigned count = 0, there = 0;

    for (unsigned k = 0; k < w->now.shards; k++)
        there += qkit_count(&w->now.at[k]);
    for (unsigned i = 0; i < QUEUED; i++)
        if (w->queued[i]) {
            qkit_check(&w->now.at[w->queued[i] % w->now.shards], w->queued[i], "envelope",
                i % 2 ? "tried" : "", "queued", queued_bytes(i));
            count++;
        }
    assert_int_equal(there, count);
}

/* The mail goes, entries stay: what they name is moved out of the adopted segments, the
 * power goes meanwhile, and a second resharding takes them on. */
static void entries_of_the_queue_go_along(void **state)
{
    struct world *w = *state;

    fill_queue(w);
    reshard(w, 3);
    open_all(w);
    expect_queue(w);
    for (unsigned i = 0; i < USERS; i++)
        keep_few(w, i);
    see(w);
    for (unsigned i = 0; i < QUEUED; i += 4) {
        assert_int_equal(
            qkit_change(&w->now.at[w->queued[i] % 3], w->queued[i], NULL), STATUS_OK);
        w->queued[i] = 0;
    }
    for (unsigned round = 0; round < 12; round++)
        for (unsigned i = 0; i < 3; i++) {
            struct skit *k = &w->now.at[i];

            idle(k, 100 + 300 * round);
            skit_crash(k, round % 2);
            if (round % 3 == 0)
                skit_forget_checkpoints(k);
            skit_open(k);
        }
    expect_queue(w);
    expect(w);
    reshard(w, 2);
    open_all(w);
    expect_queue(w);
    expect(w);
    assert_int_equal(damages(w), 0);
}

/* Two old shards that number their segments alike, as of format 1: one is adopted, the
 * other's mail is copied. */
static void equal_numbers_are_copied(void **state)
{
    struct world *w = *state;
    struct store *from[2] = {w->now.at[0].store, w->now.at[1].store};

    assert_int_equal(reshard_copied_bytes(from, 2), 0);
    layout_free(&w->now);
    layout_init(&w->now, 2, 0, 0);
    for (unsigned i = 0; i < 2; i++) {
        w->now.at[i].conf.lanes = w->now.at[i].conf.lane = 0;
        skit_open(&w->now.at[i]);
        from[i] = w->now.at[i].store;
    }
    for (unsigned n = 0; n < 15; n++)
        for (unsigned i = 0; i < USERS; i++)
            deliver(w, i, n, n == 7 && i < 3 ? LARGE : 1000);
    see(w);
    assert_true(reshard_copied_bytes(from, 2) > 6 * 15 * 1000);
    for (unsigned c = 3; c > 0; c--) {
        reshard(w, c);
        open_all(w);
        expect(w);
        assert_true(w->shared > 0);
        assert_int_equal(damages(w), 0);
    }
}

/* --- files that are wrong -------------------------------------------------------- */

struct findings {
    unsigned lines;
    char text[100][256];
};

static void say(void *arg, const char *line)
{
    struct findings *f = arg;

    if (getenv("DBG"))
        puts(line);
    if (f->lines < 100)
        snprintf(f->text[f->lines++], sizeof f->text[0], "%s", line);
}

static uint64_t check(struct skit *k, bool repair, struct findings *f)
{
    *f = (struct findings){0};
    return store_check(&k->disk.disk, &k->conf, repair, say, f);
}

static bool said(const struct findings *f, const char *word, const char *other)
{
    for (unsigned i = 0; i < f->lines; i++)
        if (strstr(f->text[i], word) && strstr(f->text[i], other))
            return true;
    return false;
}

static uint64_t body_of(struct skit *k, unsigned user, uint32_t i)
{
    struct user *u = skit_open_user(k, name_of(user));
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");
    struct entry e;

    assert_true(skit_entry(m, i, &e));
    mailbox_close(m);
    user_close(u);
    return e.body;
}

static struct memfile *file_of(struct skit *k, uint64_t place)
{
    char name[DISK_NAME_MAX];

    snprintf(name, sizeof name, SEGMENT_NAME, PLACE_SEGMENT(place));
    return memdisk_find(&k->disk, name);
}

/* Damage is found where it costs a message, and nowhere else. */
static void damage_is_found_by_whom_it_costs(void **state)
{
    struct world *w = *state;
    struct findings f;
    uint64_t mine, other;

    w->links = true;
    reshard(w, 3);
    open_all(w);
    mine = body_of(&w->now.at[0], 3, 5);
    other = body_of(&w->now.at[1], 1, 5); /* of a user who was its neighbour */
    close_all(w);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(check(&w->now.at[i], false, &f), 0);
    memdisk_flip(
        file_of(&w->now.at[0], other), (PLACE_OFFSET(other) + 300) * (uint64_t)8);
    assert_int_equal(check(&w->now.at[0], false, &f), 0);
    memdisk_flip(file_of(&w->now.at[0], mine), (PLACE_OFFSET(mine) + 300) * (uint64_t)8);
    assert_int_equal(check(&w->now.at[0], false, &f), 1);
    assert_true(said(&f, "user=u3@x mailbox=\"INBOX\" uid=6", "message is missing"));
    assert_int_equal(check(&w->now.at[0], true, &f), 1);
    assert_int_equal(check(&w->now.at[0], false, &f), 0);
}

static void a_missing_file_is_refused(void **state)
{
    struct world *w = *state;
    struct findings f;
    uint64_t place;

    reshard(w, 3);
    open_all(w);
    place = body_of(&w->now.at[2], 2, 5);
    close_all(w);
    file_of(&w->now.at[2], place)->linked = false;
    assert_int_equal(skit_try_open(&w->now.at[2]), STATUS_CORRUPT);
    assert_true(check(&w->now.at[2], false, &f) > 1);
    assert_true(said(&f, "file=log-", "the segment is missing"));
    assert_true(said(&f, "user=u2@x mailbox=\"INBOX\" uid=6", "is missing"));
    w->now.at[2].store = NULL;
}

/* The list says what an adopted segment is: its header is not needed. */
static void a_damaged_header_costs_nothing(void **state)
{
    struct world *w = *state;
    struct skit *k = &w->now.at[0];
    uint64_t place;

    reshard(w, 3);
    open_all(w);
    place = body_of(k, 3, 5);
    close_all(w);
    memdisk_fill(file_of(k, place), 0, FORMAT_BLOCK, 'x');
    open_all(w);
    assert_int_equal(damages(w), 1);
    expect(w);
}

static bool is_own(const struct skit *k, const struct memfile *f, uint32_t *number)
{
    *number = (uint32_t)strtoul(f->name + 4, NULL, 16);
    return f->linked && strncmp(f->name, "log-", 4) == 0 &&
        *number >= k->conf.segments_from;
}

/* What the janitor had no time to remove goes; what belongs to a neighbour is refused,
 * and stays. */
static void files_that_no_list_names(void **state)
{
    struct world *w = *state;
    struct skit *k = &w->now.at[0], *other = &w->now.at[1];
    struct memfile *f;
    char name[DISK_NAME_MAX];
    uint32_t number;

    reshard(w, 3);
    open_all(w);
    for (unsigned i = 0; i < USERS; i++)
        keep_few(w, i);
    see(w);
    for (f = k->disk.files; !f->linked || is_own(k, f, &number); f = f->next)
        ;
    snprintf(name, sizeof name, "%s", f->name);
    memdisk_copy(&other->disk, "kept", f);
    idle(k, 30000);
    assert_null(memdisk_find(&k->disk, name)); /* compacted away */
    close_all(w);
    memdisk_copy(&k->disk, name, memdisk_find(&other->disk, "kept"));
    skit_open(k);
    assert_null(memdisk_find(&k->disk, name));
    skit_close(k);
    for (f = other->disk.files; !is_own(other, f, &number); f = f->next)
        ;
    memdisk_copy(&k->disk, f->name, f);
    assert_int_equal(skit_try_open(k), STATUS_CORRUPT);
    assert_non_null(memdisk_find(&k->disk, f->name));
    memdisk_erase(&k->disk, f->name);
    k->store = NULL;
    open_all(w);
    expect(w);
}

/* Without the list that ends the adoption nothing is taken for left over. */
static void a_lost_list_removes_nothing(void **state)
{
    struct world *w = *state;
    struct skit *k = &w->now.at[0];
    unsigned files = 0, after = 0;
    uint32_t number;

    reshard(w, 3);
    for (struct memfile *f = k->disk.files; f; f = f->next) {
        bool own = is_own(k, f, &number);

        files += f->linked;
        for (uint64_t at = FORMAT_BLOCK; own && at + FORMAT_BLOCK <= f->bytes;
             at += FORMAT_ALIGN) {
            struct record_header h;

            memcpy(&h, f->now + at, sizeof h);
            if (h.magic == RECORD_MAGIC && h.kind == RECORD_SEGMENTS &&
                h.length > sizeof(struct segment_range) * 4)
                memdisk_flip(f, (at + 40) * 8);
        }
    }
    assert_int_equal(skit_try_open(k), STATUS_CORRUPT);
    k->store = NULL;
    for (struct memfile *f = k->disk.files; f; f = f->next)
        after += f->linked;
    assert_int_equal(after, files);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_the_index_is_written),
        TEST(it_can_be_done_again_and_again),
        TEST(accounts_survive_a_start),
        TEST(compaction_gives_the_disk_back),
        TEST(who_shares_a_file_has_a_part_of_it),
        TEST(a_crash_while_it_moves_out_loses_nothing),
        TEST(entries_of_the_queue_go_along),
        TEST(equal_numbers_are_copied),
        TEST(damage_is_found_by_whom_it_costs),
        TEST(a_missing_file_is_refused),
        TEST(a_damaged_header_costs_nothing),
        TEST(files_that_no_list_names),
        TEST(a_lost_list_removes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
