#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "tests/server/admin_support.h"

#include "server/log.h"

/* Standard error as a pipe; the test's own end is `from`. */
static int saved = -1, from = -1;

static void capture(void)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    from = ends[0];
}

static size_t take(char *at, size_t cap)
{
    size_t len = 0;
    ssize_t n;

    fcntl(from, F_SETFL, O_NONBLOCK);
    while (len < cap - 1 && (n = read(from, at + len, cap - 1 - len)) > 0)
        len += (size_t)n;
    at[len] = 0;
    return len;
}

static void release(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(from);
}

static unsigned lines_in(const char *text, const char *with)
{
    unsigned count = 0;

    while ((text = strstr(text, with))) {
        count++;
        text += strlen(with);
    }
    return count;
}

/* --- values ------------------------------------------------------------ */

static const struct {
    struct slice value;
    const char *line;
} values[] = {
    {SI("anna@x.test"), "anna@x.test"},
    {SI(""), "\"\""},
    {SI("two words"), "\"two words\""},
    {SI("a=b"), "\"a=b\""},
    {SI("say \"x\""), "\"say \\\"x\\\"\""},
    {SI("back\\slash"), "\"back\\\\slash\""},
    {SI("line\r\nforged=1"), "\"line\\x0d\\x0aforged=1\""},
    {SI("nul\0!"), "\"nul\\x00!\""},
    {SI("\033[31m"), "\"\\x1b[31m\""},
    {SI("\xff\xc3\xa4"), "\"\\xff\\xc3\\xa4\""},
    {SI("\x7f"), "\"\\x7f\""},
};

static void test_values(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        char buffer[256];
        struct out out = out_of(buffer, sizeof buffer);

        event_value(&out, values[i].value);
        if (!slice_eq(out_slice(&out), slice_str(values[i].line)))
            fail_msg("%u: %.*s", i, (int)out.len, out.at);
    }
}

static void test_long_value_is_cut(void **state)
{
    char value[EVENT_VALUE_MAX + 1], buffer[4 * EVENT_VALUE_MAX];
    struct out out = out_of(buffer, sizeof buffer);

    (void)state;
    memset(value, 'v', sizeof value);
    event_value(&out, slice_of(value, sizeof value));
    assert_int_equal(out.len, EVENT_VALUE_MAX + 5);
    assert_memory_equal(out.at + out.len - 4, "...\"", 4);
}

/* --- lines ------------------------------------------------------------- */

static void say(enum log_level level, struct slice value)
{
    struct event e;

    if (!event_begin(&e, level, "thing"))
        return;
    event_text(&e, "user", value);
    event_number(&e, "n", 7);
    event_end(&e);
}

static void test_a_line(void **state)
{
    char text[1024];
    int year;

    (void)state;
    capture();
    logger_set(LEVEL_INFO, false, 1000);
    say(LEVEL_INFO, S("an na"));
    say(LEVEL_DEBUG, S("unseen"));
    logger_set(LEVEL_DEBUG, true, 1000);
    say(LEVEL_ERROR, S("x"));
    take(text, sizeof text);
    release();
    assert_int_equal(sscanf(text, "%d-", &year), 1);
    assert_non_null(
        strstr(text, "Z info thing user=\"an na\" n=7\n<3>thing user=x n=7\n"));
    assert_null(strstr(text, "unseen"));
}

/* What has no room is left out whole; the line still ends. */
static void test_full_line(void **state)
{
    char text[8192], value[EVENT_VALUE_MAX];
    struct event e;

    (void)state;
    memset(value, 'v', sizeof value);
    capture();
    logger_set(LEVEL_INFO, true, 1000);
    assert_true(event_begin(&e, LEVEL_INFO, "thing"));
    for (int i = 0; i < 10; i++)
        event_text(&e, "key", slice_of(value, sizeof value));
    event_end(&e);
    take(text, sizeof text);
    release();
    assert_int_equal(lines_in(text, " key="), 3);
    assert_int_equal(lines_in(text, "\n"), 1);
    assert_true(strlen(text) <= EVENT_BYTES_MAX);
}

/* --- the writer -------------------------------------------------------- */

static void *say_many(void *arg)
{
    unsigned *count = arg;

    assert_true(logger_attach());
    for (unsigned i = 0; i < *count; i++)
        say(LEVEL_INFO, S("abcdefgh"));
    return NULL;
}

static void test_lines_of_threads_arrive_whole(void **state)
{
    static char text[1 << 20];
    unsigned count = 500;
    pthread_t threads[3];

    (void)state;
    capture();
    fcntl(from, F_SETPIPE_SZ, 1 << 20);
    logger_set(LEVEL_INFO, true, 1000000);
    assert_true(logger_start());
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, say_many, &count);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    logger_stop();
    take(text, sizeof text);
    release();
    assert_int_equal(lines_in(text, "<6>thing user=abcdefgh n=7\n"), 1500);
    assert_int_equal(lines_in(text, "\n"), 1500);
}

/* A line alone is written without another one behind it, whether it may wait or not. */
static void test_a_line_alone_arrives(void **state)
{
    static const enum log_level levels[] = {LEVEL_INFO, LEVEL_WARNING, LEVEL_INFO};
    char text[256];

    (void)state;
    capture();
    logger_set(LEVEL_INFO, true, 1000000);
    assert_true(logger_start());
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        struct pollfd p = {.fd = from, .events = POLLIN};

        say(levels[i], S("alone"));
        assert_int_equal(poll(&p, 1, 10000), 1);
        take(text, sizeof text);
        assert_int_equal(lines_in(text, "thing user=alone n=7\n"), 1);
    }
    logger_stop();
    release();
}

/* Nobody reads: the threads go on, the lines that did not fit are counted. */
static void test_blocked_reader_stops_no_thread(void **state)
{
    static char text[1 << 20];
    unsigned count = 20000;
    pthread_t thread;

    (void)state;
    capture();
    fcntl(from, F_SETPIPE_SZ, 4096);
    logger_set(LEVEL_INFO, true, 1000000);
    assert_true(logger_start());
    pthread_create(&thread, NULL, say_many, &count);
    pthread_join(thread, NULL); /* a thread that waited for the reader would not end */
    fcntl(from, F_SETPIPE_SZ, 1 << 20);
    logger_stop(); /* the pipe has room again: what is left is written */
    take(text, sizeof text);
    release();
    assert_true(lines_in(text, "<6>thing") < count);
    assert_non_null(strstr(text, "log-dropped lines="));
}

static void test_stop_does_not_wait_for_ever(void **state)
{
    unsigned count = 20000;
    pthread_t thread;

    (void)state;
    capture();
    fcntl(from, F_SETPIPE_SZ, 4096);
    logger_set(LEVEL_INFO, true, 1000000);
    assert_true(logger_start());
    pthread_create(&thread, NULL, say_many, &count);
    pthread_join(thread, NULL);
    logger_stop();
    release();
}

static void test_rate(void **state)
{
    static char text[1 << 18];
    struct timespec second = {1, 50000000};
    unsigned count;

    (void)state;
    capture();
    fcntl(from, F_SETPIPE_SZ, 1 << 18);
    logger_set(LEVEL_INFO, true, 10);
    assert_true(logger_start());
    for (int i = 0; i < 1000; i++)
        say(LEVEL_INFO, S("flood"));
    for (int i = 0; i < 30; i++)
        event_say(LEVEL_INFO, "other", NULL, NULL);
    nanosleep(&second, NULL);
    say(LEVEL_INFO, S("after"));
    logger_stop();
    take(text, sizeof text);
    release();
    count = lines_in(text, "user=flood");
    assert_true(count >= 10 && count <= 20); /* the second may have changed on the way */
    assert_true(lines_in(text, "<6>other") <= 20);
    assert_non_null(strstr(text, "suppressed="));
    assert_non_null(strstr(text, "user=after"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_long_value_is_cut),
        cmocka_unit_test(test_a_line),
        cmocka_unit_test(test_full_line),
        cmocka_unit_test(test_lines_of_threads_arrive_whole),
        cmocka_unit_test(test_a_line_alone_arrives),
        cmocka_unit_test(test_blocked_reader_stops_no_thread),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_stop_does_not_wait_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
