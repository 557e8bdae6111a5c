/* options_table.h -- the flags as an array. Private to options*.c. */
#pragma once
#include "bench/options.h"

enum flag_type {
    FLAG_GROUP, /* a heading, no flag */
    FLAG_SWITCH,
    FLAG_TEXT,
    FLAG_COUNT,
    FLAG_TIME,
    FLAG_RATE,
    FLAG_WORD, /* one of those in `value`, as its index */
    FLAG_TARGET,
    FLAG_PIDS
};

struct flag {
    enum flag_type type;
    const char *name;  /* of a group: its title */
    const char *value; /* what stands for the value in help; of a WORD: the words */
    const char *preset;
    uint64_t min, max; /* of a COUNT; of a TEXT its octets at most, 0: any number */
    unsigned modes;    /* bits 1 << enum mode_kind */
    const char *help;
    size_t offset; /* in struct options */
};

extern const struct flag options_table[];
extern const unsigned options_table_count;
