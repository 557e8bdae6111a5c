/* mode_pop3.c -- POP3 sessions: log in, STAT, LIST, RETR of some messages, QUIT; or log
 * in and QUIT. A session is an operation.
 *
 * With --pipeline N, N RETR are under way (RFC 2449, 6.6).
 */
#include "bench/client_tls.h"
#include "bench/mode.h"
#include "bench/reply.h"

enum pop3_step {
    POP3_GREETING,
    POP3_STLS,
    POP3_USER,
    POP3_PASS,
    POP3_STAT,
    POP3_LIST,
    POP3_RETR,
    POP3_QUIT
};

enum { COMMAND_MAX = 64, NAMES_MAX = 2 * USER_NAME_MAX + 512 };

struct session {
    struct lines lines;
    struct pop3_text text;
    bool in_text; /* of LIST, or of a message */
    enum pop3_step step;
    uint64_t messages, asked, read; /* to be read; of these asked for, had */
};

static const struct options *options_of(const struct client *c)
{
    return c->driver->bench->o;
}

static size_t out_bytes(const struct options *o)
{
    return 2 * NAMES_MAX + 2 * (o->depth + 2) * COMMAND_MAX;
}

static void say(struct client *c, enum pop3_step step, struct slice line)
{
    struct session *s = c->session;

    s->step = step;
    client_write(c, line);
    client_flush(c);
}

/* A mailbox may have one session at a time (RFC 1939, 4), so each connection has users of
 * its own, as far as there are enough. */
static uint64_t user_of(const struct client *c)
{
    const struct options *o = options_of(c);
    uint64_t each = o->users.count / o->connections;

    return each ? c->index + c->sessions % each * o->connections : c->number;
}

static void say_user(struct client *c)
{
    client_write(c, S("USER "));
    users_name(&options_of(c)->users, user_of(c), &c->out);
    say(c, POP3_USER, S("\r\n"));
}

static void say_pass(struct client *c)
{
    client_write(c, S("PASS "));
    client_write(c, users_password(&options_of(c)->users, user_of(c)));
    say(c, POP3_PASS, S("\r\n"));
}

/* As many as may be under way; QUIT behind the last one. */
static void say_retr(struct client *c)
{
    struct session *s = c->session;
    uint64_t depth = options_of(c)->depth;

    depth = depth ? depth : 1;
    if (s->read == s->messages) {
        say(c, POP3_QUIT, S("QUIT\r\n"));
        return;
    }
    s->step = POP3_RETR;
    while (s->asked < s->messages && s->asked - s->read < depth) {
        client_write(c, S("RETR "));
        out_u64(&c->out, ++s->asked);
        client_write(c, S("\r\n"));
    }
    client_flush(c);
}

static void next(struct client *c)
{
    if (options_of(c)->mode == MODE_LOGIN)
        say(c, POP3_QUIT, S("QUIT\r\n"));
    else
        say(c, POP3_STAT, S("STAT\r\n"));
}

/* "+OK 12 34567" */
static void on_stat(struct client *c, struct slice line)
{
    struct session *s = c->session;
    uint64_t most = options_of(c)->retr;
    uint32_t messages = 0;

    slice_take(&line, line.len < 4 ? line.len : 4);
    slice_u32(slice_take(&line, slice_find(line, ' ')), &messages);
    s->messages = messages < most ? messages : most;
    say(c, POP3_LIST, S("LIST\r\n"));
}

static void begin_text(struct session *s)
{
    s->in_text = true;
    s->text = (struct pop3_text){0};
}

static void on_good(struct client *c, struct slice line)
{
    struct session *s = c->session;

    switch (s->step) {
    case POP3_GREETING:
        if (c->tls_kind == TLS_STARTTLS && !client_tls_on(c))
            say(c, POP3_STLS, S("STLS\r\n"));
        else
            say_user(c);
        break;
    case POP3_STLS:
        client_secure(c);
        break;
    case POP3_USER:
        say_pass(c);
        break;
    case POP3_PASS:
        client_ready(c);
        break;
    case POP3_STAT:
        on_stat(c, line);
        break;
    case POP3_LIST:
    case POP3_RETR:
        begin_text(s);
        break;
    case POP3_QUIT:
        client_done(c);
        break;
    }
}

static void on_text_end(struct client *c)
{
    struct session *s = c->session;

    s->in_text = false;
    s->read += s->step == POP3_RETR;
    say_retr(c);
}

static void input(struct client *c, struct slice in)
{
    struct session *s = c->session;
    struct slice line;

    while (in.len && !client_gone(c) && c->state != CLIENT_SECURING) {
        if (s->in_text) {
            if (pop3_text_end(&s->text, &in))
                on_text_end(c);
        } else if (lines_next(&s->lines, &in, &line)) {
            if (slice_starts_nocase(line, S("+OK")))
                on_good(c, line);
            else if (s->step == POP3_USER || s->step == POP3_PASS)
                client_unwelcome(c, user_of(c), line);
            else
                client_fail(c, line.len ? line : S("an answer that is not POP3"));
        }
    }
}

static void open_session(struct client *c)
{
    (void)c; /* the server speaks first */
}

static void wait_for_end(struct client *c)
{
    (void)c; /* the server closes */
}

const struct mode mode_pop3 = {
    .name = "pop3",
    .session_bytes = sizeof(struct session),
    .bulk = true,
    .single = true,
    .out_bytes = out_bytes,
    .open = open_session,
    .secured = say_user,
    .input = input,
    .next = next,
    .quit = wait_for_end,
};
