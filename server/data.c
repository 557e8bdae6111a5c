/* data.c -- the data folder: lock, format, layout. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/shard.h"

/* DATA/store, little-endian. The check sum covers all before it. Version 1, of a store
 * that was never resharded, has no `first`: the sum stands in its place. */
struct data_image {
    char magic[8]; /* "RINGMAIL" */
    uint32_t version;
    uint32_t shards;
    uint64_t store_id;
    uint16_t slots[DATA_SLOTS];
    uint64_t first; /* id of shard 0 */
    uint64_t sum;
};
static const size_t image_bytes[] = {
    0, offsetof(struct data_image, first) + sizeof(uint64_t), sizeof(struct data_image)};
static const char image_magic[8] = {'R', 'I', 'N', 'G', 'M', 'A', 'I', 'L'};

struct data_folder {
    char path[DATA_PATH_MAX];
    int fd, lock_fd;
    struct data_layout layout;
};

/* FNV-1a, 64 bits: simple enough never to change. */
static uint64_t fnv(struct slice s)
{
    uint64_t h = 0xcbf29ce484222325U;

    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.at[i]) * 0x100000001b3U;
    return h;
}

unsigned data_slot(struct slice user)
{
    uint64_t h = fnv(user);

    return (unsigned)((h ^ h >> 32) % DATA_SLOTS);
}

struct data_layout data_layout_of(uint64_t store_id, unsigned shards)
{
    struct data_layout layout = {.store_id = store_id, .shards = shards};

    for (unsigned i = 0; i < DATA_SLOTS; i++)
        layout.slots[i] = (uint16_t)(i % shards);
    return layout;
}

const struct data_layout *data_layout(const struct data_folder *folder)
{
    return &folder->layout;
}

static bool say(char *why, size_t cap, const struct data_folder *f, const char *what)
{
    snprintf(why, cap, "%s: %s", f->path, what);
    return false;
}

static bool say_error(
    char *why, size_t cap, const struct data_folder *f, const char *what)
{
    snprintf(why, cap, "%s: %s: %s", f->path, what, strerror(errno));
    return false;
}

/* --- reading -------------------------------------------------------------- */

/* The sum behind the `bytes` of an image. */
static uint64_t sum_in(const struct data_image *image, size_t bytes)
{
    uint64_t sum;

    memcpy(&sum, (const char *)image + bytes - sizeof sum, sizeof sum);
    return sum;
}

static uint64_t sum_of(const struct data_image *image, size_t bytes)
{
    return fnv(slice_of((const char *)image, bytes - sizeof(uint64_t)));
}

static bool image_good(const struct data_image *image, size_t bytes)
{
    uint64_t first = image->version > 1 ? image->first : 0;

    if (sum_in(image, bytes) != sum_of(image, bytes) || image->shards == 0 ||
        image->shards > SHARDS_MAX || first > SHARD_ID_MAX - image->shards)
        return false;
    for (unsigned i = 0; i < DATA_SLOTS; i++)
        if (image->slots[i] >= image->shards)
            return false;
    return true;
}

static bool check_image(struct data_folder *f, const struct data_image *image,
    size_t bytes, char *why, size_t cap)
{
    if (memcmp(image->magic, image_magic, sizeof image_magic) != 0)
        return say(why, cap, f, "the file `store` is not one of a ringmail store");
    if (image->version > DATA_VERSION) {
        snprintf(why, cap,
            "%s: the store has format %u, this program knows up to %u: use the newer "
            "ringmail",
            f->path, image->version, DATA_VERSION);
        return false;
    }
    if (image->version == 0)
        return say(why, cap, f, "the file `store` is damaged; restore it from a backup");
    if (bytes != image_bytes[image->version])
        return say(
            why, cap, f, "the file `store` is cut short; restore it from a backup");
    if (!image_good(image, bytes))
        return say(why, cap, f, "the file `store` is damaged; restore it from a backup");
    f->layout.store_id = image->store_id;
    f->layout.first = image->version > 1 ? (uint32_t)image->first : 0;
    f->layout.shards = image->shards;
    memcpy(f->layout.slots, image->slots, sizeof image->slots);
    return true;
}

/* 1: read; 0: there is none; -1: `why`. */
static int read_image(struct data_folder *f, char *why, size_t cap)
{
    struct data_image image = {0};
    int fd = openat(f->fd, "store", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0) {
        say_error(why, cap, f, "can't open `store`");
        return -1;
    }
    n = read(fd, &image, sizeof image);
    close(fd);
    if (n < 16) {
        say(why, cap, f, "the file `store` is cut short; restore it from a backup");
        return -1;
    }
    return check_image(f, &image, (size_t)n, why, cap) ? 1 : -1;
}

/* --- writing -------------------------------------------------------------- */

static bool write_whole(int fd, const void *at, size_t len)
{
    bool good = write(fd, at, len) == (ssize_t)len && fsync(fd) == 0;

    return close(fd) == 0 && good;
}

bool data_write(
    struct data_folder *f, const struct data_layout *layout, char *why, size_t cap)
{
    struct data_image image = {.version = layout->first ? 2 : 1,
        .shards = layout->shards,
        .store_id = layout->store_id,
        .first = layout->first};
    size_t bytes = image_bytes[image.version];
    uint64_t sum;
    int fd;

    memcpy(image.magic, image_magic, sizeof image_magic);
    memcpy(image.slots, layout->slots, sizeof image.slots);
    sum = sum_of(&image, bytes);
    memcpy((char *)&image + bytes - sizeof sum, &sum, sizeof sum);
    fd = openat(f->fd, "store.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || !write_whole(fd, &image, bytes) ||
        renameat(f->fd, "store.new", f->fd, "store") != 0 || fsync(f->fd) != 0)
        return say_error(why, cap, f, "can't write `store`");
    f->layout = *layout;
    return true;
}

bool data_shard_path(const struct data_folder *f, uint32_t id, char *at, size_t cap)
{
    int n = snprintf(at, cap, "%s/" SHARD_NAME, f->path, id);

    return n > 0 && (size_t)n < cap;
}

bool data_make_shard(const struct data_folder *f, uint32_t id, char *why, size_t cap)
{
    char name[32];

    snprintf(name, sizeof name, SHARD_NAME, id);
    if (mkdirat(f->fd, name, 0700) != 0 && errno != EEXIST)
        return say_error(why, cap, f, "can't make the folder of a shard");
    return fsync(f->fd) == 0 || say_error(why, cap, f, "can't sync");
}

static DIR *open_folder(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

static bool in_use(const struct data_folder *f, const char *name)
{
    const struct dirent *entry;
    DIR *dir = open_folder(f->fd, name);
    bool used = false;

    while (dir && !used && (entry = readdir(dir)))
        used = entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return used;
}

/* Is there anything in the folder of a shard? */
static bool shards_in_use(const struct data_folder *f)
{
    const struct dirent *entry;
    DIR *dir = open_folder(f->fd, ".");
    bool used = false;

    while (dir && !used && (entry = readdir(dir)))
        used = strncmp(entry->d_name, "shard-", 6) == 0 && in_use(f, entry->d_name);
    if (dir)
        closedir(dir);
    return used;
}

/* A folder with mail but without `store` has lost it: it is never begun anew. */
static bool make_store(struct data_folder *f, unsigned shards, char *why, size_t cap)
{
    struct data_layout layout = data_layout_of(random_u64(), shards);

    if (shards_in_use(f))
        return say(why, cap, f, "there are shards with mail, but no file `store`");
    for (unsigned i = 0; i < shards; i++)
        if (!data_make_shard(f, i, why, cap))
            return false;
    return data_write(f, &layout, why, cap);
}

/* --- resharding ------------------------------------------------------------ */

/* DATA/reshard, text: first id and count of the old shards, then of the new ones. */
static const char note_name[] = "reshard";

struct range {
    unsigned first, count;
};

/* A folder that no note names is not ours to remove. */
static bool check_free(const struct data_folder *f, uint32_t id, char *why, size_t cap)
{
    char name[32];

    snprintf(name, sizeof name, SHARD_NAME, id);
    if (!in_use(f, name))
        return true;
    snprintf(
        why, cap, "%s/%s: is in the way of a new shard; move it away", f->path, name);
    return false;
}

bool data_reshard_begin(
    struct data_folder *f, const struct data_layout *next, char *why, size_t cap)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%u %u %u %u\n", f->layout.first,
        f->layout.shards, next->first, next->shards);
    int fd;

    if (next->first > SHARD_ID_MAX - next->shards)
        return say(why, cap, f, "it was resharded too often; move the mail by export");
    for (unsigned i = 0; i < next->shards; i++)
        if (!check_free(f, next->first + i, why, cap))
            return false;
    fd = openat(f->fd, note_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || !write_whole(fd, text, (size_t)n) || fsync(f->fd) != 0)
        return say_error(why, cap, f, "can't write `reshard`");
    return true;
}

/* A note that is not whole was never followed by anything. */
static bool read_note(const struct data_folder *f, struct range *old, struct range *new)
{
    char text[64] = "";
    int fd = openat(f->fd, note_name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;

    if (fd >= 0)
        close(fd);
    return n > 0 && text[n - 1] == '\n' &&
        sscanf(text, "%u %u %u %u", &old->first, &old->count, &new->first, &new->count) ==
        4;
}

static bool remove_shard(const struct data_folder *f, unsigned id)
{
    const struct dirent *entry;
    char name[32];
    DIR *dir;

    snprintf(name, sizeof name, SHARD_NAME, id);
    dir = open_folder(f->fd, name);
    while (dir && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    return unlinkat(f->fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

/* Nothing is removed that `store` names, nor anything that the note does not. */
bool data_reshard_end(struct data_folder *f, char *why, size_t cap)
{
    const struct data_layout *now = &f->layout;
    struct range old, new, gone = {0, 0};

    if (faccessat(f->fd, note_name, F_OK, 0) != 0 && errno == ENOENT)
        return true;
    if (fsync(f->fd) != 0) /* `store` as it was read is there to stay */
        return say_error(why, cap, f, "can't sync");
    if (read_note(f, &old, &new)) {
        if (now->first == new.first && now->shards == new.count)
            gone = old;
        else if (now->first == old.first && now->shards == old.count)
            gone = new;
    }
    for (unsigned id = gone.first; id - gone.first < gone.count; id++)
        if (id - now->first >= now->shards && !remove_shard(f, id))
            return say_error(why, cap, f, "can't remove the folder of an old shard");
    if (unlinkat(f->fd, note_name, 0) != 0 || fsync(f->fd) != 0)
        return say_error(why, cap, f, "can't remove `reshard`");
    return true;
}

/* --- opening -------------------------------------------------------------- */

static bool lock(struct data_folder *f, char *why, size_t cap)
{
    if (mkdir(f->path, 0700) != 0 && errno != EEXIST)
        return say_error(why, cap, f, "can't make the folder");
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->fd < 0)
        return say_error(why, cap, f, "can't open the folder");
    f->lock_fd = openat(f->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->lock_fd < 0)
        return say_error(why, cap, f, "can't open `lock`");
    if (flock(f->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (errno == EWOULDBLOCK)
        return say(why, cap, f, "another ringmail uses this store; stop it first");
    return say_error(why, cap, f, "can't lock");
}

static bool open_store(
    struct data_folder *f, unsigned shards, unsigned preset, char *why, size_t cap)
{
    int found = read_image(f, why, cap);

    if (found < 0)
        return false;
    if (found == 0)
        return make_store(f, shards ? shards : preset, why, cap);
    if (!data_reshard_end(f, why, cap))
        return false;
    if (shards == 0 || shards == f->layout.shards)
        return true;
    snprintf(why, cap,
        "%s: the store has %u shards, not %u; `ringmail reshard %s --shards %u` changes "
        "it",
        f->path, f->layout.shards, shards, f->path, shards);
    return false;
}

bool data_exists(const char *path)
{
    char name[DATA_PATH_MAX];
    struct stat st;
    int n = snprintf(name, sizeof name, "%s/store", path);

    return n > 0 && (size_t)n < sizeof name && stat(name, &st) == 0;
}

struct data_folder *data_open(
    const char *path, unsigned shards, unsigned preset, char *why, size_t cap)
{
    struct data_folder *f = calloc(1, sizeof *f);

    if (!f) {
        snprintf(why, cap, "out of memory");
        return NULL;
    }
    f->fd = f->lock_fd = -1;
    if ((size_t)snprintf(f->path, sizeof f->path, "%s", path) >= sizeof f->path - 32) {
        snprintf(why, cap, "the path of the data folder is too long");
    } else if (lock(f, why, cap) && open_store(f, shards, preset, why, cap)) {
        return f;
    }
    data_close(f);
    return NULL;
}

void data_close(struct data_folder *f)
{
    if (!f)
        return;
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}
