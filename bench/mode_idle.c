/* mode_idle.c -- connections in IDLE: what they cost, and how soon they hear of mail. */
#include "bench/mode_idle.h"

#include <stdlib.h>

enum { HELPERS_MAX = 32, OUT_BYTES = 1024 };

static const char *const step_names[] = {"answer", NULL};
enum { STEP_ANSWER };

/* --- options -------------------------------------------------------------- */

/* Names and passwords are the largest of what is said. */
size_t idle_out_bytes(const struct options *o)
{
    return 2 * (size_t)USER_NAME_MAX + 2 * strlen(o->password) + strlen(o->word) +
        OUT_BYTES;
}

bool idle_prepare(struct bench *b, struct out *why)
{
    const struct options *o = b->o;

    if (!o->deliver.len && (o->verify.len || o->rate > 0)) {
        out_str(why,
            "--deliver: is needed for --verify and --rate; write --deliver "
            "127.0.0.1:25");
        return false;
    }
    if (o->per_connection) {
        out_str(why, "--per-connection: means nothing in this mode; leave it out");
        return false;
    }
    if (!o->deliver.len || o->users.count >= o->connections)
        return true;
    out_str(why, "--connections ");
    out_u64(why, o->connections);
    out_str(why, ": more than there are users; write --user-count ");
    out_u64(why, o->connections);
    return false;
}

/* --- helpers -------------------------------------------------------------- */

/* What they and their watchers share: whose turn it is. */
struct crew {
    struct client helpers[HELPERS_MAX];
    unsigned next;
};

bool idle_populate(struct driver *d, const struct mode *mode)
{
    const struct options *o = d->bench->o;
    struct crew *crew = o->deliver.len ? calloc(1, sizeof *crew) : NULL;

    if (!o->deliver.len)
        return true;
    d->extra = crew;
    for (unsigned i = 0; crew && i < d->count && i < HELPERS_MAX; i++) {
        if (!client_init(&crew->helpers[i], d, mode, &o->deliver, d->clients[i].index))
            return false;
        engine_join(d, &crew->helpers[i]);
    }
    return crew != NULL;
}

bool idle_choose(struct client *c)
{
    struct driver *d = c->driver;
    struct crew *crew = d->extra;
    struct smtp_session *s = c->session;

    s->stored = false;
    s->seen_ns = 0;
    s->watcher = NULL;
    for (unsigned tries = 0; tries < d->count && !s->watcher; tries++) {
        struct client *watcher = &d->clients[crew->next++ % d->count];
        struct idle_session *idle = watcher->session;

        if (watcher->state != CLIENT_READY || !idle->idling || idle->helper)
            continue;
        s->watcher = watcher;
        s->user = idle->imap.user;
        idle->helper = c;
    }
    return s->watcher != NULL;
}

static void settle(struct client *helper)
{
    struct smtp_session *s = helper->session;

    if (s->stored && s->seen_ns) {
        helper->intended_ns = s->text_ns; /* what counts is from the final dot on */
        client_done_at(helper, s->seen_ns);
    }
}

static void on_taken(struct client *c)
{
    const struct smtp_session *s = c->session;

    client_step(c, STEP_ANSWER, s->text_ns);
    if (idle_stored(c))
        settle(c);
}

bool idle_stored(struct client *c)
{
    struct smtp_session *s = c->session;

    s->stored = true;
    if (s->watcher || s->seen_ns)
        return true;
    client_refused(c, S("who waited for the message has gone"));
    return false;
}

void idle_helper_ended(struct client *c)
{
    struct smtp_session *s = c->session;

    if (s->watcher)
        ((struct idle_session *)s->watcher->session)->helper = NULL;
    s->watcher = NULL;
}

static const struct smtp_mode helper = {
    .mode =
        {
            .name = "helper",
            .session_bytes = sizeof(struct smtp_session),
            .out_bytes = smtp_out_bytes,
            .open = smtp_open,
            .secured = smtp_secured,
            .input = smtp_input,
            .next = smtp_next,
            .later = smtp_later,
            .quit = smtp_quit,
            .ended = idle_helper_ended,
        },
    .helper = true,
    .choose = idle_choose,
    .taken = on_taken,
};

/* --- watchers ------------------------------------------------------------- */

void idle_open(struct client *c)
{
    imap_open(c, c->index, "INBOX");
}

void idle_begin(struct client *c)
{
    imap_begin(c);
    client_write(c, S("IDLE\r\n"));
    client_flush(c);
}

void idle_quit(struct client *c)
{
    struct idle_session *s = c->session;

    s->out = true;
    if (s->idling)
        client_write(c, S("DONE\r\n"));
    imap_begin(c);
    client_write(c, S("LOGOUT\r\n"));
    client_flush(c);
}

void idle_ended(struct client *c)
{
    struct idle_session *s = c->session;
    struct client *waiting = s->helper;
    struct smtp_session *smtp = waiting ? waiting->session : NULL;

    free(s->text.room.at);
    s->text = (struct imap_text){0};
    s->helper = NULL;
    if (!waiting)
        return;
    smtp->watcher = NULL;
    if (smtp->stored)
        client_refused(waiting, S("who waited for the message has gone"));
}

bool idle_take(struct client *c, const struct imap_said *said, bool *arrived)
{
    struct idle_session *s = c->session;
    struct slice word;
    uint32_t number;

    *arrived = false;
    if (said->kind == IMAP_CONTINUE) {
        s->idling = true;
        return true;
    }
    if (s->out)
        return true;
    if (said->kind != IMAP_UNTAGGED)
        return false;
    if (slice_starts_nocase(said->rest, S("BYE"))) {
        client_fail(c, said->line);
        return true;
    }
    *arrived = s->idling && imap_numbered(said->rest, &number, &word) &&
        slice_eq_nocase(word, S("EXISTS"));
    return true;
}

static void on_arrival(struct client *c)
{
    struct idle_session *s = c->session;
    struct client *waiting = s->helper;
    struct smtp_session *smtp = waiting ? waiting->session : NULL;

    if (!waiting || smtp->step != SMTP_TEXT)
        return; /* of somebody else's mail */
    s->helper = NULL;
    smtp->watcher = NULL;
    smtp->seen_ns = client_now(c);
    settle(waiting);
}

static void on_line(struct client *c, const struct imap_said *said)
{
    bool arrived, idling = ((struct idle_session *)c->session)->idling;

    if (!idle_take(c, said, &arrived))
        client_fail(c, said->line);
    else if (arrived)
        on_arrival(c);
    else if (!idling && said->kind == IMAP_CONTINUE)
        client_ready(c);
}

static void input(struct client *c, struct slice in)
{
    struct imap_said said;
    enum imap_got got;

    while ((got = imap_take(c, &in, &said)) != IMAP_GOT_ALL)
        if (got == IMAP_GOT_LINE)
            on_line(c, &said);
}

static bool populate(struct driver *d)
{
    return idle_populate(d, &helper.mode);
}

static void never(struct client *c)
{
    (void)c; /* those that are held get no operations */
}

const struct mode mode_idle = {
    .name = "idle",
    .session_bytes = sizeof(struct idle_session),
    .holds = true,
    .out_bytes = idle_out_bytes,
    .prepare = idle_prepare,
    .populate = populate,
    .open = idle_open,
    .secured = imap_secured,
    .up = idle_begin,
    .input = input,
    .next = never,
    .quit = idle_quit,
    .ended = idle_ended,
    .steps = step_names,
};
