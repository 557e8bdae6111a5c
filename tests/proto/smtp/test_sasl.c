#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/sasl/sasl.h"
#include "tests/proto/base/fence.h"

/* RFC 4648, 10, and what may not pass for base64. */
static void base64_is_strict(void **state)
{
    static const struct {
        struct slice text;
        bool good;
        struct slice bytes;
    } cases[] = {
        {SI(""), true, SI("")},
        {SI("Zg=="), true, SI("f")},
        {SI("Zm8="), true, SI("fo")},
        {SI("Zm9v"), true, SI("foo")},
        {SI("Zm9vYg=="), true, SI("foob")},
        {SI("Zm9vYmE="), true, SI("fooba")},
        {SI("Zm9vYmFy"), true, SI("foobar")},
        {SI("AP/+"), true, SI("\0\xff\xfe")},
        {SI("Zg="), false, SI("")},
        {SI("Zg"), false, SI("")},
        {SI("Z"), false, SI("")},
        {SI("Zh=="), false, SI("")}, /* pad bits */
        {SI("Zm9="), false, SI("")}, /* pad bits */
        {SI("Zg==Zg=="), false, SI("")},
        {SI("Zg==="), false, SI("")},
        {SI("===="), false, SI("")},
        {SI("Z==="), false, SI("")},
        {SI("Z=9v"), false, SI("")},
        {SI("=m9v"), false, SI("")},
        {SI("Zm9v\r\n"), false, SI("")},
        {SI("Zm9 "), false, SI("")},
        {SI("Zm9-"), false, SI("")},
        {SI("Zm_v"), false, SI("")},
        {SI("Zm9\0"), false, SI("")},
        {SI("Zm9\xe9"), false, SI("")},
        {SI("!!!!"), false, SI("")},
    };
    struct fence fence = fence_make();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char room[64];
        struct out out = out_of(room, sizeof room);

        out_put(&out, S("x"));
        assert_int_equal(
            base64_decode(&out, fence_end(&fence, cases[i].text)), cases[i].good);
        assert_int_equal(out.len, 1 + cases[i].bytes.len);
        assert_memory_equal(room + 1, cases[i].bytes.at, cases[i].bytes.len);
    }
    fence_free(&fence);
}

static void base64_goes_out_and_comes_back(void **state)
{
    struct fence fence = fence_make();

    (void)state;
    for (size_t n = 0; n <= 256; n++) {
        char octets[256], text_room[400], back_room[256];
        struct out text = out_of(text_room, sizeof text_room);
        struct out back = out_of(back_room, n);

        for (size_t i = 0; i < n; i++)
            octets[i] = (char)(i * 7 + n);
        base64_encode(&text, fence_end(&fence, slice_of(octets, n)));
        assert_int_equal(text.len, base64_size(n));
        assert_true(base64_decode(&back, out_slice(&text)));
        assert_int_equal(back.len, n);
        assert_memory_equal(back_room, octets, n);
        if (n) {
            back = out_of(back_room, n - 1);
            assert_false(base64_decode(&back, out_slice(&text)));
        }
    }
    fence_free(&fence);
}

static enum sasl_result plain(struct sasl *s, char *buffer, struct slice message)
{
    char text_room[8192];
    struct out text = out_of(text_room, sizeof text_room);

    base64_encode(&text, message);
    assert_false(text.full);
    sasl_start(s, SASL_PLAIN, buffer, SASL_BUFFER_MIN);
    return sasl_initial(s, out_slice(&text), true);
}

static void plain_messages_are_judged(void **state)
{
    static const struct {
        struct slice message;
        enum sasl_result result;
    } cases[] = {
        {SI("\0ann@here.test\0secret"), SASL_DONE},
        {SI("ann\0ann\0secret"), SASL_DONE},
        {SI("Ann\0ann\0 sec ret "), SASL_DONE},
        {SI("\0\xc3\xa9va\0gr\xc3\xbc\xc3\x9f"), SASL_DONE},
        {SI(""), SASL_MALFORMED},
        {SI("ann"), SASL_MALFORMED},
        {SI("\0ann"), SASL_MALFORMED},
        {SI("\0ann\0secret\0x"), SASL_MALFORMED},
        {SI("\0ann\0secret\0"), SASL_MALFORMED},
        {SI("\0\xff\xfe\0secret"), SASL_MALFORMED},
        {SI("\0ann\0\xff"), SASL_MALFORMED},
        {SI("\0\0"), SASL_REFUSED},
        {SI("\0\0secret"), SASL_REFUSED},
        {SI("\0ann\0"), SASL_REFUSED},
        {SI("bob\0ann\0secret"), SASL_REFUSED},
        {SI("\0a\nb\0secret"), SASL_REFUSED},
        {SI("\0a\x7f\0secret"), SASL_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char buffer[SASL_BUFFER_MIN];
        struct sasl s;

        assert_int_equal(plain(&s, buffer, cases[i].message), cases[i].result);
        sasl_wipe(&s);
    }
}

static void plain_takes_names_up_to_the_limits(void **state)
{
    static const struct {
        size_t name, password;
        enum sasl_result result;
    } cases[] = {
        {SASL_NAME_MAX, SASL_PASSWORD_MAX, SASL_DONE},
        {SASL_NAME_MAX + 1, 1, SASL_REFUSED},
        {1, SASL_PASSWORD_MAX + 1, SASL_REFUSED},
        {SASL_NAME_MAX + 1, SASL_PASSWORD_MAX, SASL_REFUSED},
        {3000, 3000, SASL_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char buffer[SASL_BUFFER_MIN], message[6100];
        size_t n = cases[i].name, total = n + 2 + cases[i].password;
        struct sasl s;

        memset(message, 'a', sizeof message);
        message[0] = message[n + 1] = '\0';
        assert_int_equal(plain(&s, buffer, slice_of(message, total)), cases[i].result);
        if (cases[i].result == SASL_DONE) {
            assert_int_equal(s.user.len, n);
            assert_int_equal(s.password.len, cases[i].password);
        }
        sasl_wipe(&s);
    }
}

static void exchanges_go_by_challenge_and_answer(void **state)
{
    char buffer[SASL_BUFFER_MIN];
    struct sasl s;

    (void)state;
    sasl_start(&s, SASL_PLAIN, buffer, sizeof buffer);
    assert_int_equal(sasl_initial(&s, S(""), false), SASL_CHALLENGE);
    assert_int_equal(s.challenge.len, 0);
    assert_int_equal(sasl_line(&s, S("AGFubgBzZWNyZXQ=")), SASL_DONE);
    assert_true(slice_eq(s.user, S("ann")));
    assert_true(slice_eq(s.password, S("secret")));

    sasl_start(&s, SASL_LOGIN, buffer, sizeof buffer);
    assert_int_equal(sasl_initial(&s, S(""), false), SASL_CHALLENGE);
    assert_true(slice_eq(s.challenge, S("VXNlcm5hbWU6")));
    assert_int_equal(sasl_line(&s, S("YW5u")), SASL_CHALLENGE);
    assert_true(slice_eq(s.challenge, S("UGFzc3dvcmQ6")));
    assert_int_equal(sasl_line(&s, S("c2VjcmV0")), SASL_DONE);
    assert_true(slice_eq(s.user, S("ann")));
    assert_true(slice_eq(s.password, S("secret")));

    sasl_start(&s, SASL_LOGIN, buffer, sizeof buffer);
    assert_int_equal(sasl_initial(&s, S("YW5u"), true), SASL_CHALLENGE);
    assert_true(slice_eq(s.challenge, S("UGFzc3dvcmQ6")));
    assert_int_equal(sasl_line(&s, S("")), SASL_REFUSED);
    sasl_wipe(&s);
}

static void exchanges_end_where_they_are_broken_off(void **state)
{
    static const struct {
        enum sasl_mechanism mechanism;
        struct slice initial; /* at == NULL: none */
        struct slice lines[2];
        enum sasl_result result;
    } cases[] = {
        {SASL_PLAIN, SI("="), {{0}}, SASL_MALFORMED},
        {SASL_PLAIN, SI("!!!!"), {{0}}, SASL_MALFORMED},
        {SASL_PLAIN, SI("@@@"), {{0}}, SASL_MALFORMED},
        {SASL_PLAIN, SI("*"), {{0}}, SASL_MALFORMED},
        {SASL_PLAIN, {NULL, 0}, {SI("*")}, SASL_CANCELLED},
        {SASL_PLAIN, {NULL, 0}, {SI("")}, SASL_MALFORMED},
        {SASL_PLAIN, {NULL, 0}, {SI("=")}, SASL_MALFORMED},
        {SASL_LOGIN, SI("="), {{0}}, SASL_REFUSED},
        {SASL_LOGIN, {NULL, 0}, {SI("*")}, SASL_CANCELLED},
        {SASL_LOGIN, {NULL, 0}, {SI("YW5u"), SI("*")}, SASL_CANCELLED},
        {SASL_LOGIN, {NULL, 0}, {SI("YW5u"), SI("x")}, SASL_MALFORMED},
        {SASL_LOGIN, {NULL, 0}, {SI("YQBi")}, SASL_MALFORMED}, /* a NUL b */
        {SASL_LOGIN, {NULL, 0}, {SI("//79")}, SASL_MALFORMED}, /* no UTF-8 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char buffer[SASL_BUFFER_MIN];
        enum sasl_result result;
        struct sasl s;

        sasl_start(&s, cases[i].mechanism, buffer, sizeof buffer);
        result = sasl_initial(&s, cases[i].initial, cases[i].initial.at);
        for (size_t k = 0; k < 2 && result == SASL_CHALLENGE; k++)
            result = sasl_line(&s, cases[i].lines[k]);
        assert_int_equal(result, cases[i].result);
        sasl_wipe(&s);
    }
}

static void nothing_is_left_of_a_password(void **state)
{
    char buffer[SASL_BUFFER_MIN], zeros[SASL_BUFFER_MIN] = {0};
    struct sasl s;

    (void)state;
    assert_int_equal(plain(&s, buffer, S("\0ann\0secret")), SASL_DONE);
    assert_memory_not_equal(buffer, zeros, 12);
    sasl_wipe(&s);
    assert_memory_equal(buffer, zeros, sizeof buffer);
    assert_null(s.password.at);
    sasl_wipe(&s); /* again does no harm */
}

static void mechanisms_have_names(void **state)
{
    (void)state;
    assert_int_equal(sasl_mechanism_of(S("plain")), SASL_PLAIN);
    assert_int_equal(sasl_mechanism_of(S("Login")), SASL_LOGIN);
    assert_int_equal(sasl_mechanism_of(S("CRAM-MD5")), SASL_NONE);
    assert_int_equal(sasl_mechanism_of(S("")), SASL_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(base64_goes_out_and_comes_back),
        cmocka_unit_test(plain_messages_are_judged),
        cmocka_unit_test(plain_takes_names_up_to_the_limits),
        cmocka_unit_test(exchanges_go_by_challenge_and_answer),
        cmocka_unit_test(exchanges_end_where_they_are_broken_off),
        cmocka_unit_test(nothing_is_left_of_a_password),
        cmocka_unit_test(mechanisms_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
