/* Connections whose sends lend their bytes to the kernel: what is lent comes back once,
 * after the kernel has let go of it, however the connection goes on or ends. A small
 * receive buffer that nobody reads keeps the bytes lent for as long as a test wants. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/server/server_test.h"

enum { LENT = 100000 };

static void zero_copy(struct process_conf *conf)
{
    conf->zero_copy = 16 << 10;
}

static struct thread_stats stats_of(struct process *p)
{
    struct thread_stats sum = {0};

    for (unsigned i = 0; i < process_threads(p); i++) {
        struct thread_stats one;

        process_stats(p, i, &one);
        for (unsigned k = 0; k < THREAD_STAT_COUNT; k++)
            sum.values[k] += one.values[k];
    }
    return sum;
}

static void moment(void)
{
    struct timespec ts = {0, 50000000};

    nanosleep(&ts, NULL);
}

/* A client whose window closes early. */
static int narrow_client(void)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(server_ports[PORT_PLAIN])};
    struct timeval ten = {10, 0};
    int few = 16384, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &ten, sizeof ten);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    return fd;
}

/* Its socket has taken LENT octets, which the peer does not have. */
static int with_lent_bytes(struct process *p)
{
    int fd = narrow_client();

    assert_line(fd, "hello\n");
    client_send(fd, "lend 100000\n");
    for (int i = 0; i < 100 && stats_of(p).sends_zero_copy == 0; i++)
        moment();
    assert_int_equal(stats_of(p).sends_zero_copy, 1);
    assert_int_equal(stats_of(p).sends_copied, 0);
    assert_int_equal(echo_lent, 1);
    return fd;
}

static void assert_lent_bytes(int fd, size_t len)
{
    char *got = malloc(len + 1);

    assert_true(client_read(fd, got, len + 1));
    for (size_t i = 0; i < len; i++)
        assert_int_equal(got[i], 'a' + (int)(i % 26));
    assert_int_equal(got[len], '\n');
    free(got);
}

/* Loopback copies: the first send says so, and there are few more. */
static void a_connection_that_copies_soon_copies_itself(void **state)
{
    struct process *p = server_begin(zero_copy);
    int fd = client_open(PORT_PLAIN);
    struct thread_stats first, last;

    (void)state;
    assert_line(fd, "hello\n");
    client_send(fd, "lend 15000\n");
    assert_lent_bytes(fd, 15000);
    assert_int_equal(stats_of(p).sends_zero_copy, 0);
    client_send(fd, "lend 200000\ntext\n");
    assert_lent_bytes(fd, 200000);
    assert_line(fd, "text\n");
    assert_true(wait_for_count(&echo_lent, 0));
    first = stats_of(p);
    assert_int_equal(first.sends_zero_copy, 1);
    assert_int_equal(first.sends_copied, 1);
    for (int i = 0; i < 20; i++) {
        client_send(fd, "lend 200000\nbig 200\nlend 70000\n");
        assert_lent_bytes(fd, 200000);
        for (int k = 0; k < 200; k++)
            assert_int_equal(strlen(client_line(fd)), 1024);
        assert_lent_bytes(fd, 70000);
    }
    last = stats_of(p);
    assert_int_equal(last.sends_zero_copy, 1);
    assert_true(last.bytes_out - first.bytes_out >= 20 * (270002 + 200 * 1024));
    close(fd);
    server_end(p);
}

/* The next send does not wait until the bytes of the last one are let go, the end does.
 */
static void more_follows_what_is_lent(void **state)
{
    struct process *p = server_begin(zero_copy);
    int fd = with_lent_bytes(p);

    (void)state;
    client_send(fd, "who\nlend 20000\nlend 5000\nquit\n");
    for (int i = 0; i < 100 && stats_of(p).sends_zero_copy < 2; i++)
        moment();
    assert_int_equal(stats_of(p).sends_zero_copy, 2);
    moment();
    assert_int_equal(echo_closed, 0);
    assert_lent_bytes(fd, LENT);
    assert_int_equal(strncmp(client_line(fd), "thread ", 7), 0);
    assert_lent_bytes(fd, 20000);
    assert_lent_bytes(fd, 5000);
    assert_line(fd, "bye\n");
    assert_true(client_at_end(fd));
    close(fd);
    server_end(p);
}

/* To both threads, one of which is another. */
static void a_move_waits_for_what_is_lent(void **state)
{
    struct process *p = server_begin(zero_copy);
    int fd = with_lent_bytes(p);

    (void)state;
    client_send(fd, "move 0\nwho\nmove 1\nlend 50000\nwho\n");
    moment();
    assert_int_equal(stats_of(p).connections_moved, 0);
    assert_lent_bytes(fd, LENT);
    assert_line(fd, "moved 0\n");
    assert_line(fd, "thread 0\n");
    assert_line(fd, "moved 1\n");
    assert_lent_bytes(fd, 50000);
    assert_line(fd, "thread 1\n");
    close(fd);
    server_end(p);
}

/* By the peer, by the session, by the end of the server: nothing stays lent. */
static void endings_get_back_what_is_lent(void **state)
{
    static const struct linger reset = {1, 0};

    (void)state;
    for (int how = 0; how < 4; how++) {
        struct process *p = server_begin(zero_copy);
        int fd = with_lent_bytes(p);

        switch (how) {
        case 0:
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(fd);
            break;
        case 1:
            close(fd); /* over unread bytes: a reset too */
            break;
        case 2:
            client_send(fd, "abort\n");
            break;
        default:
            client_send(fd, "lend 50000\n");
            server_end(p);
            close(fd);
            continue;
        }
        assert_true(wait_for_connections(p, 0));
        assert_int_equal(echo_lent, 0);
        assert_int_equal(stats_of(p).buffered, 0);
        if (how == 2)
            close(fd);
        server_end(p);
    }
}

static void impatient(struct process_conf *conf)
{
    zero_copy(conf);
    conf->write_s = 1;
}

/* Its socket has all of it, so only the peer can be what takes nothing. */
static void a_peer_that_takes_nothing_is_cut_off(void **state)
{
    struct process *p = server_begin(impatient);
    int fd = with_lent_bytes(p);

    (void)state;
    assert_true(wait_for_count(&echo_closed, 1));
    assert_int_equal(echo_last_error, ETIMEDOUT);
    close(fd);
    server_end(p);
}

/* --- where it can't be ---------------------------------------------------- */

/* RLIMIT_MEMLOCK binds ordinary users only; the rings are made before it is in the way.
 */
static void serve_without_locked_memory(void)
{
    struct rlimit none = {0, 0};
    struct process *p;
    int fd;

    if (getuid() == 0)
        assert_int_equal(setresuid(65534, 65534, 65534), 0);
    p = server_begin(zero_copy);
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    fd = client_open(PORT_PLAIN);
    assert_line(fd, "hello\n");
    for (int i = 0; i < 3; i++) {
        client_send(fd, "text\nlend 200000\nlend 100000\n");
        assert_line(fd, "text\n");
        assert_lent_bytes(fd, 200000);
        assert_lent_bytes(fd, 100000);
    }
    client_send(fd, "quit\n");
    assert_line(fd, "bye\n");
    assert_int_equal(stats_of(p).sends_zero_copy, 0);
    close(fd);
    server_end(p);
}

static void without_locked_memory_it_copies(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        serve_without_locked_memory();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static char folder[] = "/tmp/ringmail-test-zero-copy-XXXXXX", local_path[64];

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

static void local(struct process_conf *conf)
{
    struct listener *l = &conf->listeners[PORT_TLS];

    zero_copy(conf);
    l->implicit_tls = false;
    l->address = (struct address){.family = AF_UNIX};
    snprintf(l->path, sizeof l->path, "%s", local_path);
}

static void on_a_local_socket_it_copies(void **state)
{
    struct process *p = server_begin(local);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    snprintf(un.sun_path, sizeof un.sun_path, "%s", local_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof un), 0);
    assert_line(fd, "hello\n");
    client_send(fd, "lend 200000\nlend 100000\nquit\n");
    assert_lent_bytes(fd, 200000);
    assert_lent_bytes(fd, 100000);
    assert_line(fd, "bye\n");
    assert_int_equal(stats_of(p).sends_zero_copy, 0);
    close(fd);
    server_end(p);
}

static unsigned said_off;

static void count_off(int level, const char *event, const char *text)
{
    said_off += strcmp(event, "zero-copy-off") == 0;
    if (level < 5)
        fprintf(stderr, "%s %s\n", event, text);
}

static void as_on_an_old_kernel(struct process_conf *conf)
{
    zero_copy(conf);
    conf->ring_minimal = true;
    conf->log = count_off;
}

static void on_an_old_kernel_it_says_so_and_copies(void **state)
{
    struct process *p = server_begin(as_on_an_old_kernel);
    int fd = client_open(PORT_PLAIN);

    (void)state;
    assert_int_equal(said_off, 1);
    assert_line(fd, "hello\n");
    client_send(fd, "lend 200000\n");
    assert_lent_bytes(fd, 200000);
    assert_int_equal(stats_of(p).sends_zero_copy, 0);
    close(fd);
    server_end(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_that_copies_soon_copies_itself),
        cmocka_unit_test(more_follows_what_is_lent),
        cmocka_unit_test(a_move_waits_for_what_is_lent),
        cmocka_unit_test(endings_get_back_what_is_lent),
        cmocka_unit_test(a_peer_that_takes_nothing_is_cut_off),
        cmocka_unit_test(without_locked_memory_it_copies),
        cmocka_unit_test(on_a_local_socket_it_copies),
        cmocka_unit_test(on_an_old_kernel_it_says_so_and_copies),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
