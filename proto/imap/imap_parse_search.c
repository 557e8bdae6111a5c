/* SEARCH (RFC 3501, 6.4.4): keys as a tree, built without recursion.
 *
 * `open` holds the groups that wait for more keys: the command itself, parentheses, NOT
 * (one key) and OR (two). A finished key goes to the innermost group; a NOT or OR that
 * has its keys is finished with it.
 */
#include "proto/base/check.h"
#include "proto/imap/imap_date.h"
#include "proto/imap/imap_parse.h"

struct group {
    struct imap_key *key;
    struct imap_key *last; /* child */
    unsigned missing;      /* keys a NOT or OR still needs; 0 for the other groups */
};

struct builder {
    struct imap_lex *x;
    struct imap_search *search;
    unsigned depth; /* of the innermost group */
    struct group open[IMAP_DEPTH_MAX + 1];
};

enum argument {
    NOTHING,
    ONE_KEY,
    TWO_KEYS,
    FLAG, /* `extra` is the flag */
    KEYWORD,
    TEXT,
    FIELD_TEXT, /* the key is the name of the field */
    ANY_FIELD_TEXT,
    DATE,
    NUMBER,
    UIDS,
};

static const struct word {
    struct slice text;
    enum imap_key_kind kind;
    enum argument argument;
    bool negated;
    unsigned extra;
} words[] = {
    {SI("ALL"), IMAP_KEY_ALL, NOTHING, false, 0},
    {SI("ANSWERED"), IMAP_KEY_FLAG, FLAG, false, IMAP_FLAG_ANSWERED},
    {SI("BCC"), IMAP_KEY_HEADER, FIELD_TEXT, false, 0},
    {SI("BEFORE"), IMAP_KEY_BEFORE, DATE, false, 0},
    {SI("BODY"), IMAP_KEY_BODY, TEXT, false, 0},
    {SI("CC"), IMAP_KEY_HEADER, FIELD_TEXT, false, 0},
    {SI("DELETED"), IMAP_KEY_FLAG, FLAG, false, IMAP_FLAG_DELETED},
    {SI("DRAFT"), IMAP_KEY_FLAG, FLAG, false, IMAP_FLAG_DRAFT},
    {SI("FLAGGED"), IMAP_KEY_FLAG, FLAG, false, IMAP_FLAG_FLAGGED},
    {SI("FROM"), IMAP_KEY_HEADER, FIELD_TEXT, false, 0},
    {SI("HEADER"), IMAP_KEY_HEADER, ANY_FIELD_TEXT, false, 0},
    {SI("KEYWORD"), IMAP_KEY_KEYWORD, KEYWORD, false, 0},
    {SI("LARGER"), IMAP_KEY_LARGER, NUMBER, false, 0},
    {SI("NEW"), IMAP_KEY_NEW, NOTHING, false, 0},
    {SI("NOT"), IMAP_KEY_NOT, ONE_KEY, false, 0},
    {SI("OLD"), IMAP_KEY_FLAG, FLAG, true, IMAP_FLAG_RECENT},
    {SI("ON"), IMAP_KEY_ON, DATE, false, 0},
    {SI("OR"), IMAP_KEY_OR, TWO_KEYS, false, 0},
    {SI("RECENT"), IMAP_KEY_FLAG, FLAG, false, IMAP_FLAG_RECENT},
    {SI("SEEN"), IMAP_KEY_FLAG, FLAG, false, IMAP_FLAG_SEEN},
    {SI("SENTBEFORE"), IMAP_KEY_SENT_BEFORE, DATE, false, 0},
    {SI("SENTON"), IMAP_KEY_SENT_ON, DATE, false, 0},
    {SI("SENTSINCE"), IMAP_KEY_SENT_SINCE, DATE, false, 0},
    {SI("SINCE"), IMAP_KEY_SINCE, DATE, false, 0},
    {SI("SMALLER"), IMAP_KEY_SMALLER, NUMBER, false, 0},
    {SI("SUBJECT"), IMAP_KEY_HEADER, FIELD_TEXT, false, 0},
    {SI("TEXT"), IMAP_KEY_TEXT, TEXT, false, 0},
    {SI("TO"), IMAP_KEY_HEADER, FIELD_TEXT, false, 0},
    {SI("UID"), IMAP_KEY_UID, UIDS, false, 0},
    {SI("UNANSWERED"), IMAP_KEY_FLAG, FLAG, true, IMAP_FLAG_ANSWERED},
    {SI("UNDELETED"), IMAP_KEY_FLAG, FLAG, true, IMAP_FLAG_DELETED},
    {SI("UNDRAFT"), IMAP_KEY_FLAG, FLAG, true, IMAP_FLAG_DRAFT},
    {SI("UNFLAGGED"), IMAP_KEY_FLAG, FLAG, true, IMAP_FLAG_FLAGGED},
    {SI("UNKEYWORD"), IMAP_KEY_KEYWORD, KEYWORD, true, 0},
    {SI("UNSEEN"), IMAP_KEY_FLAG, FLAG, true, IMAP_FLAG_SEEN},
};

static const struct word *find_word(struct slice text)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (slice_eq_nocase(text, words[i].text))
            return &words[i];
    return NULL;
}

/* --- the tree --------------------------------------------------------------------- */

static struct imap_key *new_key(struct builder *b, enum imap_key_kind kind)
{
    struct imap_key *key;

    if (b->search->key_count == IMAP_SEARCH_KEYS_MAX)
        return NULL;
    key = arena_zero(b->x->arena, sizeof *key);
    if (key) {
        key->kind = kind;
        key->index = (uint16_t)b->search->key_count++;
        b->search->kinds |= 1U << kind;
    }
    return key;
}

/* Puts a key at the end of the innermost group. */
static void add_child(struct builder *b, struct imap_key *key)
{
    struct group *g = &b->open[b->depth];

    if (g->last)
        g->last->next = key;
    else
        g->key->child = key;
    g->last = key;
}

static enum imap_error open_group(
    struct builder *b, enum imap_key_kind kind, unsigned missing)
{
    struct imap_key *key;

    if (b->depth == b->x->limits->depth)
        return IMAP_ERROR_DEPTH;
    key = new_key(b, kind);
    if (!key)
        return IMAP_ERROR_LIMIT;
    add_child(b, key);
    b->open[++b->depth] = (struct group){.key = key, .missing = missing};
    return IMAP_ERROR_NONE;
}

/* A key is whole: so are the NOTs and ORs that waited for nothing else. */
static void finish_key(struct builder *b)
{
    while (b->open[b->depth].missing && --b->open[b->depth].missing == 0)
        b->depth--;
}

/* --- keys ------------------------------------------------------------------------- */

/* A search string: well-formed UTF-8, of which US-ASCII is a part. A string with 8-bit
 * octets without CHARSET is taken for UTF-8 as well. */
static enum imap_error parse_text(struct imap_lex *x, struct slice *text)
{
    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_astring(x, text));
    return slice_is_utf8(*text) ? IMAP_ERROR_NONE : IMAP_ERROR_CHARSET_TEXT;
}

static enum imap_error parse_field(struct imap_lex *x, struct slice *field)
{
    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_astring(x, field));
    return field->len && imap_octets_all(*field, IMAP_OCTET_FIELD)
        ? IMAP_ERROR_NONE
        : IMAP_ERROR_SEARCH_KEY;
}

static enum imap_error parse_number(struct imap_lex *x, uint64_t *number)
{
    uint32_t n = 0;
    enum imap_error error;

    TRY_LEX(imap_lex_space(x));
    error = imap_lex_u32(x, &n);
    *number = n;
    return error;
}

static enum imap_error parse_date(struct imap_lex *x, int32_t *day)
{
    TRY_LEX(imap_lex_space(x));
    return imap_lex_date(x, day);
}

static enum imap_error parse_keyword(struct imap_lex *x, struct slice *keyword)
{
    TRY_LEX(imap_lex_space(x));
    return imap_lex_atom(x, keyword);
}

static enum imap_error parse_argument(
    struct imap_lex *x, const struct word *word, struct imap_key *key)
{
    key->negated = word->negated;
    switch (word->argument) {
    case NOTHING:
    case ONE_KEY:
    case TWO_KEYS:
        break;
    case FLAG:
        key->flag = word->extra;
        break;
    case KEYWORD:
        return parse_keyword(x, &key->text);
    case FIELD_TEXT:
        key->field = word->text;
        return parse_text(x, &key->text);
    case ANY_FIELD_TEXT:
        TRY_LEX(parse_field(x, &key->field));
        return parse_text(x, &key->text);
    case TEXT:
        return parse_text(x, &key->text);
    case DATE:
        return parse_date(x, &key->day);
    case NUMBER:
        return parse_number(x, &key->number);
    case UIDS:
        return imap_lex_set(x, &key->set);
    }
    return IMAP_ERROR_NONE;
}

static enum imap_error parse_sequence(struct builder *b, struct slice text)
{
    struct imap_key *key = new_key(b, IMAP_KEY_SEQUENCE);

    if (!key)
        return IMAP_ERROR_LIMIT;
    add_child(b, key);
    TRY_LEX(imap_set_parse(text, b->x->limits->ranges, b->x->arena, &key->set));
    finish_key(b);
    return IMAP_ERROR_NONE;
}

/* One key with its arguments, or the start of a group. */
static enum imap_error parse_key(struct builder *b)
{
    struct imap_lex *x = b->x;
    struct slice text = imap_lex_run(x, IMAP_OCTET_SET);
    const struct word *word;
    struct imap_key *key;

    if (text.len)
        return parse_sequence(b, text);
    text = imap_lex_run(x, IMAP_OCTET_ITEM);
    word = find_word(text);
    if (!word)
        return imap_lex_at_end(x) && !text.len ? IMAP_ERROR_NO_ARGUMENT
                                               : IMAP_ERROR_SEARCH_KEY;
    if (word->argument == ONE_KEY)
        return open_group(b, word->kind, 1);
    if (word->argument == TWO_KEYS)
        return open_group(b, word->kind, 2);
    key = new_key(b, word->kind);
    if (!key)
        return IMAP_ERROR_LIMIT;
    add_child(b, key);
    TRY_LEX(parse_argument(x, word, key));
    finish_key(b);
    return IMAP_ERROR_NONE;
}

/* Closing parentheses after a whole key. */
static enum imap_error close_groups(struct builder *b)
{
    while (imap_lex_take(b->x, ')')) {
        if (b->depth == 0 || b->open[b->depth].missing)
            return IMAP_ERROR_SEARCH_KEY;
        b->depth--;
        finish_key(b);
    }
    return IMAP_ERROR_NONE;
}

/* True when the innermost group is a NOT or OR that has had no key since it was opened,
 * or still needs one: only a key can follow. */
static bool wants_key(const struct builder *b)
{
    return b->open[b->depth].missing != 0;
}

static enum imap_error parse_keys(struct builder *b)
{
    do {
        while (imap_lex_take(b->x, '('))
            TRY_LEX(open_group(b, IMAP_KEY_AND, 0));
        TRY_LEX(parse_key(b));
        if (!wants_key(b))
            TRY_LEX(close_groups(b));
    } while (imap_lex_take(b->x, ' '));
    if (wants_key(b))
        return imap_lex_space(b->x);
    return b->depth ? IMAP_ERROR_SEARCH_KEY : IMAP_ERROR_NONE;
}

/* "CHARSET" SP astring SP */
static enum imap_error parse_charset(struct imap_lex *x)
{
    struct slice charset;

    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_astring(x, &charset));
    if (!slice_eq_nocase(charset, S("UTF-8")) && !slice_eq_nocase(charset, S("US-ASCII")))
        return IMAP_ERROR_BAD_CHARSET;
    return imap_lex_space(x);
}

enum imap_error imap_parse_search(struct imap_lex *x, struct imap_cmd *cmd)
{
    struct builder b = {.x = x, .search = &cmd->search};
    struct imap_lex ahead;

    CHECK(x->limits->depth <= IMAP_DEPTH_MAX);
    TRY_LEX(imap_lex_space(x));
    ahead = *x;
    if (slice_eq_nocase(imap_lex_run(&ahead, IMAP_OCTET_ITEM), S("CHARSET"))) {
        *x = ahead;
        TRY_LEX(parse_charset(x));
    }
    b.open[0].key = new_key(&b, IMAP_KEY_AND);
    if (!b.open[0].key)
        return IMAP_ERROR_LIMIT;
    cmd->search.root = b.open[0].key;
    return parse_keys(&b);
}
