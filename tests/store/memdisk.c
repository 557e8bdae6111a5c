#include "tests/store/memdisk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t memdisk_draw(struct memdisk *m, uint64_t n)
{
    m->random += 0x9e3779b97f4a7c15U;
    uint64_t z = m->random;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return n ? (z ^ (z >> 31)) % n : 0;
}

/* --- files --- */

static uint64_t sectors(uint64_t bytes)
{
    return (bytes + MEMDISK_SECTOR - 1) / MEMDISK_SECTOR;
}

static void *resized(void *old, uint64_t from, uint64_t to)
{
    char *new = calloc(1, to ? to : 1);

    if (from > to)
        from = to;
    if (from)
        memcpy(new, old, from);
    free(old);
    return new;
}

static void file_resize(struct memfile *f, uint64_t bytes)
{
    f->now = resized(f->now, f->bytes, bytes);
    f->durable = resized(f->durable, f->bytes, bytes);
    f->dirty = resized(f->dirty, sectors(f->bytes), sectors(bytes));
    f->bytes = bytes;
}

static struct memfile *file_new(struct memdisk *m, const char *name, uint64_t bytes)
{
    struct memfile *f = calloc(1, sizeof *f);

    snprintf(f->name, sizeof f->name, "%s", name);
    file_resize(f, bytes);
    f->linked = true;
    f->links = 1;
    f->next = m->files;
    m->files = f;
    return f;
}

static bool file_open(const struct memdisk *m, const struct memfile *f)
{
    for (unsigned i = 0; i < MEMDISK_HANDLES; i++)
        if (m->handles[i].file == f)
            return true;
    return false;
}

static void file_free(struct memdisk *m, struct memfile *f)
{
    struct memfile **at = &m->files;

    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    free(f->now);
    free(f->durable);
    free(f->dirty);
    free(f);
}

/* Frees what has neither a name nor a handle. */
static void sweep(struct memdisk *m)
{
    struct memfile *next;

    for (struct memfile *f = m->files; f; f = next) {
        next = f->next;
        if (!f->linked && !file_open(m, f))
            file_free(m, f);
    }
}

struct memfile *memdisk_find(struct memdisk *m, const char *name)
{
    for (struct memfile *f = m->files; f; f = f->next)
        if (f->linked && strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

uint64_t memdisk_used(const struct memdisk *m)
{
    uint64_t bytes = 0;

    for (const struct memfile *f = m->files; f; f = f->next)
        bytes += f->bytes;
    return bytes;
}

unsigned memdisk_open_files(const struct memdisk *m, bool writable)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MEMDISK_HANDLES; i++)
        count += m->handles[i].file && m->handles[i].writable == writable;
    return count;
}

static int32_t handle_new(struct memdisk *m, struct memfile *f, bool writable)
{
    if (m->handles_max &&
        memdisk_open_files(m, true) + memdisk_open_files(m, false) >= m->handles_max)
        return -EMFILE;
    for (int32_t i = 0; i < MEMDISK_HANDLES; i++)
        if (!m->handles[i].file) {
            m->handles[i].file = f;
            m->handles[i].writable = writable;
            return i;
        }
    return -EMFILE;
}

static struct memfile *handle_file(struct memdisk *m, int32_t handle)
{
    CHECK(handle >= 0 && handle < MEMDISK_HANDLES && m->handles[handle].file);
    return m->handles[handle].file;
}

/* --- what a request does when it lands --- */

static void put(struct memfile *f, const struct disk_op *op, uint64_t offset,
    uint64_t bytes, bool durable)
{
    if (offset + bytes > f->bytes)
        file_resize(f, offset + bytes);
    memcpy(f->now + offset, op->buffer, bytes);
    if (durable)
        memcpy(f->durable + offset, op->buffer, bytes);
    for (uint64_t s = offset / MEMDISK_SECTOR; s < sectors(offset + bytes); s++)
        f->dirty[s] = !durable;
    if (durable && offset + bytes > f->durable_bytes)
        f->durable_bytes = offset + bytes;
}

static int32_t do_create(struct memdisk *m, const struct disk_op *op)
{
    struct memfile *f;

    if (memdisk_find(m, op->name))
        return -EEXIST;
    if (m->capacity && memdisk_used(m) + op->bytes > m->capacity)
        return -ENOSPC;
    f = file_new(m, op->name, op->bytes);
    f->durable_bytes = op->bytes;
    return handle_new(m, f, true);
}

static int32_t do_write(
    struct memdisk *m, const struct disk_op *op, enum memdisk_fault_kind fault)
{
    struct memfile *f = handle_file(m, op->file);
    bool durable = op->call == DISK_COMMIT && fault != FAULT_UNSYNCED;
    uint64_t offset = op->offset, bytes = op->bytes;

    CHECK(m->handles[op->file].writable);
    CHECK((uintptr_t)op->buffer % DISK_BLOCK == 0);
    CHECK(offset % DISK_BLOCK == 0 && bytes % DISK_BLOCK == 0 && bytes);
    CHECK(op->call == DISK_WRITE || offset + bytes <= f->bytes);
    if (fault == FAULT_LOST)
        return (int32_t)bytes;
    if (fault == FAULT_SHORT)
        bytes = m->fault.bytes;
    if (fault == FAULT_MISPLACED && offset + m->fault.bytes + bytes <= f->bytes)
        offset += m->fault.bytes;
    if (offset + bytes > f->bytes && m->capacity &&
        memdisk_used(m) + offset + bytes - f->bytes > m->capacity)
        return -ENOSPC;
    put(f, op, offset, bytes, durable);
    return (int32_t)bytes;
}

static int32_t do_read(struct memdisk *m, const struct disk_op *op)
{
    struct memfile *f = handle_file(m, op->file);
    uint64_t bytes = op->bytes;

    CHECK((uintptr_t)op->buffer % DISK_BLOCK == 0);
    CHECK(op->offset % DISK_BLOCK == 0 && bytes % DISK_BLOCK == 0 && bytes);
    if (op->offset >= f->bytes)
        return 0;
    if (bytes > f->bytes - op->offset)
        bytes = f->bytes - op->offset;
    memcpy(op->buffer, f->now + op->offset, bytes);
    m->read_bytes += bytes;
    return (int32_t)bytes;
}

static int32_t do_sync(struct memdisk *m, const struct disk_op *op)
{
    struct memfile *f = handle_file(m, op->file);

    memcpy(f->durable, f->now, f->bytes);
    memset(f->dirty, 0, sectors(f->bytes));
    f->durable_bytes = f->bytes;
    return 0;
}

/* After a failed sync the dirty pages are gone, and the next sync is well again. */
static void fail_sync(struct memdisk *m, const struct disk_op *op)
{
    struct memfile *f = handle_file(m, op->file);

    memcpy(f->now, f->durable, f->bytes);
    memset(f->dirty, 0, sectors(f->bytes));
}

static int32_t do_remove(struct memdisk *m, const struct disk_op *op)
{
    struct memfile *f = memdisk_find(m, op->name);

    if (!f)
        return -ENOENT;
    CHECK(!file_open(m, f)); /* the store closes before it removes */
    f->linked = false;
    sweep(m);
    return 0;
}

static int32_t perform(
    struct memdisk *m, const struct disk_op *op, enum memdisk_fault_kind fault)
{
    struct memfile *f;

    switch (op->call) {
    case DISK_CREATE:
        return do_create(m, op);
    case DISK_OPEN:
        f = memdisk_find(m, op->name);
        return f ? handle_new(m, f, false) : -ENOENT;
    case DISK_COMMIT:
    case DISK_WRITE:
        return do_write(m, op, fault);
    case DISK_SYNC:
        return do_sync(m, op);
    case DISK_READ:
        return do_read(m, op);
    case DISK_CLOSE:
        handle_file(m, op->file);
        m->handles[op->file].file = NULL;
        sweep(m);
        return 0;
    case DISK_REMOVE:
        return do_remove(m, op);
    case DISK_LINKS:
        f = memdisk_find(m, op->name);
        return f ? (int32_t)f->links : -ENOENT;
    }
    return -EINVAL;
}

/* --- landing --- */

static bool fault_hits(struct memdisk *m, enum disk_call call)
{
    struct memdisk_fault *f = &m->fault;

    if (m->dead || f->kind == FAULT_NONE || !(f->calls >> call & 1))
        return false;
    f->seen++;
    if (f->seen != f->at && !(f->for_ever && f->seen > f->at))
        return false;
    f->hits++;
    return true;
}

static void submit(struct disk *disk, struct disk_op *op)
{
    struct memdisk *m = container_of(disk, struct memdisk, disk);
    unsigned i = m->flying_count++;
    unsigned commits = 0;

    CHECK(i < MEMDISK_IN_FLIGHT);
    m->calls[op->call]++;
    m->flying[i].op = op;
    m->flying[i].order = m->order++;
    m->flying[i].due_ns = m->now_ns + m->latency_min_ns +
        memdisk_draw(m, m->latency_max_ns - m->latency_min_ns);
    m->flying[i].fault = fault_hits(m, op->call) ? m->fault.kind : FAULT_NONE;
    for (unsigned k = 0; k < m->flying_count; k++)
        commits += m->flying[k].op->call == DISK_COMMIT;
    if (commits > m->flying_most)
        m->flying_most = commits;
    if (m->flying[i].fault == FAULT_POWER)
        memdisk_power_loss(m);
}

static unsigned next_due(const struct memdisk *m)
{
    unsigned best = 0;

    for (unsigned i = 1; i < m->flying_count; i++) {
        if (m->flying[i].due_ns < m->flying[best].due_ns ||
            (m->flying[i].due_ns == m->flying[best].due_ns &&
                m->flying[i].order < m->flying[best].order))
            best = i;
    }
    return best;
}

static int32_t land(struct memdisk *m, struct disk_op *op, enum memdisk_fault_kind fault)
{
    if (m->dead && op->call == DISK_CLOSE)
        return 0;
    if (m->dead)
        return -EIO;
    if (fault == FAULT_ERROR) {
        if (op->call == DISK_SYNC)
            fail_sync(m, op);
        if (op->call == DISK_CLOSE)
            perform(m, op, FAULT_NONE); /* the number is gone all the same */
        return -m->fault.error;
    }
    return perform(m, op, fault);
}

bool memdisk_step(struct memdisk *m)
{
    unsigned i = next_due(m);
    struct disk_op *op;
    int32_t res;

    if (m->flying_count == 0)
        return false;
    op = m->flying[i].op;
    if (m->flying[i].due_ns > m->now_ns)
        m->now_ns = m->flying[i].due_ns;
    res = land(m, op, m->flying[i].fault);
    m->flying[i] = m->flying[--m->flying_count];
    op->op.pending = false;
    op->op.done(&op->op, res, 0);
    return true;
}

bool memdisk_wait(struct memdisk *m, uint64_t due_ns)
{
    if (m->flying_count != 0 || due_ns <= m->now_ns || due_ns - m->now_ns > 100000000)
        return false;
    m->now_ns = due_ns;
    return true;
}

static void wait(struct disk *disk, struct disk_op *op)
{
    struct memdisk *m = container_of(disk, struct memdisk, disk);

    while (op->op.pending)
        CHECK(memdisk_step(m));
}

static enum status list(struct disk *disk, disk_name_fn *each, void *arg)
{
    struct memdisk *m = container_of(disk, struct memdisk, disk);

    for (struct memfile *f = m->files; f; f = f->next)
        if (f->linked)
            each(arg, f->name, f->bytes);
    return STATUS_OK;
}

static int32_t peek(
    struct disk *disk, int32_t file, void *buffer, uint32_t bytes, uint64_t offset)
{
    struct memdisk *m = container_of(disk, struct memdisk, disk);
    const struct memfile *f = handle_file(m, file);

    CHECK(!m->handles[file].writable);
    if (!m->cached || m->dead)
        return -EAGAIN;
    m->peeks++;
    if (offset >= f->bytes)
        return 0;
    if (bytes > f->bytes - offset)
        bytes = (uint32_t)(f->bytes - offset);
    memcpy(buffer, f->now + offset, bytes);
    return (int32_t)bytes;
}

static uint64_t now_ns(struct disk *disk)
{
    return container_of(disk, struct memdisk, disk)->now_ns;
}

void memdisk_init(struct memdisk *m, uint64_t seed)
{
    static const struct disk_calls calls = {submit, wait, NULL, list, peek, now_ns};

    memset(m, 0, sizeof *m);
    m->disk.calls = &calls;
    m->random = seed;
    m->latency_min_ns = 100000;
    m->latency_max_ns = 1000000;
}

void memdisk_free(struct memdisk *m)
{
    while (m->files)
        file_free(m, m->files);
}

/* --- crashes --- */

/* One sector that was on its way: old, new, or torn in the middle. */
static void settle_sector(
    struct memdisk *m, unsigned char *old, const unsigned char *new, uint64_t bytes)
{
    uint64_t take = 0;

    switch (memdisk_draw(m, 5)) {
    case 0:
    case 1:
        take = bytes;
        break;
    case 2:
        take = memdisk_draw(m, bytes);
        break;
    default:
        break;
    }
    memcpy(old, new, take);
}

static void settle_write(struct memdisk *m, const struct disk_op *op)
{
    struct memfile *f = handle_file(m, op->file);
    unsigned whole = (unsigned)memdisk_draw(m, 3); /* often all or nothing */

    if (op->offset + op->bytes > f->bytes)
        file_resize(f, op->offset + op->bytes);
    for (uint64_t at = 0; at < op->bytes && whole != 0; at += MEMDISK_SECTOR) {
        unsigned char *old = f->durable + op->offset + at;
        const unsigned char *new = (const unsigned char *)op->buffer + at;

        if (whole == 1)
            memcpy(old, new, MEMDISK_SECTOR);
        else
            settle_sector(m, old, new, MEMDISK_SECTOR);
    }
}

/* A file being made has a name or not; its blocks hold nothing. */
static void settle_create(struct memdisk *m, const struct disk_op *op)
{
    if (memdisk_draw(m, 2) && !memdisk_find(m, op->name))
        file_new(m, op->name, memdisk_draw(m, 2) ? op->bytes : 0);
}

static void settle_flying(struct memdisk *m)
{
    for (unsigned i = 0; i < m->flying_count; i++) {
        const struct disk_op *op = m->flying[i].op;

        if (op->call == DISK_COMMIT || op->call == DISK_WRITE)
            settle_write(m, op);
        else if (op->call == DISK_CREATE)
            settle_create(m, op);
        else if (op->call == DISK_REMOVE && memdisk_draw(m, 2))
            do_remove(m, op);
    }
}

static void restart_from_durable(struct memdisk *m)
{
    for (struct memfile *f = m->files; f; f = f->next) {
        memcpy(f->now, f->durable, f->bytes);
        f->durable_bytes = f->bytes;
    }
    m->dead = true;
}

void memdisk_power_loss(struct memdisk *m)
{
    for (struct memfile *f = m->files; f; f = f->next) {
        for (uint64_t s = 0; s < sectors(f->bytes); s++) {
            uint64_t at = s * MEMDISK_SECTOR, left = f->bytes - at;

            if (f->dirty[s])
                settle_sector(m, f->durable + at, f->now + at,
                    left < MEMDISK_SECTOR ? left : MEMDISK_SECTOR);
            f->dirty[s] = 0;
        }
        if (f->bytes > f->durable_bytes && memdisk_draw(m, 2))
            file_resize(f, f->durable_bytes);
    }
    settle_flying(m);
    restart_from_durable(m);
}

void memdisk_kill(struct memdisk *m)
{
    for (struct memfile *f = m->files; f; f = f->next) {
        memcpy(f->durable, f->now, f->bytes);
        memset(f->dirty, 0, sectors(f->bytes));
    }
    settle_flying(m);
    restart_from_durable(m);
}

void memdisk_revive(struct memdisk *m)
{
    CHECK(m->flying_count == 0);
    memset(m->handles, 0, sizeof m->handles);
    m->dead = false;
    sweep(m);
}

/* --- the hand of the tester --- */

void memdisk_flip(struct memfile *f, uint64_t bit)
{
    CHECK(bit / 8 < f->bytes);
    f->now[bit / 8] ^= (unsigned char)(1 << bit % 8);
    f->durable[bit / 8] ^= (unsigned char)(1 << bit % 8);
}

void memdisk_fill(struct memfile *f, uint64_t offset, uint64_t bytes, int value)
{
    CHECK(offset + bytes <= f->bytes);
    memset(f->now + offset, value, bytes);
    memset(f->durable + offset, value, bytes);
}

void memdisk_truncate(struct memfile *f, uint64_t bytes)
{
    file_resize(f, bytes);
    f->durable_bytes = bytes;
}

void memdisk_erase(struct memdisk *m, const char *name)
{
    struct memfile *f = memdisk_find(m, name);

    CHECK(f);
    f->linked = false;
    sweep(m);
}

void memdisk_copy(struct memdisk *to, const char *name, const struct memfile *from)
{
    struct memfile *f = file_new(to, name, from->bytes);

    memcpy(f->now, from->durable, from->bytes);
    memcpy(f->durable, from->durable, from->bytes);
    f->durable_bytes = from->bytes;
}

void memdisk_clone(struct memdisk *to, const struct memdisk *from)
{
    memdisk_init(to, from->random);
    for (const struct memfile *f = from->files; f; f = f->next)
        if (f->linked)
            memdisk_copy(to, f->name, f);
}
