#include "bench/ledger.h"

#include <stdlib.h>

bool ledger_open(struct ledger *l)
{
    l->chunks = calloc(LEDGER_CHUNKS_MAX, sizeof *l->chunks);
    return l->chunks != NULL;
}

void ledger_close(struct ledger *l)
{
    for (unsigned i = 0; l->chunks && i < LEDGER_CHUNKS_MAX; i++)
        free(l->chunks[i]);
    free(l->chunks);
    l->chunks = NULL;
}

uint8_t *ledger_at(struct ledger *l, uint64_t slot)
{
    uint64_t chunk = slot / LEDGER_CHUNK;

    if (!l->chunks || chunk >= LEDGER_CHUNKS_MAX) {
        l->full += l->chunks != NULL;
        return NULL;
    }
    if (!l->chunks[chunk])
        l->chunks[chunk] = calloc(LEDGER_CHUNK, 1);
    if (!l->chunks[chunk]) {
        l->full++;
        return NULL;
    }
    return l->chunks[chunk] + slot % LEDGER_CHUNK;
}
