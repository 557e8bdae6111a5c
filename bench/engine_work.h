/* engine_work.h -- what a turn of a thread is made of. Private to engine*.c. */
#pragma once
#include "bench/engine.h"

/* The run goes on, and not all operations have begun. */
bool work_may_begin(struct driver *d);
/* A client that can take an operation begins one, or is idle. */
void work_give(struct client *c);
/* Open loop: what is due begins; the oldest first, with the client that is idle for
 * longest. */
void work_begin_due(struct driver *d);
void work_connect(struct client *c);
/* Goodbye. */
void work_leave(struct client *c);
/* Clients whose connection is gone, and those that have rested, go on. */
void work_revive(struct driver *d);
/* Those that asked for client_later(). */
void work_later(struct driver *d);
/* Fails those whose answer does not come. */
void work_look(struct driver *d);
void work_error(struct driver *d, struct slice why);
