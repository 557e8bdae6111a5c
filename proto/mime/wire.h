/* wire.h -- strings in the form in which IMAP sends them (RFC 3501, section 9). */
#pragma once
#include "proto/base/slice.h"

/* A quoted string where the octets allow it, else a literal. NUL, which neither may
 * hold, is sent as '?'; CR and LF as blanks, so that no response can be split. */
void wire_put_string(struct out *out, struct slice s);

/* The same, or NIL when s.at is NULL. */
void wire_put_nstring(struct out *out, struct slice s);
