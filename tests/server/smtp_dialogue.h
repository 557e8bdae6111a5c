/* smtp_dialogue.h -- what a client of SMTP says and what it must hear: played whole, cut
 * at every octet, and by clients that die at every octet. */
#pragma once
#include "tests/server/smtp_fake.h"

/* What is sent at once, and the codes of the replies to it. */
struct turn {
    const char *send, *codes;
};

struct dialogue {
    const char *name;
    enum protocol protocol;
    bool tls;              /* is to be had */
    struct turn turns[14]; /* and an empty one */
    const char *users;     /* of each message stored, a line each */
    const char *tail;      /* what the last message stored ends with; or NULL */
    const char *envelopes; /* of each message stored (smtp_fake.c); NULL: any */
    void (*prepare)(void); /* just before the session begins; or NULL */
};

#define HELLO                    \
    {                            \
        "EHLO c.test\r\n", "250" \
    }
#define TEXT "Subject: s\r\n\r\nhello\r\n"
/* Nothing is to be mended in it. */
#define MENDED                                                                  \
    "From: ann@x.test\r\nDate: Mon, 02 Mar 2026 10:00:00 +0000\r\nMessage-ID: " \
    "<a@b.test>\r\n\r\nhello\r\n"

/* The session after its greeting. */
struct fake_session *dialogue_begin(const struct dialogue *d);
/* It must have left nothing behind. */
void dialogue_end(struct fake_session *f);
/* The codes of all replies since the last call, with a space between. */
void dialogue_expect(struct fake_session *f, const char *want, const char *what);
void dialogue_codes(struct slice got, char *codes, size_t cap);
/* What has been stored is what should be. */
void dialogue_stored(const struct dialogue *d);

void dialogues_play(const struct dialogue *list, size_t count);
/* Each turn in two pieces, cut at every octet; and all in small pieces. */
void dialogues_play_cut(const struct dialogue *list, size_t count);
/* The client is gone after each octet: in the middle of a text nothing is stored. */
void dialogues_die(const struct dialogue *list, size_t count);
