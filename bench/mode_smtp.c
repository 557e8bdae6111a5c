/* mode_smtp.c -- messages by SMTP, by submission after AUTH PLAIN, and by LMTP.
 *
 * An operation is a message, from MAIL to the last answer to its text. With PIPELINING
 * (RFC 2920), where the server offers it, MAIL, all RCPT and DATA go together. A server
 * that does not know EHLO is told HELO (RFC 5321, 3.2), unless TLS or a login is wanted.
 */
#include "bench/mode_smtp.h"
#include "bench/mode.h"

enum { SENDER_MAX = USER_NAME_MAX, RCPT_MAX = USER_NAME_MAX + 16, FIXED_BYTES = 2048 };
static const int64_t choose_ns = 100000000;

/* --- options -------------------------------------------------------------- */

/* Twice: of one message the last part may not be known to have left when the next
 * begins. */
size_t smtp_out_bytes(const struct options *o)
{
    return 2 *
        (o->recipients * RCPT_MAX + FIXED_BYTES + LETTER_HEAD_MAX + CLIENT_COPY_MAX);
}

static bool prepare(struct bench *b, struct out *why)
{
    if (b->o->recipients <= b->o->users.count)
        return true;
    out_str(why, "--recipients ");
    out_u64(why, b->o->recipients);
    out_str(why, ": more than there are users; write --user-count ");
    out_u64(why, b->o->recipients);
    return false;
}

static const struct options *options_of(const struct client *c)
{
    return c->driver->bench->o;
}

static const struct smtp_mode *kind_of(const struct client *c)
{
    return container_of(c->mode, struct smtp_mode, mode);
}

static uint64_t recipients_of(const struct client *c)
{
    return kind_of(c)->helper ? 1 : options_of(c)->recipients;
}

static bool is_lmtp(const struct client *c)
{
    const struct options *o = options_of(c);

    return kind_of(c)->helper ? o->deliver_protocol == DELIVER_LMTP
                              : o->mode == MODE_LMTP;
}

static uint64_t recipient(const struct client *c, uint64_t i)
{
    const struct smtp_session *s = c->session;

    return kind_of(c)->helper ? s->user : c->number * options_of(c)->recipients + i;
}

/* --- what is said --------------------------------------------------------- */

static void say(struct client *c, enum smtp_step step, struct slice line)
{
    struct smtp_session *s = c->session;

    s->step = step;
    client_write(c, line);
    client_flush(c);
}

void smtp_secured(struct client *c)
{
    say(c, SMTP_HELLO,
        is_lmtp(c) ? S("LHLO bench.client.test\r\n") : S("EHLO bench.client.test\r\n"));
}

static void write_mail(struct client *c)
{
    const struct options *o = options_of(c);

    client_write(c, S("MAIL FROM:<"));
    if (*o->from)
        client_write(c, slice_str(o->from));
    else if (o->mode == MODE_SUBMISSION)
        users_name(&o->users, c->index, &c->out);
    else
        client_write(c, S("bench@client.test"));
    client_write(c, S(">\r\n"));
}

static void write_rcpt(struct client *c, uint64_t i)
{
    const struct options *o = options_of(c);

    client_write(c, S("RCPT TO:<"));
    users_name(&o->users, recipient(c, i), &c->out);
    client_write(c, S(">\r\n"));
}

static void begin_message(struct client *c)
{
    struct smtp_session *s = c->session;

    s->asked = s->answered = s->accepted = 0;
    s->refusal_len = 0;
    s->step = SMTP_MAIL;
    write_mail(c);
    if (s->pipelining && options_of(c)->depth) {
        while (s->asked < recipients_of(c))
            write_rcpt(c, s->asked++);
        client_write(c, S("DATA\r\n"));
    }
    client_flush(c);
}

/* Without somebody to wait for the message: after a moment again, and then not. */
void smtp_next(struct client *c)
{
    if (kind_of(c)->choose && !kind_of(c)->choose(c))
        client_later(c, client_now(c) + choose_ns);
    else
        begin_message(c);
}

void smtp_later(struct client *c)
{
    if (kind_of(c)->choose(c))
        begin_message(c);
    else
        client_refused(c, S("nobody is there to wait for a message"));
}

static void note(struct client *c, uint64_t i, uint8_t state)
{
    struct driver *d = c->driver;

    if (d->bench->ledgers)
        ledger_set(
            &d->ledger, c->number / d->bench->threads * recipients_of(c) + i, state);
}

static void note_accepted(struct client *c, uint8_t state)
{
    const struct smtp_session *s = c->session;

    for (uint64_t i = 0; c->driver->bench->ledgers && i < recipients_of(c); i++)
        if (s->taken[i / 64] >> i % 64 & 1)
            note(c, i, state);
}

static void send_text(struct client *c)
{
    const struct letters *ls = &c->driver->bench->letters;
    struct smtp_session *s = c->session;
    uint64_t user =
        kind_of(c)->helper ? s->user : 0; /* else he follows from the number */
    char head[LETTER_HEAD_MAX];

    note_accepted(c, LEDGER_SENT);
    s->step = SMTP_TEXT;
    s->answered = 0;
    client_write(c, slice_of(head, letter_head(ls, c->number, user, head)));
    client_lend(c, letter_body(ls, c->number, true));
    client_write(c, S("\r\n.\r\n"));
    s->text_ns = client_now(c);
    client_flush(c);
}

/* --- what is answered ----------------------------------------------------- */

static void fail(struct client *c, struct slice line)
{
    client_fail(c, line.len ? line : S("an answer that is not SMTP"));
}

static void keep_refusal(struct client *c, struct slice line)
{
    struct smtp_session *s = c->session;

    if (s->refusal_len)
        return;
    s->refusal_len = line.len < sizeof s->refusal ? line.len : sizeof s->refusal;
    memcpy(s->refusal, line.at, s->refusal_len);
}

static void end_message(struct client *c)
{
    const struct smtp_session *s = c->session;

    if (!s->refusal_len && kind_of(c)->taken) {
        kind_of(c)->taken(c);
    } else if (!s->refusal_len) {
        client_done(c);
    } else {
        if (c->mode->ended)
            c->mode->ended(c); /* nobody has to wait for this message */
        client_refused(c, slice_of(s->refusal, s->refusal_len));
    }
}

static void on_mail(struct client *c, unsigned code, struct slice line)
{
    struct smtp_session *s = c->session;

    if (code != 250)
        keep_refusal(c, line);
    s->step = SMTP_RCPT;
    memset(s->taken, 0, sizeof s->taken);
    if (s->asked)
        return;
    if (s->refusal_len) {
        say(c, SMTP_RESET, S("RSET\r\n"));
        return;
    }
    write_rcpt(c, s->asked++);
    client_flush(c);
}

static void on_rcpt(struct client *c, unsigned code, struct slice line)
{
    struct smtp_session *s = c->session;
    uint64_t i = s->answered++;

    if (code == 250 || code == 251) {
        s->taken[i / 64] |= 1ull << i % 64;
        s->accepted++;
    } else {
        keep_refusal(c, line);
    }
    if (s->answered < recipients_of(c)) {
        if (s->asked > s->answered)
            return;
        write_rcpt(c, s->asked++);
        client_flush(c);
    } else if (s->pipelining && options_of(c)->depth) {
        s->step = SMTP_DATA;
    } else if (s->accepted) {
        say(c, SMTP_DATA, S("DATA\r\n"));
    } else {
        say(c, SMTP_RESET, S("RSET\r\n"));
    }
}

static void on_data(struct client *c, unsigned code, struct slice line)
{
    const struct smtp_session *s = c->session;

    if (code != 354 && code < 400) {
        fail(c, line); /* the answer to something else (RFC 5321, 4.3.2) */
    } else if (code != 354) {
        keep_refusal(c, line);
        say(c, SMTP_RESET, S("RSET\r\n"));
    } else if (s->accepted) {
        send_text(c);
    } else if (is_lmtp(c)) {
        fail(c, line); /* RFC 2033, 4.2: it has to refuse */
    } else {
        say(c, SMTP_TEXT, S(".\r\n")); /* it wants a text for nobody */
    }
}

/* LMTP answers for each recipient that it took (RFC 2033, 4.2). */
static void on_text(struct client *c, unsigned code, struct slice line)
{
    struct smtp_session *s = c->session;
    uint64_t i = 0, nth = s->answered++;

    if (is_lmtp(c) && nth >= s->accepted) {
        fail(c, line); /* one more than there are recipients */
        return;
    }
    if (code != 250)
        keep_refusal(c, line);
    if (!is_lmtp(c)) {
        note_accepted(c, code == 250 ? LEDGER_ACKED : 0);
        end_message(c);
        return;
    }
    for (;; i++)
        if (s->taken[i / 64] >> i % 64 & 1 && nth-- == 0)
            break;
    note(c, i, code == 250 ? LEDGER_ACKED : 0);
    if (s->answered == s->accepted)
        end_message(c);
}

static void say_auth(struct client *c)
{
    const struct options *o = options_of(c);
    char plain[2 * USER_NAME_MAX + 256], coded[4 * USER_NAME_MAX + 512];
    struct out text = out_of(plain, sizeof plain);
    struct out base64 = out_of(coded, sizeof coded);

    out_byte(&text, 0);
    users_name(&o->users, c->index, &text);
    out_byte(&text, 0);
    out_put(&text, users_password(&o->users, c->index));
    base64_encode(&base64, out_slice(&text));
    client_write(c, S("AUTH PLAIN "));
    client_write(c, out_slice(&base64));
    say(c, SMTP_AUTH, S("\r\n"));
}

/* The last line of EHLO's answer has come. */
static void on_hello(struct client *c)
{
    if (c->tls_kind == TLS_STARTTLS && !client_tls_on(c))
        say(c, SMTP_STARTTLS, S("STARTTLS\r\n"));
    else if (options_of(c)->mode == MODE_SUBMISSION)
        say_auth(c);
    else
        client_ready(c);
}

/* An old server; what it can't do is not asked of it. */
static bool may_say_helo(const struct client *c)
{
    const struct smtp_session *s = c->session;

    return !s->helo && !is_lmtp(c) && c->tls_kind != TLS_STARTTLS &&
        options_of(c)->mode != MODE_SUBMISSION;
}

static void say_helo(struct client *c)
{
    struct smtp_session *s = c->session;

    s->helo = true;
    s->pipelining = false;
    say(c, SMTP_HELLO, S("HELO bench.client.test\r\n"));
}

static void on_reply(struct client *c, unsigned code, struct slice line)
{
    struct smtp_session *s = c->session;
    bool good = code / 100 == 2;

    if (code == 0 || (code == 421 && !c->leaving)) {
        fail(c, line);
        return;
    }
    switch (s->step) {
    case SMTP_GREETING:
    case SMTP_HELLO:
    case SMTP_STARTTLS:
    case SMTP_AUTH:
        if (s->step == SMTP_HELLO && code / 100 == 5 && may_say_helo(c))
            say_helo(c);
        else if (!good && s->step == SMTP_AUTH)
            client_unwelcome(c, c->index, line);
        else if (!good)
            fail(c, line);
        else if (s->step == SMTP_GREETING)
            smtp_secured(c);
        else if (s->step == SMTP_HELLO)
            on_hello(c);
        else if (s->step == SMTP_STARTTLS)
            client_secure(c);
        else
            client_ready(c);
        break;
    case SMTP_MAIL:
        on_mail(c, code, line);
        break;
    case SMTP_RCPT:
        on_rcpt(c, code, line);
        break;
    case SMTP_DATA:
        on_data(c, code, line);
        break;
    case SMTP_TEXT:
        on_text(c, code, line);
        break;
    case SMTP_RESET:
        end_message(c);
        break;
    case SMTP_QUIT:
        break; /* the server closes */
    }
}

void smtp_input(struct client *c, struct slice in)
{
    struct smtp_session *s = c->session;
    struct slice line;

    while (!client_gone(c) && c->state != CLIENT_SECURING &&
        lines_next(&s->lines, &in, &line)) {
        bool last;
        unsigned code = smtp_line(line, &last);

        if (s->step == SMTP_HELLO && line.len > 4 &&
            slice_starts_nocase(slice_of(line.at + 4, line.len - 4), S("PIPELINING")))
            s->pipelining = true;
        if (last)
            on_reply(c, code, line);
    }
}

void smtp_open(struct client *c)
{
    (void)c; /* the server speaks first */
}

void smtp_quit(struct client *c)
{
    say(c, SMTP_QUIT, S("QUIT\r\n"));
}

static const struct smtp_mode sender = {
    .mode =
        {
            .name = "smtp",
            .session_bytes = sizeof(struct smtp_session),
            .out_bytes = smtp_out_bytes,
            .prepare = prepare,
            .open = smtp_open,
            .secured = smtp_secured,
            .input = smtp_input,
            .next = smtp_next,
            .quit = smtp_quit,
        },
};
const struct mode *const mode_smtp = &sender.mode;
