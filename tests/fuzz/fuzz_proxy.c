/* Any octets as a PROXY header: bounded, the same whatever follows it, and no beginning
 * of a good one is bad. */
#include "proto/base/check.h"
#include "proto/proxy/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    struct proxy_header h, part;
    enum proxy_got got = proxy_parse(in, &h);

    if (got == PROXY_MORE)
        CHECK(in.len < 16 + PROXY_BYTES_MAX);
    if (got != PROXY_DONE)
        return 0;
    CHECK(h.len <= in.len && h.len <= 16 + PROXY_BYTES_MAX);
    for (size_t n = 0; n < h.len; n++)
        CHECK(proxy_parse(slice_of(in.at, n), &part) == PROXY_MORE);
    CHECK(proxy_parse(slice_of(in.at, h.len), &part) == PROXY_DONE);
    CHECK(memcmp(&h, &part, sizeof h) == 0);
    return 0;
}
