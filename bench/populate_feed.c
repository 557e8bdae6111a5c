/* populate_feed.c -- one shard's part of the plan, through the store like any delivery.
 *
 * Enough messages are under way to fill every batch in flight; as each is durable its
 * place is used for the next.
 *
 * Users are in memory from before their first message until after their last, some
 * thousands at a time: the store writes the state of each as he leaves, as it does with
 * users who come and go, and nothing of it is read from the disk. */
#include <stdlib.h>
#include <string.h>

#include "bench/populate.h"
#include "proto/mime/summary.h"

enum {
    SLOTS_MAX = 2048, /* under way, of a shard */
    SLOTS_MIN = 64,
    SLOTS_BYTES = 8 << 20, /* of text, about */
    TURN_STARTS = 256,     /* then the ring has its turn */
    GROUP = 4096,          /* users who get mail by turns */
    LEAVING_MAX = 4096,    /* who are in memory still, when the next group comes */
};

struct account {
    struct user *open;
    uint64_t left; /* his messages that are not durable */
    uint32_t number;
};

struct slot {
    struct slot *next; /* in the list of free ones */
    struct populate_feed *feed;
    struct account *account;
    struct store_message message;
    struct store_target target;
    struct user_open open;
    struct arena arena; /* of the summary */
    char name[POPULATE_NAME_MAX];
    char *text;
};

struct populate_feed {
    const struct populate_plan *plan;
    struct store *store;
    struct account *accounts; /* of this shard, ascending */
    uint64_t account_count;
    uint64_t from, to;  /* the group */
    uint64_t at, round; /* next is account `at`: opened in round 0, then its messages */
    struct slot *slots, *free;
    char *texts;
    unsigned slot_count, busy;
    uint64_t stored;
    bool waits; /* the next group does, for memory */
    bool dealt; /* nothing comes next, */
    bool cut;   /* as it ends early */
    _Alignas(64) _Atomic uint64_t messages;
    _Atomic int status;
    _Atomic bool over;
};

/* --- what comes next ------------------------------------------------------ */

/* An account to open, or message `number` for it. */
struct item {
    struct account *account;
    uint64_t number;
    bool message;
};

static uint64_t messages_for(const struct populate_plan *plan, uint64_t user)
{
    if (plan->one_mailbox)
        return user == 0 ? plan->messages : 0;
    return plan->messages / plan->users + (user < plan->messages % plan->users);
}

/* Those who leave go at the pace of the disk. */
static bool is_crowded(struct populate_feed *f)
{
    struct store_stats stats;

    store_stats(f->store, &stats);
    return stats.users_loaded > LEAVING_MAX;
}

/* The first of a group has the most messages. False: nothing comes now. */
static bool next_round(struct populate_feed *f)
{
    if (f->from < f->to &&
        f->round < messages_for(f->plan, f->accounts[f->from].number)) {
        f->round++;
        f->at = f->from;
        return true;
    }
    f->dealt = f->to == f->account_count;
    f->waits = !f->dealt && is_crowded(f);
    if (f->dealt || f->waits)
        return false;
    f->at = f->from = f->to;
    f->to += f->account_count - f->to < GROUP ? f->account_count - f->to : GROUP;
    f->round = 0;
    return true;
}

/* Message n is for user n mod users: each has the same number, give or take one, and
 * those of a group come by turns, as mail does. False: nothing comes now. */
static bool next_item(struct populate_feed *f, struct item *item)
{
    uint64_t stride = f->plan->one_mailbox ? 1 : f->plan->users;
    struct account *a = &f->accounts[f->at];

    while (f->at == f->to || f->round > messages_for(f->plan, a->number)) {
        if (!next_round(f))
            return false;
        a = &f->accounts[f->at];
    }
    f->at++;
    *item = (struct item){.account = a, .message = f->round > 0};
    if (item->message)
        item->number = (f->round - 1) * stride + a->number;
    else
        a->left = messages_for(f->plan, a->number);
    return true;
}

/* --- a slot --------------------------------------------------------------- */

/* Also when the last one ends behind populate_turn(): the thread may sleep then. */
static void look_over(struct populate_feed *f)
{
    if (f->dealt && f->busy == 0)
        atomic_store_explicit(&f->over, true, memory_order_release);
}

static void slot_free(struct slot *slot)
{
    struct populate_feed *f = slot->feed;

    slot->next = f->free;
    f->free = slot;
    f->busy--;
    look_over(f);
}

static void fail(struct populate_feed *f, enum status status)
{
    atomic_store_explicit(&f->status, status, memory_order_relaxed);
    f->dealt = f->cut = true;
}

/* With his last message he leaves. */
static void leave(struct account *a)
{
    if (!a->open || a->left > 0)
        return;
    user_close(a->open);
    a->open = NULL;
}

static void on_message(struct store_op *op, enum status status)
{
    struct slot *slot = container_of(op, struct slot, message.op);
    struct populate_feed *f = slot->feed;

    arena_reset(&slot->arena);
    if (status == STATUS_OK) {
        atomic_store_explicit(&f->messages, ++f->stored, memory_order_relaxed);
        slot->account->left--;
        leave(slot->account);
    } else {
        fail(f, status);
    }
    slot_free(slot);
}

static void on_open(struct store_op *op, enum status status)
{
    struct slot *slot = container_of(op, struct slot, open.op);

    if (status == STATUS_OK) {
        slot->account->open = slot->open.user;
        leave(slot->account);
    } else {
        fail(slot->feed, status);
    }
    slot_free(slot);
}

static struct slice summary_of(struct slot *slot, struct slice text)
{
    struct summary_builder *b = summary_begin(&slot->arena, &summary_defaults);

    if (!b)
        return slice_of(NULL, 0);
    summary_feed(b, text);
    return summary_end(b);
}

static void start_message(struct slot *slot, const struct item *item, struct slice user)
{
    struct populate_feed *f = slot->feed;
    struct slice text = slice_of(slot->text, f->plan->size);
    struct slice summary;

    populate_text(f->plan, item->number, user, slot->text);
    summary = summary_of(slot, text);
    if (!summary.at) {
        arena_reset(&slot->arena);
        fail(f, STATUS_NO_MEMORY);
        slot_free(slot);
        return;
    }
    slot->target = (struct store_target){.user = user};
    slot->message = (struct store_message){.head = text,
        .size = text.len,
        .summary = summary,
        .date_s = populate_date(item->number),
        .targets = &slot->target,
        .target_count = 1};
    slot->message.op.done = on_message;
    store_message(f->store, &slot->message);
}

static void start(struct slot *slot, const struct item *item)
{
    struct populate_feed *f = slot->feed;
    struct slice user = populate_name(f->plan, item->account->number, slot->name);

    slot->account = item->account;
    if (item->message) {
        start_message(slot, item, user);
        return;
    }
    slot->open = (struct user_open){.name = user, .create = true};
    slot->open.op.done = on_open;
    user_open(f->store, &slot->open);
}

/* --- a turn --------------------------------------------------------------- */

static bool start_next(struct populate_feed *f)
{
    struct slot *slot = f->free;
    struct item item;

    if (!slot || f->dealt)
        return false;
    if (!next_item(f, &item))
        return false;
    f->free = slot->next;
    f->busy++;
    start(slot, &item);
    return true;
}

bool populate_turn(struct thread *t)
{
    struct populate_feed *f = t->sessions;
    unsigned started = 0;

    if (!f)
        return false;
    while (started < TURN_STARTS && start_next(f))
        started++;
    look_over(f);
    return started > 0 || (f->waits && !f->dealt);
}

/* --- beginning and end ---------------------------------------------------- */

static bool find_accounts(struct thread *t, struct populate_feed *f)
{
    char name[POPULATE_NAME_MAX];

    f->accounts = malloc(f->plan->users * sizeof *f->accounts);
    if (!f->accounts)
        return false;
    for (uint64_t i = 0; i < f->plan->users; i++)
        if (shard_of_user(t, populate_name(f->plan, i, name)) == t->index)
            f->accounts[f->account_count++] = (struct account){.number = (uint32_t)i};
    return true;
}

static bool make_slots(struct populate_feed *f)
{
    uint64_t size = f->plan->size, count = SLOTS_BYTES / size;

    f->slot_count = (unsigned)(count > SLOTS_MAX ? SLOTS_MAX
            : count < SLOTS_MIN                  ? SLOTS_MIN
                                                 : count);
    f->slots = calloc(f->slot_count, sizeof *f->slots);
    f->texts = malloc(f->slot_count * size);
    if (!f->slots || !f->texts)
        return false;
    for (unsigned i = f->slot_count; i-- > 0;) {
        struct slot *slot = &f->slots[i];

        slot->feed = f;
        slot->text = f->texts + i * size;
        slot->arena = arena_of(summary_memory(&summary_defaults));
        slot->next = f->free;
        f->free = slot;
    }
    return true;
}

bool populate_begin(struct thread *t, const struct populate_plan *plan)
{
    struct populate_feed *f = aligned_alloc(64, sizeof *f);

    if (!f)
        return false;
    memset(f, 0, sizeof *f);
    f->plan = plan;
    f->store = shard_store(t, t->index);
    t->sessions = f;
    if (find_accounts(t, f) && make_slots(f))
        return true;
    populate_end(t);
    return false;
}

void populate_stopping(struct thread *t)
{
    struct populate_feed *f = t->sessions;

    if (f && !f->dealt)
        f->dealt = f->cut = true;
}

bool populate_drained(const struct thread *t)
{
    struct populate_feed *f = t->sessions;
    struct store_stats stats;

    if (!f || f->busy > 0)
        return !f;
    for (uint64_t i = 0; f->cut && i < f->account_count; i++) {
        f->accounts[i].left = 0;
        leave(&f->accounts[i]);
    }
    store_stats(f->store, &stats);
    return f->cut || stats.users_loaded == 0;
}

void populate_end(struct thread *t)
{
    struct populate_feed *f = t->sessions;

    t->sessions = NULL;
    if (!f)
        return;
    free(f->accounts);
    free(f->slots);
    free(f->texts);
    free(f);
}

void populate_progress(const struct populate_feed *f, struct populate_progress *p)
{
    p->over = atomic_load_explicit(&f->over, memory_order_acquire);
    p->messages = atomic_load_explicit(&f->messages, memory_order_relaxed);
    p->status = (enum status)atomic_load_explicit(&f->status, memory_order_relaxed);
}
