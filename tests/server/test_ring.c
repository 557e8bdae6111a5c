/* The ring alone: what it promises about operations, buffers and trouble. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <liburing.h>

#include "server/clock.h"
#include "server/ring.h"
#include "server/ring_state.h"

/* --- io_uring_enter2() that fails now and then (the linker puts it in between) --- */

static int faults[8], fault_count, fault_at;

int __real_io_uring_enter2(
    unsigned fd, unsigned n, unsigned wait, unsigned flags, sigset_t *sig, size_t size);
int __wrap_io_uring_enter2(
    unsigned fd, unsigned n, unsigned wait, unsigned flags, sigset_t *sig, size_t size);
int __wrap_io_uring_enter2(
    unsigned fd, unsigned n, unsigned wait, unsigned flags, sigset_t *sig, size_t size)
{
    if (fault_at < fault_count)
        return faults[fault_at++];
    return __real_io_uring_enter2(fd, n, wait, flags, sig, size);
}

/* --- helpers -------------------------------------------------------------- */

static struct ring_conf conf = {
    .entries = 64,
    .completions = 256,
    .buffers = 32,
    .buffer_bytes = 256,
    .window = 8,
    .big_buffers = 4,
    .workers = 2,
};

static struct ring *open_with(const struct ring_conf *c)
{
    char why[RING_WHY_MAX] = "";
    struct ring *r = ring_open(c, why, sizeof why);

    if (!r)
        fail_msg("%s", why);
    return r;
}

static void turn(struct ring *r, int64_t wait_ns)
{
    ring_enter(r, clock_monotonic_ns(), wait_ns);
    ring_reap(r, UINT32_MAX);
}

struct seen {
    struct op op;
    struct ring *ring;
    int fd;
    int landed, last;
    size_t bytes;
    char text[65536];
    bool again;
};

static void on_seen(struct op *op, int32_t res, uint32_t flags)
{
    struct seen *s = container_of(op, struct seen, op);

    (void)flags;
    s->landed++;
    s->last = res;
}

static void on_received(struct op *op, int32_t res, uint32_t flags)
{
    struct seen *s = container_of(op, struct seen, op);

    s->landed++;
    s->last = res;
    if (res > 0) {
        struct slice got = ring_received(s->ring, op, res, flags);

        assert_true(s->bytes + got.len <= sizeof s->text);
        memcpy(s->text + s->bytes, got.at, got.len);
        s->bytes += got.len;
    }
    ring_return(s->ring, op, flags);
    if (op->pending || !s->again || res == 0)
        return;
    op_start(op, on_received);
    if (res == -ENOBUFS)
        ring_receive_starved(s->ring, op, s->fd, false);
    else
        ring_receive(s->ring, op, s->fd, false);
}

static void pair(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
}

static struct seen *receiving(struct ring *r, int fd)
{
    struct seen *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->ring = r;
    s->fd = fd;
    s->again = true;
    op_start(&s->op, on_received);
    ring_receive(r, &s->op, fd, false);
    return s;
}

static void end(struct ring *r, struct seen *s)
{
    s->again = false;
    if (s->op.pending)
        ring_cancel(r, &s->op);
    while (s->op.pending)
        turn(r, 100000000);
    free(s);
}

/* --- tests ---------------------------------------------------------------- */

static void bytes_come_in_order(void **state)
{
    struct ring *r = open_with(&conf);
    struct seen *s;
    char text[9000];
    int fd[2];

    (void)state;
    pair(fd);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7);
    s = receiving(r, fd[0]);
    turn(r, 0);
    for (size_t at = 0; at < sizeof text; at += 300)
        assert_int_equal(write(fd[1], text + at, 300), 300);
    while (s->bytes < sizeof text)
        turn(r, 1000000000);
    assert_memory_equal(s->text, text, sizeof text);
    close(fd[1]);
    while (s->op.pending)
        turn(r, 1000000000);
    assert_int_equal(s->last, 0);
    end(r, s);
    close(fd[0]);
    ring_close(r);
}

/* Many more connections with data than buffers: all of it comes, in order, none waits for
 * ever (matrix O12). */
static void starving_receives_are_started_again(void **state)
{
    enum { PAIRS = 60, BYTES = 4000 };
    struct ring *r = open_with(&conf);
    struct seen *s[PAIRS];
    int fd[PAIRS][2];
    char text[BYTES];
    bool all = false;

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 13);
    for (int i = 0; i < PAIRS; i++) {
        pair(fd[i]);
        s[i] = receiving(r, fd[i][0]);
    }
    turn(r, 0);
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(write(fd[i][1], text, BYTES), BYTES);
    for (int turns = 0; !all; turns++) {
        turn(r, 1000000000);
        all = true;
        for (int i = 0; i < PAIRS; i++)
            all &= s[i]->bytes == BYTES;
        assert_true(turns < 10000);
    }
    assert_true(ring_counters(r)->starved > 0);
    for (int i = 0; i < PAIRS; i++) {
        assert_memory_equal(s[i]->text, text, BYTES);
        end(r, s[i]);
        close(fd[i][0]);
        close(fd[i][1]);
    }
    ring_close(r);
}

/* One that waits for buffers can be cancelled like one that waits for data. */
static void starving_receive_is_cancelled(void **state)
{
    struct ring *r = open_with(&conf);
    struct seen s = {.ring = r};
    int fd[2];

    (void)state;
    pair(fd);
    op_start(&s.op, on_seen);
    ring_receive_starved(r, &s.op, fd[0], false);
    ring_cancel(r, &s.op);
    turn(r, 0);
    assert_int_equal(s.landed, 1);
    assert_int_equal(s.last, -ECANCELED);
    assert_false(s.op.pending);
    close(fd[0]);
    close(fd[1]);
    ring_close(r);
}

/* A completion queue far too small (matrix O10): receives end early, nothing is lost. */
static void overflow_loses_nothing(void **state)
{
    enum { PAIRS = 24, BYTES = 3000 };
    struct ring_conf tiny = conf;
    struct ring *r;
    struct seen *s[PAIRS];
    int fd[PAIRS][2];
    char text[BYTES];
    bool all = false;

    (void)state;
    tiny.entries = 4;
    tiny.completions = 8;
    r = open_with(&tiny);
    memset(text, 'x', sizeof text);
    for (int i = 0; i < PAIRS; i++) {
        pair(fd[i]);
        s[i] = receiving(r, fd[i][0]);
        assert_int_equal(write(fd[i][1], text, BYTES), BYTES);
    }
    for (int turns = 0; !all; turns++) {
        turn(r, 1000000000);
        all = true;
        for (int i = 0; i < PAIRS; i++)
            all &= s[i]->bytes == BYTES;
        assert_true(turns < 100000);
    }
    for (int i = 0; i < PAIRS; i++) {
        end(r, s[i]);
        close(fd[i][0]);
        close(fd[i][1]);
    }
    ring_close(r);
}

/* The kernel may refuse to take entries for now (matrix O11): none is lost or doubled. */
static void refused_entries_are_offered_again(void **state)
{
    enum { OPS = 500 };
    static struct seen s[OPS];
    struct ring *r = open_with(&conf);
    static char from[1];
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    (void)state;
    memset(s, 0, sizeof s);
    for (int i = 0; i < OPS; i++) {
        if (i % 60 == 30) {
            faults[0] = -EAGAIN;
            faults[1] = -EBUSY;
            faults[2] = -EINTR;
            fault_count = 3;
            fault_at = 0;
        }
        op_start(&s[i].op, on_seen);
        ring_read(r, &s[i].op, fd, from, 1, 0);
    }
    fault_count = 0;
    for (int turns = 0; turns < 100; turns++)
        turn(r, 0);
    for (int i = 0; i < OPS; i++) {
        assert_int_equal(s[i].landed, 1);
        assert_int_equal(s[i].last, 1);
    }
    close(fd);
    ring_close(r);
}

/* Whoever is first, the target lands exactly once (matrix O14). */
static void cancel_races_land_once(void **state)
{
    enum { ROUNDS = 2000 };
    struct ring *r = open_with(&conf);
    uint64_t completed = 0;
    int fd[2];

    (void)state;
    pair(fd);
    for (int i = 0; i < ROUNDS; i++) {
        struct seen s = {.ring = r};
        char byte = 0;

        op_start(&s.op, on_seen);
        ring_receive_into(r, &s.op, fd[0], &byte, 1);
        if (i % 3)
            turn(r, 0);
        if (i % 2)
            assert_int_equal(write(fd[1], "x", 1), 1);
        if (s.op.pending)
            ring_cancel(r, &s.op);
        while (s.op.pending)
            turn(r, 1000000000);
        turn(r, 0);
        assert_int_equal(s.landed, 1);
        completed += s.last == 1;
        if (i % 2 && s.last != 1)
            assert_int_equal(read(fd[0], &byte, 1), 1);
    }
    printf("cancel: %lu of %d were faster\n", (unsigned long)completed, ROUNDS);
    close(fd[0]);
    close(fd[1]);
    ring_close(r);
}

static void window_grows_when_starved_and_shrinks_when_calm(void **state)
{
    struct ring *r = open_with(&conf);
    int64_t now = clock_monotonic_ns();
    struct seen s = {.ring = r, .again = true};
    int fd[2];

    (void)state;
    pair(fd);
    s.fd = fd[0];
    op_start(&s.op, on_received);
    ring_receive_starved(r, &s.op, fd[0], false);
    assert_int_equal(r->buffers[GROUP_SMALL].window, 8);
    ring_enter(r, now, 0);
    assert_int_equal(r->buffers[GROUP_SMALL].window, 16);
    ring_enter(r, now + 500000000, 0);
    assert_int_equal(r->buffers[GROUP_SMALL].window, 16);
    ring_enter(r, now + 2000000000, 0);
    assert_int_equal(r->buffers[GROUP_SMALL].window, 8);
    ring_enter(r, now + 4000000000, 0);
    assert_int_equal(r->buffers[GROUP_SMALL].window, 8);
    assert_int_equal(write(fd[1], "hello", 5), 5);
    while (s.bytes < 5)
        turn(r, 1000000000);
    s.again = false;
    ring_cancel(r, &s.op);
    while (s.op.pending)
        turn(r, 1000000000);
    close(fd[0]);
    close(fd[1]);
    ring_close(r);
}

/* Without any optional feature, as on the oldest kernel, the ring does the same. */
static void minimal_ring_works(void **state)
{
    struct ring_conf minimal = conf;
    struct ring *r;

    (void)state;
    minimal.minimal = true;
    r = open_with(&minimal);
    assert_string_equal(ring_features(r), "");
    ring_close(r);
    conf.minimal = true;
    bytes_come_in_order(NULL);
    starving_receives_are_started_again(NULL);
    overflow_loses_nothing(NULL);
    cancel_races_land_once(NULL);
    conf.minimal = false;
}

static void durable_write_and_read(void **state)
{
    char path[] = "/tmp/ringmail-test-ring-XXXXXX", back[4096] = {0};
    char *block = aligned_alloc(4096, 4096);
    struct ring *r = open_with(&conf);
    struct seen s = {.ring = r};
    int fd = mkstemp(path);

    (void)state;
    memset(block, 'r', 4096);
    op_start(&s.op, on_seen);
    ring_write(r, &s.op, fd, block, 4096, 0, true);
    while (s.op.pending)
        turn(r, 1000000000);
    assert_int_equal(s.last, 4096);
    op_start(&s.op, on_seen);
    ring_sync(r, &s.op, fd, true);
    while (s.op.pending)
        turn(r, 1000000000);
    assert_int_equal(s.last, 0);
    op_start(&s.op, on_seen);
    ring_read(r, &s.op, fd, back, sizeof back, 0);
    while (s.op.pending)
        turn(r, 1000000000);
    assert_int_equal(s.last, 4096);
    assert_memory_equal(block, back, 4096);
    free(block);
    close(fd);
    unlink(path);
    ring_close(r);
}

/* Lets io_uring_setup() fail with `error`, as seccomp profiles do. */
static bool forbid_rings(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* What ring_open() says in a child that has done `prepare`. */
static void explained(bool (*prepare)(int), int arg, char why[RING_WHY_MAX])
{
    int status, to_parent[2];
    pid_t child;

    assert_int_equal(pipe(to_parent), 0);
    child = fork();
    if (child == 0) {
        char text[RING_WHY_MAX] = {0};

        if (!prepare(arg) || ring_open(&conf, text, sizeof text))
            _exit(2);
        _exit(write(to_parent[1], text, sizeof text) == sizeof text ? 0 : 3);
    }
    assert_true(waitpid(child, &status, 0) == child && WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(read(to_parent[0], why, RING_WHY_MAX), RING_WHY_MAX);
    printf("%s\n", why);
    close(to_parent[0]);
    close(to_parent[1]);
}

/* Locked memory is bounded for ordinary users only: the child becomes one. */
static bool lock_nothing(int arg)
{
    struct rlimit none = {0, 0};

    (void)arg;
    return setrlimit(RLIMIT_MEMLOCK, &none) == 0 && setresuid(65534, 65534, 65534) == 0;
}

/* Matrix K02. */
static void lack_of_locked_memory_is_named(void **state)
{
    char why[RING_WHY_MAX];

    (void)state;
    if (getuid() != 0)
        skip();
    explained(lock_nothing, 0, why);
    assert_non_null(strstr(why, "RLIMIT_MEMLOCK"));
}

/* Matrix K01. */
static void a_forbidden_ring_is_explained(void **state)
{
    char why[RING_WHY_MAX];

    (void)state;
    explained(forbid_rings, EPERM, why);
    assert_non_null(strstr(why, "kernel.io_uring_disabled"));
    assert_non_null(strstr(why, "seccomp"));
    explained(forbid_rings, ENOSYS, why);
    assert_non_null(strstr(why, "seccomp"));
    explained(forbid_rings, EINVAL, why);
    assert_non_null(strstr(why, "Linux 6.1"));
}

/* Matrix K03: a kernel that does not know an operation we need. */
static bool hide_doorbells, hide_zero_copy;
struct io_uring_probe *__real_io_uring_get_probe_ring(struct io_uring *ring);
struct io_uring_probe *__wrap_io_uring_get_probe_ring(struct io_uring *ring);
struct io_uring_probe *__wrap_io_uring_get_probe_ring(struct io_uring *ring)
{
    struct io_uring_probe *probe = __real_io_uring_get_probe_ring(ring);

    if (hide_doorbells)
        probe->ops[IORING_OP_MSG_RING].flags = 0;
    if (hide_zero_copy)
        probe->ops[IORING_OP_SENDMSG_ZC].flags = 0;
    return probe;
}

static void a_missing_operation_is_named(void **state)
{
    char why[RING_WHY_MAX] = "";

    (void)state;
    hide_doorbells = true;
    assert_null(ring_open(&conf, why, sizeof why));
    hide_doorbells = false;
    printf("%s\n", why);
    assert_non_null(strstr(why, "MSG_RING"));
}

/* --- prompt sends --- */

struct sent {
    struct op op;
    int landed;
    int32_t res;
};

static void on_sent(struct op *op, int32_t res, uint32_t flags)
{
    struct sent *s = container_of(op, struct sent, op);

    assert_int_equal(flags, 0);
    s->landed++;
    s->res = res;
}

static void prompt_sends_cost_no_completion(void **state)
{
    struct ring *r = open_with(&conf);
    struct sent sent[PROMPT_MAX + 3] = {0};
    char text[2 * (PROMPT_MAX + 3)];
    int ends[2], fd[2 * (PROMPT_MAX + 3)];

    (void)state;
    for (int i = 0; i < PROMPT_MAX + 3; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        fd[2 * i] = ends[0];
        fd[2 * i + 1] = ends[1];
        op_start(&sent[i].op, on_sent);
        ring_send_now(r, &sent[i].op, fd[2 * i], "ok", 2);
    }
    turn(r, 0);
    for (int i = 0; i < PROMPT_MAX + 3; i++) {
        assert_int_equal(sent[i].landed, 1);
        assert_int_equal(sent[i].res, 2);
        assert_false(sent[i].op.pending);
        assert_int_equal(recv(fd[2 * i + 1], text, sizeof text, MSG_DONTWAIT), 2);
        close(fd[2 * i]);
        close(fd[2 * i + 1]);
    }
    /* Those beyond the table went as ordinary sends do. */
    assert_int_equal(ring_counters(r)->completions, 3);
    ring_close(r);
}

static void prompt_sends_without_room_say_what_went(void **state)
{
    struct ring *r = open_with(&conf);
    struct sent first = {0}, second = {0}, other = {0};
    static char big[4 << 20];
    int ends[2], others[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, others), 0);
    op_start(&other.op, on_sent);
    op_start(&first.op, on_sent);
    ring_send_now(r, &first.op, ends[0], big, sizeof big);
    ring_send_now(r, &other.op, others[0], "ok", 2);
    turn(r, 0);
    assert_int_equal(first.landed, 1);
    assert_true(first.res > 0 && first.res < (int32_t)sizeof big);
    assert_int_equal(other.landed, 1);
    assert_int_equal(other.res, 2);
    op_start(&second.op, on_sent);
    ring_send_now(r, &second.op, ends[0], big, 100);
    turn(r, 0);
    assert_int_equal(second.landed, 1);
    assert_int_equal(second.res, -EAGAIN);
    close(ends[1]);
    op_start(&second.op, on_sent);
    ring_send_now(r, &second.op, ends[0], big, 100);
    turn(r, 0);
    assert_int_equal(second.landed, 2);
    assert_int_equal(second.res, -EPIPE);
    close(ends[0]);
    close(others[0]);
    close(others[1]);
    ring_close(r);
}

/* Of several pieces, too: all of them, or what there was room for. */
static void prompt_sends_gather(void **state)
{
    struct ring *r = open_with(&conf);
    static char big[4 << 20];
    struct iovec pieces[] = {{"one ", 4}, {"two", 3}},
                 large[] = {{"-", 1}, {big, sizeof big}};
    struct msghdr few = {.msg_iov = pieces, .msg_iovlen = 2};
    struct msghdr many = {.msg_iov = large, .msg_iovlen = 2};
    struct sent sent = {0};
    char text[16];
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    op_start(&sent.op, on_sent);
    ring_sendmsg_now(r, &sent.op, ends[0], &few, 7);
    turn(r, 0);
    assert_int_equal(sent.res, 7);
    assert_int_equal(ring_counters(r)->completions, 0);
    assert_int_equal(recv(ends[1], text, sizeof text, MSG_DONTWAIT), 7);
    assert_memory_equal(text, "one two", 7);
    op_start(&sent.op, on_sent);
    ring_sendmsg_now(r, &sent.op, ends[0], &many, 1 + sizeof big);
    turn(r, 0);
    assert_int_equal(sent.landed, 2);
    assert_true(sent.res > 1 && sent.res < (int32_t)sizeof big);
    close(ends[0]);
    close(ends[1]);
    ring_close(r);
}

/* --- sends without a copy --- */

/* Connected over loopback; `fd[1]` takes few bytes at a time. */
static void tcp_pair(int fd[2])
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof in;
    int few = 16384, much = 1 << 20;
    int at = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(at, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(at, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(listen(at, 1), 0);
    fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd[1], SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
    assert_int_equal(connect(fd[1], (struct sockaddr *)&in, len), 0);
    fd[0] = accept4(at, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd[0] >= 0);
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &much, sizeof much);
    close(at);
}

struct lent {
    struct op op;
    int taken, let_go;
    int32_t taken_res, let_go_res;
};

static void on_lent(struct op *op, int32_t res, uint32_t flags)
{
    struct lent *l = container_of(op, struct lent, op);

    if (flags & RING_LET_GO) {
        l->let_go++;
        l->let_go_res = res;
        assert_false(flags & RING_MORE);
    } else {
        l->taken++;
        l->taken_res = res;
        assert_true(flags & RING_MORE);
    }
}

/* The socket has the bytes at once, the kernel lets go of them when the peer has them, or
 * when the connection is thrown away. */
static void lent_bytes_are_let_go_later(void **state)
{
    static char text[200000], got[sizeof text];
    static const struct linger reset = {1, 0};

    (void)state;
    memset(text, 't', sizeof text);
    for (int thrown_away = 0; thrown_away < 2; thrown_away++) {
        struct ring *r = open_with(&conf);
        struct iovec iov[2] = {{text, 1000}, {text + 1000, sizeof text - 1000}};
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
        struct lent lent = {0};
        int fd[2];

        assert_true(ring_has_zero_copy(r));
        tcp_pair(fd);
        op_start(&lent.op, on_lent);
        ring_sendmsg_zero_copy(r, &lent.op, fd[0], &msg);
        for (int i = 0; i < 20; i++)
            turn(r, 10000000);
        assert_int_equal(lent.taken, 1);
        assert_int_equal(lent.taken_res, sizeof text);
        assert_int_equal(lent.let_go, 0);
        assert_true(lent.op.pending);
        if (thrown_away) {
            setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            ring_close_fd(r, fd[0]);
        } else {
            assert_int_equal(recv(fd[1], got, sizeof got, MSG_WAITALL), sizeof got);
            assert_memory_equal(got, text, sizeof text);
            close(fd[0]);
        }
        while (lent.op.pending)
            turn(r, 1000000000);
        assert_int_equal(lent.taken, 1);
        assert_int_equal(lent.let_go, 1);
        assert_true(lent.let_go_res == RING_COPIED || (thrown_away && !lent.let_go_res));
        close(fd[1]);
        ring_close(r);
    }
}

static void kernels_without_it_are_known(void **state)
{
    struct ring_conf minimal = conf;
    struct ring *r;

    (void)state;
    hide_zero_copy = true;
    r = open_with(&conf);
    hide_zero_copy = false;
    assert_false(ring_has_zero_copy(r));
    ring_close(r);
    minimal.minimal = true;
    r = open_with(&minimal);
    assert_false(ring_has_zero_copy(r));
    ring_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_in_order),
        cmocka_unit_test(starving_receives_are_started_again),
        cmocka_unit_test(starving_receive_is_cancelled),
        cmocka_unit_test(overflow_loses_nothing),
        cmocka_unit_test(refused_entries_are_offered_again),
        cmocka_unit_test(cancel_races_land_once),
        cmocka_unit_test(prompt_sends_cost_no_completion),
        cmocka_unit_test(prompt_sends_without_room_say_what_went),
        cmocka_unit_test(prompt_sends_gather),
        cmocka_unit_test(lent_bytes_are_let_go_later),
        cmocka_unit_test(kernels_without_it_are_known),
        cmocka_unit_test(window_grows_when_starved_and_shrinks_when_calm),
        cmocka_unit_test(minimal_ring_works),
        cmocka_unit_test(durable_write_and_read),
        cmocka_unit_test(a_forbidden_ring_is_explained),
        cmocka_unit_test(a_missing_operation_is_named),
        cmocka_unit_test(lack_of_locked_memory_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
