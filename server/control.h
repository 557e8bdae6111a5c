/* control.h -- the control thread: signals, and DATA/control.
 *
 * DATA/control is a local socket for its owner alone. A client sends one line and gets
 * lines back, the last of which is "ok" or "error WHY":
 *
 *   reload    users, aliases, certificates, authorities (as SIGHUP does)
 *   remove    carries out what DATA/removed asks, then as reload
 *   stat ...  what threads and shards count: control_stat.h
 *   queue ... what is on its way to other servers: queue_control.h
 *   version
 *
 * The main thread serves it; a shard never does.
 */
#pragma once
#include "proto/base/slice.h"
#include "server/config.h"
#include "server/process.h"

struct control;

struct control_conf {
    const struct config *config;
    struct process *process;
    struct accounts *accounts; /* the first snapshot; control takes over the reference */
};

/* Opens the socket, in place of one that a server left behind (process_recover() has
 * made sure that none runs), and the signals (SIGTERM, SIGINT, SIGHUP, which must be
 * blocked). NULL: `why`. */
struct control *control_open(const struct control_conf *conf, struct out *why);

/* Carries out what DATA/removed asks before anything listens: on one thread, from its
 * thread_recover(). Then done(t). */
void control_recover(
    struct control *control, struct thread *t, void (*done)(struct thread *t));
/* After process_start(): the accounts are loaded again where that has changed them, or
 * somebody who found no socket yet has. False: `why`. */
bool control_recovered(struct control *control, struct out *why);

/* How many accounts there are now. */
unsigned control_users(const struct control *control);

/* Serves until SIGTERM or SIGINT. First tries again what control_recover() could not do.
 */
void control_run(struct control *control);

/* After process_stop(). */
void control_close(struct control *control);

/* Certificates and keys as the flags name them, for every thread. False: `why`. */
bool control_load_tls(
    const struct config *config, struct process *process, struct out *why);

/* --- the other end ------------------------------------------------------ */

enum control_result {
    CONTROL_OK,
    CONTROL_ERROR, /* the server says no: the reason is in `reply` */
    CONTROL_NONE,  /* no server runs on DATA */
    CONTROL_LOST   /* it does not answer within the time */
};

/* Sends one line to the server of DATA and waits for its answer. Lines before the last
 * one go to `reply`, or the reason. */
enum control_result control_ask(
    const char *data, const char *request, unsigned seconds, struct out *reply);

/* Blocks the signals that control_open() reads; before any thread is made. */
void control_block_signals(void);
