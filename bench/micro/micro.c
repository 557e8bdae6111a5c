/* Measures the cases in turns with their references, and prints the table. */
#include "bench/micro/micro.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/micro/options.h"

enum { ROUNDS = 9, ROUNDS_WALL = 21, ROUNDS_QUICK = 2, ROUNDS_MAX = ROUNDS_WALL };

/* A disk changes its mind within seconds: turns are short, and more of them. */
static const int64_t round_cpu_ns = 25000000, round_wall_ns = 50000000;

static const struct micro *const tables[] = {
    micro_text, micro_imap, micro_mime, micro_index, micro_commit};

struct sample {
    double per_s;  /* units a second, by the clock of the case */
    double cpu_ns; /* for a unit, of all threads of the process */
};

struct figures {
    struct sample run[ROUNDS_MAX], reference[ROUNDS_MAX];
    double ratio[ROUNDS_MAX];
    unsigned rounds;
};

/* --- measuring ------------------------------------------------------------ */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static struct sample sample(
    const struct micro *m, micro_fn *fn, void *state, uint64_t passes, int64_t *took_ns)
{
    int64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), wall = clock_ns(CLOCK_MONOTONIC);
    double units = (double)fn(state, passes);

    wall = clock_ns(CLOCK_MONOTONIC) - wall;
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    *took_ns = m->wall ? wall : cpu;
    if (*took_ns < 1)
        *took_ns = 1;
    return (struct sample){units * 1e9 / (double)*took_ns, (double)cpu / units};
}

/* How many passes make a round; the calls it takes to find out warm caches up as well. */
static uint64_t passes_for(const struct micro *m, micro_fn *fn, void *state)
{
    int64_t target = m->wall ? round_wall_ns : round_cpu_ns, took = 0;
    uint64_t passes = 1;

    sample(m, fn, state, passes, &took);
    if (micro_options.quick)
        return passes;
    while (took < target / 4) {
        passes *= took < target / 40 ? 10 : 2;
        sample(m, fn, state, passes, &took);
    }
    passes = (uint64_t)((double)passes * (double)target / (double)took);
    return passes ? passes : 1;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_of(const struct sample *samples, unsigned n, bool cpu)
{
    double values[ROUNDS_MAX];

    for (unsigned i = 0; i < n; i++)
        values[i] = cpu ? samples[i].cpu_ns : samples[i].per_s;
    qsort(values, n, sizeof values[0], by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void measure(const struct micro *m, struct figures *f)
{
    void *state = m->open(m);
    uint64_t passes = passes_for(m, m->run, state);
    uint64_t others = passes_for(m, m->reference, state);
    int64_t took;

    f->rounds = micro_options.quick ? ROUNDS_QUICK : m->wall ? ROUNDS_WALL : ROUNDS;
    for (unsigned i = 0; i < f->rounds && !options_interrupted(); i++) {
        f->run[i] = sample(m, m->run, state, passes, &took);
        f->reference[i] = sample(m, m->reference, state, others, &took);
        f->ratio[i] = f->run[i].per_s / f->reference[i].per_s;
    }
    m->close(state);
    if (options_interrupted())
        exit(130);
    qsort(f->ratio, f->rounds, sizeof f->ratio[0], by_value);
}

/* --- printing ------------------------------------------------------------- */

static const char *rate_text(const struct micro *m, double per_s, char text[32])
{
    const char *unit = m->unit == MICRO_BYTES ? "B/s" : "/s";
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    unsigned p = 0;

    for (; per_s >= 999.5 && p + 1 < sizeof prefixes / sizeof *prefixes; p++)
        per_s /= 1000;
    snprintf(text, 32, "%.*f %s%s",
        per_s < 10        ? 2
            : per_s < 100 ? 1
                          : 0,
        per_s, prefixes[p], unit);
    return text;
}

static const char *cpu_text(const struct micro *m, double ns, char text[32])
{
    if (m->unit == MICRO_BYTES)
        snprintf(text, 32, "%.0f ns/KiB", ns * 1024);
    else
        snprintf(text, 32, "%.*f ns", ns < 100 ? 1 : 0, ns);
    return text;
}

static const char *ratio_text(double ratio, char text[16])
{
    snprintf(text, 16, "%.*f",
        ratio < 0.0995     ? 4
            : ratio < 9.95 ? 3
            : ratio < 99.5 ? 1
                           : 0,
        ratio);
    return text;
}

static void print_head(void)
{
    if (micro_options.json) {
        printf("[");
        return;
    }
    printf("%-22s %11s %13s   %-22s %11s %8s  %s\n", "case", "ringmail", "CPU each",
        "reference", "", "ratio", "middle half of the rounds");
}

/* The middle of the rounds, and where their middle half begins and ends. */
struct result {
    struct sample run, reference;
    double ratio, low, high;
};

static struct sample middle_of(const struct sample *samples, unsigned n)
{
    return (struct sample){median_of(samples, n, false), median_of(samples, n, true)};
}

static struct result result_of(const struct figures *f)
{
    unsigned n = f->rounds;

    return (struct result){.run = middle_of(f->run, n),
        .reference = middle_of(f->reference, n),
        .ratio = (f->ratio[(n - 1) / 2] + f->ratio[n / 2]) / 2,
        .low = f->ratio[n / 4],
        .high = f->ratio[n - 1 - n / 4]};
}

static void print_json(const struct micro *m, const struct result *r, unsigned rounds)
{
    printf("{\"case\":\"%s\",\"unit\":\"%s\",\"clock\":\"%s\",", m->name,
        m->unit == MICRO_BYTES ? "bytes" : "times", m->wall ? "wall" : "cpu");
    printf("\"per_second\":%.6g,\"cpu_ns_each\":%.6g,", r->run.per_s, r->run.cpu_ns);
    printf("\"reference\":\"%s\",\"reference_per_second\":%.6g,"
           "\"reference_cpu_ns_each\":%.6g,",
        m->against, r->reference.per_s, r->reference.cpu_ns);
    printf("\"ratio\":%.6g,\"ratio_low\":%.6g,\"ratio_high\":%.6g,\"rounds\":%u}",
        r->ratio, r->low, r->high, rounds);
}

static void print_line(const struct micro *m, const struct figures *f, bool first)
{
    struct result r = result_of(f);
    char text[3][32], ratios[3][16];

    if (micro_options.json) {
        printf("%s\n", first ? "" : ",");
        print_json(m, &r, f->rounds);
    } else {
        printf("%-22s %11s %13s   %-22s %11s %8s  %s..%s\n", m->name,
            rate_text(m, r.run.per_s, text[0]), cpu_text(m, r.run.cpu_ns, text[1]),
            m->against, rate_text(m, r.reference.per_s, text[2]),
            ratio_text(r.ratio, ratios[0]), ratio_text(r.low, ratios[1]),
            ratio_text(r.high, ratios[2]));
    }
    fflush(stdout);
}

static void print_foot(void)
{
    if (micro_options.json)
        printf("\n]\n");
    else
        printf(
            "\nRatio: the speed of ringmail by that of the reference, measured in turns;"
            " above 1 is faster.\nBy CPU time; log-* and raw-* by the clock, on %s.\n",
            micro_options.dir);
}

/* --- all ------------------------------------------------------------------ */

static bool wanted(const struct micro *m)
{
    return !micro_options.only || strstr(m->name, micro_options.only);
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    options_parse(argc, argv);
    for (unsigned t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct micro *m = tables[t]; m->name; m++) {
            struct figures figures;

            if (!wanted(m))
                continue;
            if (count++ == 0 && !micro_options.list)
                print_head();
            if (micro_options.list) {
                printf("%s\n", m->name);
                continue;
            }
            measure(m, &figures);
            print_line(m, &figures, count == 1);
        }
    if (count == 0)
        options_bad(
            "--only", micro_options.only, "give a word out of a name that --list prints");
    if (!micro_options.list)
        print_foot();
    if (fflush(stdout) != 0)
        micro_die("standard output: %s", strerror(errno));
    return 0;
}
