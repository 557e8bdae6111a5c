/* ledger.h -- which messages a thread has sent, and what became of them. One octet for
 * each recipient of each message, in chunks, so that it grows without copying. */
#pragma once
#include "proto/base/slice.h"

enum { LEDGER_CHUNKS_MAX = 65536, LEDGER_CHUNK = 65536 };

enum {
    LEDGER_SENT = 1,  /* under way, or never answered: it may be there or not */
    LEDGER_ACKED = 2, /* has to be there */
    LEDGER_GONE = 3,  /* was acknowledged, read back, and thrown away by us */
    LEDGER_FOUND = 4, /* it was read back; each time this is added, up to the largest */
};

struct ledger {
    uint8_t **chunks; /* NULL: nothing is to be remembered */
    uint64_t full;    /* slots that found no room: nothing can be proved */
};

bool ledger_open(struct ledger *l);
void ledger_close(struct ledger *l);
/* NULL: no room, or nothing is remembered. */
uint8_t *ledger_at(struct ledger *l, uint64_t slot);

static inline void ledger_set(struct ledger *l, uint64_t slot, uint8_t state)
{
    uint8_t *at = l->chunks ? ledger_at(l, slot) : NULL;

    if (at)
        *at = state;
}
