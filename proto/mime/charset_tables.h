/* charset_tables.h -- character sets of one octet a character. */
#pragma once
#include "proto/base/slice.h"

/* Code points of the octets 0x80..0xff in the set of that name, U+FFFD where there is
 * no character; NULL when the name is none of these. */
const uint16_t *charset_table(struct slice name);
