/* hop_state.h -- the inside of a hop; for hop*.c only.
 *
 *   CONNECT --> GREETING --> EHLO --> STARTTLS --> SHAKE --> EHLO --> AUTH --> READY
 *      |           ^           +--> HELO ----------------------------------------^
 *      +--> SHAKE -+ (TLS from the first octet)
 *
 *   READY --hop_send()--> [SCAN] --> COMMANDS --> TEXT --> VERDICT --> READY
 *         --hop_quit()--> QUIT
 *
 * A connection belongs to a hop until the hop lets it go; then it ends by itself, and the
 * hop goes on to the next host, or to closed().
 */
#pragma once
#include "proto/base/dots.h"
#include "proto/smtp/smtp_answer.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/hop.h"
#include "store/store.h"

enum {
    /* Commands without an answer at a time: their replies, and those of the hop to them,
     * fit into what the kernel holds on both sides. */
    HOP_PIPELINE_MAX = 100,
    HOP_DOMAINS_MAX = 64, /* of a transaction, where the hop wants them counted */
    HOP_TURN_RUNS = 2000, /* runs between dots that are copied before others' turn */
    HOP_QUIT_S = 10,      /* how long a hop has to answer QUIT */
    HOP_TLS_TEXT_MAX = 64,
};

enum hop_step {
    HOP_CONNECT,
    HOP_SHAKE,
    HOP_GREETING,
    HOP_EHLO, /* or LHLO */
    HOP_HELO,
    HOP_STARTTLS,
    HOP_AUTH_PLAIN,
    HOP_AUTH_LOGIN,    /* a challenge is awaited that asks for the name */
    HOP_AUTH_NAME,     /* the name is out: the one that asks for the password */
    HOP_AUTH_PASSWORD, /* the password is out */
    HOP_READY,
    HOP_SCAN, /* the text is read to see how it can be converted */
    HOP_COMMANDS,
    HOP_TEXT,
    HOP_VERDICT,
    HOP_QUITTING,
};

enum hop_rcpt_state {
    HOP_RCPT_TODO,
    HOP_RCPT_CHOSEN, /* for this transaction */
    HOP_RCPT_ACCEPTED,
    HOP_RCPT_LATER, /* too many for this transaction: another follows */
    HOP_RCPT_DONE,
};

struct hop_convert;

/* An answer that recipients point to. */
struct hop_noted {
    struct hop_noted *next;
    struct hop_answer answer;
};

/* The message under way. */
struct hop_work {
    struct hop_message *m; /* NULL: none */
    uint8_t *states;       /* of the recipients: enum hop_rcpt_state */
    struct hop_noted *answers;
    uint64_t send_bytes; /* octets of the text, as stored */
    /* What this hop makes of it. */
    enum smtp_body body;           /* BODY=; 7BIT: none is given */
    bool utf8;                     /* SMTPUTF8 */
    bool chunks;                   /* BDAT */
    bool convert;                  /* the text does not fit as it is */
    struct hop_convert *converted; /* how it can be made to; NULL: it need not */
    bool by;                       /* BY= */
    bool by_lost; /* a deadline it is not told, so that it shall tell of delays */
    char sender[SMTP_PATH_MAX]; /* in A-labels, where that is needed */
    size_t sender_bytes;        /* 0: as the message has it */
    /* The transaction. */
    unsigned next, heard; /* recipients: the next to be named; to be answered for */
    unsigned outstanding; /* commands without an answer */
    unsigned accepted;
    const struct hop_answer *refused; /* MAIL's answer, when it was not 2xx */
    bool reset_sent, mail_sent, mail_heard, data_sent;
    /* The text. */
    struct body piece;
    bool reading;    /* piece is open */
    struct slice at; /* of the piece: what is not sent yet */
    uint64_t left;   /* octets behind the piece */
    struct dots dots;
    unsigned verdicts; /* that are awaited; of LMTP one for each recipient */
};

struct hop {
    struct thread *thread;
    const struct hop_calls *calls;
    void *owner;
    struct op later; /* the first host; what follows the end of a connection */
    struct conn *conn;
    /* conf */
    struct mx_host *hosts;
    unsigned host_count, host;
    enum hop_tls tls;
    enum hop_tls tls_after; /* with prefer_tls */
    bool implicit_tls, require_tls, lmtp;
    bool prefer_tls; /* the hosts are being tried with require_tls, and can be without */
    struct address source[2]; /* family 0: any */
    char *secrets;            /* user and password; NULL once wiped */
    struct slice user, password;
    /* The session. */
    enum hop_step step;
    struct smtp_answer answer; /* being read */
    struct smtp_hello hello;
    uint32_t transactions;
    bool in_clear;      /* a handshake with this host has failed: without, once */
    bool authenticated; /* by AUTH */
    bool ready;         /* ready() has been called */
    bool reset_due;     /* a transaction is open that has to be forgotten */
    bool quitting;
    bool owed; /* the store has not given the piece yet */
    bool over; /* the session has ended: `end` says why, `later` goes on */
    struct hop_answer end;
    bool failed; /* `why` holds how `why_host` failed */
    struct hop_answer why;
    unsigned why_host;
    char tls_text[HOP_TLS_TEXT_MAX];
    struct hop_work work;
};

struct hop_session {
    struct conn conn;
    struct hop *hop; /* NULL: let go */
};

static inline bool hop_offers(const struct hop *h, enum smtp_hello_offer offer)
{
    return (h->hello.offers & (unsigned)offer) != 0;
}

/* A local socket: nobody listens in, and there is no name to check. */
static inline bool hop_is_local(const struct hop *h)
{
    return h->hosts[h->host].address.family == AF_UNIX;
}

static inline bool hop_positive(const struct smtp_answer *a)
{
    return a->code / 100 == 2;
}

/* --- hop_answer.c ----------------------------------------------------------- */

struct hop_status {
    uint8_t at[3];
};
#define HOP_STATUS(class, subject, detail) ((struct hop_status){{class, subject, detail}})

/* An answer of this side; code 0: it may do better later. */
__attribute__((format(printf, 4, 5))) void hop_answer_ours(struct hop_answer *a,
    unsigned code, struct hop_status status, const char *format, ...);
/* The hop's own. */
void hop_answer_theirs(struct hop_answer *a, const struct smtp_answer *answer);
/* What a recipient may point to until sent() is over. Never NULL: without memory
 * something shorter is said. */
const struct hop_answer *hop_note(struct hop_work *w, const struct hop_answer *answer);
void hop_forget(struct hop_noted *answers);

/* --- hop.c: life ------------------------------------------------------------ */

enum hop_farewell { HOP_ABORT, HOP_CLOSE, HOP_QUIT };
/* The session is over: lets the connection go, in one of these ways; what has no answer
 * yet gets `end`. The caller returns at once. */
void hop_end(struct hop *h, const struct hop_answer *end, enum hop_farewell farewell);
/* The hop has answered more often than it was asked. */
void hop_end_by_count(struct hop *h);
/* Something has come that was owed when the session ended. */
void hop_landed(struct hop *h);
void hop_wipe(struct hop *h);
/* Within how many seconds the hop has to answer. */
void hop_await(struct hop *h, enum hop_step step);

/* --- hop_greet.c: until ready() ---------------------------------------------- */

void hop_begin(struct hop *h); /* the connection is up */
void hop_shaken(struct hop *h);
void hop_greet_reply(struct hop *h, const struct smtp_answer *a);

/* --- hop_fit.c: what this hop can take ---------------------------------------- */

/* Fills in what the hop makes of the message; recipients who can't have it get their
 * answers. */
void hop_fit(struct hop *h);
/* The address as it goes out here: itself, or with its domain in A-labels (in `at`).
 * Empty: it has no form that this hop takes. */
struct slice hop_address(
    const struct hop *h, struct slice address, char at[SMTP_PATH_MAX]);
void hop_put_mail(struct hop *h);
void hop_put_rcpt(struct hop *h, const struct envelope_rcpt *rcpt);

/* --- hop_send.c: the commands of a message ------------------------------------- */

void hop_message_begin(struct hop *h);
void hop_commands(struct hop *h); /* sends what may go now */
void hop_command_reply(struct hop *h, const struct smtp_answer *a);
void hop_verdict_reply(struct hop *h, const struct smtp_answer *a);
/* All in `state` get the answer. */
void hop_settle(
    struct hop *h, enum hop_rcpt_state state, const struct hop_answer *answer);
/* Everybody without an answer gets one, the message goes back to its owner. */
void hop_give_up(struct hop *h);

/* Goes on with a message that has been fitted. */
void hop_transaction(struct hop *h);

/* --- hop_text.c: the text of a message ----------------------------------------- */

void hop_text_begin(struct hop *h);
void hop_text(struct hop *h);     /* sends what may go now */
void hop_text_end(struct hop *h); /* closes the body; nothing may be owed */
/* Opens the text at its beginning; false: it can't be read, and the session is over. */
bool hop_text_open(struct hop *h);
/* Has h->work.at, not empty while octets are left; false: they come later, or the session
 * is over. */
bool hop_text_more(struct hop *h);

/* --- hop_convert.c: text that has to be changed ------------------------------------ */

/* Reads the text once, to see what is to be done; hop_transaction() comes after it. */
void hop_scan_begin(struct hop *h);
void hop_scan(struct hop *h);
/* The text begins. */
void hop_convert_begin(struct hop_convert *c);
/* Puts out some of *in, converted and with dots doubled. */
void hop_convert_run(struct hop *h, struct slice *in);
void hop_convert_end(struct hop *h);
void hop_convert_free(struct hop_convert *c); /* NULL is fine */
