#include "server/idn.h"

#include <idn2.h>

/* In lower case. False: it is not all ASCII. */
static bool put_lower(struct slice s, char *at)
{
    unsigned char any = 0;

    for (size_t i = 0; i < s.len; i++) {
        any |= (unsigned char)s.at[i];
        at[i] = ascii_lower(s.at[i]);
    }
    return any < 0x80;
}

struct slice idn_ascii(struct slice name, char *at, size_t cap)
{
    char copy[IDN_MAX + 1];
    char *labels = NULL;
    int flags = IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL | IDN2_USE_STD3_ASCII_RULES;
    struct slice result = S("");

    if (name.len == 0 || name.len > IDN_MAX)
        return S("");
    if (put_lower(name, copy)) {
        if (name.len <= cap)
            result = slice_of(memcpy(at, copy, name.len), name.len);
        return result;
    }
    if (memchr(name.at, 0, name.len))
        return S("");
    memcpy(copy, name.at, name.len);
    copy[name.len] = 0;
    if (idn2_to_ascii_8z(copy, &labels, flags) == IDN2_OK && strlen(labels) <= cap) {
        result = slice_of(at, strlen(labels));
        put_lower(slice_str(labels), at);
    }
    idn2_free(labels);
    return result;
}
