#include <stdlib.h>

#include "server/auth.h"
#include "server/config.h"
#include "server/log.h"
#include "server/tls.h"
#include "tests/server/imap_fake.h"

struct fake fake;

static struct config config;
static struct thread thread;
static struct listener listener;
static struct auth *auth_waiting;
static struct login *login_kept[FAKE_SESSIONS_MAX];

static struct fake_session *of(const struct conn *c)
{
    for (unsigned i = 0; i < fake.session_count; i++)
        if (fake.sessions[i].conn == c)
            return &fake.sessions[i];
    abort();
}

/* --- conn.h ------------------------------------------------------------------------- */

static void grow(struct fake_session *f, size_t n)
{
    while (f->output_cap - f->output_len < n) {
        f->output_cap = f->output_cap ? 2 * f->output_cap : 4096;
        f->output = realloc(f->output, f->output_cap);
    }
}

static void collect(struct fake_session *f)
{
    struct out *out = &f->conn->out;

    grow(f, out->len);
    if (out->len)
        memcpy(f->output + f->output_len, out->at, out->len);
    f->output_len += out->len;
    f->unsent += out->len;
    out->len = 0;
}

static bool more(struct out *out)
{
    collect(of(container_of(out, struct conn, out)));
    return true;
}

size_t conn_unsent(const struct conn *c)
{
    return of(c)->unsent + c->out.len;
}

bool conn_congested(const struct conn *c)
{
    struct fake_session *f = of(c);

    return f->high_water && conn_unsent(c) > f->high_water;
}

void conn_lend(struct conn *c, struct slice bytes, void (*release)(void *arg), void *arg)
{
    out_put(&c->out, bytes);
    if (release)
        release(arg);
}

void conn_wake(struct conn *c)
{
    if (!c->closing)
        of(c)->woken = true;
}

void conn_deadline(struct conn *c, unsigned seconds)
{
    of(c)->deadline = seconds;
}

void conn_input_limit(struct conn *c, size_t bytes)
{
    (void)c, (void)bytes;
}

void conn_bulk(struct conn *c, bool on)
{
    of(c)->bulk = on;
}

void conn_pause(struct conn *c, bool on)
{
    of(c)->paused = on;
}

void conn_starttls(struct conn *c)
{
    struct fake_session *f = of(c);

    c->in = S("");
    f->input_len = 0;
    c->secure = true;
    f->woken = true;
}

bool conn_is_tls(const struct conn *c)
{
    return c->secure;
}

struct slice conn_tls_text(const struct conn *c, char *at, size_t cap)
{
    (void)c, (void)at, (void)cap;
    return S("TLSv1.3");
}

void conn_close(struct conn *c)
{
    c->closing = true;
}

void conn_part(struct conn *c)
{
    conn_close(c);
}

void conn_abort(struct conn *c)
{
    c->closing = true;
    of(c)->aborted = true;
}

void conn_free(struct conn *c)
{
    struct fake_session *f = of(c);

    f->freed = true;
    f->conn = NULL;
    free(c);
}

void conn_move(struct conn *c, struct thread *to, void (*arrived)(struct conn *c))
{
    struct fake_session *f = of(c);

    (void)to;
    f->moves++;
    f->arrived = arrived;
}

struct slice conn_peer_text(const struct conn *c, char *at, size_t cap)
{
    (void)c, (void)at, (void)cap;
    return S("192.0.2.1");
}

bool conn_peer_in(const struct conn *c, const struct network *networks, unsigned count)
{
    (void)c, (void)networks;
    return count > 0; /* the peer is in each network that there is */
}

bool conn_may_login(const struct conn *c)
{
    return c->secure || fake.clear_login;
}

bool tls_context_serves(const struct tls_context *context)
{
    (void)context;
    return fake.tls;
}

/* --- thread.h, auth.h, log.h -----------------------------------------------------------
 */

struct thread *thread_of_user(struct thread *t, struct slice user)
{
    (void)user;
    return t;
}

unsigned shard_of_user(struct thread *t, struct slice user)
{
    (void)t, (void)user;
    return 0;
}

struct store *shard_store(struct thread *t, unsigned shard)
{
    (void)t, (void)shard;
    return NULL;
}

/* Slices are short here, so that commands are interrupted wherever they can be. */
bool thread_has_time(struct thread *t)
{
    (void)t;
    return false;
}

bool thread_short_of_memory(const struct thread *t)
{
    (void)t;
    return fake.short_of_memory;
}

void auth_start(struct auth *auth, struct conn *c, struct slice user,
    struct slice password, void (*done)(struct auth *auth))
{
    (void)c;
    auth->done = done;
    auth->result = AUTH_FAILED;
    if (slice_eq(password, S("secret")))
        auth->result = AUTH_OK;
    if (slice_eq(password, S("busy")))
        auth->result = AUTH_BUSY;
    if (slice_eq(password, S("many")))
        auth->result = AUTH_TOO_MANY;
    memset(auth->user, 0, sizeof auth->user);
    memcpy(auth->user, user.at, user.len < 300 ? user.len : 300);
    auth_waiting = auth;
}

void login_begin(struct login *login, struct auth *auth)
{
    (void)auth;
    fake.open++;
    login->conn = (struct conn *)login;
}

bool login_stay(struct login *login, struct conn *c, void (*end)(struct login *login))
{
    login->end = end;
    login_kept[of(c) - fake.sessions] = login;
    return true;
}

void login_end(struct login *login, struct thread *t)
{
    (void)t;
    if (login->conn)
        fake.open--;
    login->conn = NULL;
}

bool event_begin(struct event *e, enum log_level level, const char *name)
{
    (void)level, (void)name;
    e->out = out_of(e->line, sizeof e->line);
    return true;
}

void event_text(struct event *e, const char *key, struct slice value)
{
    out_str(&e->out, key);
    out_put(&e->out, value);
}

void event_string(struct event *e, const char *key, const char *value)
{
    event_text(e, key, slice_str(value));
}

void event_number(struct event *e, const char *key, uint64_t value)
{
    out_str(&e->out, key);
    out_u64(&e->out, value);
}

void event_end(struct event *e)
{
    (void)e;
}

/* --- the world
 * -------------------------------------------------------------------------- */

void fake_reset(void)
{
    for (unsigned i = 0; i < fake.session_count; i++) {
        free(fake.sessions[i].input);
        free(fake.sessions[i].output);
    }
    memset(&fake, 0, sizeof fake);
    fake.clear_login = true;
    auth_waiting = NULL;
    config = (struct config){.hostname = (char *)"host.test",
        .max_message_size = 1 << 20,
        .max_imap_command = 65536,
        .max_imap_command_login = 8192,
        .max_imap_literal = 65536,
        .max_imap_literal_login = 4096,
        .max_imap_errors = 25,
        .max_imap_errors_login = 5,
        .max_smtp_errors = 20,
        .max_pop3_errors = 10,
        .max_failed_logins = 5,
        .max_recipients = 100,
        .max_smtp_line = 4096,
        .max_smtp_auth_line = 12288,
        .max_received = 50,
        .max_hold = 86400,
        .max_header_field = 1 << 20,
        .max_header = 10 << 20,
        .max_mime_depth = 100,
        .max_mime_parts = 10000,
        .max_addresses = 1000,
        .max_pieces = 128,
        .max_keywords = 256,
        .max_imap_depth = 50,
        .max_imap_ranges = 1000,
        .max_mailbox_name = 512,
        .max_mailbox_levels = 32,
        .login_timeout = 60,
        .smtp_timeout = 300,
        .pop3_timeout = 600,
        .idle_timeout = 1800};
    thread = (struct thread){.config = &config, .now_s = 1700000000};
    fake_store_reset();
}

struct config *fake_config(void)
{
    return &config;
}

struct fake_session *fake_open(void)
{
    const struct session_calls *calls = fake_calls;
    struct fake_session *f = &fake.sessions[fake.session_count++];

    config.quota = fake.quota;
    f->conn = calloc(1, calls->session_bytes);
    f->conn->thread = &thread;
    f->conn->calls = calls;
    listener.protocol = fake.protocol;
    f->conn->listener = &listener;
    f->conn->peer = fake.peer;
    f->conn->id = fake.session_count;
    f->conn->out = out_of(f->window, sizeof f->window);
    f->conn->out.more = more;
    thread.tls = fake.tls ? (struct tls_context *)&thread : NULL;
    calls->open(f->conn);
    collect(f);
    return f;
}

static void settle(struct fake_session *f)
{
    if (!f->conn)
        return;
    collect(f);
    if (f->conn->closing)
        f->conn->calls->closed(f->conn);
}

static void run(struct fake_session *f)
{
    struct conn *c = f->conn;
    char *moved = malloc(f->input_len + 1);

    f->woken = false;
    if (f->input_len)
        memcpy(moved, f->input, f->input_len);
    c->in = slice_of(moved, f->input_len);
    c->calls->run(c);
    f->input = realloc(f->input, c->in.len + 1);
    if (c->in.len)
        memcpy(f->input, c->in.at, c->in.len);
    f->input_len = c->in.len;
    c->in = S("");
    free(moved);
    settle(f);
}

static bool step_session(struct fake_session *f)
{
    if (!f->conn || f->conn->closing)
        return false;
    if (f->arrived) {
        void (*arrived)(struct conn * c) = f->arrived;

        f->arrived = NULL;
        arrived(f->conn);
        return true;
    }
    if (!f->woken)
        return false;
    run(f);
    return true;
}

bool fake_step(void)
{
    for (unsigned i = 0; i < fake.session_count; i++)
        if (step_session(&fake.sessions[i]))
            return true;
    if (auth_waiting) {
        struct auth *auth = auth_waiting;

        auth_waiting = NULL;
        auth->done(auth);
        return true;
    }
    return fake_store_land();
}

void fake_pump(void)
{
    bool moved = true;

    while (moved) {
        moved = false;
        while (fake_step())
            moved = true;
        for (unsigned i = 0; i < fake.session_count; i++)
            if (fake.sessions[i].unsent) {
                fake_drain(&fake.sessions[i], fake.sessions[i].unsent);
                moved = true;
            }
    }
}

void fake_send(struct fake_session *f, struct slice bytes)
{
    if (!f->conn)
        return;
    f->input = realloc(f->input, f->input_len + bytes.len + 1);
    memcpy(f->input + f->input_len, bytes.at, bytes.len);
    f->input_len += bytes.len;
    f->woken = true;
    fake_pump();
}

void fake_drain(struct fake_session *f, size_t n)
{
    f->unsent -= n < f->unsent ? n : f->unsent;
    if (f->conn && f->high_water && f->unsent <= f->high_water / 2)
        f->woken = true;
}

struct slice fake_output(struct fake_session *f)
{
    struct slice all = slice_of(f->output, f->output_len);

    f->output_len = 0;
    return all;
}

void fake_eof(struct fake_session *f)
{
    f->conn->eof = true;
    f->woken = true;
    fake_pump();
}

void fake_die(struct fake_session *f)
{
    if (!f->conn || f->conn->closing)
        return;
    f->conn->closing = true;
    f->conn->error = 104;
    f->conn->calls->closed(f->conn);
}

void fake_stop(struct fake_session *f)
{
    f->conn->calls->stop(f->conn);
    fake_pump();
}

void fake_timeout(struct fake_session *f)
{
    f->conn->calls->timeout(f->conn);
    settle(f);
    fake_pump();
}

void fake_kick(struct fake_session *f)
{
    struct login *login = login_kept[f - fake.sessions];

    login->end(login);
    fake_pump();
}

/* Nobody asks how long it took. */
void stats_settle_early(struct thread_stats *s)
{
    s->ended_count = 0;
}
