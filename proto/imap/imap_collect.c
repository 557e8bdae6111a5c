/* Where a command ends.
 *
 *      NEW --> TAG --> LINE <--> LITERAL          COMMAND, APPEND: back to NEW, or TAIL
 *                       |                         TAIL: only CRLF may follow a message
 *                refused|
 *                       v
 *               SKIP_LINE <--> SKIP_LITERAL       end of the command: back to NEW
 *                       |
 *             too much  v
 *                    CLOSED
 *
 * A literal is announced by "{n}" or "{n+}" at the very end of a line (RFC 3501, 4.3;
 * RFC 7888, 4), whatever else the line holds: a sender that writes this also sends the
 * octets, so even a line that will be refused stays in step.
 */
#include <emmintrin.h>

#include "proto/base/check.h"
#include "proto/imap/imap.h"
#include "proto/imap/imap_lex.h"

enum phase {
    PHASE_NEW,
    PHASE_TAG,
    PHASE_LINE,
    PHASE_LITERAL,
    PHASE_TAIL,
    PHASE_PLAIN, /* a line without a tag */
    PHASE_SKIP_LINE,
    PHASE_SKIP_LITERAL,
    PHASE_CLOSED,
};

enum brace {
    BRACE_NONE,
    BRACE_OPEN,
    BRACE_DIGITS,
    BRACE_PLUS,
    BRACE_SYNC,    /* "{n}" */
    BRACE_NONSYNC, /* "{n+}" */
};

enum scan {
    SCAN_MORE, /* all octets looked at */
    SCAN_LINE, /* a CRLF was passed */
    SCAN_BAD,  /* at an octet that may not stand here */
    SCAN_FULL, /* there is another octet, but no room for it */
};

static void brace_open(struct imap_collect *c, char octet)
{
    c->brace = octet == '{' ? BRACE_OPEN : BRACE_NONE;
    c->brace_at = c->scanned;
    c->number = 0;
}

/* One more digit; what does not fit stays at the largest number, which no limit allows.
 */
static void brace_digit(struct imap_collect *c, char octet)
{
    uint64_t n;

    if (__builtin_mul_overflow(c->number, 10U, &n) ||
        __builtin_add_overflow(n, (uint64_t)(octet - '0'), &n))
        n = UINT64_MAX;
    c->number = n;
    c->brace = BRACE_DIGITS;
}

static void brace_step(struct imap_collect *c, char octet)
{
    if ((c->brace == BRACE_OPEN || c->brace == BRACE_DIGITS) && ascii_digit(octet))
        brace_digit(c, octet);
    else if (c->brace == BRACE_DIGITS && octet == '+')
        c->brace = BRACE_PLUS;
    else if (c->brace == BRACE_DIGITS && octet == '}')
        c->brace = BRACE_SYNC;
    else if (c->brace == BRACE_PLUS && octet == '}')
        c->brace = BRACE_NONSYNC;
    else
        brace_open(c, octet);
}

/* How many octets at the front of s change nothing: no CR, LF, NUL, "{" or 8-bit. */
static size_t plain_run(struct slice s)
{
    enum { BLOCK = 16 };
    size_t i = 0;

    for (; i + BLOCK <= s.len; i += BLOCK) {
        __m128i v = _mm_loadu_si128((const __m128i *)(s.at + i));
        __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\r')),
            _mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
        __m128i others = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('{')),
            _mm_cmpeq_epi8(v, _mm_setzero_si128()));
        int hits = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(ends, others), v));

        if (hits)
            return i + (size_t)__builtin_ctz((unsigned)hits);
    }
    return i;
}

/* Looks at the octets from c->scanned on, at most `room` of them, up to the end of the
 * line. Strict: stops before NUL, 8-bit and bare LF, and after a bare CR. */
static enum scan scan(struct imap_collect *c, struct slice in, uint64_t room, bool strict)
{
    for (; c->scanned < in.len; c->scanned++) {
        char octet;
        bool cr = c->cr;

        if (!cr && c->brace == BRACE_NONE) {
            size_t left = in.len - c->scanned;
            size_t run = plain_run(
                slice_of(in.at + c->scanned, left < room ? left : (size_t)room));

            c->scanned += run;
            room -= run;
            if (run == left)
                return SCAN_MORE;
        }
        octet = in.at[c->scanned];
        if (room-- == 0)
            return SCAN_FULL;
        c->cr = octet == '\r';
        if (octet == '\n' && cr) {
            c->scanned++;
            return SCAN_LINE;
        }
        if (strict && (cr || octet == '\n' || octet == '\0' || (octet & 0x80))) {
            c->cr = false;
            c->brace = BRACE_NONE;
            return SCAN_BAD;
        }
        if (cr)
            c->brace = BRACE_NONE;
        if (octet != '\r' && (c->brace != BRACE_NONE || octet == '{'))
            brace_step(c, octet);
    }
    return SCAN_MORE;
}

/* --- refusing ------------------------------------------------------------------ */

/* Refuses the command at the octet that comes next; what follows is skipped. */
static enum imap_collected refuse(
    struct imap_collect *c, enum imap_error error, const struct imap_limits *limits)
{
    c->error = (uint8_t)error;
    c->bytes = c->scanned;
    c->phase = PHASE_SKIP_LINE;
    c->skip_left = limits->skip_max;
    return IMAP_COLLECT_REFUSED;
}

/* A literal of a refused command: is it sent anyway, and how much of that is bearable? */
static void skip_literal(struct imap_collect *c, bool sync, uint64_t bytes)
{
    if (sync) {
        c->phase = PHASE_NEW;
    } else if (bytes > c->skip_left) {
        c->phase = PHASE_CLOSED;
    } else {
        c->phase = PHASE_SKIP_LITERAL;
        c->number = bytes;
    }
}

static enum imap_collected refuse_literal(
    struct imap_collect *c, enum imap_error error, const struct imap_limits *limits)
{
    bool sync = c->brace == BRACE_SYNC;
    uint64_t bytes = c->number;

    refuse(c, error, limits);
    skip_literal(c, sync, bytes);
    return IMAP_COLLECT_REFUSED;
}

void imap_collect_refuse(struct imap_collect *c, const struct imap_limits *limits)
{
    CHECK(c->phase == PHASE_TAIL);
    c->skip_left = c->literal_bytes + limits->skip_max;
    skip_literal(c, c->literal_sync, c->literal_bytes);
}

/* Drops what there is of a refused command. */
static enum imap_collected skip(struct imap_collect *c, struct slice in)
{
    c->scanned = 0;
    while (c->scanned < in.len &&
        (c->phase == PHASE_SKIP_LINE || c->phase == PHASE_SKIP_LITERAL)) {
        size_t start = c->scanned;

        if (c->phase == PHASE_SKIP_LITERAL) {
            uint64_t n = in.len - start < c->number ? in.len - start : c->number;

            c->scanned += (size_t)n;
            c->skip_left -= n;
            c->number -= n;
            if (c->number == 0) {
                c->phase = PHASE_SKIP_LINE;
                c->brace = BRACE_NONE;
            }
            continue;
        }
        enum scan found = scan(c, in, c->skip_left, false);
        c->skip_left -= c->scanned - start;
        if (found == SCAN_FULL)
            c->phase = PHASE_CLOSED;
        else if (found == SCAN_LINE)
            skip_literal(c, c->brace != BRACE_NONSYNC, c->number);
    }
    c->bytes = c->scanned;
    if (c->bytes)
        return IMAP_COLLECT_SKIP;
    return c->phase == PHASE_CLOSED ? IMAP_COLLECT_CLOSE : IMAP_COLLECT_MORE;
}

/* --- collecting ---------------------------------------------------------------- */

static enum imap_collected done(struct imap_collect *c, enum imap_collected what)
{
    c->bytes = c->scanned;
    c->phase = PHASE_NEW;
    return what;
}

/* The tag, up to the space after it. A tag alone is left for the parser to refuse. */
static enum imap_collected collect_tag(
    struct imap_collect *c, struct slice in, const struct imap_limits *limits)
{
    for (; c->scanned < in.len; c->scanned++) {
        char octet = in.at[c->scanned];

        if (c->scanned && (octet == ' ' || octet == '\r')) {
            c->tag_bytes = (uint8_t)c->scanned;
            c->phase = PHASE_LINE;
            break;
        }
        if (!imap_octet_is(octet, IMAP_OCTET_TAG) || c->scanned == IMAP_TAG_MAX)
            return refuse(c, IMAP_ERROR_TAG, limits);
    }
    return IMAP_COLLECT_MORE;
}

/* Is the literal just announced the message of an APPEND? Its mailbox may be a literal as
 * well: that one stands right behind the verb. */
static bool is_message(const struct imap_collect *c, struct slice in)
{
    size_t verb_at = c->tag_bytes + 1U;
    struct slice verb = S("APPEND ");

    return c->brace_at > verb_at + verb.len &&
        slice_starts_nocase(slice_of(in.at + verb_at, c->brace_at - verb_at), verb);
}

/* The end of a line: a literal follows, or the command is whole. */
static enum imap_collected end_line(
    struct imap_collect *c, struct slice in, const struct imap_limits *limits)
{
    if (c->brace != BRACE_SYNC && c->brace != BRACE_NONSYNC)
        return done(c, IMAP_COLLECT_COMMAND);
    c->literal_bytes = c->number;
    c->literal_sync = c->brace == BRACE_SYNC;
    if (is_message(c, in)) {
        if (c->number > limits->append_max)
            return refuse_literal(c, IMAP_ERROR_MESSAGE_BIG, limits);
        done(c, IMAP_COLLECT_APPEND);
        c->phase = PHASE_TAIL;
        c->scanned = 0;
        return IMAP_COLLECT_APPEND;
    }
    if (c->literal_octets > limits->literal_max ||
        c->number > limits->literal_max - c->literal_octets)
        return refuse_literal(c, IMAP_ERROR_LITERAL_BIG, limits);
    c->literal_octets += (uint32_t)c->number;
    c->phase = PHASE_LITERAL;
    return c->literal_sync ? IMAP_COLLECT_CONTINUE : IMAP_COLLECT_MORE;
}

/* Up to the end of one line. MORE with nothing left to look at means just that. */
static enum imap_collected collect_line(
    struct imap_collect *c, struct slice in, const struct imap_limits *limits)
{
    size_t octets = c->scanned - c->literal_octets;
    uint64_t room = octets < limits->line_max ? limits->line_max - octets : 0;

    switch (scan(c, in, room, true)) {
    case SCAN_MORE:
        return IMAP_COLLECT_MORE;
    case SCAN_BAD:
        return refuse(c, IMAP_ERROR_OCTET, limits);
    case SCAN_FULL:
        return refuse(c, IMAP_ERROR_LINE_LONG, limits);
    case SCAN_LINE:
        break;
    }
    return end_line(c, in, limits);
}

static enum imap_collected collect_literal(struct imap_collect *c, struct slice in)
{
    size_t left = in.len - c->scanned;
    size_t n = left < c->number ? left : (size_t)c->number;

    c->scanned += n;
    c->number -= n;
    if (c->number == 0) {
        c->phase = PHASE_LINE;
        c->brace = BRACE_NONE;
    }
    return IMAP_COLLECT_MORE;
}

/* What follows the message of an APPEND. */
static enum imap_collected collect_tail(
    struct imap_collect *c, struct slice in, const struct imap_limits *limits)
{
    struct slice end = S("\r\n");

    c->tag_bytes = 0;
    for (; c->scanned < in.len && c->scanned < end.len; c->scanned++)
        if (in.at[c->scanned] != end.at[c->scanned]) {
            c->cr = false;
            c->brace = BRACE_NONE;
            return refuse(c, IMAP_ERROR_APPEND_TAIL, limits);
        }
    return c->scanned == end.len ? done(c, IMAP_COLLECT_COMMAND) : IMAP_COLLECT_MORE;
}

static void begin(struct imap_collect *c, enum phase phase)
{
    if (c->phase == PHASE_NEW)
        *c = (struct imap_collect){.phase = (uint8_t)phase};
}

enum imap_collected imap_collect(
    struct imap_collect *c, struct slice in, const struct imap_limits *limits)
{
    enum imap_collected found = IMAP_COLLECT_MORE;

    begin(c, PHASE_TAG);
    c->bytes = 0;
    if (c->phase >= PHASE_SKIP_LINE)
        return skip(c, in);
    if (c->phase == PHASE_TAIL)
        return collect_tail(c, in, limits);
    CHECK(c->phase != PHASE_PLAIN && c->scanned <= in.len);
    if (c->phase == PHASE_TAG)
        found = collect_tag(c, in, limits);
    while (found == IMAP_COLLECT_MORE &&
        (c->scanned < in.len || c->phase == PHASE_LITERAL)) {
        if (c->phase == PHASE_LINE) {
            found = collect_line(c, in, limits);
        } else {
            found = collect_literal(c, in);
            if (c->phase == PHASE_LITERAL)
                break;
        }
    }
    return found;
}

enum imap_collected imap_collect_line(struct imap_collect *c, struct slice in,
    uint32_t line_max, const struct imap_limits *limits)
{
    begin(c, PHASE_PLAIN);
    c->bytes = 0;
    if (c->phase >= PHASE_SKIP_LINE)
        return skip(c, in);
    CHECK(c->phase == PHASE_PLAIN && c->scanned <= in.len);
    switch (scan(c, in, c->scanned < line_max ? line_max - c->scanned : 0, true)) {
    case SCAN_MORE:
        return IMAP_COLLECT_MORE;
    case SCAN_BAD:
        return refuse(c, IMAP_ERROR_OCTET, limits);
    case SCAN_FULL:
        return refuse(c, IMAP_ERROR_LINE_LONG, limits);
    case SCAN_LINE:
        break;
    }
    if (c->brace == BRACE_SYNC || c->brace == BRACE_NONSYNC)
        return refuse_literal(c, IMAP_ERROR_LITERAL, limits);
    return done(c, IMAP_COLLECT_LINE);
}

bool imap_is_done(struct slice line)
{
    return slice_eq_nocase(line, S("DONE\r\n"));
}
