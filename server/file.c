#include "server/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/pages.h"

enum { COPY_BYTES = 1 << 20 };

char *file_path(const char *dir, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static bool read_all(int fd, size_t size, struct file_bytes *bytes)
{
    size_t len = 0;

    bytes->at = malloc(size + 1);
    if (!bytes->at)
        return false;
    pages_huge(bytes->at, size + 1);
    while (len < size) {
        ssize_t n = read(fd, bytes->at + len, size - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    bytes->text = slice_of(bytes->at, len);
    return true;
}

bool file_read(const char *path, size_t max, struct file_bytes *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    bool good = false;
    int saved;

    *bytes = (struct file_bytes){0};
    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            errno = EISDIR;
        else if (!S_ISREG(st.st_mode))
            errno = EINVAL;
        else if ((uint64_t)st.st_size > max)
            errno = EFBIG;
        else
            good = read_all(fd, (size_t)st.st_size, bytes);
    }
    saved = errno;
    close(fd);
    if (!good)
        file_release(bytes);
    errno = saved;
    return good;
}

void file_release(struct file_bytes *bytes)
{
    if (bytes->at)
        explicit_bzero(bytes->at, bytes->text.len); /* it may hold passwords */
    free(bytes->at);
    *bytes = (struct file_bytes){0};
}

static bool write_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.at, text.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        slice_take(&text, (size_t)n);
    }
    return fsync(fd) == 0;
}

/* The rename itself is on the disk when the folder is. */
static bool sync_folder(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool good = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    free(copy);
    return good;
}

/* What root makes in somebody's folder belongs to him: the server, which runs under his
 * account, must be able to read and replace it. The file is one that was just made. */
static bool like_folder(int fd, const char *path)
{
    char *copy = strdup(path);
    struct stat st;
    bool good = copy &&
        (geteuid() != 0 ||
            (stat(dirname(copy), &st) == 0 && fchown(fd, st.st_uid, st.st_gid) == 0));

    free(copy);
    return good;
}

/* The new file takes over mode and owner, so that an edit by root leaves a file that the
 * server can read. */
static bool like_old(int fd, const char *path, unsigned mode)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return errno == ENOENT && fchmod(fd, mode) == 0 && like_folder(fd, path);
    if (fchown(fd, st.st_uid, st.st_gid) != 0 &&
        (st.st_uid != geteuid() || geteuid() == 0))
        return false;
    return fchmod(fd, st.st_mode & 07777) == 0;
}

bool file_replace(const char *path, struct slice text, unsigned mode)
{
    char *temp;
    bool good = false;
    int fd, saved;

    if (asprintf(&temp, "%s.XXXXXX", path) < 0) {
        errno = ENOMEM;
        return false;
    }
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd >= 0) {
        good = like_old(fd, path, mode) && write_all(fd, text) && rename(temp, path) == 0;
        saved = errno;
        close(fd);
        if (!good)
            unlink(temp);
        errno = saved;
        good = good && sync_folder(path);
    }
    saved = errno;
    free(temp);
    errno = saved;
    return good;
}

int file_lock(const char *path, unsigned seconds)
{
    char *name;
    int fd;

    if (asprintf(&name, "%s.lock", path) < 0) {
        errno = ENOMEM;
        return -1;
    }
    fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 && !like_folder(fd, name)) {
        unlink(name);
        close(fd);
        fd = -1;
    } else if (fd < 0 && errno == EEXIST) {
        fd = open(name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    }
    free(name);
    if (fd < 0)
        return -1;
    for (unsigned tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno != EWOULDBLOCK || tries >= seconds * 20) {
            close(fd);
            errno = EBUSY;
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50L * 1000 * 1000}, NULL);
    }
    return fd;
}

/* --- shared files ---------------------------------------------------------- */

/* False: errno. */
static bool copy_bytes(int from, int to, char *buffer, size_t cap)
{
    for (;;) {
        ssize_t n = read(from, buffer, cap);

        if (n == 0)
            return fsync(to) == 0;
        if (n < 0 && errno != EINTR)
            return false;
        for (ssize_t at = 0, put; at < n; at += put) {
            put = write(to, buffer + at, (size_t)(n - at));
            if (put < 0 && errno != EINTR)
                return false;
            put = put < 0 ? 0 : put;
        }
    }
}

static bool copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = in >= 0 ? open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    char *buffer = out >= 0 ? malloc(COPY_BYTES) : NULL;
    bool good = buffer && copy_bytes(in, out, buffer, COPY_BYTES);
    int saved = errno;

    free(buffer);
    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) != 0 && good) {
        good = false;
        saved = errno;
    }
    if (out >= 0 && !good)
        unlink(to);
    errno = saved;
    return good;
}

bool file_share(const char *from, const char *to, bool *copied)
{
    *copied = false;
    if (link(from, to) == 0)
        return true;
    if (errno != EPERM && errno != EXDEV && errno != EMLINK && errno != EOPNOTSUPP &&
        errno != ENOSYS)
        return false;
    *copied = copy_file(from, to);
    return *copied;
}

bool file_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
    return good;
}
