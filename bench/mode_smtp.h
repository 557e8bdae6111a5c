/* mode_smtp.h -- the client's side of SMTP, for the modes that deliver mail too. */
#pragma once
#include "bench/client_tls.h"
#include "bench/mode.h"
#include "bench/reply.h"
#include "proto/sasl/base64.h"

enum smtp_step {
    SMTP_GREETING,
    SMTP_HELLO,
    SMTP_STARTTLS,
    SMTP_AUTH,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA,
    SMTP_TEXT,
    SMTP_RESET,
    SMTP_QUIT
};

enum { SMTP_RECIPIENTS_MAX = 1000, SMTP_REFUSAL_MAX = 160 };

struct smtp_session {
    struct lines lines;
    enum smtp_step step;
    bool pipelining;
    bool helo;                          /* EHLO was refused */
    uint64_t asked, answered, accepted; /* recipients; answered: to the text, later */
    uint64_t taken[SMTP_RECIPIENTS_MAX / 64 + 1]; /* bits of those accepted */
    int64_t text_ns;                              /* when the text was sent */
    size_t refusal_len;
    char refusal[SMTP_REFUSAL_MAX];
    /* of a helper */
    uint64_t user;
    struct client *watcher; /* who waits for the message; NULL: gone */
    bool stored;            /* the server has taken it */
    int64_t seen_ns;        /* when the watcher saw it; 0: not yet */
};

/* A mode that speaks SMTP. */
struct smtp_mode {
    struct mode mode;
    bool helper; /* delivers for another mode: one recipient, s->user, at --deliver */
    /* Of a helper: who gets the message that begins now. False: nobody can. */
    bool (*choose)(struct client *c);
    /* Likewise: the message was taken; ends the operation, now or later. */
    void (*taken)(struct client *c);
};

/* What all of them have in common. */
size_t smtp_out_bytes(const struct options *o);
void smtp_open(struct client *c);
void smtp_secured(struct client *c);
void smtp_input(struct client *c, struct slice in);
void smtp_next(struct client *c);
void smtp_later(struct client *c); /* of helpers */
void smtp_quit(struct client *c);
