#include "bench/letter_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/dots.h"

enum { FILES_MAX = 1000000 };
static const off_t file_bytes_max = 1 << 30;

/* CR LF at every line end, whatever it was. */
static void put_lines(struct out *out, struct slice text)
{
    while (text.len) {
        struct slice line = slice_take(&text, slice_find(text, '\n'));

        if (text.len)
            slice_take(&text, 1);
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        out_put(out, line);
        out_put(out, S("\r\n"));
    }
}

/* Without its last CR LF, which is sent behind every body. */
static struct slice kept(struct out *out)
{
    return slice_of(out->at, out->len >= 2 ? out->len - 2 : 0);
}

/* Twice the octets are room for a file of nothing but line ends, or dots. */
static bool add_text(struct letters *ls, struct slice text)
{
    struct out plain = out_of(malloc(2 * text.len + 2), 2 * text.len + 2);
    struct out stuffed = out_of(malloc(4 * text.len + 4), 4 * text.len + 4);
    struct mail_file *file = &ls->files[ls->file_count];
    struct dots dots = {0};

    if (!plain.at || !stuffed.at) {
        free(plain.at);
        free(stuffed.at);
        return false;
    }
    put_lines(&plain, text);
    file->plain = kept(&plain);
    dots_put(&dots, file->plain, &stuffed);
    file->stuffed = slice_of(stuffed.at, stuffed.len);
    ls->file_count++;
    if (file->plain.len > ls->largest)
        ls->largest = file->plain.len;
    return true;
}

/* A file that is none, or cannot be read, is passed over; false: no memory. */
static bool add_file(struct letters *ls, int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *text = NULL;
    ssize_t len = -1;
    bool good = true;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        st.st_size <= file_bytes_max) {
        text = malloc((size_t)st.st_size);
        len = text ? read(fd, text, (size_t)st.st_size) : -1;
    }
    if (fd >= 0)
        close(fd);
    if (len > 0)
        good = add_text(ls, slice_of(text, (size_t)len));
    free(text);
    return good;
}

bool letter_files_read(struct letters *ls, const char *folder, struct out *why)
{
    struct dirent **names = NULL;
    int n = scandir(folder, &names, NULL, alphasort), error = errno;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = n >= 0 && fd >= 0;

    ls->files = calloc(n > 0 ? (size_t)n : 1, sizeof *ls->files);
    for (int i = 0; i < n; i++) {
        if (good && ls->files && ls->file_count < FILES_MAX && names[i]->d_name[0] != '.')
            good = add_file(ls, fd, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    if (fd >= 0)
        close(fd);
    if (good && ls->file_count > 0)
        return true;
    out_str(why, "--mail ");
    out_str(why, folder);
    out_str(why, ": ");
    out_str(why, n < 0 ? strerror(error) : "no messages can be read there");
    letter_files_free(ls);
    return false;
}

void letter_files_free(struct letters *ls)
{
    for (uint64_t i = 0; ls->files && i < ls->file_count; i++) {
        free((char *)ls->files[i].plain.at);
        free((char *)ls->files[i].stuffed.at);
    }
    free(ls->files);
    ls->files = NULL;
}
