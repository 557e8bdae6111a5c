/* policy_rates.h -- how often sources (addresses, users) do things, against limits of so
 * many an hour. The table has a fixed size; where it is full, who has used up least of
 * his limits is forgotten first, so that many new sources don't wash out the busy ones.
 *
 * A limit of n an hour means n at once, and then one each n-th part of an hour.
 */
#pragma once
#include "proto/base/slice.h"

enum rate_kind { RATE_MESSAGES, RATE_RECIPIENTS, RATE_ERRORS, RATE_KINDS };

enum {
    RATES_WAYS = 8, /* places a source may take */
    RATES_ROWS = 2048,
    RATE_HOUR_S = 3600
};

struct rate_entry {
    uint64_t source;
    /* When all that has been done will be forgotten; microseconds, past: nothing left. */
    int64_t clear_us[RATE_KINDS];
};

struct rates {
    uint64_t key; /* random: places can't be chosen from outside */
    struct rate_entry entries[RATES_ROWS][RATES_WAYS];
};

/* NULL: no memory. To be given to free(). */
struct rates *rates_open(uint64_t key);

/* The entry of a source that has not been forgotten; NULL: there is none. */
const struct rate_entry *rates_find(
    const struct rates *r, uint64_t source, int64_t now_us);
/* The entry of a source, made if there is none. Good until the next call. */
struct rate_entry *rates_of(struct rates *r, uint64_t source, int64_t now_us);

/* `n` more, of at most `limit` an hour (0: any number). False: that is too many, and
 * nothing is counted. */
bool rate_take(struct rate_entry *e, enum rate_kind kind, uint64_t n, uint64_t limit,
    int64_t now_us);
/* The same for what has happened already: counted up to the limit. */
void rate_note(struct rate_entry *e, enum rate_kind kind, uint64_t n, uint64_t limit,
    int64_t now_us);
/* `n` have happened, whatever was counted before. */
void rate_set(struct rate_entry *e, enum rate_kind kind, uint64_t n, uint64_t limit,
    int64_t now_us);
/* How much of the limit is used up, at most `limit`. */
uint64_t rate_used(
    const struct rate_entry *e, enum rate_kind kind, uint64_t limit, int64_t now_us);
