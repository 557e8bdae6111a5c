/* output_pool.h -- what output is made of, and the thread's pools of it: last in, first
 * out, because what was used last is still in the caches. Private to conn_output.c. */
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include "server/thread_state.h"

enum { OUTPUT_IOVS = 40 };

struct output_block {
    struct output_block *next; /* in the pool */
    uint32_t refs;
    uint32_t used;
    char bytes[BLOCK_BYTES - 16];
};

struct output_piece {
    struct output_piece *next;
    const char *at;
    size_t len;
    struct output_block *block; /* or lent: */
    void (*release)(void *arg);
    void *arg;
};

struct output_queue {
    struct output_piece *head, **tail;
    size_t bytes;
};

struct zero_copy;
struct conn_output {
    struct conn_output *next; /* in the pool */
    struct output_queue plain, wire;
    struct output_block *window;  /* c->out points into it */
    struct output_block *sealing; /* sealed bytes are added to it */
    bool prompt;                  /* nobody waits for the end of the send in flight */
    bool slow;                    /* the socket had no room once */
    uint32_t since;               /* when the output began to be under way, seconds */
    unsigned pins;                /* sends of which the kernel still has the bytes */
    size_t pinned;                /* these bytes */
    struct zero_copy *zero_copy;  /* the send in flight is one of them; NULL */
    struct msghdr msg;
    struct iovec iov[OUTPUT_IOVS];
};

/* NULL: no memory. A block comes with one reference. */
struct output_block *output_take_block(struct thread *t);
void output_drop_block(struct thread *t, struct output_block *block);
struct output_piece *output_take_piece(struct thread *t);
/* The bytes are sent, or never will be. */
void output_drop_piece(struct thread *t, struct output_piece *piece);
struct conn_output *output_take(struct thread *t);
/* Its queues are empty. */
void output_drop(struct thread *t, struct conn_output *o);
