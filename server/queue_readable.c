/* queue_readable.c -- binary text (RFC 3030, 3) for mailboxes: what IMAP and POP3 read
 * out of them has neither NUL nor a bare CR or LF nor lines over 998 octets (RFC
 * 9051, 4.3.1; RFC 5322, 2.3; RFC 1939, 3). The text is read once to see what is to be
 * done, and again for each delivery. */
#include <stdlib.h>

#include "proto/mime/convert.h"
#include "server/delivery.h"
#include "server/log.h"
#include "server/queue_work.h"

enum { READABLE_ROOM = 8 * CONVERT_ROOM_MIN };

struct readable {
    struct arena arena;
    struct convert_scan *scan; /* NULL once it has ended */
    const struct convert_plan *plan;
    struct converter converter;
    char room[READABLE_ROOM];
};

struct readable *readable_new(void)
{
    struct readable *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->arena = arena_of(CONVERT_MEMORY);
    r->scan = convert_scan_begin(&r->arena, CONVERT_TO_8BIT);
    if (r->scan)
        return r;
    readable_free(r);
    return NULL;
}

void readable_scan(struct readable *r, struct slice piece)
{
    convert_scan_feed(r->scan, piece);
}

static void say_unfit(const struct envelope *envelope, const char *why)
{
    struct event e;

    if (!event_begin(&e, LEVEL_NOTICE, "not-converted"))
        return;
    event_text(&e, "id", envelope->log_id);
    event_text(&e, "from", envelope->sender);
    event_string(&e, "why", why);
    event_end(&e);
}

bool readable_scanned(struct readable *r, const struct envelope *envelope)
{
    r->plan = convert_scan_end(r->scan);
    r->scan = NULL;
    switch (r->plan->verdict) {
    case CONVERT_REWRITE:
        return true;
    case CONVERT_AS_IS:
        break;
    case CONVERT_SIGNED:
        say_unfit(envelope, "a signed part would be changed");
        break;
    case CONVERT_HEADER:
    case CONVERT_FORM:
        say_unfit(envelope, "no form for it");
        break;
    case CONVERT_LIMIT:
        say_unfit(envelope, "too many parts");
        break;
    }
    return false;
}

void readable_begin(struct readable *r)
{
    convert_begin(&r->converter, r->plan);
}

void readable_put(struct readable *r, struct slice piece, struct delivery *d)
{
    while (piece.len) {
        size_t len = convert_run(&r->converter, &piece, r->room, sizeof r->room);

        delivery_add(d, slice_of(r->room, len));
    }
}

void readable_end(struct readable *r, struct delivery *d)
{
    delivery_add(d, slice_of(r->room, convert_end(&r->converter, r->room)));
}

void readable_free(struct readable *r)
{
    if (r)
        arena_reset(&r->arena);
    free(r);
}
