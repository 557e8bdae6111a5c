/* LIST and LSUB (RFC 3501, 6.3.8 and 6.3.9; RFC 5258, 6; RFC 6154, 6). */
#include "proto/imap/imap_parse.h"

struct option {
    struct slice word;
    unsigned bit;
};

static const struct option select_options[] = {
    {SI("SUBSCRIBED"), IMAP_LIST_SUBSCRIBED},
    {SI("REMOTE"), IMAP_LIST_REMOTE},
    {SI("RECURSIVEMATCH"), IMAP_LIST_RECURSIVEMATCH},
    {SI("SPECIAL-USE"), IMAP_LIST_SPECIAL_USE},
    {SI(""), 0},
};

static const struct option return_options[] = {
    {SI("SUBSCRIBED"), IMAP_LIST_SUBSCRIBED},
    {SI("CHILDREN"), IMAP_LIST_CHILDREN},
    {SI("SPECIAL-USE"), IMAP_LIST_SPECIAL_USE},
    {SI(""), 0},
};

/* "(" [option *(SP option)] ")" */
static enum imap_error parse_options(
    struct imap_lex *x, const struct option *options, unsigned *bits)
{
    if (!imap_lex_take(x, '('))
        return IMAP_ERROR_LIST_OPTION;
    if (imap_lex_take(x, ')'))
        return IMAP_ERROR_NONE;
    do {
        struct slice word = imap_lex_run(x, IMAP_OCTET_ITEM);
        const struct option *o = options;

        while (o->bit && !slice_eq_nocase(o->word, word))
            o++;
        if (!o->bit)
            return IMAP_ERROR_LIST_OPTION;
        *bits |= o->bit;
    } while (imap_lex_take(x, ' '));
    return imap_lex_take(x, ')') ? IMAP_ERROR_NONE : IMAP_ERROR_LIST_OPTION;
}

static enum imap_error parse_pattern(struct imap_lex *x, struct imap_array *patterns)
{
    struct slice *pattern =
        imap_array_add(patterns, x->arena, sizeof *pattern, IMAP_PATTERNS_MAX);

    return pattern ? imap_lex_list_mailbox(x, pattern) : IMAP_ERROR_LIMIT;
}

/* mbox-or-pat */
static enum imap_error parse_patterns(struct imap_lex *x, struct imap_list *list)
{
    struct imap_array patterns = {0};

    if (imap_lex_take(x, '(')) {
        list->extended = true;
        do
            TRY_LEX(parse_pattern(x, &patterns));
        while (imap_lex_take(x, ' '));
        if (!imap_lex_take(x, ')'))
            return IMAP_ERROR_PATTERN;
    } else {
        TRY_LEX(parse_pattern(x, &patterns));
    }
    list->patterns = patterns.at;
    list->pattern_count = patterns.count;
    return IMAP_ERROR_NONE;
}

/* list-select-opts. An option that modifies needs one that it can modify. */
static enum imap_error parse_select_options(struct imap_lex *x, struct imap_list *list)
{
    list->extended = true;
    TRY_LEX(parse_options(x, select_options, &list->select));
    if ((list->select & IMAP_LIST_RECURSIVEMATCH) &&
        !(list->select & IMAP_LIST_SUBSCRIBED))
        return IMAP_ERROR_LIST_OPTION;
    list->want |= list->select & (IMAP_LIST_SUBSCRIBED | IMAP_LIST_SPECIAL_USE);
    return imap_lex_space(x);
}

static enum imap_error parse_return_options(struct imap_lex *x, struct imap_list *list)
{
    list->extended = true;
    if (!slice_eq_nocase(imap_lex_run(x, IMAP_OCTET_ITEM), S("RETURN")))
        return IMAP_ERROR_LIST_OPTION;
    TRY_LEX(imap_lex_space(x));
    return parse_options(x, return_options, &list->want);
}

enum imap_error imap_parse_list(struct imap_lex *x, struct imap_cmd *cmd)
{
    struct imap_list *list = &cmd->list;

    TRY_LEX(imap_lex_space(x));
    if (imap_lex_next_is(x, '('))
        TRY_LEX(parse_select_options(x, list));
    TRY_LEX(imap_lex_astring(x, &list->reference));
    TRY_LEX(imap_lex_space(x));
    TRY_LEX(parse_patterns(x, list));
    return imap_lex_take(x, ' ') ? parse_return_options(x, list) : IMAP_ERROR_NONE;
}

enum imap_error imap_parse_lsub(struct imap_lex *x, struct imap_cmd *cmd)
{
    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_astring(x, &cmd->list.reference));
    TRY_LEX(imap_lex_space(x));
    if (imap_lex_next_is(x, '('))
        return IMAP_ERROR_PATTERN;
    return parse_patterns(x, &cmd->list);
}
