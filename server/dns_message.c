#include "server/dns_message.h"

#include <netinet/in.h>

enum {
    HEADER_BYTES = 12,
    LABEL_MAX = 63,
    WIRE_NAME_MAX = 255,
    CLASS_IN = 1,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    SOA_BYTES_MIN = 22, /* two root names and five numbers */
    RCODE_NO_NAME = 3,
    AUTHENTIC = 0x20, /* AD, of the fourth octet (RFC 4035, 3.1.6) */
    TTL_SIGN_BIT = 1u << 31
};

/* The message and what its header says. */
struct message {
    const uint8_t *at;
    size_t len;
    unsigned rcode, answers, authorities;
    bool authentic;
    size_t answers_at;
};

struct record {
    size_t owner, data; /* offsets */
    uint16_t type, class, len;
    uint32_t ttl_s;
};

static uint16_t u16_at(const struct message *m, size_t at)
{
    return (uint16_t)(m->at[at] << 8 | m->at[at + 1]);
}

static uint32_t u32_at(const struct message *m, size_t at)
{
    return (uint32_t)u16_at(m, at) << 16 | u16_at(m, at + 2);
}

/* --- names (RFC 1035, 4.1.4) -------------------------------------------- */

/* A walk over the labels of a name. Each pointer must lead before the place where the
 * labels so far began, so that the walk ends. */
struct walk {
    size_t at, begin, octets;
};

static struct walk walk_from(size_t at)
{
    return (struct walk){at, at, 0};
}

enum step { STEP_LABEL, STEP_END, STEP_BAD };

static enum step walk_next(const struct message *m, struct walk *w, struct slice *label)
{
    while (w->at < m->len && m->at[w->at] >= 0xc0) {
        size_t target;

        if (w->at + 1 >= m->len)
            return STEP_BAD;
        target = u16_at(m, w->at) & 0x3fff;
        if (target >= w->begin)
            return STEP_BAD;
        w->at = w->begin = target;
    }
    if (w->at >= m->len || m->at[w->at] > LABEL_MAX)
        return STEP_BAD;
    *label = slice_of((const char *)m->at + w->at + 1, m->at[w->at]);
    if (label->len == 0)
        return STEP_END;
    w->octets += label->len + 1;
    if (label->len > m->len - w->at - 1 || w->octets >= WIRE_NAME_MAX)
        return STEP_BAD;
    w->at += label->len + 1;
    return STEP_LABEL;
}

/* Where the name at *at ends in the message; what a pointer leads to is not looked at. */
static bool skip_name(const struct message *m, size_t *at)
{
    for (size_t begin = *at; *at < m->len && *at - begin < WIRE_NAME_MAX;) {
        uint8_t octet = m->at[*at];

        if (octet >= 0xc0) {
            *at += 2;
            return *at <= m->len;
        }
        if (octet > LABEL_MAX)
            return false;
        *at += octet + 1u;
        if (octet == 0)
            return true;
    }
    return false;
}

static bool same_name(const struct message *m, size_t one, size_t other)
{
    struct walk a = walk_from(one), b = walk_from(other);

    for (;;) {
        struct slice first, second;
        enum step left = walk_next(m, &a, &first), right = walk_next(m, &b, &second);

        if (left != right || left == STEP_BAD)
            return false;
        if (left == STEP_END || (a.at == b.at && a.octets == b.octets))
            return true;
        if (!slice_eq_nocase(first, second))
            return false;
    }
}

static bool is_name_octet(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_';
}

/* The name as text, "" for the root; false: it is malformed, or holds octets that no name
 * of a host has. */
static bool name_text(const struct message *m, size_t at, char text[DNS_NAME_MAX + 1])
{
    struct walk w = walk_from(at);
    size_t len = 0;

    for (;;) {
        struct slice label;
        enum step step = walk_next(m, &w, &label);

        if (step == STEP_BAD)
            return false;
        if (step == STEP_END)
            break;
        if (label.len + (len > 0) > DNS_NAME_MAX - len)
            return false;
        if (len > 0)
            text[len++] = '.';
        for (size_t i = 0; i < label.len; i++) {
            if (!is_name_octet(label.at[i]))
                return false;
            text[len++] = ascii_lower(label.at[i]);
        }
    }
    text[len] = 0;
    return true;
}

bool dns_is_name(struct slice text)
{
    if (text.len == 0 || text.len > DNS_NAME_MAX)
        return false;
    for (;;) {
        size_t dot = slice_find(text, '.');
        struct slice label = slice_take(&text, dot);

        if (label.len == 0 || label.len > LABEL_MAX)
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!is_name_octet(label.at[i]))
                return false;
        if (text.len == 0)
            return true;
        slice_take(&text, 1);
    }
}

/* --- records ------------------------------------------------------------ */

/* Header and question; false: it is no answer to a question of this type. */
static bool read_head(struct message *m, struct slice bytes, enum dns_type type)
{
    size_t at = HEADER_BYTES;

    *m = (struct message){.at = (const uint8_t *)bytes.at, .len = bytes.len};
    if (bytes.len < HEADER_BYTES)
        return false;
    m->rcode = m->at[3] & 15;
    m->authentic = (m->at[3] & AUTHENTIC) != 0;
    m->answers = u16_at(m, 6);
    m->authorities = u16_at(m, 8);
    if (u16_at(m, 4) != 1 || !skip_name(m, &at) || m->len - at < 4 ||
        u16_at(m, at) != type || u16_at(m, at + 2) != CLASS_IN)
        return false;
    m->answers_at = at + 4;
    return true;
}

static bool next_record(const struct message *m, size_t *at, struct record *r)
{
    r->owner = *at;
    if (!skip_name(m, at) || m->len - *at < 10)
        return false;
    r->type = u16_at(m, *at);
    r->class = u16_at(m, *at + 2);
    r->ttl_s = u32_at(m, *at + 4);
    if (r->ttl_s & TTL_SIGN_BIT) /* RFC 2181, 8 */
        r->ttl_s = 0;
    r->len = u16_at(m, *at + 8);
    r->data = *at + 10;
    if (r->len > m->len - r->data)
        return false;
    *at = r->data + r->len;
    return true;
}

static unsigned counted(const struct message *m)
{
    return m->answers < DNS_RECORDS_MAX ? m->answers : DNS_RECORDS_MAX;
}

/* All records that will be looked at are whole; *end is what follows them. */
static bool records_whole(const struct message *m, size_t *end)
{
    struct record r;

    *end = m->answers_at;
    for (unsigned i = 0; i < counted(m); i++)
        if (!next_record(m, end, &r))
            return false;
    return true;
}

/* The name at exactly the `len` octets of the data. */
static bool fills(const struct message *m, size_t at, size_t len)
{
    size_t end = at;

    return skip_name(m, &end) && end == at + len;
}

static void shorten(uint32_t *ttl_s, uint32_t other_s)
{
    if (other_s < *ttl_s)
        *ttl_s = other_s;
}

/* The CNAME of the name at *name, if there is one: *name becomes where it leads. */
static bool follow(const struct message *m, size_t *name, uint32_t *ttl_s)
{
    size_t at = m->answers_at;
    struct record r;

    for (unsigned i = 0; i < counted(m) && next_record(m, &at, &r); i++)
        if (r.type == TYPE_CNAME && r.class == CLASS_IN && fills(m, r.data, r.len) &&
            same_name(m, r.owner, *name)) {
            *name = r.data;
            shorten(ttl_s, r.ttl_s);
            return true;
        }
    return false;
}

/* How long "no" holds: of the SOA in the authority section, the smaller of its time to
 * live and its last number (RFC 2308, 5). False: there is none. */
static bool negative_ttl(const struct message *m, size_t at, uint32_t *ttl_s)
{
    struct record r;

    if (m->answers > DNS_RECORDS_MAX)
        return false;
    for (unsigned i = 0; i < m->authorities && i < DNS_RECORDS_MAX; i++) {
        if (!next_record(m, &at, &r))
            return false;
        if (r.type != TYPE_SOA || r.class != CLASS_IN || r.len < SOA_BYTES_MIN)
            continue;
        *ttl_s = r.ttl_s;
        shorten(ttl_s, u32_at(m, r.data + r.len - 4));
        return true;
    }
    return false;
}

/* --- what was asked for ------------------------------------------------- */

/* Into its place, behind those that are as good; the worst falls out. */
static void keep_exchange(struct dns_records *out, const struct dns_exchange *e)
{
    unsigned i = out->count < DNS_EXCHANGES_MAX ? out->count++ : DNS_EXCHANGES_MAX - 1;

    for (; i > 0 && out->exchanges[i - 1].preference > e->preference; i--)
        out->exchanges[i] = out->exchanges[i - 1];
    out->exchanges[i] = *e;
}

static bool is_wanted(const struct dns_records *out, uint16_t preference)
{
    return out->count < DNS_EXCHANGES_MAX ||
        preference < out->exchanges[DNS_EXCHANGES_MAX - 1].preference;
}

/* A null MX among others means nothing (RFC 7505, 3). */
static void read_exchanges(const struct message *m, size_t name, struct dns_records *out)
{
    size_t at = m->answers_at;
    unsigned none = 0, bad = 0;
    struct dns_exchange e;
    struct record r;

    for (unsigned i = 0; i < counted(m) && next_record(m, &at, &r); i++) {
        if (r.type != DNS_MX || r.class != CLASS_IN || !same_name(m, r.owner, name))
            continue;
        shorten(&out->ttl_s, r.ttl_s);
        if (r.len < 3 || !fills(m, r.data + 2, r.len - 2u)) {
            bad++;
            continue;
        }
        e.preference = u16_at(m, r.data);
        if (!is_wanted(out, e.preference))
            continue;
        if (!name_text(m, r.data + 2, e.name))
            bad++;
        else if (!e.name[0])
            none++;
        else
            keep_exchange(out, &e);
    }
    if (out->count == 0 && bad > 0)
        out->status = DNS_BAD_NAME;
    else if (out->count == 0 && none > 0)
        out->exchanges[out->count++] = (struct dns_exchange){0};
    else if (out->count == 0)
        out->status = DNS_NO_DATA;
}

static struct address address_in_record(const struct message *m, const struct record *r)
{
    struct sockaddr_storage sa = {.ss_family = r->len == 4 ? AF_INET : AF_INET6};

    if (r->len == 4)
        memcpy(&((struct sockaddr_in *)&sa)->sin_addr, m->at + r->data, 4);
    else
        memcpy(&((struct sockaddr_in6 *)&sa)->sin6_addr, m->at + r->data, 16);
    return address_of(&sa);
}

static void read_addresses(
    const struct message *m, size_t name, enum dns_type type, struct dns_records *out)
{
    size_t at = m->answers_at;
    struct record r;

    for (unsigned i = 0; i < counted(m) && next_record(m, &at, &r); i++) {
        if (r.type != type || r.class != CLASS_IN || r.len != (type == DNS_A ? 4 : 16) ||
            !same_name(m, r.owner, name))
            continue;
        shorten(&out->ttl_s, r.ttl_s);
        if (out->count < DNS_ADDRESSES_MAX)
            out->addresses[out->count++] = address_in_record(m, &r);
    }
    if (out->count == 0)
        out->status = DNS_NO_DATA;
}

static void fail(struct dns_records *out, const char *why)
{
    out->status = DNS_FAILED;
    out->why = why;
}

/* Nothing of this type there: that is the answer when the server says so, else the chain
 * goes on where it ended. */
static void read_absence(
    const struct message *m, size_t end, size_t name, struct dns_records *out)
{
    uint32_t ttl_s = DNS_NEGATIVE_S;
    bool said = negative_ttl(m, end, &ttl_s);

    if (out->status == DNS_NO_NAME || said || name == HEADER_BYTES) {
        out->ttl_s = ttl_s;
        return;
    }
    out->alias = name_text(m, name, out->target) && out->target[0];
    out->status = out->alias ? DNS_OK : DNS_BAD_NAME;
}

void dns_read_nothing(const char *why, struct dns_records *out)
{
    out->alias = out->authentic = false;
    out->ttl_s = out->count = 0;
    fail(out, why);
}

void dns_read(struct slice message, enum dns_type type, struct dns_records *out)
{
    struct message m;
    size_t name = HEADER_BYTES, end;
    unsigned aliases = 0;

    out->status = DNS_OK;
    out->why = "";
    out->alias = out->authentic = false;
    out->ttl_s = UINT32_MAX;
    out->count = 0;
    if (!read_head(&m, message, type) || !records_whole(&m, &end)) {
        fail(out, "malformed answer");
        return;
    }
    out->authentic = m.authentic;
    while (follow(&m, &name, &out->ttl_s))
        if (++aliases > DNS_ALIASES_MAX) {
            fail(out, "CNAME loop");
            return;
        }
    if (m.rcode == RCODE_NO_NAME)
        out->status = DNS_NO_NAME;
    else if (m.rcode != 0)
        fail(out, "error in the answer");
    else if (type == DNS_MX)
        read_exchanges(&m, name, out);
    else
        read_addresses(&m, name, type, out);
    if (out->status == DNS_NO_NAME || out->status == DNS_NO_DATA)
        read_absence(&m, end, name, out);
}
