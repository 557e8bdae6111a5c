/* FETCH (RFC 3501, 6.4.5 and section 9: fetch-att, section). */
#include "proto/imap/imap_parse.h"

/* What grows while the items of one command are read. */
struct items {
    struct imap_array items;
    unsigned field_count; /* of all items */
    struct imap_fetch *fetch;
};

static const struct {
    struct slice word;
    enum imap_item_kind kind;
} item_words[] = {
    {SI("FLAGS"), IMAP_ITEM_FLAGS},
    {SI("UID"), IMAP_ITEM_UID},
    {SI("RFC822.SIZE"), IMAP_ITEM_RFC822_SIZE},
    {SI("INTERNALDATE"), IMAP_ITEM_INTERNALDATE},
    {SI("ENVELOPE"), IMAP_ITEM_ENVELOPE},
    {SI("BODYSTRUCTURE"), IMAP_ITEM_BODYSTRUCTURE},
    {SI("BODY"), IMAP_ITEM_BODY},
    {SI("BODY.PEEK"), IMAP_ITEM_SECTION},
    {SI("RFC822"), IMAP_ITEM_RFC822},
    {SI("RFC822.HEADER"), IMAP_ITEM_RFC822_HEADER},
    {SI("RFC822.TEXT"), IMAP_ITEM_RFC822_TEXT},
};

static bool item_kind(struct slice word, enum imap_item_kind *kind)
{
    for (size_t i = 0; i < sizeof item_words / sizeof item_words[0]; i++)
        if (slice_eq_nocase(word, item_words[i].word)) {
            *kind = item_words[i].kind;
            return true;
        }
    return false;
}

/* --- sections -------------------------------------------------------------------- */

/* section-part. *dot: a dot stands behind the last number, so text must follow. */
static enum imap_error parse_path(struct imap_lex *x, struct imap_item *item, bool *dot)
{
    struct imap_array path = {0};

    *dot = false;
    while (x->rest.len && ascii_digit(x->rest.at[0])) {
        uint32_t *number;

        if (path.count == IMAP_PATH_MAX) /* no message has such a part */
            return IMAP_ERROR_SECTION;
        number = imap_array_add(&path, x->arena, sizeof *number, IMAP_PATH_MAX);
        if (!number)
            return IMAP_ERROR_LIMIT;
        if (imap_lex_next_is(x, '0') || imap_lex_u32(x, number)) /* nz-number */
            return IMAP_ERROR_SECTION;
        *dot = imap_lex_take(x, '.');
        if (!*dot)
            break;
    }
    item->path = path.at;
    item->path_count = path.count;
    return IMAP_ERROR_NONE;
}

/* header-list. A name that no header field can have is refused, because the response
 * repeats it. */
static enum imap_error parse_fields(
    struct imap_lex *x, struct items *all, struct imap_item *item)
{
    struct imap_array fields = {0};

    TRY_LEX(imap_lex_space(x));
    if (!imap_lex_take(x, '('))
        return IMAP_ERROR_SECTION;
    do {
        struct slice *field =
            imap_array_add(&fields, x->arena, sizeof *field, IMAP_FETCH_FIELDS_MAX);

        if (!field || ++all->field_count > IMAP_FETCH_FIELDS_MAX)
            return IMAP_ERROR_LIMIT;
        TRY_LEX(imap_lex_astring(x, field));
        if (field->len == 0 || !imap_octets_all(*field, IMAP_OCTET_FIELD))
            return IMAP_ERROR_SECTION;
    } while (imap_lex_take(x, ' '));
    item->fields = fields.at;
    item->field_count = fields.count;
    return imap_lex_take(x, ')') ? IMAP_ERROR_NONE : IMAP_ERROR_SECTION;
}

/* section-text and section-msgtext. */
static enum imap_error parse_section_text(
    struct imap_lex *x, struct items *all, struct imap_item *item)
{
    struct slice word = imap_lex_run(x, IMAP_OCTET_ITEM);

    if (word.len == 0)
        return item->path_count ? IMAP_ERROR_SECTION : IMAP_ERROR_NONE;
    if (slice_eq_nocase(word, S("HEADER")))
        item->part = IMAP_PART_HEADER;
    else if (slice_eq_nocase(word, S("TEXT")))
        item->part = IMAP_PART_TEXT;
    else if (slice_eq_nocase(word, S("MIME")) && item->path_count)
        item->part = IMAP_PART_MIME;
    else if (slice_eq_nocase(word, S("HEADER.FIELDS")))
        item->part = IMAP_PART_FIELDS;
    else if (slice_eq_nocase(word, S("HEADER.FIELDS.NOT")))
        item->part = IMAP_PART_FIELDS_NOT;
    else
        return IMAP_ERROR_SECTION;
    if (item->part == IMAP_PART_FIELDS || item->part == IMAP_PART_FIELDS_NOT)
        return parse_fields(x, all, item);
    return IMAP_ERROR_NONE;
}

/* ["<" number "." nz-number ">"] */
static enum imap_error parse_partial(struct imap_lex *x, struct imap_item *item)
{
    if (!imap_lex_take(x, '<'))
        return IMAP_ERROR_NONE;
    item->partial = true;
    if (imap_lex_u32(x, &item->from) || !imap_lex_take(x, '.') ||
        imap_lex_u32(x, &item->length) || item->length == 0 || !imap_lex_take(x, '>'))
        return IMAP_ERROR_PARTIAL;
    return IMAP_ERROR_NONE;
}

/* What stands between "[" and the end of the item. */
static enum imap_error parse_section(
    struct imap_lex *x, struct items *all, struct imap_item *item)
{
    bool dot;

    item->kind = IMAP_ITEM_SECTION;
    TRY_LEX(parse_path(x, item, &dot));
    if (item->path_count == 0 || dot)
        TRY_LEX(parse_section_text(x, all, item));
    if (!imap_lex_take(x, ']'))
        return IMAP_ERROR_SECTION;
    return parse_partial(x, item);
}

/* --- items ------------------------------------------------------------------------ */

static enum imap_error add_item(
    struct imap_lex *x, struct items *all, const struct imap_item *item)
{
    struct imap_item *at =
        imap_array_add(&all->items, x->arena, sizeof *at, IMAP_FETCH_ITEMS_MAX);

    if (!at)
        return IMAP_ERROR_LIMIT;
    *at = *item;
    all->fetch->kinds |= 1U << item->kind;
    if ((item->kind == IMAP_ITEM_SECTION && !item->peek) ||
        item->kind == IMAP_ITEM_RFC822 || item->kind == IMAP_ITEM_RFC822_TEXT)
        all->fetch->sets_seen = true;
    return IMAP_ERROR_NONE;
}

/* What a macro stands for; each holds the ones before it. */
static enum imap_error add_macro(struct imap_lex *x, struct items *all, unsigned count)
{
    static const enum imap_item_kind kinds[] = {IMAP_ITEM_FLAGS, IMAP_ITEM_INTERNALDATE,
        IMAP_ITEM_RFC822_SIZE, IMAP_ITEM_ENVELOPE, IMAP_ITEM_BODY};

    for (unsigned i = 0; i < count; i++)
        TRY_LEX(add_item(x, all, &(struct imap_item){.kind = kinds[i]}));
    return IMAP_ERROR_NONE;
}

/* The number of items of a macro, 0 for another word. */
static unsigned macro_items(struct slice word)
{
    enum { FAST = 3, ALL, FULL };

    if (slice_eq_nocase(word, S("FAST")))
        return FAST;
    if (slice_eq_nocase(word, S("ALL")))
        return ALL;
    return slice_eq_nocase(word, S("FULL")) ? FULL : 0;
}

static enum imap_error parse_item(struct imap_lex *x, struct items *all, bool alone)
{
    struct slice word = imap_lex_run(x, IMAP_OCTET_ITEM);
    struct imap_item item = {0};
    unsigned macro = alone ? macro_items(word) : 0;

    if (macro)
        return add_macro(x, all, macro);
    if (!item_kind(word, &item.kind))
        return IMAP_ERROR_FETCH_ITEM;
    item.peek = item.kind == IMAP_ITEM_SECTION;
    if (item.kind == IMAP_ITEM_BODY || item.peek) {
        if (imap_lex_take(x, '['))
            TRY_LEX(parse_section(x, all, &item));
        else if (item.peek)
            return IMAP_ERROR_FETCH_ITEM;
    }
    if (item.kind == IMAP_ITEM_UID && (all->fetch->kinds & 1U << IMAP_ITEM_UID))
        return IMAP_ERROR_NONE;
    return add_item(x, all, &item);
}

enum imap_error imap_parse_fetch(struct imap_lex *x, struct imap_cmd *cmd)
{
    struct items all = {.fetch = &cmd->fetch};

    TRY_LEX(imap_lex_set(x, &cmd->fetch.set));
    TRY_LEX(imap_lex_space(x));
    /* A UID FETCH answers with the UID, asked for or not (RFC 3501, 6.4.8); first, where
     * many programs look for it. */
    if (cmd->uid)
        TRY_LEX(add_item(x, &all, &(struct imap_item){.kind = IMAP_ITEM_UID}));
    if (imap_lex_take(x, '(')) {
        do
            TRY_LEX(parse_item(x, &all, false));
        while (imap_lex_take(x, ' '));
        if (!imap_lex_take(x, ')'))
            return IMAP_ERROR_FETCH_ITEM;
    } else {
        TRY_LEX(parse_item(x, &all, true));
    }
    cmd->fetch.items = all.items.at;
    cmd->fetch.item_count = all.items.count;
    return IMAP_ERROR_NONE;
}
