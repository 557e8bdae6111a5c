/* hop.h -- the client's side of SMTP and LMTP: a session with a next hop.
 *
 *   hop_open --> connect, greeting, EHLO, STARTTLS, AUTH --> ready()
 *   ready() --> hop_send(message) --> sent() --> hop_send(next) ... hop_quit() -->
 * closed()
 *
 * The hosts are tried in order until one greets (RFC 5321, 5.1). A message goes out with
 * pipelining and BDAT where the hop has them, and straight from the log: its size costs
 * no memory. What a hop says is bounded (--max-hop-lines, --max-hop-line; matrix R10),
 * cleaned of control octets, and never parsed as anything but a reply.
 */
#pragma once
#include "server/envelope.h"
#include "server/mx.h"

struct hop;
struct store;

enum hop_tls { HOP_TLS_NONE, HOP_TLS_MAY, HOP_TLS_ENCRYPT, HOP_TLS_VERIFY };

struct hop_conf {
    /* Copied, names too. A host whose address has the family AF_UNIX is a local socket,
     * and its name is the path of that (ADDRESS_PATH_MAX octets at most); it has no TLS
     * and is as good as with it. */
    const struct mx_host *hosts;
    unsigned host_count;
    enum hop_tls tls;  /* MAY: a handshake that fails is followed by a session in clear;
                        * VERIFY: for the host's name (RFC 6125), by --ca-bundle */
    bool implicit_tls; /* TLS from the first octet; with NONE and MAY as ENCRYPT */
    bool require_tls;  /* hosts that don't offer REQUIRETLS are passed over (RFC 8689,
                        * 4.2.1); with VERIFY */
    bool prefer_tls; /* all hosts are tried as with require_tls and VERIFY first; if none
                      * will do, all once more, as `tls` says: for a report about a
                      * message that required TLS (RFC 8689, 5) */
    bool lmtp;       /* LHLO, and an answer for each recipient (RFC 2033) */
    struct slice user, password;     /* AUTH, only within TLS or to loopback; or empty.
                                      * Copied; the copy is wiped after the last use */
    const struct address *source[2]; /* to connect from, IPv4 and IPv6; NULL: any.
                                      * Copied */
};

/* An answer of the hop, or of this side in its place. */
enum { HOP_TEXT_MAX = 512 };
struct hop_answer {
    uint16_t code;     /* 250, 450, 550 ...; 0: none came, or none that counts: later */
    uint8_t status[3]; /* 5, 1, 1 (RFC 3463); from the code where the hop gave none */
    bool ours;         /* no hop said it: connection, timeout, local policy */
    uint16_t len;
    char text[HOP_TEXT_MAX]; /* printable ASCII, lines joined by " / ", without code and
                              * status; of ours: what happened */
};

struct hop_rcpt {
    const struct envelope_rcpt *rcpt;
    const struct hop_answer *answer; /* out, inside sent(): of RCPT or, where that was
                                      * good, of the text; 2xx: the hop has it */
};

/* One message for some of its recipients. Lives until sent(). */
struct hop_message {
    const struct envelope *envelope;
    struct slice sender; /* in its place where SRS changed it; else the same */
    struct store *store; /* where its text is */
    uint64_t body, size; /* of the stored text, Return-Path included */
    struct hop_rcpt *rcpts;
    unsigned rcpt_count; /* at least 1 */
    /* Optional: sets `body` anew when the text is about to be read, which may be minutes
     * after hop_send(), and compaction moves it; false: it is gone. */
    bool (*find)(struct hop_message *m);
    void *owner;
    /* Out, with sent(). */
    bool unsure;      /* the whole text went out and no answer came: it may be there; for
                       * those whose answer has the code 0 */
    bool dsn_relayed; /* the hop has DSN: reports of success are its affair */
    bool by_relayed;  /* the hop has DELIVERBY and was told the deadline */
};

struct hop_calls {
    void (*ready)(struct hop *h);
    /* Every recipient has an answer; a message that was given up too, before closed(). h
     * takes another if hop_usable(). */
    void (*sent)(struct hop *h, struct hop_message *m);
    /* The last call, always: the session is over, or never began. `why`: code 0 .. 5xx of
     * the greeting or of what failed, text for the log and for reports. Where several
     * hosts failed: the last one's that may do better later, a 5xx only when all said
     * so. After ready(): 0 and ours, or 221 for an orderly end. */
    void (*closed)(struct hop *h, const struct hop_answer *why);
};

/* NULL: no memory. Nothing is called from inside. */
struct hop *hop_open(struct thread *t, const struct hop_conf *conf,
    const struct hop_calls *calls, void *owner);
void *hop_owner(const struct hop *h);
/* After ready() or sent(), inside them too, when hop_usable(). A session that ends before
 * the hop has answered MAIL gives all recipients the code 0, ours, and is never unsure:
 * the message can go out again at once. */
void hop_send(struct hop *h, struct hop_message *m);
/* Ready, idle, and as far as is known alive. */
bool hop_usable(const struct hop *h);
/* QUIT when idle; a message under way is sent first. closed() follows, later. */
void hop_quit(struct hop *h);
/* Now: a message under way is given up. closed() follows, later. */
void hop_abort(struct hop *h);

/* The host that it talks to, or tried last; "TLSv1.3 ..." or empty. For logs, reports. */
const struct mx_host *hop_host(const struct hop *h);
struct slice hop_tls_text(const struct hop *h, char *at, size_t cap);
