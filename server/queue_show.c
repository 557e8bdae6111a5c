#include "server/queue_show.h"

#include <stdio.h>

#include "proto/smtp/smtp_trace.h"
#include "server/queue_control.h"

enum { LINE_RCPTS_MAX = 5 /* named in a line of `list` */ };
static const int64_t second_ns = 1000000000;

/* --- pieces for people -------------------------------------------------- */

/* Octets of the UTF-8 sequence at the front; 0: it is none. */
static size_t sequence(struct slice s)
{
    for (size_t n = 1; n <= 4 && n <= s.len; n++)
        if (slice_is_utf8(slice_of(s.at, n)))
            return n;
    return 0;
}

/* Of this character, of `n` octets, a terminal would make a command: C0 and C1. */
static bool is_control(struct slice s, size_t n)
{
    unsigned char c = (unsigned char)s.at[0];

    return n == 1 ? c < ' ' || c == 0x7f
                  : n == 2 && c == 0xc2 && (unsigned char)s.at[1] < 0xa0;
}

/* What peers wrote, without octets that a terminal would obey. */
static void put_clean(struct out *out, struct slice s)
{
    while (s.len > 0) {
        size_t n = sequence(s);

        if (n == 0 || is_control(s, n))
            out_byte(out, '?');
        else
            out_put(out, slice_of(s.at, n));
        slice_take(&s, n ? n : 1);
    }
}

static void put_span(struct out *out, int64_t seconds)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    unsigned i = 0;

    if (seconds < 0)
        seconds = 0;
    while (i < 3 && seconds < 2 * units[i].seconds)
        i++;
    out_u64(out, (uint64_t)(seconds / units[i].seconds));
    out_byte(out, units[i].letter);
}

static void put_size(struct out *out, uint64_t octets)
{
    static const char letters[] = " KMGT";
    unsigned i = 0;

    while (octets >= 10240 && letters[i + 1]) {
        octets /= 1024;
        i++;
    }
    out_u64(out, octets);
    if (i > 0)
        out_byte(out, letters[i]);
}

static void put_code(struct out *out, const struct queue_answer *a)
{
    char text[32];
    int n = a->code ? snprintf(text, sizeof text, "%u %u.%u.%u", a->code, a->status[0],
                          a->status[1], a->status[2])
                    : snprintf(text, sizeof text, "%u.%u.%u", a->status[0], a->status[1],
                          a->status[2]);

    out_put(out, slice_of(text, (size_t)n));
}

/* "450 4.2.1 busy (mx.example.org)" */
static void put_answer(struct out *out, const struct queue_answer *a)
{
    put_code(out, a);
    out_byte(out, ' ');
    put_clean(out, a->text);
    if (a->host.len > 0) {
        out_str(out, " (");
        put_clean(out, a->host);
        out_byte(out, ')');
    }
}

/* --- pieces for programs (RFC 8259) ------------------------------------- */

static void put_string(struct out *out, struct slice s)
{
    char code[8];

    out_byte(out, '"');
    while (s.len > 0) {
        size_t n = sequence(s);
        unsigned char c = (unsigned char)s.at[0];

        if (n == 0) {
            out_str(out, "\\ufffd");
            n = 1;
        } else if (c == '"' || c == '\\') {
            out_byte(out, '\\');
            out_byte(out, s.at[0]);
        } else if (is_control(s, n)) {
            snprintf(code, sizeof code, "\\u%04x", n == 1 ? c : (unsigned char)s.at[1]);
            out_str(out, code);
        } else {
            out_put(out, slice_of(s.at, n));
        }
        slice_take(&s, n);
    }
    out_byte(out, '"');
}

static void key(struct out *out, const char *name)
{
    if (out->len > 0 && out->at[out->len - 1] != '{')
        out_byte(out, ',');
    put_string(out, slice_str(name));
    out_byte(out, ':');
}

static void text_of(struct out *out, const char *name, struct slice value)
{
    key(out, name);
    put_string(out, value);
}

static void number_of(struct out *out, const char *name, int64_t value)
{
    key(out, name);
    if (value < 0)
        out_byte(out, '-');
    out_u64(out, (uint64_t)(value < 0 ? -value : value));
}

static void truth_of(struct out *out, const char *name, bool value)
{
    key(out, name);
    out_str(out, value ? "true" : "false");
}

static void time_of(struct out *out, const char *name, int64_t wall_s)
{
    key(out, name);
    out_byte(out, '"');
    smtp_put_utc(out, wall_s);
    out_byte(out, '"');
}

static void answer_of(struct out *out, const struct queue_answer *a)
{
    char status[16];

    key(out, "last_answer");
    if (!a) {
        out_str(out, "null");
        return;
    }
    snprintf(status, sizeof status, "%u.%u.%u", a->status[0], a->status[1], a->status[2]);
    out_byte(out, '{');
    number_of(out, "code", a->code);
    text_of(out, "status", slice_str(status));
    text_of(out, "host", a->host);
    text_of(out, "text", a->text);
    truth_of(out, "ours", a->ours);
    out_byte(out, '}');
}

/* --- what is known ------------------------------------------------------ */

static const struct queue_job *job_of(const struct queue_view *v, unsigned rcpt)
{
    const struct queue_entry *e = v->entry;

    for (const struct queue_job *job = e ? e->jobs : NULL; job; job = job->next)
        for (unsigned i = job->first; i != QUEUE_CHAIN_END; i = e->chain[i])
            if (i == rcpt)
                return job;
    return NULL;
}

/* Monotonic; 0: it is not a matter of time. */
static int64_t next_ns(const struct queue_job *job)
{
    if (job->state == JOB_WAITING)
        return job->timer.at_ns;
    return job->state == JOB_READY ? job->to->rest_ns : 0;
}

static const char *state_of(const struct queue_job *job)
{
    const struct destination *d = job->to;

    switch ((enum job_state)job->state) {
    case JOB_HELD:
        return "held";
    case JOB_SENDING:
        return "sending";
    case JOB_SETTLING:
        return "settling";
    case JOB_WAITING:
        return "waiting";
    case JOB_READY:
        break;
    }
    return d->rest_ns ? "resting" : d->waits_slot ? "waiting for a connection" : "ready";
}

/* The job that is tried next, of all or, where none is a matter of time, any. */
static const struct queue_job *first_job(const struct queue_entry *e)
{
    const struct queue_job *first = e ? e->jobs : NULL;

    for (const struct queue_job *job = first; job; job = job->next)
        if (next_ns(job) && (!next_ns(first) || next_ns(job) < next_ns(first)))
            first = job;
    return first;
}

static const struct queue_answer *last_of(
    const struct queue_view *v, const struct queue_job *job)
{
    const struct queue_answer *a = NULL;

    if (!job)
        return NULL;
    for (unsigned i = job->first; i != QUEUE_CHAIN_END && !a; i = v->entry->chain[i])
        a = v->state.rcpts[i].answer;
    return job->to->failures > 0 || !a ? job->to->last : a;
}

static unsigned pending(const struct queue_view *v)
{
    unsigned n = 0;

    for (unsigned i = 0; i < v->state.rcpt_count; i++)
        n += v->state.rcpts[i].fate == QUEUE_PENDING;
    return n;
}

/* Rounded up: 0 is only what is due. */
static int64_t seconds_until(const struct thread *t, int64_t at_ns)
{
    return at_ns > t->now_ns ? (at_ns - t->now_ns + second_ns - 1) / second_ns : 0;
}

static int64_t wait_s(const struct queue_view *v, const struct queue_job *job)
{
    int64_t at = job ? next_ns(job) : 0;

    return seconds_until(v->thread, at);
}

static struct slice sender_of(const struct queue_view *v)
{
    return v->envelope.sender.len > 0 ? v->envelope.sender : S("<>");
}

/* --- list --------------------------------------------------------------- */

static void line_rcpts(const struct queue_view *v, bool json, struct out *out)
{
    unsigned shown = 0, left = pending(v);

    for (unsigned i = 0; i < v->state.rcpt_count && shown < LINE_RCPTS_MAX; i++) {
        if (v->state.rcpts[i].fate != QUEUE_PENDING)
            continue;
        if (shown++)
            out_str(out, json ? "," : ", ");
        if (json)
            put_string(out, v->envelope.rcpts[i].address);
        else
            put_clean(out, v->envelope.rcpts[i].address);
    }
    if (!json && left > shown) {
        out_str(out, " and ");
        out_u64(out, left - shown);
        out_str(out, " more");
    }
}

static void line_json(const struct queue_view *v, const struct queue_job *job,
    const char *state, struct out *out)
{
    char id[QUEUE_ID_TEXT_MAX];
    struct out o = out_of(out->at + out->len, out->cap - out->len);

    out_byte(&o, '{');
    text_of(&o, "id", queue_id_text(v->stored.id, id));
    number_of(&o, "size", (int64_t)v->stored.size);
    text_of(&o, "state", slice_str(state));
    if (v->status == STATUS_OK) {
        text_of(&o, "log_id", v->envelope.log_id);
        number_of(&o, "age_s", v->thread->now_s - v->envelope.arrived_s);
        text_of(&o, "sender", v->envelope.sender);
        number_of(&o, "recipients_left", pending(v));
        key(&o, "recipients");
        out_byte(&o, '[');
        line_rcpts(v, true, &o);
        out_byte(&o, ']');
        number_of(&o, "next_try_s", wait_s(v, job));
        answer_of(&o, last_of(v, job));
    }
    out_byte(&o, '}');
    out->len += o.len;
    out->full |= o.full;
}

static void line_text(const struct queue_view *v, const struct queue_job *job,
    const char *state, struct out *out)
{
    const struct queue_answer *a = last_of(v, job);
    char id[QUEUE_ID_TEXT_MAX];

    out_put(out, queue_id_text(v->stored.id, id));
    out_str(out, "  ");
    put_span(out, v->thread->now_s - v->envelope.arrived_s);
    out_str(out, "  ");
    put_size(out, v->stored.size);
    out_str(out, "  ");
    put_clean(out, sender_of(v));
    out_str(out, " -> ");
    line_rcpts(v, false, out);
    out_str(out, "  ");
    out_str(out, state);
    if (wait_s(v, job) > 0) {
        out_str(out, ", next try in ");
        put_span(out, wait_s(v, job));
    }
    if (a) {
        out_str(out, "; ");
        put_answer(out, a);
    }
}

void queue_show_line(const struct queue_view *v, bool json, struct out *out)
{
    const struct queue_job *job = first_job(v->entry);
    const char *state = v->status != STATUS_OK ? "unreadable"
        : !v->entry                            ? "not read yet"
        : v->entry->dropped                    ? "dropping"
        : v->entry->held                       ? "held"
        : job                                  ? state_of(job)
                                               : "settling";

    out_str(out, "m ");
    if (json)
        line_json(v, job, state, out);
    else
        line_text(v, job, state, out);
    out_byte(out, '\n');
}

/* --- show --------------------------------------------------------------- */

static const char *notify_word(uint8_t notify)
{
    static const char *const words[] = {"default", "never", "success", "success?",
        "failure", "failure?", "success,failure", "?", "delay", "delay?", "success,delay",
        "?", "failure,delay", "?", "success,failure,delay", "?"};

    return words[notify & 15];
}

static void head_json(const struct queue_view *v, struct out *out)
{
    const struct envelope *e = &v->envelope;
    char id[QUEUE_ID_TEXT_MAX];
    struct out o = out_of(out->at + out->len, out->cap - out->len);

    out_byte(&o, '{');
    text_of(&o, "id", queue_id_text(v->stored.id, id));
    number_of(&o, "size", (int64_t)v->stored.size);
    text_of(&o, "log_id", e->log_id);
    time_of(&o, "arrived", e->arrived_s);
    text_of(&o, "sender", e->sender);
    text_of(&o, "user", e->user);
    text_of(&o, "envid", e->envid);
    text_of(&o, "return",
        e->ret == SMTP_RET_FULL       ? S("full")
            : e->ret == SMTP_RET_HDRS ? S("header")
                                      : S("default"));
    number_of(&o, "priority", e->priority);
    truth_of(&o, "report", e->notice);
    truth_of(&o, "require_tls", e->require_tls);
    truth_of(&o, "tls_optional", e->tls_optional);
    truth_of(&o, "smtputf8", e->utf8);
    if (e->hold_until_s)
        time_of(&o, "future_release", e->hold_until_s);
    if (e->by_s)
        time_of(&o, "deliver_by", e->by_s);
    if (v->entry && v->entry->expire_ns != INT64_MAX)
        time_of(&o, "given_up", queue_wall_of(v->thread, v->entry->expire_ns));
    truth_of(&o, "held", v->state.held);
    truth_of(&o, "delay_told", v->state.delay_told);
    number_of(&o, "unsure", v->state.unsure);
    out->len += o.len;
    out->full |= o.full;
}

static void field(struct out *out, const char *name)
{
    char text[32];

    snprintf(text, sizeof text, "m %-16s", name);
    out_str(out, text);
}

static void line_of(struct out *out, const char *name, struct slice value)
{
    if (value.len == 0)
        return;
    field(out, name);
    put_clean(out, value);
    out_byte(out, '\n');
}

static void time_line(struct out *out, const char *name, int64_t wall_s)
{
    if (wall_s == 0)
        return;
    field(out, name);
    smtp_put_utc(out, wall_s);
    out_byte(out, '\n');
}

static void head_text(const struct queue_view *v, struct out *out)
{
    const struct envelope *e = &v->envelope;
    char id[QUEUE_ID_TEXT_MAX];

    line_of(out, "message", queue_id_text(v->stored.id, id));
    line_of(out, "id in the log", e->log_id);
    field(out, "size");
    put_size(out, v->stored.size);
    out_byte(out, '\n');
    time_line(out, "arrived", e->arrived_s);
    line_of(out, "sender", sender_of(v));
    line_of(out, "user", e->user);
    line_of(out, "envelope id", e->envid);
    if (e->priority) {
        field(out, "priority");
        out_str(out, e->priority < 0 ? "-" : "");
        out_u64(out, (uint64_t)(e->priority < 0 ? -e->priority : e->priority));
        out_byte(out, '\n');
    }
    if (e->notice)
        line_of(out, "kind", S("a report made here"));
    if (e->require_tls)
        line_of(out, "TLS", S("required (REQUIRETLS)"));
    if (e->tls_optional)
        line_of(out, "TLS", S("not required (TLS-Required: No)"));
    time_line(out, "not before", e->hold_until_s);
    time_line(out, "deliver by", e->by_s);
    if (v->entry)
        time_line(out, "given up", queue_wall_of(v->thread, v->entry->expire_ns));
    if (v->state.held)
        line_of(out, "held", S("until `ringmail queue release`"));
    if (v->state.unsure) {
        field(out, "unsure");
        out_u64(out, v->state.unsure);
        out_str(out, " times the text went out whole and no answer came\n");
    }
}

void queue_show_head(const struct queue_view *v, bool json, struct out *out)
{
    if (!json) {
        head_text(v, out);
        return;
    }
    out_str(out, "m ");
    head_json(v, out);
    out_byte(out, '\n');
}

static void rcpt_json(
    const struct queue_view *v, unsigned i, const struct queue_job *job, struct out *out)
{
    const struct envelope_rcpt *rcpt = &v->envelope.rcpts[i];
    const struct queue_rcpt *r = &v->state.rcpts[i];
    struct out o = out_of(out->at + out->len, out->cap - out->len);

    out_byte(&o, '{');
    text_of(&o, "address", rcpt->address);
    text_of(&o, "orcpt", rcpt->orcpt);
    text_of(&o, "notify", slice_str(notify_word(rcpt->notify)));
    truth_of(&o, "forwarded", rcpt->forwarded);
    text_of(&o, "fate", slice_str(queue_fate_word(r->fate)));
    if (r->fate == QUEUE_PENDING) {
        text_of(&o, "destination", job ? destination_name(job->to) : S(""));
        text_of(&o, "state", slice_str(job ? state_of(job) : "not read yet"));
        number_of(&o, "attempts", r->attempts);
        number_of(&o, "next_try_s", wait_s(v, job));
        answer_of(&o, r->answer ? r->answer : last_of(v, job));
    }
    out_byte(&o, '}');
    out->len += o.len;
    out->full |= o.full;
}

static void rcpt_text(
    const struct queue_view *v, unsigned i, const struct queue_job *job, struct out *out)
{
    const struct queue_rcpt *r = &v->state.rcpts[i];
    const struct queue_answer *a = r->answer ? r->answer : last_of(v, job);

    put_clean(out, v->envelope.rcpts[i].address);
    out_str(out, "  ");
    if (r->fate != QUEUE_PENDING || !job) {
        out_str(out, queue_fate_word(r->fate));
        return;
    }
    out_str(out, "by ");
    put_clean(out, destination_name(job->to));
    out_str(out, ": ");
    out_str(out, state_of(job));
    if (r->attempts > 0) {
        out_str(out, ", attempts ");
        out_u64(out, r->attempts);
    }
    if (wait_s(v, job) > 0) {
        out_str(out, ", next try in ");
        put_span(out, wait_s(v, job));
    }
    if (a) {
        out_str(out, "; ");
        put_answer(out, a);
    }
}

void queue_show_rcpt(
    const struct queue_view *v, unsigned rcpt, bool json, struct out *out)
{
    const struct queue_job *job = job_of(v, rcpt);

    out_str(out, "r ");
    if (json)
        rcpt_json(v, rcpt, job, out);
    else
        rcpt_text(v, rcpt, job, out);
    out_byte(out, '\n');
}

/* --- why ---------------------------------------------------------------- */

/* What stands between a job and its hop, in words. */
static const char *limit_of(const struct queue_view *v, const struct queue_job *job)
{
    const struct destination *d = job->to;

    switch ((enum job_state)job->state) {
    case JOB_HELD:
        return "held by the operator: `ringmail queue release`";
    case JOB_SENDING:
        return "it is being sent now";
    case JOB_SETTLING:
        return "its outcome is being written";
    case JOB_WAITING:
        return v->envelope.hold_until_s > v->thread->now_s
            ? "its sender asked for a later release (FUTURERELEASE)"
            : "its last try failed for now: it waits for its next one";
    case JOB_READY:
        break;
    }
    if (d->rest_ns)
        return "the destination rests after failures";
    if (d->refused)
        return "the destination takes no mail: it is being returned";
    if (d->waits_slot)
        return "all connections to other servers are in use (--max-hops)";
    if (settlements_busy(d->queue))
        return "the disk is behind";
    return d->opening ? "a session is being opened" : "it waits for its turn";
}

static void job_json(const struct queue_view *v, const struct queue_job *job,
    const struct queue_answer *a, struct out *out)
{
    char id[QUEUE_ID_TEXT_MAX];
    struct out o = out_of(out->at + out->len, out->cap - out->len);

    out_byte(&o, '{');
    text_of(&o, "id", queue_id_text(v->stored.id, id));
    text_of(&o, "destination", destination_name(job->to));
    number_of(&o, "recipients", job->count);
    number_of(&o, "attempts", job->attempts);
    text_of(&o, "state", slice_str(state_of(job)));
    text_of(&o, "limit", slice_str(limit_of(v, job)));
    number_of(&o, "next_try_s", wait_s(v, job));
    number_of(&o, "destination_failures", job->to->failures);
    answer_of(&o, a);
    out_byte(&o, '}');
    out->len += o.len;
    out->full |= o.full;
}

static void job_text(const struct queue_view *v, const struct queue_job *job,
    const struct queue_answer *a, struct out *out)
{
    put_clean(out, destination_name(job->to));
    out_str(out, ": ");
    out_u64(out, job->count);
    out_str(out, job->count == 1 ? " recipient; " : " recipients; ");
    out_str(out, limit_of(v, job));
    if (wait_s(v, job) > 0) {
        out_str(out, "; next try in ");
        put_span(out, wait_s(v, job));
    }
    if (a) {
        out_str(out, "; last answer: ");
        put_answer(out, a);
    }
}

void queue_show_job(
    const struct queue_view *v, const struct queue_job *job, bool json, struct out *out)
{
    const struct queue_answer *a = last_of(v, job);

    out_str(out, "w ");
    if (json)
        job_json(v, job, a, out);
    else
        job_text(v, job, a, out);
    out_byte(out, '\n');
}

static int64_t rest_s(const struct destination *d)
{
    return seconds_until(d->queue->thread, d->rest_ns);
}

static void destination_json(
    const struct destination *d, const struct permit_facts *f, struct out *out)
{
    static const char *const needs[TLS_NEEDS] = {[TLS_USUAL] = "usual",
        [TLS_REQUIRED] = "required",
        [TLS_PREFERRED] = "preferred",
        [TLS_OPTIONAL] = "optional"};
    const struct thread *t = d->queue->thread;
    struct out o = out_of(out->at + out->len, out->cap - out->len);

    out_byte(&o, '{');
    text_of(&o, "destination", destination_name(d));
    text_of(&o, "tls", slice_str(needs[d->tls]));
    number_of(&o, "thread", t->index);
    number_of(&o, "jobs", d->jobs);
    number_of(&o, "ready", d->ready_count);
    number_of(&o, "sessions", d->session_count);
    number_of(&o, "sessions_allowed", d->window);
    number_of(&o, "failures", d->failures);
    number_of(&o, "rests_s", rest_s(d));
    truth_of(&o, "refused", d->refused);
    truth_of(&o, "waits_for_connection", d->waits_slot);
    number_of(&o, "permits_taken", f->taken);
    number_of(&o, "permits_waiting", f->waiting);
    number_of(&o, "rate_s", seconds_until(t, f->next_ns));
    if (d->last)
        time_of(&o, "failed", d->last_s);
    answer_of(&o, d->last);
    out_byte(&o, '}');
    out->len += o.len;
    out->full |= o.full;
}

static void put_limits(
    const struct destination *d, const struct permit_facts *f, struct out *out)
{
    const struct config *c = d->queue->thread->config;

    if (rest_s(d) > 0) {
        out_str(out, "; rests for ");
        put_span(out, rest_s(d));
        out_str(out, " after ");
        out_u64(out, d->failures);
        out_str(out, d->failures == 1 ? " failure" : " failures");
    }
    if (d->refused)
        out_str(out, "; takes no mail: all is returned");
    if (d->waits_slot)
        out_str(out, "; waits for a connection (--max-hops)");
    if (f->taken >= c->destination_sessions)
        out_str(out, "; all its sessions are taken (--destination-sessions)");
    if (f->next_ns > d->queue->thread->now_ns)
        out_str(out, "; held back by --destination-rate");
}

static void destination_text(
    const struct destination *d, const struct permit_facts *f, struct out *out)
{
    static const char *const needs[TLS_NEEDS] = {[TLS_USUAL] = "",
        [TLS_REQUIRED] = "with REQUIRETLS ",
        [TLS_PREFERRED] = "with REQUIRETLS if there is ",
        [TLS_OPTIONAL] = "without need of TLS "};

    put_clean(out, destination_name(d));
    out_byte(out, ' ');
    out_str(out, needs[d->tls]);
    out_str(out, "(thread ");
    out_u64(out, d->queue->thread->index);
    out_str(out, "): ");
    out_u64(out, d->jobs);
    out_str(out, d->jobs == 1 ? " message, " : " messages, ");
    out_u64(out, d->ready_count);
    out_str(out, " ready; sessions ");
    out_u64(out, d->session_count);
    out_str(out, " here, ");
    out_u64(out, f->taken);
    out_str(out, " in all");
    put_limits(d, f, out);
    if (d->last) {
        out_str(out, "; last failure: ");
        put_answer(out, d->last);
        out_str(out, " at ");
        smtp_put_utc(out, d->last_s);
    }
}

void queue_show_destination(const struct destination *d, const struct permit_facts *facts,
    bool json, struct out *out)
{
    out_str(out, "w ");
    if (json)
        destination_json(d, facts, out);
    else
        destination_text(d, facts, out);
    out_byte(out, '\n');
}
