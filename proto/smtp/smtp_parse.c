#include "proto/smtp/smtp.h"

#include "proto/smtp/smtp_param.h"
#include "proto/smtp/smtp_path.h"

static const struct {
    struct slice text;
    unsigned states;
} verbs[] = {
#define X(name, text, states) [SMTP_VERB_##name] = {SI(text), states},
    SMTP_VERBS(X)
#undef X
};

static const struct slice foreign[] = {
#define X(word) SI(word),
    SMTP_FOREIGN(X)
#undef X
};

enum { SMTP_MECHANISM_MAX = 20 }; /* RFC 4422, 3.1 */

enum smtp_reply smtp_order(enum smtp_state state, enum smtp_verb verb)
{
    if (verb >= SMTP_VERB_UNKNOWN)
        return SMTP_REPLY_BAD_VERB;
    return verbs[verb].states & (1U << state) ? SMTP_REPLY_NONE : SMTP_REPLY_ORDER;
}

static enum smtp_verb verb_of(struct slice word)
{
    unsigned verb = 0;

    while (verb < SMTP_VERB_UNKNOWN && !slice_eq_nocase(word, verbs[verb].text))
        verb++;
    return (enum smtp_verb)verb;
}

static bool is_foreign(struct slice word)
{
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        if (slice_eq_nocase(word, foreign[i]))
            return true;
    return false;
}

static struct slice skip_spaces(struct slice s)
{
    while (s.len && s.at[0] == ' ')
        slice_take(&s, 1);
    return s;
}

/* RFC 5321, 4.1.1: white space before the line end is to be tolerated. */
static struct slice trim_end(struct slice s)
{
    while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* What a client calls itself. Wider than RFC 5321, 4.1.1.1, which many clients do not
 * keep to, but narrow enough to be printed in a Received field. */
static enum smtp_reply parse_hello(struct slice args, struct smtp_cmd *cmd)
{
    if (args.len == 0 || args.len > SMTP_DOMAIN_MAX)
        return SMTP_REPLY_BAD_HOST;
    for (size_t i = 0; i < args.len; i++) {
        char c = args.at[i];

        if (!ascii_alpha(c) && !ascii_digit(c) && (c == '\0' || !strchr("-._:[]", c)))
            return SMTP_REPLY_BAD_HOST;
    }
    cmd->arg = args;
    return SMTP_REPLY_NONE;
}

/* Addresses beyond ASCII are for transactions with SMTPUTF8 (RFC 6531, 3.4). */
static enum smtp_reply judge_utf8(
    const struct smtp_path *path, struct slice wire, bool utf8)
{
    if (!path->utf8)
        return SMTP_REPLY_NONE;
    if (!utf8)
        return SMTP_REPLY_NOT_ASCII;
    return slice_is_utf8(wire) ? SMTP_REPLY_NONE : SMTP_REPLY_BAD_UTF8;
}

/* Takes `word` and the spaces after it, which RFC 5321, 3.3 forbids and many send. */
static bool take_word(struct slice *in, struct slice word)
{
    if (!slice_starts_nocase(*in, word))
        return false;
    slice_take(in, word.len);
    *in = skip_spaces(*in);
    return true;
}

static enum smtp_reply parse_mail(
    struct slice args, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    struct slice wire;
    enum smtp_reply reply;

    if (!take_word(&args, S("FROM:")))
        return SMTP_REPLY_BAD_ARGS;
    wire = args;
    if (!smtp_path_take(&args, &cmd->path) || cmd->path.kind == SMTP_PATH_POSTMASTER)
        return SMTP_REPLY_BAD_SENDER;
    wire.len -= args.len;
    reply = smtp_params(args, rules, cmd);
    return reply ? reply : judge_utf8(&cmd->path, wire, cmd->utf8);
}

static enum smtp_reply parse_rcpt(
    struct slice args, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    struct slice wire;
    enum smtp_reply reply;

    if (!take_word(&args, S("TO:")))
        return SMTP_REPLY_BAD_ARGS;
    wire = args;
    if (!smtp_path_take(&args, &cmd->path) || cmd->path.kind == SMTP_PATH_NULL)
        return SMTP_REPLY_BAD_RCPT;
    wire.len -= args.len;
    reply = judge_utf8(&cmd->path, wire, rules->utf8);
    return reply ? reply : smtp_params(args, rules, cmd);
}

/* chunk-size, 1 to 20 digits, and LAST (RFC 3030, 2). A count that is not understood
 * leaves no way to tell text from commands. */
static enum smtp_reply parse_bdat(
    struct slice args, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    struct slice size = slice_take(&args, slice_find(args, ' '));

    args = skip_spaces(args);
    if (!slice_u64(size, &cmd->size))
        return SMTP_REPLY_BAD_CHUNK;
    cmd->last = slice_eq_nocase(args, S("LAST"));
    if (args.len && !cmd->last)
        return SMTP_REPLY_BAD_CHUNK;
    return cmd->size > rules->message_max ? SMTP_REPLY_TOO_BIG : SMTP_REPLY_NONE;
}

static enum smtp_reply parse_auth(struct slice args, struct smtp_cmd *cmd)
{
    cmd->arg = slice_take(&args, slice_find(args, ' '));
    cmd->initial = skip_spaces(args);
    cmd->has_initial = cmd->initial.len > 0;
    if (cmd->arg.len == 0 || cmd->arg.len > SMTP_MECHANISM_MAX)
        return SMTP_REPLY_BAD_ARGS;
    if (slice_find(cmd->initial, ' ') < cmd->initial.len)
        return SMTP_REPLY_BAD_ARGS;
    return SMTP_REPLY_NONE;
}

/* NONE when the verb is one for this kind of session, with what EHLO offered. */
static enum smtp_reply judge_verb(enum smtp_verb verb, const struct smtp_rules *rules)
{
    unsigned wanted = verb == SMTP_VERB_BDAT ? SMTP_OFFER_CHUNKING
        : verb == SMTP_VERB_AUTH             ? SMTP_OFFER_AUTH
        : verb == SMTP_VERB_STARTTLS         ? SMTP_OFFER_STARTTLS
        : verb == SMTP_VERB_XCLIENT          ? SMTP_OFFER_XCLIENT
                                             : 0U;

    if (verb == SMTP_VERB_LHLO && !rules->lmtp)
        return SMTP_REPLY_BAD_VERB;
    /* RFC 2033, 4.1 */
    if ((verb == SMTP_VERB_HELO || verb == SMTP_VERB_EHLO) && rules->lmtp)
        return SMTP_REPLY_BAD_VERB;
    return (rules->offers & wanted) == wanted ? SMTP_REPLY_NONE : SMTP_REPLY_NOT_OFFERED;
}

/* A name, and perhaps the word by which replies may hold UTF-8 (RFC 6531, 3.7.4.2). */
static enum smtp_reply parse_name(
    struct slice args, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    static const struct slice word = SI(" SMTPUTF8");

    if ((rules->offers & SMTP_OFFER_SMTPUTF8) && args.len > word.len &&
        slice_eq_nocase(slice_of(args.at + args.len - word.len, word.len), word)) {
        cmd->utf8 = true;
        args.len -= word.len;
    }
    cmd->arg = trim_end(args);
    return cmd->arg.len ? SMTP_REPLY_NONE : SMTP_REPLY_BAD_ARGS;
}

static enum smtp_reply parse_args(
    struct slice args, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    switch (cmd->verb) {
    case SMTP_VERB_HELO:
    case SMTP_VERB_EHLO:
    case SMTP_VERB_LHLO:
        return parse_hello(args, cmd);
    case SMTP_VERB_MAIL:
        return parse_mail(args, rules, cmd);
    case SMTP_VERB_RCPT:
        return parse_rcpt(args, rules, cmd);
    case SMTP_VERB_BDAT:
        return parse_bdat(args, rules, cmd);
    case SMTP_VERB_AUTH:
        return parse_auth(args, cmd);
    case SMTP_VERB_DATA:
    case SMTP_VERB_RSET:
    case SMTP_VERB_QUIT:
    case SMTP_VERB_STARTTLS:
        return args.len ? SMTP_REPLY_BAD_ARGS : SMTP_REPLY_NONE;
    case SMTP_VERB_VRFY:
    case SMTP_VERB_EXPN:
        return parse_name(args, rules, cmd);
    case SMTP_VERB_XCLIENT:
        cmd->arg = args;
        return args.len ? SMTP_REPLY_NONE : SMTP_REPLY_BAD_ARGS;
    case SMTP_VERB_NOOP:
    case SMTP_VERB_HELP:
    case SMTP_VERB_UNKNOWN:
        break;
    }
    return SMTP_REPLY_NONE;
}

enum smtp_reply smtp_parse(
    struct slice line, const struct smtp_rules *rules, struct smtp_cmd *cmd)
{
    struct slice args = trim_end(line);
    struct slice word = slice_take(&args, slice_find(args, ' '));
    enum smtp_reply reply;

    *cmd = (struct smtp_cmd){.verb = verb_of(word)};
    if (cmd->verb == SMTP_VERB_UNKNOWN)
        return is_foreign(word) ? SMTP_REPLY_FOREIGN : SMTP_REPLY_BAD_VERB;
    reply = judge_verb(cmd->verb, rules);
    return reply ? reply : parse_args(skip_spaces(args), rules, cmd);
}
