/* fuzz_convert.c -- the converter on any octets: the same however they are cut, fit for
 * the hop, and the same parts with the same content.
 *
 * Octet 0 chooses the target, octet 1 the cutting. */
#include "tests/proto/mime/convert_check.h"

enum { CONTROL = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size);
    enum convert_verdict verdict;

    if (size < CONTROL)
        return 0;
    slice_take(&text, CONTROL);
    verdict = check_conversion(
        text, data[0] & 1 ? CONVERT_TO_8BIT : CONVERT_TO_7BIT, data[1] ? data[1] : 1);
    CHECK(verdict <= CONVERT_LIMIT);
    return 0;
}
