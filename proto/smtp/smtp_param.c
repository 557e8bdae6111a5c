#include "proto/smtp/smtp_param.h"

static int hex_value(char c)
{
    if (ascii_digit(c))
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One octet of xtext, taken off the front of `in` (not empty); -1 when it is none. */
static int take_xchar(struct slice *in)
{
    char c = slice_take(in, 1).at[0];
    int high, low;

    if (c < '!' || c > '~' || c == '=')
        return -1;
    if (c != '+')
        return c;
    if (in->len < 2)
        return -1;
    high = hex_value(in->at[0]);
    low = hex_value(in->at[1]);
    slice_take(in, 2);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool smtp_xtext_decode(struct slice text, struct out *out)
{
    while (text.len) {
        int c = take_xchar(&text);

        if (c < 0)
            return false;
        out_byte(out, (char)c);
    }
    return !out->full;
}

void smtp_xtext_encode(struct slice bytes, struct out *out)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.at[i];

        if (c >= '!' && c <= '~' && c != '+' && c != '=') {
            out_byte(out, (char)c);
            continue;
        }
        out_byte(out, '+');
        out_byte(out, hex[c >> 4]);
        out_byte(out, hex[c & 15]);
    }
}

/* xtext that stands for printable ASCII: what goes into a DSN may not break its
 * lines (RFC 3461, 4.2 and 4.4). */
static bool is_printable_xtext(struct slice text)
{
    if (text.len == 0)
        return false;
    while (text.len) {
        int c = take_xchar(&text);

        if (c < ' ' || c > '~')
            return false;
    }
    return true;
}

static enum smtp_reply take_size(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    if (value.len == 0)
        return SMTP_REPLY_BAD_PARAM;
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_digit(value.at[i]))
            return SMTP_REPLY_BAD_PARAM;
    if (!slice_u64(value, &cmd->size) || cmd->size > rules->message_max)
        return SMTP_REPLY_TOO_BIG;
    return SMTP_REPLY_NONE;
}

static enum smtp_reply take_body(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    if (slice_eq_nocase(value, S("7BIT")))
        cmd->body = SMTP_BODY_7BIT;
    else if (slice_eq_nocase(value, S("8BITMIME")))
        cmd->body = SMTP_BODY_8BITMIME;
    else if (slice_eq_nocase(value, S("BINARYMIME")) &&
        (rules->offers & SMTP_OFFER_BINARYMIME))
        cmd->body = SMTP_BODY_BINARYMIME;
    else
        return SMTP_REPLY_BAD_PARAM;
    return SMTP_REPLY_NONE;
}

static enum smtp_reply take_utf8(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    (void)rules;
    if (value.at)
        return SMTP_REPLY_BAD_PARAM;
    cmd->utf8 = true;
    return SMTP_REPLY_NONE;
}

static enum smtp_reply take_auth(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    (void)rules;
    if (!slice_eq(value, S("<>")) && !is_printable_xtext(value))
        return SMTP_REPLY_BAD_PARAM;
    cmd->auth = value;
    return SMTP_REPLY_NONE;
}

static enum smtp_reply take_ret(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    (void)rules;
    if (slice_eq_nocase(value, S("FULL")))
        cmd->ret = SMTP_RET_FULL;
    else if (slice_eq_nocase(value, S("HDRS")))
        cmd->ret = SMTP_RET_HDRS;
    else
        return SMTP_REPLY_BAD_PARAM;
    return SMTP_REPLY_NONE;
}

static enum smtp_reply take_envid(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    (void)rules;
    if (value.len > SMTP_ENVID_MAX || !is_printable_xtext(value))
        return SMTP_REPLY_BAD_PARAM;
    cmd->envid = value;
    return SMTP_REPLY_NONE;
}

static enum smtp_reply take_require_tls(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    (void)rules;
    if (value.at)
        return SMTP_REPLY_BAD_PARAM;
    cmd->require_tls = true;
    return SMTP_REPLY_NONE;
}

/* 0, or 1 to 9 with or without '-' (RFC 6710, 7). */
static enum smtp_reply take_priority(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    bool negative = value.len == 2 && value.at[0] == '-';

    (void)rules;
    if (negative)
        slice_take(&value, 1);
    if (value.len != 1 || !ascii_digit(value.at[0]) || (negative && value.at[0] == '0'))
        return SMTP_REPLY_BAD_PRIORITY;
    cmd->priority = (int8_t)(value.at[0] - '0');
    if (negative)
        cmd->priority = (int8_t)-cmd->priority;
    return SMTP_REPLY_NONE;
}

static unsigned notify_bit(struct slice word)
{
    static const struct {
        struct slice word;
        unsigned bit;
    } bits[] = {{SI("NEVER"), SMTP_NOTIFY_NEVER}, {SI("SUCCESS"), SMTP_NOTIFY_SUCCESS},
        {SI("FAILURE"), SMTP_NOTIFY_FAILURE}, {SI("DELAY"), SMTP_NOTIFY_DELAY}};

    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
        if (slice_eq_nocase(word, bits[i].word))
            return bits[i].bit;
    return 0;
}

/* NEVER, or a list of the others (RFC 3461, 4.1). */
static enum smtp_reply take_notify(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    (void)rules;
    if (value.len == 0)
        return SMTP_REPLY_BAD_PARAM;
    for (;;) {
        unsigned bit = notify_bit(slice_take(&value, slice_find(value, ',')));

        if (bit == 0)
            return SMTP_REPLY_BAD_PARAM;
        cmd->notify |= bit;
        if (value.len == 0)
            break;
        slice_take(&value, 1);
    }
    if ((cmd->notify & SMTP_NOTIFY_NEVER) && cmd->notify != SMTP_NOTIFY_NEVER)
        return SMTP_REPLY_BAD_PARAM;
    return SMTP_REPLY_NONE;
}

/* The address behind the type: xtext, or UTF-8 in a transaction that has it (RFC
 * 6533, 3). */
static bool is_orcpt_address(struct slice text, bool utf8)
{
    if (!utf8)
        return is_printable_xtext(text);
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < '!' || text.at[i] == 0x7f)
            return false;
    return text.len > 0 && slice_is_utf8(text);
}

static enum smtp_reply take_orcpt(
    struct slice value, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    size_t semicolon = slice_find(value, ';');
    struct slice type = slice_of(value.at, semicolon), address;

    if (value.len > SMTP_ORCPT_MAX || semicolon == 0 || semicolon == value.len)
        return SMTP_REPLY_BAD_PARAM;
    for (size_t i = 0; i < type.len; i++)
        if (!ascii_alpha(type.at[i]) && !ascii_digit(type.at[i]) && type.at[i] != '-')
            return SMTP_REPLY_BAD_PARAM;
    address = slice_of(value.at + semicolon + 1, value.len - semicolon - 1);
    if (!is_orcpt_address(address, rules->utf8 && slice_eq_nocase(type, S("utf-8"))))
        return SMTP_REPLY_BAD_PARAM;
    cmd->orcpt = value;
    return SMTP_REPLY_NONE;
}

static const struct {
    struct slice keyword;
    enum smtp_verb verb;
    enum smtp_offer offer; /* the extension that it belongs to */
    smtp_param_fn *take;
} params[] = {
    {SI("SIZE"), SMTP_VERB_MAIL, SMTP_OFFER_SIZE, take_size},
    {SI("BODY"), SMTP_VERB_MAIL, SMTP_OFFER_8BITMIME, take_body},
    {SI("SMTPUTF8"), SMTP_VERB_MAIL, SMTP_OFFER_SMTPUTF8, take_utf8},
    {SI("AUTH"), SMTP_VERB_MAIL, SMTP_OFFER_AUTH, take_auth},
    {SI("RET"), SMTP_VERB_MAIL, SMTP_OFFER_DSN, take_ret},
    {SI("ENVID"), SMTP_VERB_MAIL, SMTP_OFFER_DSN, take_envid},
    {SI("REQUIRETLS"), SMTP_VERB_MAIL, SMTP_OFFER_REQUIRETLS, take_require_tls},
    {SI("MT-PRIORITY"), SMTP_VERB_MAIL, SMTP_OFFER_MT_PRIORITY, take_priority},
    {SI("HOLDFOR"), SMTP_VERB_MAIL, SMTP_OFFER_FUTURERELEASE, smtp_param_hold_for},
    {SI("HOLDUNTIL"), SMTP_VERB_MAIL, SMTP_OFFER_FUTURERELEASE, smtp_param_hold_until},
    {SI("BY"), SMTP_VERB_MAIL, SMTP_OFFER_DELIVERBY, smtp_param_by},
    {SI("NOTIFY"), SMTP_VERB_RCPT, SMTP_OFFER_DSN, take_notify},
    {SI("ORCPT"), SMTP_VERB_RCPT, SMTP_OFFER_DSN, take_orcpt},
};

enum { PARAMS = sizeof params / sizeof params[0] };

static size_t param_index(
    struct slice keyword, const struct smtp_rules *rules, enum smtp_verb verb)
{
    size_t i = 0;

    while (i < PARAMS &&
        !(params[i].verb == verb && (rules->offers & params[i].offer) &&
            slice_eq_nocase(keyword, params[i].keyword)))
        i++;
    return i;
}

/* A message that would be released only after it is to be there (RFC 4865, 5.2.2). */
static enum smtp_reply judge_times(const struct smtp_cmd *cmd)
{
    return cmd->by_s && cmd->hold_until_s > cmd->by_s ? SMTP_REPLY_BAD_PARAM
                                                      : SMTP_REPLY_NONE;
}

enum smtp_reply smtp_params(
    struct slice in, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    unsigned seen = 0;

    for (;;) {
        struct slice word, value = {NULL, 0}; /* "SIZE" is not "SIZE=" */
        enum smtp_reply reply;
        size_t equals, i;

        while (in.len && in.at[0] == ' ')
            slice_take(&in, 1);
        if (in.len == 0)
            return judge_times(cmd);
        word = slice_take(&in, slice_find(in, ' '));
        equals = slice_find(word, '=');
        if (equals < word.len)
            value = slice_of(word.at + equals + 1, word.len - equals - 1);
        word.len = equals;
        i = param_index(word, rules, cmd->verb);
        if (i == PARAMS)
            return SMTP_REPLY_NO_PARAM;
        if (seen & (1U << i))
            return SMTP_REPLY_BAD_PARAM;
        seen |= 1U << i;
        reply = params[i].take(value, rules, cmd);
        if (reply != SMTP_REPLY_NONE)
            return reply;
    }
}
