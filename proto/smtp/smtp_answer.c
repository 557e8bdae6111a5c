#include "proto/smtp/smtp_answer.h"

#include "proto/sasl/sasl.h"

/* --- words ---------------------------------------------------------------- */

/* Cuts the next word off the front; empty at the end. */
static struct slice next_word(struct slice *rest)
{
    size_t n = 0;

    while (rest->len && rest->at[0] == ' ')
        slice_take(rest, 1);
    while (n < rest->len && rest->at[n] != ' ')
        n++;
    return slice_take(rest, n);
}

void smtp_clean(struct out *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];

        if (c >= 0x80 && c < 0xc0 && i > 0 && (unsigned char)text.at[i - 1] >= 0x80)
            continue; /* the rest of a UTF-8 character, which is one '?' */
        out_byte(out, c == '\t' ? ' ' : c >= 0x20 && c < 0x7f ? (char)c : '?');
    }
}

/* --- EHLO ----------------------------------------------------------------- */

static uint32_t number_of(struct slice word)
{
    uint32_t value;

    return slice_u32(word, &value) ? value : 0;
}

static void take_mechanisms(struct smtp_hello *hello, struct slice rest)
{
    struct slice word;

    while ((word = next_word(&rest)).len)
        hello->mechanisms |= 1u << sasl_mechanism_of(word);
    hello->mechanisms &= ~(1u << SASL_NONE);
}

/* "RCPTMAX=100 MAILMAX=5" (RFC 9422, 3); unknown names and values that are no positive
 * numbers mean nothing. */
static void take_limits(struct smtp_hello *hello, struct slice rest)
{
    struct slice word;

    while ((word = next_word(&rest)).len) {
        struct slice name = slice_take(&word, slice_find(word, '='));
        uint32_t value;

        if (word.len == 0)
            continue;
        slice_take(&word, 1);
        value = number_of(word);
        if (slice_eq_nocase(name, S("RCPTMAX")))
            hello->rcpt_max = value;
        else if (slice_eq_nocase(name, S("MAILMAX")))
            hello->mail_max = value;
        else if (slice_eq_nocase(name, S("RCPTDOMAINMAX")))
            hello->rcpt_domains = value;
    }
}

/* "240" or "240,more" (RFC 2852, 2). */
static void take_by(struct smtp_hello *hello, struct slice rest)
{
    struct slice word = next_word(&rest);

    hello->by_min = number_of(slice_take(&word, slice_find(word, ',')));
}

static void take_size(struct smtp_hello *hello, struct slice rest)
{
    uint64_t value;

    if (slice_u64(next_word(&rest), &value))
        hello->size_max = value;
}

static unsigned offer_of(struct slice keyword)
{
#define X(name, text)                      \
    if (slice_eq_nocase(keyword, S(text))) \
        return SMTP_HELLO_##name;
    SMTP_HELLO_OFFERS(X)
#undef X
    return 0;
}

/* One line behind the first. "AUTH=LOGIN" is what servers said before RFC 2554. */
static void take_offer(struct smtp_hello *hello, struct slice line)
{
    struct slice word = next_word(&line);
    unsigned offer = offer_of(word);

    if (slice_starts_nocase(word, S("AUTH="))) {
        offer = SMTP_HELLO_AUTH;
        slice_take(&word, 5);
        take_mechanisms(hello, word);
    }
    hello->offers |= offer;
    if (offer == SMTP_HELLO_AUTH)
        take_mechanisms(hello, line);
    else if (offer == SMTP_HELLO_SIZE)
        take_size(hello, line);
    else if (offer == SMTP_HELLO_DELIVERBY)
        take_by(hello, line);
    else if (offer == SMTP_HELLO_LIMITS)
        take_limits(hello, line);
}

/* --- replies -------------------------------------------------------------- */

/* "250" (RFC 5321, 4.2); replies of class 1 do not exist. */
static bool take_code(struct slice *line, uint16_t *code)
{
    uint32_t value;

    if (line->len < 3 || !slice_u32(slice_of(line->at, 3), &value) || value < 200 ||
        value > 599)
        return false;
    *code = (uint16_t)value;
    slice_take(line, 3);
    return true;
}

/* "5.1.1 " at the front, of the class of the code; anything else is text (RFC 2034, 4).
 * Numbers that no registry will ever hold (RFC 5248) are text too. */
static void take_status(struct slice *line, uint16_t code, uint8_t status[3])
{
    struct slice rest = *line;
    uint32_t part[3];

    for (int i = 0; i < 3; i++) {
        size_t n = 0;

        while (n < rest.len && n < 4 && ascii_digit(rest.at[n]))
            n++;
        if (!slice_u32(slice_take(&rest, n), &part[i]) || part[i] > UINT8_MAX)
            return;
        if (i < 2 && (rest.len == 0 || rest.at[0] != '.'))
            return;
        if (i < 2)
            slice_take(&rest, 1);
    }
    if (part[0] != code / 100u || (rest.len && rest.at[0] != ' '))
        return;
    for (int i = 0; i < 3; i++)
        status[i] = (uint8_t)part[i];
    *line = rest;
}

static void keep_text(struct smtp_answer *a, struct slice line)
{
    struct out out = out_of(a->text, sizeof a->text);

    out.len = a->len;
    line = slice_trim(line);
    if (line.len == 0 || out.cap - out.len < sizeof " / ")
        return;
    if (out.len)
        out_put(&out, S(" / "));
    smtp_clean(&out, line);
    a->len = (uint16_t)out.len;
}

/* DONE: it was the last. */
static enum smtp_answer_result take_line(
    struct smtp_answer *a, struct slice line, struct smtp_hello *hello)
{
    uint8_t status[3] = {0};
    bool last;

    if (!take_code(&line, &a->code) ||
        (line.len && line.at[0] != ' ' && line.at[0] != '-'))
        return SMTP_ANSWER_MALFORMED;
    last = line.len == 0 || line.at[0] == ' ';
    if (line.len)
        slice_take(&line, 1);
    if (hello && a->code == 250 && a->lines > 0)
        take_offer(hello, line);
    take_status(&line, a->code, status);
    memcpy(a->status, status, sizeof status);
    keep_text(a, line);
    a->lines++;
    return last ? SMTP_ANSWER_DONE : SMTP_ANSWER_MORE;
}

enum smtp_answer_result smtp_answer_read(struct smtp_answer *a, struct slice *in,
    struct smtp_answer_limits max, struct smtp_hello *hello)
{
    const struct line_limits limits = {.max = max.line_max, .discard_max = 1};
    enum smtp_answer_result result = SMTP_ANSWER_MORE;
    struct slice line;

    while (result == SMTP_ANSWER_MORE) {
        enum line_cut cut = line_cut(&a->cutter, in, limits, &line);

        if (cut == LINE_MORE)
            return SMTP_ANSWER_MORE;
        if (cut == LINE_LONG || cut == LINE_FLOOD)
            return SMTP_ANSWER_TOO_LONG;
        if (a->lines == max.lines_max)
            return SMTP_ANSWER_TOO_MANY;
        result = take_line(a, line, hello);
    }
    return result;
}
