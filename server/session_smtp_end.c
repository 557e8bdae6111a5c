/* The end of a message: what is wrong with it, the commit, and the answer; by LMTP one
 * for each recipient. */
#include <assert.h>

#include "server/log.h"
#include "server/session_smtp_work.h"

/* Octets of a binary message are what they are (RFC 3030, 3), but its header is lines as
 * all headers are: others would see other fields in it than we do. */
static unsigned flaws_of(const struct smtp_message *m)
{
    return m->mail.body == SMTP_BODY_BINARYMIME ? m->header_flaws : m->text.flaws;
}

enum smtp_reply smtp_judge_text(const struct session_smtp *s)
{
    const struct smtp_message *m = s->message;

    if (m->failed != SMTP_REPLY_NONE)
        return (enum smtp_reply)m->failed;
    if (m->octets > smtp_config(s)->max_message_size)
        return SMTP_REPLY_TOO_BIG;
    if (flaws_of(m) & SCAN_BARE)
        return SMTP_REPLY_TEXT_BARE;
    if (flaws_of(m) & SCAN_NUL)
        return SMTP_REPLY_TEXT_NUL;
    return m->watch.received > smtp_config(s)->max_received ? SMTP_REPLY_LOOP
                                                            : SMTP_REPLY_NONE;
}

/* --- answers --------------------------------------------------------------------- */

static void log_message(const struct session_smtp *s, struct slice reply)
{
    const struct smtp_message *m = s->message;
    bool good = reply.at[0] == '2';
    struct event e;
    char peer[ADDRESS_TEXT_MAX];

    if (!event_begin(&e, LEVEL_INFO, good ? "message" : "message-refused"))
        return;
    event_string(&e, "id", m->id);
    event_text(&e, "from", smtp_sender(m));
    event_number(&e, "recipients", m->rcpts);
    event_number(&e, "copies", m->users.count);
    if (m->others.count)
        event_number(&e, "queued", m->others.count);
    event_number(&e, "size", m->delivery ? delivery_size(m->delivery) : m->octets);
    if (m->mail.priority) {
        event_number(&e, m->mail.priority < 0 ? "priority-below" : "priority",
            (uint64_t)(m->mail.priority < 0 ? -m->mail.priority : m->mail.priority));
    }
    if (!good)
        event_text(&e, "reply", slice_trim(reply));
    event_number(&e, "session", s->conn.id);
    event_text(&e, "peer", conn_peer_text(&s->conn, peer, sizeof peer));
    if (s->user)
        event_string(&e, "user", s->user);
    event_end(&e);
}

static enum smtp_reply reply_of(enum status status, bool queued, bool lmtp)
{
    switch (status) {
    case STATUS_OK:
        return queued ? SMTP_REPLY_QUEUED : SMTP_REPLY_STORED;
    case STATUS_NO_SPACE:
    case STATUS_NO_MEMORY:
        return SMTP_REPLY_NO_SPACE;
    case STATUS_LIMIT:
        return lmtp ? SMTP_REPLY_MAILBOX_FULL_NOW : SMTP_REPLY_MAILBOX_FULL;
    case STATUS_NOT_FOUND: /* removed since RCPT */
        return SMTP_REPLY_NO_USER;
    case STATUS_EXISTS:
    case STATUS_INVALID:
    case STATUS_BUSY:
    case STATUS_CORRUPT:
    case STATUS_IO:
    case STATUS_READ_ONLY:
    case STATUS_CANCELLED:
        break;
    }
    return SMTP_REPLY_NOT_STORED;
}

void smtp_expect_command(struct session_smtp *s)
{
    s->mode = SMTP_MODE_COMMAND;
    conn_bulk(&s->conn, false);
    smtp_rest(s);
}

static_assert(TIMES_submission_message - TIMES_smtp_message == PROTO_SUBMISSION &&
        TIMES_lmtp_message - TIMES_smtp_message == PROTO_LMTP,
    "as enum protocol");

static void count_message(const struct session_smtp *s, bool good)
{
    struct thread_stats *stats = &s->conn.thread->stats;
    unsigned times = TIMES_smtp_message + (unsigned)s->conn.listener->protocol;

    stats->messages += good;
    stats->messages_refused += !good;
    if (good)
        stats_end(stats, (enum thread_times)times, s->message->since_ns);
}

/* Counted, logged and forgotten; then it is answered. */
static void finish(struct session_smtp *s, struct slice reply)
{
    bool good = reply.at[0] == '2';

    log_message(s, reply);
    count_message(s, good);
    s->stored += good;
    s->refused += !good;
    if (good)
        s->errors = 0;
    smtp_reset(s);
    smtp_expect_command(s);
}

void smtp_conclude_text(struct session_smtp *s, struct slice reply)
{
    uint32_t times = smtp_is_lmtp(s) ? s->message->rcpts : 1;
    char copy[512]; /* a reply of a check is the check's, which forgets it now */
    struct out out = out_of(copy, sizeof copy);

    out_put(&out, reply);
    reply = out.full ? smtp_reply_text(SMTP_REPLY_NOT_STORED) : out_slice(&out);
    finish(s, reply);
    smtp_refuse_times(s, reply, times);
}

void smtp_conclude(struct session_smtp *s, enum smtp_reply reply)
{
    smtp_conclude_text(s, smtp_reply_text(reply));
}

/* --- LMTP (RFC 2033, 4.2) ---------------------------------------------------------- */

/* What became of the accounts that a recipient stands for: `count` places at `at`. One
 * that did not get it counts more than those that did: the client tries again. */
static enum status share_status(
    const struct delivery *d, const uint32_t *at, uint32_t count)
{
    enum status result = STATUS_NOT_FOUND;

    for (uint32_t i = 0; i < count; i++) {
        enum status status = delivery_user_status(d, at[i]);

        if (status == STATUS_OK)
            result = STATUS_OK;
        else if (status != STATUS_NOT_FOUND)
            return status;
    }
    return result;
}

/* The answers lie in the output before the message is forgotten. */
static void conclude_each(struct session_smtp *s)
{
    const struct smtp_message *m = s->message;
    const struct smtp_shares *h = &m->shares;
    enum smtp_reply first = SMTP_REPLY_NONE;

    for (uint32_t i = 0; i < h->count; i += 1 + h->at[i]) {
        enum status status = share_status(m->delivery, h->at + i + 1, h->at[i]);
        enum smtp_reply reply = reply_of(status, false, true);

        smtp_say(s, reply);
        if (first == SMTP_REPLY_NONE || status == STATUS_OK)
            first = reply;
    }
    finish(s, smtp_reply_text(first));
}

/* --- the commit ------------------------------------------------------------------ */

static enum smtp_reply judge_end(const struct session_smtp *s)
{
    const struct smtp_message *m = s->message;
    enum smtp_reply reply = smtp_judge_text(s);

    if (reply != SMTP_REPLY_NONE || !m->repair)
        return reply;
    if (m->repair->denied) /* RFC 6409, 6.1 */
        return SMTP_REPLY_FROM_DENIED;
    return m->repair->no_memory ? SMTP_REPLY_NO_SPACE : SMTP_REPLY_NONE;
}

void smtp_end_text(struct session_smtp *s)
{
    enum smtp_reply reply = judge_end(s);

    if (reply != SMTP_REPLY_NONE)
        smtp_conclude(s, reply);
    else
        smtp_policy_ask(s, POLICY_END);
}

void smtp_commit(struct session_smtp *s)
{
    struct smtp_message *m = s->message;
    struct slice front = policy_fields(s->chain->policy);
    const struct envelope *envelopes = NULL;
    unsigned count = 0;

    if (m->others.count)
        envelopes = smtp_envelopes(s, (uint32_t)front.len, &count);
    if ((m->others.count && !envelopes) ||
        (front.len && !delivery_front(m->delivery, front))) {
        smtp_conclude(s, SMTP_REPLY_NO_SPACE);
        return;
    }
    delivery_commit(m->delivery, envelopes, count);
    s->mode = SMTP_MODE_COMMIT;
    conn_pause(&s->conn, true);
}

enum smtp_turn smtp_commit_step(struct session_smtp *s)
{
    struct smtp_message *m = s->message;
    enum status status;

    if (!delivery_done(m->delivery, &status))
        return SMTP_WAIT;
    conn_pause(&s->conn, false);
    if (smtp_is_lmtp(s))
        conclude_each(s);
    else
        smtp_conclude(s, reply_of(status, m->others.count > 0, false));
    return SMTP_AGAIN;
}
