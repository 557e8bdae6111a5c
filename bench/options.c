#include "bench/options.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "bench/options_table.h"
#include "proto/base/check.h"

enum { DEPTH_MAX = 1000 };
#define RATE_MIN 0.001

const char *const mode_names[] = {
    "smtp", "submission", "lmtp", "pop3", "imap", "idle", "login", "mixed", "sink", NULL};
const char *const op_names[] = {"login", "noop", "append", "select", "flags", "envelope",
    "body", "range", "store", "search", "status", NULL};
const char *const tls_names[] = {"none", "implicit", "starttls", NULL};

/* "--rate x: text" */
static bool bad(struct out *why, const char *flag, const char *value, const char *text)
{
    char line[OPTIONS_WHY_MAX];

    snprintf(line, sizeof line, "--%s%s%s: %s", flag, *value ? " " : "", value, text);
    out_str(why, line);
    return false;
}

/* --- values --------------------------------------------------------------- */

bool options_time(struct slice text, int64_t *ns)
{
    static const struct {
        struct slice unit;
        double seconds;
    } units[] = {{SI("ms"), 1e-3}, {SI("us"), 1e-6}, {SI("s"), 1}, {SI("m"), 60},
        {SI("h"), 3600}, {SI(""), 1}};
    char digits[32], *end;
    size_t n = 0;
    double value;

    while (n < text.len && (ascii_digit(text.at[n]) || text.at[n] == '.'))
        n++;
    if (n == 0 || n >= sizeof digits)
        return false;
    memcpy(digits, text.at, n);
    digits[n] = 0;
    value = strtod(digits, &end);
    slice_take(&text, n);
    for (size_t i = 0; !*end && i < sizeof units / sizeof *units; i++)
        if (slice_eq(text, units[i].unit) && value * units[i].seconds < 1e8) {
            *ns = (int64_t)(value * units[i].seconds * 1e9);
            return true;
        }
    return false;
}

static bool local_target(const char *path, struct target *target)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&target->address;

    if (*path == 0 || strlen(path) >= sizeof un->sun_path)
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    target->len = sizeof *un;
    return true;
}

bool options_target(const char *text, struct target *target)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(text, ':');
    struct addrinfo *found = NULL;
    char host[256];
    size_t len = colon ? (size_t)(colon - text) : 0;
    uint32_t port;

    target->text = text;
    if (strncmp(text, "unix:", 5) == 0)
        return local_target(text + 5, target);
    if (len == 0 || len >= sizeof host || !slice_u32(slice_str(colon + 1), &port) ||
        port > UINT16_MAX)
        return false;
    if (text[0] == '[' && text[len - 1] == ']' && len > 2)
        text++, len -= 2;
    memcpy(host, text, len);
    host[len] = 0;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return false;
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    target->len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool set_count(
    const struct flag *f, const char *value, uint64_t *to, struct out *why)
{
    char text[96];

    if (!size_parse(slice_str(value), to)) {
        snprintf(text, sizeof text, "not a number; write --%s %llu", f->name,
            (unsigned long long)(f->min ? f->min : 1));
        return bad(why, f->name, value, text);
    }
    if (*to >= f->min && *to <= f->max)
        return true;
    snprintf(text, sizeof text, "too %s; write --%s %llu or %s",
        *to < f->min ? "small" : "large", f->name,
        (unsigned long long)(*to < f->min ? f->min : f->max),
        *to < f->min ? "more" : "less");
    return bad(why, f->name, value, text);
}

static bool set_text(
    const struct flag *f, const char *value, const char **to, struct out *why)
{
    char text[64];

    *to = value;
    if (f->max == 0 || strlen(value) <= f->max)
        return true;
    snprintf(text, sizeof text, "too long; write %llu octets or less",
        (unsigned long long)f->max);
    return bad(why, f->name, "", text);
}

/* Below the least, the moments of an open loop would be further away than times reach. */
static bool set_rate(const struct flag *f, const char *value, double *to, struct out *why)
{
    char *end;

    *to = strtod(value, &end);
    if (*value && !*end && (*to == 0 || (*to >= RATE_MIN && *to <= 1e8)))
        return true;
    return bad(why, f->name, value, "not a rate; write operations a second, as 500");
}

static bool set_word(const struct flag *f, const char *value, int *to, struct out *why)
{
    struct slice words = slice_str(f->value);
    char text[160];

    for (int i = 0; words.len; i++) {
        struct slice word = slice_take(&words, slice_find(words, '|'));

        if (words.len)
            slice_take(&words, 1);
        *to = i;
        if (slice_eq(word, slice_str(value)))
            return true;
    }
    snprintf(text, sizeof text, "no such word; write one of %s", f->value);
    return bad(why, f->name, value, text);
}

static bool add_pid(
    const struct flag *f, const char *value, struct pids *to, struct out *why)
{
    uint32_t pid;

    if (!slice_u32(slice_str(value), &pid) || pid == 0 || pid > INT32_MAX)
        return bad(why, f->name, value, "not a process; write its number");
    if (to->count == OPTIONS_PIDS_MAX)
        return bad(why, f->name, value, "too many; name a --server-cgroup instead");
    to->at[to->count++] = (int)pid;
    return true;
}

static bool set(
    struct options *o, const struct flag *f, const char *value, struct out *why)
{
    void *to = (char *)o + f->offset;

    switch (f->type) {
    case FLAG_SWITCH:
        *(bool *)to = true;
        return true;
    case FLAG_TEXT:
        return set_text(f, value, to, why);
    case FLAG_COUNT:
        return set_count(f, value, to, why);
    case FLAG_TIME:
        return options_time(slice_str(value), to) ||
            bad(why, f->name, value, "not a time; write seconds, as 10 or 0.5, or 2m");
    case FLAG_RATE:
        return set_rate(f, value, to, why);
    case FLAG_WORD:
        return set_word(f, value, to, why);
    case FLAG_TARGET:
        return options_target(value, to) ||
            bad(why, f->name, value, "no such place; write 127.0.0.1:25 or unix:/path");
    case FLAG_PIDS:
        return add_pid(f, value, to, why);
    case FLAG_GROUP:
        break;
    }
    return false;
}

/* --- the command line ----------------------------------------------------- */

static const struct flag *find(struct slice name)
{
    for (unsigned i = 0; i < options_table_count; i++)
        if (options_table[i].type != FLAG_GROUP &&
            slice_eq(slice_str(options_table[i].name), name))
            return &options_table[i];
    return NULL;
}

/* One flag and, where it takes one, its value; *at is moved past both. */
static bool take_flag(struct options *o, int argc, char **argv, int *at, struct out *why)
{
    struct slice name = slice_str(argv[*at] + 2);
    size_t equals = slice_find(name, '=');
    const char *value = equals < name.len ? name.at + equals + 1 : NULL;
    const struct flag *f = find(slice_of(name.at, equals));

    if (!f)
        return bad(why, name.at, "", "no such flag; `ringmail-bench --help` lists them");
    ++*at;
    if (f->type == FLAG_SWITCH)
        return value ? bad(why, f->name, value, "takes no value; leave it out")
                     : set(o, f, "", why);
    if (!(f->modes & 1u << o->mode))
        return bad(why, f->name, "", "means nothing in this mode; leave it out");
    if (!value && *at == argc)
        return bad(why, f->name, "", "needs a value");
    return set(o, f, value ? value : argv[(*at)++], why);
}

static bool take_mode(struct options *o, const char *word, struct out *why)
{
    for (unsigned i = 0; i < MODE_COUNT; i++)
        if (strcmp(word, mode_names[i]) == 0) {
            o->mode = (enum mode_kind)i;
            return true;
        }
    out_str(why, word);
    out_str(why, ": no such mode; write one of");
    for (unsigned i = 0; i < MODE_COUNT; i++) {
        out_byte(why, ' ');
        out_str(why, mode_names[i]);
    }
    return false;
}

static void set_presets(struct options *o, struct out *why)
{
    for (unsigned i = 0; i < options_table_count; i++) {
        const struct flag *f = &options_table[i];

        if (f->type == FLAG_TEXT || (f->type != FLAG_GROUP && *f->preset))
            CHECK(set(o, f, f->preset, why));
    }
}

/* --- what depends on several flags ---------------------------------------- */

static bool finish_users(struct options *o, struct out *why)
{
    o->users.first = o->user_first;
    o->users.count = o->user_count;
    o->users.password = slice_str(o->password);
    if (!*o->users_file && !users_pattern(&o->users, slice_str(o->users_pattern)))
        return bad(
            why, "users", o->users_pattern, "write one address, with at most one %d");
    if (!*o->users_file && !o->users.numbered && o->user_count > 1)
        return bad(why, "users", o->users_pattern,
            "names one user; put %d in it, or write --user-count 1");
    if (!*o->users_file)
        return true;
    if (users_file(&o->users, o->users_file))
        return true;
    return bad(why, "users-file", o->users_file,
        errno == EOVERFLOW
            ? "a name or a password in it is too long; write 256 octets or less"
            : errno ? strerror(errno)
                    : "names nobody; write address:password lines");
}

static bool finish_pipeline(struct options *o, struct out *why)
{
    uint32_t depth = 1;

    if (strcmp(o->pipeline, "no") == 0)
        depth = 0;
    else if (strcmp(o->pipeline, "yes") != 0 &&
        (!slice_u32(slice_str(o->pipeline), &depth) || depth == 0 || depth > DEPTH_MAX))
        return bad(why, "pipeline", o->pipeline, "write yes, no or a number up to 1000");
    o->depth = depth;
    return true;
}

static bool finish_bounds(struct options *o, struct out *why)
{
    if (o->time_ns == 0 && o->count == 0 && o->mode != MODE_SINK)
        o->time_ns = 10000000000;
    if (o->count == 0)
        o->count = UINT64_MAX >> 1;
    if (o->time_ns == 0)
        o->time_ns = INT64_MAX / 4;
    if (o->timeout_ns == 0)
        return bad(
            why, "timeout", "0", "nothing is answered at once; write --timeout 60s");
    if (o->threads > o->connections)
        o->threads = o->connections;
    if (o->mode == MODE_SINK)
        o->threads = 1;
    return true;
}

static bool finish_places(struct options *o, struct out *why)
{
    if (o->mode == MODE_SINK)
        return o->listen.len ||
            bad(why, "listen", "", "is needed; write --listen 127.0.0.1:2525");
    if (!o->to.len)
        return bad(why, "to", "", "is needed; write --to 127.0.0.1:25");
    if (o->mode == MODE_MIXED && !o->deliver.len)
        return bad(why, "deliver", "", "is needed; write --deliver 127.0.0.1:25");
    if (o->mode == MODE_LMTP && o->tls == TLS_IMPLICIT)
        return bad(why, "tls", "implicit", "LMTP has none; write --tls starttls");
    return true;
}

bool options_parse(struct options *o, int argc, char **argv, struct out *why)
{
    bool named = argc > 0 && argv[0][0] != '-';
    int at = named ? 1 : 0;

    *o = (struct options){0};
    set_presets(o, why);
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            o->help = true;
            return true;
        }
    if (named && !take_mode(o, argv[0], why))
        return false;
    if (!named) {
        out_str(why,
            "the mode is missing; write ringmail-bench smtp --to ADDR:PORT, or "
            "see --help");
        return false;
    }
    while (at < argc) {
        if (strncmp(argv[at], "--", 2) != 0) {
            out_str(why, argv[at]);
            out_str(why, ": not a flag; flags begin with --");
            return false;
        }
        if (!take_flag(o, argc, argv, &at, why))
            return false;
    }
    if (!sizes_parse(slice_str(o->size), &o->sizes))
        return bad(why, "size", o->size, "write 1K, 1K-8K or 1K:80,10K:15,100K:5");
    return finish_places(o, why) && finish_bounds(o, why) && finish_pipeline(o, why) &&
        finish_users(o, why);
}

void options_free(struct options *o)
{
    users_free(&o->users);
}
