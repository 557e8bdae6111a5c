/* DATA and BDAT: a message from its first octet to its last. */
#include <stdio.h>

#include "proto/smtp/smtp_trace.h"
#include "server/clock.h"
#include "server/session_smtp_work.h"
#include "server/tls.h"

/* Return-Path, Received and their line ends, at their longest. */
enum { TRACE_MAX = 4096 };

static const int64_t slice_ns = 500000; /* of the turn; then others get theirs */

/* --- the fields in front (RFC 5321, 4.4) ------------------------------------------ */

/* The cipher suite, without the version before it (RFC 8314, 7.4). */
static struct slice cipher_of(const struct conn *c, char *at, size_t cap)
{
    struct slice text = conn_tls_text(c, at, cap);
    size_t space = slice_find(text, ' ');

    return space < text.len ? slice_of(text.at + space + 1, text.len - space - 1) : text;
}

/* Unique over restarts: the time, the connection, the message within it. */
static void name_message(struct session_smtp *s)
{
    struct smtp_message *m = s->message;

    snprintf(m->id, sizeof m->id, "%llx-%llx-%x",
        (unsigned long long)s->conn.thread->now_s, (unsigned long long)s->conn.id,
        s->stored + s->refused);
}

/* `for` names the recipient only when there is no other, who would learn of him. */
static void add_trace(struct session_smtp *s)
{
    const struct conn *c = &s->conn;
    struct smtp_message *m = s->message;
    char text[TRACE_MAX], peer[ADDRESS_TEXT_MAX], tls[128];
    struct out out = out_of(text, sizeof text);
    struct smtp_trace trace = {
        .helo = s->helo ? slice_str(s->helo) : S(""),
        .peer_name = s->peer_name ? slice_str(s->peer_name) : S(""),
        .peer_ip = conn_peer_text(c, peer, sizeof peer),
        .host = slice_str(smtp_config(s)->hostname),
        .id = slice_str(m->id),
        .tls = conn_is_tls(c) ? cipher_of(c, tls, sizeof tls) : S(""),
        .rcpt = m->rcpts == 1 ? m->rcpt : S(""),
        .time_s = c->thread->now_s,
        .esmtp = s->esmtp,
        .lmtp = smtp_is_lmtp(s),
        .authenticated = s->user != NULL,
        .utf8 = m->mail.utf8,
        .priority = m->mail.priority,
    };

    smtp_put_return_path(&out, &m->mail.path);
    m->path_octets = (uint32_t)out.len;
    smtp_put_received(&out, &trace);
    CHECK(!out.full);
    m->header_octets = (uint32_t)out.len - m->path_octets;
    delivery_add(m->delivery, out_slice(&out));
}

/* --- beginning ------------------------------------------------------------------- */

static void on_delivery(void *arg)
{
    struct session_smtp *s = arg;

    conn_wake(&s->conn);
}

static bool may_write_as(void *arg, struct slice address)
{
    const struct session_smtp *s = arg;
    const struct accounts *accounts = s->conn.thread->accounts;
    const struct account *account = accounts_find(accounts, slice_str(s->user));
    struct smtp_path path;

    return account && smtp_mailbox(address, true, &path) &&
        route_may_send(accounts, account, &path);
}

/* What a user's program left out is mended (RFC 6409, 8). False: no memory. */
static bool begin_repair(struct session_smtp *s)
{
    struct smtp_message *m = s->message;

    if (!smtp_is_submission(s))
        return true;
    m->repair = arena_take(&m->arena, sizeof *m->repair);
    if (!m->repair)
        return false;
    m->repair_conf = (struct smtp_repair_conf){
        .user = slice_str(s->user),
        .id = slice_str(m->id),
        .host = slice_str(smtp_config(s)->hostname),
        .time_s = s->conn.thread->now_s,
        .may_write_as = smtp_config(s)->from_check ? may_write_as : NULL,
        .arg = s,
    };
    smtp_repair_begin(m->repair, &m->repair_conf, &m->arena);
    return true;
}

/* False: no memory. */
static bool begin_text(struct session_smtp *s)
{
    struct smtp_message *m = s->message;
    const struct delivery_conf conf = {
        .users = m->users.at,
        .count = m->users.count,
        .sender = smtp_sender(m),
        .queued = m->others.count > 0,
        .shard = -1,
        .each = smtp_is_lmtp(s),
    };

    name_message(s);
    if (!thread_short_of_memory(s->conn.thread) && begin_repair(s))
        m->delivery = delivery_begin(s->conn.thread, &conf, on_delivery, s);
    if (!m->delivery)
        return false;
    add_trace(s);
    return true;
}

static void note_pace(struct session_smtp *s, size_t octets)
{
    s->paced = octets < UINT32_MAX - s->paced ? s->paced + (uint32_t)octets : UINT32_MAX;
    s->octets -= octets < SMTP_SLICE_OCTETS ? (int32_t)octets : SMTP_SLICE_OCTETS;
}

static void expect_text(struct session_smtp *s, enum smtp_mode mode)
{
    s->mode = (uint8_t)mode;
    conn_bulk(&s->conn, true);
    smtp_rest(s);
}

/* Text before the 354 comes from a client that does not listen, perhaps because somebody
 * else writes what it sends. It is never read as commands (matrix S36; RFC 2920, 3.1). */
void smtp_data(struct session_smtp *s)
{
    if (s->conn.in.len) {
        smtp_bye(s, SMTP_REPLY_PIPELINING);
        return;
    }
    if (s->message->mail.body == SMTP_BODY_BINARYMIME) { /* RFC 3030, 3 */
        smtp_refuse(s, SMTP_REPLY_NEEDS_BDAT);
        return;
    }
    if (!begin_text(s)) {
        smtp_reset(s);
        smtp_refuse(s, SMTP_REPLY_NO_SPACE);
        return;
    }
    smtp_say(s, SMTP_REPLY_SEND_TEXT);
    expect_text(s, SMTP_MODE_TEXT);
}

/* --- chunks that are refused -------------------------------------------------------
 *
 * Their octets come whatever the answer is, first they, then the answer (RFC 3030, 2).
 * One that is too big by itself is told at once, for it may take for ever. */

static void skip(
    struct session_smtp *s, uint64_t octets, enum smtp_reply reply, uint32_t times)
{
    bool at_once = octets == 0 || octets > smtp_config(s)->max_message_size;

    s->left = octets;
    s->owed = at_once ? SMTP_REPLY_NONE : (uint8_t)reply;
    s->owed_times = times;
    if (octets > 0)
        expect_text(s, SMTP_MODE_SKIP);
    if (at_once)
        smtp_refuse_times(s, smtp_reply_text(reply), times);
}

/* LMTP: chunks that follow one that failed fail too, until the last, which has an answer
 * for each recipient (RFC 2033, 4.3), and the transaction is over. */
static void fail_chunks(struct session_smtp *s, enum smtp_reply reply)
{
    struct smtp_message *m = s->message;

    delivery_free(m->delivery);
    m->delivery = NULL;
    m->failed = (uint8_t)reply;
    s->state = SMTP_CHUNKS;
}

void smtp_refuse_chunk(
    struct session_smtp *s, const struct smtp_cmd *cmd, enum smtp_reply reply)
{
    bool in_place = s->state == SMTP_RCPT || s->state == SMTP_CHUNKS;
    bool each = smtp_is_lmtp(s) && cmd->last && s->message;
    uint32_t times = each ? s->message->rcpts : 1; /* without recipients: none */

    if (in_place && smtp_is_lmtp(s) && !cmd->last)
        fail_chunks(s, reply);
    else if (in_place)
        smtp_reset(s);
    skip(s, cmd->size, reply, times);
}

enum smtp_turn smtp_skip_step(struct session_smtp *s)
{
    size_t n = s->conn.in.len < s->left ? s->conn.in.len : (size_t)s->left;

    s->left -= n;
    note_pace(s, n);
    slice_take(&s->conn.in, n);
    if (s->left == 0) {
        smtp_expect_command(s);
        if (s->owed != SMTP_REPLY_NONE)
            smtp_refuse_times(
                s, smtp_reply_text((enum smtp_reply)s->owed), s->owed_times);
        return SMTP_AGAIN;
    }
    if (s->conn.eof)
        conn_close(&s->conn);
    return SMTP_WAIT;
}

/* --- taking ---------------------------------------------------------------------- */

void smtp_bdat(struct session_smtp *s, const struct smtp_cmd *cmd)
{
    struct smtp_message *m = s->message;
    enum smtp_reply reply = (enum smtp_reply)m->failed;

    if (reply == SMTP_REPLY_NONE &&
        cmd->size > smtp_config(s)->max_message_size - m->octets)
        reply = SMTP_REPLY_TOO_BIG;
    if (reply == SMTP_REPLY_NONE && s->state == SMTP_RCPT && !begin_text(s))
        reply = SMTP_REPLY_NO_SPACE;
    if (reply != SMTP_REPLY_NONE) {
        smtp_refuse_chunk(s, cmd, reply);
        return;
    }
    s->state = SMTP_CHUNKS;
    s->left = cmd->size;
    m->last = cmd->last;
    expect_text(s, SMTP_MODE_CHUNK);
}

/* The next octets of the header, perhaps none. */
static void note_header(struct smtp_message *m, struct slice bytes)
{
    m->header_octets += (uint32_t)bytes.len;
    if (m->mail.body != SMTP_BODY_BINARYMIME || bytes.len == 0)
        return;
    m->header_flaws |= scan_flaws(bytes, m->header_end);
    m->header_end = bytes.at[bytes.len - 1];
}

/* The next octets as they are stored and sent on. */
static void keep(struct session_smtp *s, struct slice run)
{
    struct smtp_message *m = s->message;
    size_t header = smtp_header_watch(&m->watch, run);

    note_header(m, slice_of(run.at, header));
    if (m->others.count) {
        m->header_8bit = m->header_8bit || smtp_has_8bit(slice_of(run.at, header));
        m->body_8bit =
            m->body_8bit || smtp_has_8bit(slice_of(run.at + header, run.len - header));
    }
    policy_text(s->chain->policy, run);
    delivery_add(m->delivery, run);
}

/* Text that will be refused is read on, and not kept. */
static void take(struct session_smtp *s, struct slice run)
{
    struct smtp_message *m = s->message;

    m->octets += run.len;
    if (!m->delivery)
        return;
    if (smtp_judge_text(s) == SMTP_REPLY_NONE) {
        struct slice mended;

        if (!m->repair)
            keep(s, run);
        else
            while (smtp_repair_next(m->repair, &run, &mended))
                keep(s, mended);
        if (smtp_judge_text(s) == SMTP_REPLY_NONE)
            return;
    }
    delivery_free(m->delivery);
    m->delivery = NULL;
}

/* The text is over. */
static void end_text(struct session_smtp *s)
{
    struct smtp_message *m = s->message;
    struct slice mended;

    m->since_ns = s->conn.thread->now_ns;
    while (m->delivery && m->repair && smtp_repair_end(m->repair, &mended))
        keep(s, mended);
    smtp_end_text(s);
}

/* Why no more text can be taken now: WAIT or YIELD; or AGAIN. */
static enum smtp_turn pace(struct session_smtp *s)
{
    struct delivery *d = s->message->delivery;
    bool busy = d && delivery_busy(d);

    conn_pause(&s->conn, busy);
    if (busy)
        return SMTP_WAIT;
    if (s->conn.in.len == 0) {
        if (s->conn.eof) /* before the end of the text: nothing is stored */
            conn_close(&s->conn);
        return SMTP_WAIT;
    }
    if (s->octets < SMTP_SLICE_OCTETS &&
        clock_monotonic_ns() - s->conn.thread->now_ns > slice_ns)
        return SMTP_YIELD;
    return s->octets > 0 ? SMTP_AGAIN : SMTP_YIELD;
}

/* The input, as much of it as is looked at between two looks at the clock. */
static struct slice piece_of(struct slice in)
{
    return slice_of(in.at, in.len < SMTP_PIECE_OCTETS ? in.len : SMTP_PIECE_OCTETS);
}

/* --- the modes --------------------------------------------------------------------- */

enum smtp_turn smtp_text_step(struct session_smtp *s)
{
    struct smtp_message *m = s->message;
    struct slice piece, run;
    enum smtp_turn turn = pace(s);
    enum smtp_text_got got;

    if (turn != SMTP_AGAIN)
        return turn;
    piece = piece_of(s->conn.in);
    got = smtp_text_next(&m->text, &piece, &run);
    note_pace(s, (size_t)(piece.at - s->conn.in.at));
    slice_take(&s->conn.in, (size_t)(piece.at - s->conn.in.at));
    if (got == SMTP_TEXT_END) {
        end_text(s);
        return SMTP_AGAIN;
    }
    if (got == SMTP_TEXT_RUN)
        take(s, run);
    if (m->octets > smtp_config(s)->max_message_size + SMTP_OVERRUN_MAX) {
        smtp_bye(s, SMTP_REPLY_TOO_BIG);
        return SMTP_WAIT;
    }
    return SMTP_AGAIN;
}

/* The next octets of a chunk, or none. */
static struct slice take_left(struct session_smtp *s, struct slice in)
{
    size_t n = in.len < s->left ? in.len : (size_t)s->left;

    s->left -= n;
    note_pace(s, n);
    return slice_take(&s->conn.in, n);
}

/* A chunk with a flaw is refused at its end, and the transaction with it: what follows
 * meets 503 (RFC 3030, 2). */
static void end_chunk(struct session_smtp *s)
{
    struct smtp_message *m = s->message;
    enum smtp_reply reply;

    if (m->last) {
        smtp_text_chunk_end(&m->text);
        end_text(s);
        return;
    }
    reply = smtp_judge_text(s);
    if (reply == SMTP_REPLY_NONE) {
        smtp_expect_command(s);
        smtp_say(s, SMTP_REPLY_CHUNK_OK);
    } else if (smtp_is_lmtp(s)) {
        smtp_expect_command(s);
        fail_chunks(s, reply);
        smtp_refuse(s, reply);
    } else {
        smtp_conclude(s, reply);
    }
}

enum smtp_turn smtp_chunk_step(struct session_smtp *s)
{
    enum smtp_turn turn;
    struct slice bytes;

    if (s->left == 0) {
        end_chunk(s);
        return SMTP_AGAIN;
    }
    turn = pace(s);
    if (turn != SMTP_AGAIN)
        return turn;
    bytes = take_left(s, piece_of(s->conn.in));
    smtp_text_chunk(&s->message->text, bytes);
    take(s, bytes);
    return SMTP_AGAIN;
}
