#include "store/compact.h"
#include "store/mailbox.h"

/* --- what a checkpoint fills --- */

static enum status tables_init(struct store *s)
{
    s->uid_validity = 0;
    s->next_user = s->next_queue = 1;
    TRY(heads_init(&s->heads, s->conf.store_id * 0x9e3779b97f4a7c15u));
    return recent_init(&s->recent);
}

static void tables_free(struct store *s)
{
    heads_free(&s->heads);
    recent_free(&s->recent);
    fanouts_free(s);
    queue_table_free(&s->queue);
    free(s->straddles);
    s->straddles = NULL;
    s->straddle_count = s->straddle_cap = 0;
}

/* --- from the log to heads --- */

static enum status on_piece(void *arg, struct slice piece)
{
    struct store *s = arg;

    return checkpoint_take(s, piece, s->start->image_bytes);
}

static enum status on_forget(void *arg)
{
    struct store *s = arg;

    tables_free(s);
    return tables_init(s);
}

static enum status on_record(void *arg, const struct log_record *r)
{
    return store_note(arg, r);
}

static void on_damage(
    void *arg, uint32_t segment, uint64_t offset, uint64_t bytes, const char *what)
{
    struct store *s = arg;

    s->damaged_ranges++;
    store_say(s, SAY_ERROR, "damage", "segment=%08x offset=%llu bytes=%llu what=\"%s\"",
        segment, (unsigned long long)offset, (unsigned long long)bytes, what);
}

static void on_log_wake(void *arg)
{
    struct store *s = arg;

    if (s->conf.wake)
        s->conf.wake(s->conf.arg);
}

static enum status recover(struct store *s, bool accept_loss)
{
    struct log_conf conf = {.store_id = s->conf.store_id,
        .shard = s->conf.shard,
        .segment_bytes = s->conf.segment_bytes,
        .batch_bytes = 256 << 10,
        .in_flight = 4,
        .commit_wait = s->conf.commit_wait,
        .recent_bytes = s->conf.recent_bytes,
        .files_max = s->conf.files_max,
        .lanes = s->conf.lanes,
        .lane = s->conf.lane,
        .numbers_from = s->conf.segments_from,
        .wake = on_log_wake,
        .wake_arg = s};
    struct log_start start = {.piece = on_piece,
        .forget = on_forget,
        .replay = on_record,
        .damage = on_damage,
        .accept_loss = accept_loss,
        .arg = s};

    s->replaying = true;
    s->start = &start;
    TRY(log_open(&s->log, s->disk, &conf, &start));
    s->replaying = false;
    s->start = NULL;
    s->tail_cut_bytes = start.tail_cut_bytes;
    store_say(s, SAY_INFO, "recovered", "users=%u records=%llu tail_cut_bytes=%llu",
        s->heads.count, (unsigned long long)start.replayed,
        (unsigned long long)start.tail_cut_bytes);
    return STATUS_OK;
}

/* --- open, close ----------------------------------------------------------------------
 */

static enum status copy_folders(struct store *s)
{
    unsigned n = s->conf.folder_count;

    s->folders = calloc(n + 1u, sizeof *s->folders);
    if (!s->folders)
        return STATUS_NO_MEMORY;
    for (unsigned i = 0; i < n; i++) {
        struct slice name = s->conf.folders[i].name;
        char *copy = malloc(name.len + 1);

        if (!copy)
            return STATUS_NO_MEMORY;
        memcpy(copy, name.at, name.len);
        s->folders[i] =
            (struct store_folder){slice_of(copy, name.len), s->conf.folders[i].use};
    }
    return STATUS_OK;
}

static void free_all(struct store *s)
{
    for (unsigned i = 0; s->folders && i < s->conf.folder_count; i++)
        free((char *)s->folders[i].name.at);
    free(s->folders);
    cells_close(&s->mailboxes);
    cells_close(&s->users);
    tables_free(s);
    summaries_free(s);
    free(s->uploads.at);
    bytes_free(&s->scratch);
    bytes_free(&s->share);
    bytes_free(&s->refs);
    bytes_free(&s->fold_ids);
    free(s);
}

static void init_lists(struct store *s)
{
    list_init(&s->waiters_free);
    list_init(&s->posted);
    list_init(&s->waiting);
    list_init(&s->again);
    list_init(&s->lru);
    list_init(&s->dead_users);
    list_init(&s->loads);
    list_init(&s->content_loads);
    list_init(&s->folds);
    list_init(&s->fanouts);
    list_init(&s->clusters);
}

static void set_defaults(struct store_conf *c)
{
    if (!c->folds_max)
        c->folds_max = 8;
    if (!c->mailboxes_max)
        c->mailboxes_max = 10000;
    if (!c->names_bytes_max)
        c->names_bytes_max = 960 << 10;
    if (!c->keywords_max || c->keywords_max > KEYWORDS_HARD_MAX)
        c->keywords_max = KEYWORDS_HARD_MAX;
    if (!c->compact_percent)
        c->compact_percent = 150;
    if (!c->index_bytes)
        c->index_bytes = 64 << 20;
    if (!c->recent_bytes)
        c->recent_bytes = 16 << 20;
    if (!c->checkpoint_bytes)
        c->checkpoint_bytes = 256 << 20;
    if (!c->segment_bytes)
        c->segment_bytes = 64 << 20;
}

enum status store_open(
    struct store **store, struct disk *disk, const struct store_conf *conf, int64_t now_s)
{
    return store_open_as(store, disk, conf, now_s, false);
}

enum status store_open_as(struct store **store, struct disk *disk,
    const struct store_conf *conf, int64_t now_s, bool accept_loss)
{
    struct store *s = calloc(1, sizeof *s);
    enum status status;

    if (!s)
        return STATUS_NO_MEMORY;
    s->disk = disk;
    s->conf = *conf;
    s->now_s = now_s;
    init_lists(s);
    set_defaults(&s->conf);
    s->summary_bytes = 700;
    s->chain_fold = CHAIN_FOLD;
    s->inline_entries = INLINE_ENTRIES;
    s->page_entries = PAGE_ENTRIES;
    s->turn_budget = TURN_BUDGET;
    s->fold_slice = FOLD_SLICE;
    cells_open(&s->users, sizeof(struct user));
    cells_open(&s->mailboxes, sizeof(struct mailbox));
    status = tables_init(s);
    if (status == STATUS_OK)
        status = summaries_init(s);
    if (status == STATUS_OK)
        status = copy_folders(s);
    if (status == STATUS_OK)
        status = recover(s, accept_loss);
    if (status != STATUS_OK) {
        free_all(s);
        return status;
    }
    *store = s;
    return STATUS_OK;
}

void store_close(struct store *s)
{
    struct list *link;

    CHECK(changes_idle(s) && s->loading == 0 && s->fold_count == 0);
    CHECK(s->live_pins == 0);
    compact_free(s);
    while ((link = list_pop(&s->lru)))
        user_drop(container_of(link, struct user, link));
    CHECK(s->loaded == 0); /* users that are still open */
    while (!dead_step(s))
        ;
    log_close(s->log);
    checkpoint_free(s);
    changes_free(s);
    free_all(s);
}

size_t store_fill_recent(const struct store *s, size_t at)
{
    return log_fill_recent(s->log, at);
}

void store_stats(const struct store *s, struct store_stats *st)
{
    struct log_segment_info info;

    *st = (struct store_stats){.users = s->heads.count,
        .users_loaded = s->loaded,
        .index_bytes = s->index_used + s->heads.memory.bytes,
        .commits = s->commits,
        .records = s->records,
        .tail_cut_bytes = s->tail_cut_bytes,
        .damaged_ranges = s->damaged_ranges,
        .compacted_bytes = s->compacted_bytes,
        .queue_entries = s->queue.count,
        .queue_bytes = s->queue.bytes,
        .users_read = s->users_read,
        .users_evicted = s->users_evicted,
        .recent_bytes = log_recent_bytes(s->log),
        .log = log_counts(s->log)};
    for (unsigned i = 0; log_segment_at(s->log, i, &info); i++) {
        st->log_bytes += info.used_bytes;
        st->live_bytes += info.live_bytes;
        st->segments++;
    }
}
