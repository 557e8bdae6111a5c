/* mode_imap.c -- one IMAP command, over and over (--op), or log in and out.
 *
 * With --pipeline N a connection in a closed loop has N commands under way; each is an
 * operation of its own.
 */
#include "bench/imap.h"

enum {
    RANGE_PRESET = 100,
    COMMAND_MAX = 512, /* octets of a command, but for names and passwords */
    NAMES_MAX = 2048
};

struct session {
    struct imap imap; /* first */
    uint64_t turn;    /* commands so far: which message is next */
    uint32_t first;   /* tag of the oldest command under way */
    bool text_due;    /* of an APPEND: its text waits for "+" */
    bool out;         /* LOGOUT has been said */
};

static const struct options *options_of(const struct client *c)
{
    return c->driver->bench->o;
}

static size_t out_bytes(const struct options *o)
{
    size_t room = 2 * ((o->depth + 1ul) * COMMAND_MAX + NAMES_MAX);

    return o->op == OP_APPEND ? room + 2ul * (LETTER_HEAD_MAX + CLIENT_COPY_MAX) : room;
}

static bool prepare(struct bench *b, struct out *why)
{
    const struct options *o = b->o;

    if (strlen(o->mailbox) + strlen(o->word) > COMMAND_MAX / 4) {
        out_str(why, "--mailbox, --word: too long; write less than 128 octets");
        return false;
    }
    if (o->verify.len == 0 || o->op == OP_APPEND)
        return true;
    out_str(why, "--verify: --op makes no messages; leave it out, or write --op append");
    return false;
}

static bool op_selects(int op)
{
    return op == OP_FLAGS || op == OP_ENVELOPE || op == OP_BODY || op == OP_RANGE ||
        op == OP_STORE || op == OP_SEARCH;
}

/* --- commands ------------------------------------------------------------- */

static void put_range(struct client *c, uint64_t length)
{
    struct session *s = c->session;
    uint64_t exists = s->imap.exists, at, last;

    length = length < exists ? length : exists;
    at = s->turn * length % exists + 1;
    last = at + length - 1 < exists ? at + length - 1 : exists;
    out_u64(&c->out, at);
    if (last > at) {
        client_write(c, S(":"));
        out_u64(&c->out, last);
    }
}

static void put_fetch(struct client *c, uint64_t length, struct slice items)
{
    client_write(c, S("FETCH "));
    if (length)
        put_range(c, length);
    else
        client_write(c, S("1:*"));
    client_write(c, items);
}

static void put_store(struct client *c)
{
    struct session *s = c->session;

    client_write(c, S("STORE "));
    out_u64(&c->out, s->turn / 2 % s->imap.exists + 1);
    client_write(c, s->turn % 2 ? S(" -FLAGS (\\Flagged)") : S(" +FLAGS (\\Flagged)"));
}

static void put_mailbox(struct client *c, struct slice command, struct slice behind)
{
    client_write(c, command);
    imap_quoted(c, slice_str(options_of(c)->mailbox));
    client_write(c, behind);
}

static void put_append(struct client *c)
{
    const struct session *s = c->session;

    put_mailbox(c, S("APPEND "), S(" {"));
    out_u64(&c->out, letter_size(&c->driver->bench->letters, c->number));
    client_write(c, s->text_due ? S("}") : S("+}"));
}

static void put_command(struct client *c)
{
    const struct options *o = options_of(c);

    switch ((enum imap_op)o->op) {
    case OP_LOGIN:
    case OP_NOOP:
        client_write(c, S("NOOP"));
        break;
    case OP_APPEND:
        put_append(c);
        break;
    case OP_SELECT:
        put_mailbox(c, S("SELECT "), S(""));
        break;
    case OP_FLAGS:
        put_fetch(c, 0, S(" (FLAGS)"));
        break;
    case OP_ENVELOPE:
        put_fetch(c, o->range, S(" (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"));
        break;
    case OP_BODY:
        put_fetch(c, 1, S(" (BODY.PEEK[])"));
        break;
    case OP_RANGE:
        put_fetch(c, o->range ? o->range : RANGE_PRESET, S(" (BODY.PEEK[])"));
        break;
    case OP_STORE:
        put_store(c);
        break;
    case OP_SEARCH:
        client_write(c, S("SEARCH BODY "));
        imap_quoted(c, slice_str(o->word));
        break;
    case OP_STATUS:
        put_mailbox(c, S("STATUS "), S(" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"));
        break;
    }
    client_write(c, S("\r\n"));
}

static void note(struct client *c, uint8_t state)
{
    struct driver *d = c->driver;

    if (d->bench->ledgers)
        ledger_set(&d->ledger, c->number / d->bench->threads, state);
}

static void send_text(struct client *c)
{
    const struct letters *ls = &c->driver->bench->letters;
    struct session *s = c->session;
    uint64_t user = c->index % options_of(c)->users.count;
    char head[LETTER_HEAD_MAX];

    s->text_due = false;
    note(c, LEDGER_SENT);
    client_write(c, slice_of(head, letter_head(ls, c->number, user, head)));
    client_lend(c, letter_body(ls, c->number, false));
    client_write(c, S("\r\n\r\n")); /* of the message, and of the command */
}

/* --- operations ----------------------------------------------------------- */

static void say_logout(struct client *c)
{
    struct session *s = c->session;

    s->out = true;
    imap_begin(c);
    client_write(c, S("LOGOUT\r\n"));
    client_flush(c);
}

static void next(struct client *c)
{
    const struct options *o = options_of(c);
    struct session *s = c->session;

    if (c->mode->single) {
        say_logout(c);
        return;
    }
    if (op_selects(o->op) && s->imap.exists == 0) {
        client_fail(c, S("the mailbox is empty (--mailbox, --users)"));
        return;
    }
    s->first = s->imap.tag + 1;
    s->text_due = o->op == OP_APPEND && !(s->imap.literal_plus && o->depth);
    for (uint32_t i = 0; i < c->batch; i++) {
        imap_begin(c);
        put_command(c);
        s->turn++;
    }
    if (o->op == OP_APPEND && !s->text_due)
        send_text(c);
    client_flush(c);
}

/* Answers of commands under way may come in any order (RFC 9051, 5.5). */
static void on_tagged(struct client *c, const struct imap_said *said)
{
    const struct session *s = c->session;
    bool good = said->kind == IMAP_OK;

    if (s->out && !c->mode->single)
        return; /* goodbye; the server closes */
    if (said->tag < s->first || said->tag > s->imap.tag) {
        client_fail(c, said->line);
        return;
    }
    if (options_of(c)->op == OP_APPEND)
        note(c, good ? LEDGER_ACKED : 0);
    if (good)
        client_done(c);
    else
        client_refused(c, said->line);
}

static void on_line(struct client *c, const struct imap_said *said)
{
    struct session *s = c->session;

    switch (said->kind) {
    case IMAP_UNTAGGED:
        if (!s->out && slice_starts_nocase(said->rest, S("BYE")))
            client_fail(c, said->line);
        break;
    case IMAP_CONTINUE:
        if (!s->text_due) {
            client_fail(c, said->line);
            return;
        }
        send_text(c);
        client_flush(c);
        break;
    case IMAP_OK:
    case IMAP_NO:
    case IMAP_BAD:
        on_tagged(c, said);
        break;
    case IMAP_JUNK:
        client_fail(c, said->line.len ? said->line : S("an answer that is not IMAP"));
        break;
    }
}

static void input(struct client *c, struct slice in)
{
    struct imap_said said;
    enum imap_got got;

    while ((got = imap_take(c, &in, &said)) != IMAP_GOT_ALL)
        if (got == IMAP_GOT_LINE)
            on_line(c, &said);
}

/* Connections take turns with the users; where each connection is an operation, these
 * do. */
static void open_session(struct client *c)
{
    const struct options *o = options_of(c);
    struct session *s = c->session;

    imap_open(c, c->mode->single ? c->number : c->index,
        op_selects(o->op) && !c->mode->single ? o->mailbox : NULL);
    s->imap.ask = o->op == OP_APPEND && o->depth && !c->mode->single;
    s->turn = c->index;
}

static void wait_for_end(struct client *c)
{
    (void)c; /* the server closes */
}

const struct mode mode_imap = {
    .name = "imap",
    .session_bytes = sizeof(struct session),
    .bulk = true,
    .pipelines = true,
    .out_bytes = out_bytes,
    .prepare = prepare,
    .open = open_session,
    .secured = imap_secured,
    .input = input,
    .next = next,
    .quit = say_logout,
};

/* Of APPEND one is under way: its text belongs to it. */
const struct mode mode_imap_append = {
    .name = "imap",
    .session_bytes = sizeof(struct session),
    .bulk = true,
    .out_bytes = out_bytes,
    .prepare = prepare,
    .open = open_session,
    .secured = imap_secured,
    .input = input,
    .next = next,
    .quit = say_logout,
};

const struct mode mode_imap_login = {
    .name = "login",
    .session_bytes = sizeof(struct session),
    .single = true,
    .out_bytes = out_bytes,
    .prepare = prepare,
    .open = open_session,
    .secured = imap_secured,
    .input = input,
    .next = next,
    .quit = wait_for_end,
};
