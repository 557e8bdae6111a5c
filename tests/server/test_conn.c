/* Connections over loopback, in clear: whatever the network does, the dialogue is the
 * same and nothing is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/conn_state.h"
#include "tests/server/server_test.h"

static void same_dialogue_at_every_split(void **state)
{
    static const char text[] = "one\ntwo two\nwho\nwait\nthree\nlend 5000\nquit\n";
    struct process *p = server_begin(NULL);

    (void)state;
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        char lent[5001];
        int fd = client_open(PORT_PLAIN);

        client_send_bytes(fd, text, cut);
        assert_line(fd, "hello\n");
        client_send_bytes(fd, text + cut, sizeof text - 1 - cut);
        assert_line(fd, "one\n");
        assert_line(fd, "two two\n");
        assert_int_equal(strncmp(client_line(fd), "thread ", 7), 0);
        assert_line(fd, "done\n");
        assert_line(fd, "three\n");
        assert_true(client_read(fd, lent, sizeof lent));
        assert_memory_equal(lent, "abcdefghijklmnopqrstuvwxyzabcd", 30);
        assert_line(fd, "bye\n");
        assert_true(client_at_end(fd));
        close(fd);
    }
    server_end(p);
}

static void last_reply_survives_unread_input(void **state)
{
    struct process *p = server_begin(NULL);

    (void)state;
    for (int i = 0; i < 200; i++) {
        int fd = client_open(PORT_PLAIN);

        client_send(fd, "quit\nmore that nobody reads\nand more\n");
        assert_line(fd, "hello\n");
        client_send(fd, "still more\n");
        assert_line(fd, "bye\n");
        assert_true(client_at_end(fd));
        close(fd);
    }
    server_end(p);
}

/* Whoever says goodbye need not close first; after a close of the server's own accord the
 * peer may have more to say, and is not told off for it. */
static void parting_waits_for_nobody(void **state)
{
    struct process *p = server_begin(NULL);
    int waits = client_open(PORT_PLAIN), parts = client_open(PORT_PLAIN);

    (void)state;
    assert_line(waits, "hello\n");
    assert_line(parts, "hello\n");
    client_send(waits, "quit\n");
    assert_line(waits, "bye\n");
    assert_true(client_at_end(waits));
    client_send(parts, "big 20\npart\n");
    for (int i = 0; i < 20; i++)
        assert_int_equal(strlen(client_line(parts)), 1024);
    assert_line(parts, "bye\n");
    assert_true(client_at_end(parts));
    assert_true(wait_for_connections(p, 1));
    for (int i = 0; i < 10; i++)
        client_send(waits, "still there\n");
    close(parts);
    close(waits);
    server_end(p);
}

static void half_closed_peer_gets_its_replies(void **state)
{
    struct process *p = server_begin(NULL);
    int fd = client_open(PORT_PLAIN);

    (void)state;
    client_send(fd, "big 2000\nend\n");
    shutdown(fd, SHUT_WR);
    assert_line(fd, "hello\n");
    for (int i = 0; i < 2000; i++)
        assert_int_equal(strlen(client_line(fd)), 1024);
    assert_line(fd, "end\n");
    assert_true(client_at_end(fd));
    close(fd);
    server_end(p);
}

/* Each "wait" is answered by a run of its own, several of them in one turn; no later
 * answer waits until something else wakes the thread. */
static void answers_of_one_turn_all_go_out(void **state)
{
    struct process *p = server_begin(NULL);
    int fd = client_open(PORT_PLAIN);

    (void)state;
    assert_line(fd, "hello\n");
    for (int i = 0; i < 100; i++) {
        client_send(fd, "wait\nwait\nwait\nwait\n");
        for (int k = 0; k < 4; k++)
            assert_line(fd, "done\n");
    }
    client_send(fd, "quit\n");
    assert_line(fd, "bye\n");
    close(fd);
    server_end(p);
}

static uint64_t buffered(struct process *p)
{
    struct timespec moment = {0, 3000000};
    uint64_t sum = 0;

    nanosleep(&moment, NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct thread_stats stats;

        process_stats(p, i, &stats);
        sum += stats.buffered;
    }
    return sum;
}

/* A peer that does not read costs its high-water mark, not the whole reply. */
static void congestion_bounds_memory(void **state)
{
    struct process *p = server_begin(NULL);
    int fd = client_open(PORT_PLAIN);
    char *all = malloc(30000 * 1024);
    unsigned waits = 0;

    (void)state;
    assert_line(fd, "hello\n");
    client_send(fd, "big 30000\nend\n");
    while (buffered(p) == 0)
        assert_true(++waits < 2500);
    for (int i = 0; i < 100; i++)
        assert_true(buffered(p) < 700 * 1024);
    assert_true(client_read(fd, all, 30000 * 1024));
    for (size_t i = 0; i < 30000; i++)
        assert_int_equal(all[i * 1024 + 1023], '\n');
    assert_line(fd, "end\n");
    client_send(fd, "quit\n");
    assert_line(fd, "bye\n");
    free(all);
    close(fd);
    server_end(p);
}

static void bulk_input_arrives_whole(void **state)
{
    enum { BYTES = 20 << 20 };
    struct process *p = server_begin(NULL);
    char *body = malloc(BYTES), line[64];
    uint64_t sum = 0;
    int fd = client_open(PORT_PLAIN);

    (void)state;
    for (size_t i = 0; i < BYTES; i++)
        body[i] = (char)(i * 31 >> 3);
    assert_line(fd, "hello\n");
    for (int round = 0; round < 3; round++) {
        size_t bytes = round == 1 ? 100 : BYTES;

        sum = echo_sum(body, bytes, 0);
        snprintf(line, sizeof line, "sink %zu\n", bytes);
        client_send(fd, line);
        client_send_bytes(fd, body, bytes);
        client_send(fd, "after\n");
        snprintf(line, sizeof line, "sum %llu\n", (unsigned long long)sum);
        assert_line(fd, line);
        assert_line(fd, "after\n");
    }
    client_send(fd, "quit\n");
    assert_line(fd, "bye\n");
    close(fd);
    free(body);
    server_end(p);
}

/* It is not moved to ever larger memory, and counts as what it has touched. */
static void bulk_input_that_waits_stays_where_it_is(void **state)
{
    static char bytes[RING_BIG_BYTES];
    static struct thread t;
    struct conn c = {.thread = &t, .flags = CONN_BIG};
    const struct conn_input *input;

    (void)state;
    assert_true(conn_stash(&c, slice_of(bytes, sizeof bytes)));
    input = c.input;
    for (unsigned i = 0; i < BIG_BUFFERS; i++)
        assert_true(conn_stash(&c, slice_of(bytes, sizeof bytes)));
    assert_ptr_equal(c.input, input);
    assert_int_equal(t.stats.buffered, (BIG_BUFFERS + 1) * sizeof bytes);
    for (unsigned i = 0; i < 3 * BIG_BUFFERS; i++) {
        conn_unstash(&c, sizeof bytes);
        assert_true(conn_stash(&c, slice_of(bytes, sizeof bytes)));
    }
    assert_ptr_equal(c.input, input);
    assert_in_range(t.stats.buffered, (BIG_BUFFERS + 1) * sizeof bytes,
        (BIG_BUFFERS + 2) * sizeof bytes);
    conn_drop_input(&c);
    assert_int_equal(t.stats.buffered, 0);
}

static void moves_keep_everything(void **state)
{
    struct process *p = server_begin(NULL);
    char line[64];

    (void)state;
    for (int i = 0; i < 50; i++) {
        int fd = client_open(PORT_PLAIN);

        assert_line(fd, "hello\n");
        client_send(fd, "move 0\nwho\nmove 1\nwho\nmove 1\nhalf");
        assert_line(fd, "moved 0\n");
        assert_line(fd, "thread 0\n");
        assert_line(fd, "moved 1\n");
        assert_line(fd, "thread 1\n");
        assert_line(fd, "moved 1\n");
        client_send(fd, "line\n");
        assert_line(fd, "halfline\n");
        for (int n = 0; n < 20; n++) {
            snprintf(line, sizeof line, "move %d\nline %d\n", n % 2, n);
            client_send(fd, line);
        }
        for (int n = 0; n < 20; n++) {
            snprintf(line, sizeof line, "moved %d\n", n % 2);
            assert_line(fd, line);
            snprintf(line, sizeof line, "line %d\n", n);
            assert_line(fd, line);
        }
        client_send(fd, "quit\n");
        assert_line(fd, "bye\n");
        close(fd);
    }
    server_end(p);
}

struct loader {
    pthread_t thread;
    int failed;
};

/* Sends moves and lines without waiting, half of it in small pieces. */
static void *load_with_moves(void *arg)
{
    struct loader *l = arg;
    char text[64], line[64];

    for (int round = 0; round < 10; round++) {
        int fd = client_open(PORT_PLAIN);

        for (int i = 0; i < 200; i++) {
            int n = snprintf(text, sizeof text, "%s%d\nmove %d\n", "text ", i, i % 2);

            if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
                l->failed = 1;
        }
        if (strcmp(client_line(fd), "hello\n") != 0)
            l->failed = 2;
        for (int i = 0; i < 200 && !l->failed; i++) {
            snprintf(line, sizeof line, "text %d\n", i);
            if (strcmp(client_line(fd), line) != 0)
                l->failed = 3;
            snprintf(line, sizeof line, "moved %d\n", i % 2);
            if (strcmp(client_line(fd), line) != 0)
                l->failed = 4;
        }
        close(fd);
    }
    return NULL;
}

static void moves_under_load(void **state)
{
    struct process *p = server_begin(NULL);
    struct loader loaders[4] = {0};

    (void)state;
    for (int i = 0; i < 4; i++)
        pthread_create(&loaders[i].thread, NULL, load_with_moves, &loaders[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(loaders[i].thread, NULL);
        assert_int_equal(loaders[i].failed, 0);
    }
    assert_true(wait_for_connections(p, 0));
    server_end(p);
}

static void reset_fd(int fd)
{
    struct linger reset = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* That of a connection which is counted no more is closed at the end of the turn. */
static bool wait_for_descriptors(unsigned wanted)
{
    struct timespec moment = {0, 2000000};

    for (int i = 0; i < 2500 && open_descriptors() != wanted; i++)
        nanosleep(&moment, NULL);
    return open_descriptors() == wanted;
}

/* Matrix O05: no descriptor, buffer or session is left behind. */
static void connect_and_reset_leaves_nothing(void **state)
{
    struct process *p = server_begin(NULL);
    unsigned before = open_descriptors();
    uint64_t buffered = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int fd = client_open(PORT_PLAIN);

        if (i % 4 == 1)
            client_send(fd, "big 10000\n");
        if (i % 4 == 2)
            client_send(fd, "lend 100000\nlend 100000\nmove 1\nmove 0\n");
        if (i % 4 == 3)
            client_send(fd, "half a line");
        reset_fd(fd);
    }
    assert_true(wait_for_connections(p, 0));
    assert_int_equal(echo_lent, 0);
    assert_true(wait_for_descriptors(before));
    for (unsigned i = 0; i < 2; i++) {
        struct thread_stats stats;

        process_stats(p, i, &stats);
        buffered += stats.buffered;
    }
    assert_int_equal(buffered, 0);
    server_end(p);
}

/* Whatever a client thinks of, from a seed that a failure prints. */
struct mad {
    pthread_t thread;
    unsigned seed;
};

static void act_madly(int fd, unsigned *seed)
{
    static const char *const words[] = {"who\n", "big %u\n", "lend %u\n", "move %u\n",
        "wait\n", "text\n", "sink %u\n", "lent\n", "hal", "quit\n", "abort\n",
        "timeout %u\n", "part\n"};
    char text[64], back[2000];
    unsigned n = (unsigned)rand_r(seed) % 13, size = (unsigned)rand_r(seed) % 3000;

    if (n == 3)
        size %= 2;
    else if (n == 11)
        size = 1 + size % 3;
    snprintf(text, sizeof text, words[n], size);
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
    if (rand_r(seed) % 2)
        (void)!recv(fd, back, sizeof back, MSG_DONTWAIT);
}

static void *be_mad(void *arg)
{
    struct mad *m = arg;

    for (int round = 0; round < 150; round++) {
        int fd = client_open(PORT_PLAIN);

        for (unsigned i = (unsigned)rand_r(&m->seed) % 12; i; i--)
            act_madly(fd, &m->seed);
        switch (rand_r(&m->seed) % 3) {
        case 0:
            reset_fd(fd);
            break;
        case 1:
            shutdown(fd, SHUT_WR);
            close(fd);
            break;
        default:
            close(fd);
        }
    }
    return NULL;
}

static void madness_leaves_nothing(void **state)
{
    struct process *p = server_begin(NULL);
    unsigned before = open_descriptors();
    unsigned seed = (unsigned)time(NULL);
    struct mad m[4];

    (void)state;
    printf("seed %u\n", seed);
    for (unsigned i = 0; i < 4; i++) {
        m[i].seed = seed + i;
        pthread_create(&m[i].thread, NULL, be_mad, &m[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(m[i].thread, NULL);
    assert_true(wait_for_connections(p, 0));
    assert_int_equal(echo_lent, 0);
    assert_int_equal(echo_opened, echo_closed);
    assert_true(wait_for_descriptors(before));
    server_end(p);
}

static void few_receive_buffers(struct process_conf *conf)
{
    conf->receive_buffers = 4;
    conf->receive_buffer_bytes = 256;
    conf->ring_completions = 16;
    conf->ring_entries = 8;
}

/* Matrix O10, O12: with four receive buffers and a tiny completion queue. */
static void scarce_resources_slow_but_do_not_break(void **state)
{
    enum { CLIENTS = 60 };
    struct process *p = server_begin(few_receive_buffers);
    int fd[CLIENTS];
    char text[6001], back[6001];

    (void)state;
    memset(text, 't', sizeof text);
    text[6000] = '\n';
    for (int i = 0; i < CLIENTS; i++)
        fd[i] = client_open(PORT_PLAIN);
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < CLIENTS; i++)
            client_send_bytes(fd[i], text, sizeof text);
    for (int i = 0; i < CLIENTS; i++) {
        assert_line(fd[i], "hello\n");
        for (int round = 0; round < 5; round++) {
            assert_true(client_read(fd[i], back, sizeof back));
            assert_memory_equal(back, text, sizeof text);
        }
        close(fd[i]);
    }
    assert_true(wait_for_connections(p, 0));
    server_end(p);
}

static void deadlines_are_kept(void **state)
{
    struct process *p = server_begin(NULL);
    int fd = client_open(PORT_PLAIN);
    int64_t begin = clock_monotonic_ns();

    (void)state;
    assert_line(fd, "hello\n");
    client_send(fd, "timeout 1\n");
    assert_line(fd, "late\n"); /* or the receive timeout would be over */
    assert_true(client_at_end(fd));
    assert_true(clock_monotonic_ns() - begin > 900000000);
    close(fd);
    server_end(p);
}

static void short_writes(struct process_conf *conf)
{
    conf->write_s = 3;
}

/* Takes 30000 KiB, part by part. False: it was cut off before. */
static bool takes_slowly(int fd, char *part, int64_t *longest_ns)
{
    struct timespec while_ = {0, 100000000};
    int64_t since = clock_monotonic_ns(), now;
    bool more = true;

    *longest_ns = 0;
    for (int i = 0; i < 15 && more; i++) {
        more = client_read(fd, part, 2000 * 1024);
        now = clock_monotonic_ns();
        if (now - since > *longest_ns)
            *longest_ns = now - since;
        since = now;
        nanosleep(&while_, NULL);
    }
    return more;
}

/* Matrix O03: a peer that reads nothing is cut off; one that reads slowly is not, unless
 * the machine stands still for so long that the server is right: then another one tries.
 */
static void peer_that_takes_nothing_is_cut_off(void **state)
{
    struct process *p = server_begin(short_writes);
    int deaf = client_open(PORT_PLAIN), slow;
    char *part = malloc(2 << 20);
    int64_t longest_ns;
    unsigned tries = 0;

    (void)state;
    client_send(deaf, "big 30000\n");
    for (;;) {
        slow = client_open(PORT_PLAIN);
        client_send(slow, "timeout 1\nbig 30000\n");
        assert_line(slow, "hello\n");
        tries++;
        if (takes_slowly(slow, part, &longest_ns))
            break;
        assert_true(longest_ns > 1500000000 && tries < 10);
        close(slow);
    }
    assert_int_equal(part[2000 * 1024 - 1], '\n');
    assert_line(slow, "late\n");
    assert_true(wait_for_connections(p, 0));
    assert_int_equal(echo_closed, 1 + tries);
    free(part);
    close(deaf);
    close(slow);
    server_end(p);
}

static char folder[] = "/tmp/ringmail-test-conn-XXXXXX", local_path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(local_path, sizeof local_path, "%s/socket", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(local_path);
    return rmdir(folder);
}

static void other_families(struct process_conf *conf)
{
    struct listener *six = &conf->listeners[0], *local = &conf->listeners[1];

    assert_true(address_parse(S("[::1]:0"), &six->address));
    local->implicit_tls = false;
    local->address = (struct address){.family = AF_UNIX};
    snprintf(local->path, sizeof local->path, "%s", local_path);
}

static void greet_and_quit(int fd, const struct sockaddr *sa, socklen_t len)
{
    assert_int_equal(connect(fd, sa, len), 0);
    assert_line(fd, "hello\n");
    client_send(fd, "text\nmove 1\nquit\n");
    assert_line(fd, "text\n");
    assert_line(fd, "moved 1\n");
    assert_line(fd, "bye\n");
    assert_true(client_at_end(fd));
    close(fd);
}

static void ipv6_and_local_sockets(void **state)
{
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct process *p;
    int fd;

    (void)state;
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&in6, sizeof in6) != 0)
        skip();
    close(fd);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", local_path);
    for (int round = 0; round < 2; round++) {
        /* A socket file left over from a crash is in nobody's way. */
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
        close(fd);
        p = server_begin(other_families);
        in6.sin6_port = htons(server_ports[0]);
        greet_and_quit(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0),
            (struct sockaddr *)&in6, sizeof in6);
        greet_and_quit(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
            (struct sockaddr *)&un, sizeof un);
        server_end(p);
        assert_int_equal(access(local_path, F_OK), -1);
    }
}

static void few_connections(struct process_conf *conf)
{
    conf->connections_max = 5;
}

static void few_by_address(struct process_conf *conf)
{
    conf->per_address_max = 3;
}

static void limit_holds(void (*change)(struct process_conf *), int max)
{
    struct process *p = server_begin(change);
    int fd[16];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < max; i++) {
            fd[i] = client_open(PORT_PLAIN);
            assert_line(fd[i], "hello\n");
        }
        for (int i = 0; i < 3; i++) {
            int over = client_open(PORT_PLAIN);

            assert_line(over, "421 busy\n");
            assert_true(client_at_end(over));
            close(over);
        }
        assert_true(wait_for_connections(p, (uint64_t)max));
        for (int i = 0; i < max; i++)
            close(fd[i]);
        assert_true(wait_for_connections(p, 0));
    }
    server_end(p);
}

static void limits_of_connections_hold(void **state)
{
    (void)state;
    limit_holds(few_connections, 5);
    limit_holds(few_by_address, 3);
}

static unsigned descriptors_of_a_server(void)
{
    unsigned before = open_descriptors(), with;
    struct process *p = server_begin(NULL);

    with = open_descriptors();
    server_end(p);
    return with - before;
}

static void connect_to(int fd, unsigned port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(server_ports[port])};
    struct timeval second = {1, 0};

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
}

/* Matrix O08: out of descriptors nothing spins, peers are dropped, and it recovers. An
 * armed accept knows the limit it was armed under, so it is set before. */
static void lack_of_descriptors_is_survived(void **state)
{
    enum { CLIENTS = 30, ROOM = 10 };
    unsigned needed = descriptors_of_a_server();
    struct rlimit before, few;
    struct thread_stats stats[2];
    struct process *p;
    int fd[CLIENTS], dropped = 0;
    char byte;

    (void)state;
    for (int i = 0; i < CLIENTS; i++)
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = open_descriptors() + needed + ROOM;
    setrlimit(RLIMIT_NOFILE, &few);
    p = server_begin(NULL);
    for (int i = 0; i < CLIENTS; i++)
        connect_to(fd[i], PORT_PLAIN);
    for (int i = 0; i < CLIENTS; i++)
        dropped += recv(fd[i], &byte, 1, 0) == 0;
    for (unsigned i = 0; i < 2; i++)
        process_stats(p, i, &stats[i]);
    assert_in_range(dropped, CLIENTS - ROOM - 2, CLIENTS - ROOM + 2);
    assert_in_range(stats[0].descriptors_short + stats[1].descriptors_short, 1, 60);
    for (int i = 0; i < CLIENTS; i++)
        close(fd[i]);
    assert_true(wait_for_connections(p, 0));
    for (int i = 0; i < 20; i++) {
        int again = client_open(PORT_PLAIN);

        assert_line(again, "hello\n");
        close(again);
    }
    server_end(p);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void stop_tells_the_sessions(void **state)
{
    struct process *p = server_begin(NULL);
    int fd[10];

    (void)state;
    for (int i = 0; i < 10; i++) {
        fd[i] = client_open(PORT_PLAIN);
        assert_line(fd[i], "hello\n");
    }
    client_send(fd[0], "big 20000\n"); /* one that never reads is cut off */
    server_end(p);
    for (int i = 1; i < 10; i++) {
        assert_line(fd[i], "stopping\n");
        assert_true(client_at_end(fd[i]));
        close(fd[i]);
    }
    close(fd[0]);
    assert_int_equal(echo_stopped, 10);
}

static void port_in_use_is_named(void **state)
{
    struct process *p = server_begin(NULL);
    struct listener again = {.calls = &echo_calls, .text = "127.0.0.1:taken"};
    struct process_conf conf = {.threads = 1, .listeners = &again, .listener_count = 1};
    char why[512] = "";

    (void)state;
    assert_true(address_parse(S("127.0.0.1:1"), &again.address));
    again.address.port = server_ports[PORT_PLAIN];
    assert_null(process_open(&conf, why, sizeof why));
    printf("%s\n", why);
    assert_non_null(strstr(why, "127.0.0.1:taken"));
    assert_non_null(strstr(why, "in use"));
    server_end(p);
}

/* Nothing but the session stays with a connection that has spoken and is silent now. */
static void idle_connections_cost_little(void **state)
{
    enum { COUNT = 1500, WARM = 300 };
    struct process *p = server_begin(NULL);
    static int fd[COUNT];
    size_t before = 0, each;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        if (i == WARM)
            before = heap_in_use();
        fd[i] = client_open(PORT_PLAIN);
        client_send(fd[i], "text\n");
        assert_line(fd[i], "hello\n");
        assert_line(fd[i], "text\n");
    }
    each = (heap_in_use() - before) / (COUNT - WARM);
    printf("idle: %zu bytes a connection, of them struct conn %zu\n", each,
        sizeof(struct conn));
    assert_true(sizeof(struct conn) <= 304);
    assert_true(each < 1024);
    for (unsigned i = 0; i < 2; i++) {
        struct thread_stats stats;

        process_stats(p, i, &stats);
        assert_int_equal(stats.buffered, 0);
    }
    for (int i = 0; i < COUNT; i++)
        close(fd[i]);
    assert_true(wait_for_connections(p, 0));
    server_end(p);
}

static void minimal(struct process_conf *conf)
{
    conf->ring_minimal = true;
}

static void all_works_without_optional_features(void **state)
{
    struct process *p = server_begin(minimal);
    int fd = client_open(PORT_PLAIN);

    (void)state;
    assert_string_equal(process_ring_features(p), "");
    assert_line(fd, "hello\n");
    client_send(fd, "move 0\nmove 1\ntext\nquit\n");
    assert_line(fd, "moved 0\n");
    assert_line(fd, "moved 1\n");
    assert_line(fd, "text\n");
    assert_line(fd, "bye\n");
    close(fd);
    server_end(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_dialogue_at_every_split),
        cmocka_unit_test(last_reply_survives_unread_input),
        cmocka_unit_test(parting_waits_for_nobody),
        cmocka_unit_test(half_closed_peer_gets_its_replies),
        cmocka_unit_test(answers_of_one_turn_all_go_out),
        cmocka_unit_test(congestion_bounds_memory),
        cmocka_unit_test(bulk_input_arrives_whole),
        cmocka_unit_test(bulk_input_that_waits_stays_where_it_is),
        cmocka_unit_test(moves_keep_everything),
        cmocka_unit_test(moves_under_load),
        cmocka_unit_test(connect_and_reset_leaves_nothing),
        cmocka_unit_test(madness_leaves_nothing),
        cmocka_unit_test(scarce_resources_slow_but_do_not_break),
        cmocka_unit_test(deadlines_are_kept),
        cmocka_unit_test(peer_that_takes_nothing_is_cut_off),
        cmocka_unit_test(ipv6_and_local_sockets),
        cmocka_unit_test(limits_of_connections_hold),
        cmocka_unit_test(lack_of_descriptors_is_survived),
        cmocka_unit_test(stop_tells_the_sessions),
        cmocka_unit_test(port_in_use_is_named),
        cmocka_unit_test(idle_connections_cost_little),
        cmocka_unit_test(all_works_without_optional_features),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
