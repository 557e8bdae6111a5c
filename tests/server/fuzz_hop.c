/* fuzz_hop.c -- a hop that says anything at all, on a connection, a store and a thread
 * that are played here.
 *
 * The first two octets choose what is sent and how. The rest is what the hop says, in
 * segments with 0xff between them; where a handshake is due, the next octet decides on
 * it. At the end come silence, and then the end of the connection. Whatever was said:
 * every recipient has an answer, closed() comes once, and nothing is left. */
#include <errno.h>
#include <stdlib.h>

#include "server/config.h"
#include "server/hop_state.h"

static struct thread thread;
static struct config config;
static struct slice said; /* what is left of it */
static struct hop *hop;
static struct conn *conn; /* the hop's, until it has been told of its end */
static bool woken, shaking, aborted, ended;
static unsigned sent, messages, conns;
static uint64_t out_bytes;

/* --- conn.h ---------------------------------------------------------------------- */

static char window[256];

static bool more(struct out *out)
{
    out_bytes += out->len;
    out->len = 0;
    return true;
}

static struct conn *open_conn(const struct session_calls *calls)
{
    CHECK(!conn);
    if (conns++ == 4) {
        errno = EMFILE;
        return NULL;
    }
    conn = calloc(1, calls->session_bytes);
    conn->thread = &thread;
    conn->calls = calls;
    conn->out = out_of(window, sizeof window);
    conn->out.more = more;
    woken = shaking = aborted = false;
    return conn;
}

struct conn *conn_connect(struct thread *t, const struct session_calls *calls,
    const struct address *to, const struct address *from)
{
    (void)t, (void)to, (void)from;
    return open_conn(calls);
}

struct conn *conn_connect_local(
    struct thread *t, const struct session_calls *calls, const char *path)
{
    (void)t, (void)path;
    return open_conn(calls);
}

void conn_deadline(struct conn *c, unsigned seconds)
{
    (void)seconds;
    CHECK(c == conn);
}

bool conn_congested(const struct conn *c)
{
    CHECK(c == conn);
    return false;
}

void conn_lend(struct conn *c, struct slice bytes, void (*release)(void *arg), void *arg)
{
    CHECK(c == conn);
    out_put(&c->out, bytes);
    release(arg);
}

void conn_wake(struct conn *c)
{
    CHECK(c == conn);
    woken = true;
}

void conn_close(struct conn *c)
{
    CHECK(c == conn);
    c->closing = true;
}

void conn_abort(struct conn *c)
{
    conn_close(c);
    c->error = ECONNABORTED;
}

void conn_free(struct conn *c)
{
    CHECK(c == conn);
    free(c);
    conn = NULL;
}

void conn_starttls_client(struct conn *c, struct slice name, bool verify)
{
    (void)name, (void)verify;
    CHECK(c == conn && !c->secure);
    shaking = true;
}

struct slice conn_tls_why(const struct conn *c)
{
    return c->error == EPROTO ? S("no handshake") : S("");
}

struct slice conn_tls_text(const struct conn *c, char *at, size_t cap)
{
    (void)c;
    CHECK(cap > 4);
    memcpy(at, "TLS", 3);
    return slice_of(at, 3);
}

/* --- store.h ---------------------------------------------------------------------- */

static const char text[] = "Subject: x\r\n\r\n.dots\r\n..\r\n\xc3\xbc at the end";
static bool slow; /* pieces come later */
static unsigned bodies;

enum status body_open_place(
    struct store *store, struct body *b, uint64_t place, uint64_t at, uint64_t len)
{
    (void)store, (void)place;
    b->at = at;
    b->end = at + len;
    bodies++;
    return STATUS_OK;
}

static void give_piece(struct body *b)
{
    size_t n = b->end - b->at < 7 ? (size_t)(b->end - b->at) : 7;

    b->piece = slice_of(text + b->at, n);
    b->at += n;
}

static struct body *body_owed;

bool body_next(struct body *b, void (*done)(struct store_op *op, enum status status))
{
    b->op.done = done;
    if (slow) {
        body_owed = b;
        return false;
    }
    give_piece(b);
    return true;
}

static void land_body(void)
{
    struct body *b = body_owed;

    body_owed = NULL;
    give_piece(b);
    b->op.done(&b->op, STATUS_OK);
}

struct body_loan *body_lend(struct body *b)
{
    return (struct body_loan *)b;
}

void body_release(struct body_loan *loan)
{
    CHECK(loan);
}

void body_close(struct body *b)
{
    CHECK(body_owed != b);
    bodies--;
}

/* --- the owner -----------------------------------------------------------------------
 */

static const struct envelope_rcpt rcpts[] = {
    {.address = SI("a@mx.test"), .orcpt = SI("rfc822;a@mx.test"), .notify = 2},
    {.address = SI("b@\xc3\xbc.test")},
    {.address = SI("\xc3\xbc@mx.test")},
    {.address = SI("c@two.test")},
};
static struct envelope envelope;
static struct hop_rcpt to[4];
static struct hop_message message;

static void send_one(void)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (struct hop_rcpt){.rcpt = &rcpts[i]};
    message = (struct hop_message){.envelope = &envelope,
        .sender = envelope.sender,
        .size = sizeof text - 1,
        .rcpts = to,
        .rcpt_count = 4};
    messages++;
    hop_send(hop, &message);
}

static void on_ready(struct hop *h)
{
    CHECK(h == hop && messages == 0);
    send_one();
}

static void check_answer(const struct hop_answer *a)
{
    CHECK(a && a->len <= sizeof a->text);
    CHECK(a->code == 0 || (a->code >= 200 && a->code < 600));
    CHECK(a->code / 100 != 2 || !a->ours);
    for (unsigned i = 0; i < a->len; i++)
        CHECK(a->text[i] >= 0x20 && a->text[i] < 0x7f);
}

static void on_sent(struct hop *h, struct hop_message *m)
{
    CHECK(h == hop && m == &message && ++sent == messages);
    for (unsigned i = 0; i < 4; i++)
        check_answer(to[i].answer);
    if (messages < 3 && hop_usable(h))
        send_one();
    else
        hop_quit(h);
}

static void on_closed(struct hop *h, const struct hop_answer *why)
{
    CHECK(h == hop && sent == messages && !ended);
    check_answer(why);
    ended = true;
    hop = NULL;
}

static const struct hop_calls calls = {on_ready, on_sent, on_closed};

/* --- the world -------------------------------------------------------------------------
 */

static void end_conn(int error)
{
    struct conn *c = conn;

    if (!c->error)
        c->error = error;
    c->calls->closed(c);
    CHECK(conn != c);
}

/* All that is due; a connection that is closing ends before anything else. */
static bool one_step(void)
{
    if (conn && conn->closing)
        end_conn(ECONNRESET);
    else if (thread.ready.head)
        op_queue_run(&thread.ready);
    else if (body_owed)
        land_body();
    else if (conn && woken && !shaking) {
        woken = false;
        conn->calls->run(conn);
    } else {
        return false;
    }
    return true;
}

static void settle(void)
{
    unsigned steps = 0;

    while (one_step())
        CHECK(++steps < 100000);
}

static void take_shake(void)
{
    shaking = false;
    if (said.len == 0 || *slice_take(&said, 1).at & 1) {
        conn->closing = true;
        conn->error = EPROTO;
    } else {
        conn->secure = true;
        woken = true;
    }
}

/* What is left of a segment stays in front of the next, as in the stash. */
static void feed(struct slice segment)
{
    static char stash[1 << 16];
    static size_t kept;

    if (segment.at == NULL) {
        kept = 0;
        return;
    }
    CHECK(kept + segment.len <= sizeof stash);
    memcpy(stash + kept, segment.at, segment.len);
    conn->in = slice_of(stash, kept + segment.len);
    conn->calls->run(conn);
    kept = conn->in.len;
    memmove(stash, conn->in.at, kept);
    conn->in = S("");
    if (shaking)
        kept = 0;
}

static void play_conn(void)
{
    const unsigned number = conns;
    bool timed_out = false;

    feed((struct slice){0});
    conn->calls->open(conn);
    settle();
    while (conn && conns == number) {
        if (shaking) {
            take_shake();
        } else if (said.len) {
            struct slice segment = slice_take(&said, slice_find(said, '\xff'));

            if (said.len)
                slice_take(&said, 1);
            feed(slice_of(segment.at, segment.len < 5000 ? segment.len : 5000));
        } else if (!timed_out) {
            timed_out = true;
            conn->calls->timeout(conn);
        } else {
            conn->closing = true;
        }
        settle();
    }
}

static void choose(uint8_t a, uint8_t b, struct hop_conf *conf)
{
    conf->lmtp = a & 1;
    conf->tls = (enum hop_tls)(a >> 1 & 3);
    conf->implicit_tls = (a & 0x18) == 0x18;
    conf->require_tls = (a & 0x60) == 0x60;
    if (a & 0x80) {
        conf->user = S("u");
        conf->password = S("p");
    }
    slow = b & 1;
    envelope = (struct envelope){.sender = b & 2 ? S("x@\xc3\xbc.test") : S(""),
        .utf8 = b & 4,
        .utf8_header = b & 8,
        .text_8bit = b & 16,
        .body = b & 32 ? SMTP_BODY_BINARYMIME : SMTP_BODY_7BIT,
        .require_tls = b & 64,
        .by_s = b & 128,
        .by_notify = b & 1,
        .ret = SMTP_RET_FULL,
        .envid = SI("id"),
        .priority = 3};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mx_host hosts[2] = {{.name = "one.test"}, {.name = "two.test"}};
    struct hop_conf conf = {.hosts = hosts, .host_count = 2};

    if (size < 2 || size > 60000)
        return 0;
    address_parse(S("127.0.0.1:25"), &hosts[0].address);
    hosts[1].address.family = AF_UNIX;
    config.hostname = (char *)(uintptr_t) "client.test";
    config.hop_timeout = config.hop_connect_timeout = config.hop_data_timeout = 60;
    thread = (struct thread){.config = &config, .now_s = 64};
    op_queue_init(&thread.ready);
    choose(data[0], data[1], &conf);
    said = slice_of((const char *)data + 2, size - 2);
    sent = messages = conns = 0;
    ended = false;
    hop = hop_open(&thread, &conf, &calls, NULL);
    CHECK(hop);
    settle();
    while (conn)
        play_conn();
    settle();
    CHECK(ended && bodies == 0 && !conn);
    return 0;
}
