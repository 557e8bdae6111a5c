/* smtp_xclient.h -- the command by which a proxy says for whom it speaks: Postfix's
 * XCLIENT. Only a server that trusts the proxy offers it. */
#pragma once
#include "proto/smtp/smtp.h"

/* X(name): attributes, in the order in which EHLO announces them. */
#define SMTP_XCLIENT_NAMES(X) \
    X(NAME)                   \
    X(ADDR)                   \
    X(PORT)                   \
    X(PROTO)                  \
    X(HELO)                   \
    X(LOGIN)                  \
    X(DESTADDR)               \
    X(DESTPORT)

enum smtp_xclient_name {
#define X(name) SMTP_XCLIENT_##name,
    SMTP_XCLIENT_NAMES(X)
#undef X
        SMTP_XCLIENT_COUNT
};

/* What one command says. A value that the proxy says it does not know ([UNAVAILABLE],
 * [TEMPUNAVAIL]) is given and empty. All are printable ASCII. */
struct smtp_xclient {
    bool given[SMTP_XCLIENT_COUNT];
    struct slice value[SMTP_XCLIENT_COUNT]; /* decoded */
    bool six;                               /* ADDR has IPv6 form, without its prefix */
    bool esmtp;                             /* PROTO=ESMTP; not given: true */
    uint16_t port;                          /* PORT; 0 without */
};

/* "NAME=value ..." with values as xtext, decoded into `room`, which holds as many octets
 * as `args` at least. False (501): an unknown attribute, one given twice, or a value that
 * is none. That ADDR and DESTADDR are addresses is for the caller to see. */
bool smtp_xclient_parse(struct slice args, struct out *room, struct smtp_xclient *x);

/* A space and its name for each attribute. */
void smtp_xclient_put_names(struct out *out);
