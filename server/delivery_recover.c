/* delivery_recover.c -- fan-outs that a crash left open.
 *
 *   shard by shard: list of the open ones --> one by one: its body, read from the log of
 *   the first shard --> a delivery to the users of its account, under its id --> done
 *
 * Shards that stored their share before the crash know the id and store nothing more.
 */
#include <stdlib.h>

#include "server/delivery_state.h"
#include "server/log.h"
#include "server/process.h"

struct open_fanout {
    struct open_fanout *next;
    uint64_t id, body;
    unsigned shard;
    size_t len;
    char rest[];
};

struct recovery {
    struct thread *thread;
    void (*done)(struct thread *t, unsigned left);
    struct op step; /* runs recovery_run() later this turn */
    unsigned shard; /* the next to look at */
    unsigned left;  /* could not be finished */
    struct store *store;
    struct open_fanout *list; /* of this shard */
    struct delivery *delivery;
    struct body body;
    bool reading, committed;
    bool asked; /* for the next piece, which has not been added yet */
    bool owed;  /* the store has not answered */
    enum status status;
};

/* --- the account of the shares (delivery_commit.c writes it) ---------------------- */

struct reading {
    struct slice in;
    bool bad;
};

static struct slice take(struct reading *r, size_t n)
{
    if (r->bad || n > r->in.len) {
        r->bad = true;
        return slice_of(NULL, 0);
    }
    return slice_take(&r->in, n);
}

static uint32_t take_u32(struct reading *r)
{
    struct slice s = take(r, sizeof(uint32_t));
    uint32_t value = 0;

    if (s.len)
        memcpy(&value, s.at, sizeof value);
    return value;
}

struct account_of {
    int64_t date_s;
    struct slice *users; /* NULL: only counted */
    unsigned count;
    struct slice sender;
    bool notice;
};

/* Format 2 has no sender: then nobody hears of it if it comes to that. */
static void read_sender(struct reading *r, struct account_of *a)
{
    struct slice notice;

    a->sender = slice_of(NULL, 0);
    a->notice = false;
    if (r->in.len == 0)
        return;
    a->sender = take(r, take_u32(r));
    notice = take(r, 1);
    a->notice = notice.len && notice.at[0];
}

/* False: it is not what delivery_commit.c writes. */
static bool read_rest(struct slice rest, struct account_of *a)
{
    struct reading r = {.in = rest};
    struct slice date = take(&r, sizeof a->date_s);
    uint32_t shares;

    if (date.len)
        memcpy(&a->date_s, date.at, sizeof a->date_s);
    shares = take_u32(&r);
    a->count = 0;
    while (shares-- > 0 && !r.bad) {
        uint32_t targets;

        take_u32(&r); /* the shard: the name says it too */
        targets = take_u32(&r);
        while (targets-- > 0 && !r.bad) {
            struct slice name = take(&r, take_u32(&r));

            if (a->users && !r.bad)
                a->users[a->count] = name;
            a->count += !r.bad;
        }
    }
    read_sender(&r, a);
    return !r.bad && r.in.len == 0 && a->count > 0;
}

/* --- one fan-out ------------------------------------------------------------------- */

static void recovery_run(struct op *op, int32_t res, uint32_t flags);

static void wake(void *arg)
{
    struct recovery *r = arg;

    if (r->step.pending)
        return;
    op_start(&r->step, recovery_run);
    op_post(&r->thread->ready, &r->step, 0);
}

static bool begin_delivery(struct recovery *r, const struct open_fanout *f)
{
    struct account_of account = {0};
    struct slice rest = slice_of(f->rest, f->len);

    if (!read_rest(rest, &account)) {
        r->status = STATUS_CORRUPT;
        return false;
    }
    account.users = malloc(account.count * sizeof *account.users);
    if (account.users && read_rest(rest, &account)) {
        struct delivery_conf conf = {.users = account.users,
            .count = account.count,
            .sender = account.sender,
            .notice = account.notice,
            .shard = -1};

        r->delivery = delivery_begin(r->thread, &conf, wake, r);
    }
    free(account.users);
    if (!r->delivery) {
        r->status = STATUS_NO_MEMORY;
        return false;
    }
    r->delivery->resumed = true;
    r->delivery->fanout_id = f->id;
    r->delivery->date_s = account.date_s;
    r->delivery->keeper = r->thread;
    r->delivery->keeper_shard = f->shard;
    return true;
}

/* False: r->status says why it can't be done now. */
static bool begin(struct recovery *r)
{
    r->status = STATUS_OK;
    r->committed = false;
    if (!begin_delivery(r, r->list))
        return false;
    r->body = (struct body){0};
    r->status = body_open_place(r->store, &r->body, r->list->body, 0, UINT64_MAX);
    r->reading = r->status == STATUS_OK;
    return r->reading;
}

static void on_piece(struct store_op *op, enum status status)
{
    struct recovery *r = container_of(op, struct recovery, body.op);

    r->owed = false;
    r->status = status;
    wake(r);
}

/* From the log into the delivery. True: the end is there, or r->status says why not. */
static bool feed(struct recovery *r)
{
    for (;;) {
        if (r->owed || delivery_busy(r->delivery))
            return false;
        if (!r->asked) {
            r->asked = true;
            r->owed = !body_next(&r->body, on_piece);
            continue;
        }
        r->asked = false;
        if (r->status != STATUS_OK || r->body.piece.len == 0)
            return true;
        delivery_add(r->delivery, r->body.piece);
    }
}

static void say(const struct recovery *r, enum log_level level, const char *name)
{
    struct event e;

    if (!event_begin(&e, level, name))
        return;
    event_number(&e, "id", r->list->id);
    if (r->status != STATUS_OK)
        event_string(&e, "status", status_text(r->status));
    event_end(&e);
}

static void end(struct recovery *r)
{
    struct open_fanout *f = r->list;

    if (r->reading)
        body_close(&r->body);
    r->reading = false;
    delivery_free(r->delivery);
    r->delivery = NULL;
    if (r->status == STATUS_OK) {
        store_fanout_done(r->store, f->id);
        say(r, LEVEL_NOTICE, "fanout-finished");
    } else {
        r->left++;
        say(r, LEVEL_ERROR, "fanout-open");
    }
    r->list = f->next;
    free(f);
}

/* True: this one is over. */
static bool go_on(struct recovery *r)
{
    if (!r->delivery && !begin(r))
        return true;
    if (!r->committed) {
        if (!feed(r))
            return false;
        if (r->status != STATUS_OK)
            return true;
        delivery_commit(r->delivery, NULL, 0);
        r->committed = true;
    }
    return delivery_done(r->delivery, &r->status);
}

/* --- all of them ---------------------------------------------------------------------
 */

static void collect(struct recovery *r, unsigned shard)
{
    struct open_fanout **tail = &r->list;
    struct store_fanout f;

    for (unsigned i = 0; store_fanout_open(r->store, i, &f); i++) {
        struct open_fanout *copy = malloc(sizeof *copy + f.rest.len);

        if (!copy) {
            r->left++;
            continue;
        }
        copy->next = NULL;
        copy->id = f.id;
        copy->body = f.body;
        copy->shard = shard;
        copy->len = f.rest.len;
        memcpy(copy->rest, f.rest.at, f.rest.len);
        *tail = copy;
        tail = &copy->next;
    }
}

/* The next shard of this thread with open fan-outs; false past the last. */
static bool next_shard(struct recovery *r)
{
    struct thread *t = r->thread;

    while (!r->list && r->shard < process_shards(t->process)) {
        unsigned shard = r->shard++;

        if (thread_of_shard(t, shard) != t)
            continue;
        r->store = shard_store(t, shard);
        collect(r, shard);
    }
    return r->list != NULL;
}

static void recovery_run(struct op *op, int32_t res, uint32_t flags)
{
    struct recovery *r = container_of(op, struct recovery, step);
    struct recovery ended;

    (void)res;
    (void)flags;
    while (r->list || next_shard(r)) {
        if (!go_on(r))
            return;
        end(r);
    }
    ended = *r;
    free(r);
    ended.done(ended.thread, ended.left);
}

void delivery_recover(struct thread *t, void (*done)(struct thread *t, unsigned left))
{
    struct recovery *r = calloc(1, sizeof *r);

    CHECK(r != NULL); /* nobody is being served yet */
    r->thread = t;
    r->done = done;
    wake(r);
}
