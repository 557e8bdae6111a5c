/* scan.h -- what message text is searched for, at vector speed.
 *
 * All functions look at pairs of octets, so they take the octet before the first
 * one (the last of the run before); 0 stands for "nothing that matters".
 */
#pragma once
#include "proto/base/slice.h"

enum {
    SCAN_BARE = 1 << 0, /* a CR without LF after it, or an LF without CR before it */
    SCAN_NUL = 1 << 1,
};

/* Index of the first dot that comes right after an LF, or s.len. */
size_t scan_lf_dot(struct slice s, char before);

/* SCAN_ flags found in s. A CR at the very end of s is judged by the next call,
 * to which it is `before`. */
unsigned scan_flaws(struct slice s, char before);

/* Both at once: the index of scan_lf_dot(), and added to *flaws what scan_flaws() finds
 * in front of it. */
size_t scan_text(struct slice s, char before, unsigned *flaws);
