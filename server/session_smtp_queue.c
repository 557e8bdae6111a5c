/* What of a transaction goes to the queue: recipients, and the envelopes that it keeps.
 */
#include "server/session_smtp_work.h"

/* The array grows by doubling; the old ones stay in the arena. */
static bool grow(struct smtp_message *m)
{
    uint32_t cap = m->queued_cap ? 2 * m->queued_cap : 4;
    struct envelope_rcpt *bigger = arena_take(&m->arena, cap * sizeof *bigger);

    if (!bigger)
        return false;
    if (m->queued)
        memcpy(bigger, m->queued, m->others.count * sizeof *bigger);
    m->queued = bigger;
    m->queued_cap = cap;
    return true;
}

bool smtp_queue_add(struct smtp_message *m, const struct envelope_rcpt *rcpt)
{
    uint32_t count = m->others.count, place;

    if (count == m->queued_cap && !grow(m))
        return false;
    place = smtp_names_add(&m->others, &m->arena, rcpt->address);
    if (place == SMTP_NO_NAME)
        return false;
    if (place < count)
        return true;
    m->queued[place] = *rcpt;
    m->queued[place].address = m->others.at[place];
    return true;
}

/* Whom a user names by AUTH= is not proven to us (RFC 4954, 5). */
static struct slice auth_of(const struct smtp_cmd *mail)
{
    return mail->auth.len ? S("<>") : S("");
}

static struct envelope envelope_of(const struct session_smtp *s, uint32_t front_octets)
{
    const struct smtp_message *m = s->message;
    const struct smtp_cmd *mail = &m->mail;

    return (struct envelope){
        .sender = mail->path.text,
        .envid = mail->envid,
        .auth = auth_of(mail),
        .hold = mail->hold,
        .user = s->user ? slice_str(s->user) : S(""),
        .log_id = slice_str(m->id),
        .ret = mail->ret,
        .body = mail->body,
        .utf8 = mail->utf8,
        .utf8_header = m->header_8bit,
        .text_8bit = m->body_8bit,
        .require_tls = mail->require_tls,
        .tls_optional = !mail->require_tls && smtp_header_tls_optional(&m->watch),
        .by_notify = mail->by_notify,
        .by_trace = mail->by_trace,
        .priority = mail->priority,
        .arrived_s = s->conn.thread->now_s,
        .hold_until_s = mail->hold_until_s,
        .by_s = mail->by_s,
        .text_at = front_octets + m->path_octets,
        .header_bytes = m->header_octets,
    };
}

const struct envelope *smtp_envelopes(
    struct session_smtp *s, uint32_t front_octets, unsigned *count)
{
    struct smtp_message *m = s->message;
    unsigned left = m->others.count;
    struct envelope *e;

    *count = (left + ENVELOPE_RCPTS_MAX - 1) / ENVELOPE_RCPTS_MAX;
    e = arena_take(&m->arena, *count * sizeof *e);
    for (unsigned i = 0; e && i < *count; i++) {
        e[i] = envelope_of(s, front_octets);
        e[i].rcpts = m->queued + (size_t)i * ENVELOPE_RCPTS_MAX;
        e[i].rcpt_count = left < ENVELOPE_RCPTS_MAX ? left : ENVELOPE_RCPTS_MAX;
        left -= e[i].rcpt_count;
    }
    return e;
}
