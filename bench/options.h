/* options.h -- what the command line of ringmail-bench asks for.
 *
 * options_table.c is the only place where a flag is written down: the parser and --help
 * are made from it. A struct options is filled once and never changes while threads run.
 */
#pragma once
#include <sys/socket.h>

#include "bench/sizes.h"
#include "bench/users.h"

enum { OPTIONS_PIDS_MAX = 64, OPTIONS_WHY_MAX = 512 };

/* In the order of mode_names[]. */
enum mode_kind {
    MODE_SMTP,
    MODE_SUBMISSION,
    MODE_LMTP,
    MODE_POP3,
    MODE_IMAP,
    MODE_IDLE,
    MODE_LOGIN,
    MODE_MIXED,
    MODE_SINK,
    MODE_COUNT
};

enum tls_kind { TLS_NONE, TLS_IMPLICIT, TLS_STARTTLS };
enum arrival { ARRIVAL_FIXED, ARRIVAL_POISSON };
enum { DELIVER_SMTP, DELIVER_LMTP };
enum { LOGIN_IMAP, LOGIN_POP3 };

enum imap_op {
    OP_LOGIN,
    OP_NOOP,
    OP_APPEND,
    OP_SELECT,
    OP_FLAGS,
    OP_ENVELOPE,
    OP_BODY,
    OP_RANGE,
    OP_STORE,
    OP_SEARCH,
    OP_STATUS
};

/* Where to connect or listen. */
struct target {
    struct sockaddr_storage address;
    socklen_t len; /* 0: not given */
    const char *text;
};

struct pids {
    int at[OPTIONS_PIDS_MAX];
    unsigned count;
};

struct options {
    enum mode_kind mode;
    struct target to, deliver, listen, verify;
    /* load */
    uint64_t connections, threads, count, per_connection, sources;
    int64_t time_ns, timeout_ns, delay_ns, verify_wait_ns;
    double rate; /* 0: closed loop */
    int arrival, tls, tls_resume, verify_tls;
    /* who and what */
    const char *users_pattern, *users_file, *password, *from, *size, *mail;
    uint64_t user_first, user_count, recipients;
    const char *pipeline;
    unsigned depth; /* of --pipeline: commands under way; 0: none, each waits */
    struct users users;
    struct sizes sizes;
    /* imap, pop3, idle, sink */
    int op, protocol, deliver_protocol;
    const char *mailbox, *word;
    uint64_t range, retr, answer, answer_share;
    /* watched */
    struct pids pids;
    int server_tree;
    const char *cgroup, *data;
    /* output */
    const char *json, *csv;
    bool quiet, help;
    int progress; /* 0 no, 1 yes, 2 when stderr is a terminal */
};

extern const char *const mode_names[];
extern const char *const op_names[];
extern const char *const tls_names[];

/* Takes the arguments behind the program's name. False: `why` holds one line that names
 * flag, value and remedy. With `help` set nothing else has been checked. */
bool options_parse(struct options *o, int argc, char **argv, struct out *why);
void options_free(struct options *o);
/* The flags, grouped, wrapped to 80 columns. */
void options_help(struct out *out);

/* --- for the tests -------------------------------------------------------- */

/* "12", "0.5s", "2m", "50ms". */
bool options_time(struct slice text, int64_t *ns);
/* "127.0.0.1:25", "[::1]:25", "localhost:25", "unix:/path". */
bool options_target(const char *text, struct target *target);
