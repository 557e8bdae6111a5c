/* Memory that runs out: each allocation of the store fails once. Every request is
 * answered, nothing crashes, and what was answered with OK is there after a restart. */
#include <stdbool.h>
#include <stdlib.h>

#include "store/cells.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *at, size_t n);
void *__real_cell_take(struct cells *c);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *at, size_t n);
void *__wrap_cell_take(struct cells *c);

/* The kit's own memory does not run out. */
#define malloc  __real_malloc
#define calloc  __real_calloc
#define realloc __real_realloc
#include "tests/store/memdisk.c"
#include "tests/store/queuekit.c"
#include "tests/store/storekit.c"
#undef malloc
#undef calloc
#undef realloc

static unsigned long allocations, fails_at;

static bool fails(void)
{
    return fails_at && ++allocations == fails_at;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *at, size_t n)
{
    return fails() ? NULL : __real_realloc(at, n);
}

void *__wrap_cell_take(struct cells *c)
{
    return fails() ? NULL : __real_cell_take(c);
}

enum { INBOX_MAX = 64, QUEUED_MAX = 16 };

/* What was acknowledged. */
struct acked {
    uint32_t uids[INBOX_MAX];
    char tags[INBOX_MAX][16];
    unsigned count;
    bool seen; /* all of those have been flagged */
    bool folder, renamed;
    struct {
        uint64_t id;
        unsigned bytes;
        bool tried, settled;
    } queued[QUEUED_MAX];
    unsigned queued_count, reports;
    uint64_t left; /* what became of a fan-out */
};

static bool fine(enum status status)
{
    assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
    return status == STATUS_OK;
}

static void deliver(struct skit *k, struct acked *a, unsigned n)
{
    char *tag = a->tags[a->count];

    snprintf(tag, sizeof a->tags[0], "tag %u", n);
    if (fine(skit_deliver(k, "a@x", NULL, tag, n % 5 ? 500 : 150000, &a->uids[a->count])))
        a->count++;
}

static void on_news(struct view *v)
{
    (void)v;
}

static void watch(struct skit *k, struct mailbox *m, struct acked *a)
{
    struct view v;
    struct view_news news;
    unsigned count;

    view_open(&v, m, false, on_news);
    count = v.count;
    if (fine(skit_flags(k, m, 1, 1000, FLAGS_ADD, FLAG_SEEN, "$Keyword")))
        a->seen = true;
    if (a->count > 3 && fine(skit_expunge(k, m, a->uids[0], a->uids[0], true, NULL))) {
        memmove(a->uids, a->uids + 1, sizeof a->uids - sizeof a->uids[0]);
        memmove(a->tags, a->tags + 1, sizeof a->tags - sizeof a->tags[0]);
        a->count--;
    }
    while (view_news(&v, true, &news) != VIEW_NONE)
        count -= news.event == VIEW_EXPUNGE;
    assert_int_equal(count, m->content->messages);
    view_close(&v);
}

static void use(struct skit *k, struct acked *a)
{
    struct user *u;
    struct mailbox *m;
    struct entry e;
    struct slice bytes;

    if (!fine(skit_user(k, "a@x", true, &u)))
        return;
    if (fine(skit_change(k, u, MAILBOX_CREATE, "a/b", NULL)))
        a->folder = true;
    if (fine(skit_mailbox(k, u, "INBOX", &m))) {
        watch(k, m, a);
        if (skit_entry(m, 0, &e)) {
            fine(skit_read(k, &e, 0, 1000, &bytes));
            free((char *)bytes.at);
            fine(skit_summary(k, m, &e, &bytes));
            free((char *)bytes.at);
        }
        fine(skit_copy(k, m, 1, 1000, "Sent", false, NULL));
        mailbox_close(m);
    }
    if (a->folder && fine(skit_change(k, u, MAILBOX_RENAME, "a", "c/d")))
        a->renamed = true;
    fine(skit_change(k, u, MAILBOX_SUBSCRIBE, "nothing", NULL));
    fine(skit_change(k, u, MAILBOX_DELETE, "Trash", NULL));
    user_close(u);
}

/* All of a message, its entries, and what it settles, or nothing. */
static void enqueue(struct skit *k, struct acked *a, unsigned n)
{
    struct qkit_put p = {.users = n % 2 ? "q@x" : NULL,
        .envelopes = "e1 e2",
        .tag = "queued",
        .bytes = n % 3 ? 900 : 140000};
    unsigned at = a->queued_count;

    if (!fine(qkit_put(k, &p)))
        return;
    a->queued[at].id = p.ids[0];
    a->queued[at].bytes = p.bytes;
    a->queued[at].tried = fine(qkit_change(k, p.ids[0], "a state of some length"));
    fine(qkit_change(k, p.ids[1], NULL));
    a->queued_count++;
}

static void settle(struct skit *k, struct acked *a)
{
    unsigned at = a->queued_count - 1;
    struct store_queue_change change = {
        .id = a->queued_count ? a->queued[at].id : 0, .state = S("settled")};
    struct qkit_put p = {
        .users = "r@x", .tag = "report", .bytes = 300, .settles = &change};

    if (a->queued_count && fine(qkit_put(k, &p))) {
        a->queued[at].settled = true;
        a->reports++;
    }
}

static void leave_fanout(struct skit *k, struct acked *a)
{
    struct slice envelope = S("left");
    uint64_t id;
    struct store_fanout_queue q = {.op.done = skit_done,
        .fanout_id = 99,
        .size = 500,
        .envelopes = &envelope,
        .count = 1,
        .ids = &id};
    struct qkit_put p = {
        .users = "f@x", .tag = "fanout", .bytes = 500, .fanout_id = 99, .rest = "rest"};

    if (!fine(qkit_put(k, &p)))
        return;
    store_fanout_queue(k->store, &q);
    skit_run(k, &q.op);
    if (fine(skit_status(&q.op)))
        a->left = id;
}

/* Segments that die, so that what is left in them is moved. */
static void leave_garbage(struct skit *k)
{
    struct user *u;
    struct mailbox *m;
    uint32_t uid = 0;

    for (unsigned i = 0; i < 30; i++)
        fine(skit_deliver(k, "c@x", NULL, "garbage", 60000, &uid));
    if (!fine(skit_user(k, "c@x", true, &u)))
        return;
    if (fine(skit_mailbox(k, u, "INBOX", &m))) {
        fine(skit_expunge(k, m, 1, 28, true, NULL));
        mailbox_close(m);
    }
    user_close(u);
    for (unsigned i = 0; i < 500; i++)
        skit_turn(k);
}

static void scenario(struct skit *k, struct acked *a)
{
    bool b;

    k->store->chain_fold = 3;
    k->store->page_entries = 8;
    k->store->turn_budget = 8;
    k->store->fold_slice = 2;
    k->store->inline_entries = 2;
    for (unsigned i = 0; i < 12; i++)
        deliver(k, a, i);
    use(k, a);
    for (unsigned i = 0; i < 4; i++)
        enqueue(k, a, i);
    settle(k, a);
    leave_fanout(k, a);
    leave_garbage(k);
    enqueue(k, a, 4);
    b = fine(skit_deliver(k, "b@x", "Sent", "other", 300, NULL));
    for (unsigned i = 0; i < 40; i++)
        skit_turn(k);
    for (unsigned i = 12; i < 16; i++)
        deliver(k, a, i);
    if (b)
        fine(skit_remove(k, "b@x"));
}

static void verify(struct skit *k, const struct acked *a)
{
    struct user *u;
    struct mailbox *m;
    struct mailbox_info info;

    if (a->count == 0)
        return;
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    for (unsigned i = 0; i < a->count; i++) {
        const struct packed_entry *p = content_find(m->content, a->uids[i]);
        struct entry e;

        assert_non_null(p);
        entry_public(p, &e);
        skit_check_body(k, &e, a->tags[i], (unsigned)e.size);
    }
    if (a->renamed)
        assert_true(user_mailbox_find(u, S("c/d/b"), &info) && info.selectable);
    mailbox_close(m);
    user_close(u);
}

static unsigned inbox_of(struct skit *k, const char *name)
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

static void verify_queue(struct skit *k, const struct acked *a)
{
    for (unsigned i = 0; i < a->queued_count; i++)
        qkit_check(k, a->queued[i].id, "e1",
            a->queued[i].settled     ? "settled"
                : a->queued[i].tried ? "a state of some length"
                                     : "",
            "queued", a->queued[i].bytes);
    assert_int_equal(inbox_of(k, "r@x"), a->reports);
    if (a->left)
        qkit_check(k, a->left, "left", "", "fanout", 500);
}

/* Returns whether the allocation was reached. */
static bool run(unsigned long n)
{
    struct skit k;
    struct acked a = {0};
    bool reached;

    skit_init(&k, 1);
    k.conf.index_bytes = 1;
    k.conf.segment_bytes = 512 << 10;
    k.conf.checkpoint_bytes = 512 << 10;
    allocations = 0;
    fails_at = n;
    while (skit_try_open(&k) != STATUS_OK)
        ;
    scenario(&k, &a);
    reached = allocations >= n;
    fails_at = 0;
    skit_crash(&k, true);
    skit_open(&k);
    verify(&k, &a);
    verify_queue(&k, &a);
    skit_close(&k);
    skit_free(&k);
    return reached;
}

/* The sanitizers make each run twenty times slower. */
static const unsigned stride = KIT_STEP > 1 ? 4 * KIT_STEP : 1;

static void every_allocation_may_fail_once(void **state)
{
    unsigned long n = 1;

    (void)state;
    if (getenv("MEMORY_AT")) {
        run(strtoul(getenv("MEMORY_AT"), NULL, 10));
        return;
    }
    for (; run(n); n += (n < 300 ? 1 : 3) * stride)
        if (getenv("MEMORY_VERBOSE"))
            fprintf(stderr, "%lu\n", n);
    assert_true(n > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
