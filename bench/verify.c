#include "bench/verify.h"

#include <stdlib.h>
#include <time.h>

#include "bench/imap.h"
#include "server/clock.h"

enum {
    CONNECTIONS_MAX = 8,
    FOREIGN_FIELDS_MAX = 1 << 20 /* octets that servers put in front of a message */
};
static const int64_t pause_ns = 300000000;

/* What the clients share; all of them run in one thread. */
struct check {
    struct bench *run;
    const struct engine_watch *watch;
    struct verify_result *result;
    uint64_t *users; /* those to be read */
    uint64_t user_count;
};

struct session {
    struct imap imap; /* first */
    struct imap_text text;
    bool out;
};

/* --- which users ---------------------------------------------------------- */

/* Senders spread recipients over all users; the others write to the user of their
 * connection. */
static bool spreads(const struct bench *b)
{
    enum mode_kind mode = b->o->mode;

    return mode == MODE_SMTP || mode == MODE_SUBMISSION || mode == MODE_LMTP;
}

static uint64_t recipient(const struct bench *b, uint64_t number, uint64_t i)
{
    return (number * b->o->recipients + i) % b->o->users.count;
}

/* All for which something is expected. */
static void mark_users(struct check *check, struct driver *d, uint8_t *marks)
{
    const struct bench *b = check->run;
    uint64_t each = b->o->recipients;

    for (uint64_t slot = 0; slot < d->started * each; slot++) {
        const uint8_t *at = ledger_at(&d->ledger, slot);

        if (at && *at)
            marks[recipient(b, slot / each * b->threads + d->index, slot % each)] = 1;
    }
}

static bool find_users(struct check *check)
{
    struct bench *b = check->run;
    uint64_t all = b->o->users.count;
    uint8_t *marks = calloc(all, 1);

    check->users = marks ? malloc(all * sizeof *check->users) : NULL;
    if (!check->users) {
        free(marks);
        return false;
    }
    for (unsigned i = 0; spreads(b) && i < b->threads; i++)
        mark_users(check, &b->drivers[i], marks);
    for (uint64_t u = 0; u < all; u++)
        if (spreads(b) ? marks[u] : u < b->o->connections)
            check->users[check->user_count++] = u;
    free(marks);
    return true;
}

/* --- one message ---------------------------------------------------------- */

uint64_t verify_largest(const struct bench *run)
{
    return run->letters.largest + FOREIGN_FIELDS_MAX;
}

/* The octet of the ledger for message `number` at `user`; NULL: it is not his. */
static uint8_t *slot_of(struct bench *b, uint64_t number, uint64_t user)
{
    struct driver *d = &b->drivers[number % b->threads];
    uint64_t each = spreads(b) ? b->o->recipients : 1, i = 0;

    if (number / b->threads >= d->started)
        return NULL;
    if (spreads(b))
        while (i < each && recipient(b, number, i) != user)
            i++;
    return i < each ? ledger_at(&d->ledger, number / b->threads * each + i) : NULL;
}

uint8_t *verify_message(
    struct bench *run, uint64_t user, struct slice message, uint64_t *different)
{
    uint64_t number;
    enum letter_verdict verdict =
        letter_check(&run->letters, message, spreads(run) ? 0 : user, &number);
    uint8_t *slot = verdict == LETTER_STRANGE ? NULL : slot_of(run, number, user);

    *different += verdict == LETTER_DIFFERENT || (verdict == LETTER_SAME && !slot);
    return slot;
}

static void check_message(struct client *c, struct slice message)
{
    struct check *check = c->driver->bench->extra;
    const struct session *s = c->session;
    uint8_t *slot =
        verify_message(check->run, s->imap.user, message, &check->result->different);

    if (slot && *slot < UINT8_MAX - LEDGER_FOUND)
        *slot = (uint8_t)(*slot + LEDGER_FOUND);
}

/* --- the session ---------------------------------------------------------- */

static size_t out_bytes(const struct options *o)
{
    (void)o;
    return 4096;
}

static void open_session(struct client *c)
{
    const struct check *check = c->driver->bench->extra;

    imap_open(
        c, check->users[c->number % check->user_count], c->driver->bench->o->mailbox);
}

static void say(struct client *c, struct slice command)
{
    imap_begin(c);
    client_write(c, command);
    client_flush(c);
}

static void next(struct client *c)
{
    struct session *s = c->session;

    s->out = s->imap.exists == 0;
    say(c, s->out ? S("LOGOUT\r\n") : S("FETCH 1:* (BODY.PEEK[])\r\n"));
}

static void on_literal(struct client *c, struct slice piece)
{
    const struct check *check = c->driver->bench->extra;
    struct session *s = c->session;
    struct slice message;

    if (imap_gather(c, &s->text, piece, verify_largest(check->run), &message))
        check_message(c, message);
}

static void on_line(struct client *c, const struct imap_said *said)
{
    struct session *s = c->session;

    if (said->kind == IMAP_UNTAGGED)
        return;
    if (said->kind != IMAP_OK) {
        client_fail(c, said->line);
    } else if (s->out) {
        client_done(c);
    } else {
        s->out = true;
        say(c, S("LOGOUT\r\n"));
    }
}

static void input(struct client *c, struct slice in)
{
    struct imap_said said;
    enum imap_got got;

    /* A mailbox may be large: it has to come, not to have come. */
    c->deadline_ns = client_now(c) + c->driver->bench->o->timeout_ns;
    while ((got = imap_take(c, &in, &said)) != IMAP_GOT_ALL)
        if (got == IMAP_GOT_LITERAL)
            on_literal(c, said.rest);
        else
            on_line(c, &said);
}

static void ended(struct client *c)
{
    struct session *s = c->session;

    free(s->text.room.at);
    s->text = (struct imap_text){0};
}

static const struct mode mode_verify = {
    .name = "verify",
    .unit = "mailboxes read back",
    .session_bytes = sizeof(struct session),
    .bulk = true,
    .single = true,
    .out_bytes = out_bytes,
    .open = open_session,
    .secured = imap_secured,
    .input = input,
    .next = next,
    .ended = ended,
};

/* --- all of it ------------------------------------------------------------ */

static void say_error(struct verify_result *r, struct slice text)
{
    size_t n = text.len < ERROR_TEXT_MAX - 1 ? text.len : ERROR_TEXT_MAX - 1;

    memcpy(r->error, text.at, n);
    r->error[n] = 0;
}

static void read_all(struct check *check)
{
    static struct bench b;
    struct options o = *check->run->o;
    char buffer[OPTIONS_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);

    o.to = o.verify;
    o.tls = o.verify_tls;
    o.connections =
        check->user_count < CONNECTIONS_MAX ? check->user_count : CONNECTIONS_MAX;
    o.count = check->user_count;
    o.threads = 1;
    o.rate = 0;
    o.time_ns = INT64_MAX / 4;
    b = (struct bench){.extra = check};
    if (!engine_open(&b, &o, &mode_verify, &why) || !engine_run(&b, check->watch, &why))
        say_error(check->result, out_slice(&why));
    else if (b.stop)
        say_error(check->result, S("interrupted"));
    else if (b.drivers[0].tally.errors)
        say_error(check->result, slice_str(b.drivers[0].tally.error_text));
    engine_close(&b);
}

static void count_slot(struct verify_result *r, uint8_t *slot)
{
    unsigned found = *slot / LEDGER_FOUND, state = *slot % LEDGER_FOUND;

    found += state == LEDGER_GONE;
    if (state == LEDGER_ACKED || state == LEDGER_GONE) {
        r->expected++;
        r->found += found > 0;
        r->missing += found == 0;
    }
    r->twice += found > 1;
    *slot %= LEDGER_FOUND; /* for another reading */
}

static void count_all(struct check *check)
{
    struct bench *b = check->run;
    uint64_t each = spreads(b) ? b->o->recipients : 1;

    for (unsigned i = 0; i < b->threads; i++) {
        struct driver *d = &b->drivers[i];

        check->result->twice += d->tally.twice;
        check->result->different += d->tally.different;
        for (uint64_t slot = 0; slot < d->started * each; slot++) {
            uint8_t *at = ledger_at(&d->ledger, slot);

            if (at)
                count_slot(check->result, at);
        }
        if (d->ledger.full)
            say_error(check->result, S("more messages than can be remembered"));
    }
}

void verify_run(
    struct bench *run, const struct engine_watch *watch, struct verify_result *result)
{
    struct check check = {.run = run, .watch = watch, .result = result};
    int64_t until = clock_monotonic_ns() + run->o->verify_wait_ns;
    const struct timespec pause = {.tv_nsec = pause_ns};

    if (!find_users(&check)) {
        say_error(result, S("out of memory"));
        return;
    }
    do {
        *result = (struct verify_result){0};
        if (check.user_count)
            read_all(&check);
        count_all(&check);
    } while (result->missing && !run->stop && clock_monotonic_ns() < until &&
        nanosleep(&pause, NULL) == 0);
    free(check.users);
}
