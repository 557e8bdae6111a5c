#include "server/limit.h"

#include <stdlib.h>

#include "server/conn_state.h"

/* --- the table: open addressing, linear probing, no tombstones ------------ */

enum { CELLS_MIN = 256 };

struct cell {
    uint8_t address[16]; /* an IPv6 address without its lower half */
    uint32_t count;      /* 0: empty */
};

struct limits {
    uint64_t key;
    struct cell *cells;
    size_t size, used; /* size: a power of two, at least twice `used` */
};

static struct cell cell_of(const struct address *a)
{
    struct cell cell = {.count = 1};

    memcpy(cell.address, a->bytes, a->family == AF_INET6 ? 8 : sizeof a->bytes);
    return cell;
}

static size_t home_of(const struct limits *l, const struct cell *cell)
{
    struct slice bytes = slice_of((const char *)cell->address, sizeof cell->address);

    return (size_t)slice_hash(bytes, l->key) & (l->size - 1);
}

/* Where it is, or the empty cell where it belongs. */
static struct cell *find(const struct limits *l, const struct cell *wanted)
{
    size_t i = home_of(l, wanted);

    while (l->cells[i].count &&
        memcmp(l->cells[i].address, wanted->address, sizeof wanted->address) != 0)
        i = (i + 1) & (l->size - 1);
    return &l->cells[i];
}

struct limits *limits_open(uint64_t key)
{
    struct limits *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->key = key;
    l->size = CELLS_MIN;
    l->cells = calloc(l->size, sizeof *l->cells);
    if (l->cells)
        return l;
    free(l);
    return NULL;
}

void limits_close(struct limits *l)
{
    if (l)
        free(l->cells);
    free(l);
}

static bool grow(struct limits *l)
{
    struct cell *old = l->cells;
    size_t old_size = l->size;

    l->cells = calloc(old_size * 2, sizeof *l->cells);
    if (!l->cells) {
        l->cells = old;
        return false;
    }
    l->size = old_size * 2;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].count)
            *find(l, &old[i]) = old[i];
    free(old);
    return true;
}

bool limits_add(struct limits *l, const struct address *a, unsigned max)
{
    struct cell wanted = cell_of(a);
    struct cell *cell = find(l, &wanted);

    if (cell->count >= max)
        return false;
    if (cell->count) {
        cell->count++;
        return true;
    }
    if ((l->used + 1) * 2 > l->size) {
        if (!grow(l))
            return false;
        cell = find(l, &wanted);
    }
    *cell = wanted;
    l->used++;
    return true;
}

/* Closes the gap: later cells of the run move up where their home allows. */
static void erase(struct limits *l, size_t gap)
{
    size_t mask = l->size - 1;

    for (size_t i = (gap + 1) & mask; l->cells[i].count; i = (i + 1) & mask) {
        size_t home = home_of(l, &l->cells[i]);

        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        l->cells[gap] = l->cells[i];
        gap = i;
    }
    l->cells[gap].count = 0;
    l->used--;
}

void limits_remove(struct limits *l, const struct address *a)
{
    struct cell wanted = cell_of(a);
    struct cell *cell = find(l, &wanted);

    CHECK(cell->count > 0);
    if (--cell->count == 0)
        erase(l, (size_t)(cell - l->cells));
}

unsigned limits_count(const struct limits *l, const struct address *a)
{
    struct cell wanted = cell_of(a);

    return find(l, &wanted)->count;
}

/* --- admission ------------------------------------------------------------ */

struct admission {
    struct call call;
    struct conn *conn;
    struct address address;
    bool granted, asking;
    void (*admitted)(struct conn *c, bool granted);
};

static void count_here(struct thread *to, struct call *call)
{
    struct admission *a = container_of(call, struct admission, call);

    a->granted =
        limits_add(to->state->limits, &a->address, to->process->conf.per_address_max);
    call_answer(call);
}

static void uncount_here(struct thread *to, struct call *call)
{
    struct admission *a = container_of(call, struct admission, call);

    limits_remove(to->state->limits, &a->address);
    free(a);
}

static void on_answer(struct thread *from, struct call *call)
{
    struct admission *a = container_of(call, struct admission, call);
    struct conn *c = a->conn;
    bool granted = a->granted;
    void (*admitted)(struct conn *, bool) = a->admitted;

    (void)from;
    a->asking = false;
    if (!granted) {
        c->admission = NULL;
        free(a);
    }
    admitted(c, granted);
}

static struct thread *keeper_of(struct thread *t, const struct address *a)
{
    return thread_of_hash(t, address_hash(a, t->process->address_key));
}

void admission_ask(struct conn *c, void (*admitted)(struct conn *c, bool granted))
{
    struct thread *t = c->thread, *keeper = keeper_of(t, &c->peer);
    struct admission *a = calloc(1, sizeof *a);

    if (!a) {
        admitted(c, false);
        return;
    }
    a->conn = c;
    a->address = c->peer;
    a->admitted = admitted;
    a->asking = true;
    a->call.run = count_here;
    a->call.done = on_answer;
    c->admission = a;
    if (keeper != t) {
        call_send(t, keeper, &a->call);
        return;
    }
    a->granted =
        limits_add(t->state->limits, &a->address, t->process->conf.per_address_max);
    on_answer(t, &a->call);
}

bool admission_asking(const struct conn *c)
{
    return c->admission && c->admission->asking;
}

void admission_leave(struct thread *t, struct conn *c)
{
    struct admission *a = c->admission;

    struct thread *keeper = keeper_of(t, &a->address);

    c->admission = NULL;
    a->call.run = uncount_here;
    a->call.done = NULL;
    if (keeper == t)
        uncount_here(t, &a->call);
    else
        call_send(t, keeper, &a->call);
}
