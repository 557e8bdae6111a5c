/* verify.h -- is each acknowledged message there once, byte for byte? */
#pragma once
#include "bench/engine.h"

struct verify_result {
    uint64_t expected;  /* acknowledged: (message, recipient) */
    uint64_t found;     /* of these, at least once */
    uint64_t missing;   /* not found */
    uint64_t twice;     /* found more than once, acknowledged or not */
    uint64_t different; /* ours by its number, but not in every octet; or at a user whose
                           it is not */
    char error[ERROR_TEXT_MAX]; /* the mail could not be read */
};
