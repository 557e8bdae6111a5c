/* octets.h -- what is counted while the octets of a message pass, at memory speed. */
#pragma once
#include "proto/base/slice.h"

struct octets {
    uint64_t count; /* octets so far */
    uint64_t lines; /* LFs so far */
    bool has_8bit, has_nul, has_dot_line;
    bool line_start; /* the next octet begins a line */
    char last[2];    /* the two octets before the next one; [1] is the nearer */
};

void octets_begin(struct octets *o);

/* Counts all of s. */
void octets_pass(struct octets *o, struct slice s);

/* Counts from the front of *s, and stops in front of the first '-' that begins a
 * line. What was counted is cut off. True when it stopped there. */
bool octets_pass_to_dash(struct octets *o, struct slice *s);
