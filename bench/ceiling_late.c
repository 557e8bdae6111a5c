/* ceiling_late.c -- how late a line comes back that is sent each millisecond: beside a
 * load what a client that asks little has to wait for this machine alone. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench/ceiling.h"
#include "server/clock.h"

enum { EACH_NS = 1000000 };

static void sleep_until(int64_t at_ns)
{
    struct timespec t = {at_ns / 1000000000, at_ns % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        continue;
}

static void exchange(int fd)
{
    static const char request[] = "a001 NOOP\r\n";
    char got[64];

    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1 ||
        recv(fd, got, sizeof got, 0) <= 0)
        ceiling_fail("asking for a line");
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Each line counts from the moment when it was due, as `ringmail-bench --rate` has it. */
void ceiling_late(const struct ceiling_conf *conf)
{
    size_t count = (size_t)(conf->seconds * 1e9 / EACH_NS);
    struct ceiling_server s = {.answer = CEILING_ANSWER_LINE, .plain = true};
    int64_t *late = calloc(count, sizeof *late), due;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (!late || fd < 0)
        ceiling_fail("a client");
    ceiling_server_start(&s);
    if (connect(fd, (const struct sockaddr *)&s.at, sizeof s.at))
        ceiling_fail("connecting");
    due = clock_monotonic_ns();
    for (size_t i = 0; i < count; i++, due += EACH_NS) {
        sleep_until(due);
        exchange(fd);
        late[i] = clock_monotonic_ns() - due;
    }
    close(fd);
    ceiling_server_stop(&s);
    qsort(late, count, sizeof *late, by_size);
    ceiling_put(conf, "p50_us", (double)late[count / 2] / 1e3);
    ceiling_put(conf, "p99_us", (double)late[count * 99 / 100] / 1e3);
    free(late);
}
