/* command_reshard.c -- ringmail reshard: another number of shards, offline.
 *
 *   the old stores are opened --> note --> for each new shard: made, filled, closed,
 *   opened again, compared --> DATA/store is replaced --> the old shards are removed
 *
 * To fill a shard is to write its index. The mail stays in the segments where it is:
 * their files get a second name in the folder of the new shard, and lose the first when
 * the old shard is removed.
 *
 * Until DATA/store is replaced, at once and durably, the old shards are the store, and
 * nothing in them is changed; from then on the new ones are. Whatever a crash leaves of
 * the others is removed when the folder is opened next. */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/command.h"
#include "server/file.h"
#include "server/ring_disk.h"
#include "server/shard.h"
#include "store/format.h"
#include "store/reshard.h"

enum {
    WHY_MAX = 1024,
    PROGRESS_NS = 200000000,
    SOURCE_SEGMENT = 1 << 20, /* an old store needs one segment to be opened */
    SEGMENTS_AHEAD = 4,       /* of a new one: the first, and those made ahead */
    ACCOUNT_BYTES = 2048,     /* of the new index, about */
    INDEX_PART = 50,          /* of the live bytes, for messages in the new index */
};

struct source {
    struct disk *disk;
    struct store *store;
};

struct reshard_work {
    const char *data;
    unsigned shards;
    uint32_t segment_bytes;
    struct thread *thread;
    struct data_folder *folder;
    struct data_layout next;
    struct source *from;
    struct store **stores; /* of `from` */
    unsigned old_count;
    unsigned shard;         /* the new one in hand */
    uint32_t segments_from; /* of the new ones */
    struct disk *disk;
    struct store *to;
    uint64_t shared, copied; /* names given to segments, files made instead */
    struct reshard job;
    const char *doing;
    uint64_t total, users, messages;
    uint64_t queue_total, queued; /* entries of the queue */
    bool terminal, done;
    int64_t told_ns;
    char why[WHY_MAX];
};

/* --- what is told --------------------------------------------------------- */

static bool fail(struct reshard_work *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(struct reshard_work *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(w->why, sizeof w->why, format, args);
    va_end(args);
    return false;
}

static void progress(void *arg)
{
    struct reshard_work *w = arg;
    int64_t now = clock_monotonic_ns();

    if (!w->terminal || now - w->told_ns < PROGRESS_NS)
        return;
    w->told_ns = now;
    fprintf(stderr,
        "\r%s shard %u of %u: %" PRIu64 " of %" PRIu64 " accounts, %" PRIu64
        " messages\033[K",
        w->doing, w->shard + 1, w->shards, w->users + w->job.users, w->total,
        w->messages + w->job.messages);
}

static void end_line(const struct reshard_work *w)
{
    if (w->terminal && w->told_ns)
        fputs("\r\033[K", stderr);
}

static bool fail_status(struct reshard_work *w, enum status status)
{
    if (status == STATUS_CORRUPT)
        return fail(w,
            "%s: %s; nothing was changed: run `ringmail check %s --repair` first",
            w->data, w->job.why, w->data);
    if (status == STATUS_NO_SPACE)
        return fail(w,
            "%s: the disk is full; nothing was changed: make room, then write the same "
            "again",
            w->data);
    return fail(w, "%s: %s; nothing was changed", w->data,
        w->job.why[0] ? w->job.why : status_text(status));
}

/* --- stores --------------------------------------------------------------- */

static void no_event(void *arg, int level, const char *event, const char *text)
{
    (void)arg, (void)level, (void)event, (void)text;
}

/* Of shard `lane` of a layout. */
static struct store_conf conf_of(
    const struct reshard_work *w, const struct data_layout *layout, unsigned lane)
{
    struct store_conf conf = {.store_id = layout->store_id,
        .shard = layout->first + lane,
        .lanes = layout->shards,
        .lane = lane,
        .segments_from = w->segments_from,
        .segment_bytes = w->segment_bytes,
        .event = no_event};

    reshard_conf(&conf);
    return conf;
}

static bool open_store(struct reshard_work *w, const struct store_conf *conf,
    struct disk **disk, struct store **store)
{
    char path[DATA_PATH_MAX];
    enum status status;

    *store = NULL;
    *disk = NULL;
    if (!data_shard_path(w->folder, conf->shard, path, sizeof path))
        return fail(w, "%s: the path is too long", w->data);
    *disk = ring_disk_open(w->thread, path, false, w->why, sizeof w->why);
    if (!*disk)
        return false;
    status = store_open(store, *disk, conf, clock_wall_s());
    if (status == STATUS_OK)
        return true;
    *store = NULL;
    return fail(w, "%s: can't open the store: %s; run `ringmail check %s`", path,
        status_text(status), w->data);
}

static bool open_new(struct reshard_work *w)
{
    struct store_conf conf = conf_of(w, &w->next, w->shard);

    return open_store(w, &conf, &w->disk, &w->to);
}

static void close_store(struct disk **disk, struct store **store)
{
    if (*store)
        reshard_close(*store);
    if (*disk)
        ring_disk_close(*disk);
    *store = NULL;
    *disk = NULL;
}

static bool check_source(struct reshard_work *w, struct store *store)
{
    struct store_fanout fanout;
    struct store_stats stats;

    store_stats(store, &stats);
    if (store_fanout_open(store, 0, &fanout))
        return fail(w,
            "%s: a delivery to several shards is not finished: start the server once, "
            "stop it, then write the same again",
            w->data);
    if (stats.damaged_ranges)
        return fail(w, "%s: the log is damaged: run `ringmail check %s --repair` first",
            w->data, w->data);
    w->total += stats.users;
    w->queue_total += stats.queue_entries;
    return true;
}

static bool open_sources(struct reshard_work *w)
{
    const struct data_layout *now = data_layout(w->folder);

    w->old_count = now->shards;
    w->from = calloc(now->shards, sizeof *w->from);
    w->stores = calloc(now->shards, sizeof(struct store *));
    if (!w->from || !w->stores)
        return fail(w, "out of memory");
    for (unsigned i = 0; i < now->shards; i++) {
        struct source *s = &w->from[i];
        struct store_conf conf = conf_of(w, now, i);

        conf.segment_bytes = SOURCE_SEGMENT;
        if (!open_store(w, &conf, &s->disk, &s->store) || !check_source(w, s->store))
            return false;
        w->stores[i] = s->store;
    }
    w->segments_from = reshard_segments_from(w->stores, w->old_count);
    return true;
}

static void close_sources(struct reshard_work *w)
{
    for (unsigned i = 0; w->from && i < w->old_count; i++)
        close_store(&w->from[i].disk, &w->from[i].store);
    free(w->from);
    free(w->stores);
}

/* For the new index, and for the mail that has to be copied. */
static bool check_space(struct reshard_work *w)
{
    uint64_t need = (uint64_t)w->shards * SEGMENTS_AHEAD * w->segment_bytes, room;
    uint64_t copied = reshard_copied_bytes(w->stores, w->old_count);
    struct store_stats stats;
    struct statvfs fs;

    need += copied + copied / 10;
    for (unsigned i = 0; i < w->old_count; i++) {
        store_stats(w->stores[i], &stats);
        need += stats.users * ACCOUNT_BYTES + stats.live_bytes / INDEX_PART;
    }
    if (statvfs(w->data, &fs) != 0)
        return true;
    room = (uint64_t)fs.f_bavail * fs.f_frsize;
    return room >= need ||
        fail(w,
            "%s: %" PRIu64 " MiB are free, about %" PRIu64
            " MiB are needed for a new index: make room first",
            w->data, room >> 20, (need >> 20) + 1);
}

/* --- segments -------------------------------------------------------------- */

static bool segment_path(
    const struct reshard_work *w, uint32_t shard, uint32_t segment, char *at, size_t cap)
{
    size_t len;

    if (!data_shard_path(w->folder, shard, at, cap))
        return false;
    len = strlen(at);
    return (size_t)snprintf(at + len, cap - len, "/" SEGMENT_NAME, segment) < cap - len;
}

static enum status adopt(void *arg, unsigned i, uint32_t segment)
{
    struct reshard_work *w = arg;
    uint32_t old = data_layout(w->folder)->first + i, new = w->next.first + w->shard;
    char from[DATA_PATH_MAX], to[DATA_PATH_MAX];
    bool copied;

    if (!segment_path(w, old, segment, from, sizeof from) ||
        !segment_path(w, new, segment, to, sizeof to))
        return STATUS_IO;
    if (file_share(from, to, &copied)) {
        w->shared += !copied;
        w->copied += copied;
        return STATUS_OK;
    }
    snprintf(w->job.why, sizeof w->job.why, "%.300s: can't be shared: %s", from,
        strerror(errno));
    return errno == ENOSPC || errno == EDQUOT ? STATUS_NO_SPACE : STATUS_IO;
}

/* The new names, before the index that needs them. */
static bool sync_shard(struct reshard_work *w)
{
    char path[DATA_PATH_MAX];

    return (data_shard_path(w->folder, w->next.first + w->shard, path, sizeof path) &&
               file_sync_folder(path)) ||
        fail(w, "%s: can't sync the folder of a shard; nothing was changed", w->data);
}

/* --- the work ------------------------------------------------------------- */

static bool wanted(void *arg, struct slice user)
{
    const struct reshard_work *w = arg;

    return w->next.slots[data_slot(user)] == w->shard;
}

/* Entries belong to nobody: they are dealt out evenly. */
static bool wanted_queued(void *arg, uint64_t id)
{
    const struct reshard_work *w = arg;

    return id % w->shards == w->shard;
}

static void begin_job(struct reshard_work *w, const char *doing)
{
    w->doing = doing;
    w->job = (struct reshard){.from = w->stores,
        .from_count = w->old_count,
        .to = w->to,
        .wanted = wanted,
        .wanted_queued = wanted_queued,
        .progress = progress,
        .adopt = adopt,
        .arg = w};
}

static bool fill(struct reshard_work *w)
{
    enum status status;

    if (!open_new(w))
        return false;
    begin_job(w, "filling");
    status = reshard_copy(&w->job);
    if (status != STATUS_OK || !sync_shard(w)) {
        close_store(&w->disk, &w->to);
        return status != STATUS_OK && fail_status(w, status);
    }
    status = reshard_finish(w->to);
    w->to = NULL;
    close_store(&w->disk, &w->to);
    return status == STATUS_OK || fail_status(w, status);
}

static bool compare(struct reshard_work *w)
{
    enum status status;

    if (!open_new(w))
        return false;
    begin_job(w, "comparing");
    status = reshard_verify(&w->job);
    close_store(&w->disk, &w->to);
    if (status != STATUS_OK)
        return fail_status(w, status);
    w->users += w->job.users;
    w->messages += w->job.messages;
    w->queued += w->job.queued;
    return true;
}

static bool make_shards(struct reshard_work *w)
{
    for (w->shard = 0; w->shard < w->shards; w->shard++) {
        uint32_t id = w->next.first + w->shard;

        if (!data_make_shard(w->folder, id, w->why, sizeof w->why) || !fill(w) ||
            !compare(w))
            return false;
    }
    if (w->users != w->total)
        return fail(w,
            "%s: %" PRIu64 " accounts of %" PRIu64 " were found; nothing was changed",
            w->data, w->users, w->total);
    return w->queued == w->queue_total ||
        fail(w,
            "%s: %" PRIu64 " queue entries of %" PRIu64
            " were found; nothing was changed",
            w->data, w->queued, w->queue_total);
}

/* Until data_write() has succeeded, data_reshard_end() takes the new shards away; then
 * the old ones. If it has failed nobody knows what the disk has: the next to open the
 * folder sees. */
static bool replace(struct reshard_work *w)
{
    const struct data_layout *now = data_layout(w->folder);
    char why[WHY_MAX];
    bool good;

    w->next = data_layout_of(now->store_id, w->shards);
    w->next.first = now->first + now->shards;
    good = open_sources(w) && check_space(w) &&
        data_reshard_begin(w->folder, &w->next, w->why, sizeof w->why) && make_shards(w);
    close_sources(w);
    if (good && !data_write(w->folder, &w->next, w->why, sizeof w->why))
        return false;
    if (!data_reshard_end(w->folder, why, sizeof why) && good)
        good = fail(
            w, "the store has %u shards now, but something is left: %s", w->shards, why);
    return good;
}

static void work(struct thread *t, void *arg)
{
    struct reshard_work *w = arg;

    w->thread = t;
    w->folder = data_open(w->data, 0, 1, w->why, sizeof w->why);
    if (!w->folder)
        return;
    if (data_layout(w->folder)->shards == w->shards)
        w->done = true;
    else
        w->done = replace(w);
    data_close(w->folder);
    end_line(w);
}

static int reshard(struct reshard_work *w)
{
    struct process_conf conf = {.threads = 1, .workers = 1, .log = NULL};
    struct process *process = process_open(&conf, w->why, sizeof w->why);

    if (!process)
        return command_fail(EXIT_FAILED, slice_str(w->why));
    process_run(process, 0, work, w);
    process_stop(process);
    if (!w->done)
        return command_fail(EXIT_FAILED, slice_str(w->why));
    if (w->old_count == 0)
        printf("%s: has %u shard%s already\n", w->data, w->shards,
            w->shards == 1 ? "" : "s");
    else
        printf("%s: %u shard%s now, %u before; %" PRIu64 " accounts, %" PRIu64
               " messages, %" PRIu64 " queue entries, all compared; %" PRIu64
               " segments linked, %" PRIu64 " copied\n",
            w->data, w->shards, w->shards == 1 ? "" : "s", w->old_count, w->users,
            w->messages, w->queued, w->shared, w->copied);
    return EXIT_GOOD;
}

/* --- the command ---------------------------------------------------------- */

/* What root makes belongs to whom the folder belongs to: the server reads it as him. */
static bool become_owner(const char *data)
{
    struct stat st;

    return geteuid() != 0 || stat(data, &st) != 0 || st.st_uid == 0 ||
        (setgroups(0, NULL) == 0 && setegid(st.st_gid) == 0 && seteuid(st.st_uid) == 0);
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

static int run_on(const char *data, const struct config *c)
{
    struct reshard_work w = {.data = data,
        .shards = (unsigned)c->shards,
        .segment_bytes = (uint32_t)c->segment_size,
        .terminal = isatty(STDERR_FILENO)};

    if (!is_store(data))
        return command_failf(
            EXIT_FAILED, "%s: no store there; name the folder that --data names", data);
    if (!become_owner(data))
        return command_failf(
            EXIT_FAILED, "%s: can't act as its owner; run this as him", data);
    return reshard(&w);
}

static const char *const flags[] = {"shards", "segment-size", NULL};

/* The folder is an operand, as of `check`: config_finish() would ask for --data. */
static int run(int argc, char **argv)
{
    char buffer[CONFIG_WHY_MAX], *operands[1];
    struct out why = out_of(buffer, sizeof buffer);
    struct config *c = config_new();
    unsigned count = 0;
    int status;

    if (!c)
        return command_failf(EXIT_FAILED, "out of memory");
    if (!config_parse(c, argc, argv, flags, operands, 1, &count, &why))
        status = command_fail(EXIT_USAGE, out_slice(&why));
    else if (count == 0 || c->shards == 0)
        status = command_failf(EXIT_USAGE,
            "reshard: no %s; write `ringmail reshard DATA --shards N`",
            count == 0 ? "folder" : "number of shards");
    else
        status = run_on(operands[0], c);
    config_free(c);
    return status;
}

const struct command command_reshard = {
    .name = "reshard",
    .synopsis = "DATA --shards N",
    .summary = "change the number of shards of a store that no server uses",
    .text =
        "The index is written anew for the new shards, and compared with the old ones; "
        "then they take\ntheir place at once, and the old ones are removed. The mail "
        "stays where it is on the disk:\nits files are shared by hard links, and copied "
        "only on a file system without them. UIDs,\nUIDVALIDITY, flags and all else stay "
        "as they are. Stopped at any moment, by a crash too,\nthe store is the old one "
        "or the new one, whole; what is left over is removed when it is\nopened next. "
        "Start the server with the new --shards, or without it.\n",
    .flags = flags,
    .run = run,
};
