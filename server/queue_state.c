#include "server/queue_state.h"

#include <assert.h>

/* The layout, little-endian: a `struct head`, then runs of recipients in the order of the
 * envelope that have all in common. A run is a `struct run_head`; of pending ones a
 * `struct run_wait` follows, and with RUN_ANSWER a `struct run_answer`, the host and the
 * text. */

enum { STATE_HELD = 1, STATE_DELAY_TOLD = 2, STATE_BY_TOLD = 4, STATE_ALL = 7 };
enum { RUN_ANSWER = 1, RUN_OURS = 2, RUN_ALL = 3 };

struct __attribute__((packed)) head {
    uint8_t version, flags;
    uint32_t unsure;
    uint32_t rcpt_count;
};

struct __attribute__((packed)) run_head {
    uint32_t count;
    uint8_t fate, flags;
};

struct __attribute__((packed)) run_wait {
    uint32_t attempts;
    int64_t next_s;
};

struct __attribute__((packed)) run_answer {
    uint16_t code;
    uint8_t status[3];
    uint8_t host_len;
    uint16_t text_len;
};

static_assert(sizeof(struct head) == 10, "disk format");
static_assert(sizeof(struct run_head) == 6, "disk format");
static_assert(sizeof(struct run_wait) == 12, "disk format");
static_assert(sizeof(struct run_answer) == 8, "disk format");

/* --- writing ------------------------------------------------------------ */

static struct slice cut(struct slice s, size_t max)
{
    return slice_of(s.at, s.len < max ? s.len : max);
}

static bool same_answer(const struct queue_answer *a, const struct queue_answer *b)
{
    return a == b ||
        (a && b && a->code == b->code && a->ours == b->ours &&
            memcmp(a->status, b->status, sizeof a->status) == 0 &&
            slice_eq(a->host, b->host) && slice_eq(a->text, b->text));
}

static bool same(const struct queue_rcpt *a, const struct queue_rcpt *b)
{
    if (a->fate != b->fate)
        return false;
    return a->fate != QUEUE_PENDING ||
        (a->attempts == b->attempts && a->next_s == b->next_s &&
            same_answer(a->answer, b->answer));
}

static void put(struct out *out, const void *at, size_t n)
{
    out_put(out, slice_of(at, n));
}

static void put_answer(struct out *out, const struct queue_answer *a)
{
    struct slice host = cut(a->host, QUEUE_HOST_MAX), text = cut(a->text, QUEUE_TEXT_MAX);
    struct run_answer ra = {
        .code = a->code, .host_len = (uint8_t)host.len, .text_len = (uint16_t)text.len};

    memcpy(ra.status, a->status, sizeof ra.status);
    put(out, &ra, sizeof ra);
    out_put(out, host);
    out_put(out, text);
}

static void put_run(struct out *out, const struct queue_rcpt *r, unsigned count)
{
    bool pending = r->fate == QUEUE_PENDING;
    const struct queue_answer *a = pending ? r->answer : NULL;
    struct run_head rh = {.count = count,
        .fate = (uint8_t)r->fate,
        .flags = (uint8_t)((a ? RUN_ANSWER : 0) | (a && a->ours ? RUN_OURS : 0))};
    struct run_wait rw = {r->attempts, r->next_s};

    put(out, &rh, sizeof rh);
    if (pending)
        put(out, &rw, sizeof rw);
    if (a)
        put_answer(out, a);
}

/* How many from i on have all in common. */
static unsigned run_of(const struct queue_state *s, unsigned i)
{
    unsigned n = 1;

    while (i + n < s->rcpt_count && same(&s->rcpts[i], &s->rcpts[i + n]))
        n++;
    return n;
}

size_t queue_state_bytes(const struct queue_state *s)
{
    size_t n = sizeof(struct head);

    for (unsigned i = 0; i < s->rcpt_count; i += run_of(s, i)) {
        const struct queue_answer *a = s->rcpts[i].answer;

        n += sizeof(struct run_head) + sizeof(struct run_wait);
        if (a)
            n += sizeof(struct run_answer) + cut(a->host, QUEUE_HOST_MAX).len +
                cut(a->text, QUEUE_TEXT_MAX).len;
    }
    return n;
}

void queue_state_encode(const struct queue_state *s, struct out *out)
{
    struct head h = {.version = QUEUE_STATE_VERSION,
        .flags = (uint8_t)((s->held ? STATE_HELD : 0) |
            (s->delay_told ? STATE_DELAY_TOLD : 0) | (s->by_told ? STATE_BY_TOLD : 0)),
        .unsure = s->unsure,
        .rcpt_count = s->rcpt_count};

    put(out, &h, sizeof h);
    for (unsigned i = 0; i < s->rcpt_count;) {
        unsigned n = run_of(s, i);

        put_run(out, &s->rcpts[i], n);
        i += n;
    }
}

/* --- reading ------------------------------------------------------------ */

static bool take(struct slice *in, void *to, size_t n)
{
    if (in->len < n)
        return false;
    memcpy(to, slice_take(in, n).at, n);
    return true;
}

static enum status take_answer(
    struct slice *in, struct arena *arena, bool ours, const struct queue_answer **answer)
{
    struct run_answer ra;
    struct queue_answer *a;

    if (!take(in, &ra, sizeof ra) || in->len < (size_t)ra.host_len + ra.text_len)
        return STATUS_CORRUPT;
    a = arena_take(arena, sizeof *a);
    if (!a)
        return STATUS_NO_MEMORY;
    *a = (struct queue_answer){.code = ra.code, .ours = ours};
    memcpy(a->status, ra.status, sizeof a->status);
    a->host = slice_take(in, ra.host_len);
    a->text = slice_take(in, ra.text_len);
    *answer = a;
    return STATUS_OK;
}

static enum status take_run(struct slice *in, unsigned left, struct arena *arena,
    struct queue_rcpt *r, unsigned *n)
{
    struct run_head rh;
    struct run_wait rw = {0, 0};

    *r = (struct queue_rcpt){0};
    if (!take(in, &rh, sizeof rh) || rh.count == 0 || rh.count > left ||
        rh.fate >= QUEUE_FATES || (rh.flags & ~RUN_ALL))
        return STATUS_CORRUPT;
    if (rh.fate != QUEUE_PENDING && rh.flags)
        return STATUS_CORRUPT;
    if (rh.fate == QUEUE_PENDING && !take(in, &rw, sizeof rw))
        return STATUS_CORRUPT;
    r->fate = (enum queue_fate)rh.fate;
    r->attempts = rw.attempts;
    r->next_s = rw.next_s;
    *n = rh.count;
    return rh.flags & RUN_ANSWER ? take_answer(in, arena, rh.flags & RUN_OURS, &r->answer)
                                 : STATUS_OK;
}

enum status queue_state_decode(
    struct slice bytes, unsigned rcpt_count, struct arena *arena, struct queue_state *s)
{
    struct head h;

    *s = (struct queue_state){.rcpt_count = rcpt_count};
    s->rcpts = arena_zero(arena, (rcpt_count ? rcpt_count : 1) * sizeof *s->rcpts);
    if (!s->rcpts)
        return STATUS_NO_MEMORY;
    if (bytes.len == 0)
        return STATUS_OK;
    if ((uint8_t)bytes.at[0] > QUEUE_STATE_VERSION)
        return STATUS_INVALID;
    if (!take(&bytes, &h, sizeof h) || h.version != QUEUE_STATE_VERSION ||
        (h.flags & ~STATE_ALL) || h.rcpt_count != rcpt_count)
        return STATUS_CORRUPT;
    s->held = h.flags & STATE_HELD;
    s->delay_told = h.flags & STATE_DELAY_TOLD;
    s->by_told = h.flags & STATE_BY_TOLD;
    s->unsure = h.unsure;
    for (unsigned i = 0, n = 0; i < rcpt_count; i += n) {
        struct queue_rcpt r;

        TRY(take_run(&bytes, rcpt_count - i, arena, &r, &n));
        for (unsigned k = 0; k < n; k++)
            s->rcpts[i + k] = r;
    }
    return bytes.len == 0 ? STATUS_OK : STATUS_CORRUPT;
}

const char *queue_fate_word(enum queue_fate fate)
{
    static const char *const words[QUEUE_FATES] = {
        "pending", "delivered", "relayed", "failed", "expired", "dropped"};

    return fate < QUEUE_FATES ? words[fate] : "?";
}
