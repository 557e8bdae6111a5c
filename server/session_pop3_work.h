/* session_pop3_work.h -- the inside of the POP3 session; for session_pop3*.c only.
 *
 *   COMMAND --PASS, AUTH--> CHECK --> MOVE --> OPEN --> COMMAND, in the TRANSACTION state
 *           --STAT, LIST--> SIZE --> COMMAND
 *           --LIST, UIDL--> LIST --> COMMAND
 *           --RETR, TOP---> READ --> COMMAND
 *           --QUIT--------> UPDATE --> closed
 *
 * From OPEN on the session is on the thread that owns the user. It holds the maildrop: a
 * copy of what the index knew of INBOX at that moment, with the log pinned, so that every
 * message stays readable whatever other clients do.
 */
#pragma once
#include "proto/base/dots.h"
#include "proto/pop3/pop3.h"
#include "proto/sasl/sasl.h"
#include "server/auth.h"
#include "server/config.h"
#include "server/conn.h"
#include "store/store.h"

enum {
    POP3_SESSION_BYTES = 512,
    /* What is done between two looks at the clock, in units of about a microsecond. */
    POP3_LOOK_UNITS = 25,
    POP3_COPY_RATE = 20,          /* index entries copied in one unit */
    POP3_SCAN_RATE = 500,         /* messages looked at in one unit */
    POP3_LIST_RATE = 16,          /* lines of LIST or UIDL written in one unit */
    POP3_LEND_RATE = 2048,        /* octets of a body sent in one unit */
    POP3_SCAN_OCTETS = 32 * 1024, /* of a message whose dots are looked for by RETR */
};

enum pop3_mode {
    POP3_MODE_COMMAND,   /* a line is awaited */
    POP3_MODE_AUTH_LINE, /* an answer to a challenge is awaited */
    POP3_MODE_CHECK,     /* the password is being checked */
    POP3_MODE_MOVE,      /* between two threads */
    POP3_MODE_OPEN,      /* the maildrop is being opened */
    POP3_MODE_SIZE,      /* sizes are being completed; then the command is answered */
    POP3_MODE_LIST,      /* lines of LIST or UIDL are being written */
    POP3_MODE_READ,      /* a message is being sent */
    POP3_MODE_RESET,     /* marks are being taken back */
    POP3_MODE_COLLECT,   /* deletions are being collected */
    POP3_MODE_UPDATE,    /* they are on their way to the disk */
};

enum pop3_turn {
    POP3_AGAIN, /* made progress: call again */
    POP3_WAIT,  /* for input, output, the disk or a password check, or closed */
    POP3_YIELD, /* the slice is used up: again in the next turn of the loop */
};

struct pop3_message {
    uint64_t body, summary; /* places */
    uint32_t uid, size;     /* octets as stored */
    uint8_t summary_index;
    bool deleted : 1;
    bool sized : 1;    /* open_end is known */
    bool open_end : 1; /* the last line has no line end: RETR adds one */
};

/* A message being sent, or looked at for its size. */
struct pop3_read {
    enum { READ_SUMMARY, READ_BEGIN, READ_SEND } at;
    bool top;
    bool reading; /* body is open */
    bool headed;  /* +OK has been said */
    bool plain;   /* no line begins with a dot; false: unknown */
    struct pop3_top lines;
    struct dots dots;
    uint64_t left; /* octets of the message behind the present piece */
    struct body body;
};

struct pop3_drop {
    struct pop3_drop *next; /* locks of the thread, in a row of the table */
    struct session_pop3 *session;
    struct store *store;
    enum { DROP_USER, DROP_MAILBOX, DROP_COPY, DROP_READY } at;
    bool owed;          /* the store has not answered */
    bool held;          /* a summary has come and is not released yet */
    enum status status; /* its last answer */
    struct user *user;
    struct mailbox *mailbox;
    struct view view; /* only while the index is being copied */
    struct store_pin *pin;
    struct pop3_message *messages;
    uint32_t count, cap;
    uint32_t copied;   /* sequence numbers copied */
    uint32_t kept;     /* messages not deleted */
    uint32_t deleted;  /* and deleted */
    uint32_t sized;    /* messages whose sizes are complete, from the first on */
    uint64_t octets;   /* of those kept, as RETR sends them; once all are sized */
    uint32_t validity; /* UIDVALIDITY of INBOX */
    uint32_t cursor;   /* index of the message that a command has come to */
    bool single;       /* LIST: just that one */
    enum pop3_verb verb;
    struct uid_range *ranges; /* COLLECT, UPDATE */
    uint32_t range_count;
    struct pop3_read read;
    union {
        struct user_open user_open;
        struct mailbox_open mailbox_open;
        struct expunge_op expunge;
        struct summary_read summary;
    } request;
};

/* A login under way. It outlives the session while a check is under way. */
struct pop3_auth {
    struct session_pop3 *session;
    struct auth auth;
    bool checking;
    struct sasl sasl;
    char buffer[SASL_BUFFER_MIN];
};

struct session_pop3 {
    struct conn conn;
    struct login login;
    struct line_cutter cutter;
    char *name;             /* given by USER; then the account's */
    struct pop3_auth *auth; /* NULL but during a login */
    struct pop3_drop *drop; /* NULL before it */
    uint64_t octets;        /* sent of messages, for the log */
    int64_t since_ns;       /* the turn that saw the command began then */
    uint32_t commands, retrieved, deleted;
    int32_t units; /* left before the next look at the clock */
    uint16_t errors;
    uint8_t mode;     /* enum pop3_mode */
    uint8_t state;    /* enum pop3_state */
    uint8_t failures; /* failed logins */
    bool stays : 1;   /* login_stay() said yes */
    bool ended : 1;   /* the account has changed */
    bool stopping : 1;
    bool gone : 1; /* closed(): freed when nothing is owed any more */
};
_Static_assert(
    sizeof(struct session_pop3) <= POP3_SESSION_BYTES, "idle sessions are many");

static inline struct session_pop3 *pop3_of(struct conn *c)
{
    return container_of(c, struct session_pop3, conn);
}

static inline const struct config *pop3_config(const struct session_pop3 *s)
{
    return s->conn.thread->config;
}

/* Has its slice of the turn not come to its end? */
bool pop3_goes_on(struct session_pop3 *s);

/* Counts what was done: AGAIN, or why the step has to stop here. */
static inline enum pop3_turn pop3_pace(struct session_pop3 *s, int32_t units)
{
    s->units -= units;
    if (s->units < 0 && !pop3_goes_on(s))
        return POP3_YIELD;
    return conn_congested(&s->conn) ? POP3_WAIT : POP3_AGAIN;
}

/* --- session_pop3.c: the run loop -------------------------------------------- */

void pop3_say(struct session_pop3 *s, enum pop3_reply reply);
/* Says it, gives the maildrop back and closes; nothing may be owed. */
void pop3_bye(struct session_pop3 *s, enum pop3_reply reply);
/* The same as the answer to QUIT. */
void pop3_part(struct session_pop3 *s, enum pop3_reply reply);
/* Says what is wrong with a command; one too many ends the session. */
void pop3_refuse(struct session_pop3 *s, enum pop3_reply reply);
/* The command is answered: the next one. */
void pop3_rest(struct session_pop3 *s);
/* Something that was owed has come: the session is woken, or freed if it is gone. */
void pop3_landed(struct session_pop3 *s);

/* --- session_pop3_login.c ---------------------------------------------------- */

void pop3_user(struct session_pop3 *s, struct slice name);
void pop3_pass(struct session_pop3 *s, struct slice password);
void pop3_auth(struct session_pop3 *s, const struct pop3_cmd *cmd);
/* STLS would be taken now. */
bool pop3_may_start_tls(const struct session_pop3 *s);
/* WAIT: the handshake comes next. */
enum pop3_turn pop3_stls(struct session_pop3 *s);
enum pop3_turn pop3_auth_line_step(struct session_pop3 *s);
enum pop3_turn pop3_check_step(struct session_pop3 *s);
enum pop3_turn pop3_open_step(struct session_pop3 *s);
/* Forgets name, exchange and login; no check may be under way. */
void pop3_forget(struct session_pop3 *s);

/* --- session_pop3_drop.c ----------------------------------------------------- */

/* Takes the maildrop of s->name, exclusively among POP3 sessions. NONE, or why not. */
enum pop3_reply pop3_drop_lock(struct session_pop3 *s);
/* Brings it into memory. AGAIN: d->at is READY, or d->status says why not. */
enum pop3_turn pop3_drop_step(struct session_pop3 *s, struct pop3_drop *d);
/* Gives everything back; nothing may be owed. */
void pop3_drop_close(struct session_pop3 *s);
/* Octets that RETR sends, before stuffing. */
static inline uint64_t pop3_octets(const struct pop3_message *m)
{
    return (uint64_t)m->size + (m->open_end ? 2 : 0);
}
/* What the index knew of the message. */
struct entry pop3_entry(const struct pop3_message *m);
void pop3_dele(struct session_pop3 *s, uint32_t number);
void pop3_rset(struct session_pop3 *s);
enum pop3_turn pop3_reset_step(struct session_pop3 *s);
/* QUIT in the TRANSACTION state. */
void pop3_update(struct session_pop3 *s);
enum pop3_turn pop3_collect_step(struct session_pop3 *s);
enum pop3_turn pop3_update_step(struct session_pop3 *s);

/* --- session_pop3_read.c ------------------------------------------------------ */

/* STAT, LIST, UIDL, RETR, TOP. */
void pop3_begin(struct session_pop3 *s, const struct pop3_cmd *cmd);
enum pop3_turn pop3_size_step(struct session_pop3 *s);
enum pop3_turn pop3_list_step(struct session_pop3 *s);
enum pop3_turn pop3_read_step(struct session_pop3 *s);
/* Closes what a message being sent holds. */
void pop3_read_end(struct pop3_drop *d);
