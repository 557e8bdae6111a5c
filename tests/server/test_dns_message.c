/* The reader of DNS answers alone: what no server of the tests says in a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/dns_message.h"

/* --- building ----------------------------------------------------------- */

struct message {
    char at[70000];
    size_t len;
};

static void put(struct message *m, const void *at, size_t len)
{
    assert_true(m->len + len <= sizeof m->at);
    memcpy(m->at + m->len, at, len);
    m->len += len;
}

#define PUT(m, literal) put(m, literal, sizeof(literal) - 1)

static void put16(struct message *m, unsigned value)
{
    char octets[2] = {(char)(value >> 8), (char)value};

    put(m, octets, 2);
}

static void set_counts(struct message *m, unsigned answers, unsigned authorities)
{
    m->at[6] = (char)(answers >> 8);
    m->at[7] = (char)answers;
    m->at[8] = (char)(authorities >> 8);
    m->at[9] = (char)authorities;
}

/* A header and the question x.test at 12, test at 14. */
static void begin(struct message *m, unsigned type)
{
    m->len = 0;
    PUT(m, "\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1x\4test\0");
    put16(m, type);
    put16(m, 1);
}

/* Owner and data as bytes. */
static void put_record(struct message *m, const char *owner, size_t owner_len,
    unsigned type, unsigned ttl_s, const char *data, size_t len)
{
    put(m, owner, owner_len);
    put16(m, type);
    put16(m, 1);
    put16(m, ttl_s >> 16);
    put16(m, ttl_s & 0xffff);
    put16(m, (unsigned)len);
    put(m, data, len);
}

#define RECORD(m, owner, type, ttl_s, data) \
    put_record(m, owner, sizeof(owner) - 1, type, ttl_s, data, sizeof(data) - 1)

static struct dns_records *read_as(const struct message *m, enum dns_type type)
{
    static struct dns_records r;
    char *exact = malloc(m->len + 1); /* so that a sanitizer sees one octet too many */

    memset(&r, 0xee, sizeof r);
    memcpy(exact, m->at, m->len);
    exact = realloc(exact, m->len ? m->len : 1);
    dns_read(slice_of(exact, m->len), type, &r);
    free(exact);
    return &r;
}

static void assert_failed(const struct message *m, enum dns_type type, const char *why)
{
    struct dns_records *r = read_as(m, type);

    assert_int_equal(r->status, DNS_FAILED);
    assert_string_equal(r->why, why);
    assert_int_equal(r->count, 0);
}

/* --- tests -------------------------------------------------------------- */

static void make_plain(struct message *m)
{
    begin(m, DNS_MX);
    RECORD(m, "\xc0\x0c", DNS_MX, 300, "\0\x14\2b2\xc0\x0c");
    RECORD(m, "\1X\xc0\x0e", DNS_MX, 200, "\0\x0a\3Mx_\4-one\0");
    RECORD(m, "\1y\xc0\x0e", DNS_MX, 1, "\0\0\5wrong\0");
    set_counts(m, 3, 0);
}

static void a_plain_answer(void **state)
{
    struct message m;
    struct dns_records *r;

    (void)state;
    make_plain(&m);
    r = read_as(&m, DNS_MX);
    assert_int_equal(r->status, DNS_OK);
    assert_int_equal(r->count, 2);
    assert_int_equal(r->ttl_s, 200);
    assert_int_equal(r->exchanges[0].preference, 10);
    assert_string_equal(r->exchanges[0].name, "mx_.-one");
    assert_int_equal(r->exchanges[1].preference, 20);
    assert_string_equal(r->exchanges[1].name, "b2.x.test");
    assert_false(r->authentic);
    m.at[3] = (char)(m.at[3] | 0x20);
    assert_true(read_as(&m, DNS_MX)->authentic);
    m.at[3] = (char)(m.at[3] ^ 0x30); /* CD is not AD */
    assert_false(read_as(&m, DNS_MX)->authentic);
}

/* Cut anywhere it is refused whole: a part of the MX is not the MX. */
static void cut_at_every_octet(void **state)
{
    struct message m;
    size_t whole;

    (void)state;
    make_plain(&m);
    whole = m.len;
    for (m.len = 0; m.len < whole; m.len++)
        assert_failed(&m, DNS_MX, "malformed answer");
}

/* No octet, whatever it becomes, makes it read what is not there. */
static void every_octet_changed(void **state)
{
    struct message m;

    (void)state;
    make_plain(&m);
    for (size_t i = 0; i < m.len; i++)
        for (unsigned value = 0; value < 256; value++) {
            char was = m.at[i];
            struct dns_records *r;

            m.at[i] = (char)value;
            r = read_as(&m, DNS_MX);
            for (unsigned n = 0; n < r->count && r->status == DNS_OK; n++)
                assert_true(r->exchanges[n].name[0] == 0 ||
                    dns_is_name(slice_str(r->exchanges[n].name)));
            m.at[i] = was;
        }
}

static void heads_that_are_none(void **state)
{
    struct message m;

    (void)state;
    make_plain(&m);
    assert_failed(&m, DNS_A, "malformed answer"); /* another type */
    m.at[5] = 2;                                  /* two questions */
    assert_failed(&m, DNS_MX, "malformed answer");
    make_plain(&m);
    m.at[3] = (char)0x82;
    assert_failed(&m, DNS_MX, "error in the answer");
}

/* Pointers lead back, never on or in circles. */
static void pointers_in_circles(void **state)
{
    struct message m;
    struct dns_records *r;
    size_t at;

    (void)state;
    begin(&m, DNS_MX);
    at = m.len;
    RECORD(&m, "\xc0\x0c", DNS_MX, 60, "\0\x0a\1a\xc0\xff");
    set_counts(&m, 1, 0);
    for (unsigned target = 0; target < m.len + 8; target++) {
        m.at[at + 17] = (char)target; /* the last octet of the data */
        r = read_as(&m, DNS_MX);
        if (target == 12 || target == 14)
            assert_int_equal(r->status, DNS_OK);
        else if (target >= at + 14)
            assert_int_equal(r->status, DNS_BAD_NAME);
    }
    begin(&m, DNS_MX);
    at = m.len;
    PUT(&m, "\xc0");
    put(&m, &(char){(char)at}, 1); /* an owner that is itself */
    RECORD(&m, "", DNS_MX, 60, "\0\x0a\1a\0");
    set_counts(&m, 1, 0);
    assert_int_equal(read_as(&m, DNS_MX)->status, DNS_NO_DATA);
}

/* 253 octets as text and not one more. */
static void names_at_the_limit(void **state)
{
    char data[300];
    struct message m;

    (void)state;
    for (unsigned last = 60; last <= 63; last++) {
        size_t len = 2;
        struct dns_records *r;

        memcpy(data, "\0\x0a", 2);
        for (unsigned i = 0; i < 4; i++) {
            unsigned label = i < 3 ? 63 : last;

            data[len++] = (char)label;
            memset(data + len, 'x', label);
            len += label;
        }
        data[len++] = 0;
        begin(&m, DNS_MX);
        put_record(&m, "\xc0\x0c", 2, DNS_MX, 60, data, len);
        set_counts(&m, 1, 0);
        r = read_as(&m, DNS_MX);
        assert_int_equal(r->status, last <= 61 ? DNS_OK : DNS_BAD_NAME);
        if (last <= 61)
            assert_int_equal(strlen(r->exchanges[0].name), 192 + last);
    }
}

static void times_to_live(void **state)
{
    struct message m;

    (void)state;
    begin(&m, DNS_A);
    RECORD(&m, "\xc0\x0c", DNS_A, 0x80000001, "\xc0\0\2\1"); /* RFC 2181, 8 */
    set_counts(&m, 1, 0);
    assert_int_equal(read_as(&m, DNS_A)->ttl_s, 0);
    begin(&m, DNS_A);
    RECORD(&m, "\xc0\x0c", 5, 50, "\1a\0"); /* a chain lasts as its shortest link */
    RECORD(&m, "\1a\0", DNS_A, 70, "\xc0\0\2\1");
    set_counts(&m, 2, 0);
    assert_int_equal(read_as(&m, DNS_A)->ttl_s, 50);
    begin(&m, DNS_A);
    m.at[3] = (char)0x83;
    assert_int_equal(read_as(&m, DNS_A)->ttl_s, DNS_NEGATIVE_S);
    RECORD(&m, "\xc0\x0e", 6, 90, "\0\0................\0\0\0\x1e");
    set_counts(&m, 0, 1);
    assert_int_equal(read_as(&m, DNS_A)->status, DNS_NO_NAME);
    assert_int_equal(read_as(&m, DNS_A)->ttl_s, 30);
}

/* Data of the wrong length is no address, another class is another world. */
static void addresses_of_all_lengths(void **state)
{
    static const char bytes[20] = {1, 2, 3, 4, 5};
    struct message m;

    (void)state;
    for (size_t len = 0; len <= sizeof bytes; len++)
        for (unsigned six = 0; six < 2; six++) {
            enum dns_type type = six ? DNS_AAAA : DNS_A;

            begin(&m, type);
            put_record(&m, "\xc0\x0c", 2, type, 60, bytes, len);
            set_counts(&m, 1, 0);
            assert_int_equal(
                read_as(&m, type)->status, len == (six ? 16 : 4) ? DNS_OK : DNS_NO_DATA);
            m.at[m.len - len - 7] = 3; /* the class */
            assert_int_equal(read_as(&m, type)->status, DNS_NO_DATA);
        }
}

static void sixteen_of_all_that_fit(void **state)
{
    static struct message m;
    struct dns_records *r;

    (void)state;
    begin(&m, DNS_MX);
    for (unsigned i = 0; i < 3000; i++) {
        char data[] = {(char)((2999 - i) >> 8), (char)(2999 - i), 1, 'a', 0};

        put_record(&m, "\xc0\x0c", 2, DNS_MX, 60, data, sizeof data);
    }
    set_counts(&m, 3000, 0);
    r = read_as(&m, DNS_MX);
    assert_int_equal(r->count, DNS_EXCHANGES_MAX);
    for (unsigned i = 0; i < r->count; i++) /* of the first DNS_RECORDS_MAX */
        assert_int_equal(r->exchanges[i].preference, 3000 - DNS_RECORDS_MAX + i);
    begin(&m, DNS_A);
    for (unsigned i = 0; i < 100; i++)
        RECORD(&m, "\xc0\x0c", DNS_A, 60, "\xc0\0\2\1");
    set_counts(&m, 100, 0);
    assert_int_equal(read_as(&m, DNS_A)->count, DNS_ADDRESSES_MAX);
}

static void chains_of_aliases(void **state)
{
    struct message m;

    (void)state;
    for (unsigned links = 1; links <= DNS_ALIASES_MAX + 1; links++) {
        struct dns_records *r;

        begin(&m, DNS_A);
        for (unsigned i = links; i-- > 0;) { /* in any order */
            char owner[] = {1, (char)('a' + i), 0}, data[] = {1, (char)('b' + i), 0};

            put_record(&m, i ? owner : "\xc0\x0c", i ? 3 : 2, 5, 60, data, 3);
        }
        set_counts(&m, links, 0);
        r = read_as(&m, DNS_A);
        if (links > DNS_ALIASES_MAX) {
            assert_int_equal(r->status, DNS_FAILED);
            continue;
        }
        assert_int_equal(r->status, DNS_OK);
        assert_true(r->alias);
        assert_int_equal(r->target[0], 'a' + (int)links);
        assert_int_equal(r->count, 0);
    }
}

static void what_is_a_name(void **state)
{
    static const struct {
        struct slice text;
        bool good;
    } names[] = {{SI("a"), true}, {SI("a.b"), true}, {SI("a-b_c.9"), true},
        {SI(""), false}, {SI("."), false}, {SI("a."), false}, {SI(".a"), false},
        {SI("a..b"), false}, {SI("a b"), false}, {SI("a\0b"), false},
        {SI("\xc3\xbc"), false}};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(dns_is_name(names[i].text), names[i].good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_answer),
        cmocka_unit_test(cut_at_every_octet),
        cmocka_unit_test(every_octet_changed),
        cmocka_unit_test(heads_that_are_none),
        cmocka_unit_test(pointers_in_circles),
        cmocka_unit_test(names_at_the_limit),
        cmocka_unit_test(times_to_live),
        cmocka_unit_test(addresses_of_all_lengths),
        cmocka_unit_test(sixteen_of_all_that_fit),
        cmocka_unit_test(chains_of_aliases),
        cmocka_unit_test(what_is_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
