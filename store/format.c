#include "store/format.h"

#include <immintrin.h>
#include <string.h>

const char *record_kind_text(unsigned kind)
{
    switch (kind) {
#define RECORD(name, number, text) \
    case RECORD_##name:            \
        return text;
        RECORD_KINDS(RECORD)
#undef RECORD
    default:
        return NULL;
    }
}

/* --- CRC-32C --- */

static uint64_t word_at(const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

static uint64_t crc_serial(uint64_t crc, const unsigned char *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8)
        crc = _mm_crc32_u64(crc, word_at(p));
    for (; n; p++, n--)
        crc = _mm_crc32_u8((uint32_t)crc, *p);
    return crc;
}

/* What turns the checksum of a run of bytes into that of the run followed by so many
 * zero bytes: x^(8 * bytes - 33) modulo the polynomial, bits reflected, for use with a
 * carry-less multiplication whose product goes through the crc instruction once more. */
struct lane {
    size_t bytes;
    uint64_t shift_one, shift_two; /* by one lane, by two */
};

/* The crc instruction takes three cycles and one can start in each, so three runs are
 * summed side by side and joined at the end. */
__attribute__((target("sse4.2,pclmul"))) static uint64_t crc_lanes(
    uint64_t crc, const unsigned char **at, size_t *left, struct lane lane)
{
    const unsigned char *p = *at;
    size_t n = *left;

    for (; n >= 3 * lane.bytes; p += 3 * lane.bytes, n -= 3 * lane.bytes) {
        uint64_t second = 0, third = 0;

        for (size_t i = 0; i < lane.bytes; i += 8) {
            crc = _mm_crc32_u64(crc, word_at(p + i));
            second = _mm_crc32_u64(second, word_at(p + lane.bytes + i));
            third = _mm_crc32_u64(third, word_at(p + 2 * lane.bytes + i));
        }
        __m128i high = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc),
            _mm_cvtsi64_si128((int64_t)lane.shift_two), 0);
        __m128i low = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)second),
            _mm_cvtsi64_si128((int64_t)lane.shift_one), 0);
        uint64_t joined = (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(high, low));

        crc = _mm_crc32_u64(0, joined) ^ third;
    }
    *at = p;
    *left = n;
    return crc;
}

uint32_t crc32c(uint32_t crc, const void *at, size_t n)
{
    static const struct lane lanes[] = {
        {1024, 0x170076fa, 0xa51b6135},
        {256, 0xb9e02b86, 0xdd7e3b0c},
        {64, 0x9e4addf8, 0x0d3b6092},
    };
    const unsigned char *p = at;
    uint64_t sum = ~crc;

    if (n >= 192 && __builtin_cpu_supports("pclmul"))
        for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++)
            sum = crc_lanes(sum, &p, &n, lanes[i]);
    return ~(uint32_t)crc_serial(sum, p, n);
}

/* The checksum of a header struct whose crc field stands at `crc_at`, taken as zero. */
static uint32_t crc_without(const void *header, size_t bytes, size_t crc_at)
{
    const char *at = header;
    const char zero[4] = {0};
    uint32_t crc = crc32c(0, at, crc_at);

    crc = crc32c(crc, zero, sizeof zero);
    return crc32c(crc, at + crc_at + sizeof zero, bytes - crc_at - sizeof zero);
}

/* --- identities --- */

static uint64_t mix(uint64_t h)
{
    h ^= h >> 30;
    h *= 0xbf58476d1ce4e5b9U;
    h ^= h >> 27;
    h *= 0x94d049bb133111ebU;
    return h ^ (h >> 31);
}

static uint32_t identity_of(
    uint64_t salt, uint64_t store_id, uint32_t shard, uint32_t number, uint32_t epoch)
{
    uint64_t h = mix(store_id ^ salt);

    h = mix(h ^ ((uint64_t)shard << 32 | number));
    h = mix(h + epoch);
    return (uint32_t)(h >> 32) ? (uint32_t)(h >> 32) : 1;
}

uint32_t segment_identity(
    uint64_t store_id, uint32_t shard, uint32_t number, uint32_t epoch)
{
    return identity_of(0x7365676d656e7400U, store_id, shard, number, epoch);
}

uint32_t checkpoint_identity(
    uint64_t store_id, uint32_t shard, uint32_t number, uint32_t epoch)
{
    return identity_of(0x636b70746b707400U, store_id, shard, number, epoch);
}

/* --- segment headers --- */

void segment_header_write(struct segment_header *h, char block[FORMAT_BLOCK])
{
    memcpy(h->magic, SEGMENT_MAGIC, sizeof h->magic);
    h->version = FORMAT_VERSION;
    h->identity = segment_identity(h->store_id, h->shard, h->number, h->epoch);
    h->crc = crc_without(h, sizeof *h, offsetof(struct segment_header, crc));
    memset(block, 0, FORMAT_BLOCK);
    memcpy(block, h, sizeof *h);
    memcpy(block + SEGMENT_COPY_AT, h, sizeof *h);
}

/* OK, INVALID for a newer version, CORRUPT. */
static enum status header_copy_read(const char *at, struct segment_header *h)
{
    memcpy(h, at, sizeof *h);
    if (memcmp(h->magic, SEGMENT_MAGIC, sizeof h->magic) != 0 ||
        h->crc != crc_without(h, sizeof *h, offsetof(struct segment_header, crc)))
        return STATUS_CORRUPT;
    if (h->version > FORMAT_VERSION)
        return STATUS_INVALID;
    if (h->version == 0 ||
        h->identity != segment_identity(h->store_id, h->shard, h->number, h->epoch))
        return STATUS_CORRUPT;
    return STATUS_OK;
}

enum status segment_header_read(
    const char block[FORMAT_BLOCK], struct segment_header *h, unsigned *copies)
{
    struct segment_header second;
    enum status first_status = header_copy_read(block, h);
    enum status second_status = header_copy_read(block + SEGMENT_COPY_AT, &second);

    *copies = (unsigned)(first_status == STATUS_OK) + (second_status == STATUS_OK);
    if (first_status == STATUS_INVALID || second_status == STATUS_INVALID)
        return STATUS_INVALID;
    if (first_status != STATUS_OK)
        *h = second;
    return *copies ? STATUS_OK : STATUS_CORRUPT;
}

uint32_t segment_number_from(uint64_t from, uint32_t lanes, uint32_t lane)
{
    uint64_t block = from / SEGMENT_BLOCK, turn = lanes > 1 ? block % lanes : lane;

    if (turn != lane)
        from = (block + (lane + lanes - turn) % lanes) * SEGMENT_BLOCK;
    if (from == 0)
        from = 1; /* 0 is no segment */
    return from > UINT32_MAX ? 0 : (uint32_t)from;
}

/* --- records --- */

void record_finish(void *at)
{
    const size_t from = offsetof(struct record_header, seq);
    struct record_header *h = at;

    h->magic = RECORD_MAGIC;
    h->crc = crc32c(0, (char *)at + from, sizeof *h - from + h->length);
}

static bool all_zero(const void *at, size_t n)
{
    const char *p = at;

    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

enum record_check record_check(const void *at, size_t room, uint32_t identity,
    uint32_t offset, struct record_header *h, struct slice *payload)
{
    const size_t from = offsetof(struct record_header, seq);
    const char *bytes = at;

    if (room < sizeof *h)
        return RECORD_CUT;
    memcpy(h, at, sizeof *h);
    if (h->magic != RECORD_MAGIC)
        return all_zero(at, sizeof *h) ? RECORD_ABSENT : RECORD_BAD;
    if (h->identity != identity || h->offset != offset ||
        h->length > RECORD_PAYLOAD_MAX || !record_kind_text(h->kind))
        return RECORD_BAD;
    if (sizeof *h + h->length > room)
        return RECORD_CUT;
    if (h->crc != crc32c(0, bytes + from, sizeof *h - from + h->length))
        return RECORD_BAD;
    *payload = slice_of(bytes + sizeof *h, h->length);
    return RECORD_VALID;
}

bool batch_header_read(
    const struct record_header *h, struct slice payload, struct batch_header *batch)
{
    if (h->kind != RECORD_BATCH || payload.len != sizeof *batch ||
        h->offset % FORMAT_BLOCK != 0)
        return false;
    memcpy(batch, payload.at, sizeof *batch);
    return batch->number == h->seq && batch->durable_number < batch->number &&
        batch->bytes % FORMAT_BLOCK == 0 && batch->used <= batch->bytes &&
        batch->bytes - batch->used < FORMAT_BLOCK && batch->used % FORMAT_ALIGN == 0 &&
        batch->used >= record_span(sizeof *batch) &&
        batch->bytes <= UINT32_MAX - h->offset;
}

/* --- checkpoints --- */

void checkpoint_header_write(struct checkpoint_header *h, char *at)
{
    memcpy(h->magic, CHECKPOINT_MAGIC, sizeof h->magic);
    h->version = FORMAT_VERSION;
    h->identity = checkpoint_identity(h->store_id, h->shard, h->number, h->epoch);
    h->crc = crc_without(h, sizeof *h, offsetof(struct checkpoint_header, crc));
    memcpy(at, h, sizeof *h);
}

enum status checkpoint_header_read(struct slice bytes, struct checkpoint_header *h)
{
    if (bytes.len < sizeof *h)
        return STATUS_CORRUPT;
    memcpy(h, bytes.at, sizeof *h);
    if (memcmp(h->magic, CHECKPOINT_MAGIC, sizeof h->magic) != 0 ||
        h->crc != crc_without(h, sizeof *h, offsetof(struct checkpoint_header, crc)))
        return STATUS_CORRUPT;
    if (h->version > FORMAT_VERSION)
        return STATUS_INVALID;
    if (h->version == 0 ||
        h->identity != checkpoint_identity(h->store_id, h->shard, h->number, h->epoch))
        return STATUS_CORRUPT;
    return STATUS_OK;
}

void frame_finish(void *at)
{
    const size_t from = offsetof(struct frame_header, offset);
    struct frame_header *h = at;

    h->magic = FRAME_MAGIC;
    h->crc = crc32c(0, (char *)at + from, sizeof *h - from + h->length);
}

enum record_check frame_check(const void *at, size_t room, uint32_t identity,
    uint64_t offset, uint32_t index, struct frame_header *h, struct slice *payload)
{
    const size_t from = offsetof(struct frame_header, offset);
    const char *bytes = at;

    if (room < sizeof *h)
        return RECORD_CUT;
    memcpy(h, at, sizeof *h);
    if (h->magic != FRAME_MAGIC)
        return all_zero(at, sizeof *h) ? RECORD_ABSENT : RECORD_BAD;
    if (h->identity != identity || h->offset != offset || h->index != index ||
        h->length > CHECKPOINT_PIECE_MAX || h->kind < FRAME_PIECE || h->kind > FRAME_END)
        return RECORD_BAD;
    if (sizeof *h + h->length > room)
        return RECORD_CUT;
    if (h->crc != crc32c(0, bytes + from, sizeof *h - from + h->length))
        return RECORD_BAD;
    *payload = slice_of(bytes + sizeof *h, h->length);
    return RECORD_VALID;
}
