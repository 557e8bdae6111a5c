/* file.h -- whole small files: read at once, replaced atomically; files shared between
 * folders. Blocks: for the control thread and the sub-commands, never for a thread that
 * serves. */
#pragma once
#include "proto/base/slice.h"

struct file_bytes {
    struct slice text;
    char *at; /* private */
};

/* False: errno (EFBIG past `max` octets, EISDIR, EINVAL for what is no file). */
bool file_read(const char *path, size_t max, struct file_bytes *bytes);
void file_release(struct file_bytes *bytes);

/* Writes beside it, syncs, renames, syncs the folder: after a crash the file is the old
 * or the new one, whole. A new file gets `mode`, an old one keeps its mode and owner.
 * False: errno, and the old file is as it was. */
bool file_replace(const char *path, struct slice text, unsigned mode);

/* Gives the file `from`, which nobody writes any more, a second name by a hard link;
 * where the file system has none, `to` becomes a copy of it, whose bytes are durable. The
 * name is so after file_sync_folder(). False: errno, and nothing is left at `to`, but
 * EEXIST. */
bool file_share(const char *from, const char *to, bool *copied);
/* Makes the names in a folder durable. False: errno. */
bool file_sync_folder(const char *path);

/* Takes the lock that everyone who edits `path` takes (PATH.lock), waiting up to
 * `seconds`. A descriptor to close() afterwards, or -1 with errno (EBUSY: somebody else
 * has it). */
int file_lock(const char *path, unsigned seconds);

/* "DIR/NAME", to be freed; NULL without memory. */
char *file_path(const char *dir, const char *name);
