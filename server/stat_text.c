/* stat_text.c -- the figures for people. What is zero is left out: the page shows what
 * moves, and a view of a second fits a screen. */
#include <stdlib.h>

#include "server/stat_figures.h"

enum { CELL = 16 };

struct page {
    const struct figures *figures;
    const char *line_end;
    FILE *to;
    const char *heading; /* not printed before there is something below it */
    bool times;          /* ... and its columns are those of times */
};

static void end_line(const struct page *p)
{
    fputs(p->line_end, p->to);
    fputc('\n', p->to);
}

/* --- cells ------------------------------------------------------------------- */

/* 1234567 -> "1,234,567" */
static const char *count_text(char cell[CELL * 2], uint64_t n)
{
    char digits[CELL * 2];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;

    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            cell[at++] = ',';
        cell[at++] = digits[i];
    }
    cell[at] = 0;
    return cell;
}

static const char *scaled(
    char cell[CELL], double n, const char *const *units, unsigned count, double step)
{
    unsigned unit = 0;

    for (; unit + 1 < count && n >= step; unit++)
        n /= step;
    snprintf(cell, CELL, "%.*f %s",
        unit == 0 || n >= 100 ? 0
            : n >= 10         ? 1
                              : 2,
        n, units[unit]);
    return cell;
}

static const char *time_text(char cell[CELL], uint64_t ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};

    return scaled(cell, (double)ns, units, 4, 1000);
}

static const char *size_text(char cell[CELL], uint64_t octets)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};

    return scaled(cell, (double)octets, units, 5, 1024);
}

/* A rate, or a share: few digits. */
static const char *rate_text(char cell[CELL], double n)
{
    snprintf(cell, CELL, n >= 100 || n == 0 ? "%.0f" : n >= 10 ? "%.1f" : "%.2f", n);
    return cell;
}

static bool is_octets(const struct stats_field *f)
{
    return strncmp(f->help, "octets", 6) == 0;
}

static double per_second(const struct page *p, uint64_t n)
{
    return p->figures->seconds > 0 ? (double)n / p->figures->seconds : 0;
}

/* --- rows -------------------------------------------------------------------- */

/* What the figure is a part of: in its own list, or a limit of the process; NULL. */
static const uint64_t *whole_of(
    const struct page *p, const struct stats_set *set, const struct stats_field *f)
{
    const struct stats_set *in[] = {set, &p->figures->server};

    for (unsigned i = 0; *f->of && i < 2; i++) {
        const struct stats_field *of = stats_find(in[i]->table, slice_str(f->of));

        if (of)
            return &in[i]->values[of->at];
    }
    return NULL;
}

static void put_heading(struct page *p)
{
    if (!p->heading)
        return;
    end_line(p);
    if (p->times)
        fprintf(p->to, "%-20s %11s %8s %9s %9s %9s %9s %9s %9s", p->heading, "count",
            "/s", "mean", "p50", "p90", "p99", "p99.9", "max");
    else
        fprintf(p->to, "%s", p->heading);
    end_line(p);
    p->heading = NULL;
}

static void put_flag(const struct page *p, const struct stats_field *f)
{
    if (*f->flag)
        fprintf(p->to, "  --%s", f->flag);
    end_line(p);
}

static void put_share(const struct page *p, const struct stats_set *set,
    const struct stats_field *f, uint64_t value)
{
    const uint64_t *whole = whole_of(p, set, f);
    char share[CELL * 4] = "", cell[CELL];

    if (whole && *whole)
        snprintf(share, sizeof share, "%s %% of %s",
            rate_text(cell, 100 * (double)value / (double)*whole), f->of);
    fprintf(p->to, " %-32s", share);
}

static void put_value(
    struct page *p, const struct stats_set *set, const struct stats_field *f)
{
    uint64_t value = set->values[f->at];
    char number[CELL * 2], rate[CELL * 2] = "", cell[CELL];

    if (value == 0)
        return;
    put_heading(p);
    if (is_octets(f))
        size_text(number, value);
    else
        count_text(number, value);
    if (f->kind == STATS_COUNT)
        snprintf(rate, sizeof rate, "%s/s",
            is_octets(f) ? size_text(cell, (uint64_t)per_second(p, value))
                         : rate_text(cell, per_second(p, value)));
    fprintf(p->to, "  %-22s %16s %14s", f->name, number, rate);
    put_share(p, set, f, value);
    put_flag(p, f);
}

static void put_times(
    struct page *p, const struct stats_set *set, const struct stats_field *f)
{
    static const double points[] = {50, 90, 99, 99.9, 100};
    const struct histogram *h = &set->times[f->at];
    const char *(*text)(char cell[CELL], uint64_t n) = f->kind == STATS_TIMES ? time_text
        : is_octets(f)                                                        ? size_text
                                                                              : NULL;
    char cell[CELL * 2];

    if (h->count == 0)
        return;
    p->times = true;
    put_heading(p);
    fprintf(p->to, "  %-18s %11s", f->name, count_text(cell, h->count));
    fprintf(p->to, " %8s", rate_text(cell, per_second(p, h->count)));
    fprintf(p->to, " %9s",
        text ? text(cell, histogram_mean(h)) : count_text(cell, histogram_mean(h)));
    for (unsigned i = 0; i < sizeof points / sizeof *points; i++) {
        uint64_t n = histogram_percentile(h, points[i]);

        fprintf(p->to, " %9s", text ? text(cell, n) : count_text(cell, n));
    }
    put_flag(p, f);
}

static bool is_times(const struct stats_field *f)
{
    return f->kind == STATS_TIMES || f->kind == STATS_SIZES;
}

/* The rows of a group from field `at` on; those with percentiles in a table of their own.
 */
static unsigned put_group(struct page *p, const struct stats_set *set, unsigned at)
{
    const struct stats_field *fields = set->table->fields;
    unsigned end = at + 1;

    while (end < set->table->field_count && fields[end].kind != STATS_GROUP)
        end++;
    p->heading = fields[at].name;
    p->times = false;
    for (unsigned i = at + 1; i < end; i++)
        if (!is_times(&fields[i]))
            put_value(p, set, &fields[i]);
    p->heading = fields[at].name;
    for (unsigned i = at + 1; i < end; i++)
        if (is_times(&fields[i]))
            put_times(p, set, &fields[i]);
    p->heading = NULL;
    return end;
}

static void put_groups(struct page *p, const struct stats_set *set)
{
    for (unsigned at = 0; at < set->table->field_count;)
        at = put_group(p, set, at);
}

/* --- a row for each thread and shard ------------------------------------------- */

static void put_thread(const struct page *p, unsigned i)
{
    const struct stats_set *s = &p->figures->threads[i];
    const struct histogram *turn = &s->times[TIMES_turn];
    char cell[CELL * 2];

    fprintf(p->to, "  %-6u %7s", i,
        rate_text(cell, per_second(p, s->values[STAT_cpu_us]) / 10000));
    fprintf(p->to, " %10s", rate_text(cell, per_second(p, s->values[STAT_turns])));
    fprintf(p->to, " %9s", time_text(cell, histogram_percentile(turn, 50)));
    fprintf(p->to, " %9s", time_text(cell, histogram_percentile(turn, 99)));
    fprintf(p->to, " %9s", time_text(cell, turn->max));
    fprintf(p->to, " %9s", time_text(cell, s->times[TIMES_turn_cpu].max));
    fprintf(p->to, " %11s", count_text(cell, s->values[STAT_connections]));
    fprintf(p->to, " %10s", rate_text(cell, per_second(p, s->values[STAT_calls])));
    fprintf(p->to, " %11s", rate_text(cell, per_second(p, s->values[STAT_doorbells])));
    end_line(p);
}

static void put_shard(const struct page *p, unsigned i)
{
    const struct stats_set *s = &p->figures->shards[i];
    const struct histogram *commit = &s->times[TIMES_commit];
    const struct histogram *records = &s->times[TIMES_batch_records];
    char cell[CELL * 2];

    fprintf(
        p->to, "  %-6u %9s", i, rate_text(cell, per_second(p, s->values[STAT_batches])));
    fprintf(p->to, " %9s", time_text(cell, histogram_percentile(commit, 50)));
    fprintf(p->to, " %9s", time_text(cell, histogram_percentile(commit, 99)));
    fprintf(p->to, " %9s", time_text(cell, commit->max));
    fprintf(p->to, " %9s", count_text(cell, histogram_percentile(records, 50)));
    fprintf(p->to, " %9s", count_text(cell, records->max));
    fprintf(p->to, " %10s", size_text(cell, s->values[STAT_log_bytes]));
    fprintf(p->to, " %10s", size_text(cell, s->values[STAT_live_bytes]));
    end_line(p);
}

static void put_rows(const struct page *p)
{
    end_line(p);
    fprintf(p->to, "%-8s %7s %10s %9s %9s %9s %9s %11s %10s %11s", "thread", "cpu %",
        "turns/s", "turn p50", "p99", "max", "cpu max", "connections", "calls/s",
        "doorbells/s");
    end_line(p);
    for (unsigned i = 0; i < p->figures->thread_count; i++)
        put_thread(p, i);
    end_line(p);
    fprintf(p->to, "%-8s %9s %9s %9s %9s %9s %9s %10s %10s", "shard", "batches/s",
        "sync p50", "p99", "max", "rec. p50", "max", "log", "live");
    end_line(p);
    for (unsigned i = 0; i < p->figures->shard_count; i++)
        put_shard(p, i);
}

void figures_text(
    const struct figures *f, const char *data, const char *line_end, FILE *to)
{
    struct page p = {.figures = f, .line_end = line_end, .to = to};
    uint64_t up_s = figures_server(f, STAT_uptime_s);

    fprintf(to, "ringmail on %s, process %llu, up %llud %02llu:%02llu:%02llu; ", data,
        (unsigned long long)figures_server(f, STAT_pid),
        (unsigned long long)(up_s / 86400), (unsigned long long)(up_s / 3600 % 24),
        (unsigned long long)(up_s / 60 % 60), (unsigned long long)(up_s % 60));
    if (f->interval)
        fprintf(to, "the last %.1f s", f->seconds);
    else
        fputs("since the start", to);
    end_line(&p);
    put_groups(&p, &f->thread_sum);
    put_groups(&p, &f->shard_sum);
    put_groups(&p, &f->server);
    put_rows(&p);
}
