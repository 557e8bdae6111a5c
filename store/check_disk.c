#include "store/check_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HANDLES = 256, HANDLE_BASE = 1 << 20 };

/* A file that is in memory only, or the name of one that is to be gone. */
struct shadow {
    struct shadow *next;
    char name[DISK_NAME_MAX];
    char *at;
    uint64_t bytes;
    bool gone;
};

struct check_disk {
    struct disk disk;
    struct disk *real;
    bool write;
    struct shadow *shadows;
    struct shadow *handles[HANDLES];
    struct op_queue landed;
};

static struct check_disk *of(struct disk *d)
{
    return container_of(d, struct check_disk, disk);
}

static struct shadow *find(struct check_disk *c, const char *name)
{
    for (struct shadow *s = c->shadows; s; s = s->next)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static struct shadow *make(struct check_disk *c, const char *name, uint64_t bytes)
{
    struct shadow *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->at = calloc(1, bytes + 1);
    if (!s->at) {
        free(s);
        return NULL;
    }
    memcpy(s->name, name, strlen(name) + 1);
    s->bytes = bytes;
    s->next = c->shadows;
    c->shadows = s;
    return s;
}

/* --- the disk behind --- */

static void on_real(struct op *op, int32_t res, uint32_t flags)
{
    (void)flags;
    op->res = res;
}

static int32_t pass(struct check_disk *c, const struct disk_op *op)
{
    struct disk_op real = {.file = op->file,
        .bytes = op->bytes,
        .offset = op->offset,
        .buffer = op->buffer,
        .name = op->name,
        .once = op->once};

    disk_submit(c->real, &real, op->call, on_real);
    disk_wait(c->real, &real);
    return real.op.res;
}

/* --- files in memory --- */

static int32_t handle_of(struct check_disk *c, struct shadow *s)
{
    for (int32_t i = 0; i < HANDLES; i++)
        if (!c->handles[i]) {
            c->handles[i] = s;
            return HANDLE_BASE + i;
        }
    return -EMFILE;
}

static int32_t create(struct check_disk *c, const struct disk_op *op)
{
    struct shadow *s = find(c, op->name);

    if (s && !s->gone)
        return -EEXIST;
    if (!s)
        s = make(c, op->name, op->bytes);
    if (!s)
        return -ENOSPC;
    s->gone = false;
    return handle_of(c, s);
}

static int32_t put(struct shadow *s, const struct disk_op *op)
{
    if (op->offset + op->bytes > s->bytes) {
        char *grown = realloc(s->at, op->offset + op->bytes);

        if (!grown)
            return -ENOSPC;
        memset(grown + s->bytes, 0, op->offset + op->bytes - s->bytes);
        s->at = grown;
        s->bytes = op->offset + op->bytes;
    }
    memcpy(s->at + op->offset, op->buffer, op->bytes);
    return (int32_t)op->bytes;
}

static int32_t get(const struct shadow *s, const struct disk_op *op)
{
    uint64_t n = op->offset < s->bytes ? s->bytes - op->offset : 0;

    if (n > op->bytes)
        n = op->bytes;
    memcpy(op->buffer, s->at + op->offset, n);
    return (int32_t)n;
}

static int32_t take_away(struct check_disk *c, const struct disk_op *op)
{
    struct shadow *s = find(c, op->name);

    if (!s)
        s = make(c, op->name, 0);
    if (!s)
        return -ENOSPC;
    s->gone = true;
    return 0;
}

static int32_t pretend(struct check_disk *c, const struct disk_op *op)
{
    bool named =
        op->call == DISK_CREATE || op->call == DISK_OPEN || op->call == DISK_LINKS;
    struct shadow *s;

    if (op->call == DISK_CREATE)
        return create(c, op);
    if (op->call == DISK_REMOVE)
        return take_away(c, op);
    if (named) {
        s = find(c, op->name);
        if (s && s->gone)
            return -ENOENT;
        if (s)
            return op->call == DISK_LINKS ? 1 : handle_of(c, s);
        return pass(c, op);
    }
    if (op->file < HANDLE_BASE)
        return op->call == DISK_READ || op->call == DISK_CLOSE ? pass(c, op) : -EROFS;
    s = c->handles[op->file - HANDLE_BASE];
    if (op->call == DISK_CLOSE)
        c->handles[op->file - HANDLE_BASE] = NULL;
    if (op->call == DISK_READ)
        return get(s, op);
    if (op->call == DISK_COMMIT || op->call == DISK_WRITE)
        return put(s, op);
    return 0;
}

/* --- what a disk does --- */

static void submit(struct disk *d, struct disk_op *op)
{
    struct check_disk *c = of(d);

    op_post(&c->landed, &op->op, c->write ? pass(c, op) : pretend(c, op));
}

static void wait_for(struct disk *d, struct disk_op *op)
{
    while (op->op.pending)
        op_queue_run(&of(d)->landed);
}

struct listing {
    struct check_disk *c;
    disk_name_fn *each;
    void *arg;
};

static void on_name(void *arg, const char *name, uint64_t bytes)
{
    struct listing *l = arg;

    if (!find(l->c, name))
        l->each(l->arg, name, bytes);
}

static enum status list_all(struct disk *d, disk_name_fn *each, void *arg)
{
    struct check_disk *c = of(d);
    struct listing l = {c, each, arg};

    TRY(c->real->calls->list(c->real, on_name, &l));
    for (struct shadow *s = c->shadows; s; s = s->next)
        if (!s->gone)
            each(arg, s->name, s->bytes);
    return STATUS_OK;
}

static uint64_t now_ns(struct disk *d)
{
    return of(d)->real->calls->now_ns(of(d)->real);
}

struct disk *check_disk_open(struct disk *real, bool write)
{
    static const struct disk_calls calls = {
        submit, wait_for, NULL, list_all, NULL, now_ns};
    struct check_disk *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->disk.calls = &calls;
    c->real = real;
    c->write = write;
    op_queue_init(&c->landed);
    return &c->disk;
}

bool check_disk_run(struct disk *d)
{
    return op_queue_run(&of(d)->landed);
}

void check_disk_close(struct disk *d)
{
    struct check_disk *c = of(d);

    while (c->shadows) {
        struct shadow *s = c->shadows;

        c->shadows = s->next;
        free(s->at);
        free(s);
    }
    free(c);
}
