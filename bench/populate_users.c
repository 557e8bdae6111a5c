/* populate_users.c -- the users file: as long as there are users, so written as it is
 * made. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/populate.h"
#include "server/file.h"

static bool write_lines(const struct populate_plan *plan, FILE *file)
{
    char name[POPULATE_NAME_MAX];

    for (uint64_t i = 0; i < plan->users; i++) {
        struct slice user = populate_name(plan, i, name);

        if (fprintf(file, "%.*s:%s\n", (int)user.len, user.at, plan->password) < 0)
            return false;
    }
    return fflush(file) == 0 && fsync(fileno(file)) == 0;
}

static bool write_users(const struct populate_plan *plan, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool good;

    if (!file) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    good = write_lines(plan, file);
    return fclose(file) == 0 && good;
}

bool populate_users(const struct populate_plan *plan)
{
    char *path = file_path(plan->data, "users");
    bool good = path && write_users(plan, path) && file_sync_folder(plan->data);

    free(path);
    return good;
}
