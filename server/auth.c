/* auth.c -- one password check, step by step:
 *
 *   start --> owner of the user: remembered? place among his connections
 *     | no such user, not remembered                   \--> OK, TOO_MANY
 *     v
 *   keeper of the address: how many failures of late? --> wait that long
 *     v
 *   queue --> worker pool: hash --> fits --> owner: remember, place --> OK, TOO_MANY
 *     | full --> BUSY                \--> does not --> keeper: one more
 *     v                                                 --> fixed deadline --> FAILED
 *
 * Whether the account exists, may log in or has another password changes neither the
 * steps nor the time of the answer.
 */
#include "server/auth.h"

#include <stdlib.h>

#include "server/admin_state.h"
#include "server/config.h"
#include "server/password.h"

enum {
    FAILED_MS = 500,       /* from the start of a failed check to its answer */
    FAILED_EACH_MS = 25,   /* more for each failure of late; so little that two attempts
                              in a row can't be told apart by it */
    FAILED_MORE_MS = 5000, /* at most that much more */
    FAILED_STEP_MS = 100,  /* an answer that comes late comes at a whole step */
    RETRY_MS = 20          /* the worker pool was full */
};

#define MS 1000000LL

enum check_at {  /* where it waits */
    CHECK_CALL,  /* another thread */
    CHECK_TIMER, /* the penalty or the deadline */
    CHECK_QUEUE, /* a worker */
    CHECK_WORKER
};

/* The memory of a check while it runs; holds the password. */
struct check {
    struct list link;  /* of the thread's checks */
    struct list queue; /* while it waits for a worker */
    struct auth *auth;
    struct thread *thread;
    struct call call;
    enum check_at at;
    bool known;      /* an account that may log in from there */
    bool fits;       /* the password does */
    bool remembered; /* by the owner */
    bool full;       /* the user has all his connections */
    bool limited;    /* the limits count for this address */
    int64_t start_ns;
    uint64_t source;
    uint32_t failures;
    size_t field_len, password_len;
    char field[PASSWORD_FIELD_MAX];  /* of the account, or of another one */
    char password[PASSWORD_MAX + 1]; /* one octet more: too long stays too long */
};

static void ask_keeper(struct check *k);
static void ask_owner(struct check *k);

static struct slice field_of(const struct check *k)
{
    return slice_of(k->field, k->field_len);
}

static struct slice password_of(const struct check *k)
{
    return slice_of(k->password, k->password_len);
}

/* --- the end ----------------------------------------------------------- */

static void finish(struct check *k, enum auth_result result)
{
    struct auth *auth = k->auth;
    struct admin *a = admin_of(k->thread);

    auth->result = result;
    auth->state = NULL;
    a->stats.failed += result == AUTH_FAILED;
    a->stats.busy += result == AUTH_BUSY;
    if (result != AUTH_OK) {
        slot_free(k->thread, auth->slot);
        auth->slot = NULL;
    }
    list_remove(&k->link);
    explicit_bzero(k, sizeof *k);
    free(k);
    auth->done(auth);
}

static void on_deadline(struct timer *timer)
{
    struct auth *auth = container_of(timer, struct auth, timer);

    finish(auth->state, AUTH_FAILED);
}

static int64_t penalty_ns(const struct check *k)
{
    int64_t ms = (int64_t)k->failures * FAILED_EACH_MS;

    return (ms < FAILED_MORE_MS ? ms : FAILED_MORE_MS) * MS;
}

/* When a failure is answered: fixed, or the next whole step when the hash took longer. */
static int64_t deadline_ns(const struct check *k)
{
    int64_t at = k->start_ns + FAILED_MS * MS + penalty_ns(k);
    int64_t late = k->thread->now_ns - at;

    if (late > 0)
        at += (late / (FAILED_STEP_MS * MS) + 1) * FAILED_STEP_MS * MS;
    return at;
}

static void wait_for_deadline(struct check *k)
{
    k->at = CHECK_TIMER;
    timer_set(k->thread, &k->auth->timer, deadline_ns(k), on_deadline);
}

static void run_count_failure(struct thread *keeper, struct call *call)
{
    struct check *k = container_of(call, struct check, call);

    failures_add(&admin_of(keeper)->failures, k->source, admin_seconds(keeper));
    call_answer(call);
}

static void on_failure_counted(struct thread *t, struct call *call)
{
    struct check *k = container_of(call, struct check, call);

    (void)t;
    wait_for_deadline(k);
}

static void fail(struct check *k)
{
    if (!k->limited) {
        wait_for_deadline(k);
        return;
    }
    k->at = CHECK_CALL;
    k->call.run = run_count_failure;
    k->call.done = on_failure_counted;
    call_send(k->thread, thread_of_hash(k->thread, k->source), &k->call);
}

/* --- the hash ---------------------------------------------------------- */

static void hash_some(struct thread *t);

static void work(struct job *job)
{
    struct auth *auth = container_of(job, struct auth, job);
    struct check *k = auth->state;

    k->fits = password_fits(field_of(k), password_of(k)) && k->known;
}

static void on_hashed(struct job *job)
{
    struct auth *auth = container_of(job, struct auth, job);
    struct check *k = auth->state;
    struct thread *t = k->thread;

    admin_of(t)->hashing--;
    hash_some(t);
    if (admin_of(t)->stopping)
        finish(k, AUTH_BUSY);
    else if (k->fits)
        ask_owner(k);
    else
        fail(k);
}

static void on_retry(struct timer *timer)
{
    hash_some(container_of(timer, struct admin, retry)->thread);
}

/* Gives workers what they may have; those without failures go first. */
static void hash_some(struct thread *t)
{
    struct admin *a = admin_of(t);

    while (a->hashing < HASHES_AT_ONCE && a->waiting_count > 0) {
        struct list *first = a->waiting[list_empty(&a->waiting[0])].next;
        struct check *k = container_of(first, struct check, queue);

        k->auth->job.work = work;
        k->auth->job.done = on_hashed;
        if (!worker_start(t, &k->auth->job)) { /* it stays in front */
            if (a->hashing == 0 && !list_linked(&a->retry.link))
                timer_set(t, &a->retry, t->now_ns + RETRY_MS * MS, on_retry);
            return;
        }
        list_remove(first);
        k->at = CHECK_WORKER;
        a->waiting_count--;
        a->hashing++;
    }
}

static void queue_hash(struct check *k)
{
    struct thread *t = k->thread;
    struct admin *a = admin_of(t);

    if (password_kind(field_of(k)) != PASSWORD_CRYPT) { /* compared at the start */
        fail(k);
        return;
    }
    if (a->stopping || a->waiting_count >= t->config->max_hashes) {
        finish(k, AUTH_BUSY);
        return;
    }
    k->at = CHECK_QUEUE;
    a->waiting_count++;
    list_add(&a->waiting[k->failures > 0], &k->queue);
    hash_some(t);
}

/* --- the keeper of the address ------------------------------------------ */

static void on_penalty_over(struct timer *timer)
{
    struct auth *auth = container_of(timer, struct auth, timer);

    queue_hash(auth->state);
}

static void run_ask_keeper(struct thread *keeper, struct call *call)
{
    struct check *k = container_of(call, struct check, call);

    k->failures =
        failures_of(&admin_of(keeper)->failures, k->source, admin_seconds(keeper));
    call_answer(call);
}

static void on_keeper(struct thread *t, struct call *call)
{
    struct check *k = container_of(call, struct check, call);

    if (admin_of(t)->stopping) {
        finish(k, AUTH_BUSY);
    } else if (k->failures == 0) {
        queue_hash(k);
    } else {
        k->at = CHECK_TIMER;
        timer_set(t, &k->auth->timer, k->start_ns + penalty_ns(k), on_penalty_over);
    }
}

static void ask_keeper(struct check *k)
{
    if (!k->limited) {
        queue_hash(k);
        return;
    }
    k->at = CHECK_CALL;
    k->call.run = run_ask_keeper;
    k->call.done = on_keeper;
    call_send(k->thread, thread_of_hash(k->thread, k->source), &k->call);
}

/* --- the owner of the user ---------------------------------------------- */

static void run_ask_owner(struct thread *owner, struct call *call)
{
    struct check *k = container_of(call, struct check, call);
    struct login_slot *slot = k->auth->slot;
    struct recent *recent = &admin_of(owner)->recent;
    bool plain = password_kind(field_of(k)) == PASSWORD_PLAIN;

    if (!plain) {
        struct digest digest =
            remembered_digest(recent, slot_name(slot), field_of(k), password_of(k));
        uint32_t now_s = admin_seconds(owner);

        if (k->fits)
            remembered_add(recent, &digest, now_s, (uint32_t)owner->config->auth_cache);
        else
            k->remembered = remembered_has(recent, &digest, now_s);
    }
    if ((k->fits || k->remembered) && k->limited)
        k->full = !user_take(owner, slot, owner->config->max_connections_user);
    call_answer(call);
}

static void on_owner(struct thread *t, struct call *call)
{
    struct check *k = container_of(call, struct check, call);

    admin_of(t)->stats.remembered += k->remembered;
    if (admin_of(t)->stopping)
        finish(k, AUTH_BUSY);
    else if (!k->fits && !k->remembered)
        ask_keeper(k);
    else
        finish(k, k->full ? AUTH_TOO_MANY : AUTH_OK);
}

static void ask_owner(struct check *k)
{
    k->at = CHECK_CALL;
    k->call.run = run_ask_owner;
    k->call.done = on_owner;
    call_send(k->thread, thread_of_user(k->thread, slot_name(k->auth->slot)), &k->call);
}

/* --- the start --------------------------------------------------------- */

static void on_no_memory(struct timer *timer)
{
    struct auth *auth = container_of(timer, struct auth, timer);

    auth->result = AUTH_BUSY;
    auth->done(auth);
}

/* For a name that can't log in: the field of some account, so that the hash takes as long
 * as those of this server do. The same name always gets the same one. */
static struct slice other_field(const struct accounts *a, struct slice name)
{
    unsigned count = accounts_count(a);

    if (!count)
        return S("");
    return account_password(accounts_at(a, (unsigned)(slice_hash(name, 1) % count)));
}

static void set_field(struct check *k, const struct account *account, struct slice given)
{
    struct slice field =
        k->known ? account_password(account) : other_field(k->thread->accounts, given);

    CHECK(field.len <= sizeof k->field);
    memcpy(k->field, field.at, field.len);
    k->field_len = field.len;
}

static bool may_log_in(const struct account *account, const struct conn *c)
{
    return account && account->login &&
        (account->networks_bytes == 0 ||
            network_list_has(account_networks(account), &c->peer));
}

static void set_up(struct check *k, struct conn *c, const struct account *account,
    struct slice user, struct slice password)
{
    const struct config *config = k->thread->config;

    k->start_ns = k->thread->now_ns;
    k->known = may_log_in(account, c);
    k->limited =
        !address_in(&c->peer, config->unlimited_from.at, config->unlimited_from.count);
    k->source = failure_source(&c->peer);
    set_field(k, account, user);
    k->password_len =
        password.len < sizeof k->password ? password.len : sizeof k->password;
    memcpy(k->password, password.at, k->password_len);
    if (password_kind(field_of(k)) == PASSWORD_PLAIN)
        k->fits = password_fits(field_of(k), password_of(k)) && k->known;
}

static struct login_slot *slot_new(struct slice name, uint64_t generation)
{
    struct login_slot *slot = calloc(1, sizeof *slot + name.len);

    if (!slot)
        return NULL;
    slot->generation = generation;
    slot->len = (unsigned)name.len;
    memcpy(slot->name, name.at, name.len);
    return slot;
}

/* False: no memory. */
static bool prepare(struct auth *auth, struct slice name)
{
    struct check *k = calloc(1, sizeof *k);

    if (!k)
        return false;
    auth->slot = slot_new(name, accounts_generation(auth->conn->thread->accounts));
    if (!auth->slot) {
        free(k);
        return false;
    }
    k->auth = auth;
    k->thread = auth->conn->thread;
    auth->state = k;
    list_add(&admin_of(k->thread)->checks, &k->link);
    return true;
}

void auth_start(struct auth *auth, struct conn *c, struct slice user,
    struct slice password, void (*done)(struct auth *auth))
{
    struct thread *t = c->thread;
    struct slice name;
    struct check *k;

    auth->conn = c;
    auth->done = done;
    auth->slot = NULL;
    auth->timer = (struct timer){0};
    name = accounts_name(t->accounts, user, auth->user, sizeof auth->user);
    auth->user[name.len] = 0;
    admin_of(t)->stats.checks++;
    if (!prepare(auth, name)) {
        timer_set(t, &auth->timer, t->now_ns, on_no_memory);
        return;
    }
    k = auth->state;
    set_up(k, c, accounts_find(t->accounts, name), user, password);
    ask_owner(k);
}

void auth_stopping(struct thread *t)
{
    struct admin *a = admin_of(t);

    timer_clear(&a->retry);
    list_each_safe(link, after, &a->checks) {
        struct check *k = container_of(link, struct check, link);

        if (k->at == CHECK_QUEUE) {
            list_remove(&k->queue);
            a->waiting_count--;
        } else if (k->at == CHECK_TIMER) {
            timer_clear(&k->auth->timer);
        } else {
            continue; /* ends at its next step */
        }
        finish(k, AUTH_BUSY);
    }
}
