/* inbox.c -- how threads without a ring reach one that has: a locked list and an eventfd
 * that is always being read. Not on any hot path. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/thread_state.h"

static void on_event(struct op *op, int32_t res, uint32_t flags)
{
    struct inbox *in = container_of(op, struct inbox, event_op);
    struct thread_state *s = container_of(in, struct thread_state, inbox);

    (void)flags;
    if (s->ending)
        return;
    CHECK(res == sizeof in->event_count || res == -EINTR || res == -EAGAIN);
    op_start(op, on_event);
    ring_read(
        s->thread->ring, op, in->event, &in->event_count, sizeof in->event_count, 0);
}

bool inbox_open(struct thread *t)
{
    struct inbox *in = &t->state->inbox;

    in->event = eventfd(0, EFD_CLOEXEC);
    if (in->event < 0)
        return false;
    op_start(&in->event_op, on_event);
    ring_read(
        t->ring, &in->event_op, in->event, &in->event_count, sizeof in->event_count, 0);
    return true;
}

/* With s->ending set: the read is cancelled, unless the event of the call that set it has
 * landed since; it can come after its call. */
void inbox_close(struct thread *t)
{
    struct inbox *in = &t->state->inbox;

    if (in->event_op.pending)
        ring_cancel(t->ring, &in->event_op);
    while (in->event_op.pending)
        thread_wait(t);
    close(in->event);
}

/* With the lock held. */
static void filled(struct inbox *in)
{
    uint64_t one = 1;
    bool was = atomic_exchange(&in->filled, true);

    if (!was)
        CHECK(write(in->event, &one, sizeof one) == sizeof one);
}

void inbox_add_job(struct thread *t, struct job *job)
{
    struct inbox *in = &t->state->inbox;

    pthread_mutex_lock(&in->lock);
    job->next = NULL;
    *in->jobs_tail = job;
    in->jobs_tail = &job->next;
    filled(in);
    pthread_mutex_unlock(&in->lock);
}

void inbox_add_call(struct thread *t, struct call *call)
{
    struct inbox *in = &t->state->inbox;

    call->from = NULL;
    call->to = t;
    call->answered = false;
    pthread_mutex_lock(&in->lock);
    list_add(&in->calls, &call->link);
    filled(in);
    pthread_mutex_unlock(&in->lock);
}

void inbox_run(struct thread *t)
{
    struct inbox *in = &t->state->inbox;
    struct list calls, *link;
    struct job *job;

    if (!atomic_load_explicit(&in->filled, memory_order_acquire))
        return;
    list_init(&calls);
    pthread_mutex_lock(&in->lock);
    job = in->jobs;
    in->jobs = NULL;
    in->jobs_tail = &in->jobs;
    while ((link = list_pop(&in->calls)))
        list_add(&calls, link);
    atomic_store(&in->filled, false);
    pthread_mutex_unlock(&in->lock);
    while (job) {
        struct job *next = job->next;

        job->done(job);
        job = next;
    }
    while ((link = list_pop(&calls))) {
        struct call *call = container_of(link, struct call, link);

        call->run(t, call);
    }
}
