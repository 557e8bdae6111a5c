/* smtp_words.h -- every word SMTP hears and says, in one place. */
#pragma once

/* X(name, text, states in which it is allowed): RFC 5321, 4.1.1 and 4.1.4; LHLO RFC
 * 2033; BDAT RFC 3030; AUTH RFC 4954, 4 (not in a transaction); STARTTLS RFC 3207;
 * XCLIENT is Postfix's (not in a transaction). */
#define SMTP_VERBS(X)                              \
    X(HELO, "HELO", SMTP_IN_ANY)                   \
    X(EHLO, "EHLO", SMTP_IN_ANY)                   \
    X(LHLO, "LHLO", SMTP_IN_ANY)                   \
    X(MAIL, "MAIL", SMTP_IN_READY)                 \
    X(RCPT, "RCPT", SMTP_IN_MAIL | SMTP_IN_RCPT)   \
    X(DATA, "DATA", SMTP_IN_RCPT)                  \
    X(BDAT, "BDAT", SMTP_IN_RCPT | SMTP_IN_CHUNKS) \
    X(RSET, "RSET", SMTP_IN_ANY)                   \
    X(NOOP, "NOOP", SMTP_IN_ANY)                   \
    X(QUIT, "QUIT", SMTP_IN_ANY)                   \
    X(VRFY, "VRFY", SMTP_IN_ANY)                   \
    X(EXPN, "EXPN", SMTP_IN_ANY)                   \
    X(HELP, "HELP", SMTP_IN_ANY)                   \
    X(AUTH, "AUTH", SMTP_IN_READY)                 \
    X(STARTTLS, "STARTTLS", SMTP_IN_ANY)           \
    X(XCLIENT, "XCLIENT", SMTP_IN_START | SMTP_IN_READY)

/* First words of protocols that are not SMTP. Who says one is a browser, or a proxy
 * that was tricked into carrying commands in a body: nothing after it is read. */
#define SMTP_FOREIGN(X) \
    X("GET")            \
    X("POST")           \
    X("PUT")            \
    X("HEAD")           \
    X("DELETE")         \
    X("OPTIONS")        \
    X("PATCH")          \
    X("TRACE")          \
    X("CONNECT")        \
    X("PRI")            \
    X("PROPFIND")       \
    X("INVITE")         \
    X("REGISTER")       \
    X("DESCRIBE")       \
    X("HTTP/1.0")       \
    X("HTTP/1.1")       \
    X("PROXY")          \
    X("HOST:")          \
    X("USER-AGENT:")

/* X(name, EHLO keyword). Some are printed with values behind them (smtp_put_hello()). */
#define SMTP_OFFERS(X)                                   \
    X(PIPELINING, "PIPELINING")           /* RFC 2920 */ \
    X(SIZE, "SIZE")                       /* RFC 1870 */ \
    X(8BITMIME, "8BITMIME")               /* RFC 6152 */ \
    X(STATUSCODES, "ENHANCEDSTATUSCODES") /* RFC 2034 */ \
    X(CHUNKING, "CHUNKING")               /* RFC 3030 */ \
    X(BINARYMIME, "BINARYMIME")           /* RFC 3030 */ \
    X(SMTPUTF8, "SMTPUTF8")               /* RFC 6531 */ \
    X(DSN, "DSN")                         /* RFC 3461 */ \
    X(REQUIRETLS, "REQUIRETLS")           /* RFC 8689 */ \
    X(MT_PRIORITY, "MT-PRIORITY")         /* RFC 6710 */ \
    X(FUTURERELEASE, "FUTURERELEASE")     /* RFC 4865 */ \
    X(DELIVERBY, "DELIVERBY")             /* RFC 2852 */ \
    X(LIMITS, "LIMITS")                   /* RFC 9422 */ \
    X(VRFY, "VRFY")                       /* RFC 5321 */ \
    X(EXPN, "EXPN")                       /* RFC 5321 */ \
    X(XCLIENT, "XCLIENT")                 /* Postfix */  \
    X(STARTTLS, "STARTTLS")               /* RFC 3207 */ \
    X(AUTH, "AUTH")                       /* RFC 4954 */

/* X(name, wire text): RFC 5321, 4.2; enhanced codes RFC 3463, 2034, 4954, 6531. */
#define SMTP_REPLIES(X)                                                         \
    X(HELP, "214 2.0.0 See RFC 5321\r\n")                                       \
    X(START_TLS, "220 2.0.0 Begin TLS\r\n")                                     \
    X(BYE, "221 2.0.0 Bye\r\n")                                                 \
    X(AUTH_OK, "235 2.7.0 Authenticated\r\n")                                   \
    X(OK, "250 2.0.0 OK\r\n")                                                   \
    X(SENDER_OK, "250 2.1.0 Sender accepted\r\n")                               \
    X(RCPT_OK, "250 2.1.5 Recipient accepted\r\n")                              \
    X(CHUNK_OK, "250 2.0.0 Chunk received\r\n")                                 \
    X(STORED, "250 2.0.0 Message stored\r\n")                                   \
    X(QUEUED, "250 2.0.0 Message queued\r\n")                                   \
    X(NO_VRFY, "252 2.0.0 Send some mail, I'll try\r\n")                        \
    X(VRFY_UTF8, "252 2.6.8 The answer needs SMTPUTF8\r\n")                     \
    X(SEND_TEXT, "354 End with a dot on a line of its own\r\n")                 \
    X(ERRORS, "421 4.7.0 Too many errors\r\n")                                  \
    X(FLOOD, "421 4.7.0 Line far too long\r\n")                                 \
    X(FOREIGN, "421 4.7.0 This is not the protocol spoken here\r\n")            \
    X(AUTH_TOO_MANY, "421 4.7.0 Too many failed logins\r\n")                    \
    X(TOO_MANY, "421 4.7.0 Too many connections\r\n")                           \
    X(TOO_MANY_MESSAGES, "421 4.5.3 Too many messages, connect again\r\n")      \
    X(TOO_SLOW, "421 4.4.2 Too slow\r\n")                                       \
    X(TIMEOUT, "421 4.4.2 Idle for too long\r\n")                               \
    X(SHUTDOWN, "421 4.3.2 Shutting down\r\n")                                  \
    X(BUSY, "421 4.3.2 Too busy, try again later\r\n")                          \
    X(NOT_STORED, "451 4.3.0 Message not stored, try again later\r\n")          \
    X(LOCAL_ERROR, "451 4.3.0 Local error, try again later\r\n")                \
    X(MAILBOX_FULL_NOW, "452 4.2.2 Mailbox full\r\n")                           \
    X(NO_SPACE, "452 4.3.1 Out of space, try again later\r\n")                  \
    X(TOO_MANY_RCPTS, "452 4.5.3 Too many recipients\r\n")                      \
    X(TOO_MANY_DOMAINS, "452 4.5.3 Too many domains of recipients\r\n")         \
    X(QUEUE_FULL, "452 4.3.1 Queue is full, try again later\r\n")               \
    X(TLS_FAILED, "454 4.7.0 TLS is not available now\r\n")                     \
    X(AUTH_BUSY, "454 4.7.0 Logins are limited now, try again later\r\n")       \
    X(LINE_LONG, "500 5.5.2 Line too long\r\n")                                 \
    X(LINE_BARE, "500 5.5.2 Bare CR or LF in a command\r\n")                    \
    X(LINE_NUL, "501 5.5.2 NUL in a command\r\n")                               \
    X(AUTH_LONG, "500 5.5.6 Line of the authentication too long\r\n")           \
    X(BAD_VERB, "500 5.5.1 Unknown command\r\n")                                \
    X(BAD_ARGS, "501 5.5.4 Wrong arguments\r\n")                                \
    X(BAD_HOST, "501 5.5.4 A host name or address literal is wanted\r\n")       \
    X(BAD_SENDER, "501 5.1.7 Bad sender address syntax\r\n")                    \
    X(BAD_RCPT, "501 5.1.3 Bad recipient address syntax\r\n")                   \
    X(BAD_UTF8, "501 5.5.2 Invalid UTF-8\r\n")                                  \
    X(BAD_PARAM, "501 5.5.4 Bad parameter value\r\n")                           \
    X(BAD_PRIORITY, "501 5.5.2 A priority from -9 to 9 is wanted\r\n")          \
    X(BAD_CHUNK, "501 5.5.4 Bad chunk size\r\n")                                \
    X(AUTH_MALFORMED, "501 5.5.2 Malformed authentication data\r\n")            \
    X(AUTH_CANCELLED, "501 5.7.0 Authentication cancelled\r\n")                 \
    X(NOT_OFFERED, "502 5.5.1 Command not offered\r\n")                         \
    X(ORDER, "503 5.5.1 Commands out of order\r\n")                             \
    X(TLS_ON, "503 5.5.1 TLS is already in use\r\n")                            \
    X(NEEDS_BDAT, "503 5.5.1 BODY=BINARYMIME needs BDAT\r\n")                   \
    X(TURNED_AWAY, "503 5.7.0 Refused at the greeting, only QUIT is left\r\n")  \
    X(AUTH_TWICE, "503 5.5.1 Already authenticated\r\n")                        \
    X(MECHANISM, "504 5.5.4 Unknown authentication mechanism\r\n")              \
    X(AUTH_NEEDED, "530 5.7.0 Authentication required\r\n")                     \
    X(TLS_NEEDED, "530 5.7.0 STARTTLS first\r\n")                               \
    X(AUTH_FAILED, "535 5.7.8 Authentication failed\r\n")                       \
    X(AUTH_PLAIN_TEXT, "538 5.7.11 Encryption required for authentication\r\n") \
    X(NO_USER, "550 5.1.1 No such mailbox\r\n")                                 \
    X(TEXT_BARE, "550 5.5.2 Bare CR or LF in the message\r\n")                  \
    X(NO_RELAY, "550 5.7.1 Relaying denied\r\n")                                \
    X(FROM_DENIED, "550 5.7.1 From names an address that is not yours\r\n")     \
    X(MAILBOX_FULL, "552 5.2.2 Mailbox full\r\n")                               \
    X(TOO_BIG, "552 5.3.4 Message too big\r\n")                                 \
    X(NOT_ASCII, "553 5.6.7 Address needs SMTPUTF8\r\n")                        \
    X(SENDER_DENIED, "553 5.7.1 Not your sender address\r\n")                   \
    X(LOOP, "554 5.4.6 Too many Received fields\r\n")                           \
    X(PIPELINING, "554 5.5.0 Improper pipelining\r\n")                          \
    X(TEXT_NUL, "554 5.6.0 NUL in the message\r\n")                             \
    X(NO_PARAM, "555 5.5.4 Unknown parameter\r\n")
