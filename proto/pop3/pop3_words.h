/* pop3_words.h -- every word POP3 hears and says, in one place. */
#pragma once

/* X(name, text, states, arguments): RFC 1939; CAPA RFC 2449; STLS RFC 2595; AUTH
 * RFC 5034. The arguments say how the rest of the line is read. */
#define POP3_VERBS(X)                                             \
    X(USER, "USER", POP3_IN_START, POP3_ARGS_TEXT)                \
    X(PASS, "PASS", POP3_IN_USER, POP3_ARGS_TEXT)                 \
    X(AUTH, "AUTH", POP3_IN_START | POP3_IN_USER, POP3_ARGS_AUTH) \
    X(STLS, "STLS", POP3_IN_START | POP3_IN_USER, POP3_ARGS_NONE) \
    X(CAPA, "CAPA", POP3_IN_ANY, POP3_ARGS_NONE)                  \
    X(QUIT, "QUIT", POP3_IN_ANY, POP3_ARGS_NONE)                  \
    X(NOOP, "NOOP", POP3_IN_MAIL, POP3_ARGS_NONE)                 \
    X(STAT, "STAT", POP3_IN_MAIL, POP3_ARGS_NONE)                 \
    X(LIST, "LIST", POP3_IN_MAIL, POP3_ARGS_OPTIONAL)             \
    X(UIDL, "UIDL", POP3_IN_MAIL, POP3_ARGS_OPTIONAL)             \
    X(RETR, "RETR", POP3_IN_MAIL, POP3_ARGS_NUMBER)               \
    X(TOP, "TOP", POP3_IN_MAIL, POP3_ARGS_TOP)                    \
    X(DELE, "DELE", POP3_IN_MAIL, POP3_ARGS_NUMBER)               \
    X(RSET, "RSET", POP3_IN_MAIL, POP3_ARGS_NONE)

/* X(name, wire text). Response codes: RFC 2449, 8 ([IN-USE], [LOGIN-DELAY]) and
 * RFC 3206 ([SYS/TEMP], [SYS/PERM], [AUTH]). */
#define POP3_REPLIES(X)                                                      \
    X(OK, "+OK\r\n")                                                         \
    X(GREETING, "+OK ringmail ready\r\n")                                    \
    X(NAME_OK, "+OK Now the password\r\n")                                   \
    X(TLS_OK, "+OK Begin TLS\r\n")                                           \
    X(DELETED, "+OK Marked for deletion\r\n")                                \
    X(TEXT_FOLLOWS, "+OK Message follows\r\n")                               \
    X(LIST_FOLLOWS, "+OK List follows\r\n")                                  \
    X(BYE, "+OK Bye\r\n")                                                    \
    X(LINE_LONG, "-ERR Line too long\r\n")                                   \
    X(LINE_FLOOD, "-ERR Line far too long, closing\r\n")                     \
    X(LINE_BARE, "-ERR Lines end with CR LF, and hold neither alone\r\n")    \
    X(LINE_NUL, "-ERR NUL in a command\r\n")                                 \
    X(BAD_VERB, "-ERR Unknown command\r\n")                                  \
    X(BAD_ARGS, "-ERR Wrong arguments\r\n")                                  \
    X(BAD_ORDER, "-ERR Not in this state\r\n")                               \
    X(NO_MESSAGE, "-ERR No such message\r\n")                                \
    X(GONE, "-ERR Message is deleted\r\n")                                   \
    X(PRIVACY, "-ERR [AUTH] Use TLS before logging in\r\n")                  \
    X(TLS_NOT_OFFERED, "-ERR TLS is not offered or already in use\r\n")      \
    X(MECHANISM, "-ERR Unknown authentication mechanism\r\n")                \
    X(AUTH_FAILED, "-ERR [AUTH] Authentication failed\r\n")                  \
    X(AUTH_CANCELLED, "-ERR Authentication cancelled\r\n")                   \
    X(AUTH_MALFORMED, "-ERR Malformed authentication data\r\n")              \
    X(AUTH_TOO_MANY, "-ERR [AUTH] Too many failed logins, closing\r\n")      \
    X(AUTH_BUSY, "-ERR [SYS/TEMP] Logins are limited now, try later\r\n")    \
    X(IN_USE, "-ERR [IN-USE] Another POP3 session holds this mailbox\r\n")   \
    X(TOO_MANY_SESSIONS, "-ERR [IN-USE] Too many sessions of this user\r\n") \
    X(ERRORS, "-ERR Too many errors, closing\r\n")                           \
    X(TIMEOUT, "-ERR Idle for too long, closing\r\n")                        \
    X(BUSY, "-ERR [SYS/TEMP] Too many connections, try later\r\n")           \
    X(SHUTDOWN, "-ERR [SYS/TEMP] Shutting down\r\n")                         \
    X(NOT_STORED, "-ERR [SYS/TEMP] The deletions could not be stored\r\n")   \
    X(NOT_READ, "-ERR [SYS/PERM] The message could not be read\r\n")         \
    X(UNAVAILABLE, "-ERR [SYS/TEMP] The mailbox is not available now\r\n")
