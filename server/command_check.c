/* command_check.c -- ringmail check: reads every record of a store that no server uses.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/command.h"
#include "server/file.h"
#include "server/ring_disk.h"
#include "server/shard.h"

enum { WHY_MAX = 512 };

struct check {
    const char *data;
    bool repair;
    uint64_t problems;
    bool failed;
    char why[WHY_MAX];
};

static void say(void *arg, const char *line)
{
    (void)arg;
    puts(line);
}

/* The store's own events: the findings say the same, in words. */
static void no_event(void *arg, int level, const char *event, const char *text)
{
    (void)arg, (void)level, (void)event, (void)text;
}

static void no_wake(void *arg)
{
    (void)arg;
}

static void check_shard(struct thread *t, const struct data_folder *folder,
    uint32_t shard, struct check *check)
{
    struct store_conf conf = {.store_id = data_layout(folder)->store_id,
        .shard = shard,
        .lanes = data_layout(folder)->shards,
        .lane = shard - data_layout(folder)->first,
        .segment_bytes = 64 << 20,
        .recent_bytes = 16 << 20,
        .index_bytes = 256 << 20,
        .checkpoint_bytes = 64 << 20,
        .compact_percent = 150,
        .mailboxes_max = 1000000,
        .keywords_max = 4096,
        .wake = no_wake,
        .event = no_event};
    char path[DATA_PATH_MAX];
    struct disk *disk = data_shard_path(folder, shard, path, sizeof path)
        ? ring_disk_open(t, path, false, check->why, sizeof check->why)
        : NULL;

    if (!disk) {
        check->failed = true;
        return;
    }
    check->problems += store_check(disk, &conf, check->repair, say, NULL);
    ring_disk_close(disk);
}

static void check_folder(struct thread *t, void *arg)
{
    struct check *check = arg;
    struct data_folder *folder =
        data_open(check->data, 0, 1, check->why, sizeof check->why);

    if (!folder) {
        check->failed = true;
        return;
    }
    for (unsigned i = 0; i < data_layout(folder)->shards && !check->failed; i++)
        check_shard(t, folder, data_layout(folder)->first + i, check);
    data_close(folder);
}

/* data_open() would make what is not there. */
static bool is_store(const char *data)
{
    char *path = file_path(data, "store");
    struct stat st;
    bool is = path && stat(path, &st) == 0 && S_ISREG(st.st_mode);

    free(path);
    return is;
}

static int check_store(struct check *check)
{
    struct process_conf conf = {.threads = 1, .workers = 1, .log = NULL};
    struct process *process;

    if (!is_store(check->data))
        return command_failf(EXIT_FAILED,
            "%s: no store there; name the folder that --data names", check->data);
    process = process_open(&conf, check->why, sizeof check->why);
    if (!process)
        return command_fail(EXIT_FAILED, slice_str(check->why));
    process_run(process, 0, check_folder, check);
    process_stop(process);
    if (check->failed)
        return command_fail(EXIT_FAILED, slice_str(check->why));
    printf("%llu problem%s\n", (unsigned long long)check->problems,
        check->problems == 1 ? "" : "s");
    return check->problems ? EXIT_FAILED : EXIT_GOOD;
}

static int run(int argc, char **argv)
{
    struct check check = {0};

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--repair") == 0)
            check.repair = true;
        else if (strncmp(argv[i], "--", 2) == 0 || check.data)
            return command_failf(EXIT_USAGE,
                "check %s: write `ringmail check DATA` or `ringmail check DATA --repair`",
                argv[i]);
        else
            check.data = argv[i];
    }
    if (!check.data)
        return command_failf(
            EXIT_USAGE, "check: no folder; write `ringmail check DATA [--repair]`");
    return check_store(&check);
}

static const char *const flags[] = {NULL};

const struct command command_check = {
    .name = "check",
    .synopsis = "DATA [--repair]",
    .summary = "read every record of a store that no server uses",
    .text =
        "Prints a line for each record that is damaged or missing and for each that "
        "nothing\nrefers to as it should, then how many there are; exits with 1 where "
        "there are any.\nNothing is changed without --repair, which sets damaged "
        "ranges aside, so that a server\nserves everything else. Check names such a "
        "range until compaction has moved what is left\nin its file, and the file has "
        "gone.\n",
    .flags = flags,
    .run = run,
};
