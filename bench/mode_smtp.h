/* mode_smtp.h -- the client's side of SMTP, for the modes that deliver mail too. */
#pragma once
#include "bench/client_tls.h"
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
    uint64_t asked, answered, accepted; /* recipients; answered: to the text, later */
    uint64_t taken[SMTP_RECIPIENTS_MAX / 64 + 1]; /* bits of those accepted */
    int64_t text_ns;                              /* when the text was sent */
    size_t refusal_len;
    char refusal[SMTP_REFUSAL_MAX];
};

/* The user, counted from 0, who is recipient i of the message under way. */
uint64_t smtp_recipient(const struct client *c, uint64_t i);
