/* The SMTP session on a connection and a delivery played by smtp_fake.c. Every dialogue
 * is cut at every octet, and its client dies at every octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/session_smtp_work.h"
#include "tests/server/smtp_dialogue.h"

static const struct dialogue dialogues[] = {
    {"one message", PROTO_SMTP, false,
        {HELLO, {"MAIL FROM:<s@c.test>\r\n", "250"}, {"RCPT TO:<ann@x.test>\r\n", "250"},
            {"DATA\r\n", "354"}, {TEXT ".\r\n", "250"}, {"QUIT\r\n", "221"}},
        "ann@x.test \n", "\r\n" TEXT, NULL, NULL},
    {"pipelined", PROTO_SMTP, false,
        {{"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<ann@x.test>\r\nRCPT TO:<no@x.test>\r\n"
          "RCPT TO:<team@x.test>\r\nRCPT TO:<Bob+d@X.TEST>\r\nDATA\r\n",
             "250 250 250 550 250 250 354"},
            {TEXT "..\r\n.\r\nNOOP\r\nMAIL FROM:<s@c.test>\r\nRCPT TO:<cy@x.test>\r\n"
                  "DATA\r\n",
                "250 250 250 250 354"},
            {TEXT ".\r\nQUIT\r\n", "250 221"}},
        "ann@x.test bob@x.test \ncy@x.test \n", "\r\n" TEXT, NULL, NULL},
    {"dots", PROTO_SMTP, false,
        {{"EHLO c.test\r\nMAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n",
             "250 250 250 354"},
            {"..\r\n...\r\n.x\r\nx.\r\n.\r\n", "250"}},
        "ann@x.test \n", "\r\n.\r\n..\r\nx\r\nx.\r\n", NULL, NULL},
    {"chunks", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nBDAT 5\r\n.\r\n.\rBDAT "
             "0\r\n"
             "BDAT 3 LAST\r\n\n.\nNOOP\r\n",
                "250 250 250 250 550 250"},
            {"MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nBDAT 5\r\n.\r\n.\rBDAT "
             "0\r\n"
             "BDAT 3 LAST\r\n\nX.NOOP\r\n",
                "250 250 250 250 250 250"}},
        "ann@x.test \n", "\r\n.\r\n.\r\nX.", NULL, NULL},
    {"chunks that are refused", PROTO_SMTP, false,
        {{"BDAT 6\r\nQUIT\r\nEHLO c.test\r\nBDAT 6 LAST\r\nQUIT\r\n", "503 250 503"},
            {"MAIL FROM:<s@c.test>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<ann@x.test>\r\n",
                "250 503 250"},
            {"BDAT 3\r\na\nbBDAT 4 LAST\r\nQUIT", "550 503"},
            {"BDAT 99x\r\nNOOP\r\n", "501"}},
        "", NULL, NULL, NULL},
    {"DATA and BDAT do not mix", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nBDAT 3\r\nabcDATA\r\n"
             "RSET\r\n",
                "250 250 250 503 250"},
            {"MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n", "250 250 354"},
            {TEXT ".\r\n", "250"}},
        "ann@x.test \n", "\r\n" TEXT, NULL, NULL},
    {"flaws", PROTO_SMTP, false,
        {HELLO,
            {"MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n", "250 250 354"},
            {"a\n.\nb\r.\r\nMAIL FROM:<x@y.test>\r\n\r\n.\r\nNOOP\r\n", "550 250"},
            {"MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n", "250 250 354"},
            {"a\r\n.\r\r\n.\r\nRSET\r\n", "550 250"}},
        "", NULL, NULL, NULL},
    {"order", PROTO_SMTP, false,
        {{"MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\nHELO c\r\nDATA\r\n",
             "503 503 503 250 503"},
            {"MAIL FROM:<s@c.test>\r\nMAIL FROM:<s@c.test>\r\nDATA\r\nEHLO c\r\n"
             "RCPT TO:<ann@x.test>\r\n",
                "250 503 503 250 503"},
            {"VRFY ann\r\nEXPN team\r\nHELP\r\nAUTH PLAIN AAAA\r\nSTARTTLS\r\nLHLO x\r\n",
                "252 252 214 502 502 500"}},
        "", NULL, NULL, NULL},
    {"lines that are none", PROTO_SMTP, false,
        {{"NOOP\rQUIT\r\nNOOP\nQUIT\r\n\r\nNO OP\r\nQUIT\n\r\nQUIT\r\n",
            "500 500 500 500 500 221"}},
        "", NULL, NULL, NULL},
    {"another protocol", PROTO_SMTP, false, {{"POST / HTTP/1.1\r\nQUIT\r\n", "421"}}, "",
        NULL, NULL, NULL},
    {"submission", PROTO_SUBMISSION, false,
        {HELLO, {"MAIL FROM:<ann@x.test>\r\n", "530"},
            {"AUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\n", "235"},
            {"AUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\n", "503"},
            {"MAIL FROM:<bob@x.test>\r\nMAIL FROM:<ann+d@x.test>\r\n", "553 250"},
            {"RCPT TO:<no@x.test>\r\nRCPT TO:<bob@x.test>\r\nDATA\r\n", "550 250 354"},
            {MENDED ".\r\nQUIT\r\n", "250 221"}},
        "bob@x.test \n", "\r\n" MENDED, NULL, NULL},
    {"logins that fail", PROTO_SUBMISSION, false,
        {HELLO, {"AUTH LOGIN\r\n", "334"}, {"YW5uQHgudGVzdA==\r\n", "334"},
            {"YmFk\r\n", "535"}, {"AUTH PLAIN\r\n", "334"}, {"*\r\n", "501"},
            {"AUTH PLAIN\r\n", "334"}, {"?\r\nNOOP\r\n", "501 250"},
            {"AUTH PLAIN\r\n", "334"}, {"A\nB\r\n", "500"},
            {"AUTH X\r\nAUTH\r\nAUTH LOGIN YW5u\r\n", "504 501 334"},
            {"c2VjcmV0\r\nNOOP\r\n", "235 250"}},
        "", NULL, NULL, NULL},
};

static void dialogues_whole(void **state)
{
    (void)state;
    dialogues_play(dialogues, sizeof dialogues / sizeof *dialogues);
}

static void dialogues_cut_at_every_octet(void **state)
{
    (void)state;
    dialogues_play_cut(dialogues, sizeof dialogues / sizeof *dialogues);
}

static void clients_die_at_every_octet(void **state)
{
    (void)state;
    dialogues_die(dialogues, sizeof dialogues / sizeof *dialogues);
}

/* Not all of the text has come, whatever of it has. */
static void half_a_text_is_no_message(void **state)
{
    static const char text[] = TEXT ".\r";

    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        struct fake_session *f = dialogue_begin(&dialogues[0]);

        for (unsigned i = 0; i < 4; i++)
            fake_send(f, slice_str(dialogues[0].turns[i].send));
        fake_send(f, slice_of(text, n));
        fake_eof(f);
        assert_true(f->freed);
        assert_int_equal(fake_smtp.count, 0);
        assert_int_equal(fake_smtp.deliveries, 0);
    }
}

/* --- the disk
 * ---------------------------------------------------------------------------- */

#define BEGIN "EHLO c.test\r\nMAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n"

static void answers_of_the_disk(void **state)
{
    static const struct {
        enum status status;
        const char *reply;
    } cases[] = {
        {STATUS_OK, "250 2.0.0"},
        {STATUS_NO_SPACE, "452 4.3.1"},
        {STATUS_NO_MEMORY, "452 4.3.1"},
        {STATUS_LIMIT, "552 5.2.2"},
        {STATUS_NOT_FOUND, "550 5.1.1"},
        {STATUS_READ_ONLY, "451 4.3.0"},
        {STATUS_IO, "451 4.3.0"},
        {STATUS_BUSY, "451 4.3.0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_session *f = dialogue_begin(&dialogues[0]);
        struct slice got;

        fake_smtp.status = cases[i].status;
        fake_send(f, S(BEGIN));
        fake_output(f);
        fake_send(f, S(TEXT ".\r\n"));
        got = fake_output(f);
        assert_true(slice_starts_nocase(got, slice_str(cases[i].reply)));
        fake_send(f, S("MAIL FROM:<s@c.test>\r\n"));
        dialogue_expect(f, "250", "the next transaction");
        dialogue_end(f);
    }
}

static void a_slow_disk(void **state)
{
    (void)state;
    for (size_t every = 1; every < 40; every += 3) {
        struct fake_session *f = dialogue_begin(&dialogues[0]);

        fake_smtp.busy_every = every;
        fake_send(f, S(BEGIN));
        fake_send(f, S(TEXT ".\r\nQUIT\r\n"));
        dialogue_expect(f, "250 250 250 354 250 221", "busy");
        dialogue_stored(&dialogues[0]);
        dialogue_end(f);
    }
}

static void commits_take_their_time(void **state)
{
    struct fake_session *f = dialogue_begin(&dialogues[0]);

    (void)state;
    fake_smtp.held = true;
    fake_send(f, S(BEGIN));
    fake_output(f);
    fake_send(f, S(TEXT ".\r\nNOOP\r\n"));
    dialogue_expect(f, "", "before the disk has answered");
    assert_true(f->paused);
    fake_timeout(f); /* the client is not to blame */
    dialogue_expect(f, "", "at the deadline");
    fake_eof(f);
    dialogue_expect(f, "", "half closed");
    fake_smtp.held = false;
    fake_pump();
    dialogue_expect(f, "250 250", "afterwards");
    assert_true(f->freed);
}

static void memory_is_short(void **state)
{
    struct fake_session *f = dialogue_begin(&dialogues[0]);

    (void)state;
    fake.short_of_memory = true;
    fake_send(f, S("EHLO c\r\nMAIL FROM:<s@c.test>\r\n"));
    dialogue_expect(f, "250 452", "MAIL");
    fake.short_of_memory = false;
    fake_smtp.no_memory = true;
    fake_send(f, S("MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n"));
    dialogue_expect(f, "250 250 452", "DATA");
    fake_send(f,
        S("MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n"));
    dialogue_expect(f, "250 250 452 250", "BDAT");
    dialogue_end(f);
}

/* --- limits
 * ------------------------------------------------------------------------------ */

static void send_octets(struct fake_session *f, size_t n)
{
    char line[1000];

    memset(line, 'y', sizeof line);
    memcpy(line + 998, "\r\n", 2);
    for (; n >= sizeof line; n -= sizeof line)
        fake_send(f, slice_of(line, sizeof line));
    fake_send(f, slice_of(line + sizeof line - n, n));
}

static void messages_too_big(void **state)
{
    struct fake_session *f = dialogue_begin(&dialogues[0]);

    (void)state;
    fake_send(f, S(BEGIN));
    fake_output(f);
    send_octets(f, 1 << 20);
    fake_send(f, S(".\r\n"));
    dialogue_expect(f, "250", "exactly the limit");
    fake_send(f, S(BEGIN));
    fake_output(f);
    send_octets(f, (1 << 20) + 2);
    assert_int_equal(fake_smtp.deliveries, 0);
    send_octets(f, 5000);
    fake_send(f, S(".\r\nNOOP\r\n"));
    dialogue_expect(f, "552 250", "read to the end");
    fake_send(f, S("MAIL FROM:<s@c.test> SIZE=1048577\r\n"));
    dialogue_expect(f, "552", "declared");
    fake_send(f, S("MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nBDAT 1000000\r\n"));
    send_octets(f, 1000000);
    fake_send(f, S("BDAT 100000 LAST\r\n"));
    send_octets(f, 99999);
    dialogue_expect(f, "250 250 250", "chunks");
    send_octets(f, 1);
    dialogue_expect(f, "552", "the answer follows the octets");
    fake_send(f, S("BDAT 1 LAST\r\nxBDAT 18446744073709551615\r\n"));
    dialogue_expect(f, "503 503", "the octets are dropped, and the transaction");
    fake_send(f, S("QUIT\r\n"));
    dialogue_expect(f, "", "and so are these");
    dialogue_end(f);
    assert_int_equal(fake_smtp.count, 1);
}

static void too_many_recipients(void **state)
{
    struct fake_session *f = dialogue_begin(&dialogues[0]);

    (void)state;
    fake_send(f, S("EHLO c\r\nMAIL FROM:<>\r\n"));
    fake_output(f);
    for (unsigned i = 0; i < 102; i++) {
        fake_send(
            f, i % 2 ? S("RCPT TO:<ann@x.test>\r\n") : S("RCPT TO:<team@x.test>\r\n"));
        dialogue_expect(f, i < 100 ? "250" : "452", "RCPT");
    }
    fake_send(f, S("BDAT 3 LAST\r\na\r\n"));
    dialogue_expect(f, "250", "BDAT");
    assert_string_equal(fake_smtp.messages[0].users, "ann@x.test bob@x.test ");
    dialogue_end(f);
}

/* One full mailbox is refused, and does not keep the others from theirs. */
static void full_mailboxes(void **state)
{
    struct fake_session *f;

    (void)state;
    fake_smtp_reset(PROTO_SMTP);
    fake.quota = 1000;
    fake_smtp.kept_by_cy = 900;
    f = fake_smtp_open();
    fake_send(f,
        S("EHLO c\r\nMAIL FROM:<> SIZE=100\r\nRCPT TO:<cy@x.test>\r\n"
          "RCPT TO:<ann@x.test>\r\nBDAT 3 LAST\r\na\r\n"));
    dialogue_expect(f, "220 250 250 552 250 250", "over quota");
    assert_string_equal(fake_smtp.messages[0].users, "ann@x.test ");
    fake_send(f,
        S("MAIL FROM:<> SIZE=99\r\nRCPT TO:<cy@x.test>\r\n"
          "RCPT TO:<team@x.test>\r\nBDAT 3 LAST\r\na\r\n"));
    dialogue_expect(f, "250 250 250 250", "within it");
    fake_send(f,
        S("MAIL FROM:<> SIZE=999\r\nRCPT TO:<ann@x.test>\r\nRSET\r\n"
          "MAIL FROM:<> SIZE=1000\r\nRCPT TO:<ann@x.test>\r\n"));
    dialogue_expect(f, "250 250 250 250 552", "more than all of it");
    dialogue_end(f);
    for (unsigned steps = 0; steps < 6; steps++) {
        fake_smtp_reset(PROTO_SMTP);
        fake.quota = 1000;
        f = fake_smtp_open();
        fake_send(f, S("EHLO c\r\nMAIL FROM:<>\r\n"));
        f->input = realloc(f->input, 64);
        memcpy(f->input, "RCPT TO:<ann@x.test>\r\n", 22);
        f->input_len = 22;
        f->woken = true;
        for (unsigned i = 0; i < steps; i++)
            fake_step();
        dialogue_end(f);
    }
}

static void too_many_errors(void **state)
{
    struct fake_session *f = dialogue_begin(&dialogues[0]);

    (void)state;
    for (unsigned i = 0; i < 19; i++) {
        fake_send(f, S("FROB\r\n"));
        dialogue_expect(f, "500", "FROB");
    }
    fake_send(f, S(BEGIN));
    fake_send(f, S(TEXT ".\r\n"));
    dialogue_expect(f, "250 250 250 354 250", "a message makes good for them");
    for (unsigned i = 0; i < 19; i++)
        fake_send(f, S("FROB\r\n"));
    fake_output(f);
    fake_send(f, S("FROB\r\nNOOP\r\n"));
    dialogue_expect(f, "421", "the twentieth");
    assert_true(f->freed);
}

static void too_many_failed_logins(void **state)
{
    struct fake_session *f;

    (void)state;
    fake_smtp_reset(PROTO_SUBMISSION);
    f = fake_smtp_open();
    fake_send(f, S("EHLO c\r\n"));
    fake_output(f);
    for (unsigned i = 0; i < 5; i++) {
        fake_send(f, S("AUTH PLAIN AGFubkB4LnRlc3QAYmFk\r\n"));
        dialogue_expect(f, i < 4 ? "535" : "421", "AUTH");
    }
    assert_true(f->freed);
}

static void text_before_the_354(void **state)
{
    struct fake_session *f = dialogue_begin(&dialogues[0]);

    (void)state;
    fake_send(f,
        S("EHLO c.test\r\nMAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n"
          "Subject: s\r\n\r\n.\r\nQUIT\r\n"));
    dialogue_expect(f, "250 250 250 554", "improper pipelining");
    assert_true(f->freed);
    assert_int_equal(fake_smtp.count, 0);
}

static void output_that_is_not_read(void **state)
{
    struct fake_session *f = dialogue_begin(&dialogues[0]);
    char codes[4096];

    (void)state;
    f->high_water = 300;
    for (unsigned i = 0; i < 200; i++)
        fake_send(f, S("NOOP\r\nRSET\r\n"));
    dialogue_codes(fake_output(f), codes, sizeof codes);
    assert_int_equal(strlen(codes), 400 * 4 - 1);
    dialogue_end(f);
}

/* --- time, stop, TLS
 * ------------------------------------------------------------------------ */

static void deadlines(void **state)
{
    struct fake_session *f = dialogue_begin(&dialogues[0]);

    (void)state;
    assert_int_equal(f->deadline, 60);
    fake_send(f, S("EHLO c\r\n"));
    assert_int_equal(f->deadline, 300);
    fake_output(f);
    fake_send(f, S("MAIL FROM:<s@c.test>\r\nRCPT TO:<ann@x.test>\r\nDATA\r\n"));
    fake_output(f);
    f->conn->deadline_s = 300;
    send_octets(f, 150000);
    fake_timeout(f);
    dialogue_expect(f, "", "fast enough");
    send_octets(f, 149999);
    fake_timeout(f);
    dialogue_expect(f, "421", "too slow");
    assert_true(f->freed);
    assert_int_equal(fake_smtp.deliveries, 0);

    f = dialogue_begin(&dialogues[0]);
    fake_send(f, S("NOO"));
    fake_timeout(f);
    dialogue_expect(f, "421", "idle");
    assert_true(f->freed);
}

static void stops(void **state)
{
    struct fake_session *f = dialogue_begin(&dialogues[0]);

    (void)state;
    fake_stop(f);
    dialogue_expect(f, "421", "between commands");
    f = dialogue_begin(&dialogues[0]);
    fake_send(f, S(BEGIN));
    fake_output(f);
    fake_stop(f);
    dialogue_expect(f, "", "in a text");
    fake_send(f, S(TEXT ".\r\nMAIL FROM:<>\r\n"));
    dialogue_expect(f, "250 421", "at its end");
    assert_int_equal(fake_smtp.count, 1);
    assert_true(f->freed);
}

static void accounts_change(void **state)
{
    struct fake_session *f;

    (void)state;
    fake_smtp_reset(PROTO_SUBMISSION);
    f = fake_smtp_open();
    fake_send(f, S("EHLO c\r\nAUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\n"));
    dialogue_expect(f, "220 250 235", "login");
    fake_kick(f);
    dialogue_expect(f, "421", "dismissed");
    assert_true(f->freed);
    assert_int_equal(fake.open, 0);
}

static void tls_forgets_everything(void **state)
{
    struct fake_session *f;

    (void)state;
    fake_smtp_reset(PROTO_SUBMISSION);
    fake.tls = true;
    fake.clear_login = false;
    f = fake_smtp_open();
    fake_send(f, S("EHLO c\r\nAUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\nMAIL FROM:<>\r\n"));
    dialogue_expect(f, "220 250 538 530", "in clear");
    fake_send(f, S("STARTTLS x\r\nSTARTTLS\r\nEHLO injected\r\nQUIT\r\n"));
    dialogue_expect(f, "501 220", "STARTTLS");
    fake_send(f, S("MAIL FROM:<>\r\nSTARTTLS\r\nEHLO c\r\n"));
    dialogue_expect(f, "503 503 250", "inside");
    fake_send(f, S("AUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\nMAIL FROM:<>\r\n"));
    dialogue_expect(f, "235 250", "login");
    dialogue_end(f);
}

/* The check of a password outlives the client that asked for it. */
static void clients_that_do_not_wait_for_their_login(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps < 6; steps++) {
        struct fake_session *f;

        fake_smtp_reset(PROTO_SUBMISSION);
        f = fake_smtp_open();
        fake_send(f, S("EHLO c\r\n"));
        f->input = realloc(f->input, 64);
        memcpy(f->input, "AUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\n", 37);
        f->input_len = 37;
        f->woken = true;
        for (unsigned i = 0; i < steps; i++)
            fake_step();
        dialogue_end(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialogues_whole),
        cmocka_unit_test(dialogues_cut_at_every_octet),
        cmocka_unit_test(clients_die_at_every_octet),
        cmocka_unit_test(half_a_text_is_no_message),
        cmocka_unit_test(answers_of_the_disk),
        cmocka_unit_test(a_slow_disk),
        cmocka_unit_test(commits_take_their_time),
        cmocka_unit_test(memory_is_short),
        cmocka_unit_test(messages_too_big),
        cmocka_unit_test(too_many_recipients),
        cmocka_unit_test(full_mailboxes),
        cmocka_unit_test(too_many_errors),
        cmocka_unit_test(too_many_failed_logins),
        cmocka_unit_test(text_before_the_354),
        cmocka_unit_test(output_that_is_not_read),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(stops),
        cmocka_unit_test(accounts_change),
        cmocka_unit_test(tls_forgets_everything),
        cmocka_unit_test(clients_that_do_not_wait_for_their_login),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
