#include "proto/mime/convert_plan.h"

#include "proto/base/check.h"
#include "proto/base/scan.h"
#include "proto/mime/utf8.h"

static struct slice held(const struct convert_scan *s)
{
    return slice_of(s->hold, s->held);
}

void convert_refuse(struct convert_scan *s, enum convert_verdict why)
{
    if (!convert_refused(s))
        s->plan.verdict = why;
}

struct convert_edit *convert_add(struct convert_scan *s, uint64_t at)
{
    struct convert_edit *e = arena_zero(s->arena, sizeof *e);

    if (!e) {
        convert_refuse(s, CONVERT_LIMIT);
        return NULL;
    }
    e->at = at;
    *s->last = e;
    s->last = &e->next;
    return e;
}

unsigned convert_take_flaws(struct convert_scan *s)
{
    unsigned all = SCAN_BARE | SCAN_NUL | CONVERT_LONG, flaws;

    if (s->plan.target == CONVERT_TO_7BIT)
        all |= CONVERT_HIGH;
    flaws = s->flaws & all;
    s->flaws = 0;
    return flaws;
}

/* Counts octets of one line, its end included or not. */
static void pass(struct convert_scan *s, struct slice octets)
{
    char before = s->newest[1], newest;
    uint32_t most = CONVERT_LINE_MAX;

    if (octets.len == 0)
        return;
    s->flaws |= scan_flaws(octets, before);
    if (!(s->flaws & CONVERT_HIGH) && utf8_ascii_run(octets) < octets.len)
        s->flaws |= CONVERT_HIGH;
    newest = octets.at[octets.len - 1];
    s->newest[0] = octets.len > 1 ? octets.at[octets.len - 2] : before;
    s->newest[1] = newest;
    s->count += octets.len;
    if (octets.len > CONVERT_LINE_MAX + 2)
        octets.len = CONVERT_LINE_MAX + 2 + 1;
    s->line += (uint32_t)octets.len;
    if (newest == '\n')
        most += s->newest[0] == '\r' ? 2 : 1;
    else if (newest == '\r')
        most++;
    if (s->line > most) {
        s->flaws |= CONVERT_LONG;
        s->line = CONVERT_LINE_MAX + 2;
    }
    if (newest == '\n')
        s->line = 0;
}

static void pass_held(struct convert_scan *s)
{
    pass(s, held(s));
    s->held = 0;
}

/* --- parts ---------------------------------------------------------------- */

/* A part whose header begins at the next octet, within the innermost one. */
static void part_open(struct convert_scan *s, bool message)
{
    const struct convert_part *parent = convert_part(s);
    struct convert_part *p = &s->parts[++s->depth];

    CHECK(s->depth <= CONVERT_DEPTH_MAX);
    *p = (struct convert_part){.label = '7',
        .in_header = true,
        .message = message,
        .text = true,
        .inside_signed = parent->inside_signed || parent->is_signed};
    if (!message && parent->kind == CONVERT_MULTIPART && parent->digest)
        p->kind = CONVERT_MESSAGE; /* RFC 2046, 5.1.5 */
    s->state = CONVERT_HEADER_LINE;
    s->field = CONVERT_FIELD_NONE;
}

/* The header is over. An embedded message is opened at once, so that another header may
 * be in progress afterwards. */
static void header_end(struct convert_scan *s, unsigned empty_line)
{
    struct convert_part *p = convert_part(s);

    convert_field_end(s);
    p->in_header = false;
    p->too_deep = p->kind != CONVERT_LEAF && s->depth == CONVERT_DEPTH_MAX;
    s->state = CONVERT_BODY;
    convert_header_done(s, empty_line);
    if (p->kind == CONVERT_MULTIPART)
        boundary_add(&s->boundaries, slice_of(p->boundary, p->boundary_len), p);
    else if (p->kind == CONVERT_MESSAGE)
        part_open(s, true);
}

static void end_headers(struct convert_scan *s)
{
    while (convert_part(s)->in_header)
        header_end(s, 0);
}

static void part_close(struct convert_scan *s, uint64_t end, bool whole)
{
    boundary_remove(&s->boundaries, convert_part(s));
    convert_part_done(s, end, whole);
    s->depth--;
}

/* --- delimiter lines ------------------------------------------------------ */

/* The held line is a delimiter of `owner`: all inside ends before the line end in front
 * of it. */
static void take_delimiter(
    struct convert_scan *s, struct convert_part *owner, bool closing)
{
    bool lf = s->count > 0 && s->newest[1] == '\n';
    bool crlf = lf && s->newest[0] == '\r';
    uint64_t end = s->count - lf - crlf;

    if (lf && !crlf)
        convert_refuse(s, CONVERT_FORM);
    end_headers(s);
    while (convert_part(s) != owner)
        part_close(s, end, false);
    if (!owner->has_parts)
        convert_preamble_done(s);
    owner->has_parts = true;
    if (closing)
        boundary_remove(&s->boundaries, owner);
    s->opens_part = !closing;
    s->state = CONVERT_DELIMITER;
    pass_held(s);
}

/* True when the held line was a delimiter (RFC 2046, 5.1.1). */
static bool try_delimiter(struct convert_scan *s)
{
    struct slice line = held(s);
    struct convert_part *owner;
    size_t length;

    if (line.len < 3 || line.at[0] != '-' || line.at[1] != '-')
        return false;
    slice_take(&line, 2);
    owner = boundary_match(&s->boundaries, line, &length);
    if (!owner)
        return false;
    slice_take(&line, length);
    take_delimiter(s, owner, line.len >= 2 && line.at[0] == '-' && line.at[1] == '-');
    return true;
}

/* The delimiter line is over. */
static void delimiter_end(struct convert_scan *s)
{
    if (convert_take_flaws(s))
        convert_refuse(s, CONVERT_FORM);
    s->state = CONVERT_BODY;
    if (s->opens_part)
        part_open(s, false);
    else
        convert_part(s)->epilogue_at = s->count;
}

/* --- lines ---------------------------------------------------------------- */

/* Whether the held beginning of a header line tells what the line is. */
static bool header_line_decided(const struct convert_scan *s)
{
    char first = s->hold[0], newest = s->hold[s->held - 1];

    if (newest == '\n' || s->held == CONVERT_HOLD || first == ' ' || first == '\t')
        return true;
    if (s->boundaries.count && first == '-' && (s->held < 2 || s->hold[1] == '-'))
        return false;
    return newest == ':';
}

/* A body line that begins with '-': likewise. */
static bool dashes_decided(const struct convert_scan *s)
{
    return s->hold[s->held - 1] == '\n' || s->held == CONVERT_HOLD ||
        (s->held >= 2 && s->hold[1] != '-');
}

/* The held octets of a header line, at s->count. */
static void pass_header(struct convert_scan *s, struct slice octets)
{
    convert_fold_octets(s, octets);
    pass(s, octets);
}

/* Decides the held beginning of a header line. */
static void take_header_line(struct convert_scan *s)
{
    struct slice line = held(s);
    bool whole = line.at[line.len - 1] == '\n';
    bool continued = line.at[0] == ' ' || line.at[0] == '\t';
    size_t colon = slice_find(line, ':');

    if (slice_eq(line, S("\r\n")) || slice_eq(line, S("\n"))) {
        convert_field_end(s);
        pass_held(s);
        header_end(s, (unsigned)line.len);
        return;
    }
    if (s->boundaries.count && try_delimiter(s))
        return;
    if (!continued) {
        convert_field_end(s);
        if (colon < line.len)
            convert_field_begin(s, slice_trim(slice_of(line.at, colon)));
    }
    if (s->field != CONVERT_FIELD_NONE) {
        slice_take(&line, continued ? 0 : colon + 1);
        out_put(&s->value.out, line);
    }
    pass_header(s, held(s));
    s->held = 0;
    s->state = whole ? CONVERT_HEADER_LINE : CONVERT_FIELD;
}

static void take_body_line(struct convert_scan *s)
{
    if (try_delimiter(s))
        return;
    pass_held(s);
    s->state = CONVERT_BODY;
}

/* Moves octets into `hold` until the line is decided. False when they ran out. */
static bool hold_line(struct convert_scan *s, struct slice *in,
    bool (*decided)(const struct convert_scan *))
{
    while (in->len) {
        s->hold[s->held++] = slice_take(in, 1).at[0];
        if (decided(s))
            return true;
    }
    return false;
}

/* Cuts the rest of the line off *in. */
static struct slice rest_of_line(struct slice *in)
{
    size_t lf = slice_find(*in, '\n');

    return slice_take(in, lf < in->len ? lf + 1 : lf);
}

static void feed_field(struct convert_scan *s, struct slice *in)
{
    struct slice rest = rest_of_line(in);

    if (s->field != CONVERT_FIELD_NONE)
        out_put(&s->value.out, rest);
    pass_header(s, rest);
    if (s->newest[1] == '\n')
        s->state = CONVERT_HEADER_LINE;
}

static void feed_delimiter(struct convert_scan *s, struct slice *in)
{
    if (s->newest[1] != '\n') /* not all of it was held */
        pass(s, rest_of_line(in));
    if (s->newest[1] == '\n')
        delimiter_end(s);
}

static void feed_body(struct convert_scan *s, struct slice *in)
{
    bool line_start = s->newest[1] == '\n' || s->count == 0;

    if (line_start && in->at[0] == '-' && s->boundaries.count)
        s->state = CONVERT_DASHES;
    else
        pass(s, rest_of_line(in));
}

struct convert_scan *convert_scan_begin(struct arena *arena, enum convert_target target)
{
    struct convert_scan *s = arena_zero(arena, sizeof *s);

    if (!s)
        return NULL;
    s->arena = arena;
    s->plan.target = target;
    s->last = (struct convert_edit **)&s->plan.edits;
    s->parts[0] = (struct convert_part){
        .label = '7', .in_header = true, .message = true, .text = true};
    text_init(&s->value, arena, CONVERT_FIELD_MAX);
    text_init(&s->space, arena, 4 * CONVERT_FIELD_MAX + 1024);
    return s;
}

void convert_scan_feed(struct convert_scan *s, struct slice in)
{
    while (in.len && !convert_refused(s)) {
        switch (s->state) {
        case CONVERT_HEADER_LINE:
            if (hold_line(s, &in, header_line_decided))
                take_header_line(s);
            break;
        case CONVERT_FIELD:
            feed_field(s, &in);
            break;
        case CONVERT_BODY:
            feed_body(s, &in);
            break;
        case CONVERT_DASHES:
            if (hold_line(s, &in, dashes_decided))
                take_body_line(s);
            break;
        case CONVERT_DELIMITER:
            feed_delimiter(s, &in);
            break;
        }
    }
}

/* What is held when the text ends is decided as it stands. */
static void end_line(struct convert_scan *s)
{
    if (s->state == CONVERT_HEADER_LINE && s->held)
        take_header_line(s);
    else if (s->state == CONVERT_DASHES)
        take_body_line(s);
    if (s->state == CONVERT_DELIMITER)
        delimiter_end(s);
    if (s->newest[1] == '\r')
        s->flaws |= SCAN_BARE;
}

const struct convert_plan *convert_scan_end(struct convert_scan *s)
{
    if (!convert_refused(s)) {
        end_line(s);
        end_headers(s);
        while (s->depth)
            part_close(s, s->count, true);
        convert_part_done(s, s->count, true);
    }
    if (!convert_refused(s) && s->wanted)
        s->plan.verdict = CONVERT_REWRITE;
    if (s->plan.verdict != CONVERT_REWRITE)
        s->plan.edits = NULL;
    return &s->plan;
}

struct slice convert_reason(enum convert_verdict verdict)
{
    static const struct slice words[] = {
        [CONVERT_AS_IS] = SI("the message needs no conversion"),
        [CONVERT_REWRITE] = SI("the message is converted"),
        [CONVERT_HEADER] = SI("its header holds characters beyond ASCII, which the next "
                              "server does not take"),
        [CONVERT_SIGNED] = SI("a signed part would have to be changed for the next "
                              "server, which breaks the signature"),
        [CONVERT_FORM] = SI("it can't be converted to what the next server takes"),
        [CONVERT_LIMIT] = SI("it has too many parts to be converted to what the next "
                             "server takes"),
    };

    return words[verdict];
}
