/* hop_send.c -- a message's commands, and what is answered to them.
 *
 * The commands of a transaction have one order, and so have their answers: which command
 * an answer belongs to is known by counting (RFC 2920, 3.1). Where the hop takes fewer
 * recipients at a time, several transactions follow one another.
 */
#include <stdlib.h>

#include "server/hop_state.h"
#include "server/rand.h"

/* --- recipients ----------------------------------------------------------- */

static void settle_one(struct hop_work *w, unsigned i, const struct hop_answer *noted)
{
    w->states[i] = HOP_RCPT_DONE;
    w->m->rcpts[i].answer = noted;
}

void hop_settle(struct hop *h, enum hop_rcpt_state state, const struct hop_answer *answer)
{
    struct hop_work *w = &h->work;
    const struct hop_answer *noted = NULL;

    for (unsigned i = 0; i < w->m->rcpt_count; i++) {
        if (w->states[i] != state)
            continue;
        if (!noted)
            noted = hop_note(w, answer);
        settle_one(w, i, noted);
    }
}

/* The first from `i` on that is in the state, or rcpt_count. */
static unsigned next_in(const struct hop_work *w, unsigned i, enum hop_rcpt_state state)
{
    while (i < w->m->rcpt_count && w->states[i] != state)
        i++;
    return i;
}

/* Domains of a transaction, where the hop limits them (RFC 9422, 3.4). */
struct domains {
    uint64_t at[HOP_DOMAINS_MAX];
    unsigned count, max;
};

static bool domain_fits(struct domains *d, struct slice address)
{
    size_t at = address.len;
    uint64_t hash;

    if (d->max == 0)
        return true;
    while (at && address.at[at - 1] != '@')
        at--;
    hash = slice_hash(slice_of(address.at + at, address.len - at), 0);
    for (unsigned i = 0; i < d->count; i++)
        if (d->at[i] == hash)
            return true;
    if (d->count == d->max)
        return false;
    d->at[d->count++] = hash;
    return true;
}

/* How many are in this transaction. */
static unsigned choose(struct hop *h)
{
    struct hop_work *w = &h->work;
    uint32_t limit = h->hello.rcpt_domains;
    struct domains domains = {.max = limit < HOP_DOMAINS_MAX ? limit : HOP_DOMAINS_MAX};
    unsigned count = 0;

    for (unsigned i = 0; i < w->m->rcpt_count; i++) {
        bool open = w->states[i] == HOP_RCPT_TODO || w->states[i] == HOP_RCPT_LATER;

        if (h->hello.rcpt_max && count == h->hello.rcpt_max)
            break;
        if (!open || !domain_fits(&domains, w->m->rcpts[i].rcpt->address))
            continue;
        w->states[i] = HOP_RCPT_CHOSEN;
        count++;
    }
    return count;
}

/* --- beginning and end ---------------------------------------------------- */

/* Everybody has an answer. */
static void give_back(struct hop *h)
{
    struct hop_message *m = h->work.m;
    struct hop_noted *answers = h->work.answers;

    m->dsn_relayed = hop_offers(h, SMTP_HELLO_DSN);
    m->by_relayed = h->work.by;
    free(h->work.states);
    hop_convert_free(h->work.converted);
    h->work = (struct hop_work){0};
    h->calls->sent(h, m);
    hop_forget(answers);
}

static void finish(struct hop *h)
{
    hop_await(h, HOP_READY);
    give_back(h);
    if (h->conn && h->quitting)
        conn_wake(h->conn);
}

/* The first of a message, or the next for those who are left. */
static void begin_transaction(struct hop *h)
{
    struct hop_work *w = &h->work;
    struct hop_answer none;

    if (h->hello.mail_max && h->transactions >= h->hello.mail_max) {
        hop_answer_ours(&none, 452, HOP_STATUS(4, 5, 3),
            "the hop takes no more messages on this connection");
        hop_settle(h, HOP_RCPT_TODO, &none);
        hop_settle(h, HOP_RCPT_LATER, &none);
    }
    if (choose(h) == 0) {
        finish(h);
        return;
    }
    if (h->conn->in.len) {
        hop_end_by_count(h);
        return;
    }
    w->next = w->heard = w->accepted = 0;
    w->refused = NULL;
    w->reset_sent = w->mail_sent = w->mail_heard = w->data_sent = false;
    hop_await(h, HOP_COMMANDS);
    hop_commands(h);
}

static void end_transaction(struct hop *h)
{
    h->transactions++;
    begin_transaction(h);
}

void hop_message_begin(struct hop *h)
{
    struct hop_work *w = &h->work;
    struct hop_answer end;

    w->states = calloc(w->m->rcpt_count, 1);
    if (!w->states) {
        hop_answer_ours(&end, 0, HOP_STATUS(4, 3, 0), "out of memory");
        hop_end(h, &end, HOP_QUIT);
        return;
    }
    hop_fit(h);
    if (w->convert && next_in(w, 0, HOP_RCPT_TODO) < w->m->rcpt_count)
        hop_scan_begin(h);
    else
        begin_transaction(h);
}

void hop_transaction(struct hop *h)
{
    begin_transaction(h);
}

/* The session is over. Those whose answer was still to come get its end; and where the
 * whole text is out, nobody knows. */
void hop_give_up(struct hop *h)
{
    struct hop_work *w = &h->work;
    const struct hop_answer *noted = hop_note(w, &h->end);

    w->m->unsure = h->step == HOP_VERDICT && w->accepted > 0 && h->end.code == 0;
    for (unsigned i = 0; i < w->m->rcpt_count; i++)
        if (!w->m->rcpts[i].answer)
            w->m->rcpts[i].answer = noted;
    give_back(h);
}

/* --- commands ------------------------------------------------------------- */

static void count_out(struct hop *h)
{
    h->work.outstanding++;
    conn_deadline(h->conn, (unsigned)h->thread->config->hop_timeout);
}

/* DATA may go while answers to RCPT are awaited (RFC 2920, 3.1). */
static bool may_say_data(const struct hop *h)
{
    const struct hop_work *w = &h->work;

    if (w->chunks || w->data_sent)
        return false;
    return w->accepted > 0 || w->outstanding > 0;
}

/* One command; false: there is none to say now. */
static bool say_next(struct hop *h)
{
    struct hop_work *w = &h->work;
    struct out *out = &h->conn->out;
    unsigned count = w->m->rcpt_count;

    if (h->reset_due && !w->reset_sent) {
        out_put(out, S("RSET\r\n"));
        w->reset_sent = true;
        return true;
    }
    if (!w->mail_sent) {
        hop_put_mail(h);
        w->mail_sent = true;
        return true;
    }
    if (w->refused)
        return false;
    w->next = next_in(w, w->next, HOP_RCPT_CHOSEN);
    if (w->next < count) {
        hop_put_rcpt(h, w->m->rcpts[w->next++].rcpt);
        return true;
    }
    if (!may_say_data(h))
        return false;
    out_put(out, S("DATA\r\n"));
    w->data_sent = true;
    return true;
}

/* Nothing is outstanding, nothing is left to say. */
static void decide(struct hop *h)
{
    struct hop_work *w = &h->work;

    if (w->accepted) {
        hop_text_begin(h);
        return;
    }
    if (!w->refused)
        h->reset_due = true;
    end_transaction(h);
}

void hop_commands(struct hop *h)
{
    struct hop_work *w = &h->work;
    unsigned window = hop_offers(h, SMTP_HELLO_PIPELINING) ? HOP_PIPELINE_MAX : 1;

    while (w->outstanding < window && say_next(h))
        count_out(h);
    if (w->outstanding == 0)
        decide(h);
}

/* --- their answers -------------------------------------------------------- */

static void reset_reply(struct hop *h, const struct smtp_answer *a)
{
    struct hop_answer end;

    h->reset_due = false;
    if (hop_positive(a))
        return;
    hop_answer_ours(
        &end, 0, HOP_STATUS(4, 5, 0), "RSET was refused: %u", (unsigned)a->code);
    hop_end(h, &end, HOP_QUIT);
}

static void mail_reply(struct hop *h, const struct smtp_answer *a)
{
    struct hop_work *w = &h->work;
    struct hop_answer answer;

    w->mail_heard = true;
    if (hop_positive(a))
        return;
    hop_answer_theirs(&answer, a);
    w->refused = hop_note(w, &answer);
    hop_settle(h, HOP_RCPT_CHOSEN, &answer);
    hop_settle(h, HOP_RCPT_TODO, &answer);
    hop_settle(h, HOP_RCPT_LATER, &answer);
}

/* "Too many", after some were taken: the others have their turn with another transaction
 * (RFC 5321, 4.5.3.1.10). */
static bool is_too_many(const struct hop_work *w, const struct smtp_answer *a)
{
    bool told = a->status[1] == 5 && a->status[2] == 3;

    return w->accepted > 0 &&
        ((a->code == 452 && (told || a->status[0] == 0)) || (a->code == 552 && told));
}

/* An answer to RCPT when MAIL was refused says nothing more. */
static void rcpt_reply(struct hop *h, const struct smtp_answer *a)
{
    struct hop_work *w = &h->work;
    struct hop_answer answer;
    unsigned i = w->heard;

    if (w->refused) {
        w->heard++;
        return;
    }
    i = next_in(w, i, HOP_RCPT_CHOSEN);
    CHECK(i < w->next);
    w->heard = i + 1;
    if (hop_positive(a)) {
        w->states[i] = HOP_RCPT_ACCEPTED;
        w->accepted++;
    } else if (is_too_many(w, a)) {
        w->states[i] = HOP_RCPT_LATER;
    } else {
        hop_answer_theirs(&answer, a);
        settle_one(w, i, hop_note(w, &answer));
    }
}

/* 354 to nobody: a lone dot (RFC 2920, 3.1), whose answer means nothing. Of LMTP it is
 * not known how many answers that gets (RFC 2033, 4.2). */
static void text_to_nobody(struct hop *h)
{
    struct hop_answer end;

    if (h->lmtp) {
        hop_answer_ours(
            &end, 0, HOP_STATUS(4, 5, 0), "the hop wants a text for no recipient");
        hop_end(h, &end, HOP_ABORT);
        return;
    }
    out_put(&h->conn->out, S(".\r\n"));
    h->work.verdicts = 1;
    hop_await(h, HOP_VERDICT);
}

static void data_reply(struct hop *h, const struct smtp_answer *a)
{
    struct hop_work *w = &h->work;
    struct hop_answer answer;

    if (a->code == 354 && w->accepted == 0) {
        text_to_nobody(h);
    } else if (a->code == 354) {
        hop_text_begin(h);
    } else if (a->code < 400) {
        hop_answer_ours(&answer, 0, HOP_STATUS(4, 5, 0), "%u as the answer to DATA",
            (unsigned)a->code);
        hop_end(h, &answer, HOP_ABORT);
    } else {
        hop_answer_theirs(&answer, a);
        hop_settle(h, HOP_RCPT_ACCEPTED, &answer);
        h->reset_due = !w->refused;
        end_transaction(h);
    }
}

void hop_command_reply(struct hop *h, const struct smtp_answer *a)
{
    struct hop_work *w = &h->work;

    if (w->outstanding == 0) {
        hop_end_by_count(h);
        return;
    }
    conn_deadline(h->conn, (unsigned)h->thread->config->hop_timeout);
    w->outstanding--;
    if (w->reset_sent && h->reset_due)
        reset_reply(h, a);
    else if (!w->mail_heard)
        mail_reply(h, a);
    else if (w->outstanding > 0 || !w->data_sent)
        rcpt_reply(h, a);
    else
        data_reply(h, a);
}

/* --- the answer to the text ----------------------------------------------- */

static void take_verdict(struct hop *h, const struct smtp_answer *a)
{
    struct hop_work *w = &h->work;
    struct hop_answer answer;
    unsigned i;

    hop_answer_theirs(&answer, a);
    if (!h->lmtp) {
        hop_settle(h, HOP_RCPT_ACCEPTED, &answer);
        return;
    }
    i = next_in(w, w->heard, HOP_RCPT_ACCEPTED);
    w->heard = i + 1;
    settle_one(w, i, hop_note(w, &answer));
}

void hop_verdict_reply(struct hop *h, const struct smtp_answer *a)
{
    struct hop_work *w = &h->work;
    struct hop_answer end;

    if (a->code / 100 == 3) {
        hop_answer_ours(&end, 0, HOP_STATUS(4, 5, 0), "%u as the answer to the text",
            (unsigned)a->code);
        hop_end(h, &end, HOP_ABORT);
        return;
    }
    if (w->accepted)
        take_verdict(h, a);
    if (w->chunks && !hop_positive(a))
        h->reset_due = true; /* RFC 3030, 2 */
    w->verdicts--;
    if (w->verdicts == 0)
        end_transaction(h);
    else
        hop_await(h, HOP_VERDICT);
}
