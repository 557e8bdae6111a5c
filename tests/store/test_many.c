/* Deliveries to many: what they cost in a turn, and what each user keeps of them. */
#include <stdio.h>

#include "tests/store/storekit.h"

enum { MANY = 300, MOST = 8000 };

struct many {
    struct store_target targets[MOST];
    char names[MOST][16];
    struct store_message m;
};

/* To users first .. first + count - 1 of skit's store. */
static void deliver_begin(struct skit *k, struct many *d, unsigned first, unsigned count)
{
    static const char body[] = "Subject: to many\r\n\r\n";

    *d = (struct many){.m = {.op.done = skit_done,
                           .head = slice_of(body, sizeof body - 1),
                           .size = sizeof body - 1,
                           .summary = S("summary"),
                           .targets = d->targets,
                           .target_count = count}};
    for (unsigned i = 0; i < count; i++) {
        snprintf(d->names[i], sizeof d->names[i], "u%u@x", first + i);
        d->targets[i].user = slice_str(d->names[i]);
    }
    store_message(k->store, &d->m);
}

static void deliver(struct skit *k, struct many *d, unsigned first, unsigned count)
{
    deliver_begin(k, d, first, count);
    skit_run(k, &d->m.op);
    assert_int_equal(skit_status(&d->m.op), STATUS_OK);
}

static struct user *open_user(struct skit *k, unsigned number)
{
    char name[16];

    snprintf(name, sizeof name, "u%u@x", number);
    return skit_open_user(k, name);
}

static uint32_t messages(struct skit *k, unsigned number)
{
    struct user *u = open_user(k, number);
    struct mailbox *m = skit_open_mailbox(k, u, "INBOX");
    uint32_t count = m->content->messages;

    mailbox_close(m);
    user_close(u);
    return count;
}

static void users_are_made_a_few_a_turn(void **state)
{
    struct skit *k = *state;
    static struct many d;
    uint64_t most = 0, before = 0, now;

    deliver_begin(k, &d, 0, MANY);
    while (d.m.op.pending) {
        now = k->store->heads.count;
        most = now - before > most ? now - before : most;
        before = now;
        skit_turn(k);
    }
    assert_int_equal(skit_status(&d.m.op), STATUS_OK);
    assert_int_equal(k->store->heads.count, MANY);
    assert_in_range(most, 1, MANY / 2);
    skit_crash(k, true);
    skit_open(k);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(messages(k, i), 1);
}

/* They are in no cache. Who is removed when he has been found, and whose place another
 * has taken, gets it as one who was not there. */
static void users_are_found_some_a_turn(void **state)
{
    struct skit *k = *state;
    static struct many d;
    unsigned most = 0, before = 0;

    deliver(k, &d, 0, MOST);
    deliver_begin(k, &d, 0, MOST);
    for (bool first = true; d.m.op.pending; first = false) {
        most = d.m.found - before > most ? d.m.found - before : most;
        before = d.m.found;
        if (first) {
            assert_in_range(before, 1, MOST / 2);
            assert_int_equal(skit_remove(k, "u0@x"), STATUS_OK);
            assert_int_equal(skit_remove(k, "u1@x"), STATUS_OK);
            assert_int_equal(skit_deliver(k, "new@x", NULL, "m", 100, NULL), STATUS_OK);
            assert_in_range(d.m.found, before, MOST - 1);
            before = d.m.found;
        } else {
            skit_turn(k);
        }
    }
    assert_int_equal(skit_status(&d.m.op), STATUS_OK);
    assert_in_range(most, 1, MOST / 2);
    for (unsigned i = 0; i < MOST; i += i < 4 ? 1 : 500)
        assert_int_equal(messages(k, i), i < 2 ? 1 : 2);
    assert_int_equal(k->store->heads.count, MOST + 1);
}

/* Logged in, with no mailbox open: what one of `count` keeps of deliveries to them. */
static uint64_t kept_of_each(struct skit *k, unsigned first, unsigned count)
{
    static struct many d;
    struct user *users[MANY];
    uint64_t before;

    deliver(k, &d, first, count);
    for (unsigned i = 0; i < count; i++)
        users[i] = open_user(k, first + i);
    skit_settle(k);
    before = k->store->index_used;
    for (int i = 0; i < 8; i++)
        deliver(k, &d, first, count);
    skit_settle(k);
    before = k->store->index_used - before;
    for (unsigned i = 0; i < count; i++)
        user_close(users[i]);
    return before / count;
}

static void nobody_keeps_what_others_get(void **state)
{
    struct skit *k = *state;
    uint64_t of_few = kept_of_each(k, 0, 4), of_many = kept_of_each(k, 1000, MANY);

    assert_in_range(of_few, 1, 100000);
    assert_in_range(of_many, of_few, 2 * of_few);
    assert_int_equal(messages(k, 0), 9);
    assert_int_equal(messages(k, 1000 + MANY - 1), 9);
}

/* Users with an even number are in memory. Those with an odd one come while the delivery
 * is being shown to the others, before and after their own turn. */
static void who_comes_meanwhile_sees_it_once(void **state)
{
    enum { USERS = 60 };
    struct skit *k = *state;
    static struct many d, later;
    static struct user_open opens[USERS];
    struct user *users[USERS];
    unsigned turns = 0;

    deliver(k, &d, 0, USERS);
    for (unsigned i = 0; i < USERS; i += 2)
        users[i] = open_user(k, i);
    skit_settle(k);
    k->store->turn_budget = 4;
    deliver_begin(k, &d, 0, USERS);
    deliver_begin(k, &later, 0, USERS);
    while (k->store->progress.target < USERS / 2 && d.m.op.pending)
        skit_turn(k);
    assert_in_range(k->store->progress.target, USERS / 2, USERS - 1);
    for (unsigned i = 1; i < USERS; i += 2) {
        opens[i] = (struct user_open){.op.done = skit_done, .name = d.targets[i].user};
        user_open(k->store, &opens[i]);
    }
    for (; d.m.op.pending; turns++)
        skit_turn(k);
    assert_true(turns > 1);
    for (unsigned i = 1; i < USERS; i += 2) {
        skit_run(k, &opens[i].op);
        assert_int_equal(skit_status(&opens[i].op), STATUS_OK);
        users[i] = opens[i].user;
    }
    skit_run(k, &later.m.op);
    assert_int_equal(skit_status(&d.m.op), STATUS_OK);
    assert_int_equal(skit_status(&later.m.op), STATUS_OK);
    for (unsigned i = 0; i < USERS; i++) {
        assert_int_equal(messages(k, i), 3);
        user_close(users[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, skit_start, skit_stop)
    const struct CMUnitTest tests[] = {
        TEST(users_are_made_a_few_a_turn),
        TEST(users_are_found_some_a_turn),
        TEST(nobody_keeps_what_others_get),
        TEST(who_comes_meanwhile_sees_it_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
