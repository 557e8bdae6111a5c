/* micro.h -- the frame of the micro-benchmarks: cases, each beside a reference.
 *
 *      open() --> run(), reference(), run(), reference() ... --> close()
 *
 * What a machine does in a second says little on another, or on the same one a minute
 * later. So each case carries the plainest C that passes over the same bytes (memchr,
 * memcpy, an array, write and fdatasync), both are measured in turns in one run, and the
 * figure that counts is the ratio.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum micro_unit { MICRO_BYTES, MICRO_TIMES };

/* Does the work `passes` times; returns how many units that was. */
typedef uint64_t micro_fn(void *state, uint64_t passes);

struct micro {
    const char *name;
    const char *against; /* what the reference is, in a few words */
    enum micro_unit unit;
    bool wall;      /* waits for the disk: by the wall clock; else by CPU time */
    unsigned size;  /* parameters of the case */
    unsigned depth; /* likewise */
    void *(*open)(const struct micro *m);
    micro_fn *run, *reference;
    void (*close)(void *state);
};

/* The tables, each ending with a case without a name. */
extern const struct micro micro_text[], micro_imap[], micro_mime[], micro_index[],
    micro_commit[];

struct micro_options {
    const char *only, *dir;
    bool list, json, quick;
};
extern struct micro_options micro_options;

/* A folder on the disk that --dir names, removed with all that is in it at the end. */
const char *micro_folder(void);

/* The run can't go on: says why in one line, exits with 1. */
_Noreturn void micro_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Memory that is there, already touched, so that no run pays for its page faults. */
void *micro_take(size_t bytes);

/* The compiler must take this for used, and all memory for changed. */
static inline void micro_keep(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}
