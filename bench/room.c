#include "bench/room.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_MIN = 1024, ROOM_MAX = 1 << 30 };

static bool grow(struct room *room, size_t more)
{
    size_t cap = room->cap ? room->cap : ROOM_MIN;
    char *at;

    while (cap < room->len + more)
        cap *= 2;
    if (cap == room->cap)
        return true;
    at = cap <= ROOM_MAX ? realloc(room->at, cap) : NULL;
    if (!at)
        return false;
    room->at = at;
    room->cap = cap;
    return true;
}

bool room_put(struct room *room, struct slice bytes)
{
    if (!grow(room, bytes.len))
        return false;
    memcpy(room->at + room->len, bytes.at, bytes.len);
    room->len += bytes.len;
    return true;
}
