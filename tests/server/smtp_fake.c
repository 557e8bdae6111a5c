#include "tests/server/smtp_fake.h"

#include <stdlib.h>

#include "server/accounts.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/delivery.h"
#include "server/forward.h"
#include "server/log.h"
#include "server/queue.h"
#include "server/session_smtp.h"

const struct session_calls *const fake_calls = &session_smtp_calls;
struct fake_smtp fake_smtp;

struct delivery {
    struct fake_message message;
    size_t cap, since_busy;
    bool busy, committed, done, queued, each;
    unsigned count;
    void (*wake)(void *arg);
    void *arg;
};

static struct delivery *under_way[FAKE_SESSIONS_MAX];

/* Each look finds a slice used up. */
int64_t clock_monotonic_ns(void)
{
    static int64_t now;

    return now += 1000000;
}

/* --- delivery.h ------------------------------------------------------------------ */

struct delivery *delivery_begin(struct thread *t, const struct delivery_conf *conf,
    void (*wake)(void *arg), void *arg)
{
    struct delivery *d = fake_smtp.no_memory ? NULL : calloc(1, sizeof *d);
    struct out out;

    (void)t;
    CHECK(conf->count > 0 || conf->queued);
    if (!d)
        return NULL;
    d->queued = conf->queued;
    d->each = conf->each;
    d->count = conf->count;
    out = out_of(d->message.users, sizeof d->message.users - 1);
    for (unsigned i = 0; i < conf->count; i++) {
        out_put(&out, conf->users[i]);
        out_byte(&out, ' ');
    }
    d->wake = wake;
    d->arg = arg;
    for (unsigned i = 0; i < FAKE_SESSIONS_MAX; i++)
        if (!under_way[i]) {
            under_way[i] = d;
            fake_smtp.deliveries++;
            return d;
        }
    abort();
}

void delivery_add(struct delivery *d, struct slice bytes)
{
    struct fake_message *m = &d->message;

    CHECK(!d->committed);
    while (d->cap - m->len < bytes.len) {
        d->cap = d->cap ? 2 * d->cap : 256;
        m->bytes = realloc(m->bytes, d->cap);
    }
    if (bytes.len)
        memcpy(m->bytes + m->len, bytes.at, bytes.len);
    m->len += bytes.len;
    d->since_busy += bytes.len;
    if (fake_smtp.busy_every && d->since_busy >= fake_smtp.busy_every) {
        d->since_busy = 0;
        d->busy = true;
    }
}

bool delivery_busy(const struct delivery *d)
{
    return d->busy;
}

uint64_t delivery_size(const struct delivery *d)
{
    return d->message.len;
}

bool delivery_front(struct delivery *d, struct slice fields)
{
    struct fake_message *m = &d->message;

    CHECK(!d->committed);
    m->bytes = realloc(m->bytes, m->len + fields.len);
    d->cap = m->len + fields.len;
    memmove(m->bytes + fields.len, m->bytes, m->len);
    memcpy(m->bytes, fields.at, fields.len);
    m->len += fields.len;
    return true;
}

/* What the message is as it goes out: its places are those of the envelope. */
static void check_places(const struct fake_message *m, const struct envelope *e)
{
    struct slice text = slice_of(m->bytes, m->len);

    CHECK(e->text_at < m->len && e->header_bytes <= m->len - e->text_at);
    CHECK(slice_starts_nocase(
        slice_of(text.at + e->text_at, text.len - e->text_at), S("Received: from")));
    CHECK(e->text_at + e->header_bytes == m->len ||
        memcmp(m->bytes + e->text_at + e->header_bytes - 4, "\r\n\r\n", 4) == 0 ||
        m->bytes[e->text_at + e->header_bytes - 1] == '\n');
}

static void put_number(struct out *out, const char *name, int64_t n)
{
    if (n == 0)
        return;
    out_str(out, name);
    out_str(out, n < 0 ? "-" : "");
    out_u64(out, (uint64_t)(n < 0 ? -n : n));
}

static void put_text(struct out *out, const char *name, struct slice text)
{
    if (text.len == 0)
        return;
    out_str(out, name);
    out_put(out, text);
}

/* "address notify=n orcpt=... fwd < sender ..." with what is not zero. */
static void put_envelope(
    struct out *out, const struct envelope *e, const struct envelope_rcpt *r)
{
    out_put(out, r->address);
    put_number(out, " notify=", r->notify);
    put_text(out, " orcpt=", r->orcpt);
    out_str(out, r->forwarded ? " fwd" : "");
    out_str(out, " < ");
    out_put(out, e->sender);
    put_text(out, " envid=", e->envid);
    put_text(out, " auth=", e->auth);
    put_text(out, " user=", e->user);
    put_number(out, " ret=", e->ret);
    put_number(out, " body=", e->body);
    out_str(out, e->utf8 ? " utf8" : "");
    out_str(out, e->utf8_header ? " 8header" : "");
    out_str(out, e->text_8bit ? " 8text" : "");
    out_str(out, e->require_tls ? " tls" : "");
    out_str(out, e->tls_optional ? " notls" : "");
    put_number(out, " priority=", e->priority);
    put_number(out, " hold=", e->hold_until_s);
    if (e->hold.len)
        out_byte(out, ':'), out_put(out, e->hold);
    put_number(out, " by=", e->by_s);
    out_str(out, e->by_notify ? "N" : "");
    out_str(out, e->by_trace ? "T" : "");
    out_byte(out, '\n');
}

void delivery_commit(struct delivery *d, const struct envelope *envelopes, unsigned count)
{
    struct fake_message *m = &d->message;
    struct out out = out_of(m->envelopes, sizeof m->envelopes - 1);

    CHECK(!d->committed && d->queued == (count > 0));
    d->committed = true;
    for (unsigned i = 0; i < count; i++) {
        CHECK(envelopes[i].rcpt_count > 0);
        fake_smtp.envelopes++;
        fake_smtp.queued += envelopes[i].rcpt_count;
        CHECK(envelopes[i].rcpt_count <= ENVELOPE_RCPTS_MAX);
        check_places(m, &envelopes[i]);
        for (unsigned k = 0; k < envelopes[i].rcpt_count; k++)
            put_envelope(&out, &envelopes[i], &envelopes[i].rcpts[k]);
    }
}

enum status delivery_user_status(const struct delivery *d, unsigned i)
{
    CHECK(d->done && d->each && i < d->count);
    return fake_smtp.status != STATUS_OK ? fake_smtp.status
                                         : fake_smtp.user_status[i % 8];
}

bool delivery_done(const struct delivery *d, enum status *status)
{
    *status = fake_smtp.status;
    return d->done;
}

void delivery_free(struct delivery *d)
{
    if (!d)
        return;
    for (unsigned i = 0; i < FAKE_SESSIONS_MAX; i++)
        if (under_way[i] == d)
            under_way[i] = NULL;
    fake_smtp.deliveries--;
    free(d->message.bytes);
    free(d);
}

/* --- what lands --- */

static bool land(struct delivery *d)
{
    if (d->busy) {
        d->busy = false;
        d->wake(d->arg);
        return true;
    }
    if (!d->committed || d->done || fake_smtp.held)
        return false;
    d->done = true;
    if (fake_smtp.status == STATUS_OK) {
        struct fake_message *kept = &fake_smtp.messages[fake_smtp.count++];

        CHECK(fake_smtp.count <= FAKE_MESSAGES_MAX);
        *kept = d->message;
        kept->bytes = malloc(kept->len + 1);
        memcpy(kept->bytes, d->message.bytes, kept->len);
    }
    d->wake(d->arg);
    return true;
}

/* --- policy.h, queue.h, forward.h ------------------------------------------------ */

struct policy {
    void (*wake)(void *arg);
    void *arg;
    enum policy_step step;
    enum policy_answer answer;
    bool in_message;
};

static struct policy *chains[FAKE_SESSIONS_MAX];

struct policy *policy_open(struct conn *c, void (*wake)(void *arg), void *arg)
{
    struct policy *p = calloc(1, sizeof *p);

    (void)c;
    p->wake = wake;
    p->arg = arg;
    for (unsigned i = 0; i < FAKE_SESSIONS_MAX; i++)
        if (!chains[i]) {
            chains[i] = p;
            fake_smtp.chains++;
            return p;
        }
    abort();
}

void policy_close(struct policy *p)
{
    for (unsigned i = 0; i < FAKE_SESSIONS_MAX; i++)
        if (p && chains[i] == p) {
            chains[i] = NULL;
            fake_smtp.chains--;
        }
    free(p);
}

static enum policy_answer answer_of(enum policy_step step)
{
    return fake_smtp.refusal[step] ? POLICY_REFUSE : POLICY_PASS;
}

/* What is named must be there: a look at each octet. */
static void read_facts(const struct policy_facts *f)
{
    uint64_t sum = slice_hash(f->helo, 0) + slice_hash(f->user, 0);

    if (f->sender)
        sum += slice_hash(f->sender->text, 0) + slice_hash(f->sender->domain, 0);
    if (f->rcpt)
        sum += slice_hash(f->rcpt->text, 0) + slice_hash(f->rcpt->local, 0);
    CHECK(sum != 1);
}

bool policy_asks(const struct policy *p, enum policy_step step)
{
    CHECK(p->answer != POLICY_PENDING && step <= POLICY_END);
    return true;
}

enum policy_answer policy_ask(
    struct policy *p, enum policy_step step, const struct policy_facts *facts)
{
    CHECK(p->answer != POLICY_PENDING);
    CHECK((step == POLICY_RCPT) == (facts->rcpt != NULL));
    CHECK(step == POLICY_HELO || (step >= POLICY_MAIL) == p->in_message);
    read_facts(facts);
    fake_smtp.asked[step]++;
    fake_smtp.facts = *facts;
    p->step = step;
    p->answer = fake_smtp.later[step] ? POLICY_PENDING : answer_of(step);
    return p->answer;
}

enum policy_answer policy_result(struct policy *p)
{
    return p->answer;
}

struct slice policy_reply(const struct policy *p)
{
    CHECK(p->answer == POLICY_REFUSE);
    return slice_str(fake_smtp.refusal[p->step]);
}

void policy_begin(struct policy *p)
{
    policy_reset(p);
    p->in_message = true;
}

void policy_text(struct policy *p, struct slice bytes)
{
    CHECK(p->in_message);
    fake_smtp.seen += bytes.len;
}

void policy_reset(struct policy *p)
{
    if (p->answer == POLICY_PENDING)
        p->answer = POLICY_PASS;
    p->in_message = false;
}

struct slice policy_fields(const struct policy *p)
{
    CHECK(p->step == POLICY_END && p->answer == POLICY_PASS);
    return fake_smtp.fields ? slice_str(fake_smtp.fields) : S("");
}

unsigned policy_error_delay(struct policy *p)
{
    (void)p;
    return fake_smtp.error_delay;
}

static bool land_policy(void)
{
    for (unsigned i = 0; i < FAKE_SESSIONS_MAX; i++)
        if (chains[i] && chains[i]->answer == POLICY_PENDING && !fake_smtp.held) {
            read_facts(&fake_smtp.facts);
            chains[i]->answer = answer_of(chains[i]->step);
            chains[i]->wake(chains[i]->arg);
            return true;
        }
    return false;
}

bool queue_has_room(const struct thread *t)
{
    (void)t;
    return !fake_smtp.queue_full;
}

enum route_result forward_route(const struct accounts *a, const struct smtp_path *rcpt,
    const struct smtp_path *sender, int64_t now_s, struct route *route)
{
    (void)sender, (void)now_s;
    return route_resolve(a, rcpt, route);
}

/* --- timers ---------------------------------------------------------------------- */

static struct timer *timer_under_way;

void timer_set(
    struct thread *t, struct timer *timer, int64_t at_ns, void (*due)(struct timer *))
{
    CHECK(!timer_under_way && at_ns > t->now_ns);
    timer->due = due;
    timer_under_way = timer;
}

void timer_clear(struct timer *timer)
{
    if (timer_under_way == timer)
        timer_under_way = NULL;
}

static bool land_timer(void)
{
    struct timer *timer = timer_under_way;

    if (!timer || fake_smtp.held)
        return false;
    timer_under_way = NULL;
    timer->due(timer);
    return true;
}

/* --- calls ----------------------------------------------------------------------- */

static struct call *calls[FAKE_SESSIONS_MAX];
static unsigned call_count;

bool fake_store_land(void)
{
    if (land_policy() || land_timer())
        return true;
    if (call_count) {
        struct call *call = calls[--call_count];

        if (call->answered)
            call->done(call->from, call);
        else
            call->run(call->to, call);
        return true;
    }
    for (unsigned i = 0; i < FAKE_SESSIONS_MAX; i++)
        if (under_way[i] && land(under_way[i]))
            return true;
    return false;
}

void fake_store_reset(void) {}

/* --- store.h, thread.h: room for a recipient -------------------------------------------
 */

uint64_t store_user_bytes(const struct store *store, struct slice name)
{
    (void)store;
    return slice_eq(name, S("cy@x.test")) ? fake_smtp.kept_by_cy : 0;
}

void call_send(struct thread *from, struct thread *to, struct call *call)
{
    CHECK(call_count < FAKE_SESSIONS_MAX);
    call->from = from;
    call->to = to;
    call->answered = false;
    calls[call_count++] = call;
}

void call_answer(struct call *call)
{
    CHECK(call_count < FAKE_SESSIONS_MAX);
    call->answered = true;
    calls[call_count++] = call;
}

/* --- log.h, thread.h ------------------------------------------------------------------
 */

void event_say(enum log_level level, const char *name, const char *key, const char *value)
{
    (void)level, (void)name, (void)key, (void)value;
}

uint64_t random_u64(void)
{
    return 1;
}

/* --- accounts ----------------------------------------------------------------------- */

static struct accounts *accounts;

static struct accounts *build(void)
{
    static char *names[] = {(char *)"x.test"};
    static struct config config = {.domains = {names, 1, true}, .delimiter = '+'};
    char why[200];
    struct out out = out_of(why, sizeof why);
    const struct accounts_source source = {
        .config = &config,
        .users = S("ann@x.test:{PLAIN}a\nbob@x.test:{PLAIN}b\ncy@x.test:{PLAIN}c\n"),
        .aliases = S("team@x.test ann@x.test, bob@x.test\naway@x.test z@other.test\n"
                     "mixed@x.test cy@x.test, y@other.test, z@other.test\n"),
        .users_name = "users",
        .aliases_name = "aliases",
        .key = 1,
    };
    struct accounts *a = accounts_build(&source, &out);

    CHECK(a != NULL);
    return a;
}

void fake_smtp_reset(enum protocol protocol)
{
    for (unsigned i = 0; i < fake_smtp.count; i++)
        free(fake_smtp.messages[i].bytes);
    fake_smtp = (struct fake_smtp){.status = STATUS_OK};
    if (!accounts)
        accounts = build();
    fake_reset();
    fake.protocol = protocol;
}

struct fake_session *fake_smtp_open(void)
{
    struct fake_session *f = fake_open();

    f->conn->thread->accounts = accounts;
    return f;
}
