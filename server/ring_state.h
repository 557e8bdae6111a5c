/* ring_state.h -- what the files of the ring share. Private to ring*.c. */
#pragma once
#include <liburing.h>

#include "server/ring.h"

/* Newer than the headers of the distribution; found at start. */
enum {
    SETUP_NO_SQARRAY = 1 << 16, /* Linux 6.6 */
    ENTER_NO_IOWAIT = 1 << 7,   /* Linux 6.15 */
    FEATURE_NO_IOWAIT = 1 << 17,
    FEATURE_REG_REG_RING = 1 << 13, /* Linux 6.3 */
    SEND_ZERO_COPY_REPORT = 1 << 3, /* Linux 6.2, which says so nowhere */
};

/* What user_data says when no op stands behind it. */
enum { TAG_IGNORE = 1, TAG_WAKE = 2, TAG_LAST = 7 };

/* Receive buffers: a pool of which the kernel sees a small window, refilled with the
 * buffers used last, because their memory is still in the caches. */
struct ring_buffers {
    struct io_uring_buf_ring *shared;
    size_t shared_bytes;
    char *memory;
    uint16_t *free; /* stack of buffer numbers */
    unsigned count, bytes, mask;
    unsigned free_count, published, window, window_min;
    uint16_t tail;
    bool grow;          /* the window was too small since the last look */
    int64_t starved_ns; /* when it last was */
};

enum { GROUP_SMALL, GROUP_BIG, GROUPS };

/* A send that ends inside the call that submits it, and says so only when it fails. */
struct prompt_send {
    struct op *op;
    int32_t len;
};
enum {
    PROMPT_MAX = 64,
    TAG_PROMPT = 1, /* in the lowest bit of user_data, beside the op */
};

struct ring {
    struct io_uring uring;
    unsigned enter_flags;
    int enter_fd;
    bool registered, zero_copy;
    struct ring_buffers buffers[GROUPS];
    struct op_queue starving; /* receives that wait for buffers; res holds fd and group */
    struct op_queue landed;   /* cancelled before they reached the kernel */
    struct prompt_send prompt[PROMPT_MAX];
    unsigned prompt_count, prompt_given; /* queued; of these, submitted */
    struct ring_counters counters;
    char features[64];
};

bool ring_buffers_open(
    struct ring *r, unsigned group, unsigned count, unsigned bytes, unsigned window);
void ring_buffers_close(struct ring *r, unsigned group);
/* Fills the windows; re-arms receives that starved. */
void ring_buffers_publish(struct ring *r, int64_t now_ns);
/* Takes op out of those that starve; false: it was not there. */
bool ring_buffers_unstarve(struct ring *r, struct op *op);

/* A free submission entry. Making room submits, and submitting runs no completion. */
struct io_uring_sqe *ring_entry(struct ring *r);
/* Submits a receive whose op->res names descriptor and group. */
void ring_arm(struct ring *r, struct op *op);
