/* aliases.c -- the alias file: Postfix's virtual aliases (virtual(5)).
 *
 *   # comment
 *   info@example.org    anna@example.org, bert@example.org
 *       carl@example.org                      (a line that begins with a blank goes on)
 *   webmaster           anna@example.org      (at every local domain)
 *   @old.example        @example.org          (the same user there)
 *   @example.net        anna@example.org      (what nobody else takes)
 *
 * Unlike Postfix, @domain only takes what has no account. */
#include <stdlib.h>

#include "proto/smtp/smtp.h"
#include "server/accounts_state.h"
#include "server/config.h"

enum { TARGETS_A_LINE_MAX = 1000 };

static bool refuse(struct accounts_build *b, const char *reason)
{
    return accounts_refuse(b, b->source->aliases_name, reason);
}

static bool refuse_text(struct accounts_build *b, struct slice text, const char *reason)
{
    return accounts_refuse_text(b, b->source->aliases_name, text, reason);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool canonical(struct accounts_build *b, struct slice text, struct slice *address)
{
    return accounts_canonical(b, b->source->aliases_name, text, address);
}

/* "user": the local part of an address, in the form in which it is looked up. */
static bool take_local_part(
    struct accounts_build *b, struct slice text, struct slice *pattern)
{
    static const struct slice anywhere = SI("@x");
    struct out whole = out_of(
        arena_take(&b->a->arena, text.len + anywhere.len), text.len + anywhere.len);

    if (!whole.at)
        return accounts_no_memory(b);
    if (text.at[text.len - 1] == ':')
        return refuse_text(
            b, text, "no colon behind an address; write `user@domain target, target`");
    out_put(&whole, text);
    out_put(&whole, anywhere);
    if (!canonical(b, out_slice(&whole), pattern))
        return false;
    pattern->len -= anywhere.len;
    return true;
}

static bool take_pattern(
    struct accounts_build *b, struct slice text, struct slice *pattern)
{
    if (text.at[0] == '@') {
        if (!smtp_is_domain(slice_of(text.at + 1, text.len - 1), true))
            return refuse_text(b, text, "not a domain behind the @");
        return accounts_domain_pattern(b, text, pattern);
    }
    if (!memchr(text.at, '@', text.len))
        return take_local_part(b, text, pattern);
    return canonical(b, text, pattern);
}

static bool take_target(struct accounts_build *b, struct slice text)
{
    struct slice *target = &b->a->targets[b->a->target_count];

    if (text.at[0] == '|' || text.at[0] == '/' || text.at[0] == ':')
        return refuse_text(b, text,
            "commands, files and includes are no targets here; write an address");
    if (text.at[0] == '@') {
        if (!smtp_is_domain(slice_of(text.at + 1, text.len - 1), true))
            return refuse_text(b, text, "not a domain behind the @ of a target");
        *target = arena_copy(&b->a->arena, text);
        if (!target->at)
            return accounts_no_memory(b);
    } else if (!accounts_complete(b, b->source->aliases_name, text, target)) {
        return false;
    }
    b->a->target_count++;
    return true;
}

struct slice accounts_word(struct slice *rest)
{
    size_t n = 0;
    bool quoted = false;

    while (rest->len > 0 && (is_blank(rest->at[0]) || rest->at[0] == ','))
        slice_take(rest, 1);
    while (n < rest->len && (quoted || !(is_blank(rest->at[n]) || rest->at[n] == ','))) {
        if (rest->at[n] == '"')
            quoted = !quoted;
        else if (quoted && rest->at[n] == '\\' && n + 1 < rest->len)
            n++;
        n++;
    }
    return slice_take(rest, n);
}

/* An alias whose targets are the last `count` ones. */
static bool add_alias(struct accounts_build *b, struct slice pattern, uint32_t first)
{
    struct accounts *a = b->a;
    uint32_t other;

    a->aliases[a->alias_count] =
        (struct alias){pattern, first, a->target_count - first, b->line};
    if (!name_index_add(
            &a->by_pattern, a->aliases, sizeof *a->aliases, a->alias_count, &other))
        return accounts_refuse_twice(
            b, b->source->aliases_name, pattern, a->aliases[other].line);
    a->alias_count++;
    return true;
}

/* "domain anything" declares a domain in old Postfix files: nothing to do for ours. */
static bool declares_domain(struct accounts_build *b, struct slice pattern)
{
    return !memchr(pattern.at, '@', pattern.len) && accounts_is_local(b->a, pattern);
}

static bool take_line(struct accounts_build *b, struct slice line)
{
    uint32_t first = b->a->target_count;
    struct slice pattern = accounts_word(&line), target;

    if (memchr(line.at, 0, line.len) || memchr(pattern.at, 0, pattern.len))
        return refuse(b, "holds a NUL; remove it");
    if (pattern.len == 0)
        return refuse(b, "no address in front; write `user@domain target, target`");
    if (declares_domain(b, pattern))
        return true;
    if (!take_pattern(b, pattern, &pattern))
        return false;
    while ((target = accounts_word(&line)).len > 0) {
        if (b->a->target_count - first == TARGETS_A_LINE_MAX)
            return refuse_text(b, pattern,
                "more than 1000 targets; divide them among aliases, and name those");
        if (!take_target(b, target))
            return false;
    }
    if (b->a->target_count == first)
        return refuse_text(
            b, pattern, "no target behind the address; write `user@domain target`");
    return add_alias(b, pattern, first);
}

static bool is_comment(struct slice line)
{
    line = slice_trim(line);
    return line.len == 0 || line.at[0] == '#';
}

bool accounts_logical_line(
    struct accounts_build *b, struct slice *text, struct out *joined)
{
    struct slice line, ahead;

    b->line += b->line_more;
    b->line_more = 0;
    do {
        if (!accounts_line(b, text, &line))
            return false;
    } while (is_comment(line));
    joined->len = 0;
    out_put(joined, line);
    while (text->len > 0) {
        ahead = *text;
        ahead.len = slice_find(ahead, '\n');
        if (!is_comment(ahead) && !is_blank(ahead.at[0]))
            break;
        accounts_line(b, text, &line);
        b->line--;
        b->line_more++;
        if (!is_comment(line)) {
            out_byte(joined, ' ');
            out_put(joined, line);
        }
    }
    return true;
}

/* --catch-all DOMAIN=ADDRESS is an alias @DOMAIN unless the file has one. */
static bool add_catch_alls(struct accounts_build *b)
{
    const struct config_texts *given = &b->source->config->catch_alls;
    struct accounts *a = b->a;

    b->line = 0;
    for (unsigned i = 0; i < given->count; i++) {
        struct slice text = slice_str(given->at[i]);
        size_t equals = slice_find(text, '=');
        struct slice name;

        if (!accounts_domain_pattern(b, slice_of(text.at, equals), &name))
            return false;
        if (name_index_find(&a->by_pattern, a->aliases, sizeof *a->aliases, name) !=
            NAMES_NONE)
            continue;
        slice_take(&text, equals + 1);
        if (!take_target(b, text) || !add_alias(b, name, a->target_count - 1))
            return false;
    }
    return true;
}

/* No file has more aliases than lines, or more targets than separators. */
static bool make_room(struct accounts_build *b)
{
    struct slice text = b->source->aliases;
    size_t lines = 1 + b->source->config->catch_alls.count, words = lines;

    for (size_t i = 0; i < text.len; i++) {
        lines += text.at[i] == '\n';
        words += text.at[i] == '\n' || text.at[i] == ',' || is_blank(text.at[i]);
    }
    if (lines > ACCOUNTS_MAX || words > ACCOUNTS_MAX)
        return refuse(b, "more aliases than this server takes");
    b->a->aliases = calloc(lines, sizeof *b->a->aliases);
    b->a->targets = calloc(words, sizeof *b->a->targets);
    return (b->a->aliases && b->a->targets &&
               name_index_init(&b->a->by_pattern, (uint32_t)lines, b->a->key)) ||
        accounts_no_memory(b);
}

bool accounts_read_aliases(struct accounts_build *b)
{
    struct slice text = b->source->aliases;
    struct out joined;
    char *room;
    bool good = true;

    b->line = 0;
    if (!make_room(b))
        return false;
    room = malloc(ACCOUNTS_LINE_MAX);
    if (!room)
        return accounts_no_memory(b);
    joined = out_of(room, ACCOUNTS_LINE_MAX);
    while (good && accounts_logical_line(b, &text, &joined))
        good =
            joined.full ? refuse(b, "too long a line") : take_line(b, out_slice(&joined));
    free(room);
    return good && add_catch_alls(b);
}
