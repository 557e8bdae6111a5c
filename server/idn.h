/* idn.h -- domain names beyond ASCII (RFC 5890 to 5892, mapped by UTS 46). */
#pragma once
#include "proto/base/slice.h"

enum { IDN_MAX = 255 }; /* octets of a name */

/* The name in A-labels and lower case, the form of the DNS: "Bücher.example" and
 * "XN--bcher-KVA.example" are "xn--bcher-kva.example". Names in ASCII only lose their
 * upper case. Empty when it is no name or `at` (cap octets) is too small. */
struct slice idn_ascii(struct slice name, char *at, size_t cap);
