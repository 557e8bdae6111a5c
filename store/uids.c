#include "store/uids.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"

enum { WORDS = UIDS_BLOCK / 64 };

/* The first block whose number is not below this one. */
static uint32_t seek(const struct uids *u, uint32_t number)
{
    uint32_t lo = 0, hi = u->block_count;

    if (hi && u->blocks[hi - 1].number < number)
        return hi; /* mostly: what goes, goes in order */
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (u->blocks[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool insert(struct uids *u, uint32_t at, uint32_t number)
{
    struct uid_block *b;
    uint64_t *bits;

    if (u->block_count == u->block_cap) {
        uint32_t cap = u->block_cap ? 2 * u->block_cap : 2;

        b = realloc(u->blocks, cap * sizeof *b);
        if (!b)
            return false;
        u->blocks = b;
        u->block_cap = cap;
    }
    bits = calloc(WORDS, sizeof *bits);
    if (!bits)
        return false;
    b = &u->blocks[at];
    memmove(b + 1, b, (u->block_count - at) * sizeof *b);
    *b = (struct uid_block){.number = number,
        .before = at < u->block_count ? b[1].before : u->count,
        .bits = bits};
    u->block_count++;
    return true;
}

bool uids_reserve(struct uids *u, const uint32_t *uids, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t number = uids[i] / UIDS_BLOCK, at;

        if (i && uids[i - 1] / UIDS_BLOCK == number)
            continue;
        at = seek(u, number);
        if (at < u->block_count && u->blocks[at].number == number)
            continue;
        if (!insert(u, at, number))
            return false;
    }
    return true;
}

static uint64_t *word_of(const struct uid_block *b, uint32_t uid)
{
    return &b->bits[uid % UIDS_BLOCK / 64];
}

static uint64_t bit_of(uint32_t uid)
{
    return (uint64_t)1 << uid % 64;
}

void uids_add(struct uids *u, const uint32_t *uids, unsigned n)
{
    struct uid_block *b, *end = u->blocks + u->block_count;
    uint32_t added = 0;

    if (n == 0)
        return;
    b = &u->blocks[seek(u, uids[0] / UIDS_BLOCK)];
    for (unsigned i = 0; i < n; i++) {
        uint64_t *word;

        while (b->number < uids[i] / UIDS_BLOCK)
            (++b)->before += added;
        word = word_of(b, uids[i]);
        added += !(*word & bit_of(uids[i]));
        *word |= bit_of(uids[i]);
    }
    while (++b < end)
        b->before += added;
    u->count += added;
}

uint32_t uids_rank(const struct uids *u, uint32_t uid)
{
    uint32_t at = seek(u, uid / UIDS_BLOCK), n;
    const struct uid_block *b = &u->blocks[at];

    if (at == u->block_count)
        return u->count;
    n = b->before;
    if (b->number != uid / UIDS_BLOCK)
        return n;
    for (const uint64_t *word = b->bits; word < word_of(b, uid); word++)
        n += (uint32_t)__builtin_popcountll(*word);
    return n + (uint32_t)__builtin_popcountll(*word_of(b, uid) & (2 * bit_of(uid) - 1));
}

/* The last block before which there are at most i: it has the i-th. */
static const struct uid_block *block_with(const struct uids *u, uint32_t i)
{
    uint32_t lo = 0, hi = u->block_count - 1;

    while (lo < hi) {
        uint32_t mid = (lo + hi + 1) / 2;

        if (u->blocks[mid].before > i)
            hi = mid - 1;
        else
            lo = mid;
    }
    return &u->blocks[lo];
}

uint32_t uids_at(const struct uids *u, uint32_t i)
{
    const struct uid_block *b = block_with(u, i);
    uint32_t left = i - b->before, word = 0, n;
    uint64_t bits;

    CHECK(i < u->count);
    while ((n = (uint32_t)__builtin_popcountll(b->bits[word])) <= left) {
        left -= n;
        word++;
    }
    for (bits = b->bits[word]; left; left--)
        bits &= bits - 1;
    return b->number * UIDS_BLOCK + word * 64 + (uint32_t)__builtin_ctzll(bits);
}

void uids_take_last(struct uids *u)
{
    uint32_t uid = uids_at(u, u->count - 1);

    *word_of(block_with(u, u->count - 1), uid) &= ~bit_of(uid);
    u->count--;
    while (u->block_count && u->blocks[u->block_count - 1].before == u->count)
        free(u->blocks[--u->block_count].bits);
}

void uids_free(struct uids *u)
{
    while (u->block_count)
        free(u->blocks[--u->block_count].bits);
    free(u->blocks);
    *u = (struct uids){0};
}
