#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/imap/imap.h"

/* Leaves are keywords: "y" matches, "n" does not, "u" is unknown. `asked` is the list of
 * those that were asked for. */
static enum imap_match by_letter(const struct imap_key *key, void *asked)
{
    assert_int_equal(key->kind, IMAP_KEY_KEYWORD);
    out_put(asked, key->text);
    switch (key->text.at[0]) {
    case 'y':
        return IMAP_MATCH_YES;
    case 'n':
        return IMAP_MATCH_NO;
    default:
        return IMAP_MATCH_UNKNOWN;
    }
}

#define K "KEYWORD "

static void trees_are_matched(void **state)
{
    static const struct {
        struct slice text;
        enum imap_match want;
        struct slice asked, open;
    } cases[] = {
        {SI("ALL"), IMAP_MATCH_YES, SI(""), SI("")},
        {SI(K "y"), IMAP_MATCH_YES, SI("y"), SI("")},
        {SI(K "n"), IMAP_MATCH_NO, SI("n"), SI("")},
        {SI("UN" K "y"), IMAP_MATCH_NO, SI("y"), SI("")},
        {SI("NOT " K "n"), IMAP_MATCH_YES, SI("n"), SI("")},
        {SI("NOT UN" K "n"), IMAP_MATCH_NO, SI("n"), SI("")},
        {SI(K "y1 " K "y2 " K "n3 " K "y4"), IMAP_MATCH_NO, SI("y1y2n3"), SI("")},
        {SI("OR " K "n1 " K "y2"), IMAP_MATCH_YES, SI("n1y2"), SI("")},
        {SI("OR " K "y1 " K "n2"), IMAP_MATCH_YES, SI("y1"), SI("")},
        {SI("OR " K "n1 " K "n2"), IMAP_MATCH_NO, SI("n1n2"), SI("")},
        {SI(K "u1 " K "y2"), IMAP_MATCH_UNKNOWN, SI("u1y2"), SI("u1")},
        {SI(K "u1 " K "n2"), IMAP_MATCH_NO, SI("u1n2"), SI("")},
        {SI("OR " K "u1 " K "y2"), IMAP_MATCH_YES, SI("u1y2"), SI("")},
        {SI("OR " K "u1 " K "n2"), IMAP_MATCH_UNKNOWN, SI("u1n2"), SI("u1")},
        {SI("NOT " K "u1"), IMAP_MATCH_UNKNOWN, SI("u1"), SI("u1")},
        {SI("UN" K "u1"), IMAP_MATCH_UNKNOWN, SI("u1"), SI("u1")},
        {SI("OR " K "u1 " K "y2 " K "u3"), IMAP_MATCH_UNKNOWN, SI("u1y2u3"), SI("u3")},
        {SI("(" K "y1 NOT (" K "y2 " K "u3)) " K "u4"), IMAP_MATCH_UNKNOWN,
            SI("y1y2u3u4"), SI("u3")},
        {SI("OR (" K "u1 " K "n2) (" K "y3 " K "u4)"), IMAP_MATCH_UNKNOWN, SI("u1n2y3u4"),
            SI("u4")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena = arena_of(1 << 14);
        char text[256], asked[64];
        struct out line = out_of(text, sizeof text), log = out_of(asked, sizeof asked);
        const struct imap_key *open;
        struct imap_cmd cmd;

        out_str(&line, "a SEARCH ");
        out_put(&line, cases[i].text);
        out_str(&line, "\r\n");
        assert_int_equal(imap_parse(out_slice(&line), IMAP_STATE_SELECTED,
                             &imap_parse_defaults, &arena, &cmd),
            IMAP_ERROR_NONE);
        assert_int_equal(
            imap_search_match(&cmd.search, by_letter, &log, &open), cases[i].want);
        assert_true(slice_eq(out_slice(&log), cases[i].asked));
        assert_true(slice_eq(open ? open->text : S(""), cases[i].open));
        assert_int_equal(
            imap_search_match(&cmd.search, by_letter, &log, NULL), cases[i].want);
        arena_reset(&arena);
    }
}

static unsigned count_keys(const struct imap_key *key, bool *seen)
{
    unsigned count = 1;

    assert_false(seen[key->index]);
    seen[key->index] = true;
    if (key->kind == IMAP_KEY_AND || key->kind == IMAP_KEY_OR ||
        key->kind == IMAP_KEY_NOT)
        for (const struct imap_key *child = key->child; child; child = child->next)
            count += count_keys(child, seen);
    return count;
}

static void keys_are_numbered_and_their_kinds_known(void **state)
{
    struct arena arena = arena_of(1 << 14);
    bool seen[16] = {false};
    struct imap_cmd cmd;

    (void)state;
    assert_int_equal(imap_parse(S("a SEARCH OR (SEEN NEW) NOT TEXT x UID 1\r\n"),
                         IMAP_STATE_SELECTED, &imap_parse_defaults, &arena, &cmd),
        IMAP_ERROR_NONE);
    assert_int_equal(cmd.search.key_count, 8);
    assert_int_equal(count_keys(cmd.search.root, seen), 8);
    for (unsigned i = 0; i < 8; i++)
        assert_true(seen[i]);
    assert_int_equal(cmd.search.kinds,
        1 << IMAP_KEY_AND | 1 << IMAP_KEY_OR | 1 << IMAP_KEY_NOT | 1 << IMAP_KEY_FLAG |
            1 << IMAP_KEY_NEW | 1 << IMAP_KEY_TEXT | 1 << IMAP_KEY_UID);
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_are_matched),
        cmocka_unit_test(keys_are_numbered_and_their_kinds_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
