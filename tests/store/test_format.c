/* The framing: checksums, headers, and what each flipped bit of them does. */
#include "store/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* CRC-32C as RFC 3720, appendix B.4 defines it, bit by bit. */
static uint32_t crc_plain(uint32_t crc, const unsigned char *at, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78U : 0);
    }
    return ~crc;
}

/* The examples of RFC 3720, appendix B.4. */
static void crc_of_the_standard(void **state)
{
    unsigned char bytes[32];

    (void)state;
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x8a9136aaU);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x62a8ab43U);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x46dd794eU);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283U);
}

static void crc_of_every_length_and_alignment(void **state)
{
    enum { LONGEST = 7000 };
    unsigned char *bytes = malloc(LONGEST + 8);

    (void)state;
    for (size_t i = 0; i < LONGEST + 8; i++)
        bytes[i] = (unsigned char)(i * 2654435761U >> 13);
    for (size_t n = 0; n < LONGEST; n += n < 800 ? 1 : 61) {
        const unsigned char *at = bytes + n % 8;
        uint32_t want = crc_plain(0, at, n);

        assert_int_equal(crc32c(0, at, n), want);
        assert_int_equal(crc32c(crc32c(0, at, n / 3), at + n / 3, n - n / 3), want);
    }
    free(bytes);
}

enum { IDENTITY = 0x1234abcd, OFFSET = 4096 + 88, PAYLOAD = 100 };

static size_t a_record(char *at)
{
    struct record_header h = {
        .seq = 77,
        .length = PAYLOAD,
        .offset = OFFSET,
        .identity = IDENTITY,
        .kind = RECORD_FLAGS,
        .flags = 3,
    };

    memset(at, 0, record_span(PAYLOAD));
    memcpy(at, &h, sizeof h);
    for (unsigned i = 0; i < PAYLOAD; i++)
        at[sizeof h + i] = (char)i;
    record_finish(at);
    return record_span(PAYLOAD);
}

static enum record_check check_at(const char *at, size_t room)
{
    struct record_header h;
    struct slice payload;

    return record_check(at, room, IDENTITY, OFFSET, &h, &payload);
}

static void record_is_read_back(void **state)
{
    _Alignas(8) char at[256];
    size_t span = a_record(at);
    struct record_header h;
    struct slice payload;

    (void)state;
    assert_int_equal(span, 32 + 104);
    assert_int_equal(
        record_check(at, span, IDENTITY, OFFSET, &h, &payload), RECORD_VALID);
    assert_int_equal(h.seq, 77);
    assert_int_equal(h.kind, RECORD_FLAGS);
    assert_int_equal(h.flags, 3);
    assert_int_equal(payload.len, PAYLOAD);
    assert_memory_equal(payload.at, at + 32, PAYLOAD);
}

/* D09: each bit of header and payload matters. */
static void every_flipped_bit_is_found(void **state)
{
    _Alignas(8) char at[256];

    (void)state;
    a_record(at);
    for (size_t bit = 0; bit < (32 + PAYLOAD) * 8; bit++) {
        at[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_not_equal(check_at(at, sizeof at), RECORD_VALID);
        at[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_int_equal(check_at(at, sizeof at), RECORD_VALID);
}

static void record_cut_at_every_byte_is_cut(void **state)
{
    _Alignas(8) char at[256];

    (void)state;
    a_record(at);
    for (size_t n = 0; n < 32 + PAYLOAD; n++) {
        char *exact = malloc(n ? n : 1);

        memcpy(exact, at, n);
        assert_int_equal(check_at(exact, n), RECORD_CUT);
        free(exact);
    }
}

/* D15, D17: the right bytes at the wrong place, or of another segment. */
static void record_of_elsewhere_is_none(void **state)
{
    _Alignas(8) char at[256];
    struct record_header h;
    struct slice payload;

    (void)state;
    a_record(at);
    assert_int_equal(
        record_check(at, 256, IDENTITY, OFFSET + 8, &h, &payload), RECORD_BAD);
    assert_int_equal(
        record_check(at, 256, IDENTITY + 1, OFFSET, &h, &payload), RECORD_BAD);
    memset(at, 0, sizeof at);
    assert_int_equal(
        record_check(at, 256, IDENTITY, OFFSET, &h, &payload), RECORD_ABSENT);
}

static void unknown_kind_is_bad(void **state)
{
    _Alignas(8) char at[256];
    struct record_header *h = (void *)at;

    (void)state;
    a_record(at);
    for (unsigned kind = 0; kind < 256; kind++) {
        h->kind = (uint8_t)kind;
        record_finish(at);
        assert_int_equal(
            check_at(at, 256), record_kind_text(kind) ? RECORD_VALID : RECORD_BAD);
    }
}

static struct segment_header a_header(char block[FORMAT_BLOCK])
{
    struct segment_header h = {
        .store_id = 0xfeed,
        .shard = 2,
        .number = 9,
        .epoch = 4,
        .cut = (uint64_t)8 << 32 | 8192,
        .segment_bytes = 1 << 20,
    };

    segment_header_write(&h, block);
    return h;
}

static void segment_header_survives_one_bad_copy(void **state)
{
    static char block[FORMAT_BLOCK];
    struct segment_header want = a_header(block), got;
    unsigned copies;

    (void)state;
    assert_int_equal(segment_header_read(block, &got, &copies), STATUS_OK);
    assert_int_equal(copies, 2);
    for (size_t bit = 0; bit < sizeof want * 8; bit++) {
        for (size_t copy = 0; copy <= SEGMENT_COPY_AT; copy += SEGMENT_COPY_AT) {
            block[copy + bit / 8] ^= (char)(1 << bit % 8);
            assert_int_equal(segment_header_read(block, &got, &copies), STATUS_OK);
            assert_int_equal(copies, 1);
            assert_memory_equal(&got, &want, sizeof want);
            block[copy + bit / 8] ^= (char)(1 << bit % 8);
        }
    }
    block[40] ^= 1;
    block[SEGMENT_COPY_AT + 50] ^= 1;
    assert_int_equal(segment_header_read(block, &got, &copies), STATUS_CORRUPT);
}

static void newer_version_is_refused(void **state)
{
    static char block[FORMAT_BLOCK];
    struct segment_header h = a_header(block), got;
    struct checkpoint_header c = {.number = 1}, read;
    unsigned copies;

    (void)state;
    for (size_t copy = 0; copy <= SEGMENT_COPY_AT; copy += SEGMENT_COPY_AT) {
        h.version = FORMAT_VERSION + 1;
        h.crc = 0;
        h.crc = crc32c(0, &h, sizeof h);
        memcpy(block + copy, &h, sizeof h);
    }
    assert_int_equal(segment_header_read(block, &got, &copies), STATUS_INVALID);

    checkpoint_header_write(&c, block);
    assert_int_equal(
        checkpoint_header_read(slice_of(block, FORMAT_BLOCK), &read), STATUS_OK);
    c.version = FORMAT_VERSION + 1;
    c.crc = 0;
    c.crc = crc32c(0, &c, sizeof c);
    assert_int_equal(
        checkpoint_header_read(slice_of((char *)&c, sizeof c), &read), STATUS_INVALID);
}

static void identities_differ(void **state)
{
    enum { COUNT = 4096 };
    static uint32_t seen[COUNT];

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        seen[i] = segment_identity(1, i & 3, i >> 2 & 31, i >> 7);
        assert_int_not_equal(seen[i], 0);
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(seen[k], seen[i]);
    }
    assert_int_not_equal(segment_identity(1, 0, 1, 1), segment_identity(2, 0, 1, 1));
    assert_int_not_equal(segment_identity(1, 0, 1, 1), checkpoint_identity(1, 0, 1, 1));
}

static void every_flipped_bit_of_a_frame_is_found(void **state)
{
    _Alignas(8) char at[128] = {0};
    struct frame_header h = {.offset = 72,
        .length = 40,
        .identity = IDENTITY,
        .index = 1,
        .kind = FRAME_PIECE};
    struct slice payload;

    (void)state;
    memcpy(at, &h, sizeof h);
    memset(at + sizeof h, 7, 40);
    frame_finish(at);
    for (size_t bit = 0; bit < 72 * 8; bit++) {
        at[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_not_equal(
            frame_check(at, 128, IDENTITY, 72, 1, &h, &payload), RECORD_VALID);
        at[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_int_equal(frame_check(at, 128, IDENTITY, 72, 1, &h, &payload), RECORD_VALID);
    assert_int_equal(frame_check(at, 128, IDENTITY, 72, 2, &h, &payload), RECORD_BAD);
    assert_int_equal(frame_check(at, 128, IDENTITY, 80, 1, &h, &payload), RECORD_BAD);
    assert_int_equal(frame_check(at, 71, IDENTITY, 72, 1, &h, &payload), RECORD_CUT);
}

static void segment_numbers_are_dealt_out(void **state)
{
    static const struct {
        uint64_t from;
        uint32_t lanes, lane, number;
    } cases[] = {
        {0, 0, 0, 1},
        {0, 1, 0, 1},
        {7, 0, 0, 7},
        {UINT32_MAX, 0, 0, UINT32_MAX},
        {(uint64_t)UINT32_MAX + 1, 0, 0, 0},
        {0, 2, 0, 1},
        {0, 2, 1, SEGMENT_BLOCK},
        {SEGMENT_BLOCK - 1, 2, 0, SEGMENT_BLOCK - 1},
        {SEGMENT_BLOCK, 2, 0, 2 * SEGMENT_BLOCK},
        {2 * SEGMENT_BLOCK + 5, 3, 1, 4 * SEGMENT_BLOCK},
        {2 * SEGMENT_BLOCK + 5, 3, 2, 2 * SEGMENT_BLOCK + 5},
        {UINT32_MAX, 2, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            segment_number_from(cases[i].from, cases[i].lanes, cases[i].lane),
            cases[i].number);
    for (uint32_t n = 1; n < 40 * SEGMENT_BLOCK; n++) { /* each has one owner */
        unsigned owners = 0;

        for (uint32_t lane = 0; lane < 5; lane++)
            owners += segment_number_from(n, 5, lane) == n;
        assert_int_equal(owners, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_of_the_standard),
        cmocka_unit_test(crc_of_every_length_and_alignment),
        cmocka_unit_test(record_is_read_back),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(record_cut_at_every_byte_is_cut),
        cmocka_unit_test(record_of_elsewhere_is_none),
        cmocka_unit_test(unknown_kind_is_bad),
        cmocka_unit_test(segment_header_survives_one_bad_copy),
        cmocka_unit_test(newer_version_is_refused),
        cmocka_unit_test(segment_numbers_are_dealt_out),
        cmocka_unit_test(identities_differ),
        cmocka_unit_test(every_flipped_bit_of_a_frame_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
