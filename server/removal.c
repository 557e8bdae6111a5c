#include "server/removal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/accounts.h"
#include "server/log.h"
#include "server/removal_list.h"

enum { AT_ONCE = 64 };

/* One name on its way to its owner and back. */
struct removal {
    struct call call;
    struct user_remove remove;
    struct removals *removals;
    struct removal *next;
    enum status status;
    unsigned len;
    char name[];
};

struct removals {
    const struct config *config;
    struct process *process;
    int wake_fd;
    unsigned pending, failed;
    struct thread *thread; /* that of removals_recover(), until it is done */
    void (*done)(struct thread *t);
    struct file_bytes list; /* what it works through */
    struct slice rest;
    bool recovered;
    _Atomic(struct removal *) finished; /* pushed by the owners */
};

/* --- at the owner of the user ------------------------------------------ */

static void on_removed(struct store_op *op, enum status status)
{
    struct removal *m = container_of(op, struct removal, remove.op);
    struct removals *r = m->removals;
    uint64_t one = 1;

    m->status = status;
    if (m->call.done) {
        call_answer(&m->call);
        return;
    }
    m->next = atomic_load_explicit(&r->finished, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(
        &r->finished, &m->next, m, memory_order_release, memory_order_relaxed))
        ;
    if (write(r->wake_fd, &one, sizeof one) < 0)
        return; /* the counter is full: the reader is awake anyway */
}

static void run_remove(struct thread *t, struct call *call)
{
    struct removal *m = container_of(call, struct removal, call);

    m->remove.name = slice_of(m->name, m->len);
    m->remove.op.done = on_removed;
    user_remove(shard_store(t, shard_of_user(t, m->remove.name)), &m->remove);
}

/* --- the control thread ------------------------------------------------ */

struct removals *removals_open(
    const struct config *config, struct process *process, int wake_fd)
{
    struct removals *r = calloc(1, sizeof *r);

    if (r) {
        r->config = config;
        r->process = process;
        r->wake_fd = wake_fd;
    }
    return r;
}

void removals_close(struct removals *r)
{
    struct removal *m;

    if (!r)
        return;
    m = atomic_exchange(&r->finished, NULL);
    while (m) {
        struct removal *next = m->next;

        free(m);
        m = next;
    }
    free(r);
}

static struct removal *removal_new(struct removals *r, struct slice name)
{
    struct removal *m = calloc(1, sizeof *m + name.len);

    if (!m)
        return NULL;
    m->removals = r;
    m->len = (unsigned)name.len;
    memcpy(m->name, name.at, name.len);
    m->call.run = run_remove;
    r->pending++;
    return m;
}

static bool start_one(struct removals *r, struct slice name)
{
    struct thread *any = process_thread(r->process, 0);
    struct removal *m = removal_new(r, name);

    if (m)
        process_post(r->process, thread_of_user(any, name)->index, &m->call);
    return m != NULL;
}

bool removals_start(struct removals *r, struct out *why)
{
    struct file_bytes bytes = {0};
    struct slice rest, name;

    if (r->pending > 0)
        return true; /* the rest follows when these have finished */
    r->failed = 0;
    if (!removal_read(r->config, &bytes, why))
        return false;
    rest = bytes.text;
    while (r->pending < AT_ONCE && removal_cut(&rest, &name))
        if (name.len <= ACCOUNT_NAME_MAX && !start_one(r, name)) {
            out_str(why, "out of memory for the removal of accounts");
            break;
        }
    file_release(&bytes);
    return why->len == 0;
}

static void end_one(struct removals *r, struct removal *m)
{
    struct slice name = slice_of(m->name, m->len);
    bool gone = m->status == STATUS_OK || m->status == STATUS_NOT_FOUND;
    struct event e;

    r->pending--;
    if (gone)
        gone = removal_forget(r->config, name);
    r->failed += !gone;
    if (event_begin_always(&e, gone ? LEVEL_NOTICE : LEVEL_ERROR,
            gone ? "user-removed" : "user-not-removed")) {
        event_text(&e, "user", name);
        if (!gone)
            event_string(&e, "why", status_text(m->status));
        event_end(&e);
    }
    free(m);
}

/* --- before anything listens -------------------------------------------- */

static void recover_more(struct removals *r);

static void on_recovered(struct thread *t, struct call *call)
{
    struct removal *m = container_of(call, struct removal, call);
    struct removals *r = m->removals;

    (void)t;
    r->recovered = true;
    end_one(r, m);
    recover_more(r);
}

static void recover_more(struct removals *r)
{
    struct thread *t = r->thread;
    struct slice name;

    while (r->pending < AT_ONCE && removal_cut(&r->rest, &name)) {
        struct removal *m = name.len <= ACCOUNT_NAME_MAX ? removal_new(r, name) : NULL;

        if (!m)
            continue; /* removals_start() tries again, and says why it can't */
        m->call.done = on_recovered;
        call_send(t, thread_of_user(t, name), &m->call);
    }
    if (r->pending > 0)
        return;
    file_release(&r->list);
    r->thread = NULL;
    r->done(t);
}

void removals_recover(
    struct removals *r, struct thread *t, void (*done)(struct thread *t))
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);

    r->thread = t;
    r->done = done;
    if (!removal_read(r->config, &r->list, &why)) {
        done(t); /* removals_start() meets the same, and says it */
        return;
    }
    r->rest = r->list.text;
    recover_more(r);
}

bool removals_recovered(struct removals *r)
{
    bool recovered = r->recovered;

    r->recovered = false;
    return recovered;
}

/* --- while the server runs ----------------------------------------------- */

bool removals_turn(struct removals *r)
{
    struct removal *m =
        atomic_exchange_explicit(&r->finished, NULL, memory_order_acquire);
    char buffer[256];
    struct out why = out_of(buffer, sizeof buffer);

    if (!m)
        return false;
    while (m) {
        struct removal *next = m->next;

        end_one(r, m);
        m = next;
    }
    if (r->pending == 0 && r->failed == 0)
        removals_start(r, &why); /* a list longer than AT_ONCE; empty at the end */
    return r->pending == 0;
}

unsigned removals_pending(const struct removals *r)
{
    return r->pending;
}

unsigned removals_failed(const struct removals *r)
{
    return r->failed;
}
