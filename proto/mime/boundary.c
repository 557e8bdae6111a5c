#include "proto/mime/boundary.h"

#include "proto/base/check.h"

static bool begins(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && memcmp(s.at, prefix.at, prefix.len) == 0;
}

static int compare(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.at, b.at, n) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* How many of the sorted ones are not greater than the text. */
static unsigned not_greater(const struct boundaries *b, struct slice text)
{
    unsigned low = 0, high = b->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (compare(b->sorted[middle].text, text) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What begins a text sorts before it, and so does everything in between begin with
 * it: the chain of shorter ones is found by walking the predecessor's chain. */
static void link_shorter(struct boundaries *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        unsigned at = i;

        while (at && !begins(b->sorted[i].text, b->sorted[at - 1].text))
            at = b->sorted[at - 1].shorter;
        b->sorted[i].shorter = (uint8_t)at;
    }
}

void boundary_add(struct boundaries *b, struct slice text, void *owner)
{
    unsigned at;

    CHECK(b->count < BOUNDARIES_MAX && text.len > 0);
    if (text.len > BOUNDARY_MAX)
        text.len = BOUNDARY_MAX;
    at = not_greater(b, text);
    memmove(b->sorted + at + 1, b->sorted + at, (b->count - at) * sizeof b->sorted[0]);
    b->sorted[at] = (struct boundary){text, owner, 0};
    b->count++;
    link_shorter(b);
}

void boundary_remove(struct boundaries *b, const void *owner)
{
    unsigned at = 0;

    while (at < b->count && b->sorted[at].owner != owner)
        at++;
    if (at == b->count)
        return;
    b->count--;
    memmove(b->sorted + at, b->sorted + at + 1, (b->count - at) * sizeof b->sorted[0]);
    link_shorter(b);
}

void *boundary_match(const struct boundaries *b, struct slice line, size_t *length)
{
    unsigned at = not_greater(b, line);

    while (at && !begins(line, b->sorted[at - 1].text))
        at = b->sorted[at - 1].shorter;
    if (at == 0)
        return NULL;
    *length = b->sorted[at - 1].text.len;
    return b->sorted[at - 1].owner;
}
