/* hop_peer.h -- a hop that plays a script, and a message for it in a real store.
 *
 * A script is a list of steps:
 *
 *   "> 250 OK"        says the line; "> a\r\n250 b" says two
 *   "< RCPT TO:<a@b>" hears exactly this line
 *   "<* MAIL FROM"    hears a line that begins so
 *   "text"            reads text up to the lone dot; it must be the message's
 *   "seven WORDS"     reads text that is ASCII and holds the words
 *   "chunk"           reads BDAT ... LAST and what it announces; likewise
 *   "some"            reads what comes, once
 *   "tls"             TLS from here on
 *   "wait"            half a second
 *   "eof"             the client ends the connection
 *   "reset"           resets the connection
 *   "stop"            the client's process begins to stop
 *
 * and ends by closing.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/config.h"
#include "server/hop.h"
#include "server/process.h"

enum { PEER_HOSTS_MAX = 4, PEER_STEPS_MAX = 64, PEER_RCPTS_MAX = 8 };

struct peer_case {
    const char *name;
    struct hop_conf conf;                     /* hosts and count are filled in */
    const char *const *hosts[PEER_HOSTS_MAX]; /* scripts; an empty one: a closed port */
    const struct envelope *envelope;          /* its recipients too; NULL: plain */
    unsigned messages;  /* the same one after another, while usable; 0: 1 */
    const char *result; /* see peer_result() */
};

/* How the peer behaves in all scripts. */
struct peer_ways {
    size_t cut;       /* each line it says is sent in two parts, the first so long */
    bool octets;      /* one octet at a time */
    unsigned steps;   /* the connection ends after so many; 0: after the script */
    bool resets;      /* by a reset */
    bool local;       /* a local socket */
    bool gives_up;    /* the client, when it has begun to send */
    bool stays;       /* the client does not say QUIT */
    const char *host; /* name of the hosts; NULL: mx.test */
};

/* The process, its store, and a message in it. */
void peer_begin(void);
void peer_end(void);
/* The text behind a Return-Path; any size. */
void peer_store(struct slice text);
struct config *peer_config(void);
/* Certificates made for the test: of mx.test by our own authority, and the authority. */
const char *peer_authority(void);

/* Plays it. Returns what became of it: "250 2.1.5,550 5.1.1 ours;" for each message, with
 * "unsure" in front where it is; then the end, "221" or "0 4.4.2 ours"; then "-" where
 * the peer has met something else than its script, and what. */
const char *peer_play(const struct peer_case *c, const struct peer_ways *ways);
void peer_check(const struct peer_case *c, const struct peer_ways *ways);
/* The same where a second of silence is an end, at any step: when the machine stood still
 * for that, it was not the step that was meant, and the script is played again. */
void peer_check_silence(const struct peer_case *c);
/* Handshakes of the client that were resumed, so far. */
uint64_t peer_resumed(void);
/* Of the last run: words of the end, and how often recipients got their answers. */
extern char peer_why[HOP_TEXT_MAX + 1];
extern char peer_text[HOP_TEXT_MAX + 1]; /* of the first recipient's answer */
extern char peer_tls_text[64];
extern bool peer_dsn_relayed, peer_by_relayed;
