/* main.c -- one run of ringmail-bench: options, engine, figures. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/mode.h"
#include "bench/report.h"
#include "server/clock.h"

enum { EXIT_GOOD = 0, EXIT_BAD = 1, EXIT_USAGE = 64, HELP_BYTES = 32 << 10 };

/* What is seen of the server, and when. */
struct run {
    struct options options;
    struct bench bench;
    struct watch watch;
    struct watch_cpu cpu_before, cpu_after;
    struct watch_disk disk_before, disk_after;
    int64_t memory_idle, memory_ready, memory_over;
    struct progress shown;
    bool progress;
};

static struct bench *running; /* for the signal handler */

static void on_signal(int number)
{
    (void)number;
    running->stop = true;
}

static int fail(int status, struct slice text)
{
    fprintf(stderr, "ringmail-bench: %.*s\n", (int)text.len, text.at);
    return status;
}

/* --- while it runs -------------------------------------------------------- */

static void on_before(void *arg)
{
    struct run *r = arg;

    r->memory_idle = watch_memory(&r->watch);
}

static void on_ready(void *arg)
{
    struct run *r = arg;

    r->memory_ready = watch_memory(&r->watch);
    r->disk_before = watch_disk(&r->watch);
    r->cpu_before = watch_cpu(&r->watch);
}

static void on_tick(void *arg, struct bench *b)
{
    struct run *r = arg;

    if (r->progress)
        report_progress(&r->shown, b, clock_monotonic_ns(), stderr);
    if (b != &r->bench && r->bench.stop)
        b->stop = true; /* one that reads back what ours has sent */
}

static void on_over(void *arg)
{
    struct run *r = arg;

    r->cpu_after = watch_cpu(&r->watch);
    r->disk_after = watch_disk(&r->watch);
    r->memory_over = watch_memory(&r->watch);
}

/* --- figures -------------------------------------------------------------- */

static void fill_server(const struct run *r, struct figures *f)
{
    f->cpu.known = r->cpu_before.known && r->cpu_after.known &&
        r->cpu_after.total_ns >= r->cpu_before.total_ns;
    f->cpu.total_ns = r->cpu_after.total_ns - r->cpu_before.total_ns;
    f->cpu.user_ns = r->cpu_after.user_ns - r->cpu_before.user_ns;
    f->cpu.system_ns = r->cpu_after.system_ns - r->cpu_before.system_ns;
    f->cpu_begin = r->cpu_before;
    f->cpu_end = r->cpu_after;
    f->disk.known = r->disk_before.known && r->disk_after.known;
    f->disk.fua = r->disk_after.fua;
    f->disk.writes = r->disk_after.writes - r->disk_before.writes;
    f->disk.sectors = r->disk_after.sectors - r->disk_before.sectors;
    f->disk.flushes = r->disk_after.flushes - r->disk_before.flushes;
    f->memory = r->memory_over;
    f->memory_idle = r->memory_idle;
    f->memory_ready = r->memory_ready;
    /* Of connections that are only held, when they have come to rest. */
    f->memory_held = r->bench.holding ? r->memory_over : r->memory_ready;
    f->kept = r->bench.keep && !r->bench.mode->serves;
}

/* Of the busiest thread: the others can't do its work. */
static void judge_driver(const struct bench *b, struct figures *f)
{
    for (unsigned i = 0; i < b->threads; i++) {
        const struct tally *t = &b->drivers[i].tally;
        double wall = (double)(t->last_ns - t->first_ns);
        double busy = wall > 0 ? 100 * (double)t->cpu_ns / wall : 0;
        double waited = wall > 0 ? 100 * (double)t->waited_ns / wall : 0;

        if (i == 0 || busy + waited > f->busy_percent + f->waited_percent) {
            f->busy_percent = busy;
            f->waited_percent = waited;
        }
    }
    if (f->busy_percent > 100)
        f->busy_percent = 100;
}

static bool write_json(const struct figures *f, const char *path)
{
    FILE *to = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");

    if (!to)
        return false;
    report_json(f, to);
    return to == stdout ? fflush(to) == 0 : fclose(to) == 0;
}

static bool write_csv(const struct figures *f, const char *path)
{
    bool out = strcmp(path, "-") == 0;
    FILE *to = out ? stdout : fopen(path, "ae");
    struct stat st;

    if (!to)
        return false;
    if (out || (fstat(fileno(to), &st) == 0 && st.st_size == 0))
        report_csv_head(to);
    report_csv(f, to);
    return out ? fflush(to) == 0 : fclose(to) == 0;
}

static bool write_all(const struct figures *f)
{
    const struct options *o = f->o;
    bool taken = strcmp(o->json, "-") == 0 || strcmp(o->csv, "-") == 0;
    const char *bad = NULL;

    if (!o->quiet)
        report_words(f, taken ? stderr : stdout);
    if (fflush(stdout) != 0)
        bad = "standard output";
    if (*o->json && !write_json(f, o->json))
        bad = o->json;
    if (*o->csv && !write_csv(f, o->csv))
        bad = o->csv;
    if (bad)
        fprintf(stderr, "ringmail-bench: %s: %s\n", bad, strerror(errno));
    return !bad;
}

/* Before the run, so that it was not for nothing. */
static bool can_write(const char *flag, const char *path, struct out *why)
{
    int fd = -1;

    if (!*path || strcmp(path, "-") == 0)
        return true;
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    out_str(why, flag);
    out_str(why, path);
    out_str(why, ": ");
    out_str(why, strerror(errno));
    out_str(why, "; name a file that can be written");
    return false;
}

/* --- the run -------------------------------------------------------------- */

static int print_help(void)
{
    char *room = malloc(HELP_BYTES);
    struct out out = out_of(room, HELP_BYTES);

    if (!room)
        return EXIT_BAD;
    options_help(&out);
    CHECK(!out.full);
    fwrite(out.at, 1, out.len, stdout);
    free(room);
    return EXIT_GOOD;
}

static void take_signals(struct bench *b)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    running = b;
    b->stop = false;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* An interrupt has ended the run, not yet this. */
static void verify(struct run *r, struct verify_result *result)
{
    const struct engine_watch watch = {.tick = on_tick, .arg = r};

    take_signals(&r->bench);
    verify_run(&r->bench, &watch, result);
    if (r->progress)
        report_progress_clear(stderr);
}

static int finish_run(struct run *r)
{
    struct tally *sum = calloc(1, sizeof *sum);
    struct figures f = {.o = &r->options, .mode = r->bench.mode, .sum = sum};
    struct verify_result found = {0};
    bool good;

    CHECK(sum);
    engine_sum(&r->bench, sum);
    f.seconds = (double)(sum->last_ns - sum->first_ns) / 1e9;
    fill_server(r, &f);
    judge_driver(&r->bench, &f);
    if (r->options.verify.len) {
        verify(r, &found);
        f.verify = &found;
    }
    good = write_all(&f) && sum->errors == 0 && verify_is_good(&found);
    free(sum);
    return good ? EXIT_GOOD : EXIT_BAD;
}

static int drive(struct run *r, struct out *why)
{
    const struct options *o = &r->options;
    const struct engine_watch watch = {on_before, on_ready, on_tick, on_over, r};
    int status = EXIT_BAD;
    bool good;

    r->bench.ledgers = o->verify.len > 0;
    if (!can_write("--json ", o->json, why) || !can_write("--csv ", o->csv, why) ||
        !watch_open(&r->watch, o, why) || !letters_open(&r->bench.letters, o, why))
        return fail(EXIT_USAGE, out_slice(why));
    r->progress = o->progress == 1 || (o->progress == 2 && isatty(STDERR_FILENO));
    take_signals(&r->bench);
    if (!engine_open(&r->bench, o, mode_find(o), why)) {
        status = fail(EXIT_USAGE, out_slice(why));
    } else {
        good = engine_run(&r->bench, &watch, why);
        if (r->progress)
            report_progress_clear(stderr);
        status = good ? finish_run(r) : fail(EXIT_BAD, out_slice(why));
    }
    engine_close(&r->bench);
    letters_close(&r->bench.letters);
    return status;
}

int main(int argc, char **argv)
{
    static struct run run;
    char buffer[OPTIONS_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);
    int status;

    if (!options_parse(&run.options, argc - 1, argv + 1, &why))
        return fail(EXIT_USAGE, out_slice(&why));
    if (run.options.help)
        return print_help();
    status = drive(&run, &why);
    options_free(&run.options);
    return status;
}
