#include "server/stat_figures.h"

#include <stdlib.h>

#include "server/command.h"
#include "server/control.h"

enum { ANSWER_BYTES_MAX = 192 << 10, ANSWER_S = 10 };

/* --- asking ------------------------------------------------------------------ */

static int refused(enum control_result result, const char *data, const struct out *why)
{
    switch (result) {
    case CONTROL_NONE:
        return command_failf(EXIT_FAILED, "no server runs on %s", data);
    case CONTROL_LOST:
        return command_failf(EXIT_FAILED, "the server on %s does not answer", data);
    case CONTROL_OK:
    case CONTROL_ERROR:
        break;
    }
    return command_fail(EXIT_FAILED, out_slice(why));
}

/* Fills `set` with what the server says to `request`; the exit status. */
static int ask(const struct config *c, const char *request, struct stats_set *set)
{
    char *room = malloc(ANSWER_BYTES_MAX);
    struct out out = out_of(room, room ? ANSWER_BYTES_MAX : 0);
    enum control_result result = CONTROL_LOST;
    int status = EXIT_GOOD;

    if (!room)
        return command_failf(EXIT_FAILED, "out of memory");
    result = control_ask(c->data, request, ANSWER_S, &out);
    if (result != CONTROL_OK)
        status = refused(result, c->data, &out);
    else if (!stats_read(out_slice(&out), set))
        status = command_failf(EXIT_FAILED,
            "the server on %s is of another version: use the ringmail it runs", c->data);
    free(room);
    return status;
}

static int ask_one(const struct config *c, const struct stats_table *table,
    unsigned number, struct stats_set *set)
{
    char request[64];

    snprintf(request, sizeof request, "stat %s %u", table->name, number);
    if (!stats_set_open(set, table))
        return command_failf(EXIT_FAILED, "out of memory");
    return ask(c, request, set);
}

/* `count` of them, and their sum. */
static int ask_all(const struct config *c, const struct stats_table *table,
    struct stats_set **sets, unsigned count, struct stats_set *sum)
{
    int status = EXIT_GOOD;

    *sets = calloc(count ? count : 1, sizeof **sets);
    if (!*sets || !stats_set_open(sum, table))
        return command_failf(EXIT_FAILED, "out of memory");
    for (unsigned i = 0; i < count && status == EXIT_GOOD; i++) {
        status = ask_one(c, table, i, &(*sets)[i]);
        if (status == EXIT_GOOD)
            stats_set_add(sum, &(*sets)[i]);
    }
    return status;
}

static int fill(struct figures *f, const struct config *c)
{
    int status;

    if (!stats_set_open(&f->server, &stats_server_table))
        return command_failf(EXIT_FAILED, "out of memory");
    status = ask(c, "stat server", &f->server);
    if (status != EXIT_GOOD)
        return status;
    f->thread_count = (unsigned)figures_server(f, STAT_threads);
    f->shard_count = (unsigned)figures_server(f, STAT_shards);
    f->seconds = (double)figures_server(f, STAT_uptime_s);
    status =
        ask_all(c, &stats_thread_table, &f->threads, f->thread_count, &f->thread_sum);
    if (status != EXIT_GOOD)
        return status;
    return ask_all(c, &stats_shard_table, &f->shards, f->shard_count, &f->shard_sum);
}

struct figures *figures_ask(const struct config *c, int *status)
{
    struct figures *f = calloc(1, sizeof *f);

    *status = f ? fill(f, c) : command_failf(EXIT_FAILED, "out of memory");
    if (*status == EXIT_GOOD)
        return f;
    figures_free(f);
    return NULL;
}

static void free_sets(struct stats_set *sets, unsigned count)
{
    for (unsigned i = 0; sets && i < count; i++)
        stats_set_close(&sets[i]);
    free(sets);
}

void figures_free(struct figures *f)
{
    if (!f)
        return;
    free_sets(f->threads, f->thread_count);
    free_sets(f->shards, f->shard_count);
    stats_set_close(&f->server);
    stats_set_close(&f->thread_sum);
    stats_set_close(&f->shard_sum);
    free(f);
}

/* --- intervals --------------------------------------------------------------- */

/* `before` NULL: all of it. */
static bool subtract(
    struct stats_set *to, const struct stats_set *now, const struct stats_set *before)
{
    if (!stats_set_open(to, now->table))
        return false;
    stats_set_copy(to, now);
    if (before)
        stats_set_since(to, before);
    return true;
}

static bool subtract_all(struct stats_set **to, const struct stats_set *now,
    const struct stats_set *before, unsigned count)
{
    *to = calloc(count ? count : 1, sizeof **to);
    for (unsigned i = 0; *to && i < count; i++)
        if (!subtract(&(*to)[i], &now[i], before ? &before[i] : NULL))
            return false;
    return *to != NULL;
}

struct figures *figures_between(
    const struct figures *before, const struct figures *now, double seconds)
{
    bool same = figures_server(now, STAT_pid) == figures_server(before, STAT_pid);
    struct figures *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->thread_count = now->thread_count;
    f->shard_count = now->shard_count;
    f->seconds = same ? seconds : now->seconds;
    f->interval = true;
    if (subtract(&f->server, &now->server, same ? &before->server : NULL) &&
        subtract(&f->thread_sum, &now->thread_sum, same ? &before->thread_sum : NULL) &&
        subtract(&f->shard_sum, &now->shard_sum, same ? &before->shard_sum : NULL) &&
        subtract_all(
            &f->threads, now->threads, same ? before->threads : NULL, f->thread_count) &&
        subtract_all(
            &f->shards, now->shards, same ? before->shards : NULL, f->shard_count))
        return f;
    figures_free(f);
    return NULL;
}
