#include "proto/pop3/pop3.h"

#include "proto/base/check.h"
#include "proto/sasl/sasl.h"

static const struct slice replies[] = {[POP3_REPLY_NONE] = SI(""),
#define X(name, text) [POP3_REPLY_##name] = SI(text),
    POP3_REPLIES(X)
#undef X
};

struct slice pop3_reply_text(enum pop3_reply reply)
{
    CHECK(reply != POP3_REPLY_NONE && reply < sizeof replies / sizeof replies[0]);
    return replies[reply];
}

enum pop3_reply pop3_line_reply(enum line_cut cut)
{
    switch (cut) {
    case LINE_MORE:
    case LINE_DONE:
        break;
    case LINE_BARE:
        return POP3_REPLY_LINE_BARE;
    case LINE_NUL:
        return POP3_REPLY_LINE_NUL;
    case LINE_LONG:
        return POP3_REPLY_LINE_LONG;
    case LINE_FLOOD:
        return POP3_REPLY_LINE_FLOOD;
    }
    return POP3_REPLY_NONE;
}

struct line_limits pop3_line_limits(bool in_auth)
{
    return (struct line_limits){
        in_auth ? (size_t)SASL_LINE_MAX : (size_t)POP3_LINE_MAX, POP3_DISCARD_MAX};
}

/* How the rest of a line is read. */
enum args {
    POP3_ARGS_NONE,
    POP3_ARGS_TEXT,     /* all of it, at least one octet */
    POP3_ARGS_NUMBER,   /* a message number */
    POP3_ARGS_OPTIONAL, /* a message number, or nothing */
    POP3_ARGS_TOP,      /* a message number and a count of lines */
    POP3_ARGS_AUTH,     /* a mechanism and an initial response, or less */
};

static const struct {
    struct slice text;
    unsigned states;
    enum args args;
} verbs[] = {
#define X(name, text, states, args) [POP3_VERB_##name] = {SI(text), states, args},
    POP3_VERBS(X)
#undef X
};

static enum pop3_verb verb_of(struct slice word)
{
    unsigned verb = 0;

    while (verb < POP3_VERB_UNKNOWN && !slice_eq_nocase(word, verbs[verb].text))
        verb++;
    return (enum pop3_verb)verb;
}

/* The next word and the one space after it. */
static struct slice take_word(struct slice *in)
{
    struct slice word = slice_take(in, slice_find(*in, ' '));

    if (in->len)
        slice_take(in, 1);
    return word;
}

static bool take_message(struct slice text, struct pop3_cmd *cmd)
{
    return slice_u32(text, &cmd->message) && cmd->message > 0;
}

/* More lines than can be counted are as many as there are. */
static bool take_lines(struct slice text, struct pop3_cmd *cmd)
{
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_digit(text.at[i]))
            return false;
    if (!slice_u32(text, &cmd->lines))
        cmd->lines = UINT32_MAX;
    return true;
}

static bool take_args(enum args args, struct slice rest, struct pop3_cmd *cmd)
{
    switch (args) {
    case POP3_ARGS_NONE:
        return slice_trim(rest).len == 0;
    case POP3_ARGS_TEXT:
        cmd->text = rest;
        return rest.len > 0;
    case POP3_ARGS_OPTIONAL:
        rest = slice_trim(rest);
        return rest.len == 0 || take_message(rest, cmd);
    case POP3_ARGS_NUMBER:
        return take_message(slice_trim(rest), cmd);
    case POP3_ARGS_TOP:
        rest = slice_trim(rest);
        return take_message(take_word(&rest), cmd) && take_lines(slice_trim(rest), cmd);
    case POP3_ARGS_AUTH:
        rest = slice_trim(rest);
        cmd->text = take_word(&rest);
        cmd->initial = slice_trim(rest);
        cmd->has_initial = cmd->initial.len > 0;
        return slice_find(cmd->initial, ' ') == cmd->initial.len;
    }
    return false;
}

enum pop3_reply pop3_parse(struct slice line, enum pop3_state state, struct pop3_cmd *cmd)
{
    enum pop3_verb verb = verb_of(take_word(&line));

    *cmd = (struct pop3_cmd){.verb = verb};
    if (verb == POP3_VERB_UNKNOWN)
        return POP3_REPLY_BAD_VERB;
    if (!(verbs[verb].states & (1U << state)))
        return POP3_REPLY_BAD_ORDER;
    return take_args(verbs[verb].args, line, cmd) ? POP3_REPLY_NONE : POP3_REPLY_BAD_ARGS;
}

void pop3_put_capa(struct out *out, bool login, bool stls)
{
    out_put(out,
        S("+OK Capabilities follow\r\n"
          "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"
          "EXPIRE NEVER\r\nIMPLEMENTATION ringmail\r\n"));
    if (login)
        out_put(out, S("USER\r\nSASL PLAIN LOGIN\r\n"));
    if (stls)
        out_put(out, S("STLS\r\n"));
    out_put(out, S(".\r\n"));
}
