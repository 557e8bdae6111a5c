/* room.h -- bytes that are put together, in memory that grows. */
#pragma once
#include "proto/base/slice.h"

/* Zeroed it is empty; its owner frees `at`. */
struct room {
    char *at;
    size_t len, cap;
};

/* Adds `bytes` at the end. False: no memory for them, or more than a gigabyte. */
bool room_put(struct room *room, struct slice bytes);
