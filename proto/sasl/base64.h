/* base64.h -- RFC 4648, section 4, strictly: full padding, zero pad bits, no
 * other octet anywhere. One value has one encoding, so nothing can hide in it. */
#pragma once
#include "proto/base/slice.h"

/* Octets that n octets become. */
static inline size_t base64_size(size_t n)
{
    return (n + 2) / 3 * 4;
}

void base64_encode(struct out *out, struct slice bytes);

/* False, with out->len as before, when text is not base64 or out has no room.
 * `out` is a fixed buffer (no `more`). */
bool base64_decode(struct out *out, struct slice text);
