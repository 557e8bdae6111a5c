/* forward_key.c -- makes DATA/srs.key, once. */
#include <errno.h>
#include <unistd.h>

#include "server/config.h"
#include "server/file.h"
#include "server/forward.h"

enum { KEY_BYTES = 32, LOCK_WAIT_S = 5 };

static bool write_key(const char *path)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t key[KEY_BYTES];
    char text[2 * KEY_BYTES + 1];
    struct out out = out_of(text, sizeof text);
    bool written;

    random_bytes(key, sizeof key);
    for (unsigned i = 0; i < KEY_BYTES; i++) {
        out_byte(&out, digits[key[i] >> 4]);
        out_byte(&out, digits[key[i] & 15]);
    }
    out_byte(&out, '\n');
    written = file_replace(path, out_slice(&out), 0600);
    explicit_bzero(key, sizeof key);
    explicit_bzero(text, sizeof text);
    return written;
}

bool forward_make_key(const struct config *config, struct out *why)
{
    const char *path = config->srs_key_path;
    int lock;
    bool good;

    if (access(path, F_OK) == 0)
        return true;
    lock = file_lock(path, LOCK_WAIT_S);
    good = lock >= 0 && (access(path, F_OK) == 0 || write_key(path));
    if (!good) {
        out_str(why, path);
        out_str(why, ": can't make the key of --srs: ");
        out_str(why, strerror(errno));
    }
    if (lock >= 0)
        close(lock);
    return good;
}
