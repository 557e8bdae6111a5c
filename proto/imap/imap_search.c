#include "proto/imap/imap.h"

/* What stays the same while one message is matched. */
struct question {
    imap_key_test_fn *test;
    void *arg;
};

static enum imap_match match(
    const struct question *q, const struct imap_key *key, const struct imap_key **open);

static enum imap_match negate(enum imap_match m)
{
    switch (m) {
    case IMAP_MATCH_NO:
        return IMAP_MATCH_YES;
    case IMAP_MATCH_YES:
        return IMAP_MATCH_NO;
    case IMAP_MATCH_UNKNOWN:
        break;
    }
    return IMAP_MATCH_UNKNOWN;
}

/* A child that answers `decisive` decides; UNKNOWN ones are passed over, since a later
 * child may decide without work. */
static enum imap_match match_children(const struct question *q,
    const struct imap_key *key, enum imap_match decisive, const struct imap_key **open)
{
    enum imap_match result = negate(decisive);

    for (const struct imap_key *child = key->child; child; child = child->next) {
        const struct imap_key *child_open = NULL;
        enum imap_match m = match(q, child, &child_open);

        if (m == decisive)
            return m;
        if (m == IMAP_MATCH_UNKNOWN && result != IMAP_MATCH_UNKNOWN) {
            result = m;
            *open = child_open;
        }
    }
    return result;
}

/* Recursion ends at the depth that the parser allowed. *open is set with
 * UNKNOWN only. */
static enum imap_match match(
    const struct question *q, const struct imap_key *key, const struct imap_key **open)
{
    enum imap_match m;

    if (key->kind == IMAP_KEY_AND)
        return match_children(q, key, IMAP_MATCH_NO, open);
    if (key->kind == IMAP_KEY_OR)
        return match_children(q, key, IMAP_MATCH_YES, open);
    if (key->kind == IMAP_KEY_NOT)
        return negate(match(q, key->child, open));
    if (key->kind == IMAP_KEY_ALL)
        return IMAP_MATCH_YES;
    *open = key;
    m = q->test(key, q->arg);
    return key->negated ? negate(m) : m;
}

enum imap_match imap_search_match(const struct imap_search *search,
    imap_key_test_fn *test, void *arg, const struct imap_key **open)
{
    const struct imap_key *first = NULL;
    enum imap_match m = match(&(struct question){test, arg}, search->root, &first);

    if (open)
        *open = m == IMAP_MATCH_UNKNOWN ? first : NULL;
    return m;
}
