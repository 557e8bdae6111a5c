/* ceiling.h -- what this machine can do at best, measured in the smallest program that
 * does it. A server's figure means something beside these, taken in the same minute.
 *
 * Each calibration runs for conf->seconds and puts its figures, one name each. Where the
 * project's ring layer is what a server would use, the calibration uses it too; nothing
 * here knows a protocol, a store or a session.
 */
#pragma once
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>

#include "server/ring.h"

struct ceiling_conf {
    double seconds;       /* of each measurement */
    unsigned connections; /* of those that answer requests */
    const char *folder;   /* on the disk to measure */
    /* Of the calibration that is run. */
    const char *name;    /* its figures begin with it */
    unsigned kib, depth; /* of each thing, in flight */
};

/* Prints `"name_unit": value` into the one JSON object of the run. */
void ceiling_put(const struct ceiling_conf *conf, const char *unit, double value);
/* Says what failed, and why (errno), and ends the program: half a calibration is none. */
_Noreturn void ceiling_fail(const char *what);
struct ring *ceiling_ring(void);
/* CPU of all threads so far, those of the kernel that work for this process included. */
int64_t ceiling_process_cpu_ns(void);

typedef void ceiling_fn(const struct ceiling_conf *conf);
ceiling_fn ceiling_line, ceiling_connect, ceiling_receive, ceiling_serve; /* _net.c */
ceiling_fn ceiling_commit, ceiling_late, ceiling_text;
ceiling_fn ceiling_tls_handshake, ceiling_tls_exchange; /* _tls.c */

/* --- the server of the network calibrations (ceiling_server.c) ------------- */

enum ceiling_answer {
    CEILING_ANSWER_LINE,    /* a short line to each line */
    CEILING_ANSWER_SWALLOW, /* nothing, ever */
    CEILING_ANSWER_FILE,    /* file_bytes read from the file to each line */
};

struct ceiling_server {
    enum ceiling_answer answer;
    bool plain; /* no ring: a thread that blocks on the one connection there is */
    int file;
    uint32_t file_bytes;
    struct sockaddr_in at; /* where it listens */
    /* From here on its own. */
    int listener;
    pthread_t thread;
    struct ring *ring;
    struct op accept;
    struct ceiling_peer *closed; /* to be freed when the turn is over */
    unsigned open;
    _Atomic bool stop;
    /* Written by the thread, read by whoever measures. */
    _Atomic uint64_t answered, bytes_in;
};

void ceiling_server_start(struct ceiling_server *s);
/* After its clients have stopped: waits for the last connection to end. */
void ceiling_server_stop(struct ceiling_server *s);
int64_t ceiling_server_cpu_ns(const struct ceiling_server *s);

/* --- the clients (ceiling_client.c) ----------------------------------------- */

/* A thread that keeps `connections` busy until told to stop. */
struct ceiling_clients {
    const struct ceiling_server *server;
    unsigned connections;
    uint32_t answer_bytes; /* of each answer; 0: sends without end and waits for none */
    bool once;             /* a new connection for each request */
    /* From here on its own. */
    pthread_t thread;
    struct ring *ring;
    unsigned open, opened;
    _Atomic bool stop;
};

void ceiling_clients_start(struct ceiling_clients *c);
void ceiling_clients_stop(struct ceiling_clients *c);
