/* Addresses as text: what was written is what was read, and it fits or says that it
 * does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/address.h"

static void text_is_what_was_parsed(void **state)
{
    static const char *const texts[] = {"0.0.0.0", "255.255.255.255", "127.0.0.1",
        "192.0.2.10", "9.99.100.0", "::1", "2001:db8::1", "fe80::ffff:0:1"};
    char with_port[ADDRESS_TEXT_MAX + 8], at[ADDRESS_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        bool six = strchr(texts[i], ':') != NULL;
        struct address a;

        snprintf(with_port, sizeof with_port, six ? "[%s]:25" : "%s:25", texts[i]);
        assert_true(address_parse(slice_str(with_port), &a));
        assert_true(slice_eq(address_text(&a, at, sizeof at), slice_str(texts[i])));
    }
}

static void what_does_not_fit_is_not_cut(void **state)
{
    struct address a;
    char *at;

    (void)state;
    assert_true(address_parse(S("192.0.2.10:25"), &a));
    for (size_t cap = 1; cap <= 10; cap++) {
        at = malloc(cap); /* its end is watched by the sanitizer */
        assert_non_null(at);
        assert_true(
            slice_eq(address_text(&a, at, cap), cap < 10 ? S("?") : S("192.0.2.10")));
        free(at);
    }
}

static void a_local_peer_has_no_address(void **state)
{
    struct address a = {.family = AF_UNIX};
    char at[ADDRESS_TEXT_MAX];

    (void)state;
    assert_true(slice_eq(address_text(&a, at, sizeof at), S("local")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_what_was_parsed),
        cmocka_unit_test(what_does_not_fit_is_not_cut),
        cmocka_unit_test(a_local_peer_has_no_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
