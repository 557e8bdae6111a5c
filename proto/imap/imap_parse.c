#include "proto/imap/imap_parse.h"

static const struct {
    struct slice text;
    unsigned states;
    bool uid;
    imap_parse_fn *parse;
} verbs[IMAP_VERB_COUNT] = {
#define VERB(name, text, states, uid, arguments) \
    [IMAP_##name] = {SI(text), states, uid, imap_parse_##arguments},
    IMAP_VERBS(VERB)
#undef VERB
};

/* --- the front of a command ------------------------------------------------------- */

static enum imap_error parse_verb(struct imap_lex *x, struct imap_cmd *cmd)
{
    struct slice word = imap_lex_run(x, IMAP_OCTET_ATOM);

    if (word.len == 0)
        return IMAP_ERROR_NO_COMMAND;
    cmd->uid = slice_eq_nocase(word, S("UID"));
    if (cmd->uid) {
        TRY_LEX(imap_lex_space(x));
        word = imap_lex_run(x, IMAP_OCTET_ATOM);
    }
    for (enum imap_verb verb = 0; verb < IMAP_VERB_COUNT; verb++)
        if (slice_eq_nocase(word, verbs[verb].text)) {
            if (cmd->uid && !verbs[verb].uid)
                break;
            cmd->verb = verb;
            return IMAP_ERROR_NONE;
        }
    return IMAP_ERROR_COMMAND;
}

const struct imap_parse_limits imap_parse_defaults = {
    .depth = 50, .ranges = 1000, .name = {.octets = 512, .levels = 32}};

enum imap_error imap_parse(struct slice command, enum imap_state state,
    const struct imap_parse_limits *limits, struct arena *arena, struct imap_cmd *cmd)
{
    struct imap_lex x = {command, arena, limits};
    struct slice tag = imap_lex_run(&x, IMAP_OCTET_TAG);

    *cmd = (struct imap_cmd){.verb = IMAP_VERB_COUNT};
    if (tag.len == 0 || tag.len > IMAP_TAG_MAX)
        return IMAP_ERROR_TAG;
    if (!imap_lex_take(&x, ' ')) {
        if (!imap_lex_at_end(&x))
            return IMAP_ERROR_TAG;
        cmd->tag = tag;
        return IMAP_ERROR_NO_COMMAND;
    }
    cmd->tag = tag;
    TRY_LEX(parse_verb(&x, cmd));
    if (!(verbs[cmd->verb].states & (1U << state)))
        return IMAP_ERROR_STATE;
    TRY_LEX(verbs[cmd->verb].parse(&x, cmd));
    return imap_lex_end(&x);
}

/* --- small commands ----------------------------------------------------------------- */

enum imap_error imap_parse_nothing(struct imap_lex *x, struct imap_cmd *cmd)
{
    (void)x, (void)cmd;
    return IMAP_ERROR_NONE;
}

enum imap_error imap_parse_mailbox(struct imap_lex *x, struct imap_cmd *cmd)
{
    TRY_LEX(imap_lex_space(x));
    return imap_lex_mailbox(x, false, &cmd->mailbox);
}

enum imap_error imap_parse_rename(struct imap_lex *x, struct imap_cmd *cmd)
{
    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_mailbox(x, false, &cmd->rename.from));
    TRY_LEX(imap_lex_space(x));
    return imap_lex_mailbox(x, false, &cmd->rename.to);
}

/* use-attr (RFC 6154, 6). */
static enum imap_error parse_use(struct imap_lex *x, enum imap_use *use)
{
    struct slice word;

    if (!imap_lex_take(x, '\\'))
        return IMAP_ERROR_ARGUMENT;
    TRY_LEX(imap_lex_atom(x, &word));
    for (enum imap_use u = IMAP_USE_NONE + 1; u < IMAP_USE_COUNT; u++) {
        struct slice text = imap_use_text(u);

        if (slice_eq_nocase(word, slice_of(text.at + 1, text.len - 1))) {
            *use = u;
            return IMAP_ERROR_NONE;
        }
    }
    return IMAP_ERROR_USE;
}

/* "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")": the only parameter of CREATE there
 * is (RFC 4466, 2.2; RFC 6154, 6). */
static enum imap_error parse_create_use(struct imap_lex *x, struct imap_cmd *cmd)
{
    if (!imap_lex_take(x, '(') ||
        !slice_eq_nocase(imap_lex_run(x, IMAP_OCTET_ITEM), S("USE")))
        return IMAP_ERROR_ARGUMENT;
    TRY_LEX(imap_lex_space(x));
    if (!imap_lex_take(x, '('))
        return IMAP_ERROR_ARGUMENT;
    while (!imap_lex_next_is(x, ')')) {
        enum imap_use use;

        if (cmd->create.use != IMAP_USE_NONE)
            TRY_LEX(imap_lex_space(x));
        TRY_LEX(parse_use(x, &use));
        if (cmd->create.use == IMAP_USE_NONE)
            cmd->create.use = use;
        else if (use != cmd->create.use)
            cmd->create.several = true;
    }
    imap_lex_take(x, ')');
    return imap_lex_take(x, ')') ? IMAP_ERROR_NONE : IMAP_ERROR_ARGUMENT;
}

enum imap_error imap_parse_create(struct imap_lex *x, struct imap_cmd *cmd)
{
    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_mailbox(x, true, &cmd->create.mailbox));
    if (!imap_lex_take(x, ' '))
        return IMAP_ERROR_NONE;
    return parse_create_use(x, cmd);
}

enum imap_error imap_parse_authenticate(struct imap_lex *x, struct imap_cmd *cmd)
{
    struct slice *initial = &cmd->authenticate.initial;

    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_atom(x, &cmd->authenticate.mechanism));
    if (!imap_lex_take(x, ' '))
        return IMAP_ERROR_NONE;
    cmd->authenticate.has_initial = true;
    *initial = imap_lex_run(x, IMAP_OCTET_BASE64);
    if (slice_eq(*initial, S("="))) /* an empty response (RFC 4959, 3) */
        initial->len = 0;
    else if (initial->len == 0 || initial->len % 4 != 0)
        return IMAP_ERROR_BASE64;
    return IMAP_ERROR_NONE;
}

enum imap_error imap_parse_login(struct imap_lex *x, struct imap_cmd *cmd)
{
    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_astring(x, &cmd->login.user));
    TRY_LEX(imap_lex_space(x));
    return imap_lex_astring(x, &cmd->login.password);
}

static enum imap_error parse_status_item(struct imap_lex *x, unsigned *items)
{
    static const struct slice words[] = {
#define STATUS_ITEM(name, text) [IMAP_STATUS_BIT_##name] = SI(text),
        IMAP_STATUS_ITEMS(STATUS_ITEM)
#undef STATUS_ITEM
    };
    struct slice word = imap_lex_run(x, IMAP_OCTET_ITEM);

    for (unsigned bit = 0; bit < IMAP_STATUS_COUNT; bit++)
        if (slice_eq_nocase(word, words[bit])) {
            *items |= 1U << bit;
            return IMAP_ERROR_NONE;
        }
    return IMAP_ERROR_STATUS_ITEM;
}

enum imap_error imap_parse_status(struct imap_lex *x, struct imap_cmd *cmd)
{
    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_mailbox(x, false, &cmd->status.mailbox));
    TRY_LEX(imap_lex_space(x));
    if (!imap_lex_take(x, '('))
        return IMAP_ERROR_STATUS_ITEM;
    do
        TRY_LEX(parse_status_item(x, &cmd->status.items));
    while (imap_lex_take(x, ' '));
    return imap_lex_take(x, ')') ? IMAP_ERROR_NONE : IMAP_ERROR_STATUS_ITEM;
}

enum imap_error imap_lex_set(struct imap_lex *x, struct imap_set *set)
{
    TRY_LEX(imap_lex_space(x));
    return imap_set_parse(
        imap_lex_run(x, IMAP_OCTET_SET), x->limits->ranges, x->arena, set);
}

/* EXPUNGE has no arguments, UID EXPUNGE a set (RFC 4315, 2.1). */
enum imap_error imap_parse_expunge(struct imap_lex *x, struct imap_cmd *cmd)
{
    return cmd->uid ? imap_lex_set(x, &cmd->uids) : IMAP_ERROR_NONE;
}

enum imap_error imap_parse_copy(struct imap_lex *x, struct imap_cmd *cmd)
{
    TRY_LEX(imap_lex_set(x, &cmd->copy.set));
    TRY_LEX(imap_lex_space(x));
    return imap_lex_mailbox(x, false, &cmd->copy.mailbox);
}

/* string SP nstring, within the bounds of RFC 2971, 3.3. */
static enum imap_error parse_id_pair(struct imap_lex *x, struct imap_array *pairs)
{
    enum { FIELD_MAX = 30, VALUE_MAX = 1024 };
    struct imap_id_pair *pair =
        imap_array_add(pairs, x->arena, sizeof *pair, IMAP_ID_PAIRS_MAX);

    if (!pair)
        return IMAP_ERROR_LIMIT;
    TRY_LEX(imap_lex_string(x, &pair->field));
    TRY_LEX(imap_lex_space(x));
    TRY_LEX(imap_lex_nstring(x, &pair->value));
    if (pair->field.len > FIELD_MAX || pair->value.len > VALUE_MAX)
        return IMAP_ERROR_ARGUMENT;
    return IMAP_ERROR_NONE;
}

enum imap_error imap_parse_id(struct imap_lex *x, struct imap_cmd *cmd)
{
    struct imap_array pairs = {0};

    TRY_LEX(imap_lex_space(x));
    if (!imap_lex_take(x, '('))
        return slice_eq_nocase(imap_lex_run(x, IMAP_OCTET_ATOM), S("NIL"))
            ? IMAP_ERROR_NONE
            : IMAP_ERROR_ARGUMENT;
    while (!imap_lex_next_is(x, ')')) {
        if (pairs.count)
            TRY_LEX(imap_lex_space(x));
        TRY_LEX(parse_id_pair(x, &pairs));
    }
    imap_lex_take(x, ')');
    cmd->id.pairs = pairs.at;
    cmd->id.count = pairs.count;
    return IMAP_ERROR_NONE;
}

enum imap_error imap_parse_enable(struct imap_lex *x, struct imap_cmd *cmd)
{
    struct imap_array names = {0};

    TRY_LEX(imap_lex_space(x));
    do {
        struct slice *name =
            imap_array_add(&names, x->arena, sizeof *name, IMAP_ENABLE_MAX);

        if (!name)
            return IMAP_ERROR_LIMIT;
        TRY_LEX(imap_lex_atom(x, name));
    } while (imap_lex_take(x, ' '));
    cmd->enable.names = names.at;
    cmd->enable.count = names.count;
    return IMAP_ERROR_NONE;
}
