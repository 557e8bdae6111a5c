/* The POP3 session on the connection and the store of imap_fake.h: dialogues cut at every
 * octet, requests that fail one by one, clients that die, bodies in small pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/session_pop3.h"
#include "server/session_pop3_work.h"
#include "tests/server/imap_fake.h"

const struct session_calls *const fake_calls = &session_pop3_calls;

/* --- the part of the store that only POP3 uses -----------------------------------------
 */

static int pin_place;

struct store_pin *store_pin(struct store *store)
{
    (void)store;
    fake.open++;
    return (struct store_pin *)&pin_place;
}

void store_unpin(struct store *store, struct store_pin *pin)
{
    (void)store;
    assert_ptr_equal(pin, &pin_place);
    fake.open--;
}

/* --- the maildrop ----------------------------------------------------------------------
 */

#define PLAIN "Subject: a\r\n\r\none\r\ntwo\r\n"
#define DOTS  "Subject: b\r\n\r\n.\r\n..x\r\nend\r\n"
#define OPEN  "Subject: c\r\n\r\n.no end"

static void fill(void)
{
    fake_message("INBOX", S(PLAIN), 0, 0);
    fake_message("INBOX", S(DOTS), 0, 0);
    fake_message("INBOX", S(OPEN), 0, 0);
}

static int set_up(void **state)
{
    (void)state;
    fake_reset();
    fill();
    return 0;
}

/* A store that was written before the index knew how messages end. */
static void set_up_older(void)
{
    fake_reset();
    fake.ends_unknown = true;
    fill();
}

static void check(struct slice got, const char *want, const char *what)
{
    if (slice_eq(got, slice_str(want)))
        return;
    fprintf(
        stderr, "--- %s: got\n%.*s--- want\n%s---\n", what, (int)got.len, got.at, want);
    fail();
}

static void talk(struct fake_session *f, const char *send, const char *want)
{
    fake_output(f);
    fake_send(f, slice_str(send));
    check(fake_output(f), want, send);
}

static void end(struct fake_session *f)
{
    fake_die(f);
    fake_pump();
    assert_true(f->freed);
    assert_int_equal(fake.open, 0);
    assert_int_equal(fake.loans, 0);
}

#define LOGIN "USER ann@x.test\r\nPASS secret\r\n"

static struct fake_session *login(void)
{
    struct fake_session *f = fake_open();

    fake_send(f, S(LOGIN));
    fake_output(f);
    return f;
}

static const struct {
    const char *send, *want;
} dialogues[] = {
    {LOGIN "STAT\r\nLIST\r\nLIST 3\r\nUIDL 2\r\nNOOP\r\nQUIT\r\n",
        "+OK ringmail ready\r\n+OK Now the password\r\n+OK Maildrop is ready, 3 "
        "messages\r\n"
        "+OK 3 74\r\n+OK List follows\r\n1 24\r\n2 27\r\n3 23\r\n.\r\n+OK 3 23\r\n"
        "+OK 2 101.2\r\n+OK\r\n+OK Bye\r\n"},
    {LOGIN "RETR 1\r\nRETR 2\r\nRETR 3\r\nSTAT\r\n",
        "+OK ringmail ready\r\n+OK Now the password\r\n+OK Maildrop is ready, 3 "
        "messages\r\n"
        "+OK Message follows\r\n" PLAIN ".\r\n"
        "+OK Message follows\r\nSubject: b\r\n\r\n..\r\n...x\r\nend\r\n.\r\n"
        "+OK Message follows\r\nSubject: c\r\n\r\n..no end\r\n.\r\n+OK 3 74\r\n"},
    {LOGIN "TOP 1 0\r\nTOP 1 1\r\nTOP 2 1\r\nTOP 3 9\r\nTOP 1 x\r\nTOP 1\r\n",
        "+OK ringmail ready\r\n+OK Now the password\r\n+OK Maildrop is ready, 3 "
        "messages\r\n"
        "+OK Message follows\r\nSubject: a\r\n\r\n.\r\n"
        "+OK Message follows\r\nSubject: a\r\n\r\none\r\n.\r\n"
        "+OK Message follows\r\nSubject: b\r\n\r\n..\r\n.\r\n"
        "+OK Message follows\r\nSubject: c\r\n\r\n..no end\r\n.\r\n"
        "-ERR Wrong arguments\r\n-ERR Wrong arguments\r\n"},
    {LOGIN "DELE 2\r\nDELE 2\r\nRETR 2\r\nLIST\r\nUIDL\r\nSTAT\r\nRSET\r\nSTAT\r\n"
           "DELE 4\r\nDELE 0\r\n",
        "+OK ringmail ready\r\n+OK Now the password\r\n+OK Maildrop is ready, 3 "
        "messages\r\n"
        "+OK Marked for deletion\r\n-ERR Message is deleted\r\n-ERR Message is "
        "deleted\r\n"
        "+OK List follows\r\n1 24\r\n3 23\r\n.\r\n"
        "+OK List follows\r\n1 101.1\r\n3 101.3\r\n.\r\n+OK 2 47\r\n+OK\r\n+OK 3 74\r\n"
        "-ERR No such message\r\n-ERR Wrong arguments\r\n"},
    {"STAT\r\nPASS x\r\nUSER a\r\nUSER b\r\nPASS bad\r\nAUTH\r\nAUTH X\r\nAUTH PLAIN\r\n"
     "*\r\nAUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\nUSER a\r\nSTLS\r\nQUIT\r\n",
        "+OK ringmail ready\r\n-ERR Not in this state\r\n-ERR Not in this state\r\n"
        "+OK Now the password\r\n-ERR Not in this state\r\n"
        "-ERR [AUTH] Authentication failed\r\n"
        "+OK Mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n"
        "-ERR Unknown authentication mechanism\r\n+ \r\n-ERR Authentication cancelled\r\n"
        "+OK Maildrop is ready, 3 messages\r\n-ERR Not in this state\r\n"
        "-ERR Not in this state\r\n+OK Bye\r\n"},
    {"USER ann@x.test\r\nPASS busy\r\nUSER ann@x.test\r\nPASS many\r\nNO\rOP\r\nQUIT\r\n",
        "+OK ringmail ready\r\n+OK Now the password\r\n"
        "-ERR [SYS/TEMP] Logins are limited now, try later\r\n+OK Now the password\r\n"
        "-ERR [IN-USE] Too many sessions of this user\r\n"
        "-ERR Lines end with CR LF, and hold neither alone\r\n+OK Bye\r\n"},
};

static void play(size_t i, size_t cut, size_t piece)
{
    struct slice send = slice_str(dialogues[i].send);
    struct fake_session *f = fake_open();

    if (cut < send.len)
        fake_send(f, slice_take(&send, cut));
    while (piece && send.len > piece)
        fake_send(f, slice_take(&send, piece));
    fake_send(f, send);
    check(fake_output(f), dialogues[i].want, dialogues[i].send);
    end(f);
}

static void dialogues_at_every_split(void **state)
{
    for (size_t i = 0; i < sizeof dialogues / sizeof *dialogues; i++)
        for (size_t cut = 0; cut <= strlen(dialogues[i].send); cut++)
            for (unsigned how = 0; how < 8; how++) {
                set_up(state);
                if (how & 4)
                    set_up_older();
                fake.async = how & 1;
                fake.piece_bytes = how & 2 ? 1 + cut % 7 : 0;
                play(i, cut, (how & 3) == 3 ? 1 + cut % 5 : 0);
            }
}

static void clients_die_after_every_step(void **state)
{
    for (size_t i = 0; i < 4; i++)
        for (unsigned steps = 0; steps < 80; steps++)
            for (unsigned how = 0; how < 2; how++) {
                struct fake_session *f;
                size_t len = strlen(dialogues[i].send);

                set_up(state);
                fake.async = how;
                fake.piece_bytes = 5;
                f = fake_open();
                f->input = malloc(len + 1);
                memcpy(f->input, dialogues[i].send, len + 1);
                f->input_len = len;
                f->woken = true;
                for (unsigned n = 0; n < steps && fake_step(); n++)
                    ;
                end(f);
                f = login(); /* nobody holds the lock */
                talk(f, "NOOP\r\n", "+OK\r\n");
                end(f);
            }
}

/* Whatever request fails: an answer, or the end, and nothing is held. */
static void every_request_fails_once(void **state)
{
    static const char all[] =
        LOGIN "STAT\r\nRETR 1\r\nRETR 2\r\nTOP 3 1\r\nDELE 1\r\nDELE 3\r\nQUIT\r\n";

    for (unsigned n = 1; n < 30; n++)
        for (unsigned async = 0; async < 2; async++) {
            struct fake_session *f;
            struct slice got;

            set_up(state);
            fake.async = async;
            f = fake_open();
            fake.fail_at = n;
            fake.fail_with = STATUS_IO;
            fake_send(f, slice_str(all));
            got = fake_output(f);
            assert_true(slice_starts_nocase(got, S("+OK ringmail ready\r\n")));
            if (got.len > 7 && !f->aborted)
                assert_memory_equal(got.at + got.len - 2, "\r\n", 2);
            end(f);
        }
}

/* STAT asks the store about the one that has no end only; of an older store about all. */
static void sizes_ask_for_what_is_unknown(void **state)
{
    for (unsigned older = 0; older < 2; older++) {
        struct fake_session *f;

        set_up(state);
        if (older)
            set_up_older();
        fake.async = true;
        f = login();
        fake.requests = 0;
        talk(f, "LIST 1\r\n", "+OK 1 24\r\n");
        assert_int_equal(fake.requests, older);
        talk(f, "STAT\r\nLIST\r\n",
            "+OK 3 74\r\n+OK List follows\r\n1 24\r\n2 27\r\n3 23\r\n.\r\n");
        assert_int_equal(fake.requests, older ? 3 : 1);
        end(f);
    }
}

/* Without summaries the bodies tell. */
static void sizes_without_summaries(void **state)
{
    for (unsigned n = 1; n <= 3; n++) {
        struct fake_session *f;

        (void)state;
        set_up_older();
        fake.async = true;
        f = login();
        fake.requests = 0;
        fake.fail_at = n;
        fake.fail_with = STATUS_CORRUPT;
        talk(f, "STAT\r\n", "+OK 3 74\r\n");
        end(f);
    }
}

/* The summary of a large one says whether it has dots to stuff; without it they are
 * looked for. */
static void large_messages_are_sent_as_they_are(void **state)
{
    enum { LINES = 5000, LINE = 20 };
    static char text[LINES * LINE + 1], stuffed[LINES * (LINE + 1) + 1];

    for (unsigned how = 0; how < 16; how++) {
        struct fake_session *f;
        struct slice got;
        size_t len = 0;

        set_up(state);
        for (size_t i = 0; i < LINES; i++) {
            bool dot = how & 1 && i % 700 == 699;

            snprintf(text + i * LINE, LINE + 1, "%c%017zu\r\n", dot ? '.' : 'x', i);
            len += (size_t)snprintf(stuffed + len, LINE + 2, "%s%c%017zu\r\n",
                dot ? "." : "", dot ? '.' : 'x', i);
        }
        fake_message("INBOX", slice_of(text, LINES * LINE), 0, 0);
        fake.async = how & 2;
        fake.piece_bytes = how & 4 ? 4097 : 0;
        f = login();
        fake.requests = 0;
        fake.fail_at = how & 8 ? 1 : 0;
        fake.fail_with = STATUS_IO;
        fake_send(f, S("RETR 4\r\n"));
        got = fake_output(f);
        assert_int_equal(got.len, len + strlen("+OK Message follows\r\n.\r\n"));
        assert_memory_equal(got.at + strlen("+OK Message follows\r\n"), stuffed, len);
        end(f);
    }
}

static void a_failed_update_deletes_nothing(void **state)
{
    struct fake_session *f = login();

    (void)state;
    talk(f, "DELE 1\r\nDELE 3\r\n",
        "+OK Marked for deletion\r\n+OK Marked for deletion\r\n");
    fake.fail_at = fake.requests + 1;
    fake.fail_with = STATUS_NO_SPACE;
    talk(f, "QUIT\r\n", "-ERR [SYS/TEMP] The deletions could not be stored\r\n");
    assert_true(f->freed);
    f = login();
    talk(f, "STAT\r\n", "+OK 3 74\r\n");
    end(f);
}

static void deletions_come_with_quit_only(void **state)
{
    struct fake_session *f = login();

    (void)state;
    talk(f, "DELE 1\r\n", "+OK Marked for deletion\r\n");
    fake_eof(f);
    assert_true(f->freed);
    f = login();
    talk(f, "DELE 1\r\n", "+OK Marked for deletion\r\n");
    fake_timeout(f);
    check(fake_output(f), "", "RFC 1939, 3: not a word");
    assert_true(f->freed);
    f = login();
    talk(f, "STAT\r\nDELE 1\r\nDELE 3\r\nQUIT\r\n",
        "+OK 3 74\r\n+OK Marked for deletion\r\n+OK Marked for deletion\r\n+OK Bye\r\n");
    f = login();
    talk(f, "UIDL\r\n", "+OK List follows\r\n1 101.2\r\n.\r\n");
    end(f);
}

static void one_session_at_a_time(void **state)
{
    struct fake_session *f = login(), *other = fake_open();

    (void)state;
    talk(other, LOGIN,
        "+OK Now the password\r\n-ERR [IN-USE] Another POP3 session holds this "
        "mailbox\r\n");
    talk(other, "STAT\r\n", "-ERR Not in this state\r\n");
    talk(f, "QUIT\r\n", "+OK Bye\r\n");
    talk(other, LOGIN, "+OK Now the password\r\n+OK Maildrop is ready, 3 messages\r\n");
    fake_die(other);
    fake_pump();
    assert_int_equal(fake.open, 0);
}

static void what_others_do_meanwhile(void **state)
{
    struct fake_session *f = login();

    (void)state;
    fake_message("INBOX", S(PLAIN), 0, 0);
    talk(f, "STAT\r\nRETR 4\r\n", "+OK 3 74\r\n-ERR No such message\r\n");
    end(f);
    f = login();
    talk(f, "STAT\r\n", "+OK 4 98\r\n");
    fake_kick(f);
    check(fake_output(f), "-ERR [AUTH] Your account has changed\r\n", "kicked");
    assert_true(f->freed);
    f = login();
    fake_stop(f);
    check(fake_output(f), "-ERR [SYS/TEMP] Shutting down\r\n", "stop");
    assert_true(f->freed);
}

static void a_client_that_does_not_read(void **state)
{
    struct fake_session *f;
    size_t unsent, len = 1000 * strlen("RETR 2\r\n");
    char *commands = malloc(len + 1);

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        memcpy(commands + i * 8, "RETR 2\r\n", 8);
    f = login();
    f->high_water = 500;
    f->input = realloc(f->input, len);
    memcpy(f->input, commands, len);
    f->input_len = len;
    f->woken = true;
    while (fake_step())
        ;
    unsent = f->unsent;
    assert_true(unsent > 500 && unsent < 700);
    fake_pump();
    assert_int_equal(f->input_len, 0);
    assert_int_equal(fake_output(f).len,
        1000 *
            strlen(
                "+OK Message follows\r\nSubject: b\r\n\r\n..\r\n...x\r\nend\r\n.\r\n"));
    end(f);
    free(commands);
}

static void too_many_errors(void **state)
{
    struct fake_session *f = login();

    (void)state;
    for (unsigned i = 0; i < 9; i++)
        talk(f, "XBAD\r\n", "-ERR Unknown command\r\n");
    talk(f, "RETR 99\r\nNOOP\r\n", "-ERR No such message\r\n+OK\r\n");
    talk(f, "XBAD\r\nNOOP\r\n", "-ERR Too many errors, closing\r\n");
    assert_true(f->freed);
    f = fake_open();
    for (unsigned i = 0; i < 4; i++)
        talk(f, "USER ann@x.test\r\nPASS bad\r\n",
            "+OK Now the password\r\n-ERR [AUTH] Authentication failed\r\n");
    talk(f, "USER ann@x.test\r\nPASS bad\r\n",
        "+OK Now the password\r\n-ERR [AUTH] Too many failed logins, closing\r\n");
    assert_true(f->freed);
}

static void no_login_in_clear(void **state)
{
    struct fake_session *f;

    (void)state;
    fake.tls = true;
    fake.clear_login = false;
    f = fake_open();
    talk(f, "USER a\r\nAUTH PLAIN AGFubkB4LnRlc3QAc2VjcmV0\r\nPASS secret\r\n",
        "-ERR [AUTH] Use TLS before logging in\r\n"
        "-ERR [AUTH] Use TLS before logging in\r\n-ERR Not in this state\r\n");
    talk(f, "STLS\r\nUSER injected\r\n", "+OK Begin TLS\r\n");
    talk(f, "PASS secret\r\nSTLS\r\n" LOGIN,
        "-ERR Not in this state\r\n-ERR TLS is not offered or already in use\r\n"
        "+OK Now the password\r\n+OK Maildrop is ready, 3 messages\r\n");
    end(f);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dialogues_at_every_split),
        TEST(clients_die_after_every_step),
        TEST(every_request_fails_once),
        TEST(sizes_ask_for_what_is_unknown),
        TEST(sizes_without_summaries),
        TEST(large_messages_are_sent_as_they_are),
        TEST(a_failed_update_deletes_nothing),
        TEST(deletions_come_with_quit_only),
        TEST(one_session_at_a_time),
        TEST(what_others_do_meanwhile),
        TEST(a_client_that_does_not_read),
        TEST(too_many_errors),
        TEST(no_login_in_clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
