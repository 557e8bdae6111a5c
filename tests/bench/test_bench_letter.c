/* Messages that follow from their number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/letter.h"

enum { FRONT_MAX = 256, USER = 12 };

struct fixture {
    struct options o;
    struct letters ls;
};

static void open_letters(struct fixture *f, const char *size, const char *mail)
{
    char why[OPTIONS_WHY_MAX];
    struct out out = out_of(why, sizeof why);
    char *argv[] = {"smtp", "--to", "127.0.0.1:25", "--size", (char *)(uintptr_t)size,
        "--mail", (char *)(uintptr_t)mail};

    assert_true(options_parse(&f->o, mail ? 7 : 5, argv, &out));
    assert_true(letters_open(&f->ls, &f->o, &out));
}

static void close_letters(struct fixture *f)
{
    letters_close(&f->ls);
    options_free(&f->o);
}

/* As a server would give it back, with its own fields in front. */
static struct slice make(const struct fixture *f, uint64_t number, const char *front)
{
    struct slice body = letter_body(&f->ls, number, false);
    char *at = malloc(FRONT_MAX + LETTER_HEAD_MAX + body.len + 2);
    size_t len = strlen(front);

    memcpy(at, front, len);
    len += letter_head(&f->ls, number, USER, at + len);
    memcpy(at + len, body.at, body.len);
    memcpy(at + len + body.len, "\r\n", 2);
    return slice_of(at, len + body.len + 2);
}

static void a_message_has_the_size_that_was_wanted(void **state)
{
    struct fixture f;

    (void)state;
    open_letters(&f, "1K-4K", NULL);
    for (uint64_t n = 0; n < 1000; n++) {
        struct slice text = make(&f, n, "");

        assert_int_equal(text.len, letter_size(&f.ls, n));
        assert_in_range(text.len, 1023, 4096);
        free((char *)(uintptr_t)text.at);
    }
    close_letters(&f);
}

static void lines_are_whole_and_need_no_dots(void **state)
{
    struct fixture f;

    (void)state;
    open_letters(&f, "500-3K", NULL);
    for (uint64_t n = 0; n < 500; n++) {
        struct slice text = make(&f, n, "");

        for (size_t i = 0; i < text.len; i++) {
            assert_true(text.at[i] != '\n' || text.at[i - 1] == '\r');
            assert_true(text.at[i] != '\r' || text.at[i + 1] == '\n');
            assert_true(text.at[i] != '.' || i == 0 || text.at[i - 1] != '\n');
        }
        free((char *)(uintptr_t)text.at);
    }
    close_letters(&f);
}

static void a_message_is_known_again(void **state)
{
    struct fixture f;
    uint64_t number;

    (void)state;
    open_letters(&f, "2K", NULL);
    for (uint64_t n = 0; n < 1ull << 40; n = n * 3 + 1) {
        struct slice text = make(&f, n, "Return-Path: <a@b>\r\nReceived: x\r\n y\r\n");

        assert_int_equal(letter_check(&f.ls, text, USER, &number), LETTER_SAME);
        assert_int_equal(number, n);
        assert_int_equal(letter_check(&f.ls, text, USER + 1, &number), LETTER_DIFFERENT);
        free((char *)(uintptr_t)text.at);
    }
    close_letters(&f);
}

/* One octet more, less or other, anywhere in it. */
static void every_change_is_seen(void **state)
{
    struct fixture f;
    uint64_t number;
    struct slice text;
    char *at;

    (void)state;
    open_letters(&f, "600", NULL);
    text = make(&f, 77, "");
    at = (char *)(uintptr_t)text.at;
    assert_int_equal(letter_check(&f.ls, text, USER, &number), LETTER_SAME);
    for (size_t i = 0; i < text.len; i++) {
        at[i] ^= 1;
        assert_int_not_equal(letter_check(&f.ls, text, USER, &number), LETTER_SAME);
        at[i] ^= 1;
        assert_int_not_equal(
            letter_check(&f.ls, slice_of(at, i), USER, &number), LETTER_SAME);
    }
    text.len--;
    assert_int_equal(letter_check(&f.ls, text, USER, &number), LETTER_DIFFERENT);
    free(at);
    text = make(&f, 77, "");
    at = realloc((char *)(uintptr_t)text.at, text.len + 2);
    memcpy(at + text.len, "\r\n", 2);
    assert_int_equal(
        letter_check(&f.ls, slice_of(at, text.len + 2), USER, &number), LETTER_DIFFERENT);
    free(at);
    close_letters(&f);
}

static void those_of_another_run_are_strange(void **state)
{
    struct fixture f, g;
    uint64_t number;
    struct slice text;

    (void)state;
    open_letters(&f, "600", NULL);
    open_letters(&g, "600", NULL);
    text = make(&f, 1, "");
    assert_int_equal(letter_check(&g.ls, text, USER, &number), LETTER_STRANGE);
    assert_int_equal(
        letter_check(&f.ls, S("Subject: x\r\n\r\ny\r\n"), USER, &number), LETTER_STRANGE);
    assert_int_equal(letter_check(&f.ls, S(""), USER, &number), LETTER_STRANGE);
    free((char *)(uintptr_t)text.at);
    close_letters(&f);
    close_letters(&g);
}

static void write_file(const char *folder, const char *name, struct slice text)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text.at, 1, text.len, f), text.len);
    fclose(f);
}

static void files_get_line_ends_and_dots(void **state)
{
    char folder[] = "/tmp/bench_letters_XXXXXX", path[256];
    struct fixture f;

    (void)state;
    assert_non_null(mkdtemp(folder));
    write_file(folder, "1", S("Subject: a\n\n.dot\r\n..\nlast"));
    write_file(folder, "2", S(""));
    write_file(folder, "3", S("Subject: b\r\n\r\nx\r\n"));
    open_letters(&f, "1K", folder);
    assert_int_equal(f.ls.file_count, 2);
    assert_true(slice_eq(
        letter_body(&f.ls, 0, false), S("Subject: a\r\n\r\n.dot\r\n..\r\nlast")));
    assert_true(slice_eq(
        letter_body(&f.ls, 2, true), S("Subject: a\r\n\r\n..dot\r\n...\r\nlast")));
    assert_true(slice_eq(letter_body(&f.ls, 1, true), S("Subject: b\r\n\r\nx")));
    close_letters(&f);
    for (char i = '1'; i <= '3'; i++) {
        snprintf(path, sizeof path, "%s/%c", folder, i);
        unlink(path);
    }
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_has_the_size_that_was_wanted),
        cmocka_unit_test(lines_are_whole_and_need_no_dots),
        cmocka_unit_test(a_message_is_known_again),
        cmocka_unit_test(every_change_is_seen),
        cmocka_unit_test(those_of_another_run_are_strange),
        cmocka_unit_test(files_get_line_ends_and_dots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
