/* ceiling_net.c -- what the network layer of this machine allows: requests, connections,
 * bytes in, stored messages out. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/ceiling.h"
#include "server/clock.h"

enum {
    CONNECTING = 16,   /* clients that connect and close */
    RECEIVING = 8,     /* connections with text without end */
    ANSWER_BYTES = 16, /* of a line */
    TRIES_MAX = 100,
};

/* What the server did in a time, and with how much of its thread's CPU. */
struct span {
    uint64_t answered, bytes;
    double seconds, cpu_us;
};

static void pause_s(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds};

    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

/* Whether there is anything to divide by: answers, or bytes where there are none. */
static bool moved(const struct ceiling_server *s, uint64_t answered, uint64_t bytes)
{
    return s->answer == CEILING_ANSWER_SWALLOW ? s->bytes_in > bytes
                                               : s->answered > answered;
}

/* After a tenth of the time to warm up. */
static struct span measure(
    struct ceiling_server *s, struct ceiling_clients *c, double seconds)
{
    uint64_t answered, bytes;
    int64_t cpu, began;
    struct span span;

    ceiling_server_start(s);
    c->server = s;
    ceiling_clients_start(c);
    pause_s(seconds / 10 + 0.02);
    began = clock_monotonic_ns();
    cpu = ceiling_server_cpu_ns(s);
    answered = s->answered;
    bytes = s->bytes_in;
    /* On a machine that is busy with something else it may take longer. */
    for (unsigned i = 0; i < TRIES_MAX && !(i && moved(s, answered, bytes)); i++)
        pause_s(seconds);
    if (!moved(s, answered, bytes)) {
        errno = ETIMEDOUT;
        ceiling_fail("waiting for the first answer");
    }
    span = (struct span){
        .answered = s->answered - answered,
        .bytes = s->bytes_in - bytes,
        .seconds = (double)(clock_monotonic_ns() - began) / 1e9,
        .cpu_us = (double)(ceiling_server_cpu_ns(s) - cpu) / 1e3,
    };
    ceiling_clients_stop(c);
    ceiling_server_stop(s);
    return span;
}

static double each_us(const struct span *span)
{
    return span->cpu_us / (double)span->answered;
}

static void put(const struct ceiling_conf *conf, const struct span *span)
{
    ceiling_put(conf, "us", each_us(span));
    ceiling_put(conf, "per_s", (double)span->answered / span->seconds);
}

/* One connection alone leaves a ring nothing to gather: a thread that blocks on it can be
 * cheaper, and what is cheaper is the ceiling. */
static void answer_lines(const struct ceiling_conf *conf, enum ceiling_answer answer,
    int file, uint32_t file_bytes)
{
    unsigned ways = conf->connections == 1 ? 2 : 1;
    struct span best = {0};

    for (unsigned i = 0; i < ways; i++) {
        struct ceiling_server s = {
            .answer = answer, .plain = i == 1, .file = file, .file_bytes = file_bytes};
        struct ceiling_clients c = {.connections = conf->connections,
            .answer_bytes = file_bytes ? file_bytes : ANSWER_BYTES};
        struct span span = measure(&s, &c, conf->seconds);

        if (i == 0 || each_us(&span) < each_us(&best))
            best = span;
    }
    put(conf, &best);
}

void ceiling_line(const struct ceiling_conf *conf)
{
    answer_lines(conf, CEILING_ANSWER_LINE, -1, 0);
}

void ceiling_connect(const struct ceiling_conf *conf)
{
    struct ceiling_server s = {.answer = CEILING_ANSWER_LINE};
    struct ceiling_clients c = {
        .connections = CONNECTING, .answer_bytes = ANSWER_BYTES, .once = true};
    struct span span = measure(&s, &c, conf->seconds);

    put(conf, &span);
}

void ceiling_receive(const struct ceiling_conf *conf)
{
    struct ceiling_server s = {.answer = CEILING_ANSWER_SWALLOW};
    struct ceiling_clients c = {.connections = RECEIVING};
    struct span span = measure(&s, &c, conf->seconds);
    double megabytes = (double)span.bytes / 1e6;

    ceiling_put(conf, "us_per_mb", span.cpu_us / megabytes);
    ceiling_put(conf, "mb_per_s", megabytes / span.seconds);
}

/* A file that the page cache holds, removed before it is used. */
static int hot_file(const char *folder, uint32_t bytes)
{
    char name[4096], *text = malloc(bytes);
    int fd;

    snprintf(name, sizeof name, "%s/ceiling.XXXXXX", folder);
    fd = mkostemp(name, O_CLOEXEC);
    if (text)
        memset(text, 'm', bytes);
    if (!text || fd < 0 || unlink(name) || write(fd, text, bytes) != (ssize_t)bytes)
        ceiling_fail(name);
    free(text);
    return fd;
}

void ceiling_serve(const struct ceiling_conf *conf)
{
    uint32_t bytes = conf->kib << 10;
    int file = hot_file(conf->folder, bytes);

    answer_lines(conf, CEILING_ANSWER_FILE, file, bytes);
    close(file);
}
