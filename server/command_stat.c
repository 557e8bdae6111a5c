/* command_stat.c -- ringmail stat: what a running server counts, once or again and again.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/command.h"
#include "server/stat_figures.h"

enum { WATCH_S_MAX = 86400 };

struct watch {
    const struct config *config;
    bool json, watch, clear;
    uint64_t seconds; /* between two views */
    uint64_t count;   /* of views; 0: until it is stopped */
};

/* --- showing ----------------------------------------------------------------- */

/* A terminal is written over from the top, and cleared behind what was written. The exit
 * status. */
static int show(const struct watch *v, const struct figures *f)
{
    if (v->json) {
        figures_json(f, stdout);
    } else if (v->clear) {
        fputs("\033[H", stdout);
        figures_text(f, v->config->data, "\033[K", stdout);
        fputs("\033[J", stdout);
    } else {
        figures_text(f, v->config->data, "", stdout);
        if (v->watch)
            putchar('\n');
    }
    return fflush(stdout) == 0
        ? EXIT_GOOD
        : command_failf(EXIT_FAILED, "standard output: %s", strerror(errno));
}

static void wait_until(int64_t at_ns)
{
    struct timespec at = {at_ns / 1000000000, at_ns % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
        ;
}

static int show_once(const struct watch *v)
{
    int status;
    struct figures *f = figures_ask(v->config, &status);

    if (f)
        status = show(v, f);
    figures_free(f);
    return status;
}

/* What has come since *before, which is replaced. */
static int show_next(const struct watch *v, struct figures **before, int64_t *before_ns)
{
    int status;
    int64_t now_ns = clock_monotonic_ns();
    struct figures *now = figures_ask(v->config, &status);
    struct figures *between;

    if (!now)
        return status;
    between = figures_between(*before, now, (double)(now_ns - *before_ns) / 1e9);
    if (between)
        status = show(v, between);
    else
        status = command_failf(EXIT_FAILED, "out of memory");
    figures_free(between);
    figures_free(*before);
    *before = now;
    *before_ns = now_ns;
    return status;
}

static int watch_on(const struct watch *v)
{
    int status;
    int64_t at_ns = clock_monotonic_ns(), before_ns = at_ns;
    struct figures *before = figures_ask(v->config, &status);

    if (before && v->clear)
        fputs("\033[2J", stdout);
    for (uint64_t i = 0; status == EXIT_GOOD && (v->count == 0 || i < v->count); i++) {
        at_ns += (int64_t)v->seconds * 1000000000;
        wait_until(at_ns);
        status = show_next(v, &before, &before_ns);
    }
    figures_free(before);
    return status;
}

/* --- the command line ---------------------------------------------------------- */

/* Takes out what only this command knows. */
static void take_own(struct watch *v, int *argc, char **argv)
{
    int kept = 0;

    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            v->json = true;
        else if (strcmp(argv[i], "--watch") == 0)
            v->watch = true;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
}

/* --watch SECONDS COUNT */
static bool take_operands(struct watch *v, char **operands, unsigned count, int *status)
{
    *status = EXIT_USAGE;
    if (count > 0 && !v->watch) {
        command_failf(EXIT_USAGE,
            "stat %s: what is it? To see the figures again and "
            "again write --watch %s",
            operands[0], operands[0]);
        return false;
    }
    v->seconds = 1;
    if (count > 0 &&
        (!config_seconds(slice_str(operands[0]), &v->seconds) || v->seconds == 0 ||
            v->seconds > WATCH_S_MAX)) {
        command_failf(EXIT_USAGE,
            "--watch %s: not a time of a second to a day; write --watch 5", operands[0]);
        return false;
    }
    if (count > 1 && (!slice_u64(slice_str(operands[1]), &v->count) || v->count == 0)) {
        command_failf(EXIT_USAGE,
            "--watch %s %s: not a number of views; write --watch %s 10", operands[0],
            operands[1], operands[0]);
        return false;
    }
    return true;
}

static int run(int argc, char **argv)
{
    struct watch v = {0};
    char *operands[2];
    unsigned count;
    struct config *c;
    int status;

    take_own(&v, &argc, argv);
    c = command_config(&command_stat, argc, argv, operands, 2, &count, &status);
    if (!c)
        return status;
    v.config = c;
    v.clear = v.watch && isatty(STDOUT_FILENO);
    if (take_operands(&v, operands, count, &status))
        status = v.watch ? watch_on(&v) : show_once(&v);
    config_free(c);
    return status;
}

static const char *const flags[] = {"data", "config", NULL};

#define GROUP_HELP(name)                 "\n" #name ":\n"
#define VALUE_HELP(name, of, flag, help) "  " #name ": " help "\n"
#define TIMES_HELP(name, flag, help)     "  " #name ": " help "\n"

const struct command command_stat = {
    .name = "stat",
    .synopsis = "--data DIR [--json] [--watch [SECONDS [COUNT]]]",
    .summary = "what a running server counts, and which flag it speaks to",
    .text = "Asks the running server what its threads and shards have counted since the "
            "start.\nBehind a figure stands what it is a part of, and the flag that it "
            "speaks to; what is\nzero is left out. --watch shows what came in the last "
            "SECONDS (1) instead, again and\nagain, or COUNT times. --json prints one "
            "object a view, in a line of its own, with all\nfigures. Times of operations "
            "are those that ended well, from the end of the command\nto the "
            "answer.\n" THREAD_STATS(GROUP_HELP, VALUE_HELP, VALUE_HELP, TIMES_HELP,
                TIMES_HELP) SHARD_STATS(GROUP_HELP, VALUE_HELP, VALUE_HELP, TIMES_HELP,
                TIMES_HELP)
                SERVER_STATS(GROUP_HELP, VALUE_HELP, VALUE_HELP, TIMES_HELP, TIMES_HELP),
    .flags = flags,
    .run = run,
};
