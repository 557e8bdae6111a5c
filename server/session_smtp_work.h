/* session_smtp_work.h -- the inside of the SMTP and LMTP session; for session_smtp*.c
 * only.
 *
 *   COMMAND --DATA--> TEXT --end of text--> COMMIT --answer--> COMMAND
 *           --BDAT--> CHUNK --LAST--------> COMMIT
 *                     CHUNK --not the last-----------------> COMMAND
 *           --BDAT refused--> SKIP ------------------------> COMMAND
 *           --AUTH--> AUTH_LINE <--> AUTH_CHECK -----------> COMMAND
 *           --RCPT, with a quota--> RCPT ------------------> COMMAND
 *   any step that a check of the policy answers later: POLICY --> where it would be
 *   any error whose reply has to wait: DELAY --> where it was
 *
 * Commands are answered in order, one after the other; what waits is a mode, not a
 * callback. Completions only note the outcome and wake the connection.
 */
#pragma once
#include "proto/sasl/sasl.h"
#include "proto/smtp/smtp.h"
#include "proto/smtp/smtp_repair.h"
#include "proto/smtp/smtp_text.h"
#include "server/auth.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/delivery.h"
#include "server/policy.h"
#include "server/route.h"

enum {
    SMTP_SESSION_BYTES = 512,
    /* Commands of one call of run() before others get their turn. */
    SMTP_SLICE_COMMANDS = 64,
    /* Octets of text of one call of run(), and of one look at the clock: a header of
     * lines of three octets takes twenty times what other text does. */
    SMTP_SLICE_OCTETS = 256 << 10,
    SMTP_PIECE_OCTETS = 16 << 10,
    /* Slower text than this, measured from deadline to deadline, ends the session
     * (matrix O02). */
    SMTP_RATE_MIN = 500,
    /* A message this much over the limit is not read to its end (matrix S20). */
    SMTP_OVERRUN_MAX = 1 << 30,
    /* Names of recipients and senders of one message, and what is mended in it. */
    SMTP_NAMES_BYTES_MAX = 32 << 20,
};

enum smtp_mode {
    SMTP_MODE_COMMAND,    /* a line is awaited */
    SMTP_MODE_TEXT,       /* DATA: text up to the lone dot */
    SMTP_MODE_CHUNK,      /* BDAT: `left` octets of text */
    SMTP_MODE_SKIP,       /* a refused BDAT: `left` octets are dropped */
    SMTP_MODE_COMMIT,     /* the message is on its way to the disk */
    SMTP_MODE_AUTH_LINE,  /* an answer to a challenge is awaited */
    SMTP_MODE_AUTH_CHECK, /* the password is being checked */
    SMTP_MODE_RCPT,       /* the owner of a recipient is asked for room */
    SMTP_MODE_POLICY,     /* a check has yet to answer */
    SMTP_MODE_DELAY,      /* the reply to an error has to wait */
};

enum smtp_turn {
    SMTP_AGAIN, /* made progress: call again */
    SMTP_WAIT,  /* for input, for the disk, for a password check, or closed */
    SMTP_YIELD, /* the slice is used up: again in the next turn of the loop */
};

/* Names, each once, in the order they came. */
struct smtp_names {
    struct slice *at; /* `few` or in the arena, as the names are */
    uint32_t count, cap;
    uint32_t *slots; /* a table of index + 1, twice as large as cap; NULL while few */
    struct slice few[4];
};

enum { SMTP_NO_NAME = UINT32_MAX };

/* LMTP: which accounts each accepted recipient stands for. */
struct smtp_shares {
    uint32_t *at; /* for each: how many, then their places in `users` */
    uint32_t count, cap;
};

/* A transaction, from MAIL to the answer to its text. It lies in its own arena. */
struct smtp_message {
    struct arena arena;
    struct smtp_cmd mail;         /* what it points to is in the arena */
    struct smtp_cmd asked;        /* the recipient under way, likewise */
    bool asked_local;             /* nothing of it is elsewhere */
    struct slice rcpt;            /* the first recipient as given */
    uint32_t rcpts;               /* accepted */
    uint32_t tried;               /* RCPT commands, whatever their answer was */
    struct smtp_names users;      /* accounts that get a copy */
    struct smtp_names others;     /* addresses of the queue's recipients ... */
    struct envelope_rcpt *queued; /* ... and these; NULL: nothing goes there */
    uint32_t queued_cap;
    struct smtp_shares shares;
    struct delivery *delivery;  /* NULL before the text, or when the text is refused */
    struct smtp_repair *repair; /* of submitted text; NULL: it stays as it is */
    struct smtp_repair_conf repair_conf;
    struct smtp_text text;
    struct smtp_header_watch watch;
    uint64_t octets;        /* of the text so far */
    int64_t since_ns;       /* its end was seen in the turn that began then */
    uint32_t path_octets;   /* of the Return-Path field */
    uint32_t header_octets; /* of all fields behind it, the empty line included */
    uint8_t failed;         /* LMTP: enum smtp_reply for the chunks to come, or NONE */
    bool last;              /* the chunk under way is the last */
    bool header_8bit, body_8bit; /* looked at when something is queued */
    unsigned header_flaws;       /* BINARYMIME: SCAN_ flags of the header */
    char header_end;             /* ... and its last octet so far */
    char id[48];                 /* in the Received field and in the log */
};

/* The checks of a connection, and what they are told. */
struct smtp_chain {
    struct policy *policy;
    struct policy_facts facts;
    char *hello; /* the name of a HELO or EHLO that is being asked about, or NULL */
    bool esmtp;  /* it was EHLO or LHLO */
};

/* A reply that waits. */
struct smtp_delay {
    struct timer timer;
    struct session_smtp *session;
    bool due;
    size_t len;
    char reply[];
};

/* Domains of the recipients of a session (RCPTDOMAINMAX). */
struct smtp_domains {
    uint32_t count;
    uint64_t hash[];
};

/* An AUTH exchange. It outlives the session while a check is under way. */
struct smtp_auth {
    int64_t since_ns; /* the turn that saw the whole password began then */
    struct session_smtp *session;
    struct auth auth;
    bool checking;
    struct sasl sasl;
    char buffer[SASL_BUFFER_MIN];
};

/* The question whether a recipient has room. It outlives the session while it is out. */
struct smtp_room {
    struct call call;
    struct session_smtp *session;
    bool asking;
    bool fits; /* the answer */
    uint64_t octets;
    struct slice user; /* the account */
    char bytes[];      /* of its name */
};

struct session_smtp {
    struct conn conn;
    struct login login;
    struct line_cutter cutter;
    struct smtp_message *message; /* NULL between transactions */
    struct smtp_auth *auth;       /* NULL but during AUTH */
    struct smtp_room *room;       /* NULL but during RCPT */
    struct smtp_chain *chain;
    struct smtp_delay *delay;     /* NULL but in DELAY */
    struct smtp_domains *domains; /* NULL without a limit, or nothing yet */
    char *helo;                   /* what the client calls itself; NULL: nothing yet */
    char *user;                   /* the account that is logged in; NULL: nobody */
    char *peer_name;              /* of XCLIENT; NULL: unknown */
    uint64_t left;                /* CHUNK, SKIP */
    uint32_t paced;               /* octets of text since the deadline was set */
    int32_t octets;               /* of text left in this slice */
    uint32_t offers;              /* SMTP_OFFER_ bits */
    uint32_t mails;               /* MAIL commands, where they are limited */
    uint32_t owed_times;          /* SKIP: how often `owed` is said at its end */
    uint32_t commands, stored, refused, rcpts_refused; /* for the log */
    uint16_t errors;                                   /* since the last message */
    uint8_t units;                                     /* commands left in this slice */
    uint8_t mode;                                      /* enum smtp_mode */
    uint8_t state;                                     /* enum smtp_state */
    uint8_t failures;                                  /* failed logins */
    uint8_t owed;         /* SKIP: enum smtp_reply for the end, or NONE */
    uint8_t step;         /* POLICY: enum policy_step */
    uint8_t after;        /* DELAY: the mode that follows */
    bool esmtp : 1;       /* EHLO, not HELO */
    bool trusted : 1;     /* in --trust: may relay */
    bool xclient : 1;     /* in --xclient-from */
    bool turned_away : 1; /* refused at the greeting: only QUIT is left */
    bool ended : 1;       /* the account has changed */
    bool stopping : 1;    /* the server stops */
    bool gone : 1;        /* closed(): freed when nothing is owed any more */
};
_Static_assert(
    sizeof(struct session_smtp) <= SMTP_SESSION_BYTES, "idle sessions are many");

static inline struct session_smtp *smtp_of(struct conn *c)
{
    return container_of(c, struct session_smtp, conn);
}

static inline const struct config *smtp_config(const struct session_smtp *s)
{
    return s->conn.thread->config;
}

static inline bool smtp_is_submission(const struct session_smtp *s)
{
    return s->conn.listener->protocol == PROTO_SUBMISSION;
}

static inline bool smtp_is_lmtp(const struct session_smtp *s)
{
    return s->conn.listener->protocol == PROTO_LMTP;
}

/* May name recipients elsewhere. */
static inline bool smtp_may_relay(const struct session_smtp *s)
{
    return !smtp_is_lmtp(s) && (s->user || s->trusted);
}

static inline struct slice smtp_sender(const struct smtp_message *m)
{
    return m->mail.path.text;
}

/* --- session_smtp.c: the run loop ------------------------------------------ */

void smtp_say(struct session_smtp *s, enum smtp_reply reply);
/* Says it and closes. */
void smtp_bye(struct session_smtp *s, enum smtp_reply reply);
/* Says what is wrong with a command. A 5xx counts, and one too many ends the session
 * (matrix S27); so does a reply that closes. Before a 5xx there may be a pause: the mode
 * is already the one to go on with. */
void smtp_refuse(struct session_smtp *s, enum smtp_reply reply);
/* The same for a line that is not in the list of replies; 421 closes. */
void smtp_refuse_text(struct session_smtp *s, struct slice line);
/* The same once for each of `times` recipients: one error, and no pause where they are
 * not one. */
void smtp_refuse_times(struct session_smtp *s, struct slice line, unsigned times);
/* The silence allowed now begins. */
void smtp_rest(struct session_smtp *s);
/* Works out what EHLO offers from here on. */
void smtp_offer(struct session_smtp *s);
/* What commands are judged by now. */
struct smtp_rules smtp_rules_of(const struct session_smtp *s);
/* The connection is new, or what is known of its peer: its checks begin anew, and the
 * greeting follows. */
void smtp_open(struct session_smtp *s);
/* Ends the transaction, if there is one; nothing of it is kept. */
void smtp_reset(struct session_smtp *s);
/* Something that was owed has come: the session is woken, or freed if it is gone. */
void smtp_landed(struct session_smtp *s);

/* --- session_smtp_command.c ------------------------------------------------ */

/* One command line: executes and answers it. */
enum smtp_turn smtp_execute(struct session_smtp *s, struct slice line);
/* HELO and MAIL, when the checks have passed. */
void smtp_hello_done(struct session_smtp *s);
void smtp_hello_refused(struct session_smtp *s);
void smtp_mail_done(struct session_smtp *s);

/* --- session_smtp_policy.c ------------------------------------------------- */

/* False: no memory. */
bool smtp_policy_open(struct session_smtp *s);
void smtp_policy_close(struct session_smtp *s);
/* Asks the checks of a step. PENDING: the session is in POLICY, and the step's
 * continuation is called when the answer is there. */
enum policy_answer smtp_policy_begin(struct session_smtp *s, enum policy_step step);
/* The same, and the continuation is called at once where there is an answer. */
void smtp_policy_ask(struct session_smtp *s, enum policy_step step);
/* The line of a refusal. */
struct slice smtp_policy_reply(const struct session_smtp *s);
enum smtp_turn smtp_policy_step(struct session_smtp *s);
/* Says the line after a pause, in DELAY, if errors are to cost time. False: at once. */
bool smtp_delay(struct session_smtp *s, struct slice line);
enum smtp_turn smtp_delay_step(struct session_smtp *s);

/* --- session_smtp_names.c -------------------------------------------------- */

/* A copy of MAIL or RCPT, all of it in the arena. False: no memory. */
bool smtp_keep(struct arena *arena, const struct smtp_cmd *from, struct smtp_cmd *to);

/* An empty set. */
void smtp_names_init(struct smtp_names *n);
/* The place of the name, which is copied when it is new; SMTP_NO_NAME: no memory. */
uint32_t smtp_names_add(struct smtp_names *n, struct arena *arena, struct slice name);
bool smtp_names_has(const struct smtp_names *n, struct slice name);
/* Takes back those after the first n. */
void smtp_names_cut(struct smtp_names *names, uint32_t n);

/* --- session_smtp_rcpt.c --------------------------------------------------- */

/* RCPT in its place: routes the recipient and answers, perhaps after asking the checks
 * and its owner. */
void smtp_rcpt(struct session_smtp *s, const struct smtp_cmd *cmd);
/* The checks have passed. */
void smtp_rcpt_passed(struct session_smtp *s);
/* A recipient is refused, and the log hears of it. */
void smtp_rcpt_refuse(struct session_smtp *s, struct slice rcpt, struct slice reply);
enum smtp_turn smtp_rcpt_step(struct session_smtp *s);

/* --- session_smtp_queue.c -------------------------------------------------- */

/* A recipient for the queue, once: one that is there already stays as it is. False: no
 * memory. */
bool smtp_queue_add(struct smtp_message *m, const struct envelope_rcpt *rcpt);
/* What is queued, as envelopes of at most ENVELOPE_RCPTS_MAX recipients each, in the
 * arena. NULL: no memory. */
const struct envelope *smtp_envelopes(
    struct session_smtp *s, uint32_t front_octets, unsigned *count);

/* --- session_smtp_verify.c ------------------------------------------------- */

/* VRFY and EXPN (RFC 5321, 3.5). */
void smtp_verify(struct session_smtp *s, const struct smtp_cmd *cmd);
void smtp_expand(struct session_smtp *s, const struct smtp_cmd *cmd);

/* --- session_smtp_xclient.c ------------------------------------------------ */

void smtp_xclient(struct session_smtp *s, const struct smtp_cmd *cmd);

/* --- session_smtp_text.c --------------------------------------------------- */

/* DATA in its place. */
void smtp_data(struct session_smtp *s);
/* BDAT in its place, of a size within the limit. */
void smtp_bdat(struct session_smtp *s, const struct smtp_cmd *cmd);
/* A BDAT is refused, in its place or out of it. Its octets come nevertheless, and are
 * dropped. */
void smtp_refuse_chunk(
    struct session_smtp *s, const struct smtp_cmd *cmd, enum smtp_reply reply);
enum smtp_turn smtp_text_step(struct session_smtp *s);
enum smtp_turn smtp_chunk_step(struct session_smtp *s);
enum smtp_turn smtp_skip_step(struct session_smtp *s);

/* --- session_smtp_end.c ---------------------------------------------------- */

/* What is wrong with the text so far; the same however it was cut. */
enum smtp_reply smtp_judge_text(const struct session_smtp *s);
/* The text is whole. */
void smtp_end_text(struct session_smtp *s);
/* The checks have passed: it is stored. */
void smtp_commit(struct session_smtp *s);
enum smtp_turn smtp_commit_step(struct session_smtp *s);
/* The transaction is over, and refused: to each of its recipients by LMTP. */
void smtp_conclude(struct session_smtp *s, enum smtp_reply reply);
void smtp_conclude_text(struct session_smtp *s, struct slice reply);
/* A line is awaited again. */
void smtp_expect_command(struct session_smtp *s);

/* --- session_smtp_auth.c --------------------------------------------------- */

/* WAIT: the handshake comes next. */
enum smtp_turn smtp_starttls(struct session_smtp *s);
void smtp_auth_begin(struct session_smtp *s, const struct smtp_cmd *cmd);
enum smtp_turn smtp_auth_line_step(struct session_smtp *s);
enum smtp_turn smtp_auth_check_step(struct session_smtp *s);
/* Forgets the login and the exchange; no check may be under way. */
void smtp_auth_forget(struct session_smtp *s);
