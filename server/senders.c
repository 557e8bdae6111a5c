/* senders.c -- the file of --senders: addresses that an account may send as, besides its
 * own and those that lead to it alone.
 *
 *   # comment
 *   anna@example.org    sales@example.org, @example.net
 *       newsletter@example.com                (a line that begins with a blank goes on)
 *
 * @domain is every address there. */
#include <stdlib.h>

#include "server/accounts_state.h"
#include "server/config.h"

static bool refuse_text(struct accounts_build *b, struct slice text, const char *reason)
{
    return accounts_refuse_text(b, b->source->senders_name, text, reason);
}

static bool take_granted(struct accounts_build *b, struct slice text)
{
    struct slice *granted = &b->a->granted[b->a->granted_count];

    if (text.at[0] == '@') {
        if (!smtp_is_domain(slice_of(text.at + 1, text.len - 1), true))
            return refuse_text(b, text, "not a domain behind the @");
        if (!accounts_domain_pattern(b, text, granted))
            return false;
    } else if (!accounts_canonical(b, b->source->senders_name, text, granted)) {
        return false;
    }
    b->a->granted_count++;
    return true;
}

static bool take_line(struct accounts_build *b, struct slice line)
{
    struct accounts *a = b->a;
    struct grant *grant = &a->grants[a->grant_count];
    struct slice name = accounts_word(&line), word;
    uint32_t other;

    if (memchr(line.at, 0, line.len) || memchr(name.at, 0, name.len))
        return accounts_refuse(b, b->source->senders_name, "holds a NUL; remove it");
    if (name.len == 0)
        return accounts_refuse(b, b->source->senders_name,
            "no account in front; write `user@domain address, @domain`");
    *grant = (struct grant){.first = a->granted_count, .line = b->line};
    if (!accounts_canonical(b, b->source->senders_name, name, &grant->account))
        return false;
    while ((word = accounts_word(&line)).len > 0)
        if (!take_granted(b, word))
            return false;
    grant->count = a->granted_count - grant->first;
    if (grant->count == 0)
        return refuse_text(b, name, "no address behind it; write `user@domain address`");
    if (!accounts_find(a, grant->account))
        accounts_warn(b, b->source->senders_name, grant->account, "no such account");
    if (!name_index_add(
            &a->by_grantee, a->grants, sizeof *a->grants, a->grant_count, &other))
        return accounts_refuse_twice(
            b, b->source->senders_name, grant->account, a->grants[other].line);
    a->grant_count++;
    return true;
}

/* No file has more accounts than lines, or more addresses than separators. */
static bool make_room(struct accounts_build *b)
{
    struct slice text = b->source->senders;
    size_t lines = 1, words = 1;

    for (size_t i = 0; i < text.len; i++) {
        bool ends = text.at[i] == '\n';

        lines += ends;
        words += ends || text.at[i] == ',' || text.at[i] == ' ' || text.at[i] == '\t';
    }
    if (lines > ACCOUNTS_MAX || words > ACCOUNTS_MAX)
        return accounts_refuse(
            b, b->source->senders_name, "more senders than this server takes");
    b->a->grants = calloc(lines, sizeof *b->a->grants);
    b->a->granted = calloc(words, sizeof *b->a->granted);
    return (b->a->grants && b->a->granted &&
               name_index_init(&b->a->by_grantee, (uint32_t)lines, b->a->key)) ||
        accounts_no_memory(b);
}

bool accounts_read_senders(struct accounts_build *b)
{
    struct slice text = b->source->senders;
    struct out joined;
    char *room;
    bool good = true;

    b->line = 0;
    if (text.len == 0)
        return true;
    room = malloc(ACCOUNTS_LINE_MAX);
    if (!room || !make_room(b)) {
        free(room);
        return room ? false : accounts_no_memory(b);
    }
    joined = out_of(room, ACCOUNTS_LINE_MAX);
    while (good && accounts_logical_line(b, &text, &joined))
        good = joined.full
            ? accounts_refuse(b, b->source->senders_name, "too long a line")
            : take_line(b, out_slice(&joined));
    free(room);
    return good;
}

bool accounts_granted(
    const struct accounts *a, const struct account *account, const struct smtp_addr *addr)
{
    uint32_t i =
        name_index_find(&a->by_grantee, a->grants, sizeof *a->grants, account->name);

    if (i == NAMES_NONE)
        return false;
    for (uint32_t j = 0; j < a->grants[i].count; j++) {
        struct slice granted = a->granted[a->grants[i].first + j];
        struct slice domain = slice_of(granted.at + 1, granted.len - 1);

        if (granted.at[0] == '@'
                ? slice_eq(domain, addr->domain)
                : slice_eq(granted, addr->full) || slice_eq(granted, addr->base))
            return true;
    }
    return false;
}
