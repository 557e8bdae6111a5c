#include "proto/smtp/smtp_text.h"

#include "proto/base/check.h"

/* The octet before the input, as far as the scanners care. */
static char octet_before(enum smtp_text_at at)
{
    return at == SMTP_TEXT_CR ? '\r' : at == SMTP_TEXT_LINE_START ? '\n' : '\0';
}

/* Where the text stands behind `run`, which is not empty. */
static enum smtp_text_at after(enum smtp_text_at at, struct slice run)
{
    char last = run.at[run.len - 1];
    char before = run.len > 1 ? run.at[run.len - 2] : octet_before(at);

    if (last == '\r')
        return SMTP_TEXT_CR;
    return last == '\n' && before == '\r' ? SMTP_TEXT_LINE_START : SMTP_TEXT_IN_LINE;
}

/* Index of the first dot of `s` that begins a line, or s.len; notes the flaws in front of
 * it. */
static size_t find_dot_line(struct smtp_text *t, struct slice s)
{
    char before = octet_before(t->at);
    size_t from = 0;

    for (;;) {
        size_t dot =
            from + scan_text(slice_of(s.at + from, s.len - from), before, &t->flaws);

        /* A bare LF begins no line. The LF itself is in the input: where it is not,
         * the text stands at a line start, and its dot was dealt with. */
        if (dot == s.len || (dot > 1 ? s.at[dot - 2] : octet_before(t->at)) == '\r')
            return dot;
        before = '.';
        from = dot + 1;
    }
}

/* A dot at the start of a line, which is no text (RFC 5321, 4.5.2), and what decides
 * whether it ends the text. SMTP_TEXT_RUN: the text goes on with the octet at the
 * front of `in`, behind *run, which is empty or the CR that had been held back. */
static enum smtp_text_got take_dot(
    struct smtp_text *t, struct slice *in, struct slice *run)
{
    static const char held_back[] = {'\r'};

    if (t->at == SMTP_TEXT_LINE_START) {
        slice_take(in, 1);
        t->at = SMTP_TEXT_DOT;
    }
    if (t->at == SMTP_TEXT_DOT && in->len && in->at[0] == '\r') {
        slice_take(in, 1);
        t->at = SMTP_TEXT_DOT_CR;
    }
    if (in->len == 0)
        return SMTP_TEXT_MORE;
    if (t->at == SMTP_TEXT_DOT) {
        t->at = SMTP_TEXT_IN_LINE;
        return SMTP_TEXT_RUN;
    }
    if (in->at[0] == '\n') {
        slice_take(in, 1);
        t->at = SMTP_TEXT_ENDED;
        return SMTP_TEXT_END;
    }
    t->flaws |= SCAN_BARE;
    t->at = SMTP_TEXT_IN_LINE;
    *run = slice_of(held_back, sizeof held_back);
    return SMTP_TEXT_RUN;
}

enum smtp_text_got smtp_text_next(
    struct smtp_text *t, struct slice *in, struct slice *run)
{
    CHECK(t->at != SMTP_TEXT_ENDED);
    *run = slice_of(NULL, 0);
    if (in->len == 0)
        return SMTP_TEXT_MORE;
    if (t->at == SMTP_TEXT_DOT || t->at == SMTP_TEXT_DOT_CR ||
        (t->at == SMTP_TEXT_LINE_START && in->at[0] == '.')) {
        enum smtp_text_got got = take_dot(t, in, run);

        if (got != SMTP_TEXT_RUN || run->len)
            return got;
    }
    *run = slice_take(in, find_dot_line(t, *in));
    t->at = after(t->at, *run);
    return SMTP_TEXT_RUN;
}

void smtp_text_chunk(struct smtp_text *t, struct slice bytes)
{
    if (bytes.len == 0)
        return;
    t->flaws |= scan_flaws(bytes, octet_before(t->at));
    t->at = after(t->at, bytes);
}

void smtp_text_chunk_end(struct smtp_text *t)
{
    if (t->at == SMTP_TEXT_CR)
        t->flaws |= SCAN_BARE;
}
