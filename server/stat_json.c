/* stat_json.c -- the figures for programs: flat objects, described in server/README.md.
 */
#include "server/stat_figures.h"

static const struct {
    const char *name;
    double percent;
} points[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p999", 99.9}, {"max", 100}};

/* Times in us, sizes as they are. */
static void put_histogram(
    const struct stats_field *f, const struct histogram *h, FILE *to)
{
    bool times = f->kind == STATS_TIMES;
    const char *unit = times ? "_us" : "";
    double divisor = times ? 1000 : 1;
    int digits = times ? 1 : 0;

    fprintf(to, "\"%s\":{\"count\":%llu,\"mean%s\":%.*f", f->name,
        (unsigned long long)h->count, unit, digits, (double)histogram_mean(h) / divisor);
    for (unsigned i = 0; i < sizeof points / sizeof *points; i++)
        fprintf(to, ",\"%s%s\":%.*f", points[i].name, unit, digits,
            (double)histogram_percentile(h, points[i].percent) / divisor);
    fputc('}', to);
}

/* The members of an object, `first` without a comma in front. */
static void put_set(const struct stats_set *set, bool first, FILE *to)
{
    for (unsigned i = 0; i < set->table->field_count; i++) {
        const struct stats_field *f = &set->table->fields[i];

        if (f->kind == STATS_GROUP)
            continue;
        if (!first)
            fputc(',', to);
        first = false;
        if (f->kind == STATS_COUNT || f->kind == STATS_NOW)
            fprintf(to, "\"%s\":%llu", f->name, (unsigned long long)set->values[f->at]);
        else
            put_histogram(f, &set->times[f->at], to);
    }
}

static void put_sets(
    const char *list, const struct stats_set *sets, unsigned count, FILE *to)
{
    fprintf(to, ",\"%s\":[", list);
    for (unsigned i = 0; i < count; i++) {
        fprintf(to, "%s{\"%s\":%u", i ? "," : "", sets[i].table->name, i);
        put_set(&sets[i], false, to);
        fputc('}', to);
    }
    fputc(']', to);
}

void figures_json(const struct figures *f, FILE *to)
{
    fprintf(to, "{\"format\":1,\"interval\":%s,\"seconds\":%.3f,\"server\":{",
        f->interval ? "true" : "false", f->seconds);
    put_set(&f->server, true, to);
    fputs("},\"total\":{", to);
    put_set(&f->thread_sum, true, to);
    put_set(&f->shard_sum, false, to);
    fputc('}', to);
    put_sets("threads", f->threads, f->thread_count, to);
    put_sets("shards", f->shards, f->shard_count, to);
    fputs("}\n", to);
}
