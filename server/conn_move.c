/* conn_move.c -- a connection goes to another thread.
 *
 * It leaves when its output has drained and its receive has ended, so that no operation
 * names it here; what came meanwhile is in the stash. The memory stays where it is.
 */
#include <errno.h>
#include <stdlib.h>

#include "server/conn_state.h"

struct conn_move {
    struct call call;
    struct conn *conn;
    struct thread *to;
    void (*arrived)(struct conn *c);
};

static void on_arrival(struct thread *to, struct call *call)
{
    struct conn_move *move = container_of(call, struct conn_move, call);
    struct conn *c = move->conn;
    void (*arrived)(struct conn *) = move->arrived;

    free(move);
    c->thread = to;
    c->state = CONN_OPEN;
    conn_count(c, 1);
    to->stats.buffered += conn_stash_room(c);
    list_add(&to->state->connections, &c->link);
    if (conn_has(c, CONN_FIN) && c->tls && !c->eof) {
        conn_fail(c, ECONNRESET);
        return;
    }
    if (conn_has(c, CONN_FIN))
        c->eof = true;
    conn_deadline(c, c->deadline_s);
    conn_enter(c, arrived);
    if (to->stopping)
        conn_stop(c);
    if (c->input || c->eof)
        conn_wake(c);
    conn_receive_update(c);
}

void conn_depart(struct conn *c)
{
    struct thread *t = c->thread;
    struct conn_move *move = c->under_way;

    c->under_way = NULL;
    conn_set(c, CONN_WOKEN, false);
    conn_set(c, CONN_TOUCHED, false);
    timer_clear(&c->timer);
    list_remove(&c->link);
    list_remove(&c->touched);
    conn_count(c, -1);
    t->stats.connections_moved++;
    t->stats.buffered -= conn_stash_room(c);
    call_send(t, move->to, &move->call);
}

void conn_move(struct conn *c, struct thread *to, void (*arrived)(struct conn *c))
{
    struct conn_move *move;

    CHECK(conn_has(c, CONN_RUNNING));
    if (c->closing)
        return;
    move = calloc(1, sizeof *move);
    if (!move) {
        conn_fail(c, ENOMEM);
        return;
    }
    move->call.run = on_arrival;
    move->conn = c;
    move->to = to;
    move->arrived = arrived;
    c->under_way = move;
    c->idle_at = 0;
    c->state = CONN_MOVING;
    conn_touch(c);
}
