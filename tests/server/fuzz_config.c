/* fuzz_config.c -- configuration files. */
#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size);
    char buffer[4 * CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);
    struct config *c = config_new();

    CHECK(c);
    /* A flag that reads files would make the answer depend on the machine. */
    if (memmem(data, size, "config", 6) == NULL &&
        !(config_text(c, text, "f", &why) && config_finish(c, true, &why)))
        CHECK(why.len > 0 && !memchr(why.at, '\n', why.len));
    config_free(c);
    return 0;
}
