/* options_table.c -- every flag of ringmail-bench. */
#include "bench/options_table.h"

#define BIT(mode) (1u << MODE_##mode)
#define ALL       ((1u << MODE_COUNT) - 1)
#define CLIENTS   (ALL & ~BIT(SINK))
#define SENDERS   (BIT(SMTP) | BIT(SUBMISSION) | BIT(LMTP))
/* Those that make messages. */
#define WRITERS   (SENDERS | BIT(IMAP) | BIT(IDLE) | BIT(MIXED))

enum { ADDRESS_MAX = 254, WORD_MAX = 128 };

#define GROUP(title)                      \
    {                                     \
        .type = FLAG_GROUP, .name = title \
    }
#define FLAG(type_, field, name_, value_, preset_, min_, max_, modes_, help_)    \
    {                                                                            \
        .type = FLAG_##type_, .name = name_, .value = value_, .preset = preset_, \
        .min = min_, .max = max_, .modes = modes_, .help = help_,                \
        .offset = offsetof(struct options, field)                                \
    }

const struct flag options_table[] = {
    GROUP("Where"),
    FLAG(TARGET, to, "to", "ADDR:PORT|unix:PATH", "", 0, 0, CLIENTS, "The server."),
    FLAG(WORD, tls, "tls", "none|implicit|starttls", "none", 0, 0, CLIENTS,
        "Certificates are not checked."),
    FLAG(WORD, tls_resume, "tls-resume", "no|yes", "no", 0, 0, CLIENTS,
        "Offers the session of the connection before; else each handshake is a full "
        "one."),
    FLAG(COUNT, sources, "sources", "N", "1", 1, 65536, CLIENTS,
        "Connects from so many addresses of 127.0.0.0/8, for more connections than an "
        "address has ports."),

    GROUP("How much"),
    FLAG(COUNT, connections, "connections", "N", "1", 1, 1000000, CLIENTS,
        "Connections at a time."),
    FLAG(COUNT, count, "count", "N", "", 0, 1ull << 40, ALL,
        "Ends after so many operations."),
    FLAG(TIME, time_ns, "time", "SECONDS", "", 0, 0, ALL,
        "Ends after that time; 10 s where neither time nor count is given, but a sink "
        "then runs until it is interrupted."),
    FLAG(RATE, rate, "rate", "N", "0", 0, 0, CLIENTS,
        "Operations a second over all connections, whatever the server does (open loop); "
        "latency counts from the moment an operation was due. 0: each connection works "
        "as fast as it is answered (closed loop)."),
    FLAG(WORD, arrival, "arrival", "fixed|poisson", "fixed", 0, 0, CLIENTS,
        "The gaps between operations of an open loop."),
    FLAG(COUNT, per_connection, "per-connection", "N", "0", 0, 1ull << 32, CLIENTS,
        "Operations before a connection is closed and another one made; 0: it is kept. "
        "Connecting counts as part of the first one."),
    FLAG(TEXT, pipeline, "pipeline", "yes|no|N", "yes", 0, 0, CLIENTS,
        "Commands that need no answer of the one before go together; N: so many commands "
        "of the same kind are under way in each connection (imap, pop3)."),
    FLAG(TIME, timeout_ns, "timeout", "SECONDS", "60s", 0, 0, CLIENTS,
        "An operation without an answer for so long is an error, and its connection "
        "closed."),
    FLAG(COUNT, threads, "threads", "N", "1", 1, 64, ALL, "Threads of the driver."),

    GROUP("Who and what"),
    FLAG(TEXT, users_pattern, "users", "PATTERN", "u%d@example.test", 0, 0, CLIENTS,
        "Users; %d is the number."),
    FLAG(COUNT, user_first, "user-first", "N", "0", 0, 1ull << 40, CLIENTS,
        "The first number."),
    FLAG(COUNT, user_count, "user-count", "N", "1", 1, 1ull << 32, CLIENTS,
        "How many users; they take turns."),
    FLAG(TEXT, users_file, "users-file", "FILE", "", 0, 0, CLIENTS,
        "Users, address[:password] a line, instead of a pattern."),
    FLAG(TEXT, password, "password", "TEXT", "pw", 0, USER_PASSWORD_MAX, CLIENTS,
        "Of all users who have none in the file."),
    FLAG(TEXT, from, "from", "ADDRESS", "", 0, ADDRESS_MAX, WRITERS,
        "The sender; without it bench@client.test, or the user himself (submission)."),
    FLAG(TEXT, size, "size", "BYTES|MIN-MAX|SIZE:WEIGHT,...", "1K", 0, 0, WRITERS,
        "Sizes of messages, header included, which takes some 350 octets: one size, a "
        "range, or a list of both with weights, as in 1K:80,10K-20K:15,100K:5."),
    FLAG(TEXT, mail, "mail", "DIR", "", 0, 0, WRITERS,
        "Messages are the files of this folder, in turn, with one field more in front."),
    FLAG(COUNT, recipients, "recipients", "N", "1", 1, 1000, SENDERS, "Of each message."),

    GROUP("imap, pop3, login"),
    FLAG(WORD, op, "op",
        "login|noop|append|select|flags|envelope|body|range|store|search|status", "noop",
        0, 0, BIT(IMAP),
        "The operation. login: connect, log in, log out; append: --size; flags, "
        "envelope: "
        "of the whole mailbox; body: BODY[] of one message; range: of --range messages; "
        "store: sets and clears a flag of one message; search: SEARCH BODY --word."),
    FLAG(TEXT, mailbox, "mailbox", "NAME", "INBOX", 0, 0, BIT(IMAP), "Where."),
    FLAG(COUNT, range, "range", "N", "0", 0, 1000000, BIT(IMAP),
        "Messages of a FETCH; without it 100 for --op range, all for --op envelope."),
    FLAG(TEXT, word, "word", "TEXT", "needle", 0, WORD_MAX, BIT(IMAP) | BIT(MIXED),
        "What is searched for."),
    FLAG(COUNT, retr, "retr", "N", "10", 0, 1000000, BIT(POP3),
        "Messages that a session reads at most."),
    FLAG(WORD, protocol, "protocol", "imap|pop3", "imap", 0, 0, BIT(LOGIN),
        "Where one logs in."),

    GROUP("idle, mixed"),
    FLAG(TARGET, deliver, "deliver", "ADDR:PORT|unix:PATH", "", 0, 0,
        BIT(IDLE) | BIT(MIXED),
        "Where mail is delivered to, without TLS; idle without this only holds its "
        "connections."),
    FLAG(WORD, deliver_protocol, "deliver-protocol", "smtp|lmtp", "smtp", 0, 0,
        BIT(IDLE) | BIT(MIXED), "How."),

    GROUP("sink"),
    FLAG(TARGET, listen, "listen", "ADDR:PORT|unix:PATH", "", 0, 0, BIT(SINK),
        "Takes mail by SMTP there, counts it, and forgets it."),
    FLAG(TIME, delay_ns, "delay", "SECONDS", "0", 0, 0, BIT(SINK),
        "Waits so long before the answer to a message."),
    FLAG(COUNT, answer, "answer", "CODE", "250", 200, 599, BIT(SINK),
        "The answer to a message; 421 also hangs up."),
    FLAG(COUNT, answer_share, "answer-percent", "N", "100", 0, 100, BIT(SINK),
        "So many of a hundred messages get --answer, the others 250."),

    GROUP("What is watched"),
    FLAG(PIDS, pids, "server-pid", "PID", "", 0, 0, ALL,
        "A process of the server: its CPU and memory are reported. [repeatable]"),
    FLAG(WORD, server_tree, "server-tree", "no|yes", "no", 0, 0, ALL,
        "Children of these processes count too."),
    FLAG(TEXT, cgroup, "server-cgroup", "DIR", "", 0, 0, ALL,
        "The same from a control group, in /sys/fs/cgroup."),
    FLAG(TEXT, data, "server-data", "DIR", "", 0, 0, ALL,
        "A folder of the server: writes and flushes of its disk are reported."),
    FLAG(TARGET, verify, "verify", "ADDR:PORT|unix:PATH", "", 0, 0, WRITERS,
        "Afterwards reads all mail back from this IMAP server: is each acknowledged "
        "message there once, byte for byte?"),
    FLAG(WORD, verify_tls, "verify-tls", "none|implicit|starttls", "none", 0, 0, WRITERS,
        "For --verify."),
    FLAG(TIME, verify_wait_ns, "verify-wait", "SECONDS", "10", 0, 0, WRITERS,
        "For servers that deliver later what they took: while messages are missing, "
        "--verify reads again."),

    GROUP("What is said"),
    FLAG(TEXT, json, "json", "FILE|-", "", 0, 0, ALL, "Writes the figures as JSON."),
    FLAG(TEXT, csv, "csv", "FILE|-", "", 0, 0, ALL,
        "Adds a row; a new file gets a line of headings first."),
    FLAG(WORD, progress, "progress", "no|yes|auto", "auto", 0, 0, ALL,
        "A line on standard error while it sets up, runs, reads back; auto: on a "
        "terminal."),
    FLAG(SWITCH, quiet, "quiet", "", "", 0, 0, ALL, "No report in words."),
    FLAG(SWITCH, help, "help", "", "", 0, 0, ALL, "This text."),
};
const unsigned options_table_count = sizeof options_table / sizeof *options_table;
