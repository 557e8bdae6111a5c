/* Flags, and the commands that carry them: STORE and APPEND (RFC 3501, 6.3.11, 6.4.6). */
#include "proto/imap/imap_date.h"
#include "proto/imap/imap_parse.h"

static const struct slice flag_texts[IMAP_FLAG_COUNT] = {
#define FLAG(name, text) [IMAP_FLAG_BIT_##name] = SI(text),
    IMAP_FLAGS(FLAG)
#undef FLAG
};

/* What follows the backslash of a system flag. \Recent is not a client's to set, and of
 * flag-extensions there are none (RFC 3501, 2.3.2). */
static enum imap_error parse_system_flag(struct imap_lex *x, struct imap_flags *flags)
{
    struct slice word = imap_lex_run(x, IMAP_OCTET_ATOM);

    for (unsigned bit = 0; bit < IMAP_FLAG_BIT_RECENT; bit++)
        if (slice_eq_nocase(
                word, slice_of(flag_texts[bit].at + 1, flag_texts[bit].len - 1))) {
            flags->system |= 1U << bit;
            return IMAP_ERROR_NONE;
        }
    return IMAP_ERROR_FLAG;
}

static enum imap_error parse_flag(
    struct imap_lex *x, struct imap_flags *flags, struct imap_array *keywords)
{
    struct slice *keyword;

    if (imap_lex_take(x, '\\'))
        return parse_system_flag(x, flags);
    keyword = imap_array_add(keywords, x->arena, sizeof *keyword, IMAP_KEYWORDS_MAX);
    if (!keyword)
        return IMAP_ERROR_LIMIT;
    *keyword = imap_lex_run(x, IMAP_OCTET_ATOM);
    if (keyword->len == 0)
        return IMAP_ERROR_FLAG;
    return keyword->len <= IMAP_KEYWORD_MAX ? IMAP_ERROR_NONE : IMAP_ERROR_LIMIT;
}

/* flag *(SP flag), or flag-list when it starts with a parenthesis. */
static enum imap_error parse_flags(struct imap_lex *x, struct imap_flags *flags)
{
    struct imap_array keywords = {0};
    bool list = imap_lex_take(x, '(');

    if (!list || !imap_lex_next_is(x, ')'))
        do
            TRY_LEX(parse_flag(x, flags, &keywords));
        while (imap_lex_take(x, ' '));
    if (list && !imap_lex_take(x, ')'))
        return IMAP_ERROR_FLAG;
    flags->keywords = keywords.at;
    flags->keyword_count = keywords.count;
    return IMAP_ERROR_NONE;
}

/* ["+" / "-"] "FLAGS" [".SILENT"] */
static enum imap_error parse_store_item(struct imap_lex *x, struct imap_store *store)
{
    struct slice word;

    if (imap_lex_take(x, '+'))
        store->mode = IMAP_STORE_ADD;
    else if (imap_lex_take(x, '-'))
        store->mode = IMAP_STORE_REMOVE;
    word = imap_lex_run(x, IMAP_OCTET_ITEM);
    store->silent = slice_eq_nocase(word, S("FLAGS.SILENT"));
    return store->silent || slice_eq_nocase(word, S("FLAGS")) ? IMAP_ERROR_NONE
                                                              : IMAP_ERROR_STORE_ITEM;
}

enum imap_error imap_parse_store(struct imap_lex *x, struct imap_cmd *cmd)
{
    struct imap_store *store = &cmd->store;

    TRY_LEX(imap_lex_set(x, &store->set));
    TRY_LEX(imap_lex_space(x));
    TRY_LEX(parse_store_item(x, store));
    TRY_LEX(imap_lex_space(x));
    return parse_flags(x, &store->flags);
}

/* The head of an APPEND ends with the CRLF of its literal; that CRLF is given back, so
 * that the command ends like every other. */
static enum imap_error parse_message_head(struct imap_lex *x, uint64_t *bytes)
{
    TRY_LEX(imap_lex_literal_head(x, bytes));
    x->rest = slice_of(x->rest.at - 2, x->rest.len + 2);
    return IMAP_ERROR_NONE;
}

enum imap_error imap_parse_append(struct imap_lex *x, struct imap_cmd *cmd)
{
    struct imap_append *append = &cmd->append;

    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_mailbox(x, false, &append->mailbox));
    TRY_LEX(imap_lex_space(x));
    if (imap_lex_next_is(x, '(')) {
        TRY_LEX(parse_flags(x, &append->flags));
        TRY_LEX(imap_lex_space(x));
    }
    append->has_date = imap_lex_next_is(x, '"');
    if (append->has_date) {
        TRY_LEX(imap_lex_date_time(x, &append->date));
        TRY_LEX(imap_lex_space(x));
    }
    return parse_message_head(x, &append->message_bytes);
}
