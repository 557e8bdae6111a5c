/* session_imap_work.h -- private to the files of the IMAP session.
 *
 * A session runs one command at a time, in the order in which they came:
 *
 *   input --> collect --> parse --> step, step ... --> news --> code --> tagged reply
 *
 * A step is a function that goes on where it stopped, with what it needs kept in a
 * cursor. It returns when an op is in flight, when the output has to drain, or when its
 * slice is used up; session_imap.c calls it again. Everything that a command needs lives
 * in struct imap_work, which exists only while there is a command: between commands and
 * in IDLE a session is nothing but struct session_imap.
 */
#pragma once
#include <assert.h>

#include "proto/imap/imap.h"
#include "proto/imap/imap_write.h"
#include "proto/mime/summary.h"
#include "server/auth.h"
#include "server/conn.h"
#include "store/store.h"

struct imap_work;
struct imap_idle;
struct session_imap;

enum {
    /* What is done between two looks at the clock, in units of a quarter of a microsecond
     * on a machine of today: what a page fault or a read costs, nobody knows. */
    IMAP_LOOK_UNITS = 100,
    IMAP_UNITS_COMMAND = 4, /* to collect, parse and answer */
    IMAP_UNITS_READ = 8,    /* to open a body or a summary that is in memory */
    /* Memory of one command: parsed arguments, cursors, needles of a SEARCH. */
    IMAP_WORK_BYTES = 4 << 20,
    /* Silence allowed within a command; a message must come at 500 octets a second
     * (matrix O02). */
    IMAP_COMMAND_S = 300,
    IMAP_MESSAGE_RATE = 500,
    IMAP_SESSION_BYTES = 512,
};

enum turn {
    TURN_AGAIN, /* made progress: call again */
    TURN_WAIT,  /* an op is in flight, or output or input is awaited: run() will come */
    TURN_YIELD, /* the slice is used up: again in the next turn of the loop */
    TURN_DONE,  /* the command has its reply */
};

typedef enum turn imap_step_fn(struct session_imap *s);

struct session_imap {
    struct conn conn;
    struct login login;
    struct view view;       /* view.mailbox == NULL: no mailbox is selected */
    struct user *user;      /* open from login to the end */
    char *name;             /* of the account, for logs */
    struct imap_work *work; /* the command being collected or run */
    struct imap_idle *idle; /* IDLE: the tag to answer */
    uint32_t commands;      /* for the log */
    int32_t units;          /* left before the next look at the clock */
    uint16_t keywords_told; /* of the selected mailbox, by FLAGS */
    uint8_t state;          /* enum imap_state */
    uint8_t errors;         /* BADs since the last OK */
    uint8_t failures;       /* failed logins */
    bool ended : 1;         /* the account is gone or changed: say so and close */
    bool stopping : 1;      /* the server stops: the same */
    bool gone : 1;          /* closed(): free when nothing is owed any more */
};
static_assert(sizeof(struct session_imap) <= IMAP_SESSION_BYTES, "grows with every IDLE");

/* A request to the store, and the way back to the session. */
struct imap_request {
    struct session_imap *session;
    enum status status; /* of the last answer */
    union {
        struct store_op op; /* every one of these begins with it */
        struct user_open user_open;
        struct mailbox_open mailbox_open;
        struct mailbox_op mailbox_op;
        struct flags_op flags;
        struct expunge_op expunge;
        struct copy_op copy;
        struct store_chunk chunk;
        struct store_message message;
        struct body body;
        struct summary_read summary;
    };
};

struct imap_reply {
    struct slice answer; /* "OK" */
    struct slice code;   /* "[READ-ONLY]", or empty */
    struct slice text;   /* empty: "<verb> completed" */
};

enum imap_phase {
    IMAP_PHASE_COLLECT, /* a command is awaited or in part here */
    IMAP_PHASE_RUN,     /* step() is at work */
    IMAP_PHASE_NEWS,    /* what has changed is told (RFC 3501, 5.2, 7.4.1) */
    IMAP_PHASE_CODE,    /* the tagged reply is begun, code() writes its code */
};

struct imap_work {
    struct imap_collect collect;
    enum imap_phase phase;
    bool timed;       /* the client must send the rest of the command by the deadline */
    bool told_flags;  /* of others, while the command runs */
    bool skipping;    /* the collector drops the rest of a refused command */
    unsigned pending; /* requests that the store has not answered */
    int64_t since_ns; /* when the turn began that saw the whole command */
    struct arena arena;
    struct slice command; /* its octets, in the arena; cmd points into them */
    struct imap_cmd cmd;
    imap_step_fn *step;
    void *cursor; /* of the step, in the arena; NULL before its first call */
    /* Gives back what the cursor holds outside the arena; NULL: nothing. Called once,
     * when the step is done or the connection has ended, and nothing is owed. */
    void (*drop)(struct session_imap *s);
    struct imap_reply reply;
    imap_step_fn *code; /* NULL, or writes a long code in place of reply.code */
};

struct imap_idle {
    uint8_t tag_bytes;
    char tag[];
};

static inline struct session_imap *imap_of(struct conn *c)
{
    return container_of(c, struct session_imap, conn);
}

/* --- session_imap.c: the run loop ----------------------------------------- */

/* Room for a command. False: no memory, and the connection is aborted. */
bool imap_work_begin(struct session_imap *s);
/* Gives it back; nothing may be owed. */
void imap_work_end(struct session_imap *s);

/* A cleared cursor for the running step. NULL: no memory, and the reply says so. */
void *imap_cursor(struct session_imap *s, size_t bytes);

/* Something is owed, and has come: the session is woken. */
void imap_owe(struct session_imap *s);
void imap_landed(struct session_imap *s);
/* Just before a request goes to the store; its done() is then set and will wake the
 * session. */
void imap_ask(struct session_imap *s, struct imap_request *r);
/* The same for calls that may have the answer at once: true when they had. */
bool imap_body_next(struct session_imap *s, struct imap_request *r);
bool imap_summary_get(
    struct session_imap *s, struct imap_request *r, const struct entry *entry);

/* Has its slice of the turn not come to its end? */
bool imap_goes_on(struct session_imap *s);

/* Counts what was done: true when the step should yield. */
static inline bool imap_spent(struct session_imap *s, int units)
{
    s->units -= units;
    return s->units < 0 && !imap_goes_on(s);
}

/* After a piece of output or work: AGAIN, or why the step has to stop here. */
static inline enum turn imap_pace(struct session_imap *s, int units)
{
    if (imap_spent(s, units))
        return TURN_YIELD;
    return conn_congested(&s->conn) ? TURN_WAIT : TURN_AGAIN;
}

/* Closes what is selected, without a word; then the state is USER. */
void imap_deselect(struct session_imap *s);

/* Counts a BAD; too many of them end the session (matrix I20). */
void imap_count_error(struct session_imap *s);

/* The limits for commands in this state. */
struct imap_limits imap_limits(const struct session_imap *s);

/* Octets a command may need, for conn_input_limit(). */
size_t imap_input_room(const struct session_imap *s);

/* The silence allowed now begins. */
void imap_rest(struct session_imap *s);

/* --- session_imap_reply.c ------------------------------------------------- */

/* What the running command will be answered. Return DONE, so that a step can end with
 * them. */
enum turn imap_ok(struct session_imap *s);
enum turn imap_ok_code(struct session_imap *s, struct slice code);
enum turn imap_no(struct session_imap *s, struct slice code, struct slice text);
enum turn imap_bad(struct session_imap *s, struct slice text);
/* For a status of the store; `missing` is the code for NOT_FOUND, `limit` for LIMIT. OK
 * is OK. */
enum turn imap_answer(
    struct session_imap *s, enum status status, struct slice missing, struct slice limit);

/* RFC 5530, 3: the code for LIMIT where `bytes` more were to be kept: the quota, or else
 * a limit of ours such as that of keywords. */
struct slice imap_limit_code(const struct session_imap *s, uint64_t bytes);

/* `a7 OK `, and `UID FETCH completed` CRLF: the ends of a tagged reply. */
void imap_put_tag_answer(struct session_imap *s);
void imap_put_completed(struct session_imap *s);

/* `* BYE text` and the end of the connection. */
void imap_bye(struct session_imap *s, struct slice text);

/* The capabilities now, without brackets. */
void imap_put_capabilities(struct session_imap *s, struct out *out);
/* `[CAPABILITY ...]` in the arena of the command. */
struct slice imap_capability_code(struct session_imap *s);

/* --- session_imap_news.c -------------------------------------------------- */

/* Tells what has changed in the selected mailbox, expunges only if `expunge`. Ends the
 * session where the mailbox was deleted. DONE, WAIT or YIELD. */
enum turn imap_tell(struct session_imap *s, bool expunge, bool uid);
/* `* FLAGS` and PERMANENTFLAGS, when there are keywords the client has not heard of. */
void imap_tell_keywords(struct session_imap *s);
/* The same in any case: SELECT. */
void imap_put_mailbox_flags(struct session_imap *s);
/* `FLAGS (\Seen work)`. */
void imap_put_entry_flags(struct session_imap *s, const struct entry *entry);
/* The whole `* 7 FETCH (FLAGS (...) UID 9)`; the UID when wanted. */
void imap_put_flags_fetch(
    struct session_imap *s, uint32_t seq, const struct entry *entry, bool uid);

/* struct view's changed(). */
void imap_view_changed(struct view *view);

/* While s->idle: tells news, and looks for DONE. */
enum turn imap_idle_run(struct session_imap *s);
void imap_idle_end(struct session_imap *s);

/* --- session_imap_seqs.c -------------------------------------------------- */

/* Messages by sequence number, ascending and disjoint. */
struct imap_seqs {
    struct imap_range *at;
    unsigned count, cap;
};

/* What `set` names in the present view: sequence numbers, or UIDs when `uid` (those that
 * do not exist are left out). False: a number is out of range, or no memory; then the
 * command has its reply. */
bool imap_seqs_of(
    struct session_imap *s, struct imap_set *set, bool uid, struct imap_seqs *seqs);
/* Ranges of UIDs, ascending and disjoint, to the sequence numbers of those that are
 * there. In place. */
void imap_seqs_from_uids(const struct view *view, struct imap_seqs *seqs);
/* The first member at or above `from`: sets *seq; `hint` is the index of the range where
 * to look first and is moved on. */
bool imap_seqs_from(
    const struct imap_seqs *seqs, unsigned *hint, uint32_t from, uint32_t *seq);
/* Adds one number above all others. False: no memory. */
bool imap_seqs_add(struct session_imap *s, struct imap_seqs *seqs, uint32_t seq);
/* The UIDs from the first to the last message of each range. NULL: no memory, and the
 * command has its reply. */
struct uid_range *imap_seqs_uids(struct session_imap *s, const struct imap_seqs *seqs);

/* --- session_imap_summary.c ----------------------------------------------- */

/* The summary of one message; made anew from the body where the stored one is damaged or
 * of another version. */
struct imap_summary {
    struct summary summary; /* while `ready` */
    bool ready, failed;     /* with DONE: it is there, or it can't be had */
    bool asked, taken, held, reading;
    bool fresh;        /* the piece of the body that is there has not been begun */
    struct slice rest; /* of it, not summarized yet */
    struct imap_request request;
    struct summary_builder *builder;
    struct arena arena; /* of a summary made anew */
};

/* Zeroed before the first call; DONE, WAIT or YIELD. */
enum turn imap_summary_step(
    struct session_imap *s, struct imap_summary *m, const struct entry *entry);
/* Gives back what is held; then it is zeroed for the next message. */
void imap_summary_end(struct imap_summary *m);
/* The store of the user who is logged in. */
struct store *imap_store_of(const struct session_imap *s);

/* --- the commands --------------------------------------------------------- */

imap_step_fn imap_step_capability, imap_step_noop, imap_step_logout, imap_step_id,
    imap_step_enable, imap_step_namespace, imap_step_idle; /* session_imap_info.c */
imap_step_fn imap_step_starttls, imap_step_login, imap_step_authenticate; /* _login.c */
imap_step_fn imap_step_select, imap_step_close, imap_step_unselect, imap_step_expunge,
    imap_step_status;          /* _select.c */
imap_step_fn imap_step_names;  /* _names.c */
imap_step_fn imap_step_list;   /* _list.c */
imap_step_fn imap_step_append; /* _append.c */
imap_step_fn imap_step_fetch;  /* _fetch.c */
imap_step_fn imap_step_store;  /* _store.c */
imap_step_fn imap_step_copy;   /* _copy.c */
imap_step_fn imap_step_search; /* _search.c */
