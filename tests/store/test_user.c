/* Accounts and the tree of their mailboxes. */
#include "tests/store/storekit.h"

#include <stdio.h>
#include <stdlib.h>

static struct user *make(struct skit *k, const char *name)
{
    struct user *u;

    assert_int_equal(skit_user(k, name, true, &u), STATUS_OK);
    return u;
}

static void a_crash_keeps(struct skit *k, const char *name)
{
    uint64_t hash = skit_hash_user(k, name);

    skit_crash(k, true);
    skit_open(k);
    assert_true(hash == skit_hash_user(k, name));
}

/* The names as text: '+' subscribed, '-' not selectable, '?' does not exist. */
static const char *names(struct user *u, char text[1024])
{
    struct mailbox_info info;
    size_t at = 0;

    text[0] = 0;
    for (unsigned i = 0; user_mailbox_at(u, i, &info); i++)
        at += (size_t)snprintf(text + at, 1024 - at, "%s%.*s%s%s%s%s", at ? " " : "",
            (int)info.name.len, info.name.at, info.subscribed ? "+" : "",
            info.exists && !info.selectable ? "-" : "", info.exists ? "" : "?",
            info.has_children ? "*" : "");
    return text;
}

static enum status change(struct skit *k, struct user *u, enum mailbox_change change,
    const char *name, const char *to)
{
    return skit_change(k, u, change, name, to);
}

static void the_tree_is_what_was_asked_for(void **state)
{
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    char text[1024];

    assert_string_equal(names(u, text), "INBOX+ Sent+ Trash+");
    assert_int_equal(change(k, u, MAILBOX_CREATE, "a/b/c", NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "a-b", NULL), STATUS_OK);
    assert_string_equal(names(u, text), "INBOX+ Sent+ Trash+ a* a/b* a/b/c a-b");
    assert_int_equal(change(k, u, MAILBOX_CREATE, "a/b", NULL), STATUS_EXISTS);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "inbox", NULL), STATUS_EXISTS);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "", NULL), STATUS_INVALID);
    assert_int_equal(change(k, u, MAILBOX_DELETE, "a/b", NULL), STATUS_OK);
    assert_string_equal(names(u, text), "INBOX+ Sent+ Trash+ a* a/b-* a/b/c a-b");
    assert_int_equal(change(k, u, MAILBOX_DELETE, "a/b", NULL), STATUS_INVALID);
    assert_int_equal(change(k, u, MAILBOX_DELETE, "nothing", NULL), STATUS_NOT_FOUND);
    assert_int_equal(change(k, u, MAILBOX_DELETE, "INBOX", NULL), STATUS_INVALID);
    assert_int_equal(change(k, u, MAILBOX_DELETE, "a/b/c", NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_DELETE, "a/b", NULL), STATUS_OK);
    assert_string_equal(names(u, text), "INBOX+ Sent+ Trash+ a a-b");
    user_close(u);
}

static void a_rename_takes_the_tree_along(void **state)
{
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    struct mailbox *m;
    char text[1024];
    uint64_t hash;

    assert_int_equal(change(k, u, MAILBOX_CREATE, "a/b/c", NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "ab", NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_SUBSCRIBE, "a/b", NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_SUBSCRIBE, "z/y/b", NULL), STATUS_OK);
    assert_int_equal(skit_deliver(k, "a@x", "a/b", "m", 100, NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_RENAME, "a", "a/d"), STATUS_INVALID);
    assert_int_equal(change(k, u, MAILBOX_RENAME, "a", "ab"), STATUS_EXISTS);
    assert_int_equal(change(k, u, MAILBOX_RENAME, "a", "a"), STATUS_EXISTS);
    assert_int_equal(change(k, u, MAILBOX_RENAME, "a", "z/y"), STATUS_OK);
    assert_string_equal(
        names(u, text), "INBOX+ Sent+ Trash+ a/b+? ab z* z/y* z/y/b+* z/y/b/c");
    m = skit_open_mailbox(k, u, "z/y/b");
    assert_int_equal(m->content->messages, 1);
    mailbox_close(m);
    user_close(u);
    hash = skit_hash_user(k, "a@x");
    skit_close(k);
    skit_open(k);
    assert_true(hash == skit_hash_user(k, "a@x"));
}

/* Slices of a few names: between any two turns all of the tree has one name. */
static void a_rename_shows_at_one_moment(void **state)
{
    static const char before[] = "INBOX+ Sent+ Trash+ a* a/b+ a/c a/d b/b+?";
    static const char after[] = "INBOX+ Sent+ Trash+ a/b+? b* b/b+ b/c b/d";
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    struct mailbox_op op = {
        .change = MAILBOX_RENAME, .name = S("a"), .to = S("b"), .op.done = skit_done};
    unsigned turns[2] = {0};
    char text[1024];

    assert_int_equal(change(k, u, MAILBOX_CREATE, "a/b", NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "a/c", NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "a/d", NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_SUBSCRIBE, "a/b", NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_SUBSCRIBE, "b/b", NULL), STATUS_OK);
    k->store->turn_budget = 4;
    mailbox_change(u, &op);
    while (op.op.pending) {
        bool renamed = strcmp(names(u, text), before) != 0;

        assert_string_equal(text, renamed ? after : before);
        turns[renamed] += u->half;
        skit_turn(k);
    }
    assert_int_equal(skit_status(&op.op), STATUS_OK);
    assert_string_equal(names(u, text), after);
    assert_true(turns[false] > 5 && turns[true] > 1);
    user_close(u);
}

static void inbox_gives_its_messages_away_and_stays(void **state)
{
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    struct mailbox_info before, after;
    struct mailbox *m;
    struct entry e;
    uint32_t uid;

    for (int i = 0; i < 5; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 100, NULL), STATUS_OK);
    assert_true(user_mailbox_find(u, S("INBOX"), &before));
    assert_int_equal(change(k, u, MAILBOX_RENAME, "INBOX", "old/mail"), STATUS_OK);
    assert_true(user_mailbox_find(u, S("INBOX"), &after));
    assert_int_equal(before.uid_validity, after.uid_validity);
    assert_int_equal(after.uid_next, 6);
    m = skit_open_mailbox(k, u, "old/mail");
    assert_int_equal(m->content->messages, 5);
    assert_true(m->uid_validity > before.uid_validity);
    assert_true(skit_entry(m, 0, &e));
    skit_check_body(k, &e, "m", 100);
    mailbox_close(m);
    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 100, &uid), STATUS_OK);
    assert_int_equal(uid, 6);
    user_close(u);
}

static void mailboxes_are_limited(void **state)
{
    struct skit *k = *state;
    struct user *u;
    char name[32];

    k->store->conf.mailboxes_max = 10;
    u = make(k, "a@x");
    for (int i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "m%d", i);
        assert_int_equal(change(k, u, MAILBOX_CREATE, name, NULL), STATUS_OK);
    }
    assert_int_equal(change(k, u, MAILBOX_CREATE, "more", NULL), STATUS_LIMIT);
    assert_int_equal(change(k, u, MAILBOX_DELETE, "m0", NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "more/than", NULL), STATUS_LIMIT);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "more", NULL), STATUS_OK);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(change(k, u, MAILBOX_SUBSCRIBE, name, NULL), STATUS_OK);
    }
    assert_int_equal(change(k, u, MAILBOX_SUBSCRIBE, "more s", NULL), STATUS_LIMIT);
    user_close(u);
}

/* A name of `bytes` letters. */
static const char *long_name(char letter, unsigned bytes, char text[1024])
{
    memset(text, letter, bytes);
    text[bytes] = 0;
    return text;
}

static void names_are_limited_together(void **state)
{
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    char name[1024], to[1024];

    k->store->conf.names_bytes_max = 1284;
    assert_int_equal(u->name_bytes, 3 * 48 + 5 + 4 + 5); /* INBOX, Sent, Trash */
    long_name('a', 400, name);
    assert_int_equal(change(k, u, MAILBOX_CREATE, name, NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "c/d/e", NULL), STATUS_OK);
    assert_int_equal(u->name_bytes, 7 * 48 + 14 + 400 + 1 + 3 + 5);
    long_name('b', 478, to);
    assert_int_equal(change(k, u, MAILBOX_CREATE, to, NULL), STATUS_LIMIT);
    assert_int_equal(change(k, u, MAILBOX_SUBSCRIBE, to, NULL), STATUS_LIMIT);
    assert_int_equal(change(k, u, MAILBOX_RENAME, "INBOX", to), STATUS_LIMIT);
    assert_int_equal(change(k, u, MAILBOX_RENAME, "c", to), STATUS_LIMIT);
    assert_int_equal(change(k, u, MAILBOX_SUBSCRIBE, name, NULL), STATUS_OK);
    /* The name would stay, too. */
    assert_int_equal(change(k, u, MAILBOX_RENAME, name, to), STATUS_LIMIT);
    assert_int_equal(change(k, u, MAILBOX_UNSUBSCRIBE, name, NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_RENAME, name, to), STATUS_OK);
    assert_int_equal(u->name_bytes, 7 * 48 + 14 + 478 + 1 + 3 + 5);
    assert_int_equal(change(k, u, MAILBOX_RENAME, to, name), STATUS_OK);
    long_name('b', 477, to);
    assert_int_equal(change(k, u, MAILBOX_CREATE, to, NULL), STATUS_OK);
    assert_int_equal(u->name_bytes, 1284);
    assert_int_equal(change(k, u, MAILBOX_DELETE, to, NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_CREATE, to, NULL), STATUS_OK);
    user_close(u);
}

/* A store from before there was the bound. */
static void who_has_more_names_keeps_them(void **state)
{
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    char name[1024], text[1024];

    long_name('a', 400, name);
    assert_int_equal(change(k, u, MAILBOX_CREATE, name, NULL), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "b", NULL), STATUS_OK);
    user_close(u);
    skit_crash(k, true);
    k->conf.names_bytes_max = 310;
    skit_open(k);
    u = skit_open_user(k, "a@x");
    assert_int_equal(u->name_bytes, 5 * 48 + 14 + 400 + 1);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "c", NULL), STATUS_LIMIT);
    assert_int_equal(change(k, u, MAILBOX_RENAME, "b", "bb"), STATUS_LIMIT);
    assert_int_equal(change(k, u, MAILBOX_RENAME, "b", "c"), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_RENAME, name, "d"), STATUS_OK);
    assert_int_equal(change(k, u, MAILBOX_CREATE, "e", NULL), STATUS_OK);
    assert_string_equal(names(u, text), "INBOX+ Sent+ Trash+ c d e");
    user_close(u);
}

/* All changes are asked for at once; each sees what those before it have done. */
static void changes_of_one_tree_wait_for_each_other(void **state)
{
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    struct mailbox_op ops[4] = {
        {.change = MAILBOX_CREATE, .name = S("a")},
        {.change = MAILBOX_CREATE, .name = S("a")},
        {.change = MAILBOX_RENAME, .name = S("a"), .to = S("b")},
        {.change = MAILBOX_DELETE, .name = S("b")},
    };
    char text[1024];

    for (int i = 0; i < 4; i++) {
        ops[i].op.done = skit_done;
        mailbox_change(u, &ops[i]);
    }
    for (int i = 0; i < 4; i++)
        skit_run(k, &ops[i].op);
    assert_int_equal(skit_status(&ops[0].op), STATUS_OK);
    assert_int_equal(skit_status(&ops[1].op), STATUS_EXISTS);
    assert_int_equal(skit_status(&ops[2].op), STATUS_OK);
    assert_int_equal(skit_status(&ops[3].op), STATUS_OK);
    assert_string_equal(names(u, text), "INBOX+ Sent+ Trash+");
    user_close(u);
}

/* D20, X07: the clock may jump, users may go: no UIDVALIDITY comes twice. */
static void no_uidvalidity_comes_twice(void **state)
{
    struct skit *k = *state;
    uint32_t last = 0;

    for (int round = 0; round < 6; round++) {
        struct user *u = make(k, "a@x");
        struct mailbox_info info;

        for (unsigned i = 0; i < 3; i++) {
            static const char *const order[] = {"INBOX", "Sent", "Trash"};

            assert_true(user_mailbox_find(u, slice_str(order[i]), &info));
            assert_true(info.uid_validity > last);
            last = info.uid_validity;
        }
        user_close(u);
        assert_int_equal(skit_remove(k, "a@x"), STATUS_OK);
        skit_settle(k);
        if (round % 2)
            skit_close(k);
        else
            skit_crash(k, true);
        if (round == 3)
            skit_forget_checkpoints(k);
        k->now_s -= 86400;
        skit_open(k);
    }
}

static void a_removed_account_leaves_nothing(void **state)
{
    struct skit *k = *state;
    struct user *u;
    struct mailbox *m;

    for (int i = 0; i < 20; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 1000, NULL), STATUS_OK);
    assert_int_equal(skit_remove(k, "a@x"), STATUS_OK);
    assert_int_equal(skit_remove(k, "a@x"), STATUS_NOT_FOUND);
    assert_int_equal(skit_user(k, "a@x", false, &u), STATUS_NOT_FOUND);
    u = make(k, "a@x");
    assert_int_equal(user_bytes(u), 0);
    m = skit_open_mailbox(k, u, "INBOX");
    assert_int_equal(m->content->messages, 0);
    mailbox_close(m);
    user_close(u);
}

static void quota_holds_and_gives_way(void **state)
{
    struct skit *k = *state;
    struct user *u;
    struct mailbox *m;

    k->store->conf.quota_bytes = 2500;
    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 1000, NULL), STATUS_OK);
    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 1000, NULL), STATUS_OK);
    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 1000, NULL), STATUS_LIMIT);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    assert_int_equal(skit_copy(k, m, 1, 2, "Sent", false, NULL), STATUS_LIMIT);
    assert_int_equal(skit_copy(k, m, 1, 1, "Sent", true, NULL), STATUS_OK);
    assert_int_equal(skit_expunge(k, m, 2, 2, true, NULL), STATUS_OK);
    assert_int_equal(user_bytes(u), 1000);
    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 1000, NULL), STATUS_OK);
    mailbox_close(m);
    user_close(u);
}

static void keywords_are_limited(void **state)
{
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");
    struct slice word;
    char name[300];

    k->store->conf.keywords_max = 20;
    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 100, NULL), STATUS_OK);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "word%d", i);
        assert_int_equal(skit_flags(k, m, 1, 1, FLAGS_ADD, 0, name), STATUS_OK);
    }
    assert_int_equal(skit_flags(k, m, 1, 1, FLAGS_ADD, 0, "more"), STATUS_LIMIT);
    assert_int_equal(skit_flags(k, m, 1, 1, FLAGS_ADD, 0, "WORD3"), STATUS_OK);
    assert_int_equal(skit_flags(k, m, 1, 1, FLAGS_REMOVE, 0, "more"), STATUS_OK);
    memset(name, 'w', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_int_equal(skit_flags(k, m, 1, 1, FLAGS_ADD, 0, name), STATUS_LIMIT);
    assert_int_equal(mailbox_keyword_find(m, S("WoRd7")), 7);
    assert_true(mailbox_keyword_at(m, 19, &word));
    assert_false(mailbox_keyword_at(m, 20, &word));
    mailbox_close(m);
    user_close(u);
}

/* As many of both as a mailbox can have, of the greatest length. */
static void fill_keywords(struct content *c)
{
    char name[KEYWORD_BYTES_MAX + 1];

    for (int i = 0; i < KEYWORDS_HARD_MAX; i++) {
        snprintf(name, sizeof name, "%0*d", KEYWORD_BYTES_MAX, i);
        assert_int_equal(keyword_intern(&c->keywords, slice_str(name)), i);
    }
    c->keywords.shown = c->keywords.count;
    for (int i = 1; i < KEYWORD_SETS_MAX; i++) {
        struct keyword_set set = {{(uint64_t)i}};

        assert_int_equal(keyword_set_intern(&c->keywords, &set), i);
    }
    c->dirty = true;
}

/* A slab of the log is 1 MiB: what it can't hold goes to memory that nobody has touched,
 * in one turn. */
static void the_most_keywords_leave_a_state_small(void **state)
{
    enum { SLAB = 1 << 20 };
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");
    const struct keywords *now;

    fill_keywords(m->content);
    assert_int_equal(fold_begin(u, 0, NULL), STATUS_OK);
    skit_settle(k);
    assert_in_range(
        m->state_bytes, KEYWORD_SETS_MAX * sizeof(struct keyword_set), SLAB / 2);
    mailbox_close(m);
    user_close(u);
    skit_crash(k, true);
    skit_open(k);
    u = skit_open_user(k, "a@x");
    m = skit_open_mailbox(k, u, "INBOX");
    now = &m->content->keywords;
    assert_int_equal(now->count, KEYWORDS_HARD_MAX);
    assert_int_equal(now->set_count, KEYWORD_SETS_MAX);
    assert_int_equal(now->sets[KEYWORD_SETS_MAX - 1].bits[0], KEYWORD_SETS_MAX - 1);
    mailbox_close(m);
    user_close(u);
}

/* A user comes back from the disk as he was, whatever has been folded. */
static void eviction_changes_nothing(void **state)
{
    struct skit *k = *state;
    char name[16];

    for (int round = 0; round < 30; round++) {
        uint64_t hash;
        struct user *u;
        struct mailbox *m;

        k->store->chain_fold = 1 + (unsigned)round % 7;
        k->disk.cached = round % 2;
        for (int i = 0; i < 4; i++) {
            snprintf(name, sizeof name, "u%d@x", i);
            assert_int_equal(
                skit_deliver(k, name, i % 2 ? NULL : "Sent", "m", 200, NULL), STATUS_OK);
        }
        u = skit_open_user(k, "u1@x");
        m = skit_open_mailbox(k, u, "INBOX");
        assert_int_equal(skit_flags(k, m, 1, 3, FLAGS_ADD, FLAG_SEEN, "$A"), STATUS_OK);
        assert_int_equal(skit_copy(k, m, 1, 2, "Trash", round % 2, NULL), STATUS_OK);
        mailbox_close(m);
        user_close(u);
        skit_settle(k);
        hash = skit_hash_user(k, "u1@x");
        k->store->conf.index_bytes = 1;
        skit_settle(k);
        assert_int_equal(k->store->loaded, 0);
        k->store->conf.index_bytes = 8 << 20;
        assert_true(hash == skit_hash_user(k, "u1@x"));
    }
}

/* A mailbox a turn. Mail that comes meanwhile is in the state or in the chain behind it,
 * and the names stand still. */
static void a_state_in_slices_shows_one_moment(void **state)
{
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    struct mailbox_op op = {
        .change = MAILBOX_CREATE, .name = S("AA"), .op.done = skit_done};
    unsigned turns = 0;
    char text[1024];

    k->store->fold_slice = 1;
    for (unsigned round = 0; round < 12; round++) {
        char name[8];

        snprintf(name, sizeof name, "m%u", round);
        assert_int_equal(change(k, u, MAILBOX_CREATE, name, NULL), STATUS_OK);
        assert_int_equal(skit_deliver(k, "a@x", name, name, 100, NULL), STATUS_OK);
    }
    skit_settle(k);
    assert_int_equal(fold_begin(u, 0, NULL), STATUS_OK);
    while (!u->tree_held)
        skit_turn(k);
    mailbox_change(u, &op);
    assert_int_equal(skit_deliver(k, "a@x", NULL, "new", 100, NULL), STATUS_OK);
    assert_int_equal(skit_deliver(k, "a@x", "m0", "new", 100, NULL), STATUS_OK);
    while (u->tree_held) {
        assert_null(strstr(names(u, text), "AA"));
        skit_turn(k);
        turns++;
    }
    assert_true(turns > 2);
    skit_run(k, &op.op);
    assert_int_equal(skit_status(&op.op), STATUS_OK);
    assert_non_null(strstr(names(u, text), "AA"));
    skit_settle(k);
    assert_null(u->fold);
    assert_int_equal(u->head->chain, 1); /* the CREATE */
    user_close(u);
    a_crash_keeps(k, "a@x");
}

/* A large mailbox has thousands of pages: what has not changed is not looked at, though
 * the directory names all of it. */
static void a_state_names_pages_without_a_look_at_them(void **state)
{
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");
    struct content *c = m->content;
    struct packed_entry *first;
    uint64_t before;

    k->store->inline_entries = 0;
    c->page_max = 8;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 100, NULL), STATUS_OK);
    assert_int_equal(skit_expunge(k, m, 20, 60, true, NULL), STATUS_OK);
    assert_int_equal(fold_begin(u, 0, NULL), STATUS_OK);
    skit_settle(k);
    assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 100, NULL), STATUS_OK);
    before = m->state;
    first = c->pages[0].at;
    c->pages[0].at = NULL;
    assert_int_equal(fold_begin(u, 0, NULL), STATUS_OK);
    skit_settle(k);
    c->pages[0].at = first;
    assert_true(before && m->state != before);
    mailbox_close(m);
    user_close(u);
    a_crash_keeps(k, "a@x");
}

/* A few messages a turn are chosen and marked; who wants them, too, comes too late. */
static void a_move_in_slices_takes_all(void **state)
{
    enum { ALL = 40 };
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX"), *sent, *other;
    struct uid_range ranges[2] = {{1, ALL / 2}, {ALL / 2 + 1, ALL}};
    struct copy_op first = {.op.done = skit_done, .to = S("Sent"), .move = true};
    struct copy_op second = {.op.done = skit_done, .to = S("Trash"), .move = true};
    struct expunge_op expunge = {.op.done = skit_done, .always = true};
    struct mailbox_op rename = {.change = MAILBOX_RENAME,
        .name = S("INBOX"),
        .to = S("other"),
        .op.done = skit_done};
    unsigned turns = 0;

    for (unsigned i = 0; i < ALL; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 100, NULL), STATUS_OK);
    k->store->turn_budget = 4;
    first.uids = second.uids = expunge.uids = ranges;
    first.uid_count = second.uid_count = expunge.uid_count = 2;
    mailbox_copy(m, &first);
    mailbox_expunge(m, &expunge);
    mailbox_copy(m, &second);
    mailbox_change(u, &rename);
    for (; m->choosing && turns < 1000; turns++) {
        assert_false(m->frozen);
        skit_turn(k);
    }
    assert_true(turns > ALL / 8);
    skit_run(k, &first.op);
    skit_run(k, &expunge.op);
    skit_run(k, &second.op);
    skit_run(k, &rename.op);
    assert_int_equal(skit_status(&first.op), STATUS_OK);
    assert_int_equal(skit_status(&expunge.op), STATUS_OK);
    assert_int_equal(skit_status(&second.op), STATUS_OK);
    assert_int_equal(skit_status(&rename.op), STATUS_OK);
    assert_int_equal(first.count, ALL);
    assert_int_equal(expunge.count, 0);
    assert_int_equal(second.count, 0);
    skit_settle(k);
    sent = skit_open_mailbox(k, u, "Sent");
    other = skit_open_mailbox(k, u, "other");
    assert_int_equal(sent->content->messages, ALL);
    assert_int_equal(other->content->messages + m->content->messages, 0);
    mailbox_close(other);
    mailbox_close(sent);
    mailbox_close(m);
    user_close(u);
    a_crash_keeps(k, "a@x");
}

static uint64_t memory_of(struct skit *k, const char *name)
{
    struct user *u = skit_open_user(k, name);
    uint64_t memory = u->memory;

    user_close(u);
    return memory;
}

/* Changes of a mailbox that nobody opened wait in memory: they count. */
static void what_is_held_counts(void **state)
{
    struct skit *k = *state;

    k->store->chain_fold = 10000;
    for (int i = 0; i < 200; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 200, NULL), STATUS_OK);
    assert_int_equal(skit_deliver(k, "b@x", NULL, "m", 200, NULL), STATUS_OK);
    assert_true(memory_of(k, "a@x") > 8 * memory_of(k, "b@x"));
    k->store->conf.index_bytes = 1;
    skit_settle(k);
    assert_int_equal(k->store->index_used, 0);
}

/* The coldest leave some at a time. */
static void evict(struct skit *k)
{
    for (int i = 0; i < 20; i++)
        skit_settle(k);
}

/* Heads and loaded users share one memory; a quarter of it is always for users. */
static void heads_and_loaded_users_share_memory(void **state)
{
    enum { USERS = 400 };
    struct skit *k = *state;
    struct store *s = k->store;
    uint64_t heads;
    char name[16];

    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "u%d@x", i);
        assert_int_equal(skit_deliver(k, name, NULL, "m", 200, NULL), STATUS_OK);
        user_close(skit_open_user(k, name));
    }
    heads = s->heads.memory.bytes;
    s->conf.index_bytes = heads + s->index_used;
    evict(k);
    assert_int_equal(s->loaded, USERS);
    s->conf.index_bytes -= s->index_used / 2;
    evict(k);
    assert_true(s->loaded < USERS);
    assert_true(heads + s->index_used <= s->conf.index_bytes);
    s->conf.index_bytes = heads;
    evict(k);
    assert_true(s->loaded > 0);
    assert_true(s->index_used <= heads / 4);
}

static void create_many(struct skit *k, struct user *u, unsigned count)
{
    struct mailbox_op *ops = calloc(count, sizeof *ops);
    char(*names)[16] = calloc(count, sizeof *names);

    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "m%u", i);
        ops[i] = (struct mailbox_op){
            .change = MAILBOX_CREATE, .name = slice_str(names[i]), .op.done = skit_done};
        mailbox_change(u, &ops[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        skit_run(k, &ops[i].op);
        assert_int_equal(skit_status(&ops[i].op), STATUS_OK);
    }
    free(names);
    free(ops);
}

/* Turns until the user is on the disk only, and what he had in memory waits. */
static void evict_one(struct skit *k, const char *name)
{
    struct head *head = heads_find(&k->store->heads, slice_str(name));

    k->store->conf.index_bytes = 1;
    for (int i = 0; head->user && i < 1000; i++)
        skit_turn(k);
    k->store->conf.index_bytes = 8 << 20;
    assert_null(head->user);
    assert_true(k->store->dead_bytes > 0);
}

/* What he had is counted until it is freed, and he may come back before. */
static void an_evicted_user_is_freed_bit_by_bit(void **state)
{
    enum { MANY = 2000 };
    struct skit *k = *state;
    struct store *s = k->store;
    struct user *u = make(k, "a@x");
    uint64_t all, hash;
    unsigned turns = 0;

    create_many(k, u, MANY);
    user_close(u);
    skit_settle(k);
    hash = skit_hash_user(k, "a@x");
    skit_settle(k);
    all = s->index_used;
    evict_one(k, "a@x");
    assert_true(s->index_used > all * 3 / 4);
    for (uint64_t before; s->dead_bytes; turns++) {
        before = s->index_used;
        skit_turn(k);
        assert_true(before - s->index_used < all / 4);
    }
    assert_true(turns > 4);
    assert_int_equal(s->index_used, 0);
    skit_hash_user(k, "a@x");
    evict_one(k, "a@x");
    assert_true(hash == skit_hash_user(k, "a@x"));
}

/* A fold for the segment that all mailboxes of an account have their mail in. */
static void contents_come_some_at_a_time(void **state)
{
    enum { MANY = 200 };
    struct skit *k = *state;
    struct user *u = make(k, "a@x");
    unsigned most = 0;
    char name[16];

    create_many(k, u, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "m%u", i);
        assert_int_equal(skit_deliver(k, "a@x", name, "m", 100, NULL), STATUS_OK);
    }
    user_close(u);
    skit_settle(k);
    evict_one(k, "a@x");
    u = skit_open_user(k, "a@x");
    skit_settle(k);
    assert_int_equal(fold_begin(u, PLACE_SEGMENT(u->head->state), NULL), STATUS_OK);
    while (u->fold) {
        skit_turn(k);
        if (k->store->loading > most)
            most = k->store->loading;
    }
    assert_in_range(most, 1, MANY / 4);
    user_close(u);
}

/* Who comes meanwhile takes no more than what is given back. */
static void memory_does_not_grow_while_some_is_freed(void **state)
{
    enum { MANY = 2000, OTHERS = 4 };
    static const char *const names[] = {"b@x", "c@x", "d@x", "e@x"};
    struct user_open others[OTHERS] = {0};
    struct skit *k = *state;
    struct store *s = k->store;
    struct user *u = make(k, "a@x");
    uint64_t most;
    unsigned turns = 0;

    create_many(k, u, MANY);
    user_close(u);
    for (unsigned i = 0; i < OTHERS; i++) {
        u = make(k, names[i]);
        create_many(k, u, MANY / OTHERS);
        user_close(u);
    }
    skit_settle(k);
    s->conf.index_bytes = 1;
    skit_settle(k);
    assert_int_equal(s->index_used, 0);
    s->conf.index_bytes = 8 << 20;
    user_close(skit_open_user(k, "a@x"));
    evict_one(k, "a@x");
    most = s->index_used;
    for (unsigned i = 0; i < OTHERS; i++) {
        others[i] = (struct user_open){.name = slice_str(names[i]), .op.done = skit_done};
        user_open(s, &others[i]);
    }
    for (; s->dead_bytes; turns++) {
        skit_turn(k);
        assert_true(s->index_used <= most || !s->dead_bytes);
    }
    assert_true(turns > 2);
    for (unsigned i = 0; i < OTHERS; i++) {
        skit_run(k, &others[i].op);
        user_close(others[i].user);
    }
}

/* Loads the user from the disk; how many reads that took. */
static uint64_t reads_to_load(struct skit *k, const char *name)
{
    uint64_t before;

    k->store->conf.index_bytes = 1;
    skit_settle(k);
    assert_int_equal(k->store->loaded, 0);
    k->store->conf.index_bytes = 8 << 20;
    before = k->disk.calls[DISK_READ];
    user_close(skit_open_user(k, name));
    return k->disk.calls[DISK_READ] - before;
}

/* Each record tells where the one before is: what the page cache has takes no turn each.
 */
static void a_chain_is_followed_through_the_page_cache(void **state)
{
    enum { LINKS = 80, BETWEEN = 200000 };
    struct skit *k = *state;
    uint64_t cold, hash;

    k->store->chain_fold = 10000; /* nothing is folded */
    for (int i = 0; i < LINKS; i++) {
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 200, NULL), STATUS_OK);
        assert_int_equal(skit_deliver(k, "b@x", NULL, "m", BETWEEN, NULL), STATUS_OK);
    }
    k->disk.cached = false;
    cold = reads_to_load(k, "a@x");
    assert_true(cold > LINKS / 2);
    hash = skit_hash_user(k, "a@x");
    k->disk.cached = true;
    k->disk.peeks = 0;
    assert_true(reads_to_load(k, "a@x") < cold / 2);
    assert_true(k->disk.peeks >= cold / 2);
    assert_true(hash == skit_hash_user(k, "a@x"));
}

/* The mail that came meanwhile is read record by record once. */
static void who_was_in_memory_comes_back_by_few_reads(void **state)
{
    enum { LINKS = 12, BETWEEN = 200000 };
    struct skit *k = *state;
    uint64_t first;

    for (int i = 0; i < LINKS; i++) {
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 200, NULL), STATUS_OK);
        assert_int_equal(skit_deliver(k, "b@x", NULL, "m", BETWEEN, NULL), STATUS_OK);
    }
    for (int i = 0; i < 4 * LINKS; i++) /* out of the memory of the newest batches */
        assert_int_equal(skit_deliver(k, "b@x", NULL, "m", BETWEEN, NULL), STATUS_OK);
    k->disk.cached = false;
    first = reads_to_load(k, "a@x");
    assert_true(first >= LINKS);
    assert_true(reads_to_load(k, "a@x") < first / 4);
}

/* A message to a user who is on the disk leaves him there. */
static void a_delivery_loads_nobody(void **state)
{
    struct skit *k = *state;

    for (int i = 0; i < 20; i++)
        assert_int_equal(skit_deliver(k, "a@x", NULL, "m", 200, NULL), STATUS_OK);
    assert_int_equal(k->store->loaded, 0);
}

/* With tables that were made for `expected` of them. */
static void find_heads_among_many(uint64_t expected)
{
    struct heads h;
    char name[32];

    assert_int_equal(heads_init(&h, 7), STATUS_OK);
    if (expected)
        assert_int_equal(heads_expect(&h, expected), STATUS_OK);
    for (uint64_t i = 0; i < 50000; i++) {
        struct head *head;

        snprintf(name, sizeof name, "user%u@x", (unsigned)i);
        head = heads_add(&h, i * 3, slice_str(name));
        assert_non_null(head);
        heads_name(&h, head);
        if (i % 3 == 0 && i > 100)
            heads_remove(&h, heads_by_id(&h, (i - 100) * 3));
    }
    for (uint64_t i = 0; i < 50000; i++) {
        bool gone = (i + 100) % 3 == 0 && i + 100 < 50000 && i > 0;
        struct head *head = heads_by_id(&h, i * 3);

        assert_int_equal(head == NULL, gone);
        snprintf(name, sizeof name, "user%u@x", (unsigned)i);
        heads_near(&h, slice_str(name));
        assert_ptr_equal(heads_find(&h, slice_str(name)), head);
    }
    heads_free(&h);
}

static void heads_are_found_among_many(void **state)
{
    (void)state;
    find_heads_among_many(0);
    find_heads_among_many(3000);
    find_heads_among_many(70000);
}

/* Numbers of several old shards after a resharding: the same counters in all. */
static void heads_of_many_shards_are_found_by_number(void **state)
{
    enum { SHARDS = 40, EACH = 500 };
    struct heads h;

    (void)state;
    assert_int_equal(heads_init(&h, 7), STATUS_OK);
    for (uint64_t shard = 0; shard < SHARDS; shard++)
        for (uint64_t i = 1; i <= EACH; i++)
            assert_non_null(heads_add(&h, shard << USER_SHARD_SHIFT | i, S("x")));
    assert_null(heads_by_id(&h, (uint64_t)SHARDS << USER_SHARD_SHIFT | 1));
    for (uint64_t shard = 0; shard < SHARDS; shard++)
        for (uint64_t i = 1; i <= EACH; i++) {
            struct head *head = heads_by_id(&h, shard << USER_SHARD_SHIFT | i);

            assert_non_null(head);
            assert_true(head->id == (shard << USER_SHARD_SHIFT | i));
        }
    heads_free(&h);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, skit_start, skit_stop)
    const struct CMUnitTest tests[] = {
        TEST(the_tree_is_what_was_asked_for),
        TEST(a_rename_takes_the_tree_along),
        TEST(a_rename_shows_at_one_moment),
        TEST(inbox_gives_its_messages_away_and_stays),
        TEST(mailboxes_are_limited),
        TEST(names_are_limited_together),
        TEST(who_has_more_names_keeps_them),
        TEST(changes_of_one_tree_wait_for_each_other),
        TEST(no_uidvalidity_comes_twice),
        TEST(a_removed_account_leaves_nothing),
        TEST(quota_holds_and_gives_way),
        TEST(keywords_are_limited),
        TEST(the_most_keywords_leave_a_state_small),
        TEST(eviction_changes_nothing),
        TEST(a_state_in_slices_shows_one_moment),
        TEST(a_state_names_pages_without_a_look_at_them),
        TEST(a_move_in_slices_takes_all),
        TEST(what_is_held_counts),
        TEST(heads_and_loaded_users_share_memory),
        TEST(an_evicted_user_is_freed_bit_by_bit),
        TEST(contents_come_some_at_a_time),
        TEST(memory_does_not_grow_while_some_is_freed),
        TEST(a_chain_is_followed_through_the_page_cache),
        TEST(who_was_in_memory_comes_back_by_few_reads),
        TEST(a_delivery_loads_nobody),
        TEST(heads_are_found_among_many),
        TEST(heads_of_many_shards_are_found_by_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
