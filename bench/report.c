#include "bench/report.h"

#include "bench/mode.h"

enum { BUSY_PERCENT = 90 }; /* the rest is the kernel's, or a moment of idleness */
static const char *const limit_names[] = {"none", "driver", "cpus"};

static const uint64_t count_shown_max = 1ull << 40; /* more: it is not bounded by count */

/* --- arithmetic ----------------------------------------------------------- */

static double rate_of(const struct figures *f)
{
    return f->seconds > 0 ? (double)f->sum->operations / f->seconds : 0;
}

/* Microseconds of each operation. */
static double per_op_us(const struct figures *f, int64_t ns)
{
    return f->sum->operations ? (double)ns / 1e3 / (double)f->sum->operations : 0;
}

static double percentile_us(const struct histogram *h, double percent)
{
    return (double)histogram_percentile(h, percent) / 1e3;
}

static double mean_us(const struct histogram *h)
{
    return (double)histogram_mean(h) / 1e3;
}

/* Of a connection that was there before the run; others are part of operations. */
static bool knows_connection(const struct figures *f)
{
    return f->kept && f->memory_held >= 0 && f->memory_idle >= 0;
}

static double per_connection(const struct figures *f)
{
    return (double)(f->memory_held - f->memory_idle) / (double)f->o->connections;
}

/* What the server grew by in the run: mail that it keeps in memory, or a leak. */
static bool knows_growth(const struct figures *f)
{
    return f->memory >= 0 && f->memory_ready >= 0 && f->sum->operations > 0;
}

static double growth_per_op(const struct figures *f)
{
    return (double)(f->memory - f->memory_ready) / (double)f->sum->operations;
}

enum report_limit report_limit(double busy, double waited)
{
    return busy >= BUSY_PERCENT         ? LIMIT_DRIVER
        : busy + waited >= BUSY_PERCENT ? LIMIT_CPUS
                                        : LIMIT_NONE;
}

static enum report_limit limit_of(const struct figures *f)
{
    return report_limit(f->busy_percent, f->waited_percent);
}

static double flushes_per_op(const struct figures *f)
{
    return f->sum->operations ? (double)f->disk.flushes / (double)f->sum->operations : 0;
}

static bool has_op(const struct figures *f)
{
    return f->o->mode == MODE_IMAP;
}

static const char *op_of(const struct figures *f)
{
    return has_op(f)               ? op_names[f->o->op]
        : f->o->mode == MODE_LOGIN ? f->o->protocol == LOGIN_POP3 ? "pop3" : "imap"
                                   : "";
}

static const char *target_of(const struct figures *f)
{
    const char *text = f->o->mode == MODE_SINK ? f->o->listen.text : f->o->to.text;

    return text ? text : "";
}

/* --- words ---------------------------------------------------------------- */

static void print_latency(FILE *to, const char *name, const struct histogram *h)
{
    if (!h->count)
        return;
    fprintf(to,
        "%-11s p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  max %.0f  mean %.0f us\n", name,
        percentile_us(h, 50), percentile_us(h, 90), percentile_us(h, 99),
        percentile_us(h, 99.9), percentile_us(h, 100), mean_us(h));
}

/* With FUA no flush says nothing: each write may have been made durable by itself. */
static const char *durable_text(const struct figures *f)
{
    return f->disk.flushes ? ""
        : f->disk.fua      ? " (this disk makes writes durable without any, by FUA)"
                           : " (nothing was made durable)";
}

static void print_memory(const struct figures *f, FILE *to)
{
    fprintf(to, "memory      %.1f MiB", (double)f->memory / 1048576);
    if (knows_connection(f))
        fprintf(to, "; %.0f octets a connection", per_connection(f));
    if (knows_growth(f))
        fprintf(to, "; grew by %.1f octets an operation", growth_per_op(f));
    fputc('\n', to);
}

static void print_server(const struct figures *f, FILE *to)
{
    if (f->cpu.known && !f->sum->operations)
        fprintf(to, "server      %.1f ms of CPU\n", (double)f->cpu.total_ns / 1e6);
    else if (f->cpu.known)
        fprintf(to, "server      %.1f us of CPU an operation (user %.1f, system %.1f)\n",
            per_op_us(f, f->cpu.total_ns), per_op_us(f, f->cpu.user_ns),
            per_op_us(f, f->cpu.system_ns));
    else if (f->o->pids.count)
        fprintf(to, "server      a process of it has ended: what it used is not known\n");
    if (f->memory >= 0)
        print_memory(f, to);
    if (f->disk.known)
        fprintf(to,
            "disk        %llu flushes, %llu writes, %.1f MiB; %.3f flushes an "
            "operation%s\n",
            (unsigned long long)f->disk.flushes, (unsigned long long)f->disk.writes,
            (double)f->disk.sectors / 2048, flushes_per_op(f), durable_text(f));
}

static void print_verify(const struct verify_result *v, FILE *to)
{
    fprintf(to,
        "verify      %llu expected, %llu found; missing %llu, twice %llu, different "
        "%llu%s%s\n",
        (unsigned long long)v->expected, (unsigned long long)v->found,
        (unsigned long long)v->missing, (unsigned long long)v->twice,
        (unsigned long long)v->different, *v->error ? "; " : "", v->error);
}

static void print_driver(const struct figures *f, FILE *to)
{
    fputs("driver      ", to);
    if (f->sum->operations)
        fprintf(to, "%.1f us of CPU an operation, ", per_op_us(f, f->sum->cpu_ns));
    fprintf(to, "%.0f %% of a CPU a thread%s\n", f->busy_percent,
        f->waited_percent >= 10 ? ", and it had to wait for one" : "");
    if (f->o->rate > 0)
        fprintf(to,
            "open loop   %llu began late, %llu of them with a connection free; %llu due "
            "and not begun\n",
            (unsigned long long)f->sum->late, (unsigned long long)f->sum->missed,
            (unsigned long long)f->sum->undone);
    if (limit_of(f) == LIMIT_DRIVER)
        fprintf(to, "NOTE        the driver is the bottleneck: more --threads\n");
    if (limit_of(f) == LIMIT_CPUS)
        fprintf(to,
            "NOTE        the CPUs are the bottleneck: the driver always had work, and "
            "waited for one %.0f %% of the time\n",
            f->waited_percent);
    if (f->sum->missed * 100 > f->sum->operations)
        fprintf(to,
            "NOTE        latencies hold delays of the driver's own, which got a CPU "
            "too late\n");
}

void report_words(const struct figures *f, FILE *to)
{
    const struct tally *t = f->sum;

    fprintf(to, "%s%s%s  %s", mode_names[f->o->mode], *op_of(f) ? " " : "", op_of(f),
        target_of(f));
    if (f->o->mode != MODE_SINK)
        fprintf(to, "  %llu connection%s", (unsigned long long)f->o->connections,
            f->o->connections == 1 ? "" : "s");
    fprintf(
        to, "%s%s\n", f->o->tls ? ", TLS " : "", f->o->tls ? tls_names[f->o->tls] : "");
    fprintf(to, "operations  %llu in %.2f s, %.1f/s; %llu errors\n",
        (unsigned long long)t->operations, f->seconds, rate_of(f),
        (unsigned long long)t->errors);
    if (t->errors)
        fprintf(to, "first error %s\n", t->error_text);
    print_latency(to, "latency", &t->latency);
    for (unsigned i = 0; f->mode->steps && f->mode->steps[i]; i++)
        print_latency(to, f->mode->steps[i], &t->steps[i]);
    fprintf(to, "octets      %llu in, %llu out\n", (unsigned long long)t->bytes_in,
        (unsigned long long)t->bytes_out);
    if (f->o->mode == MODE_SINK)
        fprintf(to, "recipients  %llu, over %llu connections\n",
            (unsigned long long)t->recipients, (unsigned long long)t->connections);
    if (t->handshakes)
        fprintf(to, "TLS         %llu handshakes, %llu of them resumed\n",
            (unsigned long long)t->handshakes, (unsigned long long)t->resumed);
    print_server(f, to);
    print_driver(f, to);
    if (f->verify)
        print_verify(f->verify, to);
}

/* --- JSON ----------------------------------------------------------------- */

/* Only printable ASCII gets here; a control octet would be no JSON. */
static void json_text(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            fputc('\\', to);
        fputc(c >= ' ' && c < 0x7f ? c : '?', to);
    }
    fputc('"', to);
}

static void json_latency(FILE *to, const struct histogram *h)
{
    fprintf(to,
        "{\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f, "
        "\"mean\": %.1f, \"count\": %llu}",
        percentile_us(h, 50), percentile_us(h, 90), percentile_us(h, 99),
        percentile_us(h, 99.9), percentile_us(h, 100), mean_us(h),
        (unsigned long long)h->count);
}

static void json_steps(const struct figures *f, FILE *to)
{
    if (!f->mode->steps)
        return;
    fputs(" \"steps_us\": {", to);
    for (unsigned i = 0; f->mode->steps[i]; i++) {
        fprintf(to, "%s\"%s\": ", i ? ", " : "", f->mode->steps[i]);
        json_latency(to, &f->sum->steps[i]);
    }
    fputs("},\n", to);
}

static void json_known(FILE *to, const char *name, bool known, double value, int digits)
{
    if (known)
        fprintf(to, ", \"%s\": %.*f", name, digits, value);
    else
        fprintf(to, ", \"%s\": null", name);
}

static void json_server(const struct figures *f, FILE *to)
{
    if (!f->cpu.known) {
        fputs(" \"server\": null,\n", to);
        return;
    }
    fprintf(to,
        " \"server\": {\"cpu_us_per_op\": %.2f, \"user_us_per_op\": %.2f, "
        "\"system_us_per_op\": %.2f, \"cpu_seconds\": %.6f",
        per_op_us(f, f->cpu.total_ns), per_op_us(f, f->cpu.user_ns),
        per_op_us(f, f->cpu.system_ns), (double)f->cpu.total_ns / 1e9);
    json_known(to, "memory_bytes", f->memory >= 0, (double)f->memory, 0);
    json_known(to, "memory_per_connection", knows_connection(f), per_connection(f), 0);
    json_known(to, "memory_per_op", knows_growth(f), growth_per_op(f), 1);
    fprintf(to,
        ", \"counters_us\": {\"user\": [%lld, %lld], \"system\": [%lld, %lld]}},\n",
        (long long)f->cpu_begin.user_ns / 1000, (long long)f->cpu_end.user_ns / 1000,
        (long long)f->cpu_begin.system_ns / 1000, (long long)f->cpu_end.system_ns / 1000);
}

static void json_driver(const struct figures *f, FILE *to)
{
    fprintf(to,
        " \"driver\": {\"cpu_us_per_op\": %.2f, \"busy_percent\": %.1f, "
        "\"waited_percent\": %.1f, \"bottleneck\": %s, \"limit\": \"%s\", "
        "\"late\": %llu, "
        "\"late_with_a_connection_free\": %llu, \"not_begun\": %llu},\n",
        per_op_us(f, f->sum->cpu_ns), f->busy_percent, f->waited_percent,
        limit_of(f) == LIMIT_DRIVER ? "true" : "false", limit_names[limit_of(f)],
        (unsigned long long)f->sum->late, (unsigned long long)f->sum->missed,
        (unsigned long long)f->sum->undone);
}

static void json_disk(const struct figures *f, FILE *to)
{
    if (!f->disk.known) {
        fputs(" \"disk\": null,\n", to);
        return;
    }
    fprintf(to,
        " \"disk\": {\"flushes\": %llu, \"writes\": %llu, \"bytes_written\": %llu, "
        "\"flushes_per_op\": %.4f, \"fua\": %s},\n",
        (unsigned long long)f->disk.flushes, (unsigned long long)f->disk.writes,
        (unsigned long long)f->disk.sectors * 512, flushes_per_op(f),
        f->disk.fua ? "true" : "false");
}

static void json_verify(const struct verify_result *v, FILE *to)
{
    if (!v) {
        fputs(" \"verify\": null}\n", to);
        return;
    }
    fprintf(to,
        " \"verify\": {\"expected\": %llu, \"found\": %llu, \"missing\": %llu, "
        "\"twice\": %llu, \"different\": %llu, \"error_text\": ",
        (unsigned long long)v->expected, (unsigned long long)v->found,
        (unsigned long long)v->missing, (unsigned long long)v->twice,
        (unsigned long long)v->different);
    json_text(to, v->error);
    fputs("}}\n", to);
}

void report_json(const struct figures *f, FILE *to)
{
    const struct tally *t = f->sum;

    fprintf(to, "{\"mode\": \"%s\", \"op\": \"%s\", \"target\": ", mode_names[f->o->mode],
        op_of(f));
    json_text(to, target_of(f));
    fprintf(to,
        ", \"connections\": %llu, \"threads\": %llu, \"tls\": \"%s\", "
        "\"rate_wanted\": %.3f,\n \"operations\": %llu, \"seconds\": %.6f, "
        "\"rate\": %.3f, \"errors\": %llu, \"error_text\": ",
        (unsigned long long)f->o->connections, (unsigned long long)f->o->threads,
        tls_names[f->o->tls], f->o->rate, (unsigned long long)t->operations, f->seconds,
        rate_of(f), (unsigned long long)t->errors);
    json_text(to, t->error_text);
    fputs(",\n \"latency_us\": ", to);
    json_latency(to, &t->latency);
    fputs(",\n", to);
    json_steps(f, to);
    fprintf(to,
        " \"bytes_in\": %llu, \"bytes_out\": %llu, \"connects\": %llu, "
        "\"handshakes\": %llu, \"resumed\": %llu, \"recipients\": %llu,\n",
        (unsigned long long)t->bytes_in, (unsigned long long)t->bytes_out,
        (unsigned long long)t->connections, (unsigned long long)t->handshakes,
        (unsigned long long)t->resumed, (unsigned long long)t->recipients);
    json_server(f, to);
    json_driver(f, to);
    json_disk(f, to);
    json_verify(f->verify, to);
}

/* --- CSV ------------------------------------------------------------------ */

void report_csv_head(FILE *to)
{
    fputs("mode,op,target,connections,threads,tls,rate_wanted,operations,seconds,rate,"
          "errors,p50_us,p90_us,p99_us,p999_us,max_us,mean_us,bytes_in,bytes_out,"
          "server_cpu_us_per_op,server_user_us_per_op,server_system_us_per_op,"
          "server_memory_bytes,server_memory_per_connection,server_memory_per_op,driver_"
          "cpu_us_per_op,"
          "driver_busy_percent,bottleneck,flushes,writes,bytes_written,flushes_per_op,"
          "verify_expected,verify_missing,verify_twice,verify_different\n",
        to);
}

/* RFC 4180: what has a comma, a quote or a line end in it stands in quotes, its quotes
 * doubled. */
static void csv_text(FILE *to, const char *text)
{
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;

    if (quoted)
        fputc('"', to);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', to);
        fputc(*text, to);
    }
    if (quoted)
        fputc('"', to);
}

/* What is not known is empty. */
static void csv_known(FILE *to, bool known, double value, int digits)
{
    fputc(',', to);
    if (known)
        fprintf(to, "%.*f", digits, value);
}

static void csv_server(const struct figures *f, FILE *to)
{
    if (f->cpu.known)
        fprintf(to, ",%.2f,%.2f,%.2f", per_op_us(f, f->cpu.total_ns),
            per_op_us(f, f->cpu.user_ns), per_op_us(f, f->cpu.system_ns));
    else
        fputs(",,,", to);
    csv_known(to, f->memory >= 0, (double)f->memory, 0);
    csv_known(to, knows_connection(f), per_connection(f), 0);
    csv_known(to, knows_growth(f), growth_per_op(f), 1);
}

void report_csv(const struct figures *f, FILE *to)
{
    const struct tally *t = f->sum;
    const struct histogram *h = &t->latency;
    const struct verify_result *v = f->verify;

    fprintf(to, "%s,%s,", mode_names[f->o->mode], op_of(f));
    csv_text(to, target_of(f));
    fprintf(to, ",%llu,%llu,%s,%.3f,%llu,%.6f,%.3f,%llu",
        (unsigned long long)f->o->connections, (unsigned long long)f->o->threads,
        tls_names[f->o->tls], f->o->rate, (unsigned long long)t->operations, f->seconds,
        rate_of(f), (unsigned long long)t->errors);
    fprintf(to, ",%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%llu,%llu", percentile_us(h, 50),
        percentile_us(h, 90), percentile_us(h, 99), percentile_us(h, 99.9),
        percentile_us(h, 100), mean_us(h), (unsigned long long)t->bytes_in,
        (unsigned long long)t->bytes_out);
    csv_server(f, to);
    fprintf(to, ",%.2f,%.1f,%d", per_op_us(f, t->cpu_ns), f->busy_percent,
        limit_of(f) == LIMIT_DRIVER);
    if (f->disk.known)
        fprintf(to, ",%llu,%llu,%llu,%.4f", (unsigned long long)f->disk.flushes,
            (unsigned long long)f->disk.writes, (unsigned long long)f->disk.sectors * 512,
            flushes_per_op(f));
    else
        fputs(",,,,", to);
    if (v)
        fprintf(to, ",%llu,%llu,%llu,%llu\n", (unsigned long long)v->expected,
            (unsigned long long)v->missing, (unsigned long long)v->twice,
            (unsigned long long)v->different);
    else
        fputs(",,,,\n", to);
}

/* --- progress ------------------------------------------------------------- */

static void progress_set_up(const struct bench *b, FILE *to)
{
    unsigned all = 0, missing = 0;

    for (unsigned i = 0; i < b->threads; i++) {
        all += b->drivers[i].joined;
        missing += b->drivers[i].unready;
    }
    fprintf(to, "\r%u of %u connections are set up", all - missing, all);
}

static void progress_run(
    struct progress *p, const struct bench *b, int64_t now_ns, FILE *to)
{
    const char *unit = b->mode->unit ? b->mode->unit : "operations";
    uint64_t operations = 0, bytes = 0;
    double seconds = (double)(now_ns - p->at_ns) / 1e9;

    for (unsigned i = 0; i < b->threads; i++) {
        operations += b->drivers[i].tally.operations;
        bytes += b->drivers[i].tally.bytes_in;
    }
    if (b->o->count <= count_shown_max)
        fprintf(to, "\r%llu of %llu %s", (unsigned long long)operations,
            (unsigned long long)b->o->count, unit);
    else
        fprintf(to, "\r%llu %s", (unsigned long long)operations, unit);
    if (b->mode->unit)
        fprintf(to, ", %.1f MiB", (double)bytes / 1048576);
    else if (p->at_ns)
        fprintf(to, ", %.0f/s", (double)(operations - p->operations) / seconds);
    *p = (struct progress){operations, now_ns};
}

void report_progress(struct progress *p, const struct bench *b, int64_t now_ns, FILE *to)
{
    uint64_t errors = 0;

    for (unsigned i = 0; i < b->threads; i++)
        errors += b->drivers[i].tally.errors;
    if (b->phase == PHASE_SETUP)
        progress_set_up(b, to);
    else if (b->phase == PHASE_RUN)
        progress_run(p, b, now_ns, to);
    else
        fputs("\rclosing connections", to);
    fprintf(
        to, ", %llu error%s\033[K", (unsigned long long)errors, errors == 1 ? "" : "s");
    fflush(to);
}

void report_progress_clear(FILE *to)
{
    fputs("\r\033[K", to);
    fflush(to);
}
