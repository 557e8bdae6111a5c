#include "server/rand.h"

#include <errno.h>
#include <sys/random.h>

/* Fetched ahead, a thread at a time: a system call for each number would cost more than
 * what it is for. Bytes are wiped as they are given out. */
enum { POOL_BYTES = 512 };
static _Thread_local struct {
    unsigned char bytes[POOL_BYTES];
    size_t left;
} pool;

static void fetch(void *at, size_t len)
{
    char *to = at;

    while (len) {
        ssize_t n = getrandom(to, len, 0);

        CHECK(n > 0 || (n < 0 && errno == EINTR));
        if (n < 0)
            continue;
        to += n;
        len -= (size_t)n;
    }
}

void random_bytes(void *at, size_t len)
{
    if (len > POOL_BYTES / 4) {
        fetch(at, len);
        return;
    }
    if (pool.left < len) {
        fetch(pool.bytes, POOL_BYTES);
        pool.left = POOL_BYTES;
    }
    pool.left -= len;
    memcpy(at, pool.bytes + pool.left, len);
    explicit_bzero(pool.bytes + pool.left, len);
}

uint64_t random_u64(void)
{
    uint64_t value;

    random_bytes(&value, sizeof value);
    return value;
}
