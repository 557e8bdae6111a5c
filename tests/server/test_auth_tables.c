#include "tests/server/admin_support.h"

#include "server/auth_tables.h"

/* The published vectors of SipHash-2-4 with 128 bits of output: key 00..0f, message
 * 00, 01, 02 ... of the given length. */
static const struct {
    unsigned len;
    uint64_t first, second;
} vectors[] = {
    {0, 0xe6a825ba047f81a3, 0x930255c71472f66d},
    {1, 0x44af996bd8c187da, 0x45fc229b11597634},
};

static void test_digest(void **state)
{
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    const char message[2] = {0, 1};

    (void)state;
    for (unsigned i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct slice part = slice_of(message, vectors[i].len);
        struct digest d = digest_of(key, &part, 1);

        assert_int_equal(d.half[0], vectors[i].first);
        assert_int_equal(d.half[1], vectors[i].second);
    }
}

/* However the message is cut, the digest is the same. */
static void test_digest_parts(void **state)
{
    const uint64_t key[2] = {1, 2};
    struct slice whole = S("a message of more than two words of eight octets");
    struct digest wanted = digest_of(key, &whole, 1);

    (void)state;
    for (size_t i = 0; i <= whole.len; i++) {
        struct slice parts[2] = {
            slice_of(whole.at, i), slice_of(whole.at + i, whole.len - i)};
        struct digest d = digest_of(key, parts, 2);

        assert_memory_equal(&d, &wanted, sizeof d);
    }
}

static void test_recent(void **state)
{
    struct recent *r = calloc(1, sizeof *r);
    struct digest d, other;

    (void)state;
    r->key[0] = 5;
    d = remembered_digest(r, S("a@x"), S("{CRYPT}h"), S("pw"));
    other = remembered_digest(r, S("a@x"), S("{CRYPT}h2"), S("pw"));
    assert_memory_not_equal(&d, &other, sizeof d);
    other = remembered_digest(r, S("a@xp"), S("{CRYPT}h"), S("w"));
    assert_memory_not_equal(&d, &other, sizeof d);
    assert_false(remembered_has(r, &d, 100));
    remembered_add(r, &d, 100, 10);
    assert_true(remembered_has(r, &d, 100));
    assert_true(remembered_has(r, &d, 109));
    assert_false(remembered_has(r, &d, 110));
    assert_false(remembered_has(r, &other, 100));
    remembered_add(r, &other, 100, 0); /* --auth-cache 0 */
    assert_false(remembered_has(r, &other, 100));
    free(r);
}

/* More than fits a row: the one that ends first makes room. */
static void test_recent_forgets_the_oldest(void **state)
{
    struct recent *r = calloc(1, sizeof *r);
    struct digest d[TABLE_WAYS + 1];

    (void)state;
    for (unsigned i = 0; i <= TABLE_WAYS; i++) {
        d[i] = (struct digest){{7, i}};
        remembered_add(r, &d[i], 100 + i, 50);
    }
    assert_false(remembered_has(r, &d[0], 120));
    for (unsigned i = 1; i <= TABLE_WAYS; i++)
        assert_true(remembered_has(r, &d[i], 120));
    free(r);
}

static void test_failures(void **state)
{
    struct failures *f = calloc(1, sizeof *f);

    (void)state;
    assert_int_equal(failures_of(f, 1, 1000), 0);
    for (int i = 0; i < 8; i++)
        failures_add(f, 1, 1000);
    assert_int_equal(failures_of(f, 1, 1000), 8);
    assert_int_equal(failures_of(f, 2, 1000), 0);
    assert_int_equal(failures_of(f, 1, 1000 + FAILURE_HALF_S), 4);
    assert_int_equal(failures_of(f, 1, 1000 + 4 * FAILURE_HALF_S), 0);
    assert_int_equal(failures_of(f, 1, UINT32_MAX), 0);
    failures_add(f, 1, 1000 + FAILURE_HALF_S);
    assert_int_equal(failures_of(f, 1, 1000 + FAILURE_HALF_S), 5);
    free(f);
}

/* A million addresses take no more memory than one, and what was seen last is kept. */
static void test_failures_are_bounded(void **state)
{
    struct failures *f = calloc(1, sizeof *f);
    unsigned kept = 0;

    (void)state;
    for (uint64_t i = 0; i < 1000000; i++)
        failures_add(f, i << 20, (uint32_t)(1000 + i / 1000));
    for (uint64_t i = 999000; i < 1000000; i++)
        kept += failures_of(f, i << 20, 2000) == 1;
    assert_true(kept > 900);
    free(f);
}

static void test_source(void **state)
{
    struct address v4 = {.family = AF_INET, .bytes = {[10] = 0xff, 0xff, 192, 0, 2, 1}};
    struct address w4 = v4, v6 = {.family = AF_INET6, .bytes = {0x20, 1, 0xd, 0xb8}};
    struct address w6 = v6;

    (void)state;
    w4.bytes[15] = 2;
    assert_true(failure_source(&v4) != failure_source(&w4));
    w6.bytes[15] = 9; /* the same /64 */
    assert_true(failure_source(&v6) == failure_source(&w6));
    w6.bytes[7] = 1;
    assert_true(failure_source(&v6) != failure_source(&w6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_digest_parts),
        cmocka_unit_test(test_recent),
        cmocka_unit_test(test_recent_forgets_the_oldest),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_failures_are_bounded),
        cmocka_unit_test(test_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
