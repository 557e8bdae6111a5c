#include "proto/mime/summary_parts.h"

#include "proto/base/check.h"

static struct slice held(const struct summary_builder *b)
{
    return slice_of(b->hold, b->held);
}

/* The octets in `hold` are decided upon: now they count. */
static void pass_held(struct summary_builder *b)
{
    octets_pass(&b->octets, held(b));
    b->held = 0;
}

/* --- parts ------------------------------------------------------------------ */

/* Defaults of a part that says nothing: text/plain (RFC 2045, 5.2), but a message
 * within a multipart/digest (RFC 2046, 5.1.5). */
static void part_defaults(struct part *p, bool message)
{
    const struct part *parent = p->parent;

    CHECK(message || parent);
    p->encoding = '7';
    p->text = p->searchable = true;
    p->in_header = true;
    p->depth = parent ? (uint16_t)(parent->depth + 1) : 0;
    p->budget = RENDER_FIELDS;
    if (!message && parent->kind == PART_MULTIPART && parent->digest) {
        p->kind = PART_MESSAGE;
        p->text = false;
    }
}

/* A new part within `parent` whose header begins at the next octet. `message`: it is
 * a message, the whole one or one embedded. False when no more parts are listed. */
static bool part_open(struct summary_builder *b, struct part *parent, bool message)
{
    uint32_t cost = message ? RENDER_PART + RENDER_ENVELOPE : RENDER_PART;
    struct part *p;

    if (b->count >= b->limits.parts || b->budget < cost)
        return false;
    p = arena_zero(b->arena, sizeof *p);
    if (p && message)
        p->envelope = arena_zero(b->arena, sizeof *p->envelope);
    if (!p || (message && !p->envelope)) {
        b->failed = true;
        return false;
    }
    b->budget -= cost;
    p->parent = parent;
    p->index = b->count++;
    p->header_at = p->body_at = b->octets.count;
    p->body_lines_at = b->octets.lines;
    part_defaults(p, message);
    if (parent)
        parent->children++;
    *b->next_link = p;
    b->next_link = &p->next;
    b->part = p;
    b->state = BUILD_HEADER_LINE;
    b->field = FIELD_NONE;
    return true;
}

/* What cannot be looked into is one part of no known type. */
static void part_make_opaque(struct part *p)
{
    p->kind = PART_LEAF;
    p->type = S("\"application\" \"octet-stream\"");
    p->params.at = NULL;
    p->text = p->searchable = false;
}

/* The header of b->part is over. An embedded message is opened at once, so that
 * another header may be in progress afterwards. */
static void header_end(struct summary_builder *b)
{
    struct part *p = b->part;

    summary_field_take(b);
    p->in_header = false;
    p->body_at = b->octets.count;
    p->body_lines_at = b->octets.lines;
    b->state = BUILD_BODY;
    if (p->kind == PART_LEAF)
        return;
    if (p->depth >= b->limits.depth) {
        part_make_opaque(p);
        return;
    }
    if (p->kind == PART_MESSAGE && !part_open(b, p, true))
        part_make_opaque(p);
    if (p->kind == PART_MULTIPART && p->boundary.len)
        boundary_add(&b->boundaries, p->boundary, p);
}

/* A multipart without any part is shown with an empty one, as its syntax in IMAP
 * wants at least one (RFC 3501, section 9, body-type-mpart). */
static void add_empty_child(struct summary_builder *b, struct part *parent)
{
    struct part *p = arena_zero(b->arena, sizeof *p);

    if (!p) {
        b->failed = true;
        return;
    }
    *p = (struct part){.parent = parent,
        .index = b->count++,
        .depth = (uint16_t)(parent->depth + 1),
        .text = true,
        .searchable = true,
        .encoding = '7',
        .header_at = parent->end,
        .body_at = parent->end,
        .end = parent->end,
        .body_lines_at = parent->end_lines,
        .end_lines = parent->end_lines,
        .after = b->count};
    parent->children++;
    *b->next_link = p;
    b->next_link = &p->next;
}

/* The least offset at which p may end: its own beginning, or that of the part whose
 * whole body it is. */
static uint64_t least_end(const struct part *p)
{
    while (p->parent && p->parent->kind == PART_MESSAGE)
        p = p->parent;
    return p->header_at;
}

/* b->part ends there. The line end in front of a delimiter is not the part's, even
 * when that shortens its header (RFC 2046, 5.1.1: body-part := headers [CRLF body]). */
static void part_close(struct summary_builder *b, uint64_t end, uint64_t lines)
{
    struct part *p = b->part;
    uint64_t least = least_end(p);

    p->end = end > least ? end : least;
    p->end_lines = lines > p->body_lines_at ? lines : p->body_lines_at;
    if (p->header_at > p->end)
        p->header_at = p->end;
    if (p->body_at > p->end) {
        p->body_at = p->end;
        p->body_lines_at = p->end_lines;
    }
    if (p->kind == PART_MULTIPART) {
        boundary_remove(&b->boundaries, p);
        if (p->children == 0)
            add_empty_child(b, p);
    }
    p->after = b->count;
    b->part = p->parent;
}

/* Ends every header in progress: the open one, and that of a message it announces. */
static void end_headers(struct summary_builder *b)
{
    while (b->part->in_header && !b->failed)
        header_end(b);
}

/* --- delimiter lines ---------------------------------------------------------- */

/* The held line is a delimiter of `owner`: everything inside ends in front of the
 * line end before it. */
static void take_delimiter(struct summary_builder *b, struct part *owner, bool closing)
{
    const struct octets *o = &b->octets;
    bool lf = o->count > 0 && o->last[1] == '\n';
    bool crlf = lf && o->count > 1 && o->last[0] == '\r';
    uint64_t end = o->count - lf - crlf;
    uint64_t lines = o->lines - lf;

    end_headers(b);
    while (b->part != owner && !b->failed)
        part_close(b, end, lines);
    if (b->failed)
        return;
    if (closing)
        boundary_remove(&b->boundaries, owner);
    b->opens_part = !closing;
    b->state = BUILD_DELIMITER;
    pass_held(b);
}

/* True when the held line was a delimiter. */
static bool try_delimiter(struct summary_builder *b)
{
    struct slice line = held(b);
    struct part *owner;
    size_t length;

    if (line.len < 3 || line.at[0] != '-' || line.at[1] != '-')
        return false;
    slice_take(&line, 2);
    owner = boundary_match(&b->boundaries, line, &length);
    if (!owner)
        return false;
    slice_take(&line, length);
    take_delimiter(b, owner, line.len >= 2 && line.at[0] == '-' && line.at[1] == '-');
    return true;
}

/* --- lines ---------------------------------------------------------------------- */

/* A line end, or the end of the message, within what is held. */
static bool line_ended(const struct summary_builder *b)
{
    return b->held && b->hold[b->held - 1] == '\n';
}

/* Whether the held beginning of a header line tells what the line is. */
static bool header_line_decided(const struct summary_builder *b)
{
    char first = b->hold[0], newest = b->hold[b->held - 1];

    if (newest == '\n' || b->held == LINE_HOLD || first == ' ' || first == '\t')
        return true;
    if (b->boundaries.count && first == '-' && (b->held < 2 || b->hold[1] == '-'))
        return false;
    return newest == ':';
}

/* A body line that begins with '-': likewise. */
static bool dashes_decided(const struct summary_builder *b)
{
    return b->hold[b->held - 1] == '\n' || b->held == LINE_HOLD ||
        (b->held >= 2 && b->hold[1] != '-');
}

/* A field begins: looks its name up. The held octets are "name:" or a whole line. */
static void field_begin(struct summary_builder *b)
{
    struct slice name = held(b);
    size_t colon = slice_find(name, ':');
    const struct part *p = b->part;

    b->field = FIELD_NONE;
    if (colon == name.len || b->octets.count - p->header_at > b->limits.header)
        return;
    name = slice_trim(slice_of(name.at, colon));
    b->field = summary_field_of(name, p->envelope != NULL);
    if (b->field == FIELD_NONE)
        return;
    text_reset(&b->value);
    out_put(&b->value.out, slice_of(b->hold + colon + 1, b->held - (unsigned)colon - 1));
}

/* Decides the held beginning of a header line. */
static void take_header_line(struct summary_builder *b)
{
    struct slice line = held(b);
    bool whole = line_ended(b);

    if (slice_eq(line, S("\r\n")) || slice_eq(line, S("\n"))) {
        pass_held(b);
        header_end(b);
        return;
    }
    if (b->boundaries.count && try_delimiter(b))
        return;
    if (line.len && (line.at[0] == ' ' || line.at[0] == '\t')) {
        if (b->field != FIELD_NONE)
            out_put(&b->value.out, line);
    } else {
        summary_field_take(b);
        field_begin(b);
    }
    pass_held(b);
    if (!whole)
        b->state = b->field == FIELD_NONE ? BUILD_SKIP : BUILD_KEEP;
}

static void take_body_line(struct summary_builder *b)
{
    if (try_delimiter(b))
        return;
    pass_held(b);
    b->state = BUILD_BODY;
}

/* Moves octets into `hold` until the line is decided. False when they ran out. */
static bool hold_line(struct summary_builder *b, struct slice *in,
    bool (*decided)(const struct summary_builder *))
{
    while (in->len) {
        b->hold[b->held++] = slice_take(in, 1).at[0];
        if (decided(b))
            return true;
    }
    return false;
}

/* The name of a field, in one piece where all of it is there. What the octet by octet
 * way has to decide at once, or later, is left to that. */
static bool hold_name(struct summary_builder *b, struct slice *in)
{
    char first = in->at[0];
    size_t most = in->len < LINE_HOLD ? in->len : LINE_HOLD, n = 0;

    if (b->held || first == ' ' || first == '\t' || first == '-')
        return false;
    while (n < most && in->at[n] != ':' && in->at[n] != '\n')
        n++;
    if (n == most)
        return false;
    memcpy(b->hold, slice_take(in, n + 1).at, n + 1);
    b->held = (unsigned)n + 1;
    return true;
}

/* Cuts the rest of the line off *in; true when its end is there. */
static bool rest_of_line(struct slice *in, struct slice *rest)
{
    size_t lf = slice_find(*in, '\n');
    bool ended = lf < in->len;

    *rest = slice_take(in, ended ? lf + 1 : lf);
    return ended;
}

static void feed_field_line(struct summary_builder *b, struct slice *in)
{
    struct slice rest;
    bool ended = rest_of_line(in, &rest);

    if (b->state == BUILD_KEEP && !b->value.out.full) {
        size_t room = b->limits.field - text_len(&b->value);

        out_put(&b->value.out, slice_of(rest.at, rest.len < room ? rest.len : room));
    }
    octets_pass(&b->octets, rest);
    if (ended)
        b->state = BUILD_HEADER_LINE;
}

static void feed_delimiter(struct summary_builder *b, struct slice *in)
{
    struct slice rest;
    bool ended;

    if (b->octets.line_start) { /* all of it was held */
        b->state = BUILD_BODY;
    } else {
        ended = rest_of_line(in, &rest);
        octets_pass(&b->octets, rest);
        if (!ended)
            return;
        b->state = BUILD_BODY;
    }
    if (b->opens_part)
        part_open(b, b->part, false);
}

static void feed_body(struct summary_builder *b, struct slice *in)
{
    if (b->boundaries.count == 0) {
        octets_pass(&b->octets, *in);
        slice_take(in, in->len);
    } else if (octets_pass_to_dash(&b->octets, in)) {
        b->state = BUILD_DASHES;
    }
}

const struct summary_limits summary_defaults = {.field = 1 << 20,
    .header = 10 << 20,
    .depth = 100,
    .parts = 10000,
    .addresses = 1000,
    .pieces = 128};

static bool limits_valid(const struct summary_limits *l)
{
    return l->field <= SUMMARY_FIELD_MAX && l->header <= SUMMARY_HEADER_MAX &&
        l->depth <= SUMMARY_DEPTH_MAX && l->parts > 0 && l->parts <= SUMMARY_PARTS_MAX &&
        l->addresses <= SUMMARY_ADDRESSES_MAX && l->pieces <= SUMMARY_PIECES_MAX;
}

struct summary_builder *summary_begin(
    struct arena *arena, const struct summary_limits *limits)
{
    struct summary_builder *b = arena_zero(arena, sizeof *b);

    CHECK(limits_valid(limits));
    if (!b)
        return NULL;
    b->arena = arena;
    b->limits = *limits;
    if (b->limits.field > SUMMARY_TEXT_MAX)
        b->limits.field = SUMMARY_TEXT_MAX;
    b->next_link = &b->root;
    b->budget = RENDER_MAX;
    b->sent_utc = INT64_MIN;
    octets_begin(&b->octets);
    octets_begin(&b->front);
    text_init(&b->value, arena, b->limits.field);
    text_init(&b->piece, arena, RENDER_MAX);
    text_init(&b->space, arena, 4 * (size_t)b->limits.field + 1024);
    part_open(b, NULL, true);
    return b->failed ? NULL : b;
}

void summary_feed(struct summary_builder *b, struct slice in)
{
    while (in.len && !b->failed) {
        switch (b->state) {
        case BUILD_HEADER_LINE:
            if (hold_name(b, &in) || hold_line(b, &in, header_line_decided))
                take_header_line(b);
            break;
        case BUILD_KEEP:
        case BUILD_SKIP:
            feed_field_line(b, &in);
            break;
        case BUILD_BODY:
            feed_body(b, &in);
            break;
        case BUILD_DASHES:
            if (hold_line(b, &in, dashes_decided))
                take_body_line(b);
            break;
        case BUILD_DELIMITER:
            feed_delimiter(b, &in);
            break;
        }
    }
}

bool summary_front(struct summary_builder *b, struct slice fields)
{
    struct slice in = fields, line;

    CHECK(!b->ended && b->front.count == 0);
    while (in.len) {
        if (!rest_of_line(&in, &line) || slice_trim(line).len == 0)
            return false;
        if (line.at[0] != ' ' && line.at[0] != '\t' &&
            summary_field_of(
                slice_trim(slice_of(line.at, slice_find(line, ':'))), true) != FIELD_NONE)
            return false;
    }
    octets_pass(&b->front, fields);
    return true;
}

/* What is held when the message ends is decided as it stands. */
static void end_line(struct summary_builder *b)
{
    if (b->state == BUILD_HEADER_LINE && b->held)
        take_header_line(b);
    else if (b->state == BUILD_DASHES)
        take_body_line(b);
    if (b->state == BUILD_DELIMITER && b->opens_part)
        part_open(b, b->part, false);
}

/* Ends every part that is open: no more than the depth allows. */
static void end_parts(struct summary_builder *b)
{
    if (!b->failed)
        end_line(b);
    while (b->part && !b->failed) {
        end_headers(b);
        part_close(b, b->octets.count, b->octets.lines);
    }
    b->ended = true;
}

bool summary_end_step(struct summary_builder *b, struct slice *encoded)
{
    *encoded = slice_of(NULL, 0);
    if (!b->ended)
        end_parts(b);
    return b->failed || summary_encode_step(b, encoded);
}

struct slice summary_end(struct summary_builder *b)
{
    struct slice encoded;

    while (!summary_end_step(b, &encoded))
        continue;
    return encoded;
}
