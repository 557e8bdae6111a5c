/* compact.h -- segments rewritten, so that disk use stays near what is live.
 *
 *      choose the emptiest sealed segment
 *        --> wait until every change added so far is applied
 *        --> scan it: messages, summaries, who may name them; chains, states
 *        --> for each such user: move what he still names, and relocate him
 *        --> when no user names it: retire it
 *
 * Nothing is changed in place: until the RELOCATE of a user is durable his entries name
 * the old bytes, which stay until a checkpoint after log_retire(). Private to the store.
 */
#pragma once
#include "store/user.h"

/* A slice of the work; false while there is more to do at once. */
bool compact_step(struct store *s);
void compact_free(struct store *s);

/* The segment being compacted, or 0. */
uint32_t compact_segment(const struct store *s);

/* No segment is being rewritten. */
bool compact_idle(const struct store *s);

/* Does the entry name what is being moved? */
bool compact_names(const struct store *s, const struct packed_entry *e);
