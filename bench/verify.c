#include "bench/verify.h"

#include <stdlib.h>
#include <time.h>

#include "bench/imap.h"
#include "server/clock.h"

enum {
    CONNECTIONS_MAX = 8,
    TEXT_MIN = 65536,
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
    char *text;       /* of the message that is coming */
    size_t len, cap;
    bool skip; /* larger than any of ours */
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

/* The octet of the ledger for message `number` at `user`; NULL: it is not his. */
static uint8_t *slot_of(struct check *check, uint64_t number, uint64_t user)
{
    struct bench *b = check->run;
    struct driver *d = &b->drivers[number % b->threads];
    uint64_t each = spreads(b) ? b->o->recipients : 1, i = 0;

    if (number / b->threads >= d->started)
        return NULL;
    if (spreads(b))
        while (i < each && recipient(b, number, i) != user)
            i++;
    return i < each ? ledger_at(&d->ledger, number / b->threads * each + i) : NULL;
}

static void check_message(struct client *c, struct slice message)
{
    struct check *check = c->driver->bench->extra;
    const struct session *s = c->session;
    uint64_t number;
    enum letter_verdict verdict = letter_check(&check->run->letters, message, &number);
    uint8_t *slot;

    if (verdict == LETTER_STRANGE)
        return;
    slot = slot_of(check, number, s->imap.user);
    if (!slot || verdict == LETTER_DIFFERENT)
        check->result->different++;
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

static bool make_room(struct session *s, size_t more)
{
    size_t cap = s->cap ? s->cap : TEXT_MIN;
    char *at;

    while (cap < s->len + more)
        cap *= 2;
    if (cap == s->cap)
        return true;
    at = realloc(s->text, cap);
    if (!at)
        return false;
    s->text = at;
    s->cap = cap;
    return true;
}

static void on_literal(struct client *c, struct slice piece)
{
    const struct check *check = c->driver->bench->extra;
    struct session *s = c->session;

    if (s->len + piece.len + s->imap.reader.literal >
        check->run->letters.largest + FOREIGN_FIELDS_MAX)
        s->skip = true;
    if (!s->skip && !make_room(s, piece.len)) {
        client_fail(c, S("out of memory"));
        return;
    }
    if (!s->skip) {
        memcpy(s->text + s->len, piece.at, piece.len);
        s->len += piece.len;
    }
    if (s->imap.reader.literal)
        return;
    if (!s->skip)
        check_message(c, slice_of(s->text, s->len));
    s->len = 0;
    s->skip = false;
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

    free(s->text);
    s->text = NULL;
    s->len = s->cap = 0;
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
    unsigned found = *slot / LEDGER_FOUND;

    if (*slot % LEDGER_FOUND == LEDGER_ACKED) {
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
