#include "proto/mime/summary_parts.h"

#include "proto/base/check.h"

enum { /* of summary_encode_step() */
    PARTS_A_STEP = 500,
    BYTES_A_STEP = 64 << 10,
};

/* --- making ------------------------------------------------------------------- */

static void put_le(char *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (char)(value >> (8 * i));
}

static uint32_t clamp32(uint64_t value)
{
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

/* The lines of the body are those behind the header, even where a delimiter took the
 * header's last line end. */
static void encode_head(char *at, const struct summary_builder *b)
{
    const struct octets *f = &b->front, *o = &b->octets, *last = o->count ? o : f;
    bool crlf = last->count >= 2 && last->last[0] == '\r' && last->last[1] == '\n';
    unsigned flags = (o->has_8bit || f->has_8bit ? BLOB_8BIT : 0) |
        (o->has_nul || f->has_nul ? BLOB_NUL : 0) |
        (o->has_dot_line || f->has_dot_line ? BLOB_DOT_LINE : 0) |
        (crlf ? BLOB_CRLF_END : 0);

    at[0] = 'S';
    at[1] = SUMMARY_VERSION;
    put_le(at + 2, flags, 2);
    put_le(at + 4, b->count, 4);
    put_le(at + 8, f->count + o->count, 8);
    put_le(at + 16, f->count + b->root->body_at, 8);
    put_le(at + 24, clamp32(f->lines + o->lines), 4);
    put_le(at + 28, clamp32(o->lines - b->root->body_lines_at), 4);
    put_le(at + 32, (uint64_t)b->sent_utc, 8);
    put_le(at + 40, (uint32_t)b->sent_day, 4);
}

/* `front` octets stand before all, in the header of the message itself. */
static void encode_part(char *at, const struct part *p, uint64_t front, size_t charset_at)
{
    put_le(at, p->parent ? front + p->header_at : 0, 8);
    put_le(at + 8, front + p->body_at, 8);
    put_le(at + 16, front + p->end, 8);
    put_le(at + 24, p->after, 4);
    put_le(at + 28, charset_at, 4);
    at[32] = (char)p->charset.len;
    at[33] = (char)p->kind;
    at[34] = p->encoding;
    at[35] = (char)p->searchable;
}

static size_t charset_bytes(const struct part *root)
{
    size_t n = 0;

    for (const struct part *p = root; p; p = p->next)
        n += p->charset.len;
    return n;
}

/* One line of the part table. Charset names go to their own place, equal neighbours
 * once. */
static void put_table_line(struct encoding *e, const struct part *p, uint64_t front)
{
    char *at = e->out.at + BLOB_HEAD + (size_t)p->index * BLOB_PART;

    if (p->charset.len && !slice_eq(p->charset, e->newest)) {
        e->newest = p->charset;
        e->newest_at = e->names.len;
        out_put(&e->names, e->newest);
    }
    encode_part(at, p, front, e->newest_at);
}

/* Ends one section of the blob: writes its length; the next one begins. */
static void end_section(struct encoding *e, unsigned length_at)
{
    put_le(e->out.at + length_at, e->out.len - e->section, 4);
    e->section = e->out.len;
}

static bool begin_encoding(struct summary_builder *b)
{
    struct encoding *e = &b->encoding;
    size_t names_cap = charset_bytes(b->root);
    size_t table = BLOB_HEAD + (size_t)b->count * BLOB_PART;
    size_t cap = table + (RENDER_MAX - b->budget) + names_cap + BLOB_SLACK;
    char *at = arena_take(b->arena, cap);
    char *names_at = arena_take(b->arena, names_cap + 1);

    if (!at || !names_at)
        return false;
    e->names = out_of(names_at, names_cap);
    e->out = (struct out){at, table, cap, false, NULL};
    e->section = table;
    e->part = b->root;
    encode_head(at, b);
    return true;
}

/* A slice of the present section: false when there is more of it. */
static bool encode_parts(struct summary_builder *b)
{
    struct encoding *e = &b->encoding;
    size_t start = e->out.len;

    for (unsigned n = 0; e->part && n < PARTS_A_STEP; n++) {
        if (e->out.len - start > BYTES_A_STEP)
            return false;
        if (e->at == ENCODE_TABLE)
            put_table_line(e, e->part, b->front.count);
        else
            summary_put_part(&e->out, e->part, e->at == ENCODE_BODYSTRUCTURE);
        e->part = e->part->next;
    }
    if (e->part)
        return false;
    e->part = b->root;
    return true;
}

/* Goes on with the present section; false: the slice is used up, or the arena is. */
static bool encode_section(struct summary_builder *b)
{
    struct encoding *e = &b->encoding;

    switch (e->at) {
    case ENCODE_BEGIN:
        b->failed = !begin_encoding(b);
        if (b->failed)
            return false;
        summary_put_envelope(&e->out, b->root->envelope);
        end_section(e, 44);
        return true;
    case ENCODE_TABLE:
        return encode_parts(b);
    case ENCODE_BODY:
    case ENCODE_BODYSTRUCTURE:
        if (!encode_parts(b))
            return false;
        end_section(e, e->at == ENCODE_BODY ? 48 : 52);
        return true;
    case ENCODE_NAMES:
        out_put(&e->out, out_slice(&e->names));
        end_section(e, 56);
        return true;
    case ENCODE_DONE:
        break;
    }
    CHECK(false);
    return false;
}

bool summary_encode_step(struct summary_builder *b, struct slice *encoded)
{
    struct encoding *e = &b->encoding;

    for (; e->at != ENCODE_DONE; e->at++)
        if (!encode_section(b))
            return b->failed;
    CHECK(!e->out.full && !e->names.full);
    *encoded = out_slice(&e->out);
    return true;
}

/* --- using ---------------------------------------------------------------------- */

static uint64_t get_le(const char *at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = bytes; i-- > 0;)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

static uint32_t get_u32(const char *at)
{
    return (uint32_t)get_le(at, 4);
}

/* Cuts a section of so many octets off *rest; false when it is shorter. */
static bool cut(struct slice *rest, uint64_t bytes, struct slice *section)
{
    if (bytes > rest->len)
        return false;
    *section = slice_take(rest, (size_t)bytes);
    return true;
}

static void read_head(const char *at, struct summary *s)
{
    uint64_t flags = get_le(at + 2, 2);

    s->has_8bit = flags & BLOB_8BIT;
    s->has_nul = flags & BLOB_NUL;
    s->has_dot_line = flags & BLOB_DOT_LINE;
    s->ends_with_crlf = flags & BLOB_CRLF_END;
    s->size = get_le(at + 8, 8);
    s->header_bytes = get_le(at + 16, 8);
    s->lines = get_u32(at + 24);
    s->body_lines = get_u32(at + 28);
    s->sent_utc = (int64_t)get_le(at + 32, 8);
    s->sent_day = (int32_t)get_u32(at + 40);
}

bool summary_open(struct slice blob, struct summary *s)
{
    struct slice rest = blob, head, names;

    *s = (struct summary){.blob = blob};
    if (!cut(&rest, BLOB_HEAD, &head) || head.at[0] != 'S' ||
        head.at[1] != SUMMARY_VERSION)
        return false;
    read_head(head.at, s);
    return s->header_bytes <= s->size && get_u32(head.at + 4) > 0 &&
        cut(&rest, (uint64_t)get_u32(head.at + 4) * BLOB_PART, &s->parts) &&
        cut(&rest, get_u32(head.at + 44), &s->envelope) &&
        cut(&rest, get_u32(head.at + 48), &s->body) &&
        cut(&rest, get_u32(head.at + 52), &s->bodystructure) &&
        cut(&rest, get_u32(head.at + 56), &names) && rest.len == 0;
}

/* An entry of the part table, with its place in it. */
struct entry {
    uint32_t index, after;
    uint64_t header_at, body_at, end;
    enum part_kind kind;
};

static uint32_t part_count(const struct summary *s)
{
    return (uint32_t)(s->parts.len / BLOB_PART);
}

/* Entry i, its offsets in order and within the message; false past the last. */
static bool entry_at(const struct summary *s, uint32_t i, struct entry *e)
{
    const char *at = s->parts.at + (size_t)i * BLOB_PART;

    if (i >= part_count(s))
        return false;
    *e = (struct entry){.index = i,
        .after = get_u32(at + 24),
        .header_at = get_le(at, 8),
        .body_at = get_le(at + 8, 8),
        .end = get_le(at + 16, 8)};
    e->kind = at[33] == PART_MULTIPART ? PART_MULTIPART
        : at[33] == PART_MESSAGE       ? PART_MESSAGE
                                       : PART_LEAF;
    return e->header_at <= e->body_at && e->body_at <= e->end && e->end <= s->size &&
        e->after > i;
}

/* The n-th part (from 1) directly within e. */
static bool child_at(
    const struct summary *s, const struct entry *e, uint32_t n, struct entry *child)
{
    uint32_t end = e->after;

    for (uint32_t i = e->index + 1; i < end; i = child->after) {
        if (!entry_at(s, i, child))
            return false;
        if (--n == 0)
            return true;
    }
    return false;
}

/* The part with number n seen from *e, which is the message itself (`whole`) or a
 * part. A message that is no multipart has one part, its body (RFC 3501, 6.4.5). */
static bool step(const struct summary *s, struct entry *e, bool whole, uint32_t n)
{
    struct entry inner = *e;

    if (n == 0)
        return false;
    if (!whole && e->kind == PART_MESSAGE) {
        if (!child_at(s, e, 1, &inner))
            return false;
    } else if (!whole && e->kind == PART_LEAF) {
        return false;
    }
    if (inner.kind == PART_MULTIPART)
        return child_at(s, &inner, n, e);
    *e = inner;
    return n == 1;
}

static struct range range_of(uint64_t at, uint64_t end)
{
    return (struct range){at, end - at};
}

static bool find_part(
    const struct summary *s, const uint32_t *path, unsigned count, struct entry *e)
{
    if (!entry_at(s, 0, e))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!step(s, e, i == 0, path[i]))
            return false;
    return true;
}

bool summary_section(const struct summary *s, const uint32_t *path, unsigned count,
    enum section_part part, struct range *range)
{
    struct entry e;

    if (!find_part(s, path, count, &e))
        return false;
    if (part == SECTION_MIME) {
        *range = range_of(e.header_at, e.body_at);
        return count > 0;
    }
    if (part == SECTION_ALL) {
        *range = range_of(count ? e.body_at : 0, count ? e.end : s->size);
        return true;
    }
    if (count && (e.kind != PART_MESSAGE || !child_at(s, &e, 1, &e)))
        return false;
    *range = part == SECTION_HEADER ? range_of(e.header_at, e.body_at)
                                    : range_of(e.body_at, e.end);
    return true;
}

static void read_leaf(
    const struct summary *s, const struct entry *e, struct summary_leaf *leaf)
{
    const char *at = s->parts.at + (size_t)e->index * BLOB_PART;
    size_t names_at = (size_t)(s->bodystructure.at + s->bodystructure.len - s->blob.at);
    size_t names = s->blob.len - names_at;
    uint32_t charset_at = get_u32(at + 28);
    uint8_t charset_len = (uint8_t)at[32];

    *leaf = (struct summary_leaf){
        .header = range_of(e->header_at, e->body_at),
        .body = range_of(e->body_at, e->end),
        .text = at[35] != 0,
        .encoding = at[34] == 'b' || at[34] == 'q' || at[34] == '?' ? at[34] : '7',
    };
    if (charset_at <= names && charset_len <= names - charset_at)
        leaf->charset = slice_of(s->blob.at + names_at + charset_at, charset_len);
}

bool summary_leaf_at(const struct summary *s, unsigned i, struct summary_leaf *leaf)
{
    struct entry e;

    if (!entry_at(s, i, &e))
        return false;
    read_leaf(s, &e, leaf);
    if (e.kind != PART_LEAF)
        leaf->body.len = 0;
    return true;
}

bool summary_part(const struct summary *s, const uint32_t *path, unsigned count,
    struct summary_leaf *part)
{
    struct entry e;

    if (!find_part(s, path, count, &e))
        return false;
    read_leaf(s, &e, part);
    return true;
}
