#include "bench/reply.h"

/* --- lines ---------------------------------------------------------------- */

static void keep(struct lines *l, struct slice s)
{
    size_t room = l->len < LINES_HEAD ? LINES_HEAD - l->len : 0;
    char *tail = l->kept + LINES_HEAD;
    struct slice head = slice_take(&s, s.len < room ? s.len : room);
    size_t have;

    if (head.len)
        memcpy(l->kept + l->len, head.at, head.len);
    l->len += head.len;
    if (s.len == 0)
        return;
    have = l->len - LINES_HEAD;
    have = have < LINES_TAIL ? have : LINES_TAIL;
    l->len += s.len;
    if (s.len > LINES_TAIL)
        slice_take(&s, s.len - LINES_TAIL);
    if (have + s.len > LINES_TAIL) {
        memmove(tail, tail + (have + s.len - LINES_TAIL), LINES_TAIL - s.len);
        have = LINES_TAIL - s.len;
    }
    memcpy(tail + have, s.at, s.len);
}

bool lines_next(struct lines *l, struct slice *in, struct slice *line)
{
    size_t n = slice_find(*in, '\n');

    if (l->whole) {
        l->whole = false;
        l->len = 0;
    }
    if (n == in->len) {
        keep(l, slice_take(in, n));
        return false;
    }
    *line = slice_take(in, n);
    slice_take(in, 1);
    if (l->len) {
        keep(l, *line);
        *line = slice_of(l->kept, l->len < LINES_KEPT ? l->len : LINES_KEPT);
        l->whole = true;
    }
    if (line->len && line->at[line->len - 1] == '\r')
        line->len--;
    return true;
}

/* --- SMTP ----------------------------------------------------------------- */

unsigned smtp_line(struct slice line, bool *last)
{
    unsigned code = 0;

    *last = line.len < 4 || line.at[3] != '-';
    for (size_t i = 0; i < 3; i++) {
        if (i >= line.len || !ascii_digit(line.at[i]))
            return 0;
        code = code * 10 + (unsigned)(line.at[i] - '0');
    }
    return code;
}

/* --- IMAP ----------------------------------------------------------------- */

/* "... {123}" or the "~{123}" of BINARY. */
static uint64_t literal_of(struct slice line)
{
    uint64_t value, place = 1, sum = 0;
    size_t i = line.len;

    if (i < 3 || line.at[--i] != '}')
        return 0;
    while (i > 0 && ascii_digit(line.at[i - 1]) && place <= 1000000000000) {
        value = (uint64_t)(line.at[--i] - '0');
        sum += value * place;
        place *= 10;
    }
    return i > 0 && line.at[i - 1] == '{' ? sum : 0;
}

static bool ends_with_literal(struct slice line)
{
    size_t i = line.len;

    if (i < 3 || line.at[--i] != '}')
        return false;
    while (i > 0 && ascii_digit(line.at[i - 1]))
        i--;
    return i > 0 && i < line.len - 1 && line.at[i - 1] == '{';
}

enum imap_piece imap_next(struct imap_reader *r, struct slice *in, struct slice *text)
{
    enum imap_piece piece = r->inside ? IMAP_NEXT : IMAP_FIRST;

    if (r->literal) {
        if (in->len == 0)
            return IMAP_MORE;
        *text = slice_take(in, in->len < r->literal ? in->len : (size_t)r->literal);
        r->literal -= text->len;
        return IMAP_LITERAL;
    }
    if (!lines_next(&r->lines, in, text))
        return IMAP_MORE;
    r->inside = ends_with_literal(*text);
    r->literal = r->inside ? literal_of(*text) : 0;
    return piece;
}

static struct slice word_of(struct slice *rest)
{
    struct slice word = slice_take(rest, slice_find(*rest, ' '));

    if (rest->len)
        slice_take(rest, 1);
    return word;
}

enum imap_kind imap_line(struct slice line, uint32_t *tag, struct slice *rest)
{
    struct slice word;

    *tag = 0;
    *rest = line;
    if (line.len == 0)
        return IMAP_JUNK;
    if (line.at[0] == '+') {
        slice_take(rest, 1);
        return IMAP_CONTINUE;
    }
    word = word_of(rest);
    if (word.len == 1 && word.at[0] == '*')
        return IMAP_UNTAGGED;
    if (word.at[0] != 'b' || !slice_u32(slice_of(word.at + 1, word.len - 1), tag))
        return IMAP_JUNK;
    word = word_of(rest);
    if (slice_eq_nocase(word, S("OK")))
        return IMAP_OK;
    return slice_eq_nocase(word, S("NO")) ? IMAP_NO : IMAP_BAD;
}

bool imap_numbered(struct slice rest, uint32_t *number, struct slice *word)
{
    struct slice digits = word_of(&rest);

    *word = word_of(&rest);
    return slice_u32(digits, number);
}

/* --- POP3 ----------------------------------------------------------------- */

bool pop3_text_end(struct pop3_text *t, struct slice *in)
{
    static const char end[] = "\r\n.\r\n";

    if (!t->begun && in->len) {
        t->begun = true;
        t->matched = 2; /* an empty text is a lone dot */
    }
    while (in->len) {
        char c;

        if (t->matched == 0) {
            slice_take(in, slice_find(*in, '\r'));
            if (in->len == 0)
                return false;
        }
        c = *slice_take(in, 1).at;
        if (c == end[t->matched])
            t->matched++;
        else
            t->matched = c == '\r';
        if (t->matched == sizeof end - 1)
            return true;
    }
    return false;
}
