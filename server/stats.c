#include "server/stats.h"

#include <assert.h>
#include <stdlib.h>

#include "server/clock.h"
#include "server/conn.h"

/* Counted by protocol: the order of the lists is that of the protocols. */
static_assert(STAT_connections_submission - STAT_connections_smtp == PROTO_SUBMISSION &&
        STAT_connections_lmtp - STAT_connections_smtp == PROTO_LMTP &&
        STAT_connections_pop3 - STAT_connections_smtp == PROTO_POP3 &&
        STAT_connections_imap - STAT_connections_smtp == PROTO_IMAP &&
        STAT_accepted_submission - STAT_accepted_smtp == PROTO_SUBMISSION &&
        STAT_accepted_lmtp - STAT_accepted_smtp == PROTO_LMTP &&
        STAT_accepted_pop3 - STAT_accepted_smtp == PROTO_POP3 &&
        STAT_accepted_imap - STAT_accepted_smtp == PROTO_IMAP,
    "as enum protocol");
static_assert(sizeof(struct thread_stats) % 64 == 0, "ends with a cache line");

/* --- operations ------------------------------------------------------------ */

void stats_begin(struct thread_stats *s)
{
    s->times[TIMES_turn] = s->times[TIMES_turn_cpu] = (struct histogram){0};
}

void stats_settle(struct thread_stats *s, int64_t now_ns)
{
    for (unsigned i = 0; i < s->ended_count; i++) {
        int64_t took = now_ns - s->ended[i].since_ns;

        histogram_add(&s->times[s->ended[i].what], took > 0 ? (uint64_t)took : 0);
    }
    s->ended_count = 0;
}

void stats_settle_early(struct thread_stats *s)
{
    stats_settle(s, clock_monotonic_ns());
}

/* --- tables ---------------------------------------------------------------- */

#define GROUP_ROW(name)               {STATS_GROUP, #name, "", "", "", 0},
#define SUM_ROW(name, of, flag, help) {STATS_COUNT, #name, of, flag, help, STAT_##name},
#define NOW_ROW(name, of, flag, help) {STATS_NOW, #name, of, flag, help, STAT_##name},
#define TIME_ROW(name, flag, help)    {STATS_TIMES, #name, "", flag, help, TIMES_##name},
#define SIZE_ROW(name, flag, help)    {STATS_SIZES, #name, "", flag, help, TIMES_##name},

static const struct stats_field thread_fields[] = {
    THREAD_STATS(GROUP_ROW, SUM_ROW, NOW_ROW, TIME_ROW, SIZE_ROW)};
static const struct stats_field shard_fields[] = {
    SHARD_STATS(GROUP_ROW, SUM_ROW, NOW_ROW, TIME_ROW, SIZE_ROW)};
static const struct stats_field server_fields[] = {
    SERVER_STATS(GROUP_ROW, SUM_ROW, NOW_ROW, TIME_ROW, SIZE_ROW)};

#define ROWS(fields) fields, sizeof fields / sizeof *fields

const struct stats_table stats_thread_table = {
    "thread", ROWS(thread_fields), THREAD_STAT_COUNT, THREAD_TIMES_COUNT};
const struct stats_table stats_shard_table = {
    "shard", ROWS(shard_fields), SHARD_STAT_COUNT, SHARD_TIMES_COUNT};
const struct stats_table stats_server_table = {
    "server", ROWS(server_fields), SERVER_STAT_COUNT, 0};

const struct stats_field *stats_find(const struct stats_table *table, struct slice name)
{
    for (unsigned i = 0; i < table->field_count; i++)
        if (table->fields[i].kind != STATS_GROUP &&
            slice_eq(name, slice_str(table->fields[i].name)))
            return &table->fields[i];
    return NULL;
}

/* --- sets ------------------------------------------------------------------ */

bool stats_set_open(struct stats_set *set, const struct stats_table *table)
{
    set->table = table;
    set->values = calloc(table->value_count, sizeof *set->values);
    set->times =
        table->times_count ? calloc(table->times_count, sizeof *set->times) : NULL;
    return set->values && (set->times || table->times_count == 0);
}

void stats_set_close(struct stats_set *set)
{
    free(set->values);
    free(set->times);
    *set = (struct stats_set){0};
}

void stats_set_copy(struct stats_set *to, const struct stats_set *from)
{
    const struct stats_table *table = from->table;

    memcpy(to->values, from->values, table->value_count * sizeof *to->values);
    if (table->times_count)
        memcpy(to->times, from->times, table->times_count * sizeof *to->times);
}

void stats_set_add(struct stats_set *to, const struct stats_set *from)
{
    for (unsigned i = 0; i < from->table->value_count; i++)
        to->values[i] += from->values[i];
    for (unsigned i = 0; i < from->table->times_count; i++)
        histogram_merge(&to->times[i], &from->times[i]);
}

void stats_set_since(struct stats_set *set, const struct stats_set *before)
{
    const struct stats_table *table = set->table;

    for (unsigned i = 0; i < table->field_count; i++)
        if (table->fields[i].kind == STATS_COUNT)
            set->values[table->fields[i].at] -= before->values[table->fields[i].at];
    for (unsigned i = 0; i < table->times_count; i++)
        histogram_since(&set->times[i], &before->times[i]);
}

/* --- lines ----------------------------------------------------------------- */

static void write_number(struct out *out, char before, uint64_t number)
{
    out_byte(out, before);
    out_u64(out, number);
}

static void write_times(struct out *out, const struct histogram *h)
{
    write_number(out, ' ', h->count);
    write_number(out, ' ', h->sum);
    write_number(out, ' ', h->max);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (h->buckets[i]) {
            write_number(out, ' ', i);
            write_number(out, '=', h->buckets[i]);
        }
}

void stats_write(struct out *out, const struct stats_set *set)
{
    for (unsigned i = 0; i < set->table->field_count; i++) {
        const struct stats_field *f = &set->table->fields[i];

        if (f->kind == STATS_GROUP)
            continue;
        out_str(out, f->name);
        if (f->kind == STATS_COUNT || f->kind == STATS_NOW)
            write_number(out, ' ', set->values[f->at]);
        else
            write_times(out, &set->times[f->at]);
        out_byte(out, '\n');
    }
}

/* What comes before `end`, which goes too; all that is left where there is none. */
static struct slice cut(struct slice *rest, char end)
{
    struct slice piece = slice_take(rest, slice_find(*rest, end));

    if (rest->len > 0)
        slice_take(rest, 1);
    return piece;
}

static bool read_times(struct slice words, struct histogram *h)
{
    if (!slice_u64(cut(&words, ' '), &h->count) ||
        !slice_u64(cut(&words, ' '), &h->sum) || !slice_u64(cut(&words, ' '), &h->max))
        return false;
    while (words.len > 0) {
        struct slice word = cut(&words, ' ');
        uint64_t bucket, times;

        if (!slice_u64(cut(&word, '='), &bucket) || !slice_u64(word, &times) ||
            bucket >= HISTOGRAM_BUCKETS)
            return false;
        h->buckets[bucket] = times;
    }
    return true;
}

bool stats_read(struct slice lines, struct stats_set *set)
{
    while (lines.len > 0) {
        struct slice line = cut(&lines, '\n');
        const struct stats_field *f = stats_find(set->table, cut(&line, ' '));

        if (!f)
            continue;
        if (f->kind == STATS_COUNT || f->kind == STATS_NOW
                ? !slice_u64(line, &set->values[f->at])
                : !read_times(line, &set->times[f->at]))
            return false;
    }
    return true;
}
