/* RCPT: from an address to accounts here and addresses elsewhere, each once.
 *
 *   route --> room in the queue --> checks --> quota --> admitted
 *
 * What waits between is routed anew: the accounts may have changed meanwhile. */
#include <stdlib.h>

#include "server/forward.h"
#include "server/log.h"
#include "server/queue.h"
#include "server/session_smtp_work.h"
#include "store/store.h"

/* --- refusals -------------------------------------------------------------------- */

void smtp_rcpt_refuse(struct session_smtp *s, struct slice rcpt, struct slice reply)
{
    struct event e;
    char peer[ADDRESS_TEXT_MAX];

    s->rcpts_refused++;
    s->conn.thread->stats.recipients_refused++;
    if (event_begin(&e, LEVEL_INFO, "rcpt-refused")) {
        event_text(&e, "from", smtp_sender(s->message));
        event_text(&e, "to", rcpt);
        event_text(&e, "reply", slice_of(reply.at, reply.len - 2));
        event_number(&e, "session", s->conn.id);
        event_text(&e, "peer", conn_peer_text(&s->conn, peer, sizeof peer));
        event_end(&e);
    }
    smtp_refuse_text(s, reply);
}

static void refuse_by(struct session_smtp *s, struct slice rcpt, enum smtp_reply reply)
{
    smtp_rcpt_refuse(s, rcpt, smtp_reply_text(reply));
}

/* --- domains of a session (RFC 9422: RCPTDOMAINMAX) -------------------------------- */

static uint64_t domain_hash(const struct session_smtp *s, const struct smtp_path *path)
{
    struct slice domain = path->domain.len ? path->domain : S("@");
    char folded[SMTP_DOMAIN_MAX + 2];

    for (size_t i = 0; i < domain.len && i < sizeof folded; i++)
        folded[i] = ascii_lower(domain.at[i]);
    return slice_hash(
        slice_of(folded, domain.len < sizeof folded ? domain.len : 0), s->conn.id);
}

/* The recipient's domain is one of the session's, or there is room for one more; with
 * `add` it is one from now on. */
static bool has_domain(struct session_smtp *s, const struct smtp_path *path, bool add)
{
    uint64_t max = smtp_config(s)->max_recipient_domains, hash;
    struct smtp_domains *d = s->domains;

    if (max == 0)
        return true;
    if (!d)
        d = s->domains = calloc(1, sizeof *d + max * sizeof d->hash[0]);
    if (!d)
        return false;
    hash = domain_hash(s, path);
    for (uint32_t i = 0; i < d->count; i++)
        if (d->hash[i] == hash)
            return true;
    if (d->count == max)
        return false;
    if (add)
        d->hash[d->count++] = hash;
    return true;
}

/* --- the way of a recipient -------------------------------------------------------- */

struct way {
    const struct account *accounts[ROUTE_ACCOUNTS_MAX];
    struct route_remote remotes[ROUTE_REMOTES_MAX];
    struct route route;
};

/* Accounts get their copies by the queue when that is for later (RFC 4865), or when the
 * text has to be converted first, since it is read without BINARYMIME (RFC 3030, 3). */
static bool is_queued(const struct session_smtp *s)
{
    const struct smtp_cmd *mail = &s->message->mail;

    return mail->hold_until_s != 0 || mail->body == SMTP_BODY_BINARYMIME;
}

/* So does one whose delivery is to be reported, which the queue does. */
static bool is_reported(const struct smtp_cmd *cmd)
{
    return (cmd->notify & SMTP_NOTIFY_SUCCESS) != 0;
}

static bool needs_queue(
    const struct session_smtp *s, const struct smtp_cmd *cmd, const struct way *w)
{
    return w->route.remote_count > 0 || is_reported(cmd) || is_queued(s);
}

/* NONE, or why a routed recipient can't be taken. */
static enum smtp_reply judge_way(
    const struct session_smtp *s, const struct smtp_cmd *cmd, const struct way *w)
{
    const struct smtp_message *m = s->message;
    uint64_t max = smtp_config(s)->max_recipients;

    if (smtp_is_lmtp(s) && w->route.remote_count > 0)
        return SMTP_REPLY_NO_RELAY;
    if (m->users.count + w->route.count > max + ROUTE_ACCOUNTS_MAX ||
        m->others.count + w->route.remote_count > max + ROUTE_REMOTES_MAX)
        return SMTP_REPLY_TOO_MANY_RCPTS;
    if (needs_queue(s, cmd, w) && !queue_has_room(s->conn.thread))
        return SMTP_REPLY_QUEUE_FULL;
    return SMTP_REPLY_NONE;
}

/* False: the recipient is refused, and the client knows. */
static bool find_way(struct session_smtp *s, const struct smtp_cmd *cmd, struct way *w)
{
    enum route_result result;
    enum smtp_reply reply;

    w->route = (struct route){
        .accounts = w->accounts,
        .cap = ROUTE_ACCOUNTS_MAX,
        .remotes = w->remotes,
        .remote_cap = ROUTE_REMOTES_MAX,
        .arena = &s->message->arena,
        .relay = smtp_may_relay(s),
    };
    result = forward_route(s->conn.thread->accounts, &cmd->path, &s->message->mail.path,
        s->conn.thread->now_s, &w->route);
    if (result != ROUTE_OK) {
        smtp_rcpt_refuse(s, cmd->path.text, route_reply(result));
        return false;
    }
    reply = judge_way(s, cmd, w);
    if (reply != SMTP_REPLY_NONE)
        refuse_by(s, cmd->path.text, reply);
    return reply == SMTP_REPLY_NONE;
}

/* --- admitting --------------------------------------------------------------------- */

/* LMTP: remembers which account the recipient stands for, as one more of `count`. */
static bool share_put(struct smtp_message *m, uint32_t value)
{
    struct smtp_shares *h = &m->shares;
    uint32_t *bigger;

    if (h->count == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 16;
        bigger = arena_take(&m->arena, h->cap * sizeof *bigger);
        if (!bigger)
            return false;
        if (h->count)
            memcpy(bigger, h->at, h->count * sizeof *bigger);
        h->at = bigger;
    }
    h->at[h->count++] = value;
    return true;
}

/* An account gets a copy, unless the queue delivers one to it. */
static bool admit_user(struct session_smtp *s, struct slice name)
{
    struct smtp_message *m = s->message;
    uint32_t place;

    if (smtp_names_has(&m->others, name))
        return true;
    place = smtp_names_add(&m->users, &m->arena, name);
    if (place == SMTP_NO_NAME)
        return false;
    return !smtp_is_lmtp(s) || share_put(m, place);
}

/* One that has its copy already gets no other. */
static bool admit_queued_user(struct session_smtp *s, const struct envelope_rcpt *rcpt)
{
    struct smtp_message *m = s->message;

    return smtp_names_has(&m->users, rcpt->address) || smtp_queue_add(m, rcpt);
}

/* Everything that a recipient stands for. Of several exactly one, the first, has the
 * reports that were asked for (RFC 3461, 5.2.7.3 b); that there be none holds for all
 * (4.1). False: no memory. */
static bool admit_all(struct session_smtp *s, const struct way *w)
{
    struct smtp_message *m = s->message;
    const struct smtp_cmd *cmd = &m->asked;
    struct envelope_rcpt rcpt = {.orcpt = cmd->orcpt, .notify = (uint8_t)cmd->notify};
    struct envelope_rcpt others = {.notify = rcpt.notify & SMTP_NOTIFY_NEVER};

    for (unsigned i = 0; i < w->route.count; i++) {
        rcpt.address = w->accounts[i]->name;
        if (is_queued(s) || (i == 0 && is_reported(cmd)) ? !admit_queued_user(s, &rcpt)
                                                         : !admit_user(s, rcpt.address))
            return false;
        rcpt = others;
    }
    for (unsigned i = 0; i < w->route.remote_count; i++) {
        rcpt.address = w->remotes[i].address;
        rcpt.forwarded = w->remotes[i].forwarded;
        if (!smtp_queue_add(m, &rcpt))
            return false;
        rcpt = others;
    }
    return true;
}

/* The recipient counts: all that it stands for, or nothing. */
static void admit(struct session_smtp *s, const struct way *w)
{
    struct smtp_message *m = s->message;
    uint32_t users = m->users.count, others = m->others.count, shares = m->shares.count;

    if ((smtp_is_lmtp(s) && !share_put(m, w->route.count)) || !admit_all(s, w)) {
        smtp_names_cut(&m->users, users);
        smtp_names_cut(&m->others, others);
        m->shares.count = shares;
        refuse_by(s, m->asked.path.text, SMTP_REPLY_NO_SPACE);
        return;
    }
    s->conn.thread->stats.recipients++;
    if (m->rcpts++ == 0)
        m->rcpt = m->asked.path.text;
    has_domain(s, &m->asked.path, true);
    s->state = SMTP_RCPT;
    out_put(&s->conn.out, route_reply(ROUTE_OK));
}

/* --- room -----------------------------------------------------------------------
 *
 * With a quota the owner of a recipient says whether the message may fit, so that one
 * full mailbox is refused by itself and not with all the others at the end of the text,
 * where only the reply to all of them is left. Groups are not asked one by one. */

static void run_ask(struct thread *owner, struct call *call)
{
    struct smtp_room *r = container_of(call, struct smtp_room, call);
    struct store *store = shard_store(owner, shard_of_user(owner, r->user));
    uint64_t quota = owner->config->quota;

    r->fits = r->octets <= quota && store_user_bytes(store, r->user) <= quota - r->octets;
    call_answer(call);
}

static void on_answer(struct thread *t, struct call *call)
{
    struct smtp_room *r = container_of(call, struct smtp_room, call);

    (void)t;
    r->asking = false;
    smtp_landed(r->session);
}

static void ask_for_room(struct session_smtp *s, struct slice user)
{
    struct thread *t = s->conn.thread;
    struct smtp_room *r = calloc(1, sizeof *r + user.len);

    if (!r) {
        refuse_by(s, s->message->asked.path.text, SMTP_REPLY_NO_SPACE);
        return;
    }
    r->call = (struct call){.run = run_ask, .done = on_answer};
    r->session = s;
    r->asking = true;
    r->octets = s->message->mail.size + 1;
    r->user = slice_of(memcpy(r->bytes, user.at, user.len), user.len);
    s->room = r;
    s->mode = SMTP_MODE_RCPT;
    call_send(t, thread_of_user(t, user), &r->call);
}

/* By LMTP it is for later: the queue in front keeps the message meanwhile (RFC 2033,
 * 4.2). */
enum smtp_turn smtp_rcpt_step(struct session_smtp *s)
{
    struct smtp_room *r = s->room;
    const struct smtp_cmd *asked = &s->message->asked;
    struct way w;

    if (r->asking)
        return SMTP_WAIT;
    s->mode = SMTP_MODE_COMMAND;
    s->room = NULL;
    if (!r->fits)
        refuse_by(s, asked->path.text,
            smtp_is_lmtp(s) ? SMTP_REPLY_MAILBOX_FULL_NOW : SMTP_REPLY_MAILBOX_FULL);
    else if (find_way(s, asked, &w))
        admit(s, &w);
    free(r);
    return SMTP_AGAIN;
}

/* --- RCPT ------------------------------------------------------------------------ */

static void take(struct session_smtp *s, const struct way *w)
{
    if (smtp_config(s)->quota && w->route.count == 1 && w->route.remote_count == 0)
        ask_for_room(s, w->accounts[0]->name);
    else
        admit(s, w);
}

void smtp_rcpt_passed(struct session_smtp *s)
{
    struct way w;

    if (find_way(s, &s->message->asked, &w))
        take(s, &w);
}

static enum smtp_reply judge_count(struct session_smtp *s, const struct smtp_path *path)
{
    const struct smtp_message *m = s->message;
    uint64_t max = smtp_config(s)->max_recipients;

    if (m->tried > max) /* this one is counted already */
        return SMTP_REPLY_TOO_MANY_RCPTS;
    return has_domain(s, path, false) ? SMTP_REPLY_NONE : SMTP_REPLY_TOO_MANY_DOMAINS;
}

void smtp_rcpt(struct session_smtp *s, const struct smtp_cmd *cmd)
{
    struct smtp_message *m = s->message;
    enum smtp_reply reply = judge_count(s, &cmd->path);
    struct way w;

    if (reply != SMTP_REPLY_NONE) {
        refuse_by(s, cmd->path.text, reply);
        return;
    }
    if (!find_way(s, cmd, &w))
        return;
    m->asked_local = w.route.remote_count == 0;
    if (!smtp_keep(&m->arena, cmd, &m->asked)) {
        refuse_by(s, cmd->path.text, SMTP_REPLY_NO_SPACE);
        return;
    }
    switch (smtp_policy_begin(s, POLICY_RCPT)) {
    case POLICY_PASS:
        take(s, &w);
        return;
    case POLICY_REFUSE:
        smtp_rcpt_refuse(s, m->asked.path.text, smtp_policy_reply(s));
        return;
    case POLICY_PENDING:
        return;
    }
}
