/* populate.c -- ringmail-populate: flags, threads, the bar.
 *
 * The store is written by the very code that serves it, so that what comes out is a
 * store like any other; only sockets, sessions and the wait for a client are missing. */
#include "bench/populate.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/config.h"
#include "server/process.h"

enum {
    EXIT_GOOD = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 64,
    WHY_MAX = 1024,
    FOLDERS_MAX = 64,
    USERS_MAX = 16 << 20,
    PASSWORD_MAX = 1024,
    SHARDS_HERE_MAX = 64, /* each is a thread of its own */
    BAR_WIDTH = 30,
    DRAIN_S = 300, /* for the last users to be put away */
};
static const uint64_t messages_max = UINT64_C(1) << 40;
static const int64_t poll_ns = 100000000, line_ns = 5000000000;

static const char usage[] =
    "Usage: bench/populate --data DIR --users N --messages M [FLAGS]\n"
    "\n"
    "Makes a store of N users with M messages, and the users file, for runs at scale.\n"
    "`ringmail serve --data DIR` opens it like any other.\n"
    "\n"
    "  --data DIR        the folder to make; a store in it is never touched\n"
    "  --users N         accounts, u0@example.test and so on\n"
    "  --messages M      in all: dealt out evenly, each to an INBOX\n"
    "  --one-mailbox     all messages to the first user instead\n"
    "  --size SIZE       octets of each message, header and all: 512 to 128K (1K)\n"
    "  --shards N        of the new store, and threads that fill it (the CPUs)\n"
    "  --segment-size SIZE  of a file of the log (64M)\n"
    "  --user PATTERN    names, with %d for the number (u%d@example.test)\n"
    "  --password FIELD  of all accounts, as in the users file ({PLAIN}pw)\n"
    "  --seed N          another seed, other mail; the same seed, the same mail (1)\n";

/* --- flags ---------------------------------------------------------------- */

static bool refuse(const char *flag, const char *value, const char *remedy)
{
    fprintf(stderr, "populate: %s %s: %s\n", flag, value, remedy);
    return false;
}

static bool number(
    const char *flag, const char *value, uint64_t min, uint64_t max, uint64_t *to)
{
    char remedy[100];

    if (slice_u64(slice_str(value), to) && *to >= min && *to <= max)
        return true;
    snprintf(remedy, sizeof remedy, "write a whole number from %" PRIu64 " to %" PRIu64,
        min, max);
    return refuse(flag, value, remedy);
}

static bool size(const char *flag, const char *value, uint64_t min, uint64_t max,
    const char *remedy, uint64_t *to)
{
    return (config_size(slice_str(value), to) && *to >= min && *to <= max) ||
        refuse(flag, value, remedy);
}

static bool pattern(const char *flag, const char *value, const char **to)
{
    const char *hole = strstr(value, "%d"), *at = strchr(value, '@');

    *to = value;
    return (hole && at && hole < at && at[1] && !strchr(hole + 1, '%') &&
               !strpbrk(value, ": \t\r\n") && strlen(value) <= POPULATE_NAME_MAX - 20) ||
        refuse(
            flag, value, "write a name with one %d before its @, like u%d@example.test");
}

static bool password(const char *flag, const char *value, const char **to)
{
    *to = value;
    return (strlen(value) <= PASSWORD_MAX && !strpbrk(value, ":\r\n")) ||
        refuse(flag, value,
            "write a password field of up to 1024 octets, like {PLAIN}secret");
}

static bool data(const char *flag, const char *value, const char **to)
{
    *to = value;
    return *value || refuse(flag, "\"\"", "name the folder to make");
}

static bool take(struct populate_plan *plan, const char *flag, const char *value)
{
    if (strcmp(flag, "--data") == 0)
        return data(flag, value, &plan->data);
    if (strcmp(flag, "--users") == 0)
        return number(flag, value, 1, USERS_MAX, &plan->users);
    if (strcmp(flag, "--messages") == 0)
        return number(flag, value, 0, messages_max, &plan->messages);
    if (strcmp(flag, "--shards") == 0)
        return number(flag, value, 1, SHARDS_HERE_MAX, &plan->shards);
    if (strcmp(flag, "--seed") == 0)
        return number(flag, value, 0, UINT64_MAX, &plan->seed);
    if (strcmp(flag, "--size") == 0)
        return size(flag, value, POPULATE_SIZE_MIN, POPULATE_SIZE_MAX,
            "write a size from 512 to 128K", &plan->size);
    if (strcmp(flag, "--segment-size") == 0)
        return size(flag, value, 1 << 20, 1 << 30, "write a size from 1M to 1G",
                   &plan->segment_bytes) &&
            (plan->segment_bytes % 4096 == 0 ||
                refuse(flag, value, "write a multiple of 4K"));
    if (strcmp(flag, "--user") == 0)
        return pattern(flag, value, &plan->user);
    if (strcmp(flag, "--password") == 0)
        return password(flag, value, &plan->password);
    return refuse(flag, value, "no such flag; `bench/populate --help` lists them");
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static bool is_whole(const struct populate_plan *plan)
{
    const char *missing = !plan->data   ? "--data DIR"
        : !plan->users                  ? "--users N"
        : plan->messages > messages_max ? "--messages M"
                                        : NULL;

    if (missing)
        fprintf(stderr, "populate: %s is missing; write it\n", missing);
    return !missing;
}

static bool parse(struct populate_plan *plan, int argc, char **argv)
{
    *plan = (struct populate_plan){.user = "u%d@example.test",
        .password = "{PLAIN}pw",
        .messages = UINT64_MAX,
        .size = 1024,
        .seed = 1,
        .shards = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN),
        .segment_bytes = 64 << 20};
    if (plan->shards > SHARDS_HERE_MAX)
        plan->shards = SHARDS_HERE_MAX;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--one-mailbox") == 0)
            plan->one_mailbox = true;
        else if (strncmp(argv[i], "--", 2) != 0)
            return refuse("argument", argv[i],
                "every argument belongs to a flag; "
                "`bench/populate --help` lists them");
        else if (i + 1 == argc)
            return refuse(argv[i], "(nothing)", "write a value behind it");
        else if (!take(plan, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return is_whole(plan);
}

/* --- what is told --------------------------------------------------------- */

struct watch {
    bool terminal;
    int64_t begun_ns, told_ns;
    uint64_t stored, total;
};

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static void draw_bar(const struct watch *w, double rate)
{
    unsigned full = (unsigned)(w->total ? w->stored * BAR_WIDTH / w->total : BAR_WIDTH);
    double left = rate > 0 ? (double)(w->total - w->stored) / rate : 0;
    char bar[BAR_WIDTH + 1] = "";

    for (unsigned i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    fprintf(stderr,
        "\r[%s] %" PRIu64 " of %" PRIu64 " messages, %.0f a second, %.0f s left\033[K",
        bar, w->stored, w->total, rate, left);
}

static void tell(struct watch *w)
{
    int64_t now = clock_monotonic_ns();
    double rate = (double)w->stored / (seconds(now - w->begun_ns) + 1e-9);

    if (!w->terminal && now - w->told_ns < line_ns)
        return;
    w->told_ns = now;
    if (w->terminal)
        draw_bar(w, rate);
    else
        fprintf(stderr, "populate: %" PRIu64 " of %" PRIu64 " messages, %.0f a second\n",
            w->stored, w->total, rate);
}

/* --- the work ------------------------------------------------------------- */

struct populate {
    struct populate_plan plan;
    struct process *process;
    struct config *config;
    struct store_folder folders[FOLDERS_MAX];
    char why[WHY_MAX];
};

static bool fail(struct populate *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(struct populate *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(p->why, sizeof p->why, format, args);
    va_end(args);
    return false;
}

static void say(int level, const char *event, const char *text)
{
    if (level <= 4)
        fprintf(stderr, "populate: %s %s\n", event, text);
}

/* Those that the server would give a new user. */
static bool find_folders(struct populate *p)
{
    p->config = config_new();
    if (!p->config)
        return fail(p, "out of memory");
    for (unsigned i = 0; i < p->config->folders.count && i < FOLDERS_MAX; i++) {
        struct slice text = slice_str(p->config->folders.at[i]);
        struct slice name = slice_take(&text, slice_find(text, '='));

        if (text.len > 0)
            slice_take(&text, 1);
        p->folders[i] = (struct store_folder){name, (uint8_t)config_use_of(text)};
        p->plan.folder_count = i + 1;
    }
    p->plan.folders = p->folders;
    return true;
}

/* Nothing that is there is added to, or replaced. */
static bool make_folder(struct populate *p)
{
    static const char *const taken[] = {"store", "users"};
    char path[4096];
    struct stat st;

    if (mkdir(p->plan.data, 0700) != 0 && errno != EEXIST)
        return fail(
            p, "--data %s: can't make the folder: %s", p->plan.data, strerror(errno));
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", p->plan.data, taken[i]);
        if (lstat(path, &st) == 0)
            return fail(p, "--data %s: has a file `%s` already; name a new folder",
                p->plan.data, taken[i]);
    }
    return true;
}

/* The texts alone: what does not hold them need not be filled to know that. */
static bool has_room(struct populate *p)
{
    const struct populate_plan *plan = &p->plan;
    struct statvfs fs;
    double need = (double)plan->messages * (double)plan->size, have;

    if (statvfs(plan->data, &fs) != 0)
        return fail(p, "--data %s: %s", plan->data, strerror(errno));
    have = (double)fs.f_bavail * (double)fs.f_frsize;
    if (have >= need)
        return true;
    return fail(p,
        "--messages %" PRIu64 ": need %.1f GiB and more, and the disk of %s has %.1f "
        "free; write fewer, or a smaller --size",
        plan->messages, need / 0x1p30, plan->data, have / 0x1p30);
}

static bool open_process(struct populate *p)
{
    const struct populate_plan *plan = &p->plan;
    struct process_conf conf = {.threads = (unsigned)plan->shards,
        .shards = (unsigned)plan->shards,
        .workers = 1,
        .data = plan->data,
        .store = {.segment_bytes = (uint32_t)plan->segment_bytes,
            .recent_bytes = 16 << 20,
            .index_bytes = 1, /* who leaves is put away at once */
            .folds_max = 512,
            .checkpoint_bytes = UINT64_MAX, /* one, at the end */
            .compact_percent = STORE_COMPACT_NEVER,
            .folders = plan->folders,
            .folder_count = plan->folder_count},
        .log = say,
        .thread_turn = populate_turn,
        .thread_stopping = populate_stopping,
        .thread_drained = populate_drained,
        .drain_s = DRAIN_S,
        .thread_close = populate_end};

    p->process = process_open(&conf, p->why, sizeof p->why);
    return p->process && process_start(p->process, p->why, sizeof p->why);
}

static void begin(struct thread *t, void *arg)
{
    struct populate *p = arg;

    if (!populate_begin(t, &p->plan))
        fail(p, "out of memory");
}

/* The threads have stopped feeding for good when it returns true with `over`. */
static bool look(struct populate *p, struct watch *w, bool *over)
{
    *over = true;
    w->stored = 0;
    for (unsigned i = 0; i < process_threads(p->process); i++) {
        struct populate_progress now;

        populate_progress(process_thread(p->process, i)->sessions, &now);
        w->stored += now.messages;
        *over &= now.over;
        if (now.status == STATUS_NO_SPACE)
            return fail(p, "%s: the disk is full; remove the folder", p->plan.data);
        if (now.status != STATUS_OK)
            return fail(p, "%s: can't store: %s; remove the folder", p->plan.data,
                status_text(now.status));
    }
    return true;
}

static void put_interrupts(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

/* True: it is to end early. A second time the signal does what it always does. */
static bool pause_or_interrupt(void)
{
    const struct timespec pause = {.tv_nsec = poll_ns};
    sigset_t set;

    put_interrupts(&set);
    if (sigtimedwait(&set, NULL, &pause) < 0)
        return false;
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return true;
}

static bool fill(struct populate *p, struct watch *w)
{
    bool over = false, good = true;

    process_run_all(p->process, begin, p);
    if (p->why[0])
        return false;
    while (good && !over) {
        good = !pause_or_interrupt()
            ? look(p, w, &over)
            : fail(p, "%s: interrupted; remove the folder", p->plan.data);
        tell(w);
    }
    if (w->terminal)
        fputs("\r\033[K", stderr);
    return good;
}

static bool work(struct populate *p, struct watch *w)
{
    bool good;

    if (!find_folders(p) || !make_folder(p) || !has_room(p))
        return false;
    good = open_process(p) && fill(p, w);
    if (p->process && !process_stop(p->process) && good)
        good = fail(p, "%s: not all is durable; remove the folder", p->plan.data);
    if (good && !populate_users(&p->plan))
        good = fail(p, "%s/users: can't write it: %s; remove the folder", p->plan.data,
            strerror(errno));
    return good;
}

int main(int argc, char **argv)
{
    static struct populate p;
    struct watch w = {.terminal = isatty(STDERR_FILENO),
        .begun_ns = clock_monotonic_ns(),
        .told_ns = clock_monotonic_ns()};
    sigset_t interrupts;
    double took;

    if (wants_help(argc, argv))
        return fputs(usage, stdout) < 0 ? EXIT_FAILED : EXIT_GOOD;
    if (!parse(&p.plan, argc, argv))
        return EXIT_USAGE;
    w.total = p.plan.messages;
    put_interrupts(&interrupts);
    pthread_sigmask(SIG_BLOCK, &interrupts, NULL); /* for all threads */
    if (!work(&p, &w)) {
        fprintf(stderr, "populate: %s\n", p.why);
        return EXIT_FAILED;
    }
    config_free(p.config);
    took = seconds(clock_monotonic_ns() - w.begun_ns);
    printf("%s: %" PRIu64 " users, %" PRIu64 " messages of %" PRIu64 " octets, %" PRIu64
           " shards; %.1f s, %.0f messages a second\n",
        p.plan.data, p.plan.users, w.stored, p.plan.size, p.plan.shards, took,
        (double)w.stored / took);
    return EXIT_GOOD;
}
