#include <stdlib.h>

#include "server/config.h"
#include "server/log.h"
#include "server/session_imap_work.h"

enum turn imap_step_capability(struct session_imap *s)
{
    struct out *out = &s->conn.out;

    out_put(out, S("* CAPABILITY "));
    imap_put_capabilities(s, out);
    out_put(out, S("\r\n"));
    return imap_ok(s);
}

/* NOOP and CHECK: what was answered is on the disk already. */
enum turn imap_step_noop(struct session_imap *s)
{
    return imap_ok(s);
}

enum turn imap_step_logout(struct session_imap *s)
{
    imap_put_status(&s->conn.out, S("*"), S("BYE"), S(""), S("Goodbye"));
    imap_put_status(
        &s->conn.out, s->work->cmd.tag, S("OK"), S(""), S("LOGOUT completed"));
    conn_part(&s->conn);
    return TURN_WAIT;
}

/* RFC 2971. What the client says of itself goes to the log, escaped there. */
enum turn imap_step_id(struct session_imap *s)
{
    const struct imap_cmd *cmd = &s->work->cmd;
    struct event e;

    if (cmd->id.count && event_begin(&e, LEVEL_DEBUG, "imap-id")) {
        event_number(&e, "session", s->conn.id);
        for (unsigned i = 0; i < cmd->id.count; i++) {
            event_text(&e, "field", cmd->id.pairs[i].field);
            event_text(&e, "value", cmd->id.pairs[i].value);
        }
        event_end(&e);
    }
    out_put(&s->conn.out, S("* ID (\"name\" \"ringmail\")\r\n"));
    return imap_ok(s);
}

/* RFC 5161, 3.1: names of what can't be enabled are ignored. Nothing here has to be. */
enum turn imap_step_enable(struct session_imap *s)
{
    out_put(&s->conn.out, S("* ENABLED\r\n"));
    return imap_ok(s);
}

/* RFC 2342: one personal namespace. */
enum turn imap_step_namespace(struct session_imap *s)
{
    out_put(&s->conn.out, S("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"));
    return imap_ok(s);
}

/* RFC 2177. From here to DONE the session keeps no more than the tag. */
enum turn imap_step_idle(struct session_imap *s)
{
    struct slice tag = s->work->cmd.tag;
    struct imap_idle *idle = malloc(sizeof *idle + tag.len);

    if (!idle)
        return imap_no(s, S("[LIMIT]"), S("Out of memory"));
    idle->tag_bytes = (uint8_t)tag.len;
    memcpy(idle->tag, tag.at, tag.len);
    s->idle = idle;
    imap_work_end(s);
    out_put(&s->conn.out, S("+ idling\r\n"));
    imap_rest(s);
    return TURN_AGAIN;
}
