#include "server/ring_state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { BUFFERS_MAX = 32768 };
static const int64_t calm_ns =
    1000000000; /* without starving, before the window shrinks */

static unsigned power_of_two(unsigned n)
{
    unsigned p = 1;

    while (p < n)
        p *= 2;
    return p;
}

static void *map(size_t bytes)
{
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

bool ring_buffers_open(
    struct ring *r, unsigned group, unsigned count, unsigned bytes, unsigned window)
{
    struct ring_buffers *b = &r->buffers[group];
    unsigned entries = power_of_two(count);
    struct io_uring_buf_reg reg = {.ring_entries = entries, .bgid = (uint16_t)group};
    int error;

    CHECK(count > 0 && count <= BUFFERS_MAX);
    b->count = count;
    b->bytes = bytes;
    b->mask = entries - 1;
    b->window = b->window_min = window < count ? window : count;
    b->shared_bytes = entries * sizeof(struct io_uring_buf);
    b->shared = map(b->shared_bytes);
    b->memory = map((size_t)count * bytes);
    b->free = calloc(count, sizeof *b->free);
    if (!b->shared || !b->memory || !b->free)
        return false;
    for (unsigned i = 0; i < count; i++)
        b->free[b->free_count++] = (uint16_t)(count - 1 - i);
    io_uring_buf_ring_init(b->shared);
    reg.ring_addr = (uint64_t)(uintptr_t)b->shared;
    error = io_uring_register_buf_ring(&r->uring, &reg, 0);
    errno = -error;
    return error == 0;
}

void ring_buffers_close(struct ring *r, unsigned group)
{
    struct ring_buffers *b = &r->buffers[group];

    if (b->shared) {
        io_uring_unregister_buf_ring(&r->uring, (int)group);
        munmap(b->shared, b->shared_bytes);
    }
    if (b->memory)
        munmap(b->memory, (size_t)b->count * b->bytes);
    free(b->free);
}

/* Doubles the window when receives starved, halves it after a calm second. */
static void adapt(struct ring_buffers *b, int64_t now_ns)
{
    if (b->grow) {
        b->grow = false;
        b->starved_ns = now_ns;
        b->window = b->window * 2 < b->count ? b->window * 2 : b->count;
    } else if (b->window > b->window_min && now_ns - b->starved_ns > calm_ns) {
        b->starved_ns = now_ns;
        b->window = b->window / 2 > b->window_min ? b->window / 2 : b->window_min;
    }
}

static void fill(struct ring_buffers *b)
{
    unsigned added = 0;

    while (b->published < b->window && b->free_count) {
        uint16_t id = b->free[--b->free_count];
        struct io_uring_buf *entry =
            &b->shared->bufs[(uint16_t)(b->tail + added) & b->mask];

        entry->addr = (uint64_t)(uintptr_t)(b->memory + (size_t)id * b->bytes);
        entry->len = b->bytes;
        entry->bid = id;
        added++;
        b->published++;
    }
    if (!added)
        return;
    b->tail = (uint16_t)(b->tail + added);
    io_uring_smp_store_release(&b->shared->tail, b->tail);
}

void ring_buffers_publish(struct ring *r, int64_t now_ns)
{
    unsigned room = 0;

    for (unsigned group = 0; group < GROUPS; group++) {
        adapt(&r->buffers[group], now_ns);
        fill(&r->buffers[group]);
        room += r->buffers[group].published;
    }
    while (r->starving.head && room--) {
        struct op *op = r->starving.head;

        r->starving.head = op->next;
        if (!op->next)
            r->starving.tail = &r->starving.head;
        ring_arm(r, op);
    }
}

void ring_receive_starved(struct ring *r, struct op *op, int fd, bool big)
{
    CHECK(op->pending);
    r->counters.starved++;
    r->buffers[big].grow = true;
    op->res = fd * GROUPS + big;
    op->next = NULL;
    *r->starving.tail = op;
    r->starving.tail = &op->next;
}

bool ring_buffers_unstarve(struct ring *r, struct op *op)
{
    for (struct op **at = &r->starving.head; *at; at = &(*at)->next) {
        if (*at != op)
            continue;
        *at = op->next;
        if (!op->next)
            r->starving.tail = at;
        return true;
    }
    return false;
}

static unsigned number_of(uint32_t flags)
{
    CHECK(flags & IORING_CQE_F_BUFFER);
    return flags >> IORING_CQE_BUFFER_SHIFT;
}

struct slice ring_received(
    const struct ring *r, const struct op *op, int32_t res, uint32_t flags)
{
    const struct ring_buffers *b = &r->buffers[op->res % GROUPS];

    CHECK(number_of(flags) < b->count && res > 0 && (unsigned)res <= b->bytes);
    return slice_of(b->memory + (size_t)number_of(flags) * b->bytes, (size_t)res);
}

void ring_return(struct ring *r, const struct op *op, uint32_t flags)
{
    struct ring_buffers *b;

    if (!(flags & IORING_CQE_F_BUFFER))
        return; /* and op->res may be anything */
    b = &r->buffers[op->res % GROUPS];
    CHECK(b->free_count < b->count && b->published > 0);
    b->published--;
    b->free[b->free_count++] = (uint16_t)number_of(flags);
}
