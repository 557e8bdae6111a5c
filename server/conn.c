/* conn.c -- the life of a connection; the drawing stands in conn_state.h. */
#include "server/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/conn_state.h"
#include "server/limit.h"

enum {
    TOUCHED_STEP = 16,      /* connections between two looks at the clock */
    SLICE_NS = 200000,      /* of one connection that has much to do */
    SLICES_END_NS = 500000, /* from the start of the turn: no more connections run */
};

/* --- birth ---------------------------------------------------------------- */

struct conn *conn_new(struct thread *t, const struct listener *listener,
    const struct session_calls *calls, int fd)
{
    struct conn *c;

    CHECK(calls->session_bytes >= sizeof *c);
    c = calloc(1, calls->session_bytes);
    if (!c)
        return NULL;
    c->thread = t;
    c->listener = listener;
    c->calls = calls;
    c->fd = fd;
    c->id = t->state->next_id;
    t->state->next_id += t->process->thread_count;
    c->input_limit = INPUT_LIMIT;
    c->state = CONN_OPENING;
    conn_output_open(c);
    list_add(&t->state->connections, &c->link);
    conn_count(c, 1);
    return c;
}

void conn_begin(struct conn *c)
{
    if (c->listener && c->listener->implicit_tls) {
        c->state = CONN_HANDSHAKE;
        if (!conn_tls_begin(c)) {
            conn_fail(c, ENOMEM);
            return;
        }
    } else {
        c->state = CONN_OPEN;
        conn_greet(c);
    }
    conn_receive_update(c);
}

/* Inside session code nothing is freed and nothing re-entered. What it saw as congested
 * is noted at once: by the time of the flush a send may have landed, and then nobody
 * would call it again. */
void conn_enter(struct conn *c, void (*call)(struct conn *c))
{
    conn_set(c, CONN_RUNNING, true);
    call(c);
    conn_set(c, CONN_RUNNING, false);
    if (conn_congested(c))
        conn_set(c, CONN_CONGESTED, true);
    conn_touch(c);
}

/* STARTTLS: what has come so far is forgotten (RFC 3207, 4.2), what was answered goes out
 * in clear. */
static void start_tls(struct conn *c)
{
    struct tls *client = c->tls;

    conn_set(c, CONN_STARTING, false);
    conn_set(c, CONN_WOKEN, false);
    c->in = S("");
    conn_drop_input(c);
    c->tls = NULL;
    conn_out_in_clear(c);
    c->tls = client;
    c->state = CONN_HANDSHAKE;
    if (!conn_tls_begin(c))
        conn_fail(c, ENOMEM);
}

static void start_tls_if_asked(struct conn *c)
{
    if (conn_has(c, CONN_STARTING) && conn_is(c, CONN_OPEN))
        start_tls(c);
}

void conn_greet(struct conn *c)
{
    conn_set(c, CONN_GREETED, true);
    conn_deadline(c, OPEN_DEADLINE_S);
    conn_enter(c, c->calls->open);
    start_tls_if_asked(c);
    if (c->thread->stopping)
        conn_stop(c);
}

void conn_stop(struct conn *c)
{
    if (!conn_is(c, CONN_OPEN) || conn_has(c, CONN_TOLD))
        return;
    conn_set(c, CONN_TOLD, true);
    conn_enter(c, c->calls->stop);
}

/* --- running -------------------------------------------------------------- */

void conn_touch(struct conn *c)
{
    if (conn_has(c, CONN_TOUCHED))
        return;
    conn_set(c, CONN_TOUCHED, true);
    list_add(&c->thread->touched, &c->touched);
}

void conn_wake(struct conn *c)
{
    if (c->closing)
        return;
    conn_set(c, CONN_WOKEN, true);
    conn_touch(c);
}

void conn_run(struct conn *c)
{
    conn_enter(c, c->calls->run);
    start_tls_if_asked(c);
}

/* One that was touched: run it if it was woken, send, and see what has become of it. What
 * the session does while it runs is looked at here and now; only one that wants to run
 * again has another turn, and one whose prompt send is of this very turn: nothing is
 * heard of that before the ring has been entered, and what came behind it must not wait
 * for somebody else to wake the thread. */
static void turn_one(struct conn *c)
{
    bool unheard = conn_sends_promptly(c);

    if (conn_has(c, CONN_WOKEN) && conn_is(c, CONN_OPEN)) {
        conn_set(c, CONN_WOKEN, false);
        conn_offer(c);
    }
    conn_set(c, CONN_TOUCHED, false);
    if (unheard || (conn_has(c, CONN_WOKEN) && conn_is(c, CONN_OPEN)))
        conn_touch(c);
    if (unheard)
        c->thread->state->enter_first = true;
    conn_flush(c);
    conn_receive_update(c);
    conn_advance(c); /* may free it */
}

static void resume_handshakes(struct thread *t)
{
    struct thread_state *s = t->state;
    struct list *link;

    s->handshakes_begun = 0;
    s->handshake_ns = 0;
    while (conn_may_shake(t) && (link = list_pop(&s->handshakes)))
        conn_tls_resume(container_of(link, struct conn, touched));
}

bool conns_turn(struct thread *t)
{
    int64_t end = t->state->turn_ns + SLICES_END_NS;
    struct list now, *link;

    resume_handshakes(t);
    t->looked_ns = clock_monotonic_ns();
    list_init(&now);
    while ((link = list_pop(&t->touched)))
        list_add(&now, link);
    for (unsigned n = 1; (link = list_pop(&now)); n++) {
        struct conn *c = container_of(link, struct conn, touched);

        t->slice_end_ns = t->looked_ns + SLICE_NS;
        turn_one(c);
        if (n % TOUCHED_STEP == 0)
            t->looked_ns = clock_monotonic_ns();
        if (t->looked_ns > end)
            break;
    }
    /* Who has waited comes before who has run and wants to again. */
    while ((link = list_pop(&t->touched)))
        list_add(&now, link);
    while ((link = list_pop(&now)))
        list_add(&t->touched, link);
    return !list_empty(&t->touched) || !list_empty(&t->state->handshakes);
}

/* --- deadlines ------------------------------------------------------------ */

static uint32_t next_deadline(const struct conn *c)
{
    if (c->write_at)
        return c->write_at;
    return c->idle_at;
}

/* The timer is only ever moved nearer; when it comes too early it is set again. */
void conn_arm_timer(struct conn *c)
{
    uint32_t next = next_deadline(c);
    int64_t at_ns = c->thread->state->start_ns + (int64_t)next * 1000000000;

    if (next == 0 || (list_linked(&c->timer.link) && c->timer.at_ns <= at_ns))
        return;
    timer_set(c->thread, &c->timer, at_ns, conn_on_timer);
}

static void on_idle(struct conn *c)
{
    c->idle_at = 0;
    switch ((enum conn_state)c->state) {
    case CONN_OPENING:
        if (!conn_has(c, CONN_CLIENT)) {
            conn_fail(c, ETIMEDOUT);
            return;
        }
        conn_enter(c, c->calls->timeout);
        return;
    case CONN_OPEN:
        conn_enter(c, c->calls->timeout);
        return;
    case CONN_LINGERING:
        c->state = CONN_ENDING;
        conn_touch(c);
        return;
    case CONN_PREFACE:
        conn_fail(c, ETIMEDOUT);
        return;
    case CONN_HANDSHAKE:
        c->thread->stats.handshakes_failed++;
        conn_fail(c, ETIMEDOUT);
        return;
    case CONN_MOVING:
    case CONN_FLUSHING:
    case CONN_ENDING:
    case CONN_CLOSED:
        return;
    }
}

void conn_on_timer(struct timer *timer)
{
    struct conn *c = container_of(timer, struct conn, timer);
    uint32_t now = thread_seconds(c->thread);

    if (c->write_at && now > c->write_at)
        conn_fail(c, ETIMEDOUT);
    else if (!c->output && c->idle_at && now > c->idle_at)
        on_idle(c);
    conn_arm_timer(c);
}

void conn_deadline(struct conn *c, unsigned seconds)
{
    if (c->closing)
        return;
    c->deadline_s = (uint16_t)(seconds < UINT16_MAX ? seconds : UINT16_MAX);
    c->idle_at = seconds ? thread_seconds(c->thread) + c->deadline_s : 0;
    conn_arm_timer(c);
}

/* --- death ---------------------------------------------------------------- */

void conn_close(struct conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    if (conn_is(c, CONN_OPENING) || conn_is(c, CONN_PREFACE)) {
        conn_fail(c, ECANCELED);
        return;
    }
    c->state = CONN_FLUSHING;
    c->bulk_bytes = 0;
    c->idle_at = 0;
    conn_touch(c);
}

void conn_part(struct conn *c)
{
    if (!c->closing && !c->tls && c->in.len == 0)
        conn_set(c, CONN_PARTING, true);
    conn_close(c);
}

/* With unsent output the peer is told by a reset, and the kernel keeps nothing. */
void conn_fail(struct conn *c, int error)
{
    struct linger reset = {1, 0};

    if (conn_is(c, CONN_ENDING) || conn_is(c, CONN_CLOSED))
        return;
    if (conn_has(c, CONN_PARKED)) {
        list_remove(&c->touched);
        conn_set(c, CONN_PARKED, false);
        conn_set(c, CONN_TOUCHED, false);
    }
    c->closing = true;
    /* Who hangs up by a reset after the last reply has missed nothing. */
    if (!c->error && !conn_is(c, CONN_LINGERING))
        c->error = error;
    c->state = CONN_ENDING;
    c->idle_at = c->write_at = 0;
    if (conn_unsent(c))
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    else if (c->receive.pending || c->send.pending)
        shutdown(c->fd, SHUT_RDWR);
    conn_touch(c);
}

void conn_abort(struct conn *c)
{
    conn_fail(c, ECONNABORTED);
}

/* Everything is sent: says so to the peer, then waits a moment for it to close, because
 * closing over unread input would reset the connection and lose the last reply. */
static void hang_up(struct conn *c)
{
    if (c->tls && c->secure) {
        conn_tls_end(c);
        if (c->output) {
            conn_flush(c);
            return;
        }
    }
    if (conn_has(c, CONN_FIN | CONN_PARTING)) {
        c->state = CONN_ENDING;
        return;
    }
    shutdown(c->fd, SHUT_WR);
    c->state = CONN_LINGERING;
    c->idle_at = thread_seconds(c->thread) + LINGER_S;
    conn_arm_timer(c);
}

static void cancel_ops(struct conn *c)
{
    struct ring *ring = c->thread->ring;

    if (c->receive.pending && !conn_has(c, CONN_STOPPING)) {
        conn_set(c, CONN_STOPPING, true);
        ring_cancel(ring, &c->receive);
    }
    if (c->send.pending && !conn_has(c, CONN_CANCELLING)) {
        conn_set(c, CONN_CANCELLING, true);
        ring_cancel(ring, conn_send_op(c));
    }
}

static void close_fd(struct conn *c)
{
    if (c->fd >= 0)
        ring_close_fd(c->thread->ring, c->fd);
    c->fd = -1;
}

/* No op is in flight any more: the descriptor goes, then the session hears of it. */
static void finish(struct conn *c)
{
    struct thread *t = c->thread;

    conn_drop_output(c);
    conn_drop_input(c);
    conn_tls_end(c);
    free(c->under_way);
    timer_clear(&c->timer);
    list_remove(&c->link);
    list_remove(&c->touched);
    conn_count(c, -1);
    close_fd(c);
    c->state = CONN_CLOSED;
    if (c->admission)
        admission_leave(t, c);
    if (conn_has(c, CONN_GREETED | CONN_CLIENT))
        c->calls->closed(c);
    else
        conn_free(c);
}

void conn_advance(struct conn *c)
{
    bool idle = !c->receive.pending && !c->send.pending;

    if (conn_is(c, CONN_FLUSHING) && !c->output && c->out.len == 0)
        hang_up(c);
    if (conn_is(c, CONN_LINGERING) &&
        (conn_has(c, CONN_FIN) || c->bulk_bytes >= LINGER_BYTES_MAX))
        c->state = CONN_ENDING;
    if (conn_is(c, CONN_MOVING) && !c->output && idle)
        conn_depart(c);
    else if (conn_is(c, CONN_ENDING) && !idle)
        cancel_ops(c);
    else if (conn_is(c, CONN_ENDING) && conn_pinned(c))
        close_fd(c); /* by a reset, after which the kernel lets go of the bytes */
    else if (conn_is(c, CONN_ENDING) && !admission_asking(c))
        finish(c);
}

void conn_free(struct conn *c)
{
    CHECK(conn_is(c, CONN_CLOSED) && !c->receive.pending && !c->send.pending);
    list_remove(&c->touched);
    timer_clear(&c->timer);
    free(c);
}

/* --- all of them ---------------------------------------------------------- */

bool conns_open(struct thread *t)
{
    struct thread_state *s = t->state;

    list_init(&s->connections);
    list_init(&s->handshakes);
    list_init(&t->touched);
    op_queue_init(&t->ready);
    s->next_id = t->index + 1;
    s->scratch = malloc(SCRATCH_BYTES);
    return s->scratch != NULL;
}

void conns_close(struct thread *t)
{
    CHECK(t->stats.connections == 0);
    conn_pools_close(t);
    free(t->state->scratch);
}

/* Those in a handshake have nothing to be told. A session may end others as well as
 * itself, so the walk is over a list that only loses the connection it is at. */
static void each_conn(struct thread *t, void (*call)(struct conn *c))
{
    struct list all, *link;

    list_init(&all);
    while ((link = list_pop(&t->state->connections)))
        list_add(&all, link);
    while ((link = list_pop(&all))) {
        list_add(&t->state->connections, link);
        call(container_of(link, struct conn, link));
    }
}

static void stop_one(struct conn *c)
{
    if (conn_is(c, CONN_OPENING) || conn_is(c, CONN_PREFACE) ||
        conn_is(c, CONN_HANDSHAKE))
        conn_abort(c);
    else
        conn_stop(c);
}

void conns_stop(struct thread *t)
{
    each_conn(t, stop_one);
}

void conns_abort(struct thread *t)
{
    each_conn(t, conn_abort);
}

/* --- questions ------------------------------------------------------------ */

struct slice conn_peer_text(const struct conn *c, char *at, size_t cap)
{
    return address_text(&c->peer, at, cap);
}

bool conn_peer_in(const struct conn *c, const struct network *networks, unsigned count)
{
    return address_in(&c->peer, networks, count);
}

bool conn_may_login(const struct conn *c)
{
    const struct process_conf *conf = &c->thread->process->conf;

    return c->secure || address_in(&c->peer, conf->plaintext, conf->plaintext_count);
}
