/* pop3.h -- the words of POP3 (RFC 1939, 2449, 2595, 5034): lines to commands,
 * message text to stuffed text. No I/O; slices point into the caller's input.
 *
 *      input --> line_cut() --> pop3_parse() --> struct pop3_cmd
 *                                  \--> enum pop3_reply, when the peer is wrong
 *      message --> pop3_top_take(), for TOP --> dots_next() ... --> dots_end()
 */
#pragma once
#include "proto/base/dots.h"
#include "proto/base/line.h"
#include "proto/base/slice.h"
#include "proto/pop3/pop3_words.h"

enum {
    /* RFC 2449, 4: 255 octets; more, for long passwords. */
    POP3_LINE_MAX = 1024,
    POP3_DISCARD_MAX = 128 << 10, /* octets of an overlong line before closing */
};

/* The limits for the next line; `in_auth` between AUTH's challenge and its answer. */
struct line_limits pop3_line_limits(bool in_auth);

enum pop3_state {
    POP3_START, /* AUTHORIZATION */
    POP3_USER,  /* AUTHORIZATION, right after a good USER */
    POP3_MAIL,  /* TRANSACTION */
};

enum {
    POP3_IN_START = 1 << POP3_START,
    POP3_IN_USER = 1 << POP3_USER,
    POP3_IN_MAIL = 1 << POP3_MAIL,
    POP3_IN_ANY = POP3_IN_START | POP3_IN_USER | POP3_IN_MAIL,
};

enum pop3_verb {
#define X(name, text, states, args) POP3_VERB_##name,
    POP3_VERBS(X)
#undef X
        POP3_VERB_UNKNOWN,
};

enum pop3_reply {
    POP3_REPLY_NONE, /* nothing is wrong */
#define X(name, text) POP3_REPLY_##name,
    POP3_REPLIES(X)
#undef X
};

/* The whole reply line with its CR LF. */
struct slice pop3_reply_text(enum pop3_reply reply);

/* What a line that line_cut() gives up on is answered with; NONE for LINE_DONE and
 * LINE_MORE. After POP3_REPLY_LINE_FLOOD the connection is closed. */
enum pop3_reply pop3_line_reply(enum line_cut cut);

struct pop3_cmd {
    enum pop3_verb verb;
    struct slice text;    /* USER: name; PASS: password, spaces and all; AUTH: mechanism,
                             empty where AUTH alone asks for the list */
    struct slice initial; /* AUTH: initial response, as sent */
    uint32_t message;     /* message number, from 1; 0 where LIST, UIDL gave none */
    uint32_t lines;       /* TOP: lines of the body */
    bool has_initial;
};

/* One line. NONE: *cmd is whole and allowed in this state. Otherwise the answer;
 * cmd->verb is set nevertheless. TOP's line count is capped at 2^32-1, where a
 * message number that large is refused. */
enum pop3_reply pop3_parse(
    struct slice line, enum pop3_state state, struct pop3_cmd *cmd);

/* The answer to CAPA (RFC 2449, 5), whole. `login`: a name and password are
 * taken on this connection before login; `stls`: STLS would be taken now. */
void pop3_put_capa(struct out *out, bool login, bool stls);

/* How much of a message TOP shows (RFC 1939, 7): the header, the empty line, and so
 * many lines of the body. What it takes goes out by dots.h, as all of RETR does. */
struct pop3_top {
    uint32_t lines_left; /* set at the start; the other fields begin as zeros */
    bool in_body;        /* the empty line has passed */
    bool done;           /* all that was asked for has been taken */
    uint8_t line_octets; /* of the line under way: 0 none, 1 a CR, 2 anything else */
};

/* The front part of the next octets of the message that TOP shows; all of them until
 * t->done. */
struct slice pop3_top_take(struct pop3_top *t, struct slice bytes);
