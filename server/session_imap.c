#include "server/session_imap.h"

#include <stdlib.h>

#include "proto/sasl/sasl.h"
#include "server/config_limits.h"
#include "server/log.h"
#include "server/session_imap_work.h"

static imap_step_fn *const steps[] = {
    [IMAP_CAPABILITY] = imap_step_capability,
    [IMAP_NOOP] = imap_step_noop,
    [IMAP_LOGOUT] = imap_step_logout,
    [IMAP_ID] = imap_step_id,
    [IMAP_STARTTLS] = imap_step_starttls,
    [IMAP_AUTHENTICATE] = imap_step_authenticate,
    [IMAP_LOGIN] = imap_step_login,
    [IMAP_ENABLE] = imap_step_enable,
    [IMAP_SELECT] = imap_step_select,
    [IMAP_EXAMINE] = imap_step_select,
    [IMAP_CREATE] = imap_step_names,
    [IMAP_DELETE] = imap_step_names,
    [IMAP_RENAME] = imap_step_names,
    [IMAP_SUBSCRIBE] = imap_step_names,
    [IMAP_UNSUBSCRIBE] = imap_step_names,
    [IMAP_LIST] = imap_step_list,
    [IMAP_LSUB] = imap_step_list,
    [IMAP_NAMESPACE] = imap_step_namespace,
    [IMAP_STATUS] = imap_step_status,
    [IMAP_APPEND] = imap_step_append,
    [IMAP_IDLE] = imap_step_idle,
    [IMAP_CHECK] = imap_step_noop,
    [IMAP_CLOSE] = imap_step_close,
    [IMAP_UNSELECT] = imap_step_unselect,
    [IMAP_EXPUNGE] = imap_step_expunge,
    [IMAP_SEARCH] = imap_step_search,
    [IMAP_FETCH] = imap_step_fetch,
    [IMAP_STORE] = imap_step_store,
    [IMAP_COPY] = imap_step_copy,
    [IMAP_MOVE] = imap_step_copy,
};
static_assert(sizeof steps / sizeof *steps == IMAP_VERB_COUNT, "a step for each verb");

/* --- room for a command ------------------------------------------------------- */

bool imap_work_begin(struct session_imap *s)
{
    CHECK(!s->work);
    s->work = calloc(1, sizeof *s->work);
    if (!s->work) {
        conn_abort(&s->conn);
        return false;
    }
    s->work->arena = arena_of(IMAP_WORK_BYTES);
    return true;
}

static void drop_cursor(struct session_imap *s)
{
    struct imap_work *w = s->work;
    void (*drop)(struct session_imap *) = w->drop;

    w->drop = NULL;
    if (drop)
        drop(s);
}

void imap_work_end(struct session_imap *s)
{
    if (!s->work)
        return;
    CHECK(s->work->pending == 0);
    drop_cursor(s);
    arena_reset(&s->work->arena);
    free(s->work);
    s->work = NULL;
}

/* Ready for the next command, which may be here in part; the collector goes on. */
static void work_next(struct imap_work *w)
{
    arena_reset(&w->arena);
    *w = (struct imap_work){
        .collect = w->collect, .skipping = w->skipping, .arena = w->arena};
}

void *imap_cursor(struct session_imap *s, size_t bytes)
{
    struct imap_work *w = s->work;

    w->cursor = arena_zero(&w->arena, bytes);
    if (!w->cursor)
        imap_no(s, S("[LIMIT]"), S("Out of memory"));
    return w->cursor;
}

struct imap_limits imap_limits(const struct session_imap *s)
{
    const struct config *config = s->conn.thread->config;
    struct imap_limits limits =
        imap_limits_of(s->state != IMAP_STATE_START, config->max_message_size);

    if (s->state == IMAP_STATE_START) {
        limits.line_max = (uint32_t)config->max_imap_command_login;
        limits.literal_max = (uint32_t)config->max_imap_literal_login;
    } else {
        limits.line_max = (uint32_t)config->max_imap_command;
        limits.literal_max = (uint32_t)config->max_imap_literal;
    }
    return limits;
}

size_t imap_input_room(const struct session_imap *s)
{
    struct imap_limits limits = imap_limits(s);
    size_t room = (size_t)limits.line_max + limits.literal_max;

    /* One octet too many must be seen to be refused. */
    return (room < SASL_LINE_MAX ? SASL_LINE_MAX : room) + 1;
}

void imap_rest(struct session_imap *s)
{
    const struct config *config = s->conn.thread->config;
    bool login = s->state == IMAP_STATE_START;

    conn_deadline(
        &s->conn, (unsigned)(login ? config->login_timeout : config->idle_timeout));
}

/* --- what is owed -------------------------------------------------------------- */

static void release(struct session_imap *s);

void imap_owe(struct session_imap *s)
{
    s->work->pending++;
}

void imap_landed(struct session_imap *s)
{
    CHECK(s->work && s->work->pending);
    s->work->pending--;
    if (!s->gone)
        conn_wake(&s->conn);
    else if (s->work->pending == 0)
        release(s);
}

static void on_request(struct store_op *op, enum status status)
{
    struct imap_request *r = container_of(op, struct imap_request, op);

    r->status = status;
    imap_landed(r->session);
}

void imap_ask(struct session_imap *s, struct imap_request *r)
{
    r->session = s;
    r->op.done = on_request;
    imap_owe(s);
}

bool imap_body_next(struct session_imap *s, struct imap_request *r)
{
    r->session = s;
    r->status = STATUS_OK;
    if (body_next(&r->body, on_request))
        return true;
    imap_owe(s);
    return false;
}

bool imap_summary_get(
    struct session_imap *s, struct imap_request *r, const struct entry *entry)
{
    r->session = s;
    r->status = STATUS_OK;
    if (summary_get(s->view.mailbox, &r->summary, entry, on_request))
        return true;
    imap_owe(s);
    return false;
}

/* --- a command from its first octet to its reply ------------------------------- */

void imap_count_error(struct session_imap *s)
{
    const struct config *config = s->conn.thread->config;
    uint64_t max = s->state == IMAP_STATE_START ? config->max_imap_errors_login
                                                : config->max_imap_errors;

    if (s->errors < UINT8_MAX)
        s->errors++;
    if (s->errors >= max || s->errors == UINT8_MAX)
        imap_bye(s, S("Too many errors"));
}

static enum turn refuse(struct session_imap *s, struct slice tag, enum imap_error error)
{
    imap_put_error(&s->conn.out, tag, error);
    if (slice_eq(imap_error_reply(error)->answer, S("BAD")))
        imap_count_error(s);
    return TURN_AGAIN;
}

/* RFC 3501, 6.3.1: a SELECT that fails leaves no mailbox selected, and a name that can't
 * be is a failure like any other. */
static void select_failed(struct session_imap *s, enum imap_error error)
{
    enum imap_verb verb = s->work->cmd.verb;

    if (error == IMAP_ERROR_NAME && (verb == IMAP_SELECT || verb == IMAP_EXAMINE))
        imap_deselect(s);
}

/* A whole command is at the front of the input. */
static enum turn begin(struct session_imap *s, bool append)
{
    struct imap_work *w = s->work;
    struct slice command = slice_take(&s->conn.in, w->collect.bytes);
    enum imap_error error = IMAP_ERROR_LIMIT;
    struct imap_limits limits = imap_limits(s);
    struct imap_parse_limits parts = config_imap_limits(s->conn.thread->config);

    s->commands++;
    w->since_ns = s->conn.thread->now_ns;
    w->skipping = false;
    w->timed = false;
    w->command = arena_copy(&w->arena, command);
    if (w->command.at)
        error = imap_parse(w->command, s->state, &parts, &w->arena, &w->cmd);
    if (error == IMAP_ERROR_NONE) {
        w->step = steps[w->cmd.verb];
        w->phase = IMAP_PHASE_RUN;
        imap_rest(s);
        return TURN_AGAIN;
    }
    if (append) {
        imap_collect_refuse(&w->collect, &limits);
        w->skipping = true;
    }
    select_failed(s, error);
    refuse(s, w->cmd.tag, error);
    work_next(w);
    return TURN_AGAIN;
}

/* More input is needed. Between commands nothing is kept. */
static enum turn starve(struct session_imap *s)
{
    struct imap_work *w = s->work;

    if (s->conn.eof) {
        conn_close(&s->conn);
        return TURN_WAIT;
    }
    if (s->conn.in.len == 0 && !w->skipping) {
        imap_work_end(s);
    } else if (!w->timed) {
        w->timed = true;
        if (s->state != IMAP_STATE_START)
            conn_deadline(&s->conn, IMAP_COMMAND_S);
    }
    return TURN_WAIT;
}

static enum turn collect(struct session_imap *s)
{
    struct imap_work *w = s->work;
    struct conn *c = &s->conn;
    struct imap_limits limits = imap_limits(s);

    if (imap_spent(s, IMAP_UNITS_COMMAND))
        return TURN_YIELD;
    if (c->in.len == 0)
        return starve(s);
    switch (imap_collect(&w->collect, c->in, &limits)) {
    case IMAP_COLLECT_MORE:
        return starve(s);
    case IMAP_COLLECT_CONTINUE:
        out_put(&c->out, S("+ OK\r\n"));
        return TURN_AGAIN;
    case IMAP_COLLECT_COMMAND:
        return begin(s, false);
    case IMAP_COLLECT_APPEND:
        return begin(s, true);
    case IMAP_COLLECT_REFUSED:
        w->skipping = true;
        refuse(s, imap_collect_tag(&w->collect, c->in), w->collect.error);
        slice_take(&c->in, w->collect.bytes);
        return TURN_AGAIN;
    case IMAP_COLLECT_SKIP:
        slice_take(&c->in, w->collect.bytes);
        return TURN_AGAIN;
    case IMAP_COLLECT_CLOSE:
    case IMAP_COLLECT_LINE:
        imap_bye(s, S("Command too long"));
        return TURN_WAIT;
    }
    CHECK(false);
    return TURN_WAIT;
}

/* RFC 3501, 7.4.1: sequence numbers may not move under these commands; nor under a code
 * that is still to be written from them. */
static bool may_expunge(const struct imap_work *w)
{
    enum imap_verb verb = w->cmd.verb;

    if (w->code)
        return false;
    return w->cmd.uid ||
        (verb != IMAP_FETCH && verb != IMAP_STORE && verb != IMAP_SEARCH);
}

static void put_tagged(struct session_imap *s)
{
    struct imap_work *w = s->work;
    struct out *out = &s->conn.out;
    struct imap_reply *r = &w->reply;

    if (r->text.len) {
        imap_put_status(out, w->cmd.tag, r->answer, r->code, r->text);
        return;
    }
    imap_put_tag_answer(s);
    if (r->code.len) {
        out_put(out, r->code);
        out_byte(out, ' ');
    }
    imap_put_completed(s);
}

/* As what a command counts. */
static enum thread_times times_of(enum imap_verb verb)
{
    static const uint8_t times[IMAP_VERB_COUNT] = {
        [IMAP_LOGIN] = TIMES_imap_login,
        [IMAP_AUTHENTICATE] = TIMES_imap_login,
        [IMAP_SELECT] = TIMES_imap_select,
        [IMAP_EXAMINE] = TIMES_imap_select,
        [IMAP_LIST] = TIMES_imap_list,
        [IMAP_LSUB] = TIMES_imap_list,
        [IMAP_STATUS] = TIMES_imap_status,
        [IMAP_APPEND] = TIMES_imap_append,
        [IMAP_CLOSE] = TIMES_imap_expunge,
        [IMAP_EXPUNGE] = TIMES_imap_expunge,
        [IMAP_SEARCH] = TIMES_imap_search,
        [IMAP_FETCH] = TIMES_imap_fetch,
        [IMAP_STORE] = TIMES_imap_store,
        [IMAP_COPY] = TIMES_imap_copy,
        [IMAP_MOVE] = TIMES_imap_copy,
    };

    return times[verb] ? times[verb] : TIMES_imap_other;
}

static void finish(struct session_imap *s)
{
    bool bad = slice_eq(s->work->reply.answer, S("BAD"));

    if (slice_eq(s->work->reply.answer, S("OK"))) {
        stats_end(&s->conn.thread->stats, times_of(s->work->cmd.verb), s->work->since_ns);
        if (s->state != IMAP_STATE_START)
            s->errors = 0;
    }
    work_next(s->work);
    imap_rest(s);
    if (bad)
        imap_count_error(s);
}

static enum turn tell(struct session_imap *s)
{
    struct imap_work *w = s->work;
    enum turn turn = imap_tell(s, may_expunge(w), w->cmd.uid);

    if (turn != TURN_DONE)
        return turn;
    if (w->code) {
        imap_put_tag_answer(s);
        w->phase = IMAP_PHASE_CODE;
        return TURN_AGAIN;
    }
    put_tagged(s);
    finish(s);
    return TURN_AGAIN;
}

static enum turn code(struct session_imap *s)
{
    enum turn turn = s->work->code(s);

    if (turn != TURN_DONE)
        return turn;
    out_byte(&s->conn.out, ' ');
    imap_put_completed(s);
    finish(s);
    return TURN_AGAIN;
}

static enum turn step(struct session_imap *s)
{
    enum turn turn = s->work->step(s);

    if (turn != TURN_DONE || s->conn.closing)
        return turn == TURN_DONE ? TURN_WAIT : turn;
    drop_cursor(s);
    s->work->phase = IMAP_PHASE_NEWS;
    return TURN_AGAIN;
}

/* --- the session ---------------------------------------------------------------- */

static bool at_rest(const struct session_imap *s)
{
    return !s->work || (s->work->phase == IMAP_PHASE_COLLECT && !s->work->pending);
}

static enum turn advance(struct session_imap *s)
{
    if ((s->ended || s->stopping) && at_rest(s)) {
        imap_bye(
            s, s->stopping ? S("Server is stopping") : S("Your account has changed"));
        return TURN_WAIT;
    }
    if (s->idle)
        return imap_idle_run(s);
    if (!s->work) {
        if (s->conn.in.len == 0 && s->conn.eof)
            conn_close(&s->conn);
        return s->conn.in.len && imap_work_begin(s) ? TURN_AGAIN : TURN_WAIT;
    }
    switch (s->work->phase) {
    case IMAP_PHASE_COLLECT:
        return collect(s);
    case IMAP_PHASE_RUN:
        return step(s);
    case IMAP_PHASE_NEWS:
        return tell(s);
    case IMAP_PHASE_CODE:
        return code(s);
    }
    CHECK(false);
    return TURN_WAIT;
}

bool imap_goes_on(struct session_imap *s)
{
    if (!thread_has_time(s->conn.thread))
        return false;
    s->units = IMAP_LOOK_UNITS;
    return true;
}

static void session_run(struct conn *c)
{
    struct session_imap *s = imap_of(c);
    enum turn turn = TURN_AGAIN;

    s->units = IMAP_LOOK_UNITS;
    while (turn == TURN_AGAIN && !c->closing)
        turn = conn_congested(c) ? TURN_WAIT : advance(s);
    if (turn == TURN_YIELD && !c->closing)
        conn_wake(c);
}

static void session_open(struct conn *c)
{
    struct session_imap *s = imap_of(c);

    imap_rest(s);
    conn_input_limit(c, imap_input_room(s));
    out_put(&c->out, S("* OK [CAPABILITY "));
    imap_put_capabilities(s, &c->out);
    out_put(&c->out, S("] "));
    out_str(&c->out, c->thread->config->hostname);
    out_put(&c->out, S(" ready\r\n"));
}

/* Silence of the client ends the session; ours, in a long command, does not. */
static void session_timeout(struct conn *c)
{
    struct session_imap *s = imap_of(c);

    if (!at_rest(s) && !s->work->timed)
        imap_rest(s);
    else
        imap_bye(s, S("Autologout after silence"));
}

static void session_stop(struct conn *c)
{
    imap_of(c)->stopping = true;
    conn_wake(c);
}

void imap_deselect(struct session_imap *s)
{
    struct mailbox *mailbox = s->view.mailbox;

    if (!mailbox)
        return;
    view_close(&s->view);
    mailbox_close(mailbox);
    s->view.mailbox = NULL;
    s->state = IMAP_STATE_USER;
}

static void log_end(const struct session_imap *s)
{
    struct event e;

    if (!s->name || !event_begin(&e, LEVEL_INFO, "imap-end"))
        return;
    event_text(&e, "user", slice_str(s->name));
    event_number(&e, "session", s->conn.id);
    event_number(&e, "commands", s->commands);
    if (s->conn.error)
        event_number(&e, "errno", (uint64_t)s->conn.error);
    event_end(&e);
}

static void release(struct session_imap *s)
{
    log_end(s);
    imap_work_end(s);
    imap_idle_end(s);
    imap_deselect(s);
    if (s->user)
        user_close(s->user);
    login_end(&s->login, s->conn.thread);
    free(s->name);
    conn_free(&s->conn);
}

static void session_closed(struct conn *c)
{
    struct session_imap *s = imap_of(c);

    s->gone = true;
    if (!s->work || s->work->pending == 0)
        release(s);
}

const struct session_calls session_imap_calls = {
    .session_bytes = sizeof(struct session_imap),
    .open = session_open,
    .run = session_run,
    .timeout = session_timeout,
    .stop = session_stop,
    .closed = session_closed,
    .refusal = SI("* BYE [UNAVAILABLE] Too many connections\r\n"),
};
