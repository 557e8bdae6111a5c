/* What clients see: sequence numbers, news, \Recent. RFC 3501, 2.3.1.2, 2.3.2, 7.4.1. */
#include "tests/store/storekit.h"

#include <stdio.h>
#include <stdlib.h>

struct world {
    struct skit kit;
    struct user *user;
    struct mailbox *mailbox;
    unsigned told; /* calls of changed() */
};

static struct world *world;

static void on_news(struct view *v)
{
    (void)v;
    world->told++;
}

static int start(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    skit_init(&w->kit, 1);
    skit_open(&w->kit);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(skit_deliver(&w->kit, "a@x", NULL, "m", 100, NULL), STATUS_OK);
    w->user = skit_open_user(&w->kit, "a@x");
    w->mailbox = skit_open_mailbox(&w->kit, w->user, "INBOX");
    *state = world = w;
    return 0;
}

static int stop(void **state)
{
    struct world *w = *state;

    mailbox_close(w->mailbox);
    user_close(w->user);
    skit_close(&w->kit);
    skit_free(&w->kit);
    free(w);
    return 0;
}

static void deliver(struct world *w)
{
    assert_int_equal(skit_deliver(&w->kit, "a@x", NULL, "m", 100, NULL), STATUS_OK);
}

static void expunge(struct world *w, uint32_t first, uint32_t last)
{
    assert_int_equal(
        skit_expunge(&w->kit, w->mailbox, first, last, true, NULL), STATUS_OK);
}

/* The news as text: "x3" expunge, "=9" exists, "f2" flags. */
static const char *news(struct view *v, bool expunge, char text[256])
{
    struct view_news n;
    size_t at = 0;

    text[0] = 0;
    while (view_news(v, expunge, &n) != VIEW_NONE)
        at += (size_t)snprintf(text + at, 256 - at, "%s%c%u", at ? " " : "",
            n.event == VIEW_EXPUNGE      ? 'x'
                : n.event == VIEW_EXISTS ? '='
                                         : 'f',
            n.event == VIEW_EXISTS ? n.count : n.seq);
    return text;
}

static void numbers_stay_until_the_client_is_told(void **state)
{
    struct world *w = *state;
    struct view v;
    struct entry e;
    char text[256];

    view_open(&v, w->mailbox, false, on_news);
    assert_int_equal(v.count, 10);
    expunge(w, 3, 5);
    assert_int_equal(w->told, 1);
    assert_int_equal(v.count, 10);
    assert_int_equal(view_uid(&v, 4), 4);
    assert_false(view_entry(&v, 4, &e));
    assert_true(view_entry(&v, 6, &e));
    assert_int_equal(e.uid, 6);
    assert_int_equal(view_seq(&v, 4), 4);
    assert_int_equal(view_seq(&v, 10), 10);
    assert_int_equal(view_rank(&v, 1000), 10);
    assert_string_equal(news(&v, true, text), "x5 x4 x3");
    assert_int_equal(v.count, 7);
    assert_int_equal(view_seq(&v, 4), 0);
    assert_int_equal(view_uid(&v, 3), 6);
    assert_int_equal(view_uid(&v, 8), 0);
    assert_int_equal(view_uid(&v, 0), 0);
    view_close(&v);
}

static void the_last_goes_and_new_ones_come(void **state)
{
    struct world *w = *state;
    struct view v;
    char text[256];

    view_open(&v, w->mailbox, false, on_news);
    expunge(w, 10, 10);
    deliver(w);
    deliver(w);
    expunge(w, 11, 11); /* came and went untold */
    assert_string_equal(news(&v, false, text), "");
    assert_int_equal(v.count, 10);
    assert_string_equal(news(&v, true, text), "x10 =10");
    assert_int_equal(view_uid(&v, 10), 12);
    assert_false(view_has_news(&v));
    view_close(&v);
}

static void everything_goes(void **state)
{
    struct world *w = *state;
    struct view v;
    char text[256];

    view_open(&v, w->mailbox, false, on_news);
    expunge(w, 1, UINT32_MAX);
    assert_string_equal(news(&v, true, text), "x10 x9 x8 x7 x6 x5 x4 x3 x2 x1");
    assert_int_equal(v.count, 0);
    assert_int_equal(view_rank(&v, 5), 0);
    deliver(w);
    assert_string_equal(news(&v, true, text), "=1");
    assert_int_equal(view_uid(&v, 1), 11);
    view_close(&v);
}

static void interleaved_expunges_are_told_in_any_order(void **state)
{
    struct world *w = *state;
    struct view v;
    struct view_news n;
    char text[256];

    view_open(&v, w->mailbox, false, on_news);
    expunge(w, 8, 8);
    expunge(w, 2, 2);
    assert_int_equal(view_news(&v, true, &n), VIEW_EXPUNGE);
    assert_int_equal(n.seq, 8);
    expunge(w, 1, 1);
    expunge(w, 9, 9);
    assert_int_equal(view_seq(&v, 9), 8);
    assert_string_equal(news(&v, true, text), "x8 x2 x1");
    view_close(&v);
}

static void flag_changes_are_told_once(void **state)
{
    struct world *w = *state;
    struct view v;
    char text[256];

    view_open(&v, w->mailbox, false, on_news);
    assert_int_equal(
        skit_flags(&w->kit, w->mailbox, 2, 3, FLAGS_ADD, FLAG_SEEN, NULL), STATUS_OK);
    assert_int_equal(
        skit_flags(&w->kit, w->mailbox, 3, 4, FLAGS_ADD, FLAG_FLAGGED, NULL), STATUS_OK);
    assert_int_equal(w->told, 1);
    assert_string_equal(news(&v, false, text), "f2 f3 f4");
    assert_string_equal(news(&v, false, text), "");
    /* Nothing changes, nothing is told. */
    assert_int_equal(
        skit_flags(&w->kit, w->mailbox, 3, 4, FLAGS_ADD, FLAG_FLAGGED, NULL), STATUS_OK);
    assert_string_equal(news(&v, false, text), "");
    /* New messages bring their flags with them. */
    deliver(w);
    assert_string_equal(news(&v, false, text), "=11");
    view_close(&v);
}

static void own_changes_are_not_told(void **state)
{
    struct world *w = *state;
    struct uid_range range = {5, 5};
    struct flags_op f = {.op.done = skit_done,
        .uids = &range,
        .uid_count = 1,
        .mode = FLAGS_ADD,
        .flags = FLAG_SEEN};
    struct view v;
    char text[256];

    view_open(&v, w->mailbox, false, on_news);
    assert_int_equal(
        skit_flags(&w->kit, w->mailbox, 1, 1, FLAGS_ADD, FLAG_SEEN, NULL), STATUS_OK);
    mailbox_flags(w->mailbox, &f);
    skit_run(&w->kit, &f.op);
    assert_false(view_skip_flags(&v, f.modseq));
    assert_string_equal(news(&v, false, text), "f1");
    view_close(&v);
}

static void one_session_gets_the_recent_ones(void **state)
{
    struct world *w = *state;
    struct view look, first, second;
    struct entry e;
    char text[256];

    view_open(&look, w->mailbox, true, on_news);
    assert_int_equal(view_recent(&look), 10);
    view_open(&first, w->mailbox, false, on_news);
    view_open(&second, w->mailbox, false, on_news);
    assert_int_equal(view_recent(&first), 10);
    assert_int_equal(view_recent(&second), 0);
    deliver(w);
    news(&first, true, text);
    news(&second, true, text);
    assert_int_equal(view_recent(&first), 11);
    assert_int_equal(view_recent(&second), 0);
    assert_true(view_entry(&first, 11, &e) && e.recent);
    assert_true(view_entry(&second, 11, &e) && !e.recent);
    view_close(&first);
    deliver(w);
    news(&second, true, text);
    assert_int_equal(view_recent(&second), 1);
    view_close(&second);
    view_close(&look);
}

static void a_removed_account_empties_its_views(void **state)
{
    struct world *w = *state;
    struct view v;
    char text[256];

    view_open(&v, w->mailbox, false, on_news);
    assert_int_equal(skit_remove(&w->kit, "a@x"), STATUS_OK);
    assert_true(user_removed(w->user));
    assert_true(mailbox_gone(w->mailbox));
    assert_string_equal(news(&v, true, text), "x10 x9 x8 x7 x6 x5 x4 x3 x2 x1");
    assert_int_equal(skit_flags(&w->kit, w->mailbox, 1, 5, FLAGS_ADD, FLAG_SEEN, NULL),
        STATUS_NOT_FOUND);
    view_close(&v);
}

/* The client's list is the messages with UIDs from 1 on, but for two. */
static void check_numbers(const struct view *v, uint32_t count, bool gone)
{
    struct entry e;
    uint32_t seq = 0;

    assert_int_equal(v->count, count);
    for (uint32_t uid = 1; seq < count; uid++) {
        if ((uid == 3 || uid == 7) && v->uid_known > 10)
            continue;
        assert_int_equal(view_uid(v, ++seq), uid);
        assert_int_equal(view_seq(v, uid), seq);
        assert_int_equal(view_rank(v, uid), seq);
        if (gone)
            assert_false(view_entry(v, seq, &e));
    }
}

static void begin_rename(struct world *w, struct mailbox_op *op, const char *to)
{
    *op = (struct mailbox_op){.change = MAILBOX_RENAME,
        .name = S("INBOX"),
        .to = slice_str(to),
        .op.done = skit_done};
    mailbox_change(w->user, op);
}

/* A page a turn is looked at. `early` has not heard of the last twenty, nor that two of
 * the first ten went; `late` comes in the middle. */
static void inbox_is_renamed_at_one_moment(void **state)
{
    struct world *w = *state;
    struct mailbox_op op;
    struct view early, late = {0};
    unsigned turns = 0;
    char text[256];

    w->mailbox->content->page_max = 4;
    w->kit.store->turn_budget = 4;
    view_open(&early, w->mailbox, false, on_news);
    for (unsigned i = 0; i < 20; i++)
        deliver(w);
    expunge(w, 3, 3);
    expunge(w, 7, 7);
    begin_rename(w, &op, "a/b");
    for (; op.op.pending; turns += w->user->half) {
        struct mailbox *target = names_find(w->user, S("a/b"));

        assert_int_equal(!target, w->mailbox->content->messages > 0);
        assert_true(!target || target->content->messages == 28);
        check_numbers(&early, 10, false);
        if (late.mailbox)
            check_numbers(&late, 28, target);
        else if (w->user->half)
            view_open(&late, w->mailbox, true, on_news);
        skit_turn(&w->kit);
    }
    assert_int_equal(skit_status(&op.op), STATUS_OK);
    assert_true(turns > 3);
    deliver(w);
    check_numbers(&early, 10, true);
    check_numbers(&late, 28, true);
    assert_string_equal(news(&early, false, text), "");
    assert_string_equal(news(&early, true, text), "x10 x9 x8 x7 x6 x5 x4 x3 x2 x1 =1");
    begin_rename(w, &op, "c");
    skit_run(&w->kit, &op.op);
    check_numbers(&late, 28, true);
    assert_string_equal(news(&early, true, text), "x1");
    assert_string_equal(news(&late, true, text),
        "x28 x27 x26 x25 x24 x23 x22 x21 x20 x19 x18 x17 x16 x15 x14 x13 x12 x11 x10 x9 "
        "x8 x7 x6 x5 x4 x3 x2 x1");
    view_close(&early);
    view_close(&late);
}

/* It is on the disk before the first slice: the next start has all of it. */
static void a_renaming_of_inbox_outlives_a_crash(void **state)
{
    struct world *w = *state;
    struct mailbox_op op;
    struct mailbox *m;
    struct view v;

    w->mailbox->content->page_max = 4;
    for (unsigned i = 0; i < 20; i++)
        deliver(w);
    w->kit.store->turn_budget = 4;
    view_open(&v, w->mailbox, false, on_news);
    begin_rename(w, &op, "a/b");
    for (unsigned turns = 0; turns < 3; turns += w->user->half)
        skit_turn(&w->kit);
    assert_true(op.op.pending && w->mailbox->content->messages == 30);
    skit_die(&w->kit, true);
    view_close(&v);
    mailbox_close(w->mailbox);
    user_close(w->user);
    skit_crash(&w->kit, true);
    skit_open(&w->kit);
    w->user = skit_open_user(&w->kit, "a@x");
    w->mailbox = skit_open_mailbox(&w->kit, w->user, "INBOX");
    assert_int_equal(w->mailbox->content->messages, 0);
    m = skit_open_mailbox(&w->kit, w->user, "a/b");
    assert_int_equal(m->content->messages, 30);
    mailbox_close(m);
}

/* Messages that go in the busiest turn, with so many views of the mailbox. */
static uint32_t most_gone(struct world *w, uint32_t first, unsigned views)
{
    struct content *c = w->mailbox->content;
    struct view *all = calloc(views, sizeof *all);
    struct expunge_op op = {.op.done = skit_done, .always = true};
    uint32_t most = 0, before;

    for (uint32_t uid = first; uid < first + 2000; uid++)
        assert_true(content_append(c, &(struct packed_entry){.uid = uid, .size = 1}));
    for (unsigned i = 0; i < views; i++)
        view_open(&all[i], w->mailbox, true, on_news);
    before = c->messages;
    for (mailbox_expunge(w->mailbox, &op); op.op.pending;) {
        skit_turn(&w->kit);
        most = before - c->messages > most ? before - c->messages : most;
        before = c->messages;
    }
    assert_int_equal(skit_status(&op.op), STATUS_OK);
    assert_int_equal(c->messages, 0);
    for (unsigned i = 0; i < views; i++) {
        for (uint32_t seq = 1; seq <= 2000; seq++)
            assert_int_equal(view_uid(&all[i], seq), first + seq - 1);
        view_close(&all[i]);
    }
    free(all);
    return most;
}

/* Each message that goes is noted in each view. */
static void many_views_make_a_slice_shorter(void **state)
{
    struct world *w = *state;
    uint32_t alone, many;

    expunge(w, 1, 10);
    w->kit.store->turn_budget = 400;
    alone = most_gone(w, 11, 1);
    many = most_gone(w, 5000, 200);
    assert_in_range(many, 1, alone / 8);
}

static void a_large_mailbox_is_quick(void **state)
{
    struct world *w = *state;
    struct content *c = w->mailbox->content;
    struct view v;
    struct view_news n;
    unsigned told = 0;

    for (uint32_t uid = 11; uid <= 200000; uid++)
        assert_true(content_append(c, &(struct packed_entry){.uid = uid, .size = 1}));
    view_open(&v, w->mailbox, false, on_news);
    for (uint32_t seq = 1; seq <= v.count; seq++)
        assert_int_equal(view_uid(&v, seq), seq);
    expunge(w, 1, 199990);
    while (view_news(&v, true, &n) == VIEW_EXPUNGE)
        told++;
    assert_int_equal(told, 199990);
    assert_int_equal(v.count, 10);
    view_close(&v);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(numbers_stay_until_the_client_is_told),
        TEST(the_last_goes_and_new_ones_come),
        TEST(everything_goes),
        TEST(interleaved_expunges_are_told_in_any_order),
        TEST(flag_changes_are_told_once),
        TEST(own_changes_are_not_told),
        TEST(one_session_gets_the_recent_ones),
        TEST(a_removed_account_empties_its_views),
        TEST(inbox_is_renamed_at_one_moment),
        TEST(a_renaming_of_inbox_outlives_a_crash),
        TEST(many_views_make_a_slice_shorter),
        TEST(a_large_mailbox_is_quick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
