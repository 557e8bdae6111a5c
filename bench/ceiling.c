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
} calibrations[] = {
    {"line", "a line in, a line out, one command a segment", ceiling_line},
    {"connect", "accept, one line each way, close", ceiling_connect},
    {"receive", "bytes received over loopback", ceiling_receive},
    {"serve", "a line in, a stored 10 KiB message out", ceiling_serve},
    {"text", "dot-unstuffing, copy and checksum of 10 KiB", ceiling_text},
    {"tls", "handshake and records of TLS 1.3, P-256", ceiling_tls},
    {"commit", "durable appends to a file in --dir", ceiling_commit},
};
enum { CALIBRATIONS = sizeof calibrations / sizeof *calibrations };

/* --- what the calibrations share ------------------------------------------ */

void ceiling_put(const char *name, double value)
{
    static const char *between = "";

    printf("%s\n  \"%s\": %.3f", between, name, value);
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
    printf("usage: ringmail-ceiling WHAT... [--seconds S] [--connections N] [--dir DIR]\n"
           "Prints one JSON object of figures. WHAT is all, or some of:\n");
    for (unsigned i = 0; i < CALIBRATIONS; i++)
        printf("  %-8s  %s\n", calibrations[i].name, calibrations[i].help);
    printf("--seconds S      for each measurement, 0.05 to 60 (1)\n"
           "--connections N  of line and serve, 1 to 4096 (128)\n"
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

static unsigned mask_of(const char *name)
{
    if (!strcmp(name, "all"))
        return (1U << CALIBRATIONS) - 1;
    for (unsigned i = 0; i < CALIBRATIONS; i++)
        if (!strcmp(name, calibrations[i].name))
            return 1U << i;
    usage("WHAT", name, "give all, or one that ringmail-ceiling --help lists");
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
    for (unsigned i = 0; i < CALIBRATIONS; i++)
        if (wanted & 1U << i)
            calibrations[i].run(&conf);
    printf("\n}\n");
    if (fflush(stdout) != 0)
        ceiling_fail("standard output");
    return 0;
}
