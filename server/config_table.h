/* config_table.h -- config_flags.h as an array. Private to config*.c. */
#pragma once
#include "server/config_limits.h"

enum flag_type {
    FLAG_GROUP, /* a heading, no flag */
    FLAG_SWITCH,
    FLAG_TEXT,
    FLAG_TEXTS,
    FLAG_COUNT,
    FLAG_SIZE,
    FLAG_SECONDS,
    FLAG_LISTEN,
    FLAG_NETWORKS,
    FLAG_WORD
};

struct flag {
    enum flag_type type;
    const char *name;   /* of a group: its title */
    const char *value;  /* what stands for the value in help */
    const char *preset; /* as an operator would write it, "" for none */
    uint64_t min, max;  /* LISTEN: enum protocol, TLS from the start */
    const char *help;
    size_t offset; /* in struct config */
};

extern const struct flag config_table[];
extern const unsigned config_table_count;

/* In the list, or the list is NULL. */
bool config_listed(const char *const *only, const char *name);
/* Repeating the flag adds to it. */
bool config_repeats(const struct flag *flag);
/* "64M", "5m", "1000": shortest exact form. */
void config_print_number(struct out *out, enum flag_type type, uint64_t value);
