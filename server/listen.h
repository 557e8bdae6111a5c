/* listen.h -- ports: bound by the control thread, one socket for each port and thread;
 * connections counted in all and by address before they are greeted. */
#pragma once
#include "server/conn.h"

/* Binds every listener of the process for every thread; false: `why` names the port. */
bool listeners_bind(struct process *p, char *why, size_t cap);
/* On each thread: begins to accept. False: `why`. */
bool listen_start(struct thread *t, char *why, size_t cap);
/* A connection whose peer is known: counted and begun, or turned away. */
void listen_admit(struct conn *c);
/* On each thread: takes what has been queued by the kernel, then ends accepting. */
void listen_stop(struct thread *t);
/* All of it has ended and is closed. */
bool listen_stopped(const struct thread *t);
void listen_free(struct thread *t);
