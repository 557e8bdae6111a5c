#include "server/worker.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/thread_state.h"

enum { WORKERS_MAX = 64, WORKER_NICE = 5 };

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job *first, **last;
    unsigned waiting, queue_max, count;
    bool ending;
    pthread_t threads[WORKERS_MAX];
};

static struct job *next_job(struct workers *w)
{
    struct job *job;

    pthread_mutex_lock(&w->lock);
    while (!w->first && !w->ending)
        pthread_cond_wait(&w->filled, &w->lock);
    job = w->first;
    if (job) {
        w->first = job->next;
        if (!w->first)
            w->last = &w->first;
        w->waiting--;
    }
    pthread_mutex_unlock(&w->lock);
    return job;
}

/* The serving threads come first: workers get what they leave. */
static void *work(void *arg)
{
    struct workers *w = arg;
    struct sched_param param = {0};
    struct job *job;

    pthread_setname_np(pthread_self(), "worker");
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), WORKER_NICE);
    while ((job = next_job(w))) {
        struct thread *from = job->from;

        job->work(job);
        inbox_add_job(from, job);
    }
    return NULL;
}

struct workers *workers_open(unsigned threads, unsigned queue_max)
{
    struct workers *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->filled, NULL);
    w->last = &w->first;
    w->queue_max = queue_max;
    for (; w->count < threads && w->count < WORKERS_MAX; w->count++)
        if (pthread_create(&w->threads[w->count], NULL, work, w) != 0)
            break;
    if (w->count == 0) {
        workers_close(w);
        return NULL;
    }
    return w;
}

void workers_close(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_broadcast(&w->filled);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->count; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->filled);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

bool workers_add(struct workers *w, struct job *job)
{
    bool room;

    job->next = NULL;
    pthread_mutex_lock(&w->lock);
    room = w->waiting < w->queue_max && !w->ending;
    if (room) {
        *w->last = job;
        w->last = &job->next;
        w->waiting++;
        pthread_cond_signal(&w->filled);
    }
    pthread_mutex_unlock(&w->lock);
    return room;
}

bool worker_start(struct thread *from, struct job *job)
{
    job->from = from;
    return workers_add(from->process->workers, job);
}

bool worker_start_disk(struct thread *from, struct job *job)
{
    job->from = from;
    return workers_add(from->process->disk_workers, job);
}
