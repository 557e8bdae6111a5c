#include "bench/imap.h"

#include "bench/client_tls.h"

void imap_begin(struct client *c)
{
    struct imap *i = c->session;

    client_write(c, S("b"));
    out_u64(&c->out, ++i->tag);
    client_write(c, S(" "));
}

void imap_quoted(struct client *c, struct slice text)
{
    client_write(c, S("\""));
    for (size_t n = 0; n < text.len; n++) {
        if (text.at[n] == '"' || text.at[n] == '\\')
            client_write(c, S("\\"));
        client_write(c, slice_of(text.at + n, 1));
    }
    client_write(c, S("\""));
}

void imap_open(struct client *c, uint64_t user, const char *mailbox)
{
    struct imap *i = c->session;

    i->user = user;
    i->mailbox = mailbox;
}

static void say(struct client *c, enum imap_step step, struct slice command)
{
    struct imap *i = c->session;

    i->step = step;
    imap_begin(c);
    client_write(c, command);
    client_write(c, S("\r\n"));
    client_flush(c);
}

void imap_login(struct client *c)
{
    const struct users *users = &c->driver->bench->o->users;
    struct imap *i = c->session;
    char name[2 * USER_NAME_MAX];
    struct out out = out_of(name, sizeof name);

    i->step = IMAP_LOGIN;
    users_name(users, i->user, &out);
    imap_begin(c);
    client_write(c, S("LOGIN "));
    imap_quoted(c, out_slice(&out));
    client_write(c, S(" "));
    imap_quoted(c, users_password(users, i->user));
    client_write(c, S("\r\n"));
    client_flush(c);
}

void imap_secured(struct client *c)
{
    imap_login(c);
}

static void up(struct client *c)
{
    struct imap *i = c->session;

    i->step = IMAP_UP;
    if (c->mode->up)
        c->mode->up(c);
    else
        client_ready(c);
}

static void select_mailbox(struct client *c)
{
    struct imap *i = c->session;

    if (!i->mailbox) {
        up(c);
        return;
    }
    i->step = IMAP_SELECT;
    imap_begin(c);
    client_write(c, S("SELECT "));
    imap_quoted(c, slice_str(i->mailbox));
    client_write(c, S("\r\n"));
    client_flush(c);
}

/* A command of the set-up has been answered well. */
static void go_on(struct client *c)
{
    struct imap *i = c->session;

    switch (i->step) {
    case IMAP_STARTTLS:
        client_secure(c);
        break;
    case IMAP_LOGIN:
        if (i->ask)
            say(c, IMAP_ASK, S("CAPABILITY"));
        else
            select_mailbox(c);
        break;
    case IMAP_ASK:
        select_mailbox(c);
        break;
    case IMAP_SELECT:
        up(c);
        break;
    case IMAP_GREETING:
    case IMAP_UP:
        break;
    }
}

static void on_greeting(struct client *c, const struct imap_said *said)
{
    if (said->kind != IMAP_UNTAGGED || !slice_starts_nocase(said->rest, S("OK")))
        client_fail(c, said->line);
    else if (c->tls_kind == TLS_STARTTLS && !client_tls_on(c))
        say(c, IMAP_STARTTLS, S("STARTTLS"));
    else
        imap_login(c);
}

static void on_untagged(struct imap *i, const struct imap_said *said)
{
    struct slice word;
    uint32_t number;

    if (i->step == IMAP_ASK)
        i->literal_plus |= memmem(said->rest.at, said->rest.len, " LITERAL+", 9) != NULL;
    if (said->rest.len == 0 || !ascii_digit(said->rest.at[0]))
        return;
    if (!imap_numbered(said->rest, &number, &word))
        return;
    if (slice_eq_nocase(word, S("EXISTS")))
        i->exists = number;
    else if (slice_eq_nocase(word, S("EXPUNGE")) && i->exists)
        i->exists--;
}

/* True: it belongs to the set-up. */
static bool set_up(struct client *c, const struct imap_said *said)
{
    struct imap *i = c->session;

    if (i->step == IMAP_UP)
        return false;
    if (i->step == IMAP_GREETING)
        on_greeting(c, said);
    else if (said->kind == IMAP_OK && said->tag == i->tag)
        go_on(c);
    else if (said->kind == IMAP_NO && i->step == IMAP_LOGIN)
        client_unwelcome(c, i->user, said->line);
    else if (said->kind != IMAP_UNTAGGED)
        client_fail(c, said->line);
    return true;
}

enum imap_got imap_take(struct client *c, struct slice *in, struct imap_said *said)
{
    struct imap *i = c->session;
    struct slice text;
    enum imap_piece piece;

    while (!client_gone(c) && c->state != CLIENT_SECURING &&
        (piece = imap_next(&i->reader, in, &text)) != IMAP_MORE) {
        if (piece == IMAP_LITERAL) {
            said->rest = text;
            if (i->step == IMAP_UP)
                return IMAP_GOT_LITERAL;
            continue;
        }
        if (piece == IMAP_NEXT)
            continue;
        said->line = text;
        said->literal = i->reader.inside;
        said->kind = imap_line(text, &said->tag, &said->rest);
        if (said->kind == IMAP_UNTAGGED)
            on_untagged(i, said);
        if (!set_up(c, said))
            return IMAP_GOT_LINE;
    }
    return IMAP_GOT_ALL;
}

/* --- literals ------------------------------------------------------------- */

bool imap_gather(struct client *c, struct imap_text *t, struct slice piece, uint64_t most,
    struct slice *whole)
{
    uint64_t rest = ((struct imap *)c->session)->reader.literal;
    bool skip;

    t->skip |= t->room.len + piece.len + rest > most;
    if (!t->skip && !room_put(&t->room, piece)) {
        client_fail(c, S("out of memory"));
        return false;
    }
    if (rest)
        return false;
    *whole = slice_of(t->room.at, t->room.len);
    skip = t->skip;
    t->room.len = 0;
    t->skip = false;
    return !skip;
}
