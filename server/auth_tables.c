#include "server/auth_tables.h"

/* --- SipHash-2-4 with 128 bits of output -------------------------------- */

struct sip {
    uint64_t v0, v1, v2, v3;
    uint64_t word; /* octets that make no whole word yet */
    uint64_t len;
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static void sip_byte(struct sip *s, uint8_t byte)
{
    s->word |= (uint64_t)byte << (8 * (s->len % 8));
    if (++s->len % 8 == 0) {
        sip_word(s, s->word);
        s->word = 0;
    }
}

static uint64_t sip_half(struct sip *s)
{
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

struct digest digest_of(const uint64_t key[2], const struct slice *parts, unsigned count)
{
    struct sip s = {0x736f6d6570736575u ^ key[0], 0x646f72616e646f6du ^ key[1] ^ 0xee,
        0x6c7967656e657261u ^ key[0], 0x7465646279746573u ^ key[1], 0, 0};
    struct digest digest;

    for (unsigned i = 0; i < count; i++)
        for (size_t j = 0; j < parts[i].len; j++)
            sip_byte(&s, (uint8_t)parts[i].at[j]);
    sip_word(&s, s.word | s.len << 56);
    s.v2 ^= 0xee;
    digest.half[0] = sip_half(&s);
    s.v1 ^= 0xdd;
    digest.half[1] = sip_half(&s);
    explicit_bzero(&s, sizeof s);
    return digest;
}

/* --- right passwords ---------------------------------------------------- */

struct digest remembered_digest(
    const struct recent *r, struct slice name, struct slice field, struct slice password)
{
    /* NUL stands in none of them: no two triples look the same. */
    const struct slice parts[] = {name, S("\0"), field, S("\0"), password};

    return digest_of(r->key, parts, sizeof parts / sizeof *parts);
}

static bool same(const struct digest *a, const struct digest *b)
{
    return ((a->half[0] ^ b->half[0]) | (a->half[1] ^ b->half[1])) == 0;
}

bool remembered_has(const struct recent *r, const struct digest *digest, uint32_t now_s)
{
    const struct recent_entry *row = r->entries[digest->half[0] % RECENT_ROWS];

    for (unsigned i = 0; i < TABLE_WAYS; i++)
        if (row[i].until_s > now_s && same(&row[i].digest, digest))
            return true;
    return false;
}

void remembered_add(
    struct recent *r, const struct digest *digest, uint32_t now_s, uint32_t keep_s)
{
    struct recent_entry *row = r->entries[digest->half[0] % RECENT_ROWS];
    struct recent_entry *place = row;

    if (keep_s == 0)
        return;
    for (unsigned i = 0; i < TABLE_WAYS; i++) {
        if (row[i].until_s > now_s && same(&row[i].digest, digest)) {
            place = &row[i];
            break;
        }
        if (row[i].until_s < place->until_s)
            place = &row[i];
    }
    *place = (struct recent_entry){*digest, now_s + keep_s};
}

/* --- failures ----------------------------------------------------------- */

uint64_t failure_source(const struct address *address)
{
    uint64_t half[2];

    memcpy(half, address->bytes, sizeof half);
    return address->family == AF_INET ? half[1] : half[0];
}

static struct failure_entry *row_of(const struct failures *f, uint64_t source)
{
    uint64_t hash = slice_hash(slice_of((const char *)&source, sizeof source), f->key);

    return (struct failure_entry *)f->entries[hash % FAILURE_ROWS];
}

static uint32_t decayed(const struct failure_entry *e, uint32_t now_s)
{
    uint32_t halves = now_s > e->last_s ? (now_s - e->last_s) / FAILURE_HALF_S : 0;

    return halves < 32 ? e->count >> halves : 0;
}

uint32_t failures_of(const struct failures *f, uint64_t source, uint32_t now_s)
{
    const struct failure_entry *row = row_of(f, source);

    for (unsigned i = 0; i < TABLE_WAYS; i++)
        if (row[i].count > 0 && row[i].source == source)
            return decayed(&row[i], now_s);
    return 0;
}

void failures_add(struct failures *f, uint64_t source, uint32_t now_s)
{
    struct failure_entry *row = row_of(f, source), *place = row;
    uint32_t count = failures_of(f, source, now_s);

    for (unsigned i = 0; i < TABLE_WAYS; i++) {
        if (row[i].count > 0 && row[i].source == source) {
            place = &row[i];
            break;
        }
        if (place->count > 0 && (row[i].count == 0 || row[i].last_s < place->last_s))
            place = &row[i];
    }
    *place =
        (struct failure_entry){source, now_s, count < UINT32_MAX ? count + 1 : count};
}
