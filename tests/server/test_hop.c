/* The client's side of SMTP and LMTP with a hop that plays a script. */
#include <stdlib.h>

#include "tests/server/hop_peer.h"

#define SCRIPT(...) ((const char *const[]){__VA_ARGS__, NULL})
#define CLOSED_PORT ((const char *const[]){NULL})

static const struct peer_ways plain;

static const char small[] = "Subject: dots\r\n\r\n.\r\n..two\r\na.b\r\n.end\r\n";

/* --- sessions ------------------------------------------------------------- */

static const struct peer_case sessions[] = {
    {"the plainest",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", "> 502 what?",
            "< HELO client.test", "> 250 hi", "< MAIL FROM:<a@from.test>", "> 250 ok",
            "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go", "text",
            "> 250 2.6.0 queued as 1", "< QUIT", "> 221 bye", "eof")},
        .result = "250 2.6.0;221 2.0.0"},
    {"pipelining",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 PIPELINING", "< MAIL FROM:<a@from.test>",
            "< RCPT TO:<to@mx.test>", "< DATA", "> 250 ok\r\n250 ok\r\n354 go", "text",
            "> 250 ok", "< QUIT", "> 221 2.0.0 bye", "eof")},
        .result = "250 2.0.0;221 2.0.0"},
    {"chunks",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250-CHUNKING\r\n250 PIPELINING",
            "< MAIL FROM:<a@from.test>", "< RCPT TO:<to@mx.test>", "> 250 ok\r\n250 ok",
            "chunk", "> 250 ok", "< QUIT", "> 221 bye", "eof")},
        .result = "250 2.0.0;221 2.0.0"},
    {"chunks one by one",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 CHUNKING", "< MAIL FROM:<a@from.test>", "> 250 ok",
            "< RCPT TO:<to@mx.test>", "> 250 ok", "chunk", "> 250 ok", "< QUIT",
            "> 221 bye", "eof")},
        .result = "250 2.0.0;221 2.0.0"},
    {"three messages", .messages = 3,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 PIPELINING", "< MAIL FROM:<a@from.test>",
            "< RCPT TO:<to@mx.test>", "< DATA", "> 250 ok\r\n250 ok\r\n354 go", "text",
            "> 250 ok", "< MAIL FROM:<a@from.test>", "< RCPT TO:<to@mx.test>", "< DATA",
            "> 250 ok\r\n550 5.1.1 no\r\n503 5.5.1 no", "< RSET",
            "< MAIL FROM:<a@from.test>", "< RCPT TO:<to@mx.test>", "< DATA",
            "> 250 ok\r\n250 ok\r\n250 ok\r\n354 go", "text", "> 451 later", "< QUIT",
            "> 221 bye", "eof")},
        .result = "250 2.0.0;550 5.1.1;451 4.0.0;221 2.0.0"},
    {"the hop takes so many messages", .messages = 3,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 LIMITS MAILMAX=2", "< MAIL FROM:<a@from.test>",
            "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go",
            "text", "> 250 ok", "< MAIL FROM:<a@from.test>", "> 250 ok",
            "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go", "text",
            "> 250 ok", "< QUIT", "> 221 bye", "eof")},
        .result = "250 2.0.0;250 2.0.0;221 2.0.0"},
    /* Who says 421 to the second message is not asked about it again, elsewhere it may
     * go out at once. */
    {"an end between messages", .messages = 2,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", "> 250 mx.test",
            "< MAIL FROM:<a@from.test>", "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok",
            "< DATA", "> 354 go", "text", "> 250 ok", "< MAIL FROM:<a@from.test>",
            "> 421 4.7.0 enough")},
        .result = "250 2.0.0;0 4.3.2 ours;0 4.3.2 ours"},
    {"a lost idle session", .messages = 2,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", "> 250 mx.test",
            "< MAIL FROM:<a@from.test>", "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok",
            "< DATA", "> 354 go", "text", "> 250 ok", "<* MAIL", "reset")},
        .result = "250 2.0.0;0 4.4.2 ours;0 4.4.2 ours"},
};

static void play_all(const struct peer_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        peer_check(&cases[i], &plain);
}

#define PLAY(cases) play_all(cases, sizeof(cases) / sizeof *(cases))

static void sessions_of_all_kinds(void **state)
{
    (void)state;
    PLAY(sessions);
}

static void replies_at_every_cut(void **state)
{
    struct peer_ways ways = {.octets = true};

    (void)state;
    for (size_t i = 0; i < sizeof sessions / sizeof *sessions; i++)
        peer_check(&sessions[i], &ways);
    ways.octets = false;
    for (ways.cut = 1; ways.cut < 32; ways.cut++)
        peer_check(&sessions[4], &ways);
}

/* --- hosts ---------------------------------------------------------------- */

#define MAIL_TO_MX                                                                 \
    "< MAIL FROM:<a@from.test>", "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok", \
        "< DATA", "> 354 go", "text", "> 250 ok", "< QUIT", "> 221 bye", "eof"
#define GOOD_HOST \
    SCRIPT("> 220 mx.test", "< EHLO client.test", "> 250 mx.test", MAIL_TO_MX)

static const struct peer_case hosts[] = {
    {"the second address", .hosts = {CLOSED_PORT, GOOD_HOST},
        .result = "250 2.0.0;221 2.0.0"},
    {"421, then 554, then good",
        .hosts = {SCRIPT("> 421 4.3.2 busy"),
            SCRIPT("> 554 5.3.2 no mail here", "< QUIT"), GOOD_HOST},
        .result = "250 2.0.0;221 2.0.0"},
    {"450, then one that closes, then good",
        .hosts = {SCRIPT("> 450 not now", "< QUIT"), SCRIPT("reset"), GOOD_HOST},
        .result = "250 2.0.0;221 2.0.0"},
    {"EHLO and HELO refused, then good",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", "> 550 bad name",
                      "< HELO client.test", "> 550 5.7.1 bad name", "< QUIT"),
            GOOD_HOST},
        .result = "250 2.0.0;221 2.0.0"},
    {"EHLO put off, then good",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", "> 451 later", "< QUIT"),
            GOOD_HOST},
        .result = "250 2.0.0;221 2.0.0"},
    {"all say never",
        .hosts = {SCRIPT("> 554 5.3.2 no mail here", "< QUIT"),
            SCRIPT("> 521 5.3.2 nor here", "< QUIT")},
        .result = "521 5.3.2"},
    {"never, but who knows",
        .hosts = {CLOSED_PORT, SCRIPT("> 554 5.3.2 no mail here", "< QUIT")},
        .result = "0 4.4.1 ours"},
    {"later, and never",
        .hosts = {SCRIPT("> 421 4.3.2 busy"), SCRIPT("> 554 no mail here", "< QUIT")},
        .result = "421 4.3.2"},
    {"no host", .hosts = {CLOSED_PORT, CLOSED_PORT}, .result = "0 4.4.1 ours"},
    {"a greeting that makes no sense", .hosts = {SCRIPT("> 354 go", "< QUIT")},
        .result = "0 4.5.0 ours"},
};

static void hosts_in_order(void **state)
{
    (void)state;
    PLAY(hosts);
}

/* --- what is no SMTP ------------------------------------------------------ */

static const struct peer_case nonsense[] = {
    {"another protocol", .hosts = {SCRIPT("> HTTP/1.1 400 Bad Request")},
        .result = "0 4.5.0 ours"},
    {"a second greeting", .hosts = {SCRIPT("> 220 a\r\n220 b", "eof")},
        .result = "0 4.5.0 ours"},
    {"answers that come too early",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250 mx.test\r\n250 sender\r\n250 rcpt\r\n354 go", "eof")},
        .result = "0 4.5.0 ours"},
    {"an answer too many", .messages = 2,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", "> 250 mx.test",
            "< MAIL FROM:<a@from.test>", "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok",
            "< DATA", "> 354 go", "text", "> 250 ok\r\n250 ok", "eof")},
        .result = "250 2.0.0;0 4.5.0 ours;0 4.5.0 ours"},
    {"an answer too many to RCPT",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", "> 250 mx.test",
            "< MAIL FROM:<a@from.test>", "> 250 ok", "< RCPT TO:<to@mx.test>",
            "> 250 ok\r\n250 ok", "eof")},
        .result = "0 4.5.0 ours;0 4.5.0 ours"},
    {"DATA answered with 250",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", "> 250 mx.test",
            "< MAIL FROM:<a@from.test>", "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok",
            "< DATA", "> 250 ok")},
        .result = "0 4.5.0 ours;0 4.5.0 ours"},
    {"the text answered with 354",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", "> 250 mx.test",
            "< MAIL FROM:<a@from.test>", "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok",
            "< DATA", "> 354 go", "text", "> 354 more")},
        .result = "unsure 0 4.5.0 ours;0 4.5.0 ours"},
    {"control octets",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", "> 250 mx.test",
            "< MAIL FROM:<a@from.test>",
            "> 550-5.7.1 \x1b[2Jone\a\r\n550 5.7.1 \xc3\xa4 <CR>\r and <LF>\n250 fine",
            "< QUIT", "> 221 bye", "eof")},
        .result = "550 5.7.1;221 2.0.0"},
};

static char many_lines[20000 * 8 + 64], long_line[70000], wide_line[700];

#define FOUR_LINES "\r\n250-a\r\n250-b\r\n250-c\r\n250-d"

static const struct peer_case floods[] = {
    {"20,000 lines", .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", many_lines)},
        .result = "0 4.5.0 ours"},
    {"a line without end",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", long_line)},
        .result = "0 4.5.0 ours"},
    {"more lines than --max-hop-lines",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx" FOUR_LINES FOUR_LINES FOUR_LINES FOUR_LINES "\r\n250 e")},
        .result = "0 4.5.0 ours"},
    {"a line longer than --max-hop-line",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test", wide_line)},
        .result = "0 4.5.0 ours"},
};

static void nonsense_ends_the_session(void **state)
{
    (void)state;
    PLAY(nonsense);
    assert_string_equal(peer_text, "?[2Jone? / ? <CR>? and <LF>?250 fine");
    memcpy(many_lines, "> ", 2);
    for (size_t i = 0; i < 8000; i++)
        memcpy(many_lines + 2 + i * 8, "250-abc\n", 8);
    for (size_t i = 0; i < 8000; i++)
        many_lines[2 + i * 8 + 6] = '\r';
    memset(long_line, 'x', sizeof long_line - 5000);
    memcpy(long_line, "> 250-", 6);
    snprintf(wide_line, sizeof wide_line, "> 250 %0600d", 0);
    peer_config()->max_hop_lines = 16;
    peer_config()->max_hop_line = 512;
    PLAY(floods);
    peer_config()->max_hop_lines = 128;
    peer_config()->max_hop_line = 4096;
}

/* --- TLS ------------------------------------------------------------------ */

#define HELLO_TLS   "< EHLO client.test", "> 250-mx.test\r\n250 STARTTLS"
#define BEGIN_TLS   "> 220 mx.test", HELLO_TLS, "< STARTTLS", "> 220 go", "tls"
#define PLAIN_HELLO "< EHLO client.test", "> 250 mx.test"
#define REST_TO_MX                                                                  \
    "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go", "text", \
        "> 250 ok", "< QUIT", "> 221 bye", "eof"

static const struct envelope required_report = {.require_tls = true, .notice = true};

static const struct peer_case tls[] = {
    {"none", .conf.tls = HOP_TLS_NONE,
        .hosts = {SCRIPT("> 220 mx.test", HELLO_TLS, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"may, offered", .conf.tls = HOP_TLS_MAY,
        .hosts = {SCRIPT(BEGIN_TLS, PLAIN_HELLO, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"may, not offered", .conf.tls = HOP_TLS_MAY,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"may, refused", .conf.tls = HOP_TLS_MAY,
        .hosts = {SCRIPT(
            "> 220 mx.test", HELLO_TLS, "< STARTTLS", "> 454 not now", MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"may, handshake fails", .conf.tls = HOP_TLS_MAY,
        .hosts = {SCRIPT("> 220 mx.test", HELLO_TLS, "< STARTTLS", "> 220 go", "some",
                      "> this is not TLS at all"),
            SCRIPT("same", "> 220 mx.test", HELLO_TLS, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"may, handshake is cut off, twice", .conf.tls = HOP_TLS_MAY,
        .hosts = {SCRIPT("> 220 mx.test", HELLO_TLS, "< STARTTLS", "> 220 go", "reset"),
            SCRIPT("same", "> 450 not you again", "< QUIT"),
            SCRIPT(BEGIN_TLS, PLAIN_HELLO, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"encrypt, offered", .conf.tls = HOP_TLS_ENCRYPT,
        .hosts = {SCRIPT(BEGIN_TLS, PLAIN_HELLO, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    /* Matrix T12. */
    {"encrypt, not offered", .conf.tls = HOP_TLS_ENCRYPT,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< QUIT", "> 221 bye", "eof")},
        .result = "0 4.7.10 ours"},
    {"encrypt, refused, then good", .conf.tls = HOP_TLS_ENCRYPT,
        .hosts = {SCRIPT("> 220 mx.test", HELLO_TLS, "< STARTTLS", "> 454 no", "< QUIT"),
            SCRIPT(BEGIN_TLS, PLAIN_HELLO, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"encrypt, handshake fails", .conf.tls = HOP_TLS_ENCRYPT,
        .hosts = {SCRIPT("> 220 mx.test", HELLO_TLS, "< STARTTLS", "> 220 go", "some",
            "> this is not TLS at all")},
        .result = "0 4.7.5 ours"},
    {"verify", .conf.tls = HOP_TLS_VERIFY,
        .hosts = {SCRIPT(BEGIN_TLS, PLAIN_HELLO, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"TLS from the first octet", .conf = {.tls = HOP_TLS_VERIFY, .implicit_tls = true},
        .hosts = {SCRIPT("tls", "> 220 mx.test", PLAIN_HELLO, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"none at all from the first octet",
        .conf = {.tls = HOP_TLS_MAY, .implicit_tls = true},
        .hosts = {SCRIPT("> 220 mx.test")}, .result = "0 4.7.5 ours"},
    /* Matrix T11. */
    {"text in front of the handshake", .conf.tls = HOP_TLS_MAY,
        .hosts = {SCRIPT(
            "> 220 mx.test", HELLO_TLS, "< STARTTLS", "> 220 go\r\n250 injected", "eof")},
        .result = "0 4.5.0 ours"},
    {"REQUIRETLS, offered", .conf = {.tls = HOP_TLS_VERIFY, .require_tls = true},
        .hosts = {SCRIPT(BEGIN_TLS, "< EHLO client.test",
            "> 250-mx.test\r\n250 REQUIRETLS", MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"REQUIRETLS, by the second", .conf = {.tls = HOP_TLS_VERIFY, .require_tls = true},
        .hosts = {SCRIPT(BEGIN_TLS, PLAIN_HELLO, "< QUIT"),
            SCRIPT(BEGIN_TLS, "< EHLO client.test", "> 250-mx.test\r\n250 REQUIRETLS",
                MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"REQUIRETLS, by nobody", .conf = {.tls = HOP_TLS_VERIFY, .require_tls = true},
        .hosts = {SCRIPT(BEGIN_TLS, PLAIN_HELLO, "< QUIT"),
            SCRIPT("> 220 mx.test", PLAIN_HELLO, "< QUIT")},
        .result = "550 5.7.10 ours"},
    {"REQUIRETLS preferred, offered", .conf = {.tls = HOP_TLS_MAY, .prefer_tls = true},
        .envelope = &required_report,
        .hosts = {SCRIPT(BEGIN_TLS, PLAIN_HELLO, "< QUIT"),
            SCRIPT(BEGIN_TLS, "< EHLO client.test", "> 250-mx.test\r\n250 REQUIRETLS",
                "< MAIL FROM:<> REQUIRETLS", REST_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"REQUIRETLS preferred, not offered",
        .conf = {.tls = HOP_TLS_MAY, .prefer_tls = true}, .envelope = &required_report,
        .hosts = {CLOSED_PORT, SCRIPT(BEGIN_TLS, PLAIN_HELLO, "< QUIT"),
            SCRIPT("same", "> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<>", REST_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"REQUIRETLS preferred, and nothing will do",
        .conf = {.tls = HOP_TLS_ENCRYPT, .prefer_tls = true},
        .envelope = &required_report,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< QUIT"),
            SCRIPT("same", "> 220 mx.test", PLAIN_HELLO, "< QUIT")},
        .result = "0 4.7.10 ours"},
};

static const struct peer_case other_names[] = {
    {"verify, another name", .conf.tls = HOP_TLS_VERIFY,
        .hosts = {SCRIPT("> 220 mx.test", HELLO_TLS, "< STARTTLS", "> 220 go", "tls")},
        .result = "0 4.7.5 ours - no handshake: "},
    {"encrypt, another name", .conf.tls = HOP_TLS_ENCRYPT,
        .hosts = {SCRIPT(BEGIN_TLS, PLAIN_HELLO, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
};

static void levels_of_tls(void **state)
{
    struct peer_ways other = {.host = "other.test"}, address = {.host = "127.0.0.1"};

    (void)state;
    assert_int_equal(peer_resumed(), 0);
    PLAY(tls);
    assert_true(peer_resumed() > 0);
    peer_check(&tls[1], &plain);
    assert_non_null(strstr(peer_tls_text, "TLSv1.3 "));
    peer_check(&tls[0], &plain);
    assert_string_equal(peer_tls_text, "");
    peer_check(&other_names[0], &other);
    assert_non_null(strcasestr(peer_why, "hostname"));
    peer_check(&other_names[1], &other);
    peer_check(&tls[10], &address);
}

/* --- AUTH ----------------------------------------------------------------- */

#define LOGIN .user = SI("anna@relay.test"), .password = SI("secret")
#define NOBODY_MAIL                                                                  \
    "< MAIL FROM:<a@from.test> AUTH=<>", "> 250 ok", "< RCPT TO:<to@mx.test>",       \
        "> 250 ok", "< DATA", "> 354 go", "text", "> 250 ok", "< QUIT", "> 221 bye", \
        "eof"

static const struct peer_case logins[] = {
    {"PLAIN", .conf = {LOGIN},
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 AUTH GSSAPI LOGIN PLAIN",
            "< AUTH PLAIN AGFubmFAcmVsYXkudGVzdABzZWNyZXQ=", "> 235 2.7.0 hello anna",
            NOBODY_MAIL)},
        .result = "250 2.0.0;221 2.0.0"},
    {"LOGIN, within TLS", .conf = {.tls = HOP_TLS_ENCRYPT, LOGIN},
        .hosts = {SCRIPT(BEGIN_TLS, "< EHLO client.test",
            "> 250-mx.test\r\n250 AUTH=LOGIN", "< AUTH LOGIN", "> 334 VXNlcm5hbWU6",
            "< YW5uYUByZWxheS50ZXN0", "> 334 UGFzc3dvcmQ6", "< c2VjcmV0", "> 235 hello",
            NOBODY_MAIL)},
        .result = "250 2.0.0;221 2.0.0"},
    {"refused", .conf = {LOGIN},
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 AUTH PLAIN", "<* AUTH PLAIN", "> 535 5.7.8 wrong",
            "< QUIT")},
        .result = "0 4.7.8 ours"},
    {"not offered", .conf = {LOGIN},
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< QUIT")},
        .result = "0 4.7.8 ours"},
    {"other mechanisms", .conf = {LOGIN},
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 AUTH CRAM-MD5", "< QUIT")},
        .result = "0 4.7.8 ours"},
    {"a question too many", .conf = {LOGIN},
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 AUTH LOGIN", "< AUTH LOGIN", "> 334 ", "<* ", "> 334 ",
            "< c2VjcmV0", "> 334 ", "< QUIT")},
        .result = "0 4.7.8 ours"},
};

static void logins_of_all_kinds(void **state)
{
    (void)state;
    PLAY(logins);
    peer_check(&logins[2], &plain);
    assert_string_equal(peer_why, "the login was refused: 535 wrong");
}

/* --- parameters ----------------------------------------------------------- */

static const struct envelope_rcpt asks[] = {
    {.address = SI("to@mx.test"),
        .orcpt = SI("rfc822;To+40mx.test"),
        .notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY},
    {.address = SI("b@mx.test"), .notify = SMTP_NOTIFY_NEVER},
};
static const struct envelope asking = {.sender = SI("a@from.test"),
    .envid = SI("id+2B1"),
    .auth = SI("anna@from.test"),
    .user = SI("anna@from.test"),
    .ret = SMTP_RET_HDRS,
    .priority = -3,
    .by_s = 1000,
    .by_notify = true,
    .by_trace = true,
    .rcpts = asks,
    .rcpt_count = 2};
static const struct envelope in_time = {
    .sender = SI("a@from.test"), .by_s = 100, .by_notify = false};
static const struct envelope too_late = {
    .sender = SI("a@from.test"), .by_s = -100, .by_notify = false};
static const struct envelope required = {
    .sender = SI("a@from.test"), .require_tls = true};
static const struct envelope eight = {.sender = SI("a@from.test"), .text_8bit = true};
static const struct envelope binary = {
    .sender = SI("a@from.test"), .body = SMTP_BODY_BINARYMIME};
static const struct envelope report = {.notice = true};

static const struct peer_case parameters[] = {
    {"all that is asked for", .envelope = &asking,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250-SIZE 10000\r\n250-DSN\r\n250-AUTH PLAIN\r\n"
            "250-MT-PRIORITY\r\n250-8BITMIME\r\n250-REQUIRETLS\r\n250 DELIVERBY 2000",
            "<* MAIL FROM:<a@from.test> SIZE=38 RET=HDRS ENVID=id+2B1 MT-PRIORITY=-3 "
            "BY=",
            "> 250 ok",
            "< RCPT TO:<to@mx.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;To+40mx.test",
            "> 250 ok", "< RCPT TO:<b@mx.test> NOTIFY=NEVER", "> 250 ok", "< DATA",
            "> 354 go", "text", "> 250 ok", "< QUIT", "> 221 bye", "eof")},
        .result = "250 2.0.0,250 2.0.0;221 2.0.0"},
    {"nothing is offered", .envelope = &asking,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<a@from.test>",
            "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok", "< RCPT TO:<b@mx.test>",
            "> 250 ok", "< DATA", "> 354 go", "text", "> 250 ok", "< QUIT", "> 221 bye",
            "eof")},
        .result = "250 2.0.0,250 2.0.0;221 2.0.0"},
    {"a deadline that is not told", .envelope = &asking,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 DSN", "<* MAIL", "> 250 ok",
            "<* RCPT TO:<to@mx.test> NOTIFY=SUCCESS,DELAY ", "> 250 ok",
            "< RCPT TO:<b@mx.test> NOTIFY=NEVER", "> 250 ok", "< DATA", "> 354 go",
            "text", "> 250 ok", "< QUIT", "> 221 bye", "eof")},
        .result = "250 2.0.0,250 2.0.0;221 2.0.0"},
    {"in time", .envelope = &in_time,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 DELIVERBY 50",
            "<* MAIL FROM:<a@from.test> BY=", REST_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"not in that time", .envelope = &in_time,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 DELIVERBY 500", "< QUIT", "> 221 bye", "eof")},
        .result = "554 5.4.7 ours;221 2.0.0"},
    {"not in any time", .envelope = &in_time,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< QUIT", "> 221 bye", "eof")},
        .result = "554 5.3.3 ours;221 2.0.0"},
    {"too late", .envelope = &too_late,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 DELIVERBY", "< QUIT", "> 221 bye", "eof")},
        .result = "554 5.4.7 ours;221 2.0.0"},
    {"too large",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 SIZE 37", "< QUIT", "> 221 bye", "eof")},
        .result = "552 5.3.4 ours;221 2.0.0"},
    {"any size",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 SIZE 0", "< MAIL FROM:<a@from.test> SIZE=38",
            REST_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"no TLS where it is required", .envelope = &required,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 REQUIRETLS", "< QUIT", "> 221 bye", "eof")},
        .result = "550 5.7.10 ours;221 2.0.0"},
    {"no REQUIRETLS where it is required", .envelope = &required,
        .conf.tls = HOP_TLS_VERIFY,
        .hosts = {SCRIPT(BEGIN_TLS, PLAIN_HELLO, "< QUIT", "> 221 bye", "eof")},
        .result = "550 5.7.30 ours;221 2.0.0"},
    {"REQUIRETLS", .envelope = &required, .conf.tls = HOP_TLS_VERIFY,
        .hosts = {SCRIPT(BEGIN_TLS, "< EHLO client.test",
            "> 250-mx.test\r\n250 REQUIRETLS", "< MAIL FROM:<a@from.test> REQUIRETLS",
            REST_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"8 bits", .envelope = &eight,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 8BITMIME", "< MAIL FROM:<a@from.test> BODY=8BITMIME",
            REST_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"binary", .envelope = &binary,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250-BINARYMIME\r\n250 CHUNKING",
            "< MAIL FROM:<a@from.test> BODY=BINARYMIME", "> 250 ok",
            "< RCPT TO:<to@mx.test>", "> 250 ok", "chunk", "> 250 ok", "< QUIT",
            "> 221 bye", "eof")},
        .result = "250 2.0.0;221 2.0.0"},
    {"from nobody", .envelope = &report,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<>", REST_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
};

static void parameters_where_offered(void **state)
{
    (void)state;
    PLAY(parameters);
    peer_check(&parameters[0], &plain);
    assert_true(peer_dsn_relayed && peer_by_relayed);
    peer_check(&parameters[1], &plain);
    assert_false(peer_dsn_relayed || peer_by_relayed);
}

/* --- SMTPUTF8 ------------------------------------------------------------- */

static const struct envelope_rcpt names[] = {
    {.address = SI("to@b\xc3\xbc\x63her.test"), .orcpt = SI("utf-8;to@b\xc3\xbc.test")},
    {.address = SI("t\xc3\xb6@mx.test")},
    {.address = SI("to@mx.test")},
};
static const struct envelope wide = {
    .sender = SI("a@f\xc3\xa4r.test"), .utf8 = true, .rcpts = names, .rcpt_count = 3};
static const struct envelope wide_header = {
    .sender = SI("a@from.test"), .utf8 = true, .utf8_header = true};
static const struct envelope wide_sender = {
    .sender = SI("\xc3\xa4@from.test"), .utf8 = true};
static const struct envelope_rcpt no_address[] = {
    {.address = SI("x>\r\nRCPT TO:<y@mx.test")}, {.address = SI("to@mx.test")}};
static const struct envelope with_no_address = {
    .sender = SI("a@from.test"), .rcpts = no_address, .rcpt_count = 2};

static const struct peer_case utf8[] = {
    {"offered", .envelope = &wide,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8",
            "< MAIL FROM:<a@f\xc3\xa4r.test> SMTPUTF8", "> 250 ok",
            "< RCPT TO:<to@b\xc3\xbc\x63her.test> ORCPT=utf-8;to@b\xc3\xbc.test",
            "> 250 ok", "< RCPT TO:<t\xc3\xb6@mx.test>", "> 250 ok",
            "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go", "text",
            "> 250 ok", "< QUIT", "> 221 bye", "eof")},
        .result = "250 2.0.0,250 2.0.0,250 2.0.0;221 2.0.0"},
    {"not offered", .envelope = &wide,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 DSN", "< MAIL FROM:<a@xn--fr-via.test>", "> 250 ok",
            "< RCPT TO:<to@xn--bcher-kva.test> ORCPT=utf-8;to@b\\x{FC}.test", "> 250 ok",
            "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go", "text",
            "> 250 ok", "< QUIT", "> 221 bye", "eof")},
        .result = "250 2.0.0,553 5.6.7 ours,250 2.0.0;221 2.0.0"},
    {"header", .envelope = &wide_header,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< QUIT", "> 221 bye", "eof")},
        .result = "550 5.6.7 ours;221 2.0.0"},
    {"sender", .envelope = &wide_sender,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< QUIT", "> 221 bye", "eof")},
        .result = "550 5.6.7 ours;221 2.0.0"},
    {"no address", .envelope = &with_no_address,
        .hosts = {SCRIPT(
            "> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<a@from.test>", REST_TO_MX)},
        .result = "553 5.1.3 ours,250 2.0.0;221 2.0.0"},
};

static void addresses_beyond_ascii(void **state)
{
    (void)state;
    PLAY(utf8);
}

/* --- recipients ----------------------------------------------------------- */

static const struct envelope_rcpt several[] = {
    {.address = SI("a@mx.test")},
    {.address = SI("b@mx.test")},
    {.address = SI("c@two.test")},
    {.address = SI("d@mx.test")},
};
static const struct envelope four = {
    .sender = SI("a@from.test"), .rcpts = several, .rcpt_count = 4};

#define FOUR                                                                    \
    "< RCPT TO:<a@mx.test>", "< RCPT TO:<b@mx.test>", "< RCPT TO:<c@two.test>", \
        "< RCPT TO:<d@mx.test>"
#define PIPES "> 220 mx.test", "< EHLO client.test", "> 250-mx.test\r\n250 PIPELINING"
#define BYE   "< QUIT", "> 221 bye", "eof"

static const struct peer_case recipients[] = {
    {"some", .envelope = &four,
        .hosts = {SCRIPT(PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 250 ok\r\n250 ok\r\n550 5.1.1 no\r\n450 4.2.0 later\r\n251 2.1.5 ok\r\n"
            "354 go",
            "text", "> 250 2.6.0 ok", BYE)},
        .result = "250 2.6.0,550 5.1.1,450 4.2.0,250 2.6.0;221 2.0.0"},
    {"some, and the text is refused", .envelope = &four,
        .hosts = {SCRIPT(PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 250 ok\r\n250 ok\r\n550 5.1.1 no\r\n450 4.2.0 later\r\n250 ok\r\n354 go",
            "text", "> 554 5.6.0 no", BYE)},
        .result = "554 5.6.0,550 5.1.1,450 4.2.0,554 5.6.0;221 2.0.0"},
    {"nobody, and DATA is refused", .envelope = &four,
        .hosts = {SCRIPT(PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 250 ok\r\n550 a\r\n550 a\r\n550 a\r\n450 b\r\n503 no", BYE)},
        .result = "550 5.0.0,550 5.0.0,550 5.0.0,450 4.0.0;221 2.0.0"},
    /* RFC 2920, 3.1. */
    {"nobody, and DATA is not refused", .envelope = &four,
        .hosts = {SCRIPT(PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 250 ok\r\n550 a\r\n550 a\r\n550 a\r\n550 a\r\n354 go", "< .", "> 250 ok",
            BYE)},
        .result = "550 5.0.0,550 5.0.0,550 5.0.0,550 5.0.0;221 2.0.0"},
    {"nobody, step by step", .envelope = &four, .messages = 2,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<a@from.test>",
            "> 250 ok", "< RCPT TO:<a@mx.test>", "> 550 a", "< RCPT TO:<b@mx.test>",
            "> 550 b", "< RCPT TO:<c@two.test>", "> 550 c", "< RCPT TO:<d@mx.test>",
            "> 550 d", "< RSET", "> 250 ok", "< MAIL FROM:<a@from.test>", "> 550 go away",
            BYE)},
        .result = "550 5.0.0,550 5.0.0,550 5.0.0,550 5.0.0;"
                  "550 5.0.0,550 5.0.0,550 5.0.0,550 5.0.0;221 2.0.0"},
    {"the sender is refused", .envelope = &four,
        .hosts = {SCRIPT(PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 550 5.1.8 no\r\n503 x\r\n503 x\r\n503 x\r\n503 x\r\n503 x", BYE)},
        .result = "550 5.1.8,550 5.1.8,550 5.1.8,550 5.1.8;221 2.0.0"},
    {"the sender is refused, and then it wants the text", .envelope = &four,
        .hosts = {SCRIPT(PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 550 5.1.8 no\r\n250 x\r\n250 x\r\n250 x\r\n250 x\r\n354 x", "< .",
            "> 250 ok", BYE)},
        .result = "550 5.1.8,550 5.1.8,550 5.1.8,550 5.1.8;221 2.0.0"},
    {"too many", .envelope = &four,
        .hosts = {SCRIPT(PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 250 ok\r\n250 ok\r\n250 ok\r\n452 4.5.3 many\r\n452 many\r\n354 go",
            "text", "> 250 ok", "< MAIL FROM:<a@from.test>", "< RCPT TO:<c@two.test>",
            "< RCPT TO:<d@mx.test>", "< DATA",
            "> 250 ok\r\n250 ok\r\n452 4.2.2 full\r\n354 go", "text", "> 250 ok", BYE)},
        .result = "250 2.0.0,250 2.0.0,250 2.0.0,452 4.2.2;221 2.0.0"},
    {"the first is too many", .envelope = &four,
        .hosts = {SCRIPT(PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 250 ok\r\n452 x\r\n452 x\r\n452 x\r\n452 x\r\n503 no", BYE)},
        .result = "452 4.0.0,452 4.0.0,452 4.0.0,452 4.0.0;221 2.0.0"},
    {"three at a time", .envelope = &four,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=3",
            "< MAIL FROM:<a@from.test>", "< RCPT TO:<a@mx.test>", "< RCPT TO:<b@mx.test>",
            "< RCPT TO:<c@two.test>", "< DATA",
            "> 250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go", "text", "> 250 ok",
            "< MAIL FROM:<a@from.test>", "< RCPT TO:<d@mx.test>", "< DATA",
            "> 250 ok\r\n250 ok\r\n354 go", "text", "> 250 ok", BYE)},
        .result = "250 2.0.0,250 2.0.0,250 2.0.0,250 2.0.0;221 2.0.0"},
    {"one at a time, twice", .envelope = &four,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250-PIPELINING\r\n250 LIMITS MAILMAX=2 RCPTMAX=1",
            "< MAIL FROM:<a@from.test>", "< RCPT TO:<a@mx.test>", "< DATA",
            "> 250 ok\r\n250 ok\r\n354 go", "text", "> 250 ok",
            "< MAIL FROM:<a@from.test>", "< RCPT TO:<b@mx.test>", "< DATA",
            "> 250 ok\r\n250 ok\r\n354 go", "text", "> 250 ok", BYE)},
        .result = "250 2.0.0,250 2.0.0,452 4.5.3 ours,452 4.5.3 ours;221 2.0.0"},
    {"a domain at a time", .envelope = &four,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250-PIPELINING\r\n250 LIMITS RCPTDOMAINMAX=1",
            "< MAIL FROM:<a@from.test>", "< RCPT TO:<a@mx.test>", "< RCPT TO:<b@mx.test>",
            "< RCPT TO:<d@mx.test>", "< DATA",
            "> 250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go", "text", "> 250 ok",
            "< MAIL FROM:<a@from.test>", "< RCPT TO:<c@two.test>", "< DATA",
            "> 250 ok\r\n250 ok\r\n354 go", "text", "> 250 ok", BYE)},
        .result = "250 2.0.0,250 2.0.0,250 2.0.0,250 2.0.0;221 2.0.0"},
    {"421 in the middle", .envelope = &four,
        .hosts = {SCRIPT(PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 250 ok\r\n250 ok\r\n550 5.1.1 no\r\n421 4.3.2 down")},
        .result = "421 4.3.2,550 5.1.1,421 4.3.2,421 4.3.2;421 4.3.2"},
    {"chunks to nobody", .envelope = &four, .messages = 2,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250-CHUNKING\r\n250 PIPELINING",
            "< MAIL FROM:<a@from.test>", FOUR,
            "> 250 ok\r\n550 a\r\n550 a\r\n550 a\r\n550 a", "< RSET",
            "< MAIL FROM:<a@from.test>", FOUR,
            "> 250 ok\r\n250 ok\r\n250 ok\r\n550 a\r\n550 a\r\n250 ok", "chunk",
            "> 452 4.3.1 full", BYE)},
        .result = "550 5.0.0,550 5.0.0,550 5.0.0,550 5.0.0;"
                  "452 4.3.1,550 5.0.0,550 5.0.0,452 4.3.1;221 2.0.0"},
};

static void recipients_one_by_one(void **state)
{
    (void)state;
    PLAY(recipients);
}

/* --- LMTP ----------------------------------------------------------------- */

#define LMTP_PIPES \
    "> 220 mx.test", "< LHLO client.test", "> 250-mx.test\r\n250 PIPELINING"

static const struct peer_case lmtp[] = {
    {"an answer for each", .conf.lmtp = true, .envelope = &four,
        .hosts = {SCRIPT(LMTP_PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n250 ok\r\n354 go", "text",
            "> 250 2.1.5 a\r\n452 4.2.2 c is full\r\n250 2.1.5 d", BYE)},
        .result = "250 2.1.5,550 5.1.1,452 4.2.2,250 2.1.5;221 2.0.0"},
    {"answers that stop", .conf.lmtp = true, .envelope = &four,
        .hosts = {SCRIPT(LMTP_PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n250 ok\r\n354 go", "text",
            "> 250 2.1.5 a")},
        .result = "unsure 250 2.1.5,550 5.1.1,0 4.4.2 ours,0 4.4.2 ours;0 4.4.2 ours"},
    {"nobody, and DATA is not refused", .conf.lmtp = true, .envelope = &four,
        .hosts = {SCRIPT(LMTP_PIPES, "< MAIL FROM:<a@from.test>", FOUR, "< DATA",
            "> 250 ok\r\n550 a\r\n550 a\r\n550 a\r\n550 a\r\n354 go", "eof")},
        .result = "550 5.0.0,550 5.0.0,550 5.0.0,550 5.0.0;0 4.5.0 ours"},
    {"chunks", .conf.lmtp = true, .envelope = &four,
        .hosts = {SCRIPT("> 220 mx.test", "< LHLO client.test",
            "> 250-mx.test\r\n250-CHUNKING\r\n250 PIPELINING",
            "< MAIL FROM:<a@from.test>", FOUR,
            "> 250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n250 ok", "chunk",
            "> 250 2.1.5 a", "> 250 2.1.5 c", "> 552 5.2.2 d", BYE)},
        .result = "250 2.1.5,550 5.1.1,250 2.1.5,552 5.2.2;221 2.0.0"},
    {"no LMTP", .conf.lmtp = true,
        .hosts = {SCRIPT("> 220 mx.test", "< LHLO client.test", "> 500 what?", "< QUIT")},
        .result = "0 4.3.5 ours"},
};

/* RFC 8689, 2: LMTP too, but nobody listens in on a local socket. */
static const struct peer_case required_local = {"REQUIRETLS, local",
    .conf = {.lmtp = true, .tls = HOP_TLS_VERIFY, .require_tls = true},
    .envelope = &required,
    .hosts = {SCRIPT("> 220 mx.test", "< LHLO client.test",
        "> 250-mx.test\r\n250 STARTTLS", MAIL_TO_MX)},
    .result = "250 2.0.0;221 2.0.0"};

static void lmtp_answers_for_each(void **state)
{
    const struct peer_ways local = {.local = true};

    (void)state;
    PLAY(lmtp);
    peer_check(&lmtp[0], &local);
    peer_check(&logins[0], &local);
    peer_check(&hosts[0], &local);
    peer_check(&required_local, &local);
}

/* --- the text ------------------------------------------------------------- */

static const struct peer_case texts[] = {
    {"DATA",
        .hosts = {SCRIPT(PIPES, "< MAIL FROM:<a@from.test>", "< RCPT TO:<to@mx.test>",
            "< DATA", "> 250 ok\r\n250 ok\r\n354 go", "text", "> 250 ok", BYE)},
        .result = "250 2.0.0;221 2.0.0"},
    {"BDAT",
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250-CHUNKING\r\n250 PIPELINING",
            "< MAIL FROM:<a@from.test>", "< RCPT TO:<to@mx.test>", "> 250 ok\r\n250 ok",
            "chunk", "> 250 ok", BYE)},
        .result = "250 2.0.0;221 2.0.0"},
    {"DATA, within TLS", .conf.tls = HOP_TLS_ENCRYPT,
        .hosts = {SCRIPT(BEGIN_TLS, PLAIN_HELLO, MAIL_TO_MX)},
        .result = "250 2.0.0;221 2.0.0"},
    {"BDAT, within TLS", .conf.tls = HOP_TLS_ENCRYPT,
        .hosts = {SCRIPT(BEGIN_TLS, "< EHLO client.test", "> 250-mx.test\r\n250 CHUNKING",
            "< MAIL FROM:<a@from.test>", "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok",
            "chunk", "> 250 ok", BYE)},
        .result = "250 2.0.0;221 2.0.0"},
};

static const struct {
    const char *name;
    struct slice unit;
    size_t times;
} shapes[] = {
    {"nothing", SI(""), 0},
    {"a dot", SI("."), 1},
    {"a dot line", SI(".\r\n"), 1},
    {"no line end", SI("Subject: x\r\n\r\nend"), 1},
    {"a CR at the end", SI("Subject: x\r\n\r\nend\r"), 1},
    {"bare line ends", SI("\r\n\n.\r.\r\n.\n.\r\n"), 3},
    {"dot lines only", SI(".\r\n"), 200000},
    {"dots at odd places", SI(".23\r\n4.6\r\n..9abc\r\n\r\n."), 100000},
    {"no line end for long", SI("0123456789.abcdef"), 400000},
    {"lines without dots", SI("0123456789abcdef0123456789abcdef01234567\r\n"), 200000},
};

static void store_shape(size_t i)
{
    size_t len = shapes[i].unit.len * shapes[i].times;
    char *text = malloc(len + 1);

    for (size_t n = 0; n < shapes[i].times; n++)
        memcpy(text + n * shapes[i].unit.len, shapes[i].unit.at, shapes[i].unit.len);
    peer_store(slice_of(text, len));
    free(text);
}

static void texts_arrive_as_they_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        store_shape(i);
        for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
            if (strcmp(peer_play(&texts[n], &plain), texts[n].result) != 0)
                fail_msg("%s, by %s: %s", shapes[i].name, texts[n].name, peer_why);
    }
}

/* --- texts that have to be changed ---------------------------------------- */

static void converts(const char *text, const struct peer_case *c)
{
    peer_store(slice_str(text));
    peer_check(c, &plain);
}

static void texts_are_converted(void **state)
{
    static const char german[] =
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9f\x65\r\n.\r\n.x\r\n";
    const struct peer_case seven = {"8 bits to 7", .envelope = &eight, .messages = 2,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 CHUNKING", "< MAIL FROM:<a@from.test>", "> 250 ok",
            "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go",
            "seven \r\n\r\nGr=C3=BC=C3=9Fe\r\n=2E\r\n=2Ex\r\n", "> 250 ok",
            "< MAIL FROM:<a@from.test>", "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok",
            "< DATA", "> 354 go", "seven quoted-printable", "> 250 ok", BYE)},
        .result = "250 2.0.0;250 2.0.0;221 2.0.0"};
    const struct peer_case as_is = {"7 bits after all", .envelope = &eight,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250 CHUNKING", "< MAIL FROM:<a@from.test>", "> 250 ok",
            "< RCPT TO:<to@mx.test>", "> 250 ok", "chunk", "> 250 ok", BYE)},
        .result = "250 2.0.0;221 2.0.0"};
    const struct peer_case from_binary = {"binary to 8 bits", .envelope = &binary,
        .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
            "> 250-mx.test\r\n250-8BITMIME\r\n250 CHUNKING",
            "< MAIL FROM:<a@from.test> BODY=8BITMIME", "> 250 ok",
            "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go",
            "seven \r\n\r\nYQpiAGM=\r\n", "> 250 ok", BYE)},
        .result = "250 2.0.0;221 2.0.0"};
    const struct peer_case header = {"a header", .envelope = &eight,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, BYE)},
        .result = "554 5.6.7 ours;221 2.0.0"};
    const struct peer_case is_signed = {"a signature", .envelope = &eight,
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, BYE)},
        .result = "554 5.6.3 ours;221 2.0.0"};

    (void)state;
    converts(german, &seven);
    converts("Subject: x\r\n\r\nplain\r\n", &as_is);
    peer_store(S("MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
                 "Content-Transfer-Encoding: binary\r\n\r\na\nb\0c"));
    peer_check(&from_binary, &plain);
    converts("Subject: \xc3\xbc\r\n\r\nplain\r\n", &header);
    converts("MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n"
             "--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n--b\r\n\r\n"
             "sig\r\n--b--\r\n",
        &is_signed);
}

/* A hop that has heard enough, in the middle of a text that fits no buffer. */
static void texts_that_are_cut_short(void **state)
{
    const struct peer_case cases[] = {
        {"refused early",
            .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<a@from.test>",
                "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go",
                "> 552 5.3.4 enough", "wait", "reset")},
            .result = "552 5.3.4;552 5.3.4"},
        {"accepted early",
            .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<a@from.test>",
                "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go",
                "> 250 ok", "wait", "reset")},
            .result = "0 4.5.0 ours;0 4.5.0 ours"},
        {"421 early",
            .hosts = {SCRIPT("> 220 mx.test", "< EHLO client.test",
                "> 250-mx.test\r\n250 CHUNKING", "< MAIL FROM:<a@from.test>", "> 250 ok",
                "< RCPT TO:<to@mx.test>", "> 250 ok", "<* BDAT", "> 421 4.3.2 down",
                "wait", "reset")},
            .result = "421 4.3.2;421 4.3.2"},
        {"cut off",
            .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<a@from.test>",
                "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go",
                "<* 0123456789abcdef", "reset")},
            .result = "0 4.4.2 ours;0 4.4.2 ours"},
    };

    (void)state;
    store_shape(9);
    PLAY(cases);
    peer_store(slice_of(small, sizeof small - 1));
}

/* --- ends ----------------------------------------------------------------- */

static const char *const whole_script[] = {"> 220 mx.test", "< EHLO client.test",
    "> 250 mx.test", "< MAIL FROM:<a@from.test>", "> 250 ok", "< RCPT TO:<to@mx.test>",
    "> 250 ok", "< DATA", "> 354 go", "text", "> 250 ok", "< QUIT", "> 221 bye", "eof",
    NULL};

/* Whatever the moment: the message has an answer, it is told whether it may be there, and
 * nothing is left behind. */
static void ends_at_every_step(void **state)
{
    const struct peer_case c = {"", .hosts = {whole_script}, .result = ""};

    (void)state;
    for (unsigned steps = 1; steps <= 13; steps++)
        for (int resets = 0; resets < 2; resets++) {
            const struct peer_ways ways = {.steps = steps, .resets = resets != 0};
            const char *result = peer_play(&c, &ways), *wanted;

            /* The last thing said may be lost with a reset: what is heard counts. */
            if (steps % 2 && resets)
                continue;
            wanted = steps < 3 ? "0 4.4.2 ours"
                : steps < 9    ? "0 4.4.2 ours;0 4.4.2 ours"
                : steps < 11   ? "unsure 0 4.4.2 ours;0 4.4.2 ours"
                : steps < 13   ? "250 2.0.0;0 4.4.2 ours"
                               : "250 2.0.0;221 2.0.0";
            if (strcmp(result, wanted) != 0)
                fail_msg("after %u steps: %s, not %s", steps, result, wanted);
        }
}

static void silence_has_an_end(void **state)
{
    const struct peer_case cases[] = {
        {"no greeting", .hosts = {SCRIPT("eof")}, .result = "0 4.4.2 ours"},
        {"no answer to MAIL",
            .hosts = {SCRIPT(
                "> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<a@from.test>", "eof")},
            .result = "0 4.4.2 ours;0 4.4.2 ours"},
        {"no answer to the text",
            .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<a@from.test>",
                "> 250 ok", "< RCPT TO:<to@mx.test>", "> 250 ok", "< DATA", "> 354 go",
                "text", "eof")},
            .result = "unsure 0 4.4.2 ours;0 4.4.2 ours"},
        {"no answer to QUIT",
            .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<a@from.test>",
                "> 550 no", "< QUIT", "eof")},
            .result = "550 5.0.0;0 4.4.2 ours"},
    };
    struct config *config = peer_config();

    (void)state;
    config->hop_timeout = config->hop_data_timeout = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        peer_check_silence(&cases[i]);
    config->hop_timeout = config->hop_data_timeout = 20;
}

static void mail_can_be_given_up(void **state)
{
    const struct peer_ways ways = {.gives_up = true};
    const struct peer_case c = {"",
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "eof")},
        .result = "0 4.4.2 ours;0 4.4.2 ours"};

    (void)state;
    peer_check(&c, &ways);
    assert_string_equal(peer_why, "given up");
}

/* The last of all. */
static void idle_sessions_end_with_the_process(void **state)
{
    const struct peer_ways ways = {.stays = true};
    const struct peer_case c = {"",
        .hosts = {SCRIPT("> 220 mx.test", PLAIN_HELLO, "< MAIL FROM:<a@from.test>",
            "> 550 no", "stop", BYE)},
        .result = "550 5.0.0;221 2.0.0"};

    (void)state;
    peer_check(&c, &ways);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_of_all_kinds),
        cmocka_unit_test(replies_at_every_cut),
        cmocka_unit_test(hosts_in_order),
        cmocka_unit_test(nonsense_ends_the_session),
        cmocka_unit_test(levels_of_tls),
        cmocka_unit_test(logins_of_all_kinds),
        cmocka_unit_test(parameters_where_offered),
        cmocka_unit_test(addresses_beyond_ascii),
        cmocka_unit_test(recipients_one_by_one),
        cmocka_unit_test(lmtp_answers_for_each),
        cmocka_unit_test(texts_arrive_as_they_are),
        cmocka_unit_test(texts_are_converted),
        cmocka_unit_test(texts_that_are_cut_short),
        cmocka_unit_test(ends_at_every_step),
        cmocka_unit_test(silence_has_an_end),
        cmocka_unit_test(mail_can_be_given_up),
        cmocka_unit_test(idle_sessions_end_with_the_process),
    };
    int failed;

    peer_begin();
    peer_store(slice_of(small, sizeof small - 1));
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    peer_end();
    return failed;
}
