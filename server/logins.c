/* logins.c -- who is logged in: counted at the owner of the user, ended with the account.
 */
#include <stdlib.h>

#include "server/admin_state.h"

enum { SWEEP_LOGINS = 200 }; /* looked at in one turn: well below a millisecond */

/* --- connections of a user --------------------------------------------- */

static struct user_count **user_place(struct admin *a, struct slice name)
{
    struct user_count **place = &a->users[slice_hash(name, a->users_key) % USER_ROWS];

    while (*place && !slice_eq(slice_of((*place)->name, (*place)->len), name))
        place = &(*place)->next;
    return place;
}

bool user_take(struct thread *t, struct login_slot *slot, uint64_t max)
{
    struct slice name = slot_name(slot);
    struct user_count **place = user_place(admin_of(t), name);
    struct user_count *user = *place;

    if (!user) {
        user = calloc(1, sizeof *user + name.len);
        if (!user)
            return false;
        user->len = (unsigned)name.len;
        memcpy(user->name, name.at, name.len);
        *place = user;
    }
    if (user->connections >= max)
        return false;
    user->connections++;
    slot->counted = true;
    return true;
}

static void user_give(struct thread *t, const struct login_slot *slot)
{
    struct user_count **place = user_place(admin_of(t), slot_name(slot));
    struct user_count *user = *place;

    CHECK(user && user->connections > 0);
    if (--user->connections > 0)
        return;
    *place = user->next;
    free(user);
}

static void give_back(struct thread *owner, struct call *call)
{
    struct login_slot *slot = container_of(call, struct login_slot, call);

    user_give(owner, slot);
    free(slot);
}

void slot_free(struct thread *t, struct login_slot *slot)
{
    struct thread *owner;

    if (!slot)
        return;
    owner = slot->counted ? thread_of_user(t, slot_name(slot)) : t;
    if (owner == t) {
        if (slot->counted)
            user_give(t, slot);
        free(slot);
        return;
    }
    slot->call.run = give_back;
    slot->call.done = NULL;
    call_send(t, owner, &slot->call);
}

/* --- logins ------------------------------------------------------------ */

void login_begin(struct login *login, struct auth *auth)
{
    CHECK(auth->result == AUTH_OK && auth->slot);
    *login = (struct login){.slot = auth->slot};
    auth->slot = NULL;
}

/* The account is still the one that logged in. */
static bool is_valid(const struct thread *t, const struct login_slot *slot)
{
    const struct account *account = accounts_find(t->accounts, slot_name(slot));

    return account && account->login && account->since <= slot->generation;
}

bool login_stay(struct login *login, struct conn *c, void (*end)(struct login *login))
{
    struct admin *a = admin_of(c->thread);

    CHECK(login->slot && !list_linked(&login->link));
    login->conn = c;
    login->end = end;
    list_add(&a->live, &login->link);
    a->stats.logins++;
    login->slot->ended = !is_valid(c->thread, login->slot);
    return !login->slot->ended;
}

void login_end(struct login *login, struct thread *t)
{
    if (list_linked(&login->link)) {
        list_remove(&login->link);
        admin_of(t)->stats.logins--;
    }
    slot_free(t, login->slot);
    login->slot = NULL;
}

static void sweep(struct timer *timer)
{
    struct admin *a = container_of(timer, struct admin, sweep);

    for (unsigned i = 0; i < SWEEP_LOGINS; i++) {
        struct list *link = list_pop(&a->unchecked);
        struct login *login;

        if (!link)
            return;
        login = container_of(link, struct login, link);
        list_add(&a->live, link);
        if (login->slot->ended || is_valid(login->conn->thread, login->slot))
            continue;
        login->slot->ended = true;
        login->end(login);
    }
    timer_set(a->thread, &a->sweep, a->thread->now_ns, sweep);
}

/* --- the thread's share ------------------------------------------------ */

bool admin_open(struct thread *t)
{
    struct admin *a = calloc(1, sizeof *a);

    if (!a)
        return false;
    random_bytes(a->recent.key, sizeof a->recent.key);
    a->failures.key = random_u64();
    a->users_key = random_u64();
    a->thread = t;
    list_init(&a->live);
    list_init(&a->unchecked);
    list_init(&a->checks);
    list_init(&a->waiting[0]);
    list_init(&a->waiting[1]);
    t->admin = a;
    return true;
}

void admin_stopping(struct thread *t)
{
    admin_of(t)->stopping = true;
    auth_stopping(t);
}

void admin_close(struct thread *t)
{
    struct admin *a = admin_of(t);

    if (!a)
        return;
    timer_clear(&a->sweep);
    timer_clear(&a->retry);
    for (unsigned i = 0; i < USER_ROWS; i++)
        while (a->users[i]) {
            struct user_count *next = a->users[i]->next;

            free(a->users[i]);
            a->users[i] = next;
        }
    explicit_bzero(&a->recent, sizeof a->recent);
    free(a);
    t->admin = NULL;
    accounts_drop(t->accounts);
    t->accounts = NULL;
}

/* All live logins become unchecked ones. */
static void move_all(struct list *from, struct list *to)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    from->prev->next = to;
    to->prev->next = from->next;
    to->prev = from->prev;
    list_init(from);
}

void admin_swap(struct thread *t, struct accounts *accounts)
{
    struct admin *a = admin_of(t);
    struct accounts *old = t->accounts;

    t->accounts = accounts_take(accounts);
    accounts_drop(old);
    move_all(&a->live, &a->unchecked);
    timer_clear(&a->sweep);
    timer_set(t, &a->sweep, t->now_ns, sweep);
}

void admin_stats(struct thread *t, struct admin_stats *stats)
{
    struct admin *a = admin_of(t);

    *stats = a->stats;
    stats->waiting = a->waiting_count;
}
