/* Reading: any range of any body, what is lent, what is damaged, what several share. */
#include "tests/store/storekit.h"

#include <stdio.h>
#include <stdlib.h>

struct world {
    struct skit kit;
    struct user *user;
    struct mailbox *mailbox;
};

static int start(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    skit_init(&w->kit, 1);
    w->kit.conf.recent_bytes = 64 << 10;
    skit_open(&w->kit);
    *state = w;
    return 0;
}

static int stop(void **state)
{
    struct world *w = *state;

    if (w->mailbox)
        mailbox_close(w->mailbox);
    if (w->user)
        user_close(w->user);
    skit_close(&w->kit);
    skit_free(&w->kit);
    free(w);
    return 0;
}

static struct entry deliver(struct world *w, const char *tag, unsigned bytes)
{
    struct entry e;

    assert_int_equal(skit_deliver(&w->kit, "a@x", NULL, tag, bytes, NULL), STATUS_OK);
    if (!w->user) {
        w->user = skit_open_user(&w->kit, "a@x");
        w->mailbox = skit_open_mailbox(&w->kit, w->user, "INBOX");
    }
    assert_true(skit_entry(w->mailbox, w->mailbox->content->messages - 1, &e));
    return e;
}

/* What was written last is not in memory any more. */
static void restart(struct world *w)
{
    mailbox_close(w->mailbox);
    user_close(w->user);
    skit_close(&w->kit);
    skit_open(&w->kit);
    w->user = skit_open_user(&w->kit, "a@x");
    w->mailbox = skit_open_mailbox(&w->kit, w->user, "INBOX");
}

static void check_range(
    struct world *w, const struct entry *e, const char *body, uint64_t at, uint64_t len)
{
    uint64_t want = at >= e->size ? 0 : len > e->size - at ? e->size - at : len;
    struct slice got;

    assert_int_equal(skit_read(&w->kit, e, at, len, &got), STATUS_OK);
    assert_int_equal(got.len, want);
    if (want)
        assert_memory_equal(got.at, body + at, want);
    free((char *)got.at);
}

static void any_range_is_cut_to_the_message(void **state)
{
    struct world *w = *state;
    static const unsigned sizes[] = {1, 100, 131072, 131073, 300000, 700000};

    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct entry e = deliver(w, "body", sizes[i]);
        char *body = skit_body("body", sizes[i]);
        uint64_t edges[] = {0, 1, 99, 100, 101, 131171, 131172, 131173, sizes[i] - 1,
            sizes[i], sizes[i] + 1, UINT64_MAX};

        for (unsigned a = 0; a < sizeof edges / sizeof *edges; a++) {
            check_range(w, &e, body, edges[a], 0);
            check_range(w, &e, body, edges[a], 1);
            check_range(w, &e, body, edges[a], 131072);
            check_range(w, &e, body, edges[a], UINT64_MAX);
        }
        free(body);
    }
}

static enum status step(struct skit *k, struct body *b)
{
    if (body_next(b, skit_done))
        return STATUS_OK;
    skit_run(k, &b->op);
    return skit_status(&b->op);
}

static void what_is_lent_outlives_the_body(void **state)
{
    struct world *w = *state;
    struct entry e = deliver(w, "lent", 400000);
    char *body = skit_body("lent", 400000);
    struct body_loan *loans[16];
    struct slice pieces[16];
    struct body b;
    unsigned n = 0;
    size_t at = 0;

    assert_int_equal(body_open(w->kit.store, &b, &e, 0, UINT64_MAX), STATUS_OK);
    for (;; n++) {
        assert_int_equal(step(&w->kit, &b), STATUS_OK);
        if (b.piece.len == 0)
            break;
        pieces[n] = b.piece;
        loans[n] = body_lend(&b);
    }
    assert_true(n > 3);
    body_close(&b);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(
            skit_deliver(&w->kit, "b@x", NULL, "other", 3000, NULL), STATUS_OK);
    for (unsigned i = 0; i < n; i++) {
        assert_memory_equal(pieces[i].at, body + at, pieces[i].len);
        at += pieces[i].len;
        body_release(loans[i]);
    }
    assert_int_equal(at, 400000);
    free(body);
}

/* Closed while the next chunk is being read ahead. */
static void a_body_closes_early(void **state)
{
    struct world *w = *state;
    struct entry e = deliver(w, "early", 700000);
    struct body b;

    restart(w);
    assert_int_equal(body_open(w->kit.store, &b, &e, 0, UINT64_MAX), STATUS_OK);
    assert_int_equal(step(&w->kit, &b), STATUS_OK);
    assert_int_equal(step(&w->kit, &b), STATUS_OK);
    body_close(&b);
    assert_int_equal(body_open(w->kit.store, &b, &e, 0, UINT64_MAX), STATUS_OK);
    body_close(&b);
    skit_settle(&w->kit);
    assert_int_equal(w->kit.store->live_pins, 0);
}

/* Turns a bit of its text on the disk. */
static void damage(struct world *w, const struct entry *e)
{
    char name[DISK_NAME_MAX];

    snprintf(name, sizeof name, SEGMENT_NAME, PLACE_SEGMENT(e->body));
    memdisk_flip(
        memdisk_find(&w->kit.disk, name), (PLACE_OFFSET(e->body) + 1000) * (uint64_t)8);
}

/* D06: one message can't be read, all others can. */
static void damage_costs_one_message(void **state)
{
    struct world *w = *state;
    struct entry good = deliver(w, "good", 3000), bad = deliver(w, "bad", 3000);
    struct slice got;

    restart(w);
    damage(w, &bad);
    assert_int_equal(skit_read(&w->kit, &bad, 0, UINT64_MAX, &got), STATUS_CORRUPT);
    assert_int_equal(got.len, 0);
    free((char *)got.at);
    skit_check_body(&w->kit, &good, "good", 3000);
}

/* A place that is no message gives no bytes (X05). */
static void a_place_of_something_else_gives_nothing(void **state)
{
    struct world *w = *state;
    struct entry e = deliver(w, "m", 1000);
    struct slice got;

    e.body = e.summary;
    assert_int_equal(skit_read(&w->kit, &e, 0, UINT64_MAX, &got), STATUS_CORRUPT);
    free((char *)got.at);
    e.body += 8;
    assert_int_equal(skit_read(&w->kit, &e, 0, UINT64_MAX, &got), STATUS_CORRUPT);
    free((char *)got.at);
}

static void summaries_are_shared_by_all_who_ask(void **state)
{
    struct world *w = *state;
    struct entry e = deliver(w, "m", 1000);
    struct summary_read reads[4] = {0};

    restart(w);
    w->kit.disk.cached = false;
    for (unsigned i = 0; i < 4; i++)
        assert_false(summary_get(w->mailbox, &reads[i], &e, skit_done));
    for (unsigned i = 0; i < 4; i++) {
        skit_run(&w->kit, &reads[i].op);
        assert_int_equal(skit_status(&reads[i].op), STATUS_OK);
        assert_true(slice_eq(reads[i].summary, S("summary of m")));
    }
    for (unsigned i = 0; i < 4; i++)
        summary_release(&reads[i]);
    assert_true(summary_get(w->mailbox, &reads[0], &e, skit_done));
    summary_release(&reads[0]);
}

/* What the page cache has is there at once, and checked like anything else. */
static void small_ones_come_from_the_page_cache(void **state)
{
    struct world *w = *state;
    struct entry small = deliver(w, "small", 10000), large = deliver(w, "large", 200000),
                 bad = deliver(w, "bad", 3000);
    struct summary_read read = {0};
    struct slice got;

    restart(w);
    w->kit.disk.cached = true;
    skit_check_body(&w->kit, &large, "large", 200000); /* opens the file, for one */
    w->kit.disk.peeks = 0;
    skit_check_body(&w->kit, &small, "small", 10000);
    assert_int_equal(w->kit.disk.peeks, 1);
    assert_true(summary_get(w->mailbox, &read, &small, skit_done));
    assert_int_equal(w->kit.disk.peeks, 2);
    assert_true(slice_eq(read.summary, S("summary of small")));
    summary_release(&read);
    skit_check_body(&w->kit, &large, "large", 200000);
    assert_int_equal(w->kit.disk.peeks, 2);
    damage(w, &bad);
    assert_int_equal(skit_read(&w->kit, &bad, 0, UINT64_MAX, &got), STATUS_CORRUPT);
    free((char *)got.at);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(any_range_is_cut_to_the_message),
        TEST(what_is_lent_outlives_the_body),
        TEST(a_body_closes_early),
        TEST(damage_costs_one_message),
        TEST(a_place_of_something_else_gives_nothing),
        TEST(summaries_are_shared_by_all_who_ask),
        TEST(small_ones_come_from_the_page_cache),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
