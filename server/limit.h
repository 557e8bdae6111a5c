/* limit.h -- how many connections each address has.
 *
 * The count of an address is kept by one thread, that of its hash; others ask it by a
 * call before they greet, and tell it when the connection is gone.
 */
#pragma once
#include "server/conn.h"

struct limits;
struct limits *limits_open(uint64_t key);
void limits_close(struct limits *limits);
/* Counts one more; false: there are `max` already, or there is no memory. */
bool limits_add(struct limits *limits, const struct address *a, unsigned max);
void limits_remove(struct limits *limits, const struct address *a);
unsigned limits_count(const struct limits *limits, const struct address *a);

/* Asks for c, which is not open yet; admitted(c, granted) is called, perhaps at once. */
void admission_ask(struct conn *c, void (*admitted)(struct conn *c, bool granted));
/* The answer is still under way: c must stay. */
bool admission_asking(const struct conn *c);
/* c is gone. */
void admission_leave(struct thread *t, struct conn *c);
