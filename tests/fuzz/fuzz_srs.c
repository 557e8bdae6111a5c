/* fuzz_srs.c -- senders, and addresses that somebody says were made here. What is made
 * leads back to what it was made of; what was not made here leads nowhere. */
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/smtp/srs.h"

enum { NOW = 1772442000 };

static void mac(void *arg, unsigned key, struct slice text, uint8_t out[SRS_MAC_BYTES])
{
    uint64_t hash = slice_hash(text, *(const uint64_t *)arg + key);

    memset(out, 0, SRS_MAC_BYTES);
    memcpy(out, &hash, sizeof hash);
}

static void there_and_back(const struct srs *srs, const struct smtp_path *sender)
{
    char made[SMTP_PATH_MAX], back[SMTP_PATH_MAX];
    struct out out = out_of(made, sizeof made), again = out_of(back, sizeof back);
    struct smtp_path path;

    if (!srs_forward(srs, sender->text, NOW, &out))
        return;
    CHECK(smtp_mailbox(out_slice(&out), true, &path) && srs_is(&path));
    CHECK(srs_reverse(srs, &path, NOW, &again) == SRS_OK);
    if (slice_starts_nocase(sender->text, S("SRS0"))) /* the tag in capitals */
        CHECK(sender->quoted || slice_eq_nocase(out_slice(&again), sender->text));
    else
        CHECK(sender->quoted || slice_eq_nocase(out_slice(&again), sender->text) ||
            slice_starts_nocase(sender->text, S("SRS1")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t key = 7;
    const struct srs srs = {S("us.test"), 2, mac, &key};
    struct slice text = slice_of((const char *)data, size);
    char back[SMTP_PATH_MAX];
    struct out out = out_of(back, sizeof back);
    struct smtp_path path;

    if (!smtp_mailbox(text, true, &path))
        return 0;
    there_and_back(&srs, &path);
    if (srs_reverse(&srs, &path, NOW, &out) == SRS_OK)
        CHECK(smtp_mailbox(out_slice(&out), true, &path));
    return 0;
}
