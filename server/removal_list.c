#include "server/removal_list.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { LIST_BYTES_MAX = 64 << 20, LOCK_WAIT_S = 10 };

static bool refuse(const struct config *config, struct out *why)
{
    out_str(why, config->removed_path);
    out_str(why, ": ");
    out_str(why, strerror(errno));
    return false;
}

static bool read_list(const struct config *config, struct file_bytes *bytes)
{
    return file_read(config->removed_path, LIST_BYTES_MAX, bytes) || errno == ENOENT;
}

bool removal_read(const struct config *config, struct file_bytes *bytes, struct out *why)
{
    return read_list(config, bytes) || refuse(config, why);
}

bool removal_cut(struct slice *text, struct slice *name)
{
    while (text->len > 0) {
        *name = slice_trim(slice_take(text, slice_find(*text, '\n')));
        if (text->len > 0)
            slice_take(text, 1);
        if (name->len > 0)
            return true;
    }
    return false;
}

static bool holds(struct slice text, struct slice wanted)
{
    struct slice name;

    while (removal_cut(&text, &name))
        if (slice_eq(name, wanted))
            return true;
    return false;
}

static bool add_locked(const struct config *config, struct slice name)
{
    struct file_bytes bytes = {0};
    struct out out = {0};
    bool good = false;
    char *room;

    if (!read_list(config, &bytes))
        return false;
    room = malloc(bytes.text.len + name.len + 2);
    if (room) {
        out = out_of(room, bytes.text.len + name.len + 2);
        out_put(&out, bytes.text);
        if (out.len > 0 && out.at[out.len - 1] != '\n')
            out_byte(&out, '\n');
        if (!holds(bytes.text, name)) {
            out_put(&out, name);
            out_byte(&out, '\n');
        }
        good = file_replace(config->removed_path, out_slice(&out), 0600);
    }
    free(room);
    file_release(&bytes);
    return good;
}

bool removal_add(const struct config *config, struct slice name, struct out *why)
{
    int lock = file_lock(config->removed_path, LOCK_WAIT_S);
    bool good = lock >= 0 && add_locked(config, name);

    if (!good)
        refuse(config, why);
    if (lock >= 0)
        close(lock);
    return good;
}

/* Writes the list without this name; the file goes with the last one. */
static bool forget_locked(const struct config *config, struct slice done)
{
    struct file_bytes bytes = {0};
    struct slice rest, name;
    struct out out;
    bool good;
    char *room;

    if (!read_list(config, &bytes))
        return false;
    room = malloc(bytes.text.len + 1);
    if (!room) {
        file_release(&bytes);
        return false;
    }
    out = out_of(room, bytes.text.len + 1);
    rest = bytes.text;
    while (removal_cut(&rest, &name))
        if (!slice_eq(name, done)) {
            out_put(&out, name);
            out_byte(&out, '\n');
        }
    good = out.len > 0 ? file_replace(config->removed_path, out_slice(&out), 0600)
                       : unlink(config->removed_path) == 0 || errno == ENOENT;
    free(room);
    file_release(&bytes);
    return good;
}

bool removal_forget(const struct config *config, struct slice name)
{
    int lock = file_lock(config->removed_path, LOCK_WAIT_S);
    bool good = lock >= 0 && forget_locked(config, name);

    if (lock >= 0)
        close(lock);
    return good;
}
