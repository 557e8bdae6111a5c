/* test_user_command.c -- ringmail user, without a server and with a made-up one. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/server/admin_support.h"

#include "server/command.h"
#include "server/control.h"
#include "server/file.h"
#include "server/password.h"

const struct command *const commands[] = {&command_user, NULL};

static char folder[64], said[4096];

/* --- one run of the command --------------------------------------------- */

static int redirect(int fd, const char *path, int flags)
{
    int saved = dup(fd), file = open(path, flags, 0600);

    assert_true(saved >= 0 && file >= 0);
    fflush(NULL);
    dup2(file, fd);
    close(file);
    return saved;
}

static void restore(int fd, int saved)
{
    fflush(NULL);
    dup2(saved, fd);
    close(saved);
}

static char *path_of(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, 128, "%s/%s", folder, name);
    return path;
}

static void put_file(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char *get_file(const char *name)
{
    static char text[8192];
    struct file_bytes bytes;

    if (!file_read(path_of(name), sizeof text - 1, &bytes))
        return "";
    memcpy(text, bytes.text.at, bytes.text.len);
    text[bytes.text.len] = 0;
    file_release(&bytes);
    return text;
}

/* Runs `ringmail user WORDS --data FOLDER`; what it prints is in `said`. */
static int user(const char *words, const char *input)
{
    char copy[256], data[128], *argv[16];
    int argc = 0, saved_in, saved_out, saved_err, status;

    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc++] = "--data";
    snprintf(data, sizeof data, "%s/data", folder);
    argv[argc++] = data;
    put_file("input", input);
    saved_in = redirect(STDIN_FILENO, path_of("input"), O_RDONLY);
    saved_out = redirect(STDOUT_FILENO, path_of("output"), O_RDWR | O_CREAT | O_TRUNC);
    saved_err = redirect(STDERR_FILENO, path_of("output"), O_RDWR | O_APPEND);
    status = command_user.run(argc, argv);
    restore(STDIN_FILENO, saved_in);
    restore(STDOUT_FILENO, saved_out);
    restore(STDERR_FILENO, saved_err);
    snprintf(said, sizeof said, "%s", get_file("output"));
    return status;
}

#define assert_said(part)                             \
    do {                                              \
        if (!strstr(said, part))                      \
            fail_msg("\"%s\" does not say it", said); \
    } while (0)

static int open_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/ringmail-user-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int close_folder(void **state)
{
    static const char *const names[] = {"input", "output", "data/users",
        "data/users.lock", "data/removed", "data/removed.lock", "data/control", "data"};

    (void)state;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        remove(path_of(names[i]));
    return rmdir(folder);
}

/* The password field of the only line that begins with name. */
static struct slice field_of(const char *name)
{
    const char *text = get_file("data/users"), *line = strstr(text, name);
    struct slice rest = slice_str(line ? line + strlen(name) + 1 : "");

    rest.len = slice_find(rest, '\n');
    return slice_of(rest.at, slice_find(rest, ':'));
}

/* --- without a server --------------------------------------------------- */

static void test_add(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(user("add Anna@X.test", "secret\n"), 0);
    assert_said("No server runs");
    assert_true(password_fits(field_of("anna@x.test"), S("secret")));
    assert_int_equal(stat(path_of("data/users"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(path_of("data"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(user("add anna@x.test", "other\n"), 1);
    assert_said("anna@x.test exists");
    assert_true(password_fits(field_of("anna@x.test"), S("secret")));
    assert_int_equal(user("add bert@x.test", "pw"), 0); /* no line end */
    assert_true(password_fits(field_of("bert@x.test"), S("pw")));
    assert_int_equal(user("add carl@x.test", "pw\r\nmore\n"), 0);
    assert_true(password_fits(field_of("carl@x.test"), S("pw")));
    assert_int_equal(user("list", ""), 0);
    assert_string_equal(said, "anna@x.test\nbert@x.test\ncarl@x.test\n");
}

static void test_refusals(void **state)
{
    char longest[PASSWORD_MAX + 2];

    (void)state;
    assert_int_equal(user("add anna", "pw\n"), 64);
    assert_said("write it like anna@example.org");
    assert_int_equal(user("add a@b@c", "pw\n"), 64);
    assert_int_equal(user("add", "pw\n"), 64);
    assert_int_equal(user("frob a@x.test", "pw\n"), 64);
    assert_int_equal(user("list a@x.test", "pw\n"), 64);
    assert_int_equal(user("add a@x.test --imap 127.0.0.1:1", "pw\n"), 64);
    assert_said("not a flag of this command");
    assert_int_equal(user("add a@x.test", ""), 64);
    assert_int_equal(user("add a@x.test", "\n"), 64);
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(user("add a@x.test", longest), 64);
    assert_int_equal(user("add \"a:b\"@x.test", "pw\n"), 64);
    assert_int_equal(user("add #a@x.test", "pw\n"), 64);
    assert_said("a colon or a # in front");
    /* only `add` makes a users file; elsewhere the folder is a wrong one */
    assert_int_equal(user("passwd a@x.test", "pw\n"), 1);
    assert_int_equal(user("list", ""), 1);
    assert_int_equal(user("del a@x.test", ""), 1);
    assert_said("write --data DIR or --users FILE of a server");
    assert_int_not_equal(access(path_of("data"), F_OK), 0);
    mkdir(path_of("data"), 0700);
    put_file("data/users", "");
    assert_int_equal(user("passwd a@x.test", "pw\n"), 1);
    assert_said("no such account");
    assert_string_equal(get_file("data/users"), "");
    assert_int_equal(user("add anna --domain x.test", "pw\n"), 0);
    assert_true(password_fits(field_of("anna@x.test"), S("pw")));
}

/* What else stands in the file, and on the line, stays as it was. */
static void test_passwd_keeps_the_rest(void **state)
{
    const char *text;

    (void)state;
    mkdir(path_of("data"), 0700);
    put_file("data/users",
        "# ours\n"
        "anna@x.test:{PLAIN}old:1000:1000:Anna:/home/anna:/bin/sh:quota=1 a:b\n"
        "\n"
        "BERT@x.test:{PLAIN}b");
    assert_int_equal(user("passwd anna@x.test", "new\n"), 0);
    assert_true(password_fits(field_of("anna@x.test"), S("new")));
    text = get_file("data/users");
    assert_non_null(strstr(text, "# ours\nanna@x.test:{CRYPT}"));
    assert_non_null(strstr(
        text, ":1000:1000:Anna:/home/anna:/bin/sh:quota=1 a:b\n\nBERT@x.test:{PLAIN}b"));
    assert_int_equal(user("passwd bert@x.test", "new\n"), 0);
    assert_true(password_fits(field_of("BERT@x.test"), S("new")));
    assert_int_equal(user("add carl@x.test", "c\n"), 0);
    assert_true(password_fits(field_of("BERT@x.test"), S("new")));
    assert_true(password_fits(field_of("carl@x.test"), S("c")));
}

static void test_bad_file_is_left_alone(void **state)
{
    (void)state;
    mkdir(path_of("data"), 0700);
    put_file("data/users", "anna@x.test:{PLAIN}a\na@@name:x\n");
    assert_int_equal(user("add bert@x.test", "b\n"), 1);
    assert_said("line 2: a@@name: not a name");
    assert_int_equal(user("del anna@x.test", ""), 1);
    assert_string_equal(get_file("data/users"), "anna@x.test:{PLAIN}a\na@@name:x\n");
    assert_string_equal(get_file("data/removed"), "");
}

static void test_del(void **state)
{
    (void)state;
    mkdir(path_of("data"), 0700);
    put_file("data/users", "anna@x.test:{PLAIN}a\nbert@x.test:{PLAIN}b\n");
    assert_int_equal(user("del ANNA@x.test", ""), 0);
    assert_said("removed when it next starts");
    assert_string_equal(get_file("data/users"), "bert@x.test:{PLAIN}b\n");
    assert_string_equal(get_file("data/removed"), "anna@x.test\n");
    assert_int_equal(user("del anna@x.test", ""), 0); /* again: once in the list */
    assert_said("has no line");
    assert_int_equal(user("del bert@x.test", ""), 0);
    assert_string_equal(get_file("data/users"), "");
    assert_string_equal(get_file("data/removed"), "anna@x.test\nbert@x.test\n");
}

static void test_locked_file(void **state)
{
    int lock;

    (void)state;
    mkdir(path_of("data"), 0700);
    put_file("data/users", "");
    lock = file_lock(path_of("data/users"), 0);
    assert_true(lock >= 0);
    assert_int_equal(user("list", ""), 0); /* reading needs no lock */
    close(lock);
    assert_int_equal(user("add a@x.test", "pw\n"), 0);
}

/* --- with a server ------------------------------------------------------ */

struct server {
    int listener;
    const char *answer; /* NULL: hangs up */
    char heard[256];
};

/* Without a time limit: a call with one is interrupted where this process is stopped and
 * let go on. */
static void *serve_one(void *arg)
{
    struct server *s = arg;
    int fd = accept(s->listener, NULL, NULL);
    ssize_t n = recv(fd, s->heard, sizeof s->heard - 1, 0);

    s->heard[n > 0 ? n : 0] = 0;
    if (s->answer)
        send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static int with_server(
    const char *words, const char *input, const char *answer, const char *request)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct server s = {.answer = answer};
    pthread_t thread;
    int status;

    mkdir(path_of("data"), 0700);
    snprintf(name.sun_path, sizeof name.sun_path, "%s", path_of("data/control"));
    unlink(name.sun_path);
    s.listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s.listener, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(s.listener, 1), 0);
    pthread_create(&thread, NULL, serve_one, &s);
    status = user(words, input);
    shutdown(s.listener, SHUT_RDWR); /* or who was not asked would wait for ever */
    pthread_join(thread, NULL);
    close(s.listener);
    assert_string_equal(s.heard, request);
    return status;
}

static void test_tells_the_server(void **state)
{
    (void)state;
    assert_int_equal(with_server("add a@x.test", "pw\n", "ok\n", "reload\n"), 0);
    assert_string_equal(said, "");
    assert_int_equal(with_server("passwd a@x.test", "pw\n", "ok\n", "reload\n"), 0);
    assert_int_equal(with_server("del a@x.test", "", "ok\n", "remove\n"), 0);
    assert_int_equal(
        with_server("add a@x.test", "pw\n", "error no memory\n", "reload\n"), 1);
    assert_said("the server says: no memory");
    assert_int_equal(with_server("add b@x.test", "pw\n", NULL, "reload\n"), 1);
    assert_said("does not answer");
    assert_int_equal(with_server("add c@x.test", "pw\n", "o", "reload\n"), 1);
    /* The socket of a server that is gone is no server. */
    assert_int_equal(user("add d@x.test", "pw\n"), 0);
    assert_said("No server runs");
}

static void test_answers_of_several_lines(void **state)
{
    char text[256];
    struct out out = out_of(text, sizeof text);

    (void)state;
    assert_int_equal(control_ask("/nowhere", "stat server", 1, &out), CONTROL_NONE);
    assert_int_equal(control_ask(folder, "stat server", 1, &out), CONTROL_NONE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)
    const struct CMUnitTest tests[] = {
        TEST(test_add),
        TEST(test_refusals),
        TEST(test_passwd_keeps_the_rest),
        TEST(test_bad_file_is_left_alone),
        TEST(test_del),
        TEST(test_locked_file),
        TEST(test_tells_the_server),
        TEST(test_answers_of_several_lines),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
