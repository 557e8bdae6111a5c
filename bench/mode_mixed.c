/* mode_mixed.c -- a day of a real mailbox, over and over: mail is delivered while its
 * owner waits in IDLE; he hears of it, looks at the header, reads it, marks it, and waits
 * again. Every tenth time he searches, every twentieth he throws old mail away.
 *
 * An operation is all of that, from the moment the delivery was due. With --verify mail
 * is read back before it is thrown away.
 */
#include "bench/mode_idle.h"
#include "bench/verify.h"

enum {
    SEARCH_EVERY = 10,
    EXPUNGE_EVERY = 20,
    EXPUNGE_MANY = IDLE_OLD_MAX,
    KEPT_MIN = 20
};

enum step { WAITING, DONE, HEADERS, READ, FLAG, SEARCH, PROVE, DELETE, EXPUNGE, IDLE };

static const char *const step_names[] = {
    "deliver", "push", "headers", "read", "flag", "search", "expunge", "idle", NULL};
enum {
    STEP_DELIVER,
    STEP_PUSH,
    STEP_HEADERS,
    STEP_READ,
    STEP_FLAG,
    STEP_SEARCH,
    STEP_EXPUNGE,
    STEP_IDLE
};

/* --- the helper's side ---------------------------------------------------- */

static void settle(struct client *helper)
{
    const struct smtp_session *s = helper->session;

    if (s->stored && s->seen_ns)
        client_done(helper);
}

static void on_taken(struct client *c)
{
    client_step(c, STEP_DELIVER, c->intended_ns);
    if (idle_stored(c))
        settle(c);
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

static bool populate(struct driver *d)
{
    return idle_populate(d, &helper.mode);
}

/* --- the script ----------------------------------------------------------- */

static void begin_step(struct client *c, enum step step)
{
    struct idle_session *s = c->session;

    s->step = step;
    s->step_ns = client_now(c);
}

static void say(struct client *c, enum step step, struct slice before, uint32_t number,
    struct slice behind)
{
    begin_step(c, step);
    imap_begin(c);
    client_write(c, before);
    out_u64(&c->out, number);
    client_write(c, behind);
    client_flush(c);
}

static void say_search(struct client *c)
{
    begin_step(c, SEARCH);
    imap_begin(c);
    client_write(c, S("SEARCH BODY "));
    imap_quoted(c, slice_str(c->driver->bench->o->word));
    client_write(c, S("\r\n"));
    client_flush(c);
}

static void say_idle(struct client *c)
{
    begin_step(c, IDLE);
    idle_begin(c);
}

/* What is to be thrown away: is it what was sent? */
static void on_old_mail(struct client *c, struct slice message)
{
    struct idle_session *s = c->session;
    struct driver *d = c->driver;
    uint8_t *slot = verify_message(d->bench, s->imap.user, message, &d->tally.different);

    if (slot && s->old_count < IDLE_OLD_MAX)
        s->old[s->old_count++] = slot;
}

/* The server has thrown it away. */
static void forget_old_mail(struct client *c)
{
    struct idle_session *s = c->session;

    while (s->old_count) {
        uint8_t *slot = s->old[--s->old_count];

        c->driver->tally.twice += *slot == LEDGER_GONE;
        *slot = *slot == LEDGER_ACKED || *slot == LEDGER_GONE ? LEDGER_GONE : 0;
    }
}

static void say_delete(struct client *c)
{
    say(c, DELETE, S("STORE 1:"), EXPUNGE_MANY, S(" +FLAGS.SILENT (\\Deleted)\r\n"));
}

/* Behind the marks of a message: what is not done every time. */
static void go_on(struct client *c, enum step done)
{
    const struct idle_session *s = c->session;

    if (done < SEARCH && s->cycles % SEARCH_EVERY == 0)
        say_search(c);
    else if (done > SEARCH || s->cycles % EXPUNGE_EVERY ||
        s->imap.exists < EXPUNGE_MANY + KEPT_MIN)
        say_idle(c);
    else if (c->driver->bench->ledgers)
        say(c, PROVE, S("FETCH 1:"), EXPUNGE_MANY, S(" (BODY.PEEK[])\r\n"));
    else
        say_delete(c);
}

/* A command of the script has been answered. */
static void on_answer(struct client *c)
{
    struct idle_session *s = c->session;
    static const unsigned steps[] = {[HEADERS] = STEP_HEADERS,
        [READ] = STEP_READ,
        [FLAG] = STEP_FLAG,
        [SEARCH] = STEP_SEARCH,
        [EXPUNGE] = STEP_EXPUNGE};

    if (steps[s->step])
        client_step(c, steps[s->step], s->step_ns);
    switch ((enum step)s->step) {
    case DONE:
        say(c, HEADERS, S("FETCH "), s->message,
            S(" (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM "
              "TO SUBJECT MESSAGE-ID)])\r\n"));
        break;
    case HEADERS:
        say(c, READ, S("FETCH "), s->message, S(" (BODY[])\r\n"));
        break;
    case READ:
        say(c, FLAG, S("STORE "), s->message, S(" +FLAGS (\\Answered)\r\n"));
        break;
    case PROVE:
        say_delete(c);
        break;
    case DELETE:
        begin_step(c, EXPUNGE);
        imap_begin(c);
        client_write(c, S("EXPUNGE\r\n"));
        client_flush(c);
        break;
    case EXPUNGE:
        forget_old_mail(c);
        go_on(c, EXPUNGE);
        break;
    case FLAG:
    case SEARCH:
        go_on(c, (enum step)s->step);
        break;
    case WAITING:
    case IDLE:
        client_fail(c, S("IDLE was ended by the server"));
        break;
    }
}

/* "* n EXISTS": the mail is there. */
static void on_arrival(struct client *c)
{
    struct idle_session *s = c->session;
    const struct smtp_session *smtp = s->helper ? s->helper->session : NULL;

    if (!smtp || smtp->step != SMTP_TEXT || s->step != WAITING)
        return; /* somebody else's mail */
    client_step(c, STEP_PUSH, smtp->text_ns);
    s->message = s->imap.exists;
    s->cycles++;
    s->idling = false;
    begin_step(c, DONE);
    client_write(c, S("DONE\r\n"));
    client_flush(c);
}

/* Back in IDLE, or there for the first time. */
static void on_idling(struct client *c)
{
    struct idle_session *s = c->session;
    struct client *waiting = s->helper;
    struct smtp_session *smtp = waiting ? waiting->session : NULL;
    bool first = s->step == WAITING;

    s->step = WAITING;
    if (first) {
        client_ready(c);
        return;
    }
    client_step(c, STEP_IDLE, s->step_ns);
    s->helper = NULL;
    if (!waiting)
        return;
    smtp->watcher = NULL;
    smtp->seen_ns = client_now(c);
    settle(waiting);
}

static void on_line(struct client *c, const struct imap_said *said)
{
    struct idle_session *s = c->session;
    bool arrived;

    if (!idle_take(c, said, &arrived)) {
        if (said->kind == IMAP_OK && said->tag == s->imap.tag)
            on_answer(c);
        else
            client_fail(c, said->line);
    } else if (arrived) {
        on_arrival(c);
    } else if (said->kind == IMAP_CONTINUE && !client_gone(c)) {
        on_idling(c);
    }
}

static void input(struct client *c, struct slice in)
{
    struct idle_session *s = c->session;
    struct imap_said said;
    struct slice message;
    enum imap_got got;

    while ((got = imap_take(c, &in, &said)) != IMAP_GOT_ALL)
        if (got == IMAP_GOT_LINE)
            on_line(c, &said);
        else if (s->step == PROVE &&
            imap_gather(
                c, &s->text, said.rest, verify_largest(c->driver->bench), &message))
            on_old_mail(c, message);
}

static void never(struct client *c)
{
    (void)c; /* helpers get the operations */
}

const struct mode mode_mixed = {
    .name = "mixed",
    .session_bytes = sizeof(struct idle_session),
    .holds = true,
    .bulk = true,
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
