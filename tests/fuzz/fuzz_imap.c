/* fuzz_imap.c -- the collector at two ways of cutting, the parser, sets, names, patterns.
 *
 * The first octet chooses state and cutting; the rest is what a client sends. */
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/imap/imap_name.h"
#include "proto/imap/imap_write.h"

enum { TRANSCRIPT = 1 << 16 };

/* What a client sends, and a hash of all that the collector said to it. */
struct client {
    struct imap_collect collect;
    struct imap_limits limits;
    enum imap_state state;
    uint64_t said;
    uint64_t message_left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void say(struct client *c, uint64_t n)
{
    c->said = (c->said ^ n) * 0x9e3779b97f4a7c15U;
}

static enum imap_match test_key(const struct imap_key *key, void *arg)
{
    (void)arg;
    return key->index % 3 == 0 ? IMAP_MATCH_YES
        : key->index % 3 == 1  ? IMAP_MATCH_NO
                               : IMAP_MATCH_UNKNOWN;
}

static void check_set(struct imap_set *set)
{
    uint32_t n = 0;

    imap_set_resolve(set, 1000);
    for (uint32_t i = 1; i < set->count; i++)
        CHECK(set->at[i].first - set->at[i - 1].last > 1);
    for (int i = 0; i < 20 && n < UINT32_MAX && imap_set_from(set, n + 1, &n); i++)
        CHECK(imap_set_has(set, n));
}

/* A name that the parser let through comes back from the wire unchanged. */
static void check_name(struct slice name, struct arena *arena)
{
    char wire[4 * IMAP_NAME_MAX];
    struct out o = out_of(wire, sizeof wire);
    struct slice back;

    CHECK(imap_name_valid(name) && imap_name_encode(name, &o));
    CHECK(imap_name_of_wire(out_slice(&o), false, arena, &back) == IMAP_ERROR_NONE);
    CHECK(slice_eq(back, name));
}

static void check_patterns(const struct imap_list *list, struct arena *arena)
{
    for (unsigned i = 0; i < list->pattern_count; i++) {
        const struct imap_pattern *p =
            imap_pattern_compile(list->reference, list->patterns[i], arena);

        if (!p)
            return;
        imap_pattern_levels(p, S("INBOX/a/\xc3\xa9/b"));
        imap_pattern_match(p, list->reference);
    }
}

static void check_items(const struct imap_fetch *fetch)
{
    char *bytes = malloc(TRANSCRIPT);
    struct out o = out_of(bytes, TRANSCRIPT);

    for (unsigned i = 0; i < fetch->item_count; i++)
        imap_put_item_name(&o, &fetch->items[i]);
    for (size_t i = 0; i < o.len; i++)
        CHECK(bytes[i] != '\r' && bytes[i] != '\n' && bytes[i] != '\0');
    free(bytes);
}

static void check_command(struct imap_cmd *cmd, struct arena *arena)
{
    switch ((int)cmd->verb) {
    case IMAP_SELECT:
    case IMAP_DELETE:
        check_name(cmd->mailbox, arena);
        break;
    case IMAP_CREATE:
        check_name(cmd->create.mailbox, arena);
        break;
    case IMAP_LIST:
    case IMAP_LSUB:
        check_patterns(&cmd->list, arena);
        break;
    case IMAP_FETCH:
        check_set(&cmd->fetch.set);
        check_items(&cmd->fetch);
        break;
    case IMAP_STORE:
        check_set(&cmd->store.set);
        break;
    case IMAP_SEARCH:
        imap_search_match(&cmd->search, test_key, NULL, NULL);
        break;
    default:
        break;
    }
}

static void parse(struct client *c, struct slice command)
{
    struct arena arena = arena_of(IMAP_ARENA_BYTES);
    struct imap_cmd cmd;
    enum imap_error error =
        imap_parse(command, c->state, &imap_parse_defaults, &arena, &cmd);
    char reply[512];
    struct out o = out_of(reply, sizeof reply);

    CHECK(error == IMAP_ERROR_NONE || imap_error_reply(error)->answer.len);
    imap_put_error(&o, cmd.tag, error);
    CHECK(!o.full);
    say(c, error);
    say(c, cmd.verb);
    if (error == IMAP_ERROR_NONE && command.len > 2)
        check_command(&cmd, &arena);
    arena_reset(&arena);
}

/* One answer of the collector; false when there is nothing more to do. */
static bool answer(struct client *c, enum imap_collected found, struct slice in)
{
    if (found == IMAP_COLLECT_MORE || found == IMAP_COLLECT_CLOSE)
        return false;
    if (found == IMAP_COLLECT_SKIP)
        return true; /* how much at a time is a matter of cutting */
    say(c, found);
    say(c, c->collect.tag_bytes);
    if (found == IMAP_COLLECT_REFUSED) {
        say(c, c->collect.error);
        return true;
    }
    say(c, c->collect.bytes);
    if (found == IMAP_COLLECT_COMMAND || found == IMAP_COLLECT_APPEND)
        parse(c, slice_of(in.at, c->collect.bytes));
    if (found == IMAP_COLLECT_APPEND && c->collect.literal_bytes % 7 == 0)
        imap_collect_refuse(&c->collect, &c->limits);
    else if (found == IMAP_COLLECT_APPEND)
        c->message_left = c->collect.literal_bytes;
    return true;
}

static uint64_t converse(struct slice text, enum imap_state state, size_t piece)
{
    struct client c = {.state = state,
        .limits = {
            .line_max = 4096, .literal_max = 2048, .append_max = 3000, .skip_max = 5000}};
    struct slice window = {text.at, 0};
    enum imap_collected found = IMAP_COLLECT_MORE;

    while (text.len && found != IMAP_COLLECT_CLOSE) {
        size_t n = piece < text.len ? piece : text.len;
        struct slice in;

        window.len += n;
        slice_take(&text, n);
        do {
            n = window.len < c.message_left ? window.len : (size_t)c.message_left;
            slice_take(&window, n);
            c.message_left -= n;
            if (c.message_left)
                break;
            in = window;
            found = imap_collect(&c.collect, in, &c.limits);
            CHECK(c.collect.bytes <= window.len);
            slice_take(&window, c.collect.bytes);
        } while (answer(&c, found, in));
    }
    say(&c, found == IMAP_COLLECT_CLOSE);
    return c.said;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum imap_state state;
    struct slice text;
    uint64_t whole;

    if (size < 1)
        return 0;
    /* A copy, so that the sanitizer sees the end of it. */
    char *bytes = malloc(size - 1 ? size - 1 : 1);
    memcpy(bytes, data + 1, size - 1);
    text = slice_of(bytes, size - 1);
    state = data[0] % 4 == 3 ? IMAP_STATE_START : IMAP_STATE_SELECTED;
    whole = converse(text, state, text.len);
    CHECK(whole == converse(text, state, 1));
    CHECK(whole == converse(text, state, 2 + data[0] / 4U));
    free(bytes);
    return 0;
}
