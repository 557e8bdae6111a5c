/* Patterns as a set of places, all followed at once.
 *
 * A pattern is L literal octets with gaps around them: nothing, `%` or `*`. Place p means
 * "p literals have been matched"; the set of places that are possible after some octets
 * of the name is a row of bits. An octet c moves every place whose next literal is c one
 * on, and keeps every place whose gap swallows c:
 *
 *      places' = (places & is_next[c]) << 1 | places & swallows[c]
 *
 * A name has at most IMAP_NAME_MAX octets, so a row has at most 9 words.
 */
#include "proto/base/check.h"
#include "proto/imap/imap_name.h"

enum { WORD_BITS = 64, WORDS_MAX = IMAP_NAME_MAX / WORD_BITS + 1 };

struct imap_pattern {
    unsigned words;          /* of a row; 0: matches nothing */
    unsigned literals;       /* the last place: everything is matched */
    const uint64_t *star;    /* places with `*` in their gap */
    const uint64_t *wild;    /* places with `*` or `%` */
    const uint64_t *is_next; /* rows by octet_row[] */
    uint8_t octet_row[256];  /* 0: no place waits for this octet; row 0 is empty */
};

static void bit_set(uint64_t *row, unsigned bit)
{
    row[bit / WORD_BITS] |= (uint64_t)1 << bit % WORD_BITS;
}

/* Where the row of an octet begins in is_next. */
static size_t row_of(const struct imap_pattern *p, unsigned char octet)
{
    return (size_t)p->octet_row[octet] * p->words;
}

/* Puts the UTF-8 pattern into a pattern whose rows are all zero. `rows` has room for one
 * row each of star and wild, then is_next. */
static void fill(struct imap_pattern *p, uint64_t *rows, struct slice text)
{
    uint64_t *star = rows, *wild = rows + p->words,
             *is_next = rows + (size_t)2 * p->words;
    unsigned place = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];

        if (c == '*')
            bit_set(star, place);
        if (c == '*' || c == '%')
            bit_set(wild, place);
        else
            bit_set(is_next + row_of(p, c), place++);
    }
    p->star = star;
    p->wild = wild;
    p->is_next = is_next;
}

static struct imap_pattern *compile_utf8(struct slice text, struct arena *arena)
{
    struct imap_pattern *p = arena_zero(arena, sizeof *p);
    unsigned octets = 0;
    uint64_t *rows;

    if (!p)
        return NULL;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];

        if (c == '*' || c == '%')
            continue;
        p->literals++;
        if (p->octet_row[c] == 0)
            p->octet_row[c] = (uint8_t)++octets;
    }
    if (p->literals > IMAP_NAME_MAX)
        return p;
    p->words = p->literals / WORD_BITS + 1;
    rows = arena_zero(arena, (size_t)(octets + 3) * p->words * sizeof *rows);
    if (!rows)
        return NULL;
    fill(p, rows, text);
    return p;
}

/* Adds wire text with every run of wildcards made one: `*` if there is one in it. */
static void put_gaps_joined(struct out *o, struct slice text)
{
    for (size_t i = 0; i < text.len && !o->full; i++) {
        char c = text.at[i];
        char *last = o->len ? &o->at[o->len - 1] : NULL;
        bool joins = last && (*last == '*' || *last == '%') && (c == '*' || c == '%');

        if (!joins)
            out_byte(o, c);
        else if (c == '*')
            *last = c;
    }
}

const struct imap_pattern *imap_pattern_compile(
    struct slice reference, struct slice pattern, struct arena *arena)
{
    char joined[2 * IMAP_NAME_MAX + 1], decoded[2 * sizeof joined];
    struct out wire = out_of(joined, sizeof joined);
    struct out utf8 = out_of(decoded, sizeof decoded);

    put_gaps_joined(&wire, reference);
    put_gaps_joined(&wire, pattern);
    if (wire.full || !imap_name_decode(out_slice(&wire), &utf8))
        return arena_zero(arena, sizeof(struct imap_pattern));
    return compile_utf8(out_slice(&utf8), arena);
}

/* Moves the set of places past the octet; false when no place is left. `fold` takes both
 * cases of a letter, for INBOX. */
static bool step(const struct imap_pattern *p, uint64_t *places, char octet, bool fold)
{
    const uint64_t *swallows = octet == IMAP_DELIMITER ? p->star : p->wild;
    const uint64_t *next = p->is_next + row_of(p, (unsigned char)octet);
    const uint64_t *also = next;
    uint64_t carry = 0, any = 0;

    if (fold)
        also = p->is_next + row_of(p, (unsigned char)ascii_lower(octet));
    for (unsigned i = 0; i < p->words; i++) {
        uint64_t moved = places[i] & (next[i] | also[i]);

        places[i] = (places[i] & swallows[i]) | moved << 1 | carry;
        carry = moved >> (WORD_BITS - 1);
        any |= places[i];
    }
    return any != 0;
}

static bool is_matched(const struct imap_pattern *p, const uint64_t *places)
{
    return places[p->literals / WORD_BITS] >> p->literals % WORD_BITS & 1;
}

/* Octets of the name that are INBOX, which has no case (RFC 3501, 5.1). */
static size_t inbox_octets(struct slice name)
{
    struct slice first = slice_of(name.at, slice_find(name, IMAP_DELIMITER));

    return slice_eq(first, S("INBOX")) ? first.len : 0;
}

uint32_t imap_pattern_levels(const struct imap_pattern *p, struct slice name)
{
    uint64_t places[WORDS_MAX] = {1};
    size_t folded = inbox_octets(name);
    uint32_t levels = 0;
    unsigned level = 0;

    if (p->words == 0)
        return 0;
    CHECK(p->words <= WORDS_MAX);
    for (size_t i = 0; level < IMAP_LEVELS_MAX; i++) {
        if (i == name.len || name.at[i] == IMAP_DELIMITER)
            levels |= (uint32_t)is_matched(p, places) << level++;
        if (i == name.len || !step(p, places, name.at[i], i < folded))
            break;
    }
    return levels;
}

bool imap_pattern_match(const struct imap_pattern *p, struct slice name)
{
    uint64_t places[WORDS_MAX] = {1};
    size_t folded = inbox_octets(name);

    if (p->words == 0)
        return false;
    CHECK(p->words <= WORDS_MAX);
    for (size_t i = 0; i < name.len; i++)
        if (!step(p, places, name.at[i], i < folded))
            return false;
    return is_matched(p, places);
}
