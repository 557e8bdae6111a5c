/* The index: what a delivery, a change of flags, a lookup and a login cost without a disk
 * and without a network. The references do the same to an array of entries. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/micro/memory_disk.h"
#include "bench/micro/micro.h"
#include "store/mailbox.h"

enum {
    BATCH = 64,          /* requests at once, as of as many clients */
    USERS = 100,         /* who get mail in turns */
    BODY_BYTES = 1024,   /* of a message */
    SUMMARY_BYTES = 600, /* what ordinary mail takes */
    SEGMENT_BYTES = 16 << 20,
    FLAGS_SHOWN = FLAG_SEEN,
};

struct request {
    struct store_message message;
    struct store_target target;
    struct flags_op flags;
    struct uid_range range;
};

struct kit {
    struct memory_disk *disk;
    struct store *store;
    struct user *user;
    struct mailbox *mailbox;
    struct view view;
    struct packed_entry *array; /* the reference: as many entries as the mailbox has */
    uint32_t count;
    uint64_t random;
    struct request requests[BATCH];
    char names[USERS][24];
    char body[BODY_BYTES], summary[SUMMARY_BYTES];
    char record[BODY_BYTES + SUMMARY_BYTES]; /* where the reference copies to */
};

static uint32_t draw(struct kit *k, uint32_t below)
{
    k->random = k->random * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((k->random >> 32) * below >> 32);
}

/* --- the store ------------------------------------------------------------ */

static void on_done(struct store_op *op, enum status status)
{
    (void)op;
    CHECK(status == STATUS_OK);
}

static void on_event(void *arg, int level, const char *event, const char *text)
{
    (void)arg;
    if (level == SAY_ERROR)
        micro_die("the store says %s %s", event, text);
}

static void turn(struct kit *k)
{
    store_turn(k->store, 1700000000);
    memory_disk_step(k->disk);
}

static void run_until(struct kit *k, const struct store_op *op)
{
    while (op->pending)
        turn(k);
}

static void open_store(struct kit *k, bool drops)
{
    const struct store_conf conf = {.store_id = 1,
        .shard = 1,
        .segment_bytes = SEGMENT_BYTES,
        .recent_bytes = 4 << 20,
        .index_bytes = drops ? 64 << 20 : 1, /* 1: nobody stays whom nobody uses */
        .checkpoint_bytes = UINT64_MAX,
        .compact_percent = STORE_COMPACT_NEVER,
        .mailboxes_max = 100,
        .keywords_max = 256,
        .event = on_event};

    k->disk = memory_disk_open(drops);
    if (store_open(&k->store, &k->disk->disk, &conf, 1700000000) != STATUS_OK)
        micro_die("can't open a store in memory");
    for (size_t at = 0, n = 1; n > 0; at += n)
        n = store_fill_recent(k->store, at);
}

static void close_store(struct kit *k)
{
    struct store_op stop = {.done = on_done};

    store_stop(k->store, &stop);
    run_until(k, &stop);
    store_close(k->store);
    memory_disk_close(k->disk);
}

/* --- deliveries ----------------------------------------------------------- */

static void deliver(struct kit *k, struct request *r, const char *user)
{
    r->target = (struct store_target){.user = slice_str(user)};
    r->message = (struct store_message){.op.done = on_done,
        .head = slice_of(k->body, sizeof k->body),
        .size = sizeof k->body,
        .summary = slice_of(k->summary, sizeof k->summary),
        .date_s = 1700000000,
        .targets = &r->target,
        .target_count = 1};
    store_message(k->store, &r->message);
}

/* n messages, BATCH at once, to the first `users` users in turns. */
static void deliver_all(struct kit *k, uint32_t n, unsigned users)
{
    while (n) {
        uint32_t now = n < BATCH ? n : BATCH;

        for (uint32_t i = 0; i < now; i++)
            deliver(k, &k->requests[i], k->names[(n - i) % users]);
        for (uint32_t i = 0; i < now; i++)
            run_until(k, &k->requests[i].message.op);
        n -= now;
    }
}

static struct kit *make_kit(bool drops)
{
    struct kit *k = micro_take(sizeof *k);

    k->random = 1;
    memset(k->body, 'b', sizeof k->body);
    memset(k->summary, 's', sizeof k->summary);
    for (unsigned i = 0; i < USERS; i++)
        snprintf(k->names[i], sizeof k->names[i], "u%u@example.test", i);
    open_store(k, drops);
    return k;
}

static void *open_delivery(const struct micro *m)
{
    struct kit *k = make_kit(true);

    k->count = m->size;
    k->array = micro_take(k->count * sizeof *k->array);
    deliver_all(k, USERS, USERS); /* they are made */
    return k;
}

static uint64_t run_delivery(void *state, uint64_t passes)
{
    deliver_all(state, (uint32_t)(passes * BATCH), USERS);
    return passes * BATCH;
}

/* Octets of message and summary to the record, an entry to the array. */
static uint64_t copy_delivery(void *state, uint64_t passes)
{
    struct kit *k = state;

    for (uint64_t i = 0; i < passes * BATCH; i++) {
        memcpy(k->record, k->body, sizeof k->body);
        memcpy(k->record + sizeof k->body, k->summary, sizeof k->summary);
        k->array[i % k->count] = (struct packed_entry){.uid = (uint32_t)i};
        micro_keep(k->record);
    }
    return passes * BATCH;
}

static void close_kit(void *state)
{
    struct kit *k = state;

    close_store(k);
    free(k->array);
    free(k);
}

/* --- one mailbox, open ---------------------------------------------------- */

static void on_news(struct view *view)
{
    (void)view;
}

static void open_user(struct kit *k)
{
    struct user_open u = {.op.done = on_done, .name = slice_str(k->names[0])};
    struct mailbox_open b = {.op.done = on_done, .name = S("INBOX")};

    user_open(k->store, &u);
    run_until(k, &u.op);
    k->user = u.user;
    mailbox_open(k->user, &b);
    run_until(k, &b.op);
    k->mailbox = b.mailbox;
}

static void close_user(struct kit *k)
{
    mailbox_close(k->mailbox);
    user_close(k->user);
}

static struct kit *make_mailbox(uint32_t messages, bool drops)
{
    struct kit *k = make_kit(drops);

    k->count = messages;
    k->array = micro_take(messages * sizeof *k->array);
    deliver_all(k, messages, 1);
    open_user(k);
    for (uint32_t i = 0; i < messages; i++)
        k->array[i] = *content_at(k->mailbox->content, i);
    return k;
}

static void *open_mailbox(const struct micro *m)
{
    struct kit *k = make_mailbox(m->size, true);

    view_open(&k->view, k->mailbox, false, on_news);
    return k;
}

static void close_mailbox(void *state)
{
    struct kit *k = state;

    view_close(&k->view);
    close_user(k);
    close_kit(k);
}

/* --- an entry more -------------------------------------------------------- */

static uint64_t run_append(void *state, uint64_t passes)
{
    struct kit *k = state;

    for (uint64_t i = 0; i < passes; i++) {
        struct content *c = content_new(k->store);

        for (uint32_t n = 0; n < k->count; n++)
            CHECK(content_append(c, &k->array[n]));
        micro_keep(c);
        content_free(c);
    }
    return passes * k->count;
}

static uint64_t copy_append(void *state, uint64_t passes)
{
    struct kit *k = state;

    for (uint64_t i = 0; i < passes; i++) {
        struct packed_entry *copy = malloc(k->count * sizeof *copy);

        for (uint32_t n = 0; copy && n < k->count; n++)
            memcpy(&copy[n], &k->array[n], sizeof *copy);
        micro_keep(copy);
        free(copy);
    }
    return passes * k->count;
}

/* --- flags ---------------------------------------------------------------- */

static uint64_t run_flags(void *state, uint64_t passes)
{
    struct kit *k = state;

    for (uint64_t i = 0; i < passes; i++) {
        for (unsigned n = 0; n < BATCH; n++) {
            struct request *r = &k->requests[n];
            uint32_t uid = k->array[draw(k, k->count)].uid;

            r->range = (struct uid_range){uid, uid};
            r->flags = (struct flags_op){.op.done = on_done,
                .uids = &r->range,
                .uid_count = 1,
                .mode = n % 2 ? FLAGS_ADD : FLAGS_REMOVE,
                .flags = FLAGS_SHOWN};
            mailbox_flags(k->mailbox, &r->flags);
        }
        for (unsigned n = 0; n < BATCH; n++)
            run_until(k, &k->requests[n].flags.op);
    }
    return passes * BATCH;
}

/* Finds the entry, changes it, and copies what a record of that says. */
static uint64_t array_flags(void *state, uint64_t passes)
{
    struct kit *k = state;

    for (uint64_t i = 0; i < passes * BATCH; i++) {
        struct packed_entry *e = &k->array[draw(k, k->count)];

        e->flags ^= FLAGS_SHOWN;
        e->modseq++;
        memcpy(k->record, e, sizeof *e);
        micro_keep(k->record);
    }
    return passes * BATCH;
}

/* --- lookups -------------------------------------------------------------- */

static uint64_t run_seq_of_uid(void *state, uint64_t passes)
{
    struct kit *k = state;

    for (uint64_t i = 0; i < passes * BATCH; i++) {
        uint32_t at = draw(k, k->count);

        CHECK(view_seq(&k->view, k->array[at].uid) == at + 1);
    }
    return passes * BATCH;
}

/* The textbook's binary search over the entries. */
static uint64_t array_seq_of_uid(void *state, uint64_t passes)
{
    struct kit *k = state;

    for (uint64_t i = 0; i < passes * BATCH; i++) {
        uint32_t at = draw(k, k->count), uid = k->array[at].uid, lo = 0, hi = k->count;

        while (lo < hi) {
            uint32_t mid = (lo + hi) / 2;

            if (k->array[mid].uid < uid)
                lo = mid + 1;
            else
                hi = mid;
        }
        CHECK(lo == at);
    }
    return passes * BATCH;
}

/* Every sequence number in order, as FETCH 1:* asks. */
static uint64_t run_uid_of_seq(void *state, uint64_t passes)
{
    struct kit *k = state;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < passes; i++)
        for (uint32_t seq = 1; seq <= k->count; seq++)
            sum += view_uid(&k->view, seq);
    micro_keep(&sum);
    return passes * k->count;
}

static uint64_t array_uid_of_seq(void *state, uint64_t passes)
{
    struct kit *k = state;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < passes; i++)
        for (uint32_t seq = 1; seq <= k->count; seq++) {
            micro_keep(k->array);
            sum += k->array[seq - 1].uid;
        }
    micro_keep(&sum);
    return passes * k->count;
}

static uint64_t run_entry_of_seq(void *state, uint64_t passes)
{
    struct kit *k = state;
    struct entry entry;

    for (uint64_t i = 0; i < passes; i++)
        for (uint32_t seq = 1; seq <= k->count; seq++) {
            CHECK(view_entry(&k->view, seq, &entry));
            micro_keep(&entry);
        }
    return passes * k->count;
}

static uint64_t array_entry_of_seq(void *state, uint64_t passes)
{
    struct kit *k = state;
    struct packed_entry entry;

    for (uint64_t i = 0; i < passes; i++)
        for (uint32_t seq = 1; seq <= k->count; seq++) {
            entry = k->array[seq - 1];
            micro_keep(&entry);
        }
    return passes * k->count;
}

/* --- views and logins ----------------------------------------------------- */

static uint64_t run_view_open(void *state, uint64_t passes)
{
    struct kit *k = state;
    struct view view;

    for (uint64_t i = 0; i < passes; i++) {
        view_open(&view, k->mailbox, true, on_news);
        micro_keep(&view);
        view_close(&view);
    }
    return passes;
}

/* A list of one's own, which is what a view saves. */
static uint64_t copy_mailbox(void *state, uint64_t passes)
{
    struct kit *k = state;

    for (uint64_t i = 0; i < passes; i++) {
        struct packed_entry *copy = malloc(k->count * sizeof *copy);

        CHECK(copy);
        memcpy(copy, k->array, k->count * sizeof *copy);
        micro_keep(copy);
        free(copy);
    }
    return passes;
}

/* Turns until nothing of the user is in memory. */
static void chill(struct kit *k)
{
    struct store_stats stats;

    do {
        turn(k);
        store_stats(k->store, &stats);
    } while (stats.users_loaded);
}

static void *open_cold(const struct micro *m)
{
    struct kit *k = make_mailbox(m->size, false);

    close_user(k);
    chill(k);
    return k;
}

static uint64_t run_cold(void *state, uint64_t passes)
{
    struct kit *k = state;

    for (uint64_t i = 0; i < passes; i++) {
        open_user(k);
        CHECK(k->mailbox->content->messages == k->count);
        close_user(k);
        chill(k);
    }
    return passes;
}

#define MAILBOX(case, what, messages, runs, references)                       \
    {                                                                         \
        .name = case, .against = what, .unit = MICRO_TIMES, .size = messages, \
        .open = open_mailbox, .run = runs, .reference = references,           \
        .close = close_mailbox                                                \
    }

const struct micro micro_index[] = {{.name = "index-deliver",
                                        .against = "memcpy of its bytes",
                                        .unit = MICRO_TIMES,
                                        .size = 10000,
                                        .open = open_delivery,
                                        .run = run_delivery,
                                        .reference = copy_delivery,
                                        .close = close_kit},
    MAILBOX("index-append", "memcpy to an array", 10000, run_append, copy_append),
    MAILBOX("index-flags", "array and memcpy", 10000, run_flags, array_flags),
    MAILBOX("index-seq-of-uid", "search of an array", 10000, run_seq_of_uid,
        array_seq_of_uid),
    MAILBOX("index-uid-of-seq", "array", 10000, run_uid_of_seq, array_uid_of_seq),
    MAILBOX("index-entry-of-seq", "array", 10000, run_entry_of_seq, array_entry_of_seq),
    MAILBOX(
        "index-view-open", "memcpy of all entries", 10000, run_view_open, copy_mailbox),
    {.name = "index-user-cold-100",
        .against = "memcpy of all entries",
        .unit = MICRO_TIMES,
        .size = 100,
        .open = open_cold,
        .run = run_cold,
        .reference = copy_mailbox,
        .close = close_kit},
    {.name = "index-user-cold-10000",
        .against = "memcpy of all entries",
        .unit = MICRO_TIMES,
        .size = 10000,
        .open = open_cold,
        .run = run_cold,
        .reference = copy_mailbox,
        .close = close_kit},
    {0}};
