#include "server/envelope.h"

#include <assert.h>

/* The layout, little-endian: `struct head`, the strings of the sender in the order of
 * their names in `struct envelope`, then for each recipient a `struct rcpt_head`, its
 * address and its ORCPT. A string is u32 octets, then these. The strings of version 1
 * have no `hold`; an envelope without one is written so, and read by older servers too.
 */

enum envelope_flag {
    FLAG_UTF8 = 1 << 0,
    FLAG_UTF8_HEADER = 1 << 1,
    FLAG_TEXT_8BIT = 1 << 2,
    FLAG_REQUIRE_TLS = 1 << 3,
    FLAG_TLS_OPTIONAL = 1 << 4,
    FLAG_NOTICE = 1 << 5,
    FLAG_BY_NOTIFY = 1 << 6,
    FLAG_BY_TRACE = 1 << 7,
    FLAGS_ALL = (1 << 8) - 1,
};

enum {
    RCPT_FORWARDED = 1,
    NOTIFY_ALL =
        SMTP_NOTIFY_NEVER | SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
    PRIORITY_MAX = 9, /* RFC 6710, 2 */
};

struct __attribute__((packed)) head {
    uint8_t version;
    uint8_t ret, body;
    int8_t priority;
    uint32_t flags;
    int64_t arrived_s, hold_until_s, by_s;
    uint32_t text_at, header_bytes;
    uint32_t rcpt_count;
};

struct __attribute__((packed)) rcpt_head {
    uint8_t notify, flags;
};

static_assert(sizeof(struct head) == 44, "disk format");
static_assert(sizeof(struct rcpt_head) == 2, "disk format");

/* --- writing ----------------------------------------------------------------------- */

static size_t string_bytes(struct slice s)
{
    return sizeof(uint32_t) + s.len;
}

static uint8_t version_of(const struct envelope *e)
{
    return e->hold.len ? 2 : 1;
}

size_t envelope_bytes(const struct envelope *e)
{
    size_t n = sizeof(struct head) + string_bytes(e->sender) + string_bytes(e->envid) +
        string_bytes(e->auth) + string_bytes(e->user) + string_bytes(e->log_id) +
        (version_of(e) > 1 ? string_bytes(e->hold) : 0);

    for (unsigned i = 0; i < e->rcpt_count; i++)
        n += sizeof(struct rcpt_head) + string_bytes(e->rcpts[i].address) +
            string_bytes(e->rcpts[i].orcpt);
    return n;
}

static void put(struct out *out, const void *at, size_t n)
{
    out_put(out, slice_of(at, n));
}

static void put_string(struct out *out, struct slice s)
{
    uint32_t n = (uint32_t)s.len;

    put(out, &n, sizeof n);
    out_put(out, s);
}

static uint32_t flags_of(const struct envelope *e)
{
    return (e->utf8 ? FLAG_UTF8 : 0U) | (e->utf8_header ? FLAG_UTF8_HEADER : 0U) |
        (e->text_8bit ? FLAG_TEXT_8BIT : 0U) | (e->require_tls ? FLAG_REQUIRE_TLS : 0U) |
        (e->tls_optional ? FLAG_TLS_OPTIONAL : 0U) | (e->notice ? FLAG_NOTICE : 0U) |
        (e->by_notify ? FLAG_BY_NOTIFY : 0U) | (e->by_trace ? FLAG_BY_TRACE : 0U);
}

void envelope_encode(const struct envelope *e, struct out *out)
{
    struct head h = {.version = version_of(e),
        .ret = (uint8_t)e->ret,
        .body = (uint8_t)e->body,
        .priority = e->priority,
        .flags = flags_of(e),
        .arrived_s = e->arrived_s,
        .hold_until_s = e->hold_until_s,
        .by_s = e->by_s,
        .text_at = e->text_at,
        .header_bytes = e->header_bytes,
        .rcpt_count = e->rcpt_count};

    put(out, &h, sizeof h);
    put_string(out, e->sender);
    put_string(out, e->envid);
    put_string(out, e->auth);
    if (h.version > 1)
        put_string(out, e->hold);
    put_string(out, e->user);
    put_string(out, e->log_id);
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        const struct envelope_rcpt *r = &e->rcpts[i];
        struct rcpt_head rh = {r->notify, r->forwarded ? RCPT_FORWARDED : 0};

        put(out, &rh, sizeof rh);
        put_string(out, r->address);
        put_string(out, r->orcpt);
    }
}

/* --- reading ----------------------------------------------------------------------- */

static bool take(struct slice *in, void *to, size_t n)
{
    if (in->len < n)
        return false;
    memcpy(to, slice_take(in, n).at, n);
    return true;
}

static bool take_string(struct slice *in, struct slice *s)
{
    uint32_t n;

    if (!take(in, &n, sizeof n) || in->len < n)
        return false;
    *s = slice_take(in, n);
    return true;
}

static bool head_valid(const struct head *h)
{
    return h->ret <= SMTP_RET_HDRS && h->body <= SMTP_BODY_BINARYMIME &&
        h->priority >= -PRIORITY_MAX && h->priority <= PRIORITY_MAX &&
        (h->flags & ~(uint32_t)FLAGS_ALL) == 0 && h->rcpt_count > 0 &&
        h->rcpt_count <= ENVELOPE_RCPTS_MAX;
}

static void set_head(struct envelope *e, const struct head *h)
{
    *e = (struct envelope){.ret = (enum smtp_ret)h->ret,
        .body = (enum smtp_body)h->body,
        .priority = h->priority,
        .arrived_s = h->arrived_s,
        .hold_until_s = h->hold_until_s,
        .by_s = h->by_s,
        .text_at = h->text_at,
        .header_bytes = h->header_bytes,
        .rcpt_count = h->rcpt_count,
        .utf8 = h->flags & FLAG_UTF8,
        .utf8_header = h->flags & FLAG_UTF8_HEADER,
        .text_8bit = h->flags & FLAG_TEXT_8BIT,
        .require_tls = h->flags & FLAG_REQUIRE_TLS,
        .tls_optional = h->flags & FLAG_TLS_OPTIONAL,
        .notice = h->flags & FLAG_NOTICE,
        .by_notify = h->flags & FLAG_BY_NOTIFY,
        .by_trace = h->flags & FLAG_BY_TRACE};
}

static bool take_strings(struct slice *in, uint8_t version, struct envelope *e)
{
    return take_string(in, &e->sender) && take_string(in, &e->envid) &&
        take_string(in, &e->auth) &&
        (version == 1 || (take_string(in, &e->hold) && e->hold.len > 0)) &&
        take_string(in, &e->user) && take_string(in, &e->log_id);
}

static bool take_rcpt(struct slice *in, struct envelope_rcpt *r)
{
    struct rcpt_head h;

    if (!take(in, &h, sizeof h) || h.notify > NOTIFY_ALL || h.flags > RCPT_FORWARDED)
        return false;
    *r = (struct envelope_rcpt){.notify = h.notify, .forwarded = h.flags};
    return take_string(in, &r->address) && take_string(in, &r->orcpt);
}

enum status envelope_decode(struct slice bytes, struct arena *arena, struct envelope *e)
{
    struct envelope_rcpt *rcpts;
    struct slice in = bytes;
    struct head h;

    if (in.len && (uint8_t)in.at[0] > ENVELOPE_VERSION)
        return STATUS_INVALID;
    if (!take(&in, &h, sizeof h) || h.version == 0 || !head_valid(&h))
        return STATUS_CORRUPT;
    set_head(e, &h);
    if (!take_strings(&in, h.version, e))
        return STATUS_CORRUPT;
    rcpts = arena_take(arena, h.rcpt_count * sizeof *rcpts);
    if (!rcpts)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < h.rcpt_count; i++)
        if (!take_rcpt(&in, &rcpts[i]))
            return STATUS_CORRUPT;
    e->rcpts = rcpts;
    return in.len == 0 ? STATUS_OK : STATUS_CORRUPT;
}
