/* utf8.h -- one character of UTF-8 at a time (RFC 3629). */
#pragma once
#include "proto/base/slice.h"

enum {
    UTF8_MAX = 4,          /* octets of a character */
    UTF8_REPLACED = 0xfffd /* stands for what is no character */
};

/* The character at the front of the n octets at p (n > 0): its length, and its code
 * point in *code_point. 0: the octets may be the beginning of one. -1: they are none,
 * the first is to be skipped. */
int utf8_next(const char *p, size_t n, uint32_t *code_point);

/* Writes the character; at has room for UTF8_MAX octets. Returns its length. */
unsigned utf8_encode(uint32_t code_point, char *at);

/* How many octets at the front of s are ASCII. */
size_t utf8_ascii_run(struct slice s);
