#include "server/ring.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/ring_state.h"

enum { SUBMIT_TRIES_MAX = 10000 };

/* --- opening -------------------------------------------------------------- */

static const struct {
    uint8_t opcode;
    const char *name;
} opcodes_needed[] = {
    {IORING_OP_ACCEPT, "ACCEPT"},
    {IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
    {IORING_OP_CLOSE, "CLOSE"},
    {IORING_OP_CONNECT, "CONNECT"},
    {IORING_OP_FSYNC, "FSYNC"},
    {IORING_OP_MSG_RING, "MSG_RING"},
    {IORING_OP_POLL_ADD, "POLL_ADD"},
    {IORING_OP_READ, "READ"},
    {IORING_OP_RECV, "RECV"},
    {IORING_OP_SEND, "SEND"},
    {IORING_OP_SENDMSG, "SENDMSG"},
    {IORING_OP_WRITE, "WRITE"},
};

static int disabled_setting(void)
{
    FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    int value = 0;

    if (!f)
        return 0;
    if (fscanf(f, "%d", &value) != 1)
        value = 0;
    fclose(f);
    return value;
}

/* One line for each way in which io_uring_setup() is refused. */
static void explain(int error, const struct ring_conf *conf, char *why, size_t cap)
{
    struct rlimit lock = {0, 0};
    size_t need = (size_t)conf->entries * sizeof(struct io_uring_sqe) +
        (size_t)conf->completions * sizeof(struct io_uring_cqe) + 65536;

    switch (error) {
    case EPERM:
    case EACCES:
        if (disabled_setting())
            snprintf(why, cap,
                "io_uring is not allowed here (kernel.io_uring_disabled=%d). Set it to "
                "0, "
                "or 1 with this user in kernel.io_uring_group",
                disabled_setting());
        else
            snprintf(why, cap,
                "io_uring is not allowed here (kernel.io_uring_disabled=0, so it is a "
                "seccomp profile): let it allow io_uring_setup, io_uring_enter and "
                "io_uring_register");
        break;
    case ENOSYS:
        snprintf(why, cap,
            "io_uring is not there: the kernel was built without it or a seccomp profile "
            "hides it; allow io_uring_setup, io_uring_enter and io_uring_register");
        break;
    case ENOMEM:
        getrlimit(RLIMIT_MEMLOCK, &lock);
        snprintf(why, cap,
            "io_uring may not lock memory: RLIMIT_MEMLOCK is %llu bytes, each thread "
            "needs %zu; raise it (LimitMEMLOCK=infinity, ulimit -l)",
            (unsigned long long)lock.rlim_cur, need);
        break;
    case EINVAL:
        snprintf(why, cap,
            "this kernel's io_uring is too old: Linux 6.1 or later is needed "
            "(IORING_SETUP_DEFER_TASKRUN)");
        break;
    default:
        snprintf(why, cap, "io_uring_setup: %s", strerror(error));
    }
}

/* Sets up by hand what the library is too old to know: with NO_SQARRAY there is no
 * index array to fill. Returns 0 or a negative errno. */
static int set_up(struct ring *r, const struct ring_conf *conf, unsigned extra)
{
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
            IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | extra,
        .cq_entries = conf->completions,
    };
    int fd = (int)syscall(__NR_io_uring_setup, conf->entries, &p);
    int error;

    if (fd < 0)
        return -errno;
    error = io_uring_queue_mmap(fd, &p, &r->uring);
    if (error) {
        close(fd);
        return error;
    }
    if (!(extra & SETUP_NO_SQARRAY))
        for (unsigned i = 0; i < p.sq_entries; i++)
            r->uring.sq.array[i] = i;
    r->uring.features = p.features;
    r->uring.flags = p.flags;
    r->enter_fd = fd;
    return 0;
}

/* The first opcode that this kernel lacks, or NULL. Of those that may be missing, notes
 * which are there. */
static const char *opcode_missing(struct ring *r)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&r->uring);
    const char *missing = probe ? NULL : "IORING_REGISTER_PROBE";

    for (size_t i = 0; probe && i < sizeof opcodes_needed / sizeof *opcodes_needed; i++)
        if (!io_uring_opcode_supported(probe, opcodes_needed[i].opcode))
            missing = opcodes_needed[i].name;
    r->zero_copy = probe && io_uring_opcode_supported(probe, IORING_OP_SENDMSG_ZC) &&
        r->uring.features & FEATURE_REG_REG_RING;
    if (probe)
        io_uring_free_probe(probe);
    return missing;
}

static void add_feature(struct ring *r, const char *name)
{
    size_t used = strlen(r->features);

    snprintf(
        r->features + used, sizeof r->features - used, "%s%s", used ? " " : "", name);
}

static void take_features(struct ring *r, bool no_sqarray)
{
    if (no_sqarray)
        add_feature(r, "no_sqarray");
    if (r->uring.features & FEATURE_NO_IOWAIT) {
        r->enter_flags |= ENTER_NO_IOWAIT;
        add_feature(r, "no_iowait");
    }
    if (io_uring_register_ring_fd(&r->uring) == 1) {
        r->registered = true;
        r->enter_fd = r->uring.enter_ring_fd;
        r->enter_flags |= IORING_ENTER_REGISTERED_RING;
        add_feature(r, "registered");
    }
}

/* Ring, worker bound, opcodes; 0 or -1 with `why`. */
static int open_kernel_side(
    struct ring *r, const struct ring_conf *conf, char *why, size_t cap)
{
    unsigned workers[2] = {conf->workers, conf->workers};
    bool no_sqarray = !conf->minimal;
    int error = no_sqarray ? set_up(r, conf, SETUP_NO_SQARRAY) : 0;
    const char *missing;

    if (no_sqarray && error == -EINVAL)
        no_sqarray = false;
    if (!no_sqarray)
        error = set_up(r, conf, 0);
    if (error) {
        explain(-error, conf, why, cap);
        return -1;
    }
    missing = opcode_missing(r);
    if (missing) {
        snprintf(why, cap,
            "this kernel's io_uring lacks %s: Linux 6.1 or later is needed", missing);
        io_uring_queue_exit(&r->uring);
        return -1;
    }
    if (conf->minimal)
        r->zero_copy = false;
    else
        take_features(r, no_sqarray);
    if (conf->workers)
        io_uring_register_iowq_max_workers(&r->uring, workers);
    return 0;
}

struct ring *ring_open(const struct ring_conf *conf, char *why, size_t cap)
{
    struct ring *r = calloc(1, sizeof *r);

    if (!r) {
        snprintf(why, cap, "out of memory");
        return NULL;
    }
    op_queue_init(&r->starving);
    op_queue_init(&r->landed);
    if (open_kernel_side(r, conf, why, cap) < 0) {
        free(r);
        return NULL;
    }
    if (!ring_buffers_open(
            r, GROUP_SMALL, conf->buffers, conf->buffer_bytes, conf->window) ||
        !ring_buffers_open(
            r, GROUP_BIG, conf->big_buffers, RING_BIG_BYTES, conf->big_buffers)) {
        snprintf(why, cap, "no memory for %u receive buffers (%s)", conf->buffers,
            strerror(errno));
        ring_close(r);
        return NULL;
    }
    return r;
}

void ring_close(struct ring *r)
{
    for (unsigned group = 0; group < GROUPS; group++)
        ring_buffers_close(r, group);
    io_uring_queue_exit(&r->uring);
    free(r);
}

const char *ring_features(const struct ring *r)
{
    return r->features;
}

bool ring_has_zero_copy(const struct ring *r)
{
    return r->zero_copy;
}

int ring_number(const struct ring *r)
{
    return r->uring.ring_fd;
}

const struct ring_counters *ring_counters(const struct ring *r)
{
    return &r->counters;
}

/* --- entering ------------------------------------------------------------- */

static unsigned unsubmitted(const struct ring *r)
{
    const struct io_uring_sq *sq = &r->uring.sq;

    return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

/* Hands over all filled entries. The kernel moves its head past what it has taken, so
 * that head, not the return value, says what is still to be submitted. */
static int enter(struct ring *r, unsigned wait, struct __kernel_timespec *ts)
{
    struct io_uring_sq *sq = &r->uring.sq;
    struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)ts};
    unsigned flags = r->enter_flags | IORING_ENTER_GETEVENTS;
    int result;

    if (ts)
        flags |= IORING_ENTER_EXT_ARG;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    r->counters.enters++;
    result = io_uring_enter2((unsigned)r->enter_fd, unsubmitted(r), wait, flags,
        ts ? (sigset_t *)(void *)&arg : NULL, ts ? sizeof arg : 0);
    if (unsubmitted(r) == 0)
        r->prompt_given = r->prompt_count;
    return result;
}

/* EAGAIN (no memory now), EBUSY (completions have overflowed) and EINTR leave entries
 * behind; they are offered again by the next call. Others mean that we are wrong. */
static void check_entered(int result)
{
    CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
        result == -EBUSY);
}

void ring_enter(struct ring *r, int64_t now_ns, int64_t wait_ns)
{
    struct __kernel_timespec ts = {wait_ns / 1000000000, wait_ns % 1000000000};
    bool idle;

    ring_buffers_publish(r, now_ns);
    idle = wait_ns != 0 && !ring_ready(r);
    check_entered(enter(r, idle, idle && wait_ns > 0 ? &ts : NULL));
}

struct io_uring_sqe *ring_entry(struct ring *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

    for (unsigned tries = 0; !sqe; tries++) {
        int result = enter(r, 0, NULL);

        check_entered(result);
        if (result < 0 && unsubmitted(r) == r->uring.sq.ring_entries)
            sched_yield();
        CHECK(tries < SUBMIT_TRIES_MAX);
        sqe = io_uring_get_sqe(&r->uring);
    }
    return sqe;
}

/* --- reaping -------------------------------------------------------------- */

bool ring_ready(const struct ring *r)
{
    return r->landed.head || io_uring_cq_ready(&r->uring) > 0;
}

static bool next_completion(struct ring *r, struct io_uring_cqe *to)
{
    struct io_uring_cq *cq = &r->uring.cq;
    unsigned head = *cq->khead;

    if (head == io_uring_smp_load_acquire(cq->ktail))
        return false;
    *to = cq->cqes[head & cq->ring_mask];
    io_uring_smp_store_release(cq->khead, head + 1);
    return true;
}

/* A prompt send has failed or was cut short. */
static struct op *prompt_failed(struct ring *r, uint64_t user_data)
{
    struct op *op = (struct op *)(uintptr_t)(user_data - TAG_PROMPT); /* NOLINT */
    unsigned at = 0;

    while (at < r->prompt_given && r->prompt[at].op != op)
        at++;
    CHECK(at < r->prompt_given);
    r->prompt[at].op = NULL;
    return op;
}

/* All completions are seen: those prompt sends that were submitted and of which nothing
 * was heard have succeeded. */
static void prompt_settle(struct ring *r)
{
    unsigned given = r->prompt_given;
    struct prompt_send sent[PROMPT_MAX];

    if (given == 0 || IO_URING_READ_ONCE(*r->uring.sq.kflags) & IORING_SQ_CQ_OVERFLOW)
        return;
    memcpy(sent, r->prompt, given * sizeof *sent);
    r->prompt_count -= given;
    r->prompt_given = 0;
    memmove(r->prompt, r->prompt + given, r->prompt_count * sizeof *sent);
    for (unsigned i = 0; i < given; i++) {
        struct op *op = sent[i].op;

        if (!op)
            continue;
        op->pending = false;
        op->done(op, sent[i].len, 0);
    }
}

unsigned ring_reap(struct ring *r, unsigned max)
{
    struct io_uring_cqe cqe;
    unsigned done = 0;

    op_queue_run(&r->landed);
    while (done < max && next_completion(r, &cqe)) {
        struct op *op = (struct op *)(uintptr_t)cqe.user_data; /* NOLINT */

        done++;
        if (cqe.user_data <= TAG_LAST)
            continue;
        if (cqe.user_data & TAG_PROMPT)
            op = prompt_failed(r, cqe.user_data);
        if (!(cqe.flags & IORING_CQE_F_MORE))
            op->pending = false; /* before done(), which may start it again */
        op->done(op, cqe.res, cqe.flags);
    }
    if (done < max)
        prompt_settle(r);
    r->counters.completions += done;
    return done;
}
