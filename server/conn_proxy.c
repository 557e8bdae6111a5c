/* conn_proxy.c -- connections that a load balancer hands on (--proxy-from): the header in
 * front says who the client is. Until it is there nothing is known, counted or greeted.
 *
 *   accepted --> PREFACE --header--> OPENING --admitted--> HANDSHAKE or OPEN
 *
 * What came behind the header waits in the stash.
 */
#include <errno.h>

#include "proto/proxy/proxy.h"
#include "server/conn_state.h"
#include "server/listen.h"
#include "server/log.h"

static void say_bad(const struct conn *c)
{
    struct event e;
    char peer[ADDRESS_TEXT_MAX];

    if (!event_begin(&e, LEVEL_NOTICE, "proxy-header-bad"))
        return;
    event_string(&e, "port", c->listener->text);
    event_number(&e, "session", c->id);
    event_text(&e, "peer", conn_peer_text(c, peer, sizeof peer));
    event_end(&e);
}

void conn_proxy_await(struct conn *c)
{
    c->state = CONN_PREFACE;
    c->idle_at = thread_seconds(c->thread) + c->thread->process->conf.handshake_s;
    conn_arm_timer(c);
    conn_receive_update(c);
}

static void name_peer(struct conn *c, const struct proxy_header *h)
{
    if (!h->named)
        return;
    c->peer = (struct address){.family = h->six ? AF_INET6 : AF_INET, .port = h->port};
    memcpy(c->peer.bytes, h->source, sizeof c->peer.bytes);
    if (h->six)
        c->peer = address_plain(&c->peer);
}

void conn_proxy_take(struct conn *c, struct slice bytes)
{
    struct proxy_header h;

    if (!conn_stash(c, bytes)) {
        conn_fail(c, ENOMEM);
        return;
    }
    switch (proxy_parse(conn_stash_slice(c), &h)) {
    case PROXY_MORE:
        return;
    case PROXY_BAD:
        say_bad(c);
        conn_fail(c, EPROTO);
        return;
    case PROXY_DONE:
        break;
    }
    conn_unstash(c, h.len);
    name_peer(c, &h);
    c->state = CONN_OPENING;
    c->idle_at = 0;
    listen_admit(c);
}

/* The handshake gets its turn with those that had to wait. */
static void park(struct conn *c)
{
    list_remove(&c->touched);
    conn_set(c, CONN_TOUCHED, true);
    conn_set(c, CONN_PARKED, true);
    list_add(&c->thread->state->handshakes, &c->touched);
}

void conn_proxy_resume(struct conn *c)
{
    if (conn_is(c, CONN_HANDSHAKE) && conn_has(c, CONN_FIN))
        conn_fail(c, ECONNRESET);
    else if (conn_is(c, CONN_HANDSHAKE))
        park(c);
    else if (conn_is(c, CONN_OPEN)) {
        c->eof = conn_has(c, CONN_FIN);
        conn_wake(c);
    }
}
