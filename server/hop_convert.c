/* hop_convert.c -- text that a hop can't take as it is (RFC 6152, 3; RFC 3030, 3): read
 * once before MAIL to see what is to be done, and again when it goes out, by DATA. */
#include <stdlib.h>

#include "proto/mime/convert.h"
#include "server/hop_state.h"

enum { CONVERT_TURN_RUNS = 16, CONVERT_ROOM = 8 * CONVERT_ROOM_MIN };

struct hop_convert {
    struct arena arena;
    struct convert_scan *scan; /* NULL once it has ended */
    const struct convert_plan *plan;
    struct converter converter;
    char room[CONVERT_ROOM];
};

/* --- the first pass ------------------------------------------------------- */

void hop_scan_begin(struct hop *h)
{
    struct hop_work *w = &h->work;
    bool eight = hop_offers(h, SMTP_HELLO_8BITMIME);
    struct hop_convert *c = calloc(1, sizeof *c);
    struct hop_answer end;

    w->converted = c;
    if (c) {
        c->arena = arena_of(CONVERT_MEMORY);
        c->scan =
            convert_scan_begin(&c->arena, eight ? CONVERT_TO_8BIT : CONVERT_TO_7BIT);
    }
    if (!c || !c->scan) {
        hop_answer_ours(&end, 0, HOP_STATUS(4, 3, 0), "out of memory");
        hop_settle(h, HOP_RCPT_TODO, &end);
        hop_transaction(h);
        return;
    }
    hop_await(h, HOP_SCAN);
    if (hop_text_open(h))
        hop_scan(h);
}

static void refuse(struct hop *h, enum convert_verdict verdict)
{
    struct slice reason = convert_reason(verdict);
    struct hop_answer a;

    hop_answer_ours(&a, 554,
        verdict == CONVERT_HEADER ? HOP_STATUS(5, 6, 7) : HOP_STATUS(5, 6, 3),
        "not to be made fit for a hop without %s: %.*s",
        hop_offers(h, SMTP_HELLO_8BITMIME) ? "BINARYMIME" : "8BITMIME", (int)reason.len,
        reason.at);
    hop_settle(h, HOP_RCPT_TODO, &a);
}

static void scanned(struct hop *h)
{
    struct hop_work *w = &h->work;
    struct hop_convert *c = w->converted;

    hop_text_end(h);
    c->plan = convert_scan_end(c->scan);
    c->scan = NULL;
    w->body = c->plan->target == CONVERT_TO_8BIT ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
    if (c->plan->verdict == CONVERT_REWRITE) {
        w->chunks = false;
    } else {
        if (c->plan->verdict != CONVERT_AS_IS)
            refuse(h, c->plan->verdict);
        hop_convert_free(c);
        w->converted = NULL;
    }
    hop_transaction(h);
}

/* A piece a turn. */
void hop_scan(struct hop *h)
{
    struct hop_work *w = &h->work;

    if (h->owed || !hop_text_more(h))
        return;
    convert_scan_feed(w->converted->scan, slice_take(&w->at, w->at.len));
    if (w->left > 0)
        conn_wake(h->conn);
    else
        scanned(h);
}

/* --- the second ----------------------------------------------------------- */

void hop_convert_begin(struct hop_convert *c)
{
    convert_begin(&c->converter, c->plan);
}

void hop_convert_run(struct hop *h, struct slice *in)
{
    struct hop_work *w = &h->work;
    struct hop_convert *c = w->converted;

    for (unsigned n = 0; n < CONVERT_TURN_RUNS && in->len; n++) {
        size_t len = convert_run(&c->converter, in, c->room, sizeof c->room);

        dots_put(&w->dots, slice_of(c->room, len), &h->conn->out);
    }
}

void hop_convert_end(struct hop *h)
{
    struct hop_convert *c = h->work.converted;
    size_t len = convert_end(&c->converter, c->room);

    dots_put(&h->work.dots, slice_of(c->room, len), &h->conn->out);
}

void hop_convert_free(struct hop_convert *c)
{
    if (c)
        arena_reset(&c->arena);
    free(c);
}
