/* ringmail-ceiling -- measures what limits a mail server on this machine. */
#include "bench/ceiling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { EX_USAGE_STATUS = 64 };

static const struct {
    const char *name, *help;
    ceiling_fn *run;
    unsigned kib, depth;
} calibrations[] = {
    {"line", "a line in, a line out, one command a segment", ceiling_line, 0, 0},
    {"connect", "accept, one line each way, close", ceiling_connect, 0, 0},
    {"late", "a line each millisecond, and when it is answered", ceiling_late, 0, 0},
    {"receive", "bytes received over loopback", ceiling_receive, 0, 0},
    {"serve_2k", "a line in, a stored message of 2 KiB out", ceiling_serve, 2, 0},
    {"serve_10k", "the same of 10 KiB", ceiling_serve, 10, 0},
    {"serve_100k", "the same of 100 KiB", ceiling_serve, 100, 0},
    {"text_10k", "dot-unstuffing, copy and checksum of 10 KiB", ceiling_text, 10, 0},
    {"tls_handshake", "of TLS 1.3, full, P-256", ceiling_tls_handshake, 0, 0},
    {"tls_line", "a line in and out: opened and sealed", ceiling_tls_exchange, 0, 0},
    {"tls_10k", "a line in, 10 KiB out", ceiling_tls_exchange, 10, 0},
    {"commit_4k_x1", "durable append to a file in --dir", ceiling_commit, 4, 1},
    {"commit_4k_x4", "the same, 4 in flight", ceiling_commit, 4, 4},
    {"commit_64k_x1", "64 KiB", ceiling_commit, 64, 1},
    {"commit_64k_x4", "64 KiB, 4 in flight", ceiling_commit, 64, 4},
};
enum { CALIBRATIONS = sizeof calibrations / sizeof *calibrations };

/* --- what the calibrations share ------------------------------------------ */

void ceiling_put(const struct ceiling_conf *conf, const char *unit, double value)
{
    static const char *between = "";

    printf("%s\n  \"%s_%s\": %.3f", between, conf->name, unit, value);
    between = ",";
}

void ceiling_fail(const char *what)
{
    fprintf(stderr, "ringmail-ceiling: %s: %s\n", what, strerror(errno));
    exit(1);
}

struct ring *ceiling_ring(void)
{
    struct ring_conf conf = {
        .entries = 1024,
        .completions = 8192,
        .buffers = 1024,
        .buffer_bytes = 2048,
        .window = 256,
        .big_buffers = 64,
        .workers = 4,
    };
    char why[RING_WHY_MAX];
    struct ring *ring = ring_open(&conf, why, sizeof why);

    if (ring)
        return ring;
    fprintf(stderr, "ringmail-ceiling: %s\n", why);
    exit(1);
}

int64_t ceiling_process_cpu_ns(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000LL +
        (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000LL;
}

/* --- the command line ------------------------------------------------------ */

static void help(void)
{
    printf(
        "usage: ringmail-ceiling WHAT... [--seconds S] [--connections N] [--dir DIR]\n"
        "Prints one JSON object of figures. WHAT is all, or some of these, or the first\n"
        "word of some (commit):\n");
    for (unsigned i = 0; i < CALIBRATIONS; i++)
        printf("  %-13s  %s\n", calibrations[i].name, calibrations[i].help);
    printf("--seconds S      for each measurement, 0.05 to 60 (1)\n"
           "--connections N  of line and serve, 1 to 4096 (128); of tls 16 to 128\n"
           "--dir DIR        on the disk to measure; needs 64 MiB (.)\n");
}

static _Noreturn void usage(const char *flag, const char *value, const char *remedy)
{
    fprintf(stderr, "ringmail-ceiling: %s %s: %s\n", flag, value, remedy);
    exit(EX_USAGE_STATUS);
}

static double number(
    const char *flag, const char *text, double min, double max, const char *remedy)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !(value >= min && value <= max))
        usage(flag, text, remedy);
    return value;
}

static void set_flag(struct ceiling_conf *conf, const char *flag, const char *value)
{
    if (!strcmp(flag, "--seconds"))
        conf->seconds = number(flag, value, 0.05, 60, "give a number from 0.05 to 60");
    else if (!strcmp(flag, "--connections"))
        conf->connections =
            (unsigned)number(flag, value, 1, 4096, "give a number from 1 to 4096");
    else if (!strcmp(flag, "--dir"))
        conf->folder = value;
    else
        usage(flag, value, "no such flag; see ringmail-ceiling --help");
}

/* "tls" and "tls_line" are both what tls_line is called by; "tls_l" is not. */
static bool is_called(const char *calibration, const char *word)
{
    size_t len = strlen(word);

    return len && !strncmp(calibration, word, len) &&
        (calibration[len] == 0 || calibration[len] == '_');
}

static unsigned mask_of(const char *word)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < CALIBRATIONS; i++)
        if (!strcmp(word, "all") || is_called(calibrations[i].name, word))
            mask |= 1U << i;
    if (!mask)
        usage("WHAT", word, "give all, or one that ringmail-ceiling --help lists");
    return mask;
}

static void run(struct ceiling_conf conf, unsigned wanted)
{
    for (unsigned i = 0; i < CALIBRATIONS; i++) {
        if (!(wanted & 1U << i))
            continue;
        conf.name = calibrations[i].name;
        conf.kib = calibrations[i].kib;
        conf.depth = calibrations[i].depth;
        calibrations[i].run(&conf);
    }
}

int main(int argc, char **argv)
{
    struct ceiling_conf conf = {.seconds = 1, .connections = 128, .folder = "."};
    unsigned wanted = 0;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            help();
            return 0;
        }
        if (argv[i][0] != '-')
            wanted |= mask_of(argv[i]);
        else if (i + 1 == argc)
            usage(argv[i], "(nothing)", "give it a value");
        else
            set_flag(&conf, argv[i], argv[i + 1]), i++;
    }
    if (!wanted)
        usage("WHAT", "(nothing)", "give all, or one that ringmail-ceiling --help lists");
    printf("{");
    run(conf, wanted);
    printf("\n}\n");
    if (fflush(stdout) != 0)
        ceiling_fail("standard output");
    return 0;
}
