#include "proto/smtp/smtp.h"

#include "proto/base/check.h"
#include "proto/smtp/smtp_trace.h"
#include "proto/smtp/smtp_xclient.h"

static const struct slice replies[] = {[SMTP_REPLY_NONE] = SI(""),
#define X(name, text) [SMTP_REPLY_##name] = SI(text),
    SMTP_REPLIES(X)
#undef X
};

struct slice smtp_reply_text(enum smtp_reply reply)
{
    CHECK(reply != SMTP_REPLY_NONE && reply < sizeof replies / sizeof replies[0]);
    return replies[reply];
}

unsigned smtp_reply_code(enum smtp_reply reply)
{
    const char *text = smtp_reply_text(reply).at;

    return (unsigned)((text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0'));
}

bool smtp_reply_closes(enum smtp_reply reply)
{
    if (reply == SMTP_REPLY_NONE)
        return false;
    return reply == SMTP_REPLY_BAD_CHUNK || reply == SMTP_REPLY_BYE ||
        smtp_reply_code(reply) == 421;
}

enum smtp_reply smtp_line_reply(enum line_cut cut)
{
    switch (cut) {
    case LINE_MORE:
    case LINE_DONE:
        break;
    case LINE_BARE:
        return SMTP_REPLY_LINE_BARE;
    case LINE_NUL:
        return SMTP_REPLY_LINE_NUL;
    case LINE_LONG:
        return SMTP_REPLY_LINE_LONG;
    case LINE_FLOOD:
        return SMTP_REPLY_FLOOD;
    }
    return SMTP_REPLY_NONE;
}

const struct smtp_limits smtp_defaults = {.line = 4096, .auth_line = 12288};

struct line_limits smtp_line_limits(
    struct slice in, bool in_auth, const struct smtp_limits *limits)
{
    bool auth = in_auth || slice_starts_nocase(in, S("AUTH "));

    return (struct line_limits){
        auth ? limits->auth_line : limits->line, SMTP_DISCARD_MAX};
}

void smtp_put_greeting(struct out *out, struct slice host, bool lmtp)
{
    out_put(out, S("220 "));
    out_put(out, host);
    out_put(out, lmtp ? S(" LMTP ringmail\r\n") : S(" ESMTP ringmail\r\n"));
}

static const struct {
    enum smtp_offer offer;
    struct slice keyword;
} offers[] = {
#define X(name, keyword) {SMTP_OFFER_##name, SI(keyword)},
    SMTP_OFFERS(X)
#undef X
};

enum { OFFERS = sizeof offers / sizeof offers[0] };

/* " NAME=n", where there is such a limit. */
static void put_limit(struct out *out, struct slice name, uint32_t limit)
{
    if (limit == 0)
        return;
    out_put(out, name);
    out_u64(out, limit);
}

static void put_limits(struct out *out, const struct smtp_values *values)
{
    put_limit(out, S(" MAILMAX="), values->mail_max);
    put_limit(out, S(" RCPTMAX="), values->rcpt_max);
    put_limit(out, S(" RCPTDOMAINMAX="), values->domain_max);
}

static void put_hold(struct out *out, const struct smtp_rules *rules)
{
    out_byte(out, ' ');
    out_u64(out, rules->hold_max_s);
    out_byte(out, ' ');
    smtp_put_utc(out, rules->now_s + rules->hold_max_s);
}

/* What stands behind a keyword. */
static void put_value(struct out *out, enum smtp_offer offer,
    const struct smtp_rules *rules, const struct smtp_values *values)
{
    if (offer == SMTP_OFFER_SIZE) {
        out_byte(out, ' ');
        out_u64(out, rules->message_max);
    } else if (offer == SMTP_OFFER_FUTURERELEASE) {
        put_hold(out, rules);
    } else if (offer == SMTP_OFFER_LIMITS) {
        put_limits(out, values);
    } else if (offer == SMTP_OFFER_XCLIENT) {
        smtp_xclient_put_names(out);
    } else if (offer == SMTP_OFFER_AUTH) {
        out_byte(out, ' ');
        out_put(out, values->mechanisms);
    }
}

void smtp_put_hello(struct out *out, enum smtp_verb verb, struct slice host,
    const struct smtp_rules *rules, const struct smtp_values *values)
{
    unsigned left = verb == SMTP_VERB_HELO ? 0 : rules->offers;

    out_put(out, left ? S("250-") : S("250 "));
    out_put(out, host);
    out_put(out, S("\r\n"));
    for (size_t i = 0; i < OFFERS; i++) {
        if (!(left & offers[i].offer))
            continue;
        left &= ~(unsigned)offers[i].offer;
        out_put(out, left ? S("250-") : S("250 "));
        out_put(out, offers[i].keyword);
        put_value(out, offers[i].offer, rules, values);
        out_put(out, S("\r\n"));
    }
}
