/* Senders of forwarded mail, there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/base/check.h"
#include "proto/smtp/srs.h"

enum { NOW = 1772442000, DAY = 86400 };

/* As good as an HMAC for what is tested here. */
static void mac(void *arg, unsigned key, struct slice text, uint8_t out[SRS_MAC_BYTES])
{
    uint64_t hash = slice_hash(text, ((const uint64_t *)arg)[key]);

    memset(out, 0, SRS_MAC_BYTES);
    memcpy(out, &hash, sizeof hash);
}

static uint64_t ours[] = {7, 8}, next[] = {9, 7}, theirs[] = {11};

static const struct srs us = {SI("us.test"), 2, mac, ours},
                        later = {SI("us.test"), 2, mac, next},
                        them = {SI("b.test"), 1, mac, theirs};

static bool forward(const struct srs *srs, const char *sender, char at[1024])
{
    struct out out = out_of(at, 1023);
    bool good = srs_forward(srs, slice_str(sender), NOW, &out);

    at[out.len] = 0;
    return good;
}

static enum srs_result reverse(
    const struct srs *srs, const char *address, int64_t now_s, char at[1024])
{
    struct out out = out_of(at, 1023);
    struct smtp_path path;
    enum srs_result result;

    assert_true(smtp_mailbox(slice_str(address), true, &path));
    result = srs_reverse(srs, &path, now_s, &out);
    at[out.len] = 0;
    return result;
}

static const char *const senders[] = {
    "anna@a.test",
    "Anna.B=c+d-e@A.test",
    "\"a b\"@a.test",
    "\"a\\\"b\\\\c\"@a.test",
    "\"a@b\"@a.test",
    "x@[192.0.2.1]",
    "x@[IPv6:2001:db8::1]",
    "\xc3\xbc@b\xc3\xbc.test",
    "SRS@a.test",
    "SRS0x@a.test",
    "SRS2=a=b@a.test",
    "srs1=a@a.test",
};

static void there_and_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof senders / sizeof *senders; i++) {
        char made[1024], back[1024];
        struct smtp_path path;

        assert_true(forward(&us, senders[i], made));
        assert_true(smtp_mailbox(slice_str(made), true, &path));
        assert_true(srs_is(&path));
        assert_true(slice_eq(path.domain, us.domain));
        assert_int_equal(reverse(&us, made, NOW, back), SRS_OK);
        assert_string_equal(back, senders[i]);
        assert_int_equal(reverse(&later, made, NOW, back), SRS_OK); /* an older key */
        assert_int_equal(reverse(&them, made, NOW, back), SRS_FORGED);
    }
}

static void how_they_look(void **state)
{
    char made[1024], again[1024], thrice[1024], back[1024], want[1024];

    (void)state;
    assert_true(forward(&them, "anna@a.test", made));
    assert_memory_equal(made, "SRS0=", 5);
    assert_string_equal(made + 5 + SRS_HASH_OCTETS, "=BC=a.test=anna@b.test");
    assert_true(forward(&us, made, again));
    assert_memory_equal(again, "SRS1=", 5);
    snprintf(want, sizeof want, "=b.test==%.*s=BC=a.test=anna@us.test", SRS_HASH_OCTETS,
        made + 5);
    assert_string_equal(again + 5 + SRS_HASH_OCTETS, want);
    /* a third server: the first one stays, the second is forgotten */
    assert_true(forward(&(struct srs){S("c.test"), 1, mac, theirs}, again, thrice));
    snprintf(want, sizeof want, "=b.test==%.*s=BC=a.test=anna@c.test", SRS_HASH_OCTETS,
        made + 5);
    assert_string_equal(thrice + 5 + SRS_HASH_OCTETS, want);
    assert_int_equal(reverse(&us, again, NOW, back), SRS_OK);
    assert_string_equal(back, made);
    assert_int_equal(reverse(&them, back, NOW, back), SRS_OK);
    assert_string_equal(back, "anna@a.test");
    /* what others make: other separators, longer hashes */
    assert_true(forward(&us, "SRS0+hash=AB=x.test=y@b.test", again));
    assert_non_null(strstr(again, "=b.test=+hash=AB=x.test=y@us.test"));
    assert_int_equal(reverse(&us, again, NOW, back), SRS_OK);
    assert_string_equal(back, "SRS0+hash=AB=x.test=y@b.test");
}

/* Servers on the way may change the case. */
static void case_does_not_matter(void **state)
{
    char made[1024], back[1024];

    (void)state;
    assert_true(forward(&us, "Anna@A.test", made));
    for (char *at = made; *at; at++)
        *at = ascii_lower(*at);
    assert_int_equal(reverse(&us, made, NOW, back), SRS_OK);
    assert_string_equal(back, "anna@a.test");
}

static void every_change_is_a_forgery(void **state)
{
    char made[1024], again[1024], back[1024];

    (void)state;
    assert_true(forward(&us, "anna@a.test", made));
    assert_true(forward(&us, "SRS0=hash=AB=x.test=y@b.test", again));
    for (unsigned n = 0; n < 2; n++) {
        char *text = n == 0 ? made : again;
        size_t end = slice_find(slice_str(text), '@');

        for (size_t i = 0; i < end; i++) {
            char was = text[i];
            struct smtp_path path;

            for (unsigned k = 0; k < 2; k++) {
                text[i] = ascii_lower(was) == "x9"[k] ? 'q' : "x9"[k];
                if (!smtp_mailbox(slice_str(text), true, &path))
                    continue;
                assert_int_equal(reverse(&us, text, NOW, back), SRS_FORGED);
            }
            text[i] = was;
        }
        for (size_t i = 1; i < end; i++) { /* cut */
            char text_cut[1024];

            struct smtp_path path;

            snprintf(text_cut, sizeof text_cut, "%.*s@us.test", (int)i, text);
            if (!smtp_mailbox(slice_str(text_cut), true, &path))
                continue; /* a dot at the end */
            assert_int_equal(reverse(&us, text_cut, NOW, back), SRS_FORGED);
        }
        assert_int_equal(reverse(&us, text, NOW, back), SRS_OK);
    }
}

static void valid_for_three_weeks(void **state)
{
    static const struct {
        int days;
        enum srs_result result;
    } cases[] = {{-1, SRS_EXPIRED}, {0, SRS_OK}, {1, SRS_OK}, {21, SRS_OK},
        {22, SRS_EXPIRED}, {500, SRS_EXPIRED}, {1023, SRS_EXPIRED}, {1024, SRS_OK}};
    char made[1024], back[1024];

    (void)state;
    assert_true(forward(&us, "anna@a.test", made));
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(reverse(&us, made, NOW + (int64_t)cases[i].days * DAY, back),
            cases[i].result);
    assert_true(forward(&us, "SRS0=hash=AB=x.test=y@b.test", made));
    assert_int_equal(reverse(&us, made, NOW + 500ll * DAY, back), SRS_OK);
}

static void what_does_not_fit(void **state)
{
    char text[1024], made[1024], back[1024];

    (void)state;
    assert_false(forward(&us, "", made));
    assert_false(forward(&us, "anna", made));
    assert_false(forward(&us, "anna@", made));
    assert_false(forward(&us, "anna@[x:a=b]", made)); /* would be cut there */
    for (int len = 200; len <= 256; len++) {
        bool fits = len + (int)strlen("SRS0=123456=BC=a.test=") <= SMTP_LOCAL_MAX;

        snprintf(text, sizeof text, "%0*d@a.test", len, 0);
        assert_int_equal(forward(&us, text, made), fits);
        if (fits)
            assert_int_equal(reverse(&us, made, NOW, back), SRS_OK);
    }
    for (size_t cap = 0; cap < 40; cap++) {
        struct out out = out_of(made, cap);

        assert_int_equal(srs_forward(&us, S("anna@a.test"), NOW, &out),
            cap >= strlen("SRS0=123456=BC="
                          "a.test=anna@"
                          "us.test"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(how_they_look),
        cmocka_unit_test(case_does_not_matter),
        cmocka_unit_test(every_change_is_a_forgery),
        cmocka_unit_test(valid_for_three_weeks),
        cmocka_unit_test(what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
