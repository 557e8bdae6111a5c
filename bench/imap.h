/* imap.h -- the client's side of IMAP that several modes need: logging in, selecting,
 * and telling lines apart. */
#pragma once
#include "bench/mode.h"
#include "bench/reply.h"
#include "bench/room.h"

enum imap_step {
    IMAP_GREETING,
    IMAP_STARTTLS,
    IMAP_LOGIN,
    IMAP_ASK,
    IMAP_SELECT,
    IMAP_UP
};

/* At the front of the session of each mode that speaks IMAP. */
struct imap {
    struct imap_reader reader;
    enum imap_step step;
    uint32_t tag;    /* of the newest command */
    uint32_t exists; /* messages in the mailbox, as the server has told */
    uint64_t user;
    const char *mailbox; /* to be selected; NULL: none */
    bool ask;            /* for capabilities, after the login */
    bool literal_plus;   /* literals need no answer (RFC 7888) */
};

/* A line of the server. */
struct imap_said {
    enum imap_kind kind;
    uint32_t tag;
    struct slice rest; /* behind the tag and the status */
    struct slice line; /* all of it */
    bool literal;      /* and a literal follows */
};

/* The next command: its tag. */
void imap_begin(struct client *c);
/* A quoted string; what cannot stand in one makes the server's answer an error. */
void imap_quoted(struct client *c, struct slice text);
void imap_login(struct client *c);
/* TLS is up after STARTTLS. */
void imap_secured(struct client *c);

/* Takes pieces off `in` until one is the mode's business: 1 a line that begins a
 * response, 2 octets of a literal in said->rest, 0 all is taken or the client is gone.
 * Logs in and selects by itself, ends with client_ready(). */
enum imap_got { IMAP_GOT_ALL, IMAP_GOT_LINE, IMAP_GOT_LITERAL };
enum imap_got imap_take(struct client *c, struct slice *in, struct imap_said *said);

/* A literal whose pieces are put together. */
struct imap_text {
    struct room room;
    bool skip; /* larger than `most` */
};
/* The next piece of a literal; true: *whole is all of it, until the next call. */
bool imap_gather(struct client *c, struct imap_text *t, struct slice piece, uint64_t most,
    struct slice *whole);

/* The user whose turn it is: of the connection. */
void imap_open(struct client *c, uint64_t user, const char *mailbox);
