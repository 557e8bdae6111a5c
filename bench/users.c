#include "bench/users.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const long file_bytes_max = 1L << 30;

bool users_pattern(struct users *u, struct slice pattern)
{
    size_t at = slice_find(pattern, '%');

    if (pattern.len == 0 || pattern.len + 20 > USER_NAME_MAX)
        return false;
    u->before = slice_of(pattern.at, at);
    u->after = S("");
    u->numbered = at < pattern.len;
    if (!u->numbered)
        return true;
    u->after = slice_of(pattern.at + at, pattern.len - at);
    if (u->after.len < 2 || u->after.at[1] != 'd')
        return false;
    slice_take(&u->after, 2);
    return slice_find(u->after, '%') == u->after.len;
}

static char *read_all(const char *path, size_t *len)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    long size = -1;

    if (!f)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    if (size >= 0 && size <= file_bytes_max && fseek(f, 0, SEEK_SET) == 0)
        text = malloc((size_t)size + 1);
    if (text)
        *len = fread(text, 1, (size_t)size, f);
    fclose(f);
    return text;
}

/* Cuts the next line off; NULL in `at`: there is none. */
static struct slice next_line(struct slice *rest)
{
    struct slice line = slice_take(rest, slice_find(*rest, '\n'));

    if (rest->len)
        slice_take(rest, 1);
    return slice_trim(line);
}

bool users_file(struct users *u, const char *path)
{
    struct slice rest, all = S("");
    uint64_t lines = 1;

    errno = 0;
    u->text = read_all(path, &all.len);
    if (!u->text)
        return false;
    all.at = u->text;
    for (size_t i = 0; i < all.len; i++)
        lines += all.at[i] == '\n';
    u->list = calloc(lines, sizeof *u->list);
    u->count = 0;
    for (rest = all; u->list && rest.len;) {
        struct slice line = next_line(&rest);
        struct slice name = slice_take(&line, slice_find(line, ':'));

        if (name.len == 0 || name.at[0] == '#')
            continue;
        if (line.len)
            slice_take(&line, 1);
        if (name.len > USER_NAME_MAX || line.len > USER_PASSWORD_MAX) {
            errno = EOVERFLOW;
            return false;
        }
        u->list[u->count++] = (struct user){name, line.len ? line : u->password};
    }
    return u->count > 0;
}

void users_free(struct users *u)
{
    free(u->list);
    free(u->text);
    u->list = NULL;
    u->text = NULL;
}

void users_name(const struct users *u, uint64_t i, struct out *out)
{
    i %= u->count;
    if (u->list) {
        out_put(out, u->list[i].name);
        return;
    }
    out_put(out, u->before);
    if (u->numbered)
        out_u64(out, u->first + i);
    out_put(out, u->after);
}

struct slice users_password(const struct users *u, uint64_t i)
{
    return u->list ? u->list[i % u->count].password : u->password;
}
