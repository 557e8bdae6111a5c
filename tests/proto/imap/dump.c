#include "tests/proto/imap/dump.h"

#include "proto/imap/imap_write.h"

static void put_text(struct out *o, struct slice s)
{
    if (!s.at) {
        out_str(o, " -");
        return;
    }
    out_str(o, " [");
    out_put(o, s);
    out_byte(o, ']');
}

static void put_texts(struct out *o, const struct slice *at, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        put_text(o, at[i]);
}

static void put_end(struct out *o, uint32_t n)
{
    if (n)
        out_u64(o, n);
    else
        out_byte(o, '*');
}

void dump_set(struct out *o, const struct imap_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (i)
            out_byte(o, ',');
        put_end(o, set->at[i].first);
        if (set->at[i].last != set->at[i].first) {
            out_byte(o, ':');
            put_end(o, set->at[i].last);
        }
    }
}

static void put_set(struct out *o, const struct imap_set *set)
{
    out_byte(o, ' ');
    dump_set(o, set);
}

static void put_flags(struct out *o, const struct imap_flags *flags)
{
    out_str(o, " (");
    imap_put_flags(o, flags->system, flags->keywords, flags->keyword_count, true);
    out_byte(o, ')');
}

/* A signed number. */
static void put_int(struct out *o, int64_t n)
{
    if (n < 0)
        out_byte(o, '-');
    out_u64(o, (uint64_t)(n < 0 ? -n : n));
}

static void put_options(struct out *o, unsigned options)
{
    static const char *const words[] = {"sub", "remote", "recursive", "use", "children"};

    for (unsigned bit = 0; bit < sizeof words / sizeof words[0]; bit++)
        if (options >> bit & 1) {
            out_byte(o, ' ');
            out_str(o, words[bit]);
        }
}

static void put_list(struct out *o, const struct imap_list *list)
{
    if (list->extended)
        out_str(o, " extended");
    put_options(o, list->select);
    put_text(o, list->reference);
    put_texts(o, list->patterns, list->pattern_count);
    put_options(o, list->want);
}

static void put_fetch(struct out *o, const struct imap_fetch *fetch)
{
    put_set(o, &fetch->set);
    for (unsigned i = 0; i < fetch->item_count; i++) {
        const struct imap_item *item = &fetch->items[i];

        out_byte(o, ' ');
        imap_put_item_name(o, item);
        if (item->partial) {
            out_byte(o, '+');
            out_u64(o, item->length);
        }
        if (item->peek)
            out_str(o, "(peek)");
    }
    if (fetch->sets_seen)
        out_str(o, " seen");
}

static void put_append(struct out *o, const struct imap_append *append)
{
    put_text(o, append->mailbox);
    put_flags(o, &append->flags);
    if (append->has_date) {
        out_byte(o, ' ');
        put_int(o, append->date.utc_s);
        out_byte(o, ' ');
        put_int(o, append->date.zone_minutes);
    }
    out_byte(o, ' ');
    out_u64(o, append->message_bytes);
}

static void put_store(struct out *o, const struct imap_store *store)
{
    static const char *const modes[] = {" set", " add", " remove"};

    put_set(o, &store->set);
    out_str(o, modes[store->mode]);
    if (store->silent)
        out_str(o, " silent");
    put_flags(o, &store->flags);
}

static void put_key(struct out *o, const struct imap_key *key);

static void put_children(struct out *o, const char *name, const struct imap_key *key)
{
    out_str(o, name);
    out_byte(o, '(');
    for (const struct imap_key *child = key->child; child; child = child->next) {
        put_key(o, child);
        if (child->next)
            out_byte(o, ' ');
    }
    out_byte(o, ')');
}

static void put_key_argument(struct out *o, const struct imap_key *key)
{
    static const char *const names[] = {
        [IMAP_KEY_FLAG] = "flag",
        [IMAP_KEY_NEW] = "new",
        [IMAP_KEY_ALL] = "all",
        [IMAP_KEY_KEYWORD] = "keyword",
        [IMAP_KEY_SEQUENCE] = "seq",
        [IMAP_KEY_UID] = "uid",
        [IMAP_KEY_BEFORE] = "before",
        [IMAP_KEY_ON] = "on",
        [IMAP_KEY_SINCE] = "since",
        [IMAP_KEY_SENT_BEFORE] = "sentbefore",
        [IMAP_KEY_SENT_ON] = "senton",
        [IMAP_KEY_SENT_SINCE] = "sentsince",
        [IMAP_KEY_LARGER] = "larger",
        [IMAP_KEY_SMALLER] = "smaller",
        [IMAP_KEY_HEADER] = "header",
        [IMAP_KEY_BODY] = "body",
        [IMAP_KEY_TEXT] = "text",
    };

    out_str(o, names[key->kind]);
    if (key->kind == IMAP_KEY_FLAG) {
        imap_put_flags(o, key->flag, NULL, 0, false);
    } else if (key->kind == IMAP_KEY_SEQUENCE || key->kind == IMAP_KEY_UID) {
        put_set(o, &key->set);
    } else if (key->kind >= IMAP_KEY_BEFORE && key->kind <= IMAP_KEY_SENT_SINCE) {
        out_byte(o, ' ');
        put_int(o, key->day);
    } else if (key->kind == IMAP_KEY_LARGER || key->kind == IMAP_KEY_SMALLER) {
        out_byte(o, ' ');
        out_u64(o, key->number);
    } else if (key->kind != IMAP_KEY_ALL && key->kind != IMAP_KEY_NEW) {
        if (key->kind == IMAP_KEY_HEADER)
            put_text(o, key->field);
        put_text(o, key->text);
    }
}

static void put_key(struct out *o, const struct imap_key *key)
{
    if (key->negated)
        out_byte(o, '!');
    if (key->kind == IMAP_KEY_AND)
        put_children(o, "and", key);
    else if (key->kind == IMAP_KEY_OR)
        put_children(o, "or", key);
    else if (key->kind == IMAP_KEY_NOT)
        put_children(o, "not", key);
    else
        put_key_argument(o, key);
}

static void put_id(struct out *o, const struct imap_cmd *cmd)
{
    for (unsigned i = 0; i < cmd->id.count; i++) {
        put_text(o, cmd->id.pairs[i].field);
        put_text(o, cmd->id.pairs[i].value);
    }
}

static void put_mailbox_command(struct out *o, const struct imap_cmd *cmd)
{
    if (cmd->verb == IMAP_RENAME) {
        put_text(o, cmd->rename.from);
        put_text(o, cmd->rename.to);
    } else if (cmd->verb == IMAP_CREATE) {
        put_text(o, cmd->create.mailbox);
        if (cmd->create.use)
            put_text(o, imap_use_text(cmd->create.use));
        if (cmd->create.several)
            out_str(o, " several");
    } else if (cmd->verb == IMAP_STATUS) {
        put_text(o, cmd->status.mailbox);
        out_byte(o, ' ');
        out_u64(o, cmd->status.items);
    } else {
        put_text(o, cmd->mailbox);
    }
}

static void put_arguments(struct out *o, const struct imap_cmd *cmd)
{
    switch (cmd->verb) {
    case IMAP_ID:
        put_id(o, cmd);
        break;
    case IMAP_AUTHENTICATE:
        put_text(o, cmd->authenticate.mechanism);
        if (cmd->authenticate.has_initial)
            put_text(o, cmd->authenticate.initial);
        break;
    case IMAP_LOGIN:
        put_text(o, cmd->login.user);
        put_text(o, cmd->login.password);
        break;
    case IMAP_ENABLE:
        put_texts(o, cmd->enable.names, cmd->enable.count);
        break;
    case IMAP_SELECT:
    case IMAP_EXAMINE:
    case IMAP_CREATE:
    case IMAP_DELETE:
    case IMAP_RENAME:
    case IMAP_SUBSCRIBE:
    case IMAP_UNSUBSCRIBE:
    case IMAP_STATUS:
        put_mailbox_command(o, cmd);
        break;
    case IMAP_LIST:
    case IMAP_LSUB:
        put_list(o, &cmd->list);
        break;
    case IMAP_APPEND:
        put_append(o, &cmd->append);
        break;
    case IMAP_EXPUNGE:
        if (cmd->uid)
            put_set(o, &cmd->uids);
        break;
    case IMAP_SEARCH:
        out_byte(o, ' ');
        put_key(o, cmd->search.root);
        break;
    case IMAP_FETCH:
        put_fetch(o, &cmd->fetch);
        break;
    case IMAP_STORE:
        put_store(o, &cmd->store);
        break;
    case IMAP_COPY:
    case IMAP_MOVE:
        put_set(o, &cmd->copy.set);
        put_text(o, cmd->copy.mailbox);
        break;
    case IMAP_CAPABILITY:
    case IMAP_NOOP:
    case IMAP_LOGOUT:
    case IMAP_STARTTLS:
    case IMAP_NAMESPACE:
    case IMAP_IDLE:
    case IMAP_CHECK:
    case IMAP_CLOSE:
    case IMAP_UNSELECT:
    case IMAP_VERB_COUNT:
        break;
    }
}

void dump_command(struct out *o, const struct imap_cmd *cmd)
{
    out_put(o, cmd->tag);
    out_str(o, cmd->uid ? " UID " : " ");
    out_put(o, imap_verb_text(cmd->verb));
    put_arguments(o, cmd);
}

void dump_parse(
    struct out *o, struct slice command, enum imap_state state, size_t arena_bytes)
{
    struct arena arena = arena_of(arena_bytes);
    struct imap_cmd cmd;
    enum imap_error error =
        imap_parse(command, state, &imap_parse_defaults, &arena, &cmd);

    if (error == IMAP_ERROR_NONE) {
        dump_command(o, &cmd);
    } else {
        out_put(o, cmd.tag);
        out_byte(o, '!');
        out_put(o, imap_error_name(error));
    }
    arena_reset(&arena);
}
