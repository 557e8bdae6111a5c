/* boundary.h -- the boundaries of the multiparts that are open at one moment.
 *
 * A delimiter line is "--" and a boundary, followed by anything (RFC 2046, section
 * 5.1.1). Where several boundaries fit, the longest wins, and among equals the
 * innermost. Kept sorted, so that a line is compared with a few of them only.
 */
#pragma once
#include "proto/base/slice.h"

enum {
    BOUNDARY_MAX = 200, /* RFC 2046 allows 70; what is longer is compared this far */
    BOUNDARIES_MAX = 100,
};

struct boundary {
    struct slice text;
    void *owner;
    uint8_t shorter; /* 1 + index of the longest other one that begins this one, or 0 */
};

struct boundaries {
    struct boundary sorted[BOUNDARIES_MAX];
    unsigned count;
};

/* The text must live until it is removed. The newest of equal ones is the innermost.
 * There must be room. */
void boundary_add(struct boundaries *b, struct slice text, void *owner);

/* Removes the boundary of that owner, if it has one. */
void boundary_remove(struct boundaries *b, const void *owner);

/* The owner of the boundary that begins `line` (without "--"), or NULL. *length is
 * that boundary's. */
void *boundary_match(const struct boundaries *b, struct slice line, size_t *length);
