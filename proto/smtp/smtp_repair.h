/* smtp_repair.h -- what a submission server mends in a message that its user's program
 * left unfinished (RFC 6409, 8), as the text streams through.
 *
 *   * Date, Message-ID and From that are missing are added behind the last field (RFC
 *     6409, 8.2 and 8.3; RFC 5322, 3.6: there must be one Date and one From), Sender
 *     where From names several authors (RFC 5322, 3.6.2; RFC 6409, 8.1).
 *   * Bcc and Resent-Bcc go: blind recipients are not revealed (RFC 5322, 3.6.3 and 5).
 *   * Return-Path goes: it is made by the last server (RFC 5321, 4.4), and so does a
 *     first line "From ...", which mailbox files have and messages don't (RFC 4155).
 *   * A header that is not followed by an empty line gets one in front of the first line
 *     that can't belong to it, or at the end.
 *
 * All else passes octet for octet. At no time is more held than a field name, or one
 * From field that is looked at.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/slice.h"

enum {
    /* A longer run without a colon begins no field. */
    SMTP_REPAIR_NAME_MAX = 250,
    /* Octets of the From fields that are looked at. */
    SMTP_REPAIR_FROM_MAX = 32 << 10,
    /* What the arena is asked for, at most. */
    SMTP_REPAIR_BYTES_MAX = SMTP_REPAIR_FROM_MAX * 9
};

/* The slices stay until the end of the message. */
struct smtp_repair_conf {
    struct slice user; /* the address that has logged in: From or Sender where needed */
    struct slice id;   /* of the message, unique in this host; letters, digits, - and . */
    struct slice host; /* our name; behind the @ of Message-ID */
    int64_t time_s;    /* of Date; seconds since 1970 */
    int zone_minutes;  /* east of UTC */
    /* May the user be an author under this address, local@domain? NULL: anybody may. */
    bool (*may_write_as)(void *arg, struct slice address);
    void *arg;
};

struct smtp_repair {
    bool denied;    /* From names an address that may_write_as() denies, or too many */
    bool no_memory; /* the arena had no room; the text is not what it should be */
    /* Private from here. */
    const struct smtp_repair_conf *conf;
    struct arena *arena;
    uint8_t at;    /* enum repair_at: behind the last octet */
    uint8_t field; /* enum repair_field: the one under way */
    bool cr;       /* the last octet was a CR */
    bool blank;    /* the name that is held ends with blanks */
    uint8_t ready_count, ready_next;
    uint16_t fields; /* bits: those that have passed */
    uint16_t held;   /* octets of `name` that wait for a decision */
    uint32_t from_len, from_cap;
    char *from;            /* the values of From */
    struct slice ready[4]; /* comes out before any more input is taken */
    char name[SMTP_REPAIR_NAME_MAX + 1];
};

/* For each message; the arena outlives it. */
void smtp_repair_begin(
    struct smtp_repair *r, const struct smtp_repair_conf *conf, struct arena *arena);

/* The next run of text that goes on, a part of `in` or made here; good until the next
 * call. False: `in` is used up. */
bool smtp_repair_next(struct smtp_repair *r, struct slice *in, struct slice *run);

/* The text has ended: what is still to come; called until it is false. */
bool smtp_repair_end(struct smtp_repair *r, struct slice *run);
