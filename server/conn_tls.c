/* conn_tls.c -- TLS between the wire and the session.
 *
 * Records are opened as they come, into the thread's scratch, and offered from there;
 * nothing waits undecrypted. Handshakes are bursts of a fraction of a millisecond: when a
 * turn has had its share, the others wait in line.
 */
#include <errno.h>
#include <stdlib.h>

#include "server/clock.h"
#include "server/conn_state.h"

static const char *const alpn_names[] = {
    [PROTO_SMTP] = "smtp",
    [PROTO_SUBMISSION] = "smtp",
    [PROTO_LMTP] = "lmtp",
    [PROTO_POP3] = "pop3",
    [PROTO_IMAP] = "imap",
};

bool conn_may_shake(const struct thread *t)
{
    return t->state->handshakes_begun < HANDSHAKES_A_TURN &&
        t->state->handshake_ns < HANDSHAKES_A_TURN_NS;
}

/* --- the handshake -------------------------------------------------------- */

/* An alert may be on its way: it goes out, then the connection ends. */
static void give_up(struct conn *c)
{
    conn_close(c);
    c->error = EPROTO;
}

static void finish_handshake(struct conn *c)
{
    struct thread_stats *stats = &c->thread->stats;

    stats->handshakes++;
    stats->handshakes_resumed += tls_resumed(c->tls);
    c->secure = true;
    stats->connections_tls++;
    c->state = CONN_OPEN;
    conn_deadline(c, c->deadline_s);
    if (conn_has(c, CONN_GREETED))
        conn_wake(c);
    else
        conn_greet(c);
}

static void shake(struct conn *c)
{
    struct thread_state *s = c->thread->state;
    int64_t begin = clock_monotonic_ns();
    enum tls_result result = tls_handshake(c->tls);

    s->handshakes_begun++;
    s->handshake_ns += clock_monotonic_ns() - begin;
    if (result == TLS_DONE) {
        finish_handshake(c);
    } else if (result != TLS_MORE) {
        c->thread->stats.handshakes_failed++;
        c->tls_why = tls_error(c->tls);
        give_up(c);
    }
    conn_touch(c);
}

/* The bytes are kept; what is to be sent goes out before the connection waits. */
static void park(struct conn *c, struct slice sealed)
{
    if (!conn_stash(c, sealed)) {
        conn_fail(c, ENOMEM);
        return;
    }
    if (conn_has(c, CONN_PARKED))
        return;
    conn_flush(c);
    if (!conn_is(c, CONN_HANDSHAKE))
        return;
    list_remove(&c->touched);
    conn_set(c, CONN_TOUCHED, true);
    conn_set(c, CONN_PARKED, true);
    list_add(&c->thread->state->handshakes, &c->touched);
}

void conn_tls_resume(struct conn *c)
{
    struct conn_input *kept = c->input;
    struct slice sealed = conn_stash_slice(c);

    conn_set(c, CONN_PARKED, false);
    conn_set(c, CONN_TOUCHED, false);
    c->input = NULL; /* of the session from now on */
    conn_tls_take(c, sealed);
    conn_touch(c);
    conn_free_stash(c, kept);
}

/* --- open ----------------------------------------------------------------- */

/* What has been opened so far is the session's, then it hears of the end. */
static void end_of_tls(struct conn *c, enum tls_result result)
{
    if (result == TLS_FAILED) {
        c->tls_why = tls_error(c->tls);
        give_up(c);
    } else if (!c->eof) {
        c->eof = true;
        if (conn_is(c, CONN_OPEN))
            conn_wake(c);
    }
}

static void open_records(struct conn *c)
{
    char *scratch = c->thread->state->scratch;
    enum tls_result result = TLS_DONE;
    size_t got;

    while (conn_is(c, CONN_OPEN) || conn_is(c, CONN_MOVING)) {
        result = tls_read(c->tls, scratch, SCRATCH_BYTES / 2, &got);
        if (result != TLS_DONE)
            break;
        conn_take(c, slice_of(scratch, got));
    }
    if (result == TLS_CLOSED || result == TLS_FAILED)
        end_of_tls(c, result);
}

void conn_tls_take(struct conn *c, struct slice sealed)
{
    if (conn_is(c, CONN_HANDSHAKE)) {
        if (conn_has(c, CONN_PARKED) || !conn_may_shake(c->thread)) {
            park(c, sealed);
            return;
        }
        tls_feed(c->tls, &sealed);
        shake(c);
    } else {
        tls_feed(c->tls, &sealed);
    }
    open_records(c);
    if (c->tls)
        tls_feed(c->tls, NULL);
}

/* --- beginning and end ---------------------------------------------------- */

bool conn_tls_begin(struct conn *c)
{
    struct thread *t = c->thread;

    if (!c->tls && t->tls && c->listener)
        c->tls = tls_new(t->tls, alpn_names[c->listener->protocol], conn_put_sealed, c);
    if (!c->tls)
        return false;
    c->idle_at = thread_seconds(t) + t->process->conf.handshake_s;
    conn_arm_timer(c);
    if (conn_has(c, CONN_CLIENT))
        shake(c);
    return true;
}

/* One that is closing says so to the peer. */
void conn_tls_end(struct conn *c)
{
    if (conn_is(c, CONN_FLUSHING) && c->tls && c->secure)
        tls_close(c->tls);
    tls_free(c->tls);
    c->tls = NULL;
}

void conn_starttls(struct conn *c)
{
    CHECK(conn_has(c, CONN_RUNNING) && !c->tls);
    if (!c->closing)
        conn_set(c, CONN_STARTING, true);
}

void conn_starttls_client(struct conn *c, struct slice name, bool verify)
{
    struct thread *t = c->thread;

    CHECK(conn_has(c, CONN_RUNNING) && !c->tls);
    if (c->closing)
        return;
    if (!t->state->tls_client)
        t->state->tls_client = tls_context_new(NULL);
    if (t->state->tls_client)
        c->tls = tls_new_client(t->state->tls_client, name, verify, conn_put_sealed, c);
    if (!c->tls) {
        c->tls_why = "no authorities to check certificates by, or no memory";
        conn_fail(c, EPROTO);
        return;
    }
    conn_set(c, CONN_STARTING, true);
}

struct slice conn_tls_why(const struct conn *c)
{
    return c->tls_why ? slice_str(c->tls_why) : S("");
}

bool conn_is_tls(const struct conn *c)
{
    return c->secure;
}

struct slice conn_tls_text(const struct conn *c, char *at, size_t cap)
{
    return c->tls && c->secure ? tls_text(c->tls, at, cap) : S("");
}
