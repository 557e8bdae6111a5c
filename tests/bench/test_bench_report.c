/* Figures of a run, as they are printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/mode.h"
#include "bench/report.h"

struct fixture {
    struct options o;
    struct tally sum;
    struct figures f;
    char *text;
    size_t len;
};

static struct fixture *make(const char *target)
{
    struct fixture *x = calloc(1, sizeof *x);

    assert_non_null(x);
    x->o.mode = MODE_LMTP;
    x->o.to.text = target;
    x->o.connections = 10;
    x->sum.operations = 100;
    x->f = (struct figures){.o = &x->o,
        .mode = mode_smtp,
        .sum = &x->sum,
        .seconds = 1,
        .cpu = {.known = true, .total_ns = 1000000},
        .kept = true,
        .memory = 9000,
        .memory_idle = 1000,
        .memory_ready = 5000,
        .memory_held = 5000};
    return x;
}

static void drop(struct fixture *x)
{
    free(x->text);
    free(x);
}

static void print(struct fixture *x, void (*what)(const struct figures *f, FILE *to))
{
    FILE *to;

    free(x->text);
    to = open_memstream(&x->text, &x->len);
    assert_non_null(to);
    what(&x->f, to);
    fclose(to);
}

static void a_thread_without_rest_is_the_limit(void **state)
{
    (void)state;
    assert_int_equal(report_limit(0, 0), LIMIT_NONE);
    assert_int_equal(report_limit(89, 0), LIMIT_NONE);
    assert_int_equal(report_limit(90, 0), LIMIT_DRIVER);
    assert_int_equal(report_limit(95, 5), LIMIT_DRIVER);
    assert_int_equal(report_limit(60, 29), LIMIT_NONE);
    assert_int_equal(report_limit(60, 35), LIMIT_CPUS);
}

static void the_limit_is_told(void **state)
{
    struct fixture *x = make("127.0.0.1:24");

    (void)state;
    print(x, report_words);
    assert_null(strstr(x->text, "bottleneck"));
    x->f.busy_percent = 97;
    print(x, report_words);
    assert_non_null(strstr(x->text, "the driver is the bottleneck: more --threads"));
    print(x, report_json);
    assert_non_null(strstr(x->text, "\"bottleneck\": true, \"limit\": \"driver\""));
    x->f.busy_percent = 50;
    x->f.waited_percent = 48;
    print(x, report_words);
    assert_non_null(strstr(x->text, "the CPUs are the bottleneck"));
    print(x, report_json);
    assert_non_null(strstr(x->text, "\"bottleneck\": false, \"limit\": \"cpus\""));
    drop(x);
}

static void memory_is_of_connections_and_of_operations(void **state)
{
    struct fixture *x = make("127.0.0.1:24");

    (void)state;
    print(x, report_words);
    assert_non_null(
        strstr(x->text, "400 octets a connection; grew by 40.0 octets an operation"));
    print(x, report_json);
    assert_non_null(
        strstr(x->text, "\"memory_per_connection\": 400, \"memory_per_op\": 40.0"));
    print(x, report_csv);
    assert_non_null(strstr(x->text, ",9000,400,40.0,"));
    x->f.kept = false; /* each operation has its own */
    print(x, report_csv);
    assert_non_null(strstr(x->text, ",9000,,40.0,"));
    x->f.memory = x->f.memory_ready = x->f.memory_idle = -1;
    print(x, report_csv);
    assert_non_null(strstr(x->text, ",,,,"));
    print(x, report_json);
    assert_non_null(strstr(x->text, "\"memory_bytes\": null"));
    drop(x);
}

/* RFC 4180, 2.5 to 2.7. */
static void csv_fields_are_quoted_where_they_must(void **state)
{
    static const char *const pairs[][2] = {{"unix:/run/lmtp", "lmtp,,unix:/run/lmtp,10,"},
        {"unix:/a,b", "lmtp,,\"unix:/a,b\",10,"},
        {"unix:/a\"b", "lmtp,,\"unix:/a\"\"b\",10,"},
        {"unix:/a\nb", "lmtp,,\"unix:/a\nb\",10,"}};

    (void)state;
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct fixture *x = make(pairs[i][0]);

        print(x, report_csv);
        assert_memory_equal(x->text, pairs[i][1], strlen(pairs[i][1]));
        drop(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_without_rest_is_the_limit),
        cmocka_unit_test(the_limit_is_told),
        cmocka_unit_test(memory_is_of_connections_and_of_operations),
        cmocka_unit_test(csv_fields_are_quoted_where_they_must),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
