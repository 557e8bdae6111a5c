#include "server/config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/config_table.h"
#include "server/next_hop.h"

#define GROUP(title) {.type = FLAG_GROUP, .name = title},
#define FLAG(type, field, name, value, preset, min, max, help) \
    {FLAG_##type, name, value, preset, min, max, help, offsetof(struct config, field)},

const struct flag config_table[] = {CONFIG_FLAGS(GROUP, FLAG)};
const unsigned config_table_count = sizeof config_table / sizeof *config_table;

#undef FLAG
#undef GROUP

enum { LISTENERS_GIVEN_MAX = 64, TEXTS_MAX = 4096, SUGGEST_MAX = 40 };

static const struct flag *find(struct slice name)
{
    for (unsigned i = 0; i < config_table_count; i++)
        if (config_table[i].type != FLAG_GROUP &&
            slice_eq(name, slice_str(config_table[i].name)))
            return &config_table[i];
    return NULL;
}

/* --- messages ---------------------------------------------------------- */

/* "--name value: what is wrong and what to write". Always false. */
__attribute__((format(printf, 4, 5))) static bool refuse(
    struct out *why, const char *name, struct slice value, const char *format, ...)
{
    char text[CONFIG_WHY_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    out_str(why, "--");
    out_str(why, name);
    if (value.len > 0) {
        out_str(why, " ");
        for (size_t i = 0; i < value.len && i < 128; i++)
            out_byte(why, iscntrl((unsigned char)value.at[i]) ? '?' : value.at[i]);
    }
    out_str(why, ": ");
    out_str(why, text);
    return false;
}

static bool refuse_memory(struct out *why, const struct flag *flag)
{
    return refuse(why, flag->name, S(""), "out of memory");
}

/* How many letters must be changed, added or removed to make one of the other. */
static unsigned distance(struct slice a, const char *b)
{
    unsigned row[SUGGEST_MAX + 1];
    size_t width = strlen(b);

    if (width > SUGGEST_MAX || a.len > SUGGEST_MAX)
        return SUGGEST_MAX;
    for (unsigned j = 0; j <= width; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= width; j++) {
            unsigned best = diagonal + (a.at[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[width];
}

static bool refuse_unknown(struct out *why, struct slice name, const char *const *only)
{
    const char *nearest = NULL;
    unsigned best =
        1 + (unsigned)(name.len < 8 ? name.len / 2 : 4); /* farther: no help */
    char text[SUGGEST_MAX + 1];

    for (unsigned i = 0; i < config_table_count; i++) {
        const struct flag *f = &config_table[i];
        unsigned d;

        if (f->type == FLAG_GROUP || !config_listed(only, f->name))
            continue;
        d = distance(name, f->name);
        if (d < best)
            best = d, nearest = f->name;
    }
    snprintf(text, sizeof text, "%.*s", (int)(name.len < 40 ? name.len : 40), name.at);
    if (only && find(name))
        return refuse(
            why, text, S(""), "not a flag of this command; --help lists those it has");
    if (nearest)
        return refuse(why, text, S(""), "no such flag; did you mean --%s?", nearest);
    return refuse(why, text, S(""), "no such flag; --help lists those there are");
}

bool config_listed(const char *const *only, const char *name)
{
    if (!only)
        return true;
    for (; *only; only++)
        if (strcmp(*only, name) == 0)
            return true;
    return false;
}

bool config_repeats(const struct flag *flag)
{
    return flag->type == FLAG_TEXTS || flag->type == FLAG_LISTEN ||
        flag->type == FLAG_NETWORKS;
}

/* --- values ------------------------------------------------------------ */

struct unit {
    char letter;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {'K', 1ull << 10}, {'M', 1ull << 20}, {'G', 1ull << 30}, {'T', 1ull << 40}};
static const struct unit second_units[] = {
    {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};

static bool with_unit(
    struct slice text, const struct unit *units, unsigned count, uint64_t *value)
{
    uint64_t factor = 1, n;

    for (unsigned i = 0; text.len > 0 && i < count; i++)
        if (ascii_lower(text.at[text.len - 1]) == ascii_lower(units[i].letter)) {
            factor = units[i].factor;
            text.len--;
            break;
        }
    return slice_u64(text, &n) && !__builtin_mul_overflow(n, factor, value);
}

bool config_size(struct slice text, uint64_t *octets)
{
    return with_unit(text, size_units, 4, octets);
}

bool config_seconds(struct slice text, uint64_t *seconds)
{
    return with_unit(text, second_units, 4, seconds);
}

void config_print_number(struct out *out, enum flag_type type, uint64_t value)
{
    const struct unit *units = type == FLAG_SIZE ? size_units : second_units;

    if (value > 0 && (type == FLAG_SIZE || type == FLAG_SECONDS))
        for (unsigned i = 4; i-- > 0;)
            if (value % units[i].factor == 0) {
                out_u64(out, value / units[i].factor);
                out_byte(out, units[i].letter);
                return;
            }
    out_u64(out, value);
}

static bool set_number(
    const struct flag *flag, uint64_t *field, struct slice value, struct out *why)
{
    char buffer[32];
    struct out bound = out_of(buffer, sizeof buffer - 1);
    uint64_t n;
    bool good = flag->type == FLAG_COUNT ? slice_u64(value, &n)
        : flag->type == FLAG_SIZE        ? config_size(value, &n)
                                         : config_seconds(value, &n);

    if (!good)
        return refuse(why, flag->name, value, "not a %s; write --%s %s",
            flag->type == FLAG_COUNT      ? "number"
                : flag->type == FLAG_SIZE ? "size (octets, or with K, M or G)"
                                          : "time (seconds, or with m, h or d)",
            flag->name, strcmp(flag->preset, "0") == 0 ? flag->value : flag->preset);
    if (n >= flag->min && n <= flag->max) {
        *field = n;
        return true;
    }
    config_print_number(&bound, flag->type, n < flag->min ? flag->min : flag->max);
    buffer[bound.len] = 0;
    return refuse(why, flag->name, value, "too %s; write --%s %s or %s",
        n < flag->min ? "small" : "large", flag->name, buffer,
        n < flag->min ? "more" : "less");
}

static bool set_word(
    const struct flag *flag, int *field, struct slice value, struct out *why)
{
    struct slice rest = slice_str(flag->value);

    for (int i = 0; rest.len > 0; i++) {
        struct slice word = slice_take(&rest, slice_find(rest, '|'));

        if (rest.len > 0)
            slice_take(&rest, 1);
        if (slice_eq_nocase(word, value)) {
            *field = i;
            return true;
        }
    }
    return refuse(why, flag->name, value, "not one of %s", flag->value);
}

static bool set_text(
    const struct flag *flag, char **field, struct slice value, struct out *why)
{
    char *copy = strndup(value.at, value.len);

    if (!copy)
        return refuse_memory(why, flag);
    free(*field);
    *field = copy;
    return true;
}

static void texts_free(struct config_texts *texts)
{
    for (unsigned i = 0; i < texts->count; i++)
        free(texts->at[i]);
    free(texts->at);
    *texts = (struct config_texts){0};
}

static bool add_text(const struct flag *flag, struct config_texts *texts,
    struct slice value, struct out *why)
{
    char **at;
    char *copy;

    if (texts->count == TEXTS_MAX)
        return refuse(why, flag->name, value, "given more than %d times", TEXTS_MAX);
    at = realloc(texts->at, (texts->count + 1) * sizeof *at);
    if (!at)
        return refuse_memory(why, flag);
    texts->at = at;
    copy = strndup(value.at, value.len);
    if (!copy)
        return refuse_memory(why, flag);
    at[texts->count++] = copy;
    return true;
}

static bool add_network(const struct flag *flag, struct config_networks *networks,
    struct slice value, struct out *why)
{
    struct network network;
    struct network *at;

    if (!network_parse(value, &network))
        return refuse(why, flag->name, value,
            "not a network; write it like 127.0.0.0/8 or 2001:db8::/32");
    if (networks->count == TEXTS_MAX)
        return refuse(why, flag->name, value, "given more than %d times", TEXTS_MAX);
    at = realloc(networks->at, (networks->count + 1) * sizeof *at);
    if (!at)
        return refuse_memory(why, flag);
    at[networks->count++] = network;
    networks->at = at;
    return true;
}

static const char *usual_port(const struct flag *flag)
{
    bool tls = flag->max != 0;

    switch ((enum protocol)flag->min) {
    case PROTO_SMTP:
        break;
    case PROTO_SUBMISSION:
        return tls ? "465" : "587";
    case PROTO_LMTP:
        return "24";
    case PROTO_POP3:
        return tls ? "995" : "110";
    case PROTO_IMAP:
        return tls ? "993" : "143";
    }
    return "25";
}

/* "unix:PATH" */
static bool take_path(struct listener *l, struct slice value)
{
    slice_take(&value, 5);
    if (value.len == 0 || value.len > ADDRESS_PATH_MAX)
        return false;
    l->address.family = AF_UNIX;
    memcpy(l->path, value.at, value.len);
    return true;
}

static bool add_listener(struct config *c, const struct flag *flag, unsigned *field,
    struct slice value, struct out *why)
{
    struct listener *l;

    if (c->listener_count == LISTENERS_GIVEN_MAX)
        return refuse(
            why, flag->name, value, "more than %d ports in all", LISTENERS_GIVEN_MAX);
    if (value.len >= sizeof l->text)
        return refuse(why, flag->name, value, "too long for an address");
    if (!c->listeners)
        c->listeners = calloc(LISTENERS_GIVEN_MAX, sizeof *c->listeners);
    if (!c->listeners)
        return refuse_memory(why, flag);
    l = &c->listeners[c->listener_count];
    memset(l, 0, sizeof *l);
    l->protocol = (enum protocol)flag->min;
    l->implicit_tls = flag->max != 0;
    if (l->protocol == PROTO_LMTP && slice_starts_nocase(value, S("unix:"))) {
        if (!take_path(l, value))
            return refuse(why, flag->name, value,
                "not a path of at most %d octets; write it like unix:/run/ringmail/lmtp",
                ADDRESS_PATH_MAX);
    } else if (!address_parse(value, &l->address)) {
        return refuse(why, flag->name, value,
            "not an address with a port; write it like 0.0.0.0:%s or [::]:%s",
            usual_port(flag), usual_port(flag));
    }
    memcpy(l->text, value.at, value.len);
    c->listener_count++;
    ++*field;
    return true;
}

/* --- flags ------------------------------------------------------------- */

/* A new value for a flag that has a default list throws that list away first. */
static bool add_given(const struct flag *flag, struct config_texts *texts,
    struct slice value, struct out *why)
{
    if (!texts->given)
        texts_free(texts);
    texts->given = true;
    return add_text(flag, texts, value, why);
}

static bool set_flag(
    struct config *c, const struct flag *flag, struct slice value, struct out *why)
{
    void *field = (char *)c + flag->offset;

    if (value.len > 0 && memchr(value.at, 0, value.len))
        return refuse(why, flag->name, S(""), "the value holds a NUL");
    if (flag->type != FLAG_SWITCH && value.len == 0)
        return refuse(
            why, flag->name, value, "no value; write --%s %s", flag->name, flag->value);
    switch (flag->type) {
    case FLAG_SWITCH:
        *(bool *)field = true;
        return true;
    case FLAG_TEXT:
        return set_text(flag, field, value, why);
    case FLAG_TEXTS:
        return add_given(flag, field, value, why);
    case FLAG_COUNT:
    case FLAG_SIZE:
    case FLAG_SECONDS:
        return set_number(flag, field, value, why);
    case FLAG_LISTEN:
        return add_listener(c, flag, field, value, why);
    case FLAG_NETWORKS:
        return add_network(flag, field, value, why);
    case FLAG_WORD:
        return set_word(flag, field, value, why);
    case FLAG_GROUP:
        break;
    }
    CHECK(flag->type != FLAG_GROUP); /* find() never gives a heading */
    return false;
}

static bool set_preset(struct config *c, const struct flag *flag)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);
    struct slice rest = slice_str(flag->preset);

    if (rest.len == 0)
        return true;
    if (flag->type != FLAG_TEXTS)
        return set_flag(c, flag, rest, &why);
    while (rest.len > 0) {
        struct slice one = slice_take(&rest, slice_find(rest, ','));

        if (rest.len > 0)
            slice_take(&rest, 1);
        if (!add_text(flag, (void *)((char *)c + flag->offset), one, &why))
            return false;
    }
    return true;
}

struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof *c);

    for (unsigned i = 0; c && i < config_table_count; i++)
        if (config_table[i].type != FLAG_GROUP && !set_preset(c, &config_table[i])) {
            config_free(c);
            return NULL;
        }
    return c;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < config_table_count; i++) {
        void *field = (char *)c + config_table[i].offset;

        if (config_table[i].type == FLAG_TEXT)
            free(*(char **)field);
        else if (config_table[i].type == FLAG_TEXTS)
            texts_free(field);
        else if (config_table[i].type == FLAG_NETWORKS)
            free(((struct config_networks *)field)->at);
    }
    free(c->listeners);
    next_hops_free(c->next_hops);
    free(c->control_path);
    free(c->removed_path);
    free(c->srs_key_path);
    free(c);
}

/* --- the command line -------------------------------------------------- */

bool config_set(struct config *c, struct slice name, struct slice value, bool has_value,
    struct out *why)
{
    const struct flag *flag = find(name);

    if (!flag)
        return refuse_unknown(why, name, NULL);
    if (flag->type == FLAG_SWITCH && has_value)
        return refuse(
            why, flag->name, value, "takes no value; write --%s alone", flag->name);
    if (flag->offset == offsetof(struct config, config_file))
        return config_file_read(c, value, why);
    return set_flag(c, flag, value, why);
}

/* One argument that begins with "--"; *i is moved past a value of its own. */
static bool take_flag(struct config *c, int argc, char **argv, int *i,
    const char *const *only, struct out *why)
{
    struct slice name = slice_str(argv[*i] + 2), value = S("");
    size_t equals = slice_find(name, '=');
    bool has_value = equals < name.len;
    const struct flag *flag;

    if (has_value) {
        value = slice_of(name.at + equals + 1, name.len - equals - 1);
        name.len = equals;
    }
    flag = find(name);
    if (!flag || !config_listed(only, flag->name))
        return refuse_unknown(why, name, only);
    if (!has_value && flag->type != FLAG_SWITCH && *i + 1 < argc) {
        value = slice_str(argv[++*i]);
        has_value = true;
    }
    return config_set(c, name, value, has_value, why);
}

bool config_parse(struct config *c, int argc, char **argv, const char *const *only,
    char **operands, unsigned operand_max, unsigned *operand_count, struct out *why)
{
    *operand_count = 0;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2]) {
            if (!take_flag(c, argc, argv, &i, only, why))
                return false;
        } else if (*operand_count < operand_max) {
            operands[(*operand_count)++] = argv[i];
        } else {
            out_str(why, argv[i]);
            out_str(why, ": one argument too many; flags begin with --");
            return false;
        }
    }
    return true;
}
