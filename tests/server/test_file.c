#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/server/admin_support.h"

#include "server/file.h"

static char folder[] = "/tmp/ringmail-file-XXXXXX";
static char path[128];

static int open_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/users", folder);
    return 0;
}

static int close_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "%s/users.lock", folder);
    unlink(path);
    unlink(command);
    return rmdir(folder); /* fails where a temporary file was left behind */
}

static void test_replace_and_read(void **state)
{
    struct file_bytes bytes;
    struct stat st;

    (void)state;
    assert_false(file_read(path, 100, &bytes));
    assert_int_equal(errno, ENOENT);
    assert_true(file_replace(path, S("one\n"), 0600));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(file_read(path, 100, &bytes));
    assert_true(slice_eq(bytes.text, S("one\n")));
    file_release(&bytes);
    chmod(path, 0640);
    assert_true(file_replace(path, S(""), 0600));
    stat(path, &st);
    assert_int_equal(st.st_mode & 07777, 0640); /* an old file keeps its mode */
    assert_true(file_read(path, 100, &bytes));
    assert_int_equal(bytes.text.len, 0);
    file_release(&bytes);
}

static void test_too_large(void **state)
{
    struct file_bytes bytes;

    (void)state;
    assert_true(file_replace(path, S("12345"), 0600));
    assert_true(file_read(path, 5, &bytes));
    file_release(&bytes);
    assert_false(file_read(path, 4, &bytes));
    assert_int_equal(errno, EFBIG);
    assert_false(file_read(folder, 1 << 20, &bytes));
    assert_int_equal(errno, EISDIR);
    assert_false(file_read("/dev/zero", 1 << 20, &bytes));
    assert_int_equal(errno, EINVAL);
}

/* A name that a rename can't replace: the old stays, and nothing is left beside it. */
static void test_failed_replace_leaves_nothing(void **state)
{
    char inner[160];

    (void)state;
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(inner, sizeof inner, "%s/kept", path);
    close(open(inner, O_CREAT | O_WRONLY, 0600));
    assert_false(file_replace(path, S("x"), 0600));
    assert_int_equal(access(inner, F_OK), 0);
    unlink(inner);
    rmdir(path);
    assert_false(file_replace("/nowhere/at/all", S("x"), 0600));
    assert_int_equal(errno, ENOENT);
}

static void test_lock(void **state)
{
    int one = file_lock(path, 1), two;

    (void)state;
    assert_true(one >= 0);
    assert_int_equal(file_lock(path, 0), -1);
    assert_int_equal(errno, EBUSY);
    close(one);
    two = file_lock(path, 0);
    assert_true(two >= 0);
    close(two);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino &&
        x.st_dev == y.st_dev;
}

/* A second name; across file systems a copy. */
static void test_share(void **state)
{
    char second[140], far[] = "/dev/shm/ringmail-share-XXXXXX";
    struct stat here, there;
    struct file_bytes bytes;
    bool copied = true;
    int fd;

    (void)state;
    snprintf(second, sizeof second, "%s.2", path);
    assert_true(file_replace(path, S("one\ntwo\n"), 0600));
    assert_true(file_share(path, second, &copied));
    assert_false(copied);
    assert_true(same_file(path, second));
    assert_false(file_share(path, second, &copied));
    assert_int_equal(errno, EEXIST);
    assert_true(file_sync_folder(folder));
    unlink(second);
    assert_false(file_share("/nowhere", second, &copied));
    assert_int_equal(errno, ENOENT);
    fd = mkstemp(far);
    if (fd < 0 || fstat(fd, &there) != 0 || stat(path, &here) != 0 ||
        here.st_dev == there.st_dev)
        skip();
    close(fd);
    assert_false(file_share(path, far, &copied));
    assert_int_equal(errno, EEXIST);
    unlink(far);
    assert_true(file_share(path, far, &copied));
    assert_true(copied);
    assert_true(file_read(far, 100, &bytes));
    assert_true(slice_eq(bytes.text, S("one\ntwo\n")));
    file_release(&bytes);
    unlink(far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace_and_read),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_failed_replace_leaves_nothing),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_share),
    };

    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
