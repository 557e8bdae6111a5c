/* What SMTP has beyond the plain MX: sending on, extensions, the policy, LMTP, XCLIENT.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/session_smtp_work.h"
#include "tests/server/smtp_dialogue.h"

#define LOGIN                                            \
    {                                                    \
        "AUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\n", "235" \
    }
#define FROM_ANN "MAIL FROM:<ann@x.test>"
#define ANN_SAID " < ann@x.test user=ann@x.test"
#define LHLO                     \
    {                            \
        "LHLO c.test\r\n", "250" \
    }

static void trust(void)
{
    fake_config()->trust.count = 1;
}

static void believe(void)
{
    fake_config()->xclient_from.count = 1;
}

static void full_queue(void)
{
    fake_smtp.queue_full = true;
}

static void later(void)
{
    for (unsigned i = 0; i < FAKE_STEPS; i++)
        fake_smtp.later[i] = true;
}

static void later_with_fields(void)
{
    later();
    fake_smtp.fields = "X-Seen: yes\r\n";
}

static void refuse_greeting(void)
{
    later();
    fake_smtp.refusal[POLICY_CONNECT] = "554 5.7.1 Go away\r\n";
}

static void refuse_helo(void)
{
    fake_smtp.refusal[POLICY_HELO] = "550 5.7.1 Not with that name\r\n";
}

static void refuse_mail(void)
{
    later();
    fake_smtp.refusal[POLICY_MAIL] = "450 4.7.1 Not now\r\n";
}

static void refuse_rcpt(void)
{
    fake_smtp.refusal[POLICY_RCPT] = "550 5.7.1 Not to that one\r\n";
}

static void refuse_rcpt_later(void)
{
    refuse_rcpt();
    later();
}

static void refuse_text(void)
{
    later();
    fake_smtp.refusal[POLICY_END] = "554 5.7.1 Not that\r\n";
}

static void slow_errors(void)
{
    fake_smtp.error_delay = 100;
}

static void some_are_full(void)
{
    fake_smtp.user_status[1] = STATUS_LIMIT;
}

static void quota_later(void)
{
    later();
    fake.quota = 1000;
    fake_smtp.kept_by_cy = 1000;
}

static void answer_names(void)
{
    fake_config()->vrfy = fake_config()->expn = 1;
}

static void mail_max(void)
{
    fake_config()->max_messages_connection = 2;
    fake_config()->max_recipient_domains = 1;
    trust();
}

static const struct dialogue relaying[] = {
    {"users send anywhere", PROTO_SUBMISSION, false,
        {HELLO, LOGIN, {FROM_ANN "\r\n", "250"},
            {"RCPT TO:<z@other.test>\r\nRCPT TO:<bob@x.test>\r\nRCPT "
             "TO:<z@other.test>\r\n"
             "RCPT TO:<away@x.test>\r\nRCPT TO:<y@other.test>\r\nDATA\r\n",
                "250 250 250 250 250 354"},
            {MENDED ".\r\nQUIT\r\n", "250 221"}},
        "bob@x.test \n", "\r\n" MENDED,
        "z@other.test" ANN_SAID "\ny@other.test" ANN_SAID "\n", NULL},
    {"strangers don't", PROTO_SMTP, false,
        {HELLO, {"MAIL FROM:<s@c.test>\r\nRCPT TO:<z@other.test>\r\n", "250 550"}}, "",
        NULL, "", NULL},
    {"but an alias may", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<s@c.test>\r\nRCPT TO:<away@x.test>\r\nRCPT "
             "TO:<mixed@x.test>\r\n",
                "250 250 250"},
            {"BDAT 21 LAST\r\n" TEXT, "250"}},
        "cy@x.test \n", "\r\n" TEXT,
        "z@other.test fwd < s@c.test\ny@other.test fwd < s@c.test\n", NULL},
    {"trusted networks do", PROTO_SMTP, false,
        {HELLO, {"MAIL FROM:<s@c.test>\r\nRCPT TO:<z@other.test>\r\n", "250 250"},
            {"BDAT 21 LAST\r\n" TEXT, "250"}},
        "\n", "\r\n" TEXT, "z@other.test < s@c.test\n", trust},
    {"the queue is full", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<s@c.test>\r\nRCPT TO:<z@other.test>\r\nRCPT TO:<away@x.test>\r\n"
             "RCPT TO:<bob@x.test> NOTIFY=SUCCESS\r\nRCPT TO:<bob@x.test>\r\n",
                "250 550 452 452 250"}},
        "", NULL, "", full_queue},
    {"reports of success", PROTO_SMTP, false,
        {HELLO, {"MAIL FROM:<s@c.test> RET=HDRS ENVID=a+2Bb\r\n", "250"},
            {"RCPT TO:<ann+x@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;q@c.test\r\n"
             "RCPT TO:<bob@x.test> NOTIFY=FAILURE\r\nRCPT TO:<cy@x.test> NOTIFY=NEVER\r\n"
             "RCPT TO:<team@x.test> NOTIFY=SUCCESS\r\n",
                "250 250 250 250"},
            {"BDAT 21 LAST\r\n" TEXT, "250"}},
        "bob@x.test cy@x.test \n", "\r\n" TEXT,
        "ann@x.test notify=10 orcpt=rfc822;q@c.test < s@c.test envid=a+2Bb ret=2\n",
        NULL},
    {"reports on groups: the first has them", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<s@c.test>\r\nRCPT TO:<mixed@x.test> NOTIFY=SUCCESS\r\n",
                "250 250"},
            {"RCPT TO:<away@x.test> NOTIFY=SUCCESS,FAILURE\r\n", "250"},
            {"BDAT 21 LAST\r\n" TEXT, "250"}},
        "\n", "\r\n" TEXT,
        "cy@x.test notify=2 < s@c.test\ny@other.test fwd < s@c.test\n"
        "z@other.test fwd < s@c.test\n",
        NULL},
    {"everything that can be asked for", PROTO_SUBMISSION, false,
        {HELLO, LOGIN,
            {FROM_ANN
                " AUTH=ann@x.test MT-PRIORITY=-4 HOLDFOR=60 BY=120;NT BODY=8BITMIME "
                "SMTPUTF8\r\nRCPT TO:<\xc3\xbc@other.test> NOTIFY=NEVER\r\nDATA\r\n",
                "250 250 354"},
            {"Subject: \xc3\xbc\r\nTLS-Required: No\r\n" MENDED "\xc3\xbc\r\n.\r\n",
                "250"}},
        "\n", "hello\r\n\xc3\xbc\r\n",
        "\xc3\xbc@other.test notify=1 < ann@x.test auth=<> user=ann@x.test body=1 utf8 "
        "8header 8text notls priority=-4 hold=1700000060:60 by=1700000120NT\n",
        NULL},
    {"what is held back is so for all", PROTO_SUBMISSION, false,
        {HELLO, LOGIN, {FROM_ANN " HOLDFOR=60\r\n", "250"},
            {"RCPT TO:<bob@x.test>\r\nRCPT TO:<team@x.test> NOTIFY=NEVER\r\nDATA\r\n",
                "250 250 354"},
            {MENDED ".\r\n", "250"}},
        "\n", "\r\n" MENDED,
        "bob@x.test" ANN_SAID " hold=1700000060:60\nann@x.test notify=1" ANN_SAID
        " hold=1700000060:60\n",
        NULL},
    {"octets above 127 in the text only", PROTO_SMTP, false,
        {HELLO, {"MAIL FROM:<s@c.test>\r\nRCPT TO:<z@other.test>\r\n", "250 250"},
            {"BDAT 16\r\nTLS-Required: No", "250"}, {"BDAT 4\r\n\r\n\r\n", "250"},
            {"BDAT 3 LAST\r\na\xff"
             "b",
                "250"}},
        "\n",
        "No\r\n\r\na\xff"
        "b",
        "z@other.test < s@c.test 8text notls\n", trust},
    {"REQUIRETLS is for TLS", PROTO_SUBMISSION, true,
        {HELLO, LOGIN, {FROM_ANN " REQUIRETLS\r\n", "555"}, {"STARTTLS\r\n", "220"},
            HELLO, LOGIN,
            {FROM_ANN " REQUIRETLS\r\nRCPT TO:<z@other.test>\r\n", "250 250"},
            {"BDAT 108 LAST\r\nTLS-Required: No\r\n" MENDED, "250"}},
        "\n", NULL, "z@other.test" ANN_SAID " tls\n", NULL},
    {"what is only for those we trust", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<s@c.test> MT-PRIORITY=1\r\nMAIL FROM:<s@c.test> BY=10;N\r\n"
             "MAIL FROM:<s@c.test> HOLDFOR=10\r\nMAIL FROM:<s@c.test> AUTH=<>\r\n"
             "XCLIENT NAME=x\r\n",
                "555 555 555 555 502"}},
        "", NULL, "", NULL},
    {"binary messages", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<s@c.test> BODY=BINARYMIME\r\nRCPT TO:<ann@x.test>\r\n",
                "250 250"},
            {"DATA\r\n", "503"}, {"BDAT 10\r\n\r\na\nb\rc\r\n\n", "250"},
            {"BDAT 3 LAST\r\n.\r\r", "250"}},
        "\n", "\r\n\r\na\nb\rc\r\n\n.\r\r", "ann@x.test < s@c.test body=2\n", NULL},
    {"but their headers are lines", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<s@c.test> BODY=BINARYMIME\r\nRCPT TO:<ann@x.test>\r\n",
                "250 250"},
            {"BDAT 16 LAST\r\nX: a\nFrom: b\r\n\r\n", "550"},
            {"MAIL FROM:<s@c.test> BODY=BINARYMIME\r\nRCPT TO:<ann@x.test>\r\n",
                "250 250"},
            {"BDAT 5\r\nX: a\rBDAT 3 LAST\r\nb\r\n", "250 550"}},
        "", NULL, "", NULL},
    {"limits of a connection", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nRCPT TO:<z@other.test>\r\n"
             "RCPT TO:<bob@X.Test>\r\nRSET\r\nMAIL FROM:<s@c.test>\r\nRCPT "
             "TO:<z@other.test>\r\nRSET\r\nMAIL FROM:<s@c.test>\r\n",
                "250 250 452 250 250 250 452 250 421"}},
        "", NULL, "", mail_max},
    {"whatever the answers are", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:s\r\nMAIL FROM:<s@c.test> X=1\r\nMAIL FROM:<>\r\n",
                "501 555 421"}},
        "", NULL, "", mail_max},
    {"out of order too", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<>\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\n",
                "250 503 250 421"}},
        "", NULL, "", mail_max},
};

static const struct dialogue policies[] = {
    {"all steps answer later", PROTO_SMTP, false,
        {{"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nRCPT TO:<no@x.test>\r\n"
          "RCPT TO:<mixed@x.test>\r\nDATA\r\n",
             "250 250 250 550 250 354"},
            {TEXT ".\r\nMAIL FROM:<s@c.test>\r\nRCPT TO:<cy@x.test>\r\n", "250 250 250"},
            {"BDAT 21 LAST\r\n" TEXT "QUIT\r\n", "250 221"}},
        "ann@x.test cy@x.test \ncy@x.test \n", "\r\n" TEXT,
        "y@other.test fwd < \nz@other.test fwd < \n", later},
    {"fields in front", PROTO_SMTP, false,
        {HELLO, {"MAIL FROM:<>\r\nRCPT TO:<away@x.test>\r\n", "250 250"},
            {"BDAT 21 LAST\r\n" TEXT "QUIT\r\n", "250 221"}},
        "\n", "\r\n" TEXT, "z@other.test fwd < \n", later_with_fields},
    {"the greeting", PROTO_SMTP, false,
        {{"EHLO c.test\r\nMAIL FROM:<>\r\nBDAT 6\r\nQUIT\r\nXX\r\nQUIT\r\n",
            "503 503 503 503 221"}},
        "", NULL, "", refuse_greeting},
    {"HELO", PROTO_SMTP, false,
        {{"EHLO c.test\r\nHELO c.test\r\nMAIL FROM:<>\r\n", "550 550 503"}}, "", NULL, "",
        refuse_helo},
    {"MAIL", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nMAIL FROM:<>\r\n", "450 503 450"}},
        "", NULL, "", refuse_mail},
    {"RCPT", PROTO_SMTP, false,
        {HELLO, {"MAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n", "250 550 503"}}, "",
        NULL, "", refuse_rcpt},
    {"RCPT, later", PROTO_SMTP, false,
        {HELLO, {"MAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n", "250 550 503"}}, "",
        NULL, "", refuse_rcpt_later},
    {"the text", PROTO_SMTP, false,
        {HELLO, {"MAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n", "250 250 354"},
            {TEXT ".\r\nMAIL FROM:<>\r\n", "554 250"}},
        "", NULL, "", refuse_text},
    {"quota after the checks", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nRCPT TO:<cy@x.test>\r\nRCPT "
             "TO:<away@x.test>\r\n",
                "250 250 552 250"}},
        "", NULL, "", quota_later},
    {"errors take time", PROTO_SMTP, false,
        {{"FROB\r\nEHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<no@x.test>\r\nRCPT "
          "TO:<ann@x.test>\r\nBDAT 3\r\na\nbBDAT 3 LAST\r\nabcBDAT 5\r\nabcdeNOOP\r\n",
            "500 250 250 550 250 550 503 503 250"}},
        "", NULL, "", slow_errors},
};

static const struct dialogue lmtp[] = {
    {"an answer for each", PROTO_LMTP, false,
        {LHLO, {"MAIL FROM:<s@c.test>\r\n", "250"},
            {"RCPT TO:<ann@x.test>\r\nRCPT TO:<no@x.test>\r\nRCPT TO:<cy@x.test>\r\n"
             "RCPT TO:<ann@x.test>\r\nRCPT TO:<team@x.test>\r\nDATA\r\n",
                "250 550 250 250 250 354"},
            {TEXT ".\r\nQUIT\r\n", "250 452 250 250 221"}},
        "ann@x.test cy@x.test bob@x.test \n", "\r\n" TEXT, "", some_are_full},
    {"by chunks", PROTO_LMTP, false,
        {LHLO,
            {"MAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nRCPT TO:<bob@x.test>\r\n",
                "250 250 250"},
            {"BDAT 10\r\nSubject: sBDAT 0\r\nBDAT 4 LAST\r\n\r\n\r\nNOOP\r\n",
                "250 250 250 250 250"}},
        "ann@x.test bob@x.test \n", "\r\nSubject: s\r\n\r\n", "", NULL},
    {"texts that are refused", PROTO_LMTP, false,
        {LHLO,
            {"MAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nRCPT TO:<bob@x.test>\r\nDATA\r\n",
                "250 250 250 354"},
            {"a\nb\r\n.\r\nNOOP\r\n", "550 550 250"}},
        "", NULL, "", NULL},
    {"a chunk that fails", PROTO_LMTP, false,
        {LHLO,
            {"MAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nRCPT TO:<bob@x.test>\r\n",
                "250 250 250"},
            {"BDAT 3\r\na\nbBDAT 2\r\nccDATA\r\nBDAT 5 LAST\r\nQUIT\r",
                "550 550 503 550 550"},
            {"MAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nBDAT 3\r\na\nbRSET\r\nBDAT 1 "
             "LAST\r\nx",
                "250 250 550 250 503"}},
        "", NULL, "", NULL},
    {"no recipient, no answer", PROTO_LMTP, false,
        {LHLO,
            {"BDAT 2 LAST\r\nxxMAIL FROM:<>\r\nDATA\r\nBDAT 5 LAST\r\nQUIT\nBDAT "
             "1\r\nxNOOP\r\n",
                "503 250 503 503 250"}},
        "", NULL, "", NULL},
    {"nothing for elsewhere", PROTO_LMTP, false,
        {{"EHLO c.test\r\nHELO c.test\r\nLHLO c.test\r\nMAIL FROM:<s@c.test>\r\nRCPT "
          "TO:<z@other.test>\r\nRCPT TO:<away@x.test>\r\nRCPT TO:<mixed@x.test>\r\nRCPT "
          "TO:<ann@x.test> NOTIFY=SUCCESS\r\nAUTH PLAIN\r\n",
            "500 500 250 250 550 550 550 555 502"}},
        "", NULL, "", trust},
    {"the checks refuse", PROTO_LMTP, false,
        {LHLO,
            {"MAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nRCPT TO:<bob@x.test>\r\nDATA\r\n",
                "250 250 250 354"},
            {TEXT ".\r\nNOOP\r\n", "554 554 250"}},
        "", NULL, "", refuse_text},
    {"over quota for now", PROTO_LMTP, false,
        {LHLO,
            {"MAIL FROM:<>\r\nRCPT TO:<cy@x.test>\r\nRCPT TO:<ann@x.test>\r\n",
                "250 452 250"}},
        "", NULL, "", quota_later},
};

static const struct dialogue others[] = {
    {"names are told to users", PROTO_SUBMISSION, false,
        {HELLO, {"VRFY ann\r\nEXPN team\r\n", "252 252"}, LOGIN,
            {"VRFY ann\r\nVRFY <Bob+x@x.test>\r\nVRFY no\r\nVRFY team\r\nVRFY "
             "z@other.test\r\nVRFY a b\r\nVRFY away\r\n",
                "250 250 550 250 252 501 250"},
            {"EXPN team\r\nEXPN ann\r\nEXPN no\r\nEXPN z@other.test\r\nEXPN <>\r\n",
                "250 250 550 252 501"}},
        "", NULL, "", answer_names},
    {"and to nobody without the flag", PROTO_SUBMISSION, false,
        {HELLO, LOGIN, {"VRFY ann\r\nVRFY no\r\nEXPN team\r\n", "252 252 252"}}, "", NULL,
        "", NULL},
    {"XCLIENT", PROTO_SMTP, false,
        {{"XCLIENT NAME=c.test ADDR=192.0.2.9 PORT=99\r\n", "220"}, HELLO,
            {"MAIL FROM:<s@c.test>\r\nXCLIENT NAME=x\r\nRSET\r\n", "250 503 250"},
            {"XCLIENT NAME=x ADDR=ipv6:2001:db8::7 HELO=h.test PROTO=ESMTP "
             "LOGIN=ann@x.test DESTADDR=192.0.2.1 DESTPORT=25\r\n",
                "220"},
            {"MAIL FROM:<ann@x.test>\r\nEHLO c.test\r\nMAIL FROM:<bob@x.test>\r\n",
                "503 250 553"},
            {"MAIL FROM:<ann@x.test>\r\nRCPT TO:<z@other.test>\r\nRSET\r\n",
                "250 250 250"},
            {"XCLIENT LOGIN=[UNAVAILABLE] ADDR=[UNAVAILABLE]\r\nEHLO c.test\r\nMAIL "
             "FROM:<bob@x.test>\r\nRCPT TO:<z@other.test>\r\n",
                "220 250 250 550"}},
        "", NULL, "", believe},
    {"XCLIENT for the next client", PROTO_SMTP, false,
        {{"XCLIENT LOGIN=ann@x.test\r\nXCLIENT ADDR=192.0.2.9\r\nEHLO c.test\r\nMAIL "
          "FROM:<ann@x.test>\r\nRCPT TO:<z@other.test>\r\n",
            "220 220 250 250 550"}},
        "", NULL, "", believe},
    {"XCLIENT after AUTH", PROTO_SUBMISSION, false,
        {HELLO, LOGIN,
            {"XCLIENT ADDR=192.0.2.9\r\nEHLO c.test\r\n" FROM_ANN "\r\n", "220 250 530"},
            LOGIN, {FROM_ANN "\r\n", "250"}},
        "", NULL, "", believe},
    {"XCLIENT that is none", PROTO_SMTP, false,
        {{"XCLIENT\r\nXCLIENT NAME\r\nXCLIENT ADDR=1.2.3\r\nXCLIENT ADDR=2001:db8::1\r\n"
          "XCLIENT ADDR=10.0.0.0/8\r\nXCLIENT LOGIN=no@x.test\r\nXCLIENT "
          "HELO=a+5Bb+3E\r\n"
          "XCLIENT NAME=a+3Cb\r\nXCLIENT DESTADDR=x\r\nNOOP\r\n",
            "501 501 501 501 501 535 501 501 501 250"}},
        "", NULL, "", believe},
    {"the header of a proxy is no command", PROTO_SMTP, false,
        {{"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\nQUIT\r\n", "421"}}, "", NULL, "", NULL},
};

#define WITH(list) list, sizeof list / sizeof *list

static void whole(void **state)
{
    (void)state;
    dialogues_play(WITH(relaying));
    dialogues_play(WITH(policies));
    dialogues_play(WITH(lmtp));
    dialogues_play(WITH(others));
}

static void cut_at_every_octet(void **state)
{
    (void)state;
    dialogues_play_cut(WITH(relaying));
    dialogues_play_cut(WITH(policies));
    dialogues_play_cut(WITH(lmtp));
    dialogues_play_cut(WITH(others));
}

static void clients_die(void **state)
{
    (void)state;
    dialogues_die(WITH(relaying));
    dialogues_die(WITH(policies));
    dialogues_die(WITH(lmtp));
    dialogues_die(WITH(others));
}

/* --- words ----------------------------------------------------------------------- */

static bool contains(struct slice text, const char *part)
{
    return memmem(text.at, text.len, part, strlen(part)) != NULL;
}

static struct fake_session *hello(enum protocol protocol, const char *word)
{
    struct fake_session *f = fake_smtp_open();

    (void)protocol;
    fake_pump();
    fake_output(f);
    fake_send(f, slice_str(word));
    return f;
}

static void what_is_announced(void **state)
{
    static const struct {
        enum protocol protocol;
        void (*prepare)(void);
        const char *word, *yes[9], *no[9];
    } cases[] = {
        {PROTO_SMTP, NULL, "EHLO c\r\n",
            {"250-DSN\r\n", "-BINARYMIME\r\n", "LIMITS RCPTMAX=100\r\n"},
            {"PRIORITY", "FUTURE", "DELIVERBY", "REQUIRETLS", "AUTH", "VRFY", "EXPN",
                "XCLIENT"}},
        {PROTO_SMTP, mail_max, "EHLO c\r\n",
            {"MT-PRIORITY", "DELIVERBY",
                "LIMITS MAILMAX=2 RCPTMAX=100 RCPTDOMAINMAX=1\r\n"},
            {"FUTURE", "AUTH"}},
        {PROTO_SUBMISSION, answer_names, "EHLO c\r\n",
            {"MT-PRIORITY\r\n", "DELIVERBY\r\n",
                "FUTURERELEASE 86400 2023-11-15T22:13:20Z\r\n", "AUTH PLAIN LOGIN\r\n",
                "DSN", "VRFY\r\n", "EXPN\r\n"},
            {"REQUIRETLS", "XCLIENT"}},
        {PROTO_LMTP, trust, "LHLO c\r\n",
            {"250-host.test\r\n", "PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME",
                "CHUNKING", "LIMITS"},
            {"DSN", "PRIORITY", "FUTURE", "DELIVERBY", "AUTH", "EXPN"}},
        {PROTO_SMTP, believe, "EHLO c\r\n",
            {"XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"}, {"AUTH"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_session *f;
        struct slice got;

        fake_smtp_reset(cases[i].protocol);
        if (cases[i].prepare)
            cases[i].prepare();
        f = hello(cases[i].protocol, cases[i].word);
        got = fake_output(f);
        for (size_t k = 0; cases[i].yes[k]; k++)
            if (!contains(got, cases[i].yes[k]))
                fail_msg("%zu: no %s in %.*s", i, cases[i].yes[k], (int)got.len, got.at);
        for (size_t k = 0; cases[i].no[k]; k++)
            if (contains(got, cases[i].no[k]))
                fail_msg("%zu: %s", i, cases[i].no[k]);
        dialogue_end(f);
    }
}

/* Those that are put off count no error, but as RCPT (RFC 9422, 4.2). */
static void refused_recipients_are_bounded(void **state)
{
    struct fake_session *f;

    (void)state;
    fake_smtp_reset(PROTO_SMTP);
    fake_smtp.refusal[POLICY_RCPT] = "450 4.7.1 Not now\r\n";
    f = hello(PROTO_SMTP, "EHLO c\r\nMAIL FROM:<>\r\n");
    fake_output(f);
    fake_send(f, S("RCPT TO:ann\r\n"));
    dialogue_expect(f, "501", "counts as well");
    for (unsigned i = 1; i < 102; i++) {
        fake_send(f, S("RCPT TO:<ann@x.test>\r\n"));
        dialogue_expect(f, i < 100 ? "450" : "452", "RCPT");
    }
    fake_send(f, S("RSET\r\nMAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\n"));
    dialogue_expect(f, "250 250 450", "the next message");
    dialogue_end(f);
}

/* RFC 5321, 4.1.4: the session is what it was before. */
static void a_refused_ehlo_changes_nothing(void **state)
{
    const struct policy_facts *facts = &fake_smtp.facts;
    struct fake_session *f;

    (void)state;
    fake_smtp_reset(PROTO_SMTP);
    f = hello(PROTO_SMTP, "EHLO good.test\r\nMAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\n");
    fake_output(f);
    fake_smtp.refusal[POLICY_HELO] = "550 5.7.1 Not with that name\r\n";
    fake_send(f, S("HELO bad.test\r\n"));
    dialogue_expect(f, "550", "HELO");
    assert_int_equal(fake_smtp.asked[POLICY_HELO], 2);
    fake_send(f, S("RCPT TO:<bob@x.test>\r\n"));
    dialogue_expect(f, "250", "RCPT");
    assert_true(slice_eq(facts->helo, S("good.test")));
    dialogue_end(f);
}

static void aliases_are_expanded(void **state)
{
    struct fake_session *f;

    (void)state;
    fake_smtp_reset(PROTO_SUBMISSION);
    answer_names();
    f = hello(PROTO_SUBMISSION, "EHLO c\r\nAUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\n");
    fake_output(f);
    fake_send(f, S("EXPN mixed\r\nVRFY <Team@x.test>\r\nvrfy Team smtputf8\r\n"));
    assert_true(slice_eq(fake_output(f),
        S("250-2.1.5 <cy@x.test>\r\n250-2.1.5 <y@other.test>\r\n"
          "250 2.1.5 <z@other.test>\r\n250 2.1.5 <Team@x.test>\r\n"
          "250 2.1.5 <team@x.test>\r\n")));
    dialogue_end(f);
}

static void the_greeting_of_lmtp(void **state)
{
    struct fake_session *f;

    (void)state;
    fake_smtp_reset(PROTO_LMTP);
    f = fake_smtp_open();
    assert_true(slice_eq(fake_output(f), S("220 host.test LMTP ringmail\r\n")));
    fake_send(f,
        S("LHLO c.test\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<ann@x.test>\r\nBDAT 2 "
          "LAST\r\n\r\n"));
    assert_true(contains(slice_of(fake_smtp.messages[0].bytes, fake_smtp.messages[0].len),
        "with UTF8LMTP id"));
    dialogue_end(f);
}

/* --- what the checks are told ---------------------------------------------------- */

static void facts(void **state)
{
    const struct policy_facts *f = &fake_smtp.facts;
    struct fake_session *session;

    (void)state;
    fake_smtp_reset(PROTO_SMTP);
    later();
    trust();
    session = hello(PROTO_SMTP, "EHLO c.test\r\n");
    assert_true(slice_eq(f->helo, S("c.test")) && f->trusted && !f->authenticated);
    fake_send(session, S("MAIL FROM:<S@c.test> SIZE=77\r\nRCPT TO:<Ann@x.test>\r\n"));
    assert_true(slice_eq(f->sender->text, S("S@c.test")) && f->size == 77);
    assert_true(slice_eq(f->rcpt->local, S("Ann")) && f->rcpt_local && f->rcpts == 0);
    fake_send(session, S("RCPT TO:<z@other.test>\r\n"));
    assert_true(slice_eq(f->rcpt->domain, S("other.test")) && !f->rcpt_local);
    assert_int_equal(f->rcpts, 1);
    fake_send(session, S("BDAT 21 LAST\r\n" TEXT));
    assert_true(f->size == 21 && f->rcpts == 2);
    assert_int_equal(fake_smtp.seen, 21);
    for (unsigned i = 0; i < FAKE_STEPS; i++)
        assert_int_equal(fake_smtp.asked[i], i == POLICY_RCPT ? 2 : 1);
    dialogue_end(session);
}

/* What waits is not read on, and does not run into deadlines. */
static void what_waits(void **state)
{
    static const char text[] = "BDAT 21 LAST\r\n" TEXT;
    static const char *const sends[] = {
        "EHLO c\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<ann@x.test>\r\n", text};
    struct fake_session *f;

    (void)state;
    fake_smtp_reset(PROTO_SMTP);
    later();
    fake_smtp.held = true;
    f = fake_smtp_open();
    for (unsigned i = 0; i < 4; i++) {
        assert_true(f->paused);
        fake_send(f, slice_str(sends[i]));
        fake_timeout(f);
        dialogue_expect(f, "", "held");
        fake_smtp.held = false;
        fake_smtp.later[i] = false; /* the next one is held at once */
        fake_step();
        fake_smtp.held = true;
        fake_pump();
        dialogue_expect(f, i == 0 ? "220" : "250", "released");
    }
    fake_smtp.held = false;
    fake_pump();
    dialogue_expect(f, "250", "the end");
    dialogue_end(f);
}

/* A reply that has to wait is lost with its session, and nothing else is. */
static void pauses(void **state)
{
    struct fake_session *f;

    (void)state;
    fake_smtp_reset(PROTO_SMTP);
    slow_errors();
    fake_smtp.held = true;
    f = fake_smtp_open();
    fake_output(f);
    fake_send(f, S("FROB\r\nNOOP\r\n"));
    dialogue_expect(f, "", "before its time");
    assert_true(f->paused);
    fake_timeout(f);
    fake_stop(f);
    dialogue_expect(f, "", "still");
    fake_smtp.held = false;
    fake_pump();
    dialogue_expect(f, "500 421", "then the stop");
    fake_smtp_reset(PROTO_SMTP);
    slow_errors();
    fake_smtp.held = true;
    f = fake_smtp_open();
    fake_send(f, S("FROB\r\n"));
    dialogue_end(f);
    fake_smtp.held = false;
    fake_pump();
}

/* --- many ------------------------------------------------------------------------ */

/* More recipients than an envelope holds. */
static void many_envelopes(void **state)
{
    struct fake_session *f;
    char line[64];

    (void)state;
    fake_smtp_reset(PROTO_SMTP);
    trust();
    fake_config()->max_recipients = 5000;
    f = hello(PROTO_SMTP, "EHLO c\r\nMAIL FROM:<>\r\n");
    fake_output(f);
    for (unsigned i = 0; i < 2001; i++) {
        snprintf(line, sizeof line, "RCPT TO:<u%u@other.test>\r\n", i);
        fake_send(f, slice_str(line));
        dialogue_expect(f, "250", "RCPT");
    }
    fake_send(f, S("BDAT 2 LAST\r\n\r\n"));
    dialogue_expect(f, "250", "BDAT");
    assert_int_equal(fake_smtp.envelopes, 3);
    assert_int_equal(fake_smtp.queued, 2001);
    dialogue_end(f);
}

static void many_lmtp_answers(void **state)
{
    struct fake_session *f;
    char codes[200 * 4 + 8];

    (void)state;
    fake_smtp_reset(PROTO_LMTP);
    fake_config()->max_recipients = 200;
    f = hello(PROTO_LMTP, "LHLO c\r\nMAIL FROM:<>\r\n");
    for (unsigned i = 0; i < 200; i++)
        fake_send(
            f, i % 2 ? S("RCPT TO:<team@x.test>\r\n") : S("RCPT TO:<cy@x.test>\r\n"));
    fake_output(f);
    fake_send(f, S("RCPT TO:<ann@x.test>\r\n"));
    dialogue_expect(f, "452", "one more");
    fake_smtp.user_status[2] = STATUS_NO_SPACE; /* bob */
    fake_send(f, S("BDAT 2 LAST\r\n\r\n"));
    dialogue_codes(fake_output(f), codes, sizeof codes);
    assert_int_equal(strlen(codes), 200 * 4 - 1);
    for (unsigned i = 0; i < 200; i++)
        assert_memory_equal(codes + (size_t)i * 4, i % 2 ? "452" : "250", 3);
    fake_send(f, S("MAIL FROM:<>\r\nRCPT TO:<cy@x.test>\r\nBDAT 99999999 LAST\r\n"));
    dialogue_expect(f, "250 250 552", "too big by itself is told at once");
    dialogue_end(f);
}

/* RFC 6409, 8: what a user's program left out. */
static void submitted_text_is_mended(void **state)
{
    const struct fake_message *m = &fake_smtp.messages[0];
    struct fake_session *f;

    (void)state;
    for (unsigned check = 0; check < 2; check++) {
        fake_smtp_reset(PROTO_SUBMISSION);
        fake_config()->from_check = (int)check;
        f = hello(PROTO_SUBMISSION,
            "EHLO c\r\nAUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\nMAIL FROM:<ann@x.test>\r\n"
            "RCPT TO:<z@other.test>\r\nDATA\r\n");
        fake_output(f);
        fake_send(f, S("From: bob@x.test\r\nBcc: s@c.test\r\n\r\nhello\r\n.\r\n"));
        dialogue_expect(f, check ? "550" : "250", "text");
        assert_int_equal(fake_smtp.count, check ? 0 : 1);
        if (check == 0) {
            struct slice text = slice_of(m->bytes, m->len);

            assert_true(
                contains(text, "\r\nDate: ") && contains(text, "\r\nMessage-ID: <"));
            assert_false(contains(text, "Bcc:"));
        }
        dialogue_end(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(cut_at_every_octet),
        cmocka_unit_test(clients_die),
        cmocka_unit_test(what_is_announced),
        cmocka_unit_test(refused_recipients_are_bounded),
        cmocka_unit_test(a_refused_ehlo_changes_nothing),
        cmocka_unit_test(aliases_are_expanded),
        cmocka_unit_test(the_greeting_of_lmtp),
        cmocka_unit_test(facts),
        cmocka_unit_test(what_waits),
        cmocka_unit_test(pauses),
        cmocka_unit_test(many_envelopes),
        cmocka_unit_test(many_lmtp_answers),
        cmocka_unit_test(submitted_text_is_mended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
