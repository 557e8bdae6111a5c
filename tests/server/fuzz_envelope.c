/* Any bytes as an envelope of the queue: what is taken is written again as it stood. */
#include <stdlib.h>

#include "proto/base/check.h"
#include "server/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = arena_of(1 << 18);
    struct slice bytes = slice_of((const char *)data, size);
    struct envelope e;

    if (envelope_decode(bytes, &arena, &e) == STATUS_OK) {
        struct out out = out_of(malloc(size + 1), size);

        CHECK(out.at && envelope_bytes(&e) == size);
        envelope_encode(&e, &out);
        CHECK(!out.full && slice_eq(out_slice(&out), bytes));
        free(out.at);
    }
    arena_reset(&arena);
    return 0;
}
