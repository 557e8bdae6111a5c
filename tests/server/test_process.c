/* A process with a store: shards on threads, in every proportion, started and stopped. */
#include <stdlib.h>
#include <unistd.h>

#include "server/shard.h"
#include "server/thread_state.h"
#include "tests/server/server_test.h"

static char folder[64], data[96];
static unsigned want_threads, want_shards;

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/var/tmp/ringmail-test-process-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void with_store(struct process_conf *conf)
{
    conf->threads = want_threads;
    conf->shards = want_shards;
    conf->data = data;
    conf->store = (struct store_conf){.segment_bytes = 1 << 20,
        .recent_bytes = 4 << 20,
        .index_bytes = 4 << 20,
        .checkpoint_bytes = 4 << 20,
        .compact_percent = 150,
        .mailboxes_max = 100,
        .keywords_max = 64};
}

/* --- users opened through whatever thread owns them ----------------------- */

enum { USERS = 40 };

struct opening {
    struct user_open open;
    char name[64];
    _Atomic unsigned *landed;
    enum status status;
};

static struct opening openings[USERS];
static _Atomic unsigned landed;

static void on_open(struct store_op *op, enum status status)
{
    struct opening *o = container_of(op, struct opening, open.op);

    o->status = status;
    if (status == STATUS_OK)
        user_close(o->open.user);
    landed++;
}

/* Opens the users that belong here; `arg` says whether they are made. */
static void open_users(struct thread *t, void *arg)
{
    bool create = *(bool *)arg;

    for (unsigned i = 0; i < USERS; i++) {
        struct opening *o = &openings[i];
        struct slice name = slice_str(o->name);
        unsigned shard = shard_of_user(t, name);

        assert_int_equal(thread_of_shard(t, shard) == t, shard_store(t, shard) != NULL);
        assert_int_equal(
            thread_of_user(t, name) == t, thread_shard_here(t, name) != NULL);
        if (thread_of_user(t, name) != t)
            continue;
        o->open = (struct user_open){.op.done = on_open, .name = name, .create = create};
        user_open(shard_store(t, shard), &o->open);
    }
}

static void users_are_there(struct process *p, bool create)
{
    landed = 0;
    for (unsigned i = 0; i < USERS; i++)
        snprintf(openings[i].name, sizeof openings[i].name, "user%u@example.org", i);
    process_run_all(p, open_users, &create);
    assert_true(wait_for_count(&landed, USERS));
    for (unsigned i = 0; i < USERS; i++)
        assert_int_equal(openings[i].status, STATUS_OK);
}

/* Users made by one number of threads are found by another: the store decides. */
static void any_number_of_threads_serves_the_shards(void **state)
{
    static const struct {
        unsigned shards, threads[3];
    } cases[] = {{1, {3, 1, 2}}, {5, {2, 5, 1}}, {2, {4, 2, 3}}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(data, sizeof data, "%s/data-%zu", folder, i);
        want_shards = cases[i].shards;
        for (int round = 0; round < 3; round++) {
            struct process *p;

            want_threads = cases[i].threads[round];
            p = server_begin(with_store);
            assert_int_equal(process_shards(p), cases[i].shards);
            users_are_there(p, round == 0);
            server_end(p);
            want_shards = 0; /* from now on the store knows */
        }
    }
}

static void second_server_is_shut_out(void **state)
{
    struct process_conf conf = {0};
    struct process *p, *second;
    char why[512] = "";

    (void)state;
    snprintf(data, sizeof data, "%s/data-0", folder);
    want_threads = 2;
    want_shards = 0;
    p = server_begin(with_store);
    with_store(&conf);
    second = process_open(&conf, why, sizeof why);
    assert_non_null(second);
    assert_false(process_start(second, why, sizeof why));
    assert_non_null(strstr(why, "another ringmail"));
    assert_true(process_stop(second));
    want_shards = 7;
    with_store(&conf);
    server_end(p);
    second = process_open(&conf, why, sizeof why);
    assert_false(process_start(second, why, sizeof why));
    assert_non_null(strstr(why, "reshard"));
    process_stop(second);
}

/* What a thread waits for while it closes may bring the event of its last call. */
static void hear_of_it_late(struct thread *t)
{
    struct inbox *in = &t->state->inbox;
    uint64_t one = 1;

    assert_int_equal(write(in->event, &one, sizeof one), sizeof one);
    while (in->event_op.pending)
        thread_wait(t);
}

static void closing_late(struct process_conf *conf)
{
    conf->threads = 2;
    conf->thread_close = hear_of_it_late;
}

static void an_event_that_comes_while_it_closes(void **state)
{
    (void)state;
    server_end(server_begin(closing_late));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_threads_serves_the_shards),
        cmocka_unit_test(second_server_is_shut_out),
        cmocka_unit_test(an_event_that_comes_while_it_closes),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
