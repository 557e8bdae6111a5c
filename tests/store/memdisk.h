/* memdisk.h -- a disk in memory that behaves as badly as disks do.
 *
 * Every file has two images: what is durable, and what a reader sees now. Requests land
 * after a drawn time, hence in a drawn order. A power loss keeps of each sector that was
 * not durable the old bytes, the new ones, or a mixture; all drawn from one seed, so that
 * the same seed and the same calls give the same bytes.
 */
#pragma once
#include "store/disk.h"

/* How far apart the cases of a long row are. Sanitizers multiply the time of these tests,
 * and get every so many of the cases; the release build has them all. */
#ifdef __has_feature
#define HAS_SANITIZER(name) __has_feature(name)
#else
#define HAS_SANITIZER(name) 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS_SANITIZER(thread_sanitizer)
#define KIT_STEP 11U
#elif defined(__SANITIZE_ADDRESS__) || HAS_SANITIZER(address_sanitizer)
#define KIT_STEP 3U
#else
#define KIT_STEP 1U
#endif

enum {
    MEMDISK_SECTOR = 512,
    MEMDISK_IN_FLIGHT = 512,
    MEMDISK_HANDLES = 1024,
};

struct memfile {
    struct memfile *next;
    char name[DISK_NAME_MAX];
    unsigned char *now, *durable;
    unsigned char *dirty; /* one byte a sector: written, not synced */
    uint64_t bytes, durable_bytes;
    bool linked;    /* has a name in the folder */
    unsigned links; /* what is told of it; the tester sets more than one */
};

enum memdisk_fault_kind {
    FAULT_NONE,
    FAULT_ERROR,     /* lands with `error` and changes nothing */
    FAULT_SHORT,     /* lands after `bytes` bytes */
    FAULT_LOST,      /* lands well and changes nothing */
    FAULT_MISPLACED, /* lands well, `bytes` further on */
    FAULT_UNSYNCED,  /* lands well, and only the page cache has it */
    FAULT_POWER,     /* the power goes as it is handed over */
};

/* Hits the calls number `at` (from 1) among those whose kind is in `calls`. */
struct memdisk_fault {
    enum memdisk_fault_kind kind;
    unsigned calls; /* 1 << DISK_COMMIT | … */
    uint64_t at;
    bool for_ever; /* and all after it */
    int error;     /* positive errno */
    uint32_t bytes;
    uint64_t seen; /* counted by the disk */
    uint64_t hits;
};

struct memdisk {
    struct disk disk;
    uint64_t random;
    uint64_t now_ns;
    uint64_t latency_min_ns, latency_max_ns; /* of a call; equal: lands in order */
    uint64_t capacity;                       /* bytes of all files; 0: no limit */
    struct memdisk_fault fault;
    uint64_t calls[DISK_LINKS + 1]; /* how many of each were made */
    uint64_t read_bytes;            /* of all reads */
    bool cached;                    /* the page cache has it all: peeks are answered */
    uint64_t peeks;                 /* that were */
    bool dead; /* nothing changes any more, everything lands with EIO */

    struct memfile *files;
    struct {
        struct memfile *file;
        bool writable;
    } handles[MEMDISK_HANDLES];
    unsigned handles_max; /* open at once; 0: all of them */
    struct {
        struct disk_op *op;
        uint64_t due_ns;
        uint64_t order;
        int32_t error;
        enum memdisk_fault_kind fault;
    } flying[MEMDISK_IN_FLIGHT];
    unsigned flying_count;
    unsigned flying_most; /* commits at once, ever */
    uint64_t order;
};

void memdisk_init(struct memdisk *m, uint64_t seed);
void memdisk_free(struct memdisk *m);

/* A number below n, from the seed. */
uint64_t memdisk_draw(struct memdisk *m, uint64_t n);

/* Lands the next request; false when none is in flight. */
bool memdisk_step(struct memdisk *m);

/* Lets time pass until `due_ns`, when nothing is in flight; false: that is over already,
 * or longer than a tenth of a second to go, which is as good as never. */
bool memdisk_wait(struct memdisk *m, uint64_t due_ns);

/* The power goes, or the process only. What is in flight is settled by the seed; the disk
 * is dead until memdisk_revive(), so that the process can give its memory back. */
void memdisk_power_loss(struct memdisk *m);
void memdisk_kill(struct memdisk *m);
void memdisk_revive(struct memdisk *m);

/* How many are open, for reading and writing or for reading only. */
unsigned memdisk_open_files(const struct memdisk *m, bool writable);

/* --- the hand of the tester --- */

struct memfile *memdisk_find(struct memdisk *m, const char *name);
void memdisk_flip(struct memfile *f, uint64_t bit);
void memdisk_fill(struct memfile *f, uint64_t offset, uint64_t bytes, int value);
void memdisk_truncate(struct memfile *f, uint64_t bytes);
void memdisk_erase(struct memdisk *m, const char *name);

/* A copy of a file under another name, perhaps on another disk. */
void memdisk_copy(struct memdisk *to, const char *name, const struct memfile *from);

/* Everything that is durable on `from`; `to` is initialised by it. */
void memdisk_clone(struct memdisk *to, const struct memdisk *from);

/* Bytes of all files. */
uint64_t memdisk_used(const struct memdisk *m);
