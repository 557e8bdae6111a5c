/* The store's disk on a ring, and the data folder. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/ring_disk.h"
#include "server/shard.h"
#include "tests/server/server_test.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/var/tmp/ringmail-test-disk-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* --- the disk: run on a thread, as at start ------------------------------- */

struct landed {
    struct disk_op op;
    int32_t res;
};

static void on_landed(struct op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    container_of(op, struct landed, op.op)->res = res;
}

static char *block_of(char fill, size_t blocks)
{
    char *at = aligned_alloc(DISK_BLOCK, blocks * DISK_BLOCK);

    memset(at, fill, blocks * DISK_BLOCK);
    return at;
}

static unsigned listed;

static void on_name(void *arg, const char *name, uint64_t bytes)
{
    (void)arg;
    assert_string_equal(name, "segment");
    assert_int_equal(bytes, 1 << 20);
    listed++;
}

static void use_segment(struct disk *d, bool zero)
{
    struct landed l = {0}, many[4] = {0};
    char *two = block_of('2', 2), *back = block_of(0, 8), *blocks[4];
    int32_t file;

    disk_create(d, &l.op, on_landed, "segment", 1 << 20);
    disk_wait(d, &l.op);
    file = l.res;
    assert_true(file >= 0);
    disk_create(d, &l.op, on_landed, "segment", 1 << 20);
    disk_wait(d, &l.op);
    assert_int_equal(l.res, -EEXIST);
    disk_commit(d, &l.op, on_landed, file, two, 2 * DISK_BLOCK, 4096);
    disk_wait(d, &l.op);
    assert_int_equal(l.res, 2 * DISK_BLOCK);
    for (int i = 0; i < 4; i++) { /* several in flight */
        blocks[i] = block_of((char)('a' + i), 1);
        disk_commit(d, &many[i].op, on_landed, file, blocks[i], DISK_BLOCK,
            (uint64_t)(3 + i) * DISK_BLOCK);
    }
    for (int i = 0; i < 4; i++) {
        disk_wait(d, &many[i].op);
        assert_int_equal(many[i].res, DISK_BLOCK);
    }
    disk_read(d, &l.op, on_landed, file, back, 8 * DISK_BLOCK, 0);
    disk_wait(d, &l.op);
    assert_int_equal(l.res, 8 * DISK_BLOCK);
    if (zero)
        assert_int_equal(back[0], 0);
    assert_memory_equal(back + DISK_BLOCK, two, 2 * DISK_BLOCK);
    for (int i = 0; i < 4; i++) {
        assert_memory_equal(back + (3 + i) * DISK_BLOCK, blocks[i], DISK_BLOCK);
        free(blocks[i]);
    }
    disk_close(d, &l.op, on_landed, file);
    disk_wait(d, &l.op);
    assert_int_equal(l.res, 0);
    free(two);
    free(back);
}

static void reopen_and_remove(struct disk *d)
{
    struct landed l = {0};
    char *back = block_of(0, 2);

    listed = 0;
    assert_int_equal(d->calls->list(d, on_name, NULL), STATUS_OK);
    assert_int_equal(listed, 1);
    disk_open(d, &l.op, on_landed, "segment");
    disk_wait(d, &l.op);
    assert_true(l.res >= 0);
    int32_t file = l.res;
    disk_read(d, &l.op, on_landed, file, back, 2 * DISK_BLOCK, DISK_BLOCK);
    disk_wait(d, &l.op);
    assert_int_equal(l.res, 2 * DISK_BLOCK);
    assert_int_equal(back[5000], '2');
    disk_read(d, &l.op, on_landed, file, back, 2 * DISK_BLOCK, (1 << 20) - DISK_BLOCK);
    disk_wait(d, &l.op);
    assert_int_equal(l.res, DISK_BLOCK); /* the end of the file */
    disk_close(d, &l.op, on_landed, file);
    disk_wait(d, &l.op);
    disk_remove(d, &l.op, on_landed, "segment");
    disk_wait(d, &l.op);
    assert_int_equal(l.res, 0);
    disk_remove(d, &l.op, on_landed, "segment");
    disk_wait(d, &l.op);
    assert_int_equal(l.res, -ENOENT);
    disk_open(d, &l.op, on_landed, "segment");
    disk_wait(d, &l.op);
    assert_int_equal(l.res, -ENOENT);
    free(back);
}

/* A file that grows, as checkpoints do. */
static void grow_file(struct disk *d)
{
    struct landed l = {0};
    char *some = block_of('g', 64);
    int32_t file;

    disk_create(d, &l.op, on_landed, "growing", 0);
    disk_wait(d, &l.op);
    file = l.res;
    assert_true(file >= 0);
    for (unsigned i = 0; i < 3; i++) {
        disk_write(
            d, &l.op, on_landed, file, some, 64 * DISK_BLOCK, i * 64ULL * DISK_BLOCK);
        disk_wait(d, &l.op);
        assert_int_equal(l.res, 64 * DISK_BLOCK);
    }
    disk_sync(d, &l.op, on_landed, file);
    disk_wait(d, &l.op);
    assert_int_equal(l.res, 0);
    disk_close(d, &l.op, on_landed, file);
    disk_wait(d, &l.op);
    disk_remove(d, &l.op, on_landed, "growing");
    disk_wait(d, &l.op);
    assert_int_equal(l.res, 0);
    free(some);
}

/* Directly, and begun without a wait; while a store is opened files are there at once,
 * and the answer comes later all the same. */
static void start_with(struct disk *d)
{
    struct landed l = {0}, ahead = {0};
    char *some = block_of('s', 2), *back = block_of(0, 2);
    char path[128];
    int32_t file;

    snprintf(path, sizeof path, "%s/once", folder);
    ring_disk_starts(d, true);
    disk_create(d, &l.op, on_landed, "once", 0);
    assert_true(l.op.op.pending);
    assert_int_equal(access(path, F_OK), 0);
    disk_wait(d, &l.op);
    file = l.res;
    disk_write(d, &l.op, on_landed, file, some, 2 * DISK_BLOCK, 0);
    disk_wait(d, &l.op);
    disk_close(d, &l.op, on_landed, file);
    disk_wait(d, &l.op);
    disk_open_once(d, &l.op, on_landed, "once");
    disk_wait(d, &l.op);
    file = l.res;
    assert_true(file >= 0);
    disk_read(d, &ahead.op, on_landed, file, back + DISK_BLOCK, DISK_BLOCK, DISK_BLOCK);
    disk_begin(d);
    disk_read(d, &l.op, on_landed, file, back, DISK_BLOCK, 0);
    disk_wait(d, &l.op);
    disk_wait(d, &ahead.op);
    assert_memory_equal(back, some, 2 * DISK_BLOCK);
    disk_close(d, &l.op, on_landed, file);
    disk_wait(d, &l.op);
    disk_remove(d, &l.op, on_landed, "once");
    assert_int_equal(access(path, F_OK), -1);
    disk_wait(d, &l.op);
    assert_int_equal(l.res, 0);
    ring_disk_starts(d, false);
    free(some);
    free(back);
}

static void use_disk(struct thread *t, void *arg)
{
    char why[256] = "";
    bool zero = *(bool *)arg;
    struct disk *d = ring_disk_open(t, folder, zero, why, sizeof why);

    if (!d)
        fail_msg("%s", why);
    start_with(d);
    use_segment(d, zero);
    reopen_and_remove(d);
    grow_file(d);
    ring_disk_close(d);
}

static void files_are_made_used_and_removed(void **state)
{
    struct process *p = server_begin(NULL);
    bool zero = false;

    (void)state;
    process_run(p, 0, use_disk, &zero);
    zero = true;
    process_run(p, 1, use_disk, &zero);
    server_end(p);
}

static void use_missing(struct thread *t, void *arg)
{
    char why[256] = "";

    (void)arg;
    assert_null(ring_disk_open(t, "/nowhere/at/all", false, why, sizeof why));
    assert_non_null(strstr(why, "/nowhere/at/all"));
}

static void a_missing_folder_is_named(void **state)
{
    struct process *p = server_begin(NULL);

    (void)state;
    process_run(p, 0, use_missing, NULL);
    server_end(p);
}

/* --- the data folder ------------------------------------------------------ */

static void store_keeps_what_it_is(void **state)
{
    char path[128], why[512] = "", shard[256];
    struct data_folder *f;
    uint64_t id;
    struct stat st;

    (void)state;
    snprintf(path, sizeof path, "%s/data", folder);
    f = data_open(path, 0, 4, why, sizeof why);
    assert_non_null(f);
    id = data_layout(f)->store_id;
    assert_int_equal(data_layout(f)->shards, 4);
    assert_int_equal(data_layout(f)->slots[7], 3);
    assert_true(data_shard_path(f, 3, shard, sizeof shard));
    assert_int_equal(stat(shard, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_null(data_open(path, 0, 4, why, sizeof why)); /* matrix D21 */
    assert_non_null(strstr(why, "another ringmail"));
    data_close(f);
    assert_null(data_open(path, 6, 4, why, sizeof why));
    assert_non_null(strstr(why, "ringmail reshard"));
    f = data_open(path, 4, 2, why, sizeof why);
    assert_non_null(f);
    assert_true(data_layout(f)->store_id == id);
    assert_int_equal(data_layout(f)->shards, 4);
    data_close(f);
}

static void put_byte(const char *path, off_t at, char byte)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Matrix U03, D12: nothing is changed in what is not understood. */
static void strange_stores_are_refused(void **state)
{
    char path[128], file[160], why[512] = "";
    struct data_folder *f;

    (void)state;
    snprintf(path, sizeof path, "%s/strange", folder);
    snprintf(file, sizeof file, "%s/store", path);
    f = data_open(path, 2, 2, why, sizeof why);
    assert_non_null(f);
    data_close(f);
    put_byte(file, 8, DATA_VERSION + 1);
    assert_null(data_open(path, 0, 2, why, sizeof why));
    assert_non_null(strstr(why, "newer"));
    put_byte(file, 8, 1); /* what a store is that was never resharded */
    put_byte(file, 100, 55);
    assert_null(data_open(path, 0, 2, why, sizeof why));
    assert_non_null(strstr(why, "damaged"));
    assert_int_equal(truncate(file, 100), 0);
    assert_null(data_open(path, 0, 2, why, sizeof why));
    assert_non_null(strstr(why, "cut short"));
    assert_null(data_open("/proc/nowhere", 0, 2, why, sizeof why));
    assert_non_null(strstr(why, "/proc/nowhere"));
}

/* A store that has lost its description is not begun anew over its mail. */
static void lost_description_is_told(void **state)
{
    char path[128], file[256], why[512] = "";
    struct data_folder *f;
    int fd;

    (void)state;
    snprintf(path, sizeof path, "%s/lost", folder);
    f = data_open(path, 2, 2, why, sizeof why);
    assert_non_null(f);
    data_close(f);
    snprintf(file, sizeof file, "%s/shard-0001/00000001.log", path);
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    snprintf(file, sizeof file, "%s/store", path);
    assert_int_equal(unlink(file), 0);
    assert_null(data_open(path, 0, 2, why, sizeof why));
    assert_non_null(strstr(why, "no file `store`"));
}

/* --- resharding ------------------------------------------------------------ */

static bool is_there(const char *path, const char *name)
{
    char file[256];
    struct stat st;

    snprintf(file, sizeof file, "%s/%s", path, name);
    return stat(file, &st) == 0;
}

static void put_file(const char *path, const char *name)
{
    char file[256];
    int fd;

    snprintf(file, sizeof file, "%s/%s", path, name);
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* Two shards with a file each, and three new ones half made. */
static struct data_folder *begin_reshard(const char *path, struct data_layout *next)
{
    char why[512] = "";
    struct data_folder *f = data_open(path, 2, 2, why, sizeof why);

    assert_non_null(f);
    put_file(path, "shard-0000/log-00000001");
    *next = data_layout_of(data_layout(f)->store_id, 3);
    next->first = 2;
    assert_true(data_reshard_begin(f, next, why, sizeof why));
    assert_true(is_there(path, "reshard"));
    for (unsigned id = 2; id < 5; id++)
        assert_true(data_make_shard(f, id, why, sizeof why));
    put_file(path, "shard-0003/log-00000001");
    return f;
}

/* A crash before the switch: the new ones go; after it, the old ones do. */
static void a_reshard_is_whole_or_not(void **state)
{
    char path[128], why[512] = "";
    struct data_layout next;
    struct data_folder *f;

    (void)state;
    snprintf(path, sizeof path, "%s/reshard", folder);
    data_close(begin_reshard(path, &next));
    f = data_open(path, 0, 1, why, sizeof why);
    assert_non_null(f);
    assert_int_equal(data_layout(f)->shards, 2);
    assert_int_equal(data_layout(f)->first, 0);
    assert_true(is_there(path, "shard-0000/log-00000001"));
    assert_false(is_there(path, "shard-0002") || is_there(path, "shard-0003"));
    assert_false(is_there(path, "reshard"));
    data_close(f);

    f = begin_reshard(path, &next);
    assert_true(data_write(f, &next, why, sizeof why));
    data_close(f);
    f = data_open(path, 3, 1, why, sizeof why);
    assert_non_null(f);
    assert_int_equal(data_layout(f)->first, 2);
    assert_int_equal(data_layout(f)->slots[5], 2);
    assert_true(is_there(path, "shard-0003/log-00000001"));
    assert_false(is_there(path, "shard-0000") || is_there(path, "shard-0001"));
    assert_false(is_there(path, "reshard"));
    data_close(f);
}

/* Without a note that names them, folders stay, whatever they are. */
static void only_what_is_noted_is_removed(void **state)
{
    char path[128], why[512] = "", file[256];
    struct data_layout next;
    struct data_folder *f;

    (void)state;
    snprintf(path, sizeof path, "%s/noted", folder);
    data_close(begin_reshard(path, &next));
    snprintf(file, sizeof file, "%s/reshard", path);
    assert_int_equal(truncate(file, 5), 0); /* torn: nothing followed it */
    f = data_open(path, 0, 1, why, sizeof why);
    assert_non_null(f);
    assert_true(is_there(path, "shard-0000/log-00000001"));
    assert_true(is_there(path, "shard-0003/log-00000001"));
    assert_false(is_there(path, "reshard"));
    assert_false(data_reshard_begin(f, &next, why, sizeof why));
    assert_non_null(strstr(why, "shard-0003: is in the way"));
    next.first = SHARD_ID_MAX - 2;
    assert_false(data_reshard_begin(f, &next, why, sizeof why));
    assert_non_null(strstr(why, "too often"));
    data_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_made_used_and_removed),
        cmocka_unit_test(a_missing_folder_is_named),
        cmocka_unit_test(store_keeps_what_it_is),
        cmocka_unit_test(strange_stores_are_refused),
        cmocka_unit_test(lost_description_is_told),
        cmocka_unit_test(a_reshard_is_whole_or_not),
        cmocka_unit_test(only_what_is_noted_is_removed),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
