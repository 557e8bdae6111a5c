#include "server/config.h"
#include "server/session_imap_work.h"
#include "server/tls.h"

static enum turn reply(
    struct session_imap *s, struct slice answer, struct slice code, struct slice text)
{
    s->work->reply = (struct imap_reply){answer, code, text};
    return TURN_DONE;
}

enum turn imap_ok(struct session_imap *s)
{
    return reply(s, S("OK"), S(""), S(""));
}

enum turn imap_ok_code(struct session_imap *s, struct slice code)
{
    return reply(s, S("OK"), code, S(""));
}

enum turn imap_no(struct session_imap *s, struct slice code, struct slice text)
{
    return reply(s, S("NO"), code, text);
}

enum turn imap_bad(struct session_imap *s, struct slice text)
{
    return reply(s, S("BAD"), S(""), text);
}

enum turn imap_answer(
    struct session_imap *s, enum status status, struct slice missing, struct slice limit)
{
    switch (status) {
    case STATUS_OK:
        return imap_ok(s);
    case STATUS_NOT_FOUND:
        return imap_no(s, missing, S("No such mailbox"));
    case STATUS_EXISTS:
        return imap_no(s, S("[ALREADYEXISTS]"), S("Mailbox exists"));
    case STATUS_LIMIT:
        return imap_no(s, limit, S("A limit is reached"));
    case STATUS_INVALID:
        return imap_no(s, S("[CANNOT]"), S("Not possible with this mailbox"));
    case STATUS_NO_SPACE:
        return imap_no(s, S("[OVERQUOTA]"), S("The disk is full"));
    case STATUS_NO_MEMORY:
        return imap_no(s, S("[LIMIT]"), S("Out of memory"));
    case STATUS_BUSY:
    case STATUS_CANCELLED:
        return imap_no(s, S("[UNAVAILABLE]"), S("Try again later"));
    case STATUS_READ_ONLY:
        return imap_no(s, S("[UNAVAILABLE]"), S("The store takes no changes now"));
    case STATUS_CORRUPT:
    case STATUS_IO:
        return imap_no(s, S("[SERVERBUG]"), S("The store cannot be read"));
    }
    CHECK(false);
    return TURN_DONE;
}

struct slice imap_limit_code(const struct session_imap *s, uint64_t bytes)
{
    uint64_t quota = s->conn.thread->config->quota;

    return quota && user_bytes(s->user) + bytes > quota ? S("[OVERQUOTA]") : S("[LIMIT]");
}

void imap_put_tag_answer(struct session_imap *s)
{
    struct out *out = &s->conn.out;

    out_put(out, s->work->cmd.tag);
    out_byte(out, ' ');
    out_put(out, s->work->reply.answer);
    out_byte(out, ' ');
}

void imap_put_completed(struct session_imap *s)
{
    struct out *out = &s->conn.out;

    if (s->work->cmd.uid)
        out_put(out, S("UID "));
    out_put(out, imap_verb_text(s->work->cmd.verb));
    out_put(out, S(" completed\r\n"));
}

void imap_bye(struct session_imap *s, struct slice text)
{
    if (s->conn.closing)
        return;
    imap_put_status(&s->conn.out, S("*"), S("BYE"), S(""), text);
    conn_close(&s->conn);
}

/* RFC 3501, 7.2.1; RFC 4959; RFC 2595, 3.2: in clear LOGINDISABLED and no AUTH=. What is
 * only good after login is told from the start too, for clients that ask once. */
void imap_put_capabilities(struct session_imap *s, struct out *out)
{
    const struct conn *c = &s->conn;

    out_put(out,
        S("IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE UIDPLUS UNSELECT "
          "CHILDREN MOVE SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED"));
    if (s->state != IMAP_STATE_START)
        return;
    if (!conn_is_tls(c) && c->thread->tls && tls_context_serves(c->thread->tls))
        out_put(out, S(" STARTTLS"));
    out_put(out, conn_may_login(c) ? S(" AUTH=PLAIN AUTH=LOGIN") : S(" LOGINDISABLED"));
}

enum { CAPABILITIES_MAX = 512 };

struct slice imap_capability_code(struct session_imap *s)
{
    char *at = arena_take(&s->work->arena, CAPABILITIES_MAX);
    struct out out;

    if (!at)
        return S("");
    out = out_of(at, CAPABILITIES_MAX);
    out_put(&out, S("[CAPABILITY "));
    imap_put_capabilities(s, &out);
    out_byte(&out, ']');
    return out_slice(&out);
}
