/* records.h -- what the payload of each record kind says.
 *
 * The specification of everything the index writes: fixed parts are the packed structs
 * below, little-endian, followed by the arrays named in the comment, in that order,
 * without padding. Every fixed part begins with the version of its layout.
 *
 *      CHUNK        rec_chunk, bytes
 *      MESSAGE      rec_message, owners, chunks, head, tail
 *      SUMMARY      rec_summary, owners, ends, blobs
 *      DELIVERY     rec_delivery, targets, keywords of each target, rest
 *      FLAGS        rec_delta, rec_flags, ranges, keywords
 *      EXPUNGE      rec_delta, rec_expunge, ranges, freed
 *      COPY         rec_delta, rec_copy, ranges
 *      RELOCATE     rec_delta, rec_relocate, moves
 *      MAILBOX      rec_delta, rec_mailbox, folders, name, to, freed
 *      USER         rec_delta, rec_user, folders, name, freed
 *      USER_STATE   rec_delta, rec_user_state, name, freed, mailboxes
 *      MAILBOX_STATE  rec_mailbox_state, pages, keywords, sets, entries
 *                   or (record flags STATE_PAGE) rec_page, entries
 *      UIDVALIDITY  rec_counters, fan-out ids, u64 next number of an entry of the queue
 *                   (from version 3 on)
 *      ADOPTED      rec_adopted, live bytes (rec_freed), straddles
 *      FANOUT       rec_fanout, rest
 *      FANOUT_DONE  rec_fanout_done
 *      QUEUE_ADDED  rec_queue_added, freed, envelope, state
 *      QUEUE_ATTEMPTED  rec_queue_attempted, freed, state
 *      QUEUE_DONE   rec_queue_done, freed
 *
 * The records that change one user, rec_delta and each target of a DELIVERY, are linked
 * backwards: `prev` is the place of the user's record before. A USER_STATE holds all
 * that the chain up to `applied` says.
 *
 * Numbers of users hold the number of the shard that made them and are never given
 * twice in a store; numbers of mailboxes are never given twice for a user, and 1 is
 * INBOX. Segments are named by the upper half of a place. Numbers of entries of the queue
 * are made like those of users.
 */
#pragma once
#include <assert.h>

#include "proto/base/check.h"
#include "proto/base/slice.h"
#include "store/bytes.h"

#define PACKED __attribute__((packed))

enum {
    RECORDS_VERSION = 1,
    MAILBOX_INBOX = 1,
    USER_SHARD_SHIFT = 40, /* user number = shard << 40 | counter; entries likewise */
    PAGE_ENTRIES = 512,    /* of a full page */
    KEYWORD_BYTES_MAX = 255,
    KEYWORDS_HARD_MAX = 256,  /* bits of a keyword set */
    KEYWORD_SETS_MAX = 8192,  /* of a mailbox; 13 bits in an entry */
    CLUSTER_SUMMARIES = 256,  /* of one SUMMARY record; 8 bits in an entry */
    SHARE_MAX = 15,           /* weight of a reference: 1 / 2^share; 4 bits */
    ACCOUNT_MESSAGE = 128,    /* live bytes of a message beside its octets */
    FANOUT_RECENT = 64 * 1024 /* fan-out ids remembered */
};

/* Flags of a record (record_header.flags). */
enum record_flag {
    STATE_PAGE = 1, /* MAILBOX_STATE: a page */
};

/* --- messages --- */

struct PACKED rec_chunk {
    uint8_t version, reserved[7];
};

/* A body is head, the chunks, tail. owners: u64 numbers of the users it was stored for;
 * only they, by copies of their own, can name it. */
struct PACKED rec_message {
    uint8_t version;
    uint8_t share; /* of each reference at birth */
    uint16_t reserved;
    uint32_t owner_count;
    uint32_t chunk_count;
    uint32_t head_bytes, tail_bytes;
    uint64_t size; /* octets of the whole message */
};
struct PACKED rec_part {
    uint64_t place; /* of a CHUNK */
    uint32_t bytes; /* of the message in it */
};

/* One or more summaries. ends: u32 offset at which each blob ends, from the first. */
struct PACKED rec_summary {
    uint8_t version, reserved;
    uint16_t count;
    uint32_t owner_count;
};

/* --- changes --- */

/* References to one message, for any number of users: all or none. Targets of one user
 * stand side by side and have the same prev. */
struct PACKED rec_delivery {
    uint8_t version;
    uint8_t summary_index;
    uint8_t share;
    uint8_t ends_with_crlf; /* 1: the message does; 0: unknown */
    int16_t date_zone;      /* minutes east */
    uint16_t target_count;
    uint32_t size;
    uint32_t rest_bytes; /* of an open fan-out's rest */
    int64_t date_s;
    uint64_t body, summary; /* places */
    uint64_t fanout_id;     /* 0: none */
};
struct PACKED rec_target {
    uint64_t user, prev, modseq;
    uint32_t mailbox, uid;
    uint8_t flags;
    uint8_t reserved;
    uint16_t keyword_count; /* strings: u8 length, bytes */
};

/* Begins every record that changes one user. */
struct PACKED rec_delta {
    uint8_t version;
    uint8_t what; /* FLAGS: enum flags_mode; MAILBOX: enum tree_change; USER: enum
                   * user_change; COPY: 1 to remove the originals */
    uint16_t reserved;
    uint32_t mailbox; /* whose counters follow; 0: none */
    uint64_t user, prev;
    uint64_t modseq; /* of that mailbox from here on; 0: as it was */
    int64_t bytes;   /* by how much the user's quota bytes change */
};

struct PACKED rec_range {
    uint32_t first, last; /* UIDs */
};

/* Bytes that died, by segment; for the choice of segments to compact only. */
struct PACKED rec_freed {
    uint32_t segment;
    uint64_t bytes;
};

struct PACKED rec_flags {
    uint8_t flags;
    uint8_t reserved;
    uint16_t keyword_count;
    uint32_t range_count;
};

struct PACKED rec_expunge {
    uint32_t count; /* messages */
    uint32_t range_count, freed_count;
};

/* rec_delta.mailbox is the target. The messages of the ranges become uid_first,
 * uid_first + 1, … in UID order. */
struct PACKED rec_copy {
    uint32_t from, uid_first, count, range_count;
    uint64_t modseq_from;
};

struct PACKED rec_relocate {
    uint32_t count;
};
struct PACKED rec_move {
    uint32_t uid;
    uint8_t summary_index;
    uint64_t body, summary; /* new places; 0: as it was */
};

enum tree_change {
    TREE_CREATE,       /* folders: parents first, then the new one */
    TREE_DELETE,       /* mailbox: becomes a level, or goes when it has no children */
    TREE_RENAME,       /* name and all below become to; folders: new parents of it */
    TREE_RENAME_INBOX, /* INBOX's messages move to the last of folders */
    TREE_SUBSCRIBE,
    TREE_UNSUBSCRIBE,
};
struct PACKED rec_mailbox {
    uint16_t folder_count, name_bytes, to_bytes, reserved;
    uint32_t mailbox; /* DELETE */
    uint32_t freed_count;
};
struct PACKED rec_folder {
    uint32_t mailbox; /* its number */
    uint32_t uid_validity;
    uint8_t use, reserved;
    uint16_t name_bytes; /* of the name that follows at once */
};

/* CREATED: its mailboxes are all subscribed. */
enum user_change { USER_CREATED, USER_REMOVED };
struct PACKED rec_user {
    uint32_t uid_validity; /* of INBOX */
    uint16_t folder_count; /* beside INBOX */
    uint16_t name_bytes;
    uint32_t freed_count;
};

/* --- states --- */

/* What the user's chain up to and with the record at `applied` has made. The records
 * between that and this one still count. */
struct PACKED rec_user_state {
    uint64_t applied; /* place; 0: nothing before it */
    uint64_t applied_seq;
    /* The head as it was when this record was added. */
    uint32_t uid_validity, uid_next; /* of INBOX */
    uint64_t modseq, bytes;
    uint32_t chain; /* records after `applied` */
    uint32_t next_mailbox;
    uint32_t mailbox_count, freed_count;
    uint16_t name_bytes;
    uint64_t applied_bytes; /* quota bytes, without the records that still count */
};

enum folder_flag { FOLDER_EXISTS = 1, FOLDER_SELECTABLE = 2, FOLDER_SUBSCRIBED = 4 };
struct PACKED rec_folder_state {
    uint32_t mailbox;
    uint8_t flags, use;
    uint16_t name_bytes; /* of the name that follows at once */
    uint32_t uid_validity, uid_next, recent_uid;
    uint64_t modseq;
    uint64_t state;            /* place of the MAILBOX_STATE; 0: it is empty */
    uint32_t state_bytes;      /* its payload */
    uint32_t seg_min, seg_max; /* segments of all that its state and entries name */
};

/* Small mailboxes hold their entries here, others in pages. */
struct PACKED rec_mailbox_state {
    uint8_t version, reserved;
    uint16_t keyword_count; /* strings: u8 length, bytes */
    uint32_t mailbox;
    uint64_t user;
    uint64_t flags_modseq;
    uint32_t page_count, set_count, entry_count;
};
struct PACKED rec_page_ref {
    uint64_t place;
    uint32_t bytes; /* of the payload */
    uint32_t count;
    uint32_t first, last; /* UIDs */
};
struct PACKED rec_page {
    uint8_t version, reserved[3];
    uint32_t mailbox;
    uint64_t user;
    uint32_t count;
};
struct keyword_set {
    uint64_t bits[KEYWORDS_HARD_MAX / 64];
};

/* A message in memory and on disk: forty bytes. */
struct packed_entry {
    uint32_t uid, size;
    int64_t date : 39;           /* seconds since 1970 UTC */
    uint64_t flags : 5;          /* enum message_flag */
    uint64_t doomed : 1;         /* memory only: an expunge of it is on its way */
    uint64_t changed : 1;        /* its flags have changed since it came */
    uint64_t share : 4;          /* weight of the reference to the body: 1 / 2^share */
    uint64_t ends_with_crlf : 1; /* the message does; 0: unknown */
    uint64_t set : 13;           /* number of the keyword set */
    uint64_t modseq : 44;
    int64_t zone : 12; /* minutes east */
    uint64_t summary_index : 8;
    uint64_t body, summary; /* places */
};

/* --- the shard's own --- */

struct PACKED rec_counters {
    uint8_t version, reserved[3];
    uint32_t uid_validity; /* highest given */
    uint64_t next_user;    /* counter part of the next user's number */
    uint32_t fanout_count; /* u64 ids stored lately */
};
/* What the log can't say of adopted segments, whose records are not replayed: how much of
 * each is alive at this record, and which messages in them have chunks in other segments.
 * The straddles of a message stand in one record, side by side, and replace older ones.
 */
struct PACKED rec_adopted {
    uint8_t version, reserved[3];
    uint32_t live_count, straddle_count;
};
struct PACKED rec_straddle {
    uint64_t message; /* place */
    uint32_t segment; /* that holds chunks of it, */
    uint32_t bytes;   /* so many */
};
struct PACKED rec_fanout {
    uint8_t version, reserved[3];
    uint32_t rest_bytes;
    uint64_t id, body;
};
struct PACKED rec_fanout_done {
    uint8_t version, reserved[7];
    uint64_t id;
};

/* --- the queue --- */

/* An entry as it is now: a second record of the same id replaces the first, when a
 * compaction has moved its message or what is said of it. freed: what the records before
 * took. */
struct PACKED rec_queue_added {
    uint8_t version;
    uint8_t share; /* of the entry's reference to the message */
    uint16_t reserved;
    uint32_t freed_count;
    uint32_t size; /* octets of the message */
    uint32_t envelope_bytes, state_bytes;
    uint64_t id, body; /* number, place of the message */
};
/* A new state. freed: what the state before took. */
struct PACKED rec_queue_attempted {
    uint8_t version, reserved[3];
    uint32_t freed_count, state_bytes;
    uint64_t id;
};
/* The end of the entry. freed: its part of the message, and its records. */
struct PACKED rec_queue_done {
    uint8_t version, reserved[3];
    uint32_t freed_count;
    uint64_t id;
};

static_assert(sizeof(struct rec_chunk) == 8, "disk format");
static_assert(sizeof(struct rec_message) == 28, "disk format");
static_assert(sizeof(struct rec_part) == 12, "disk format");
static_assert(sizeof(struct rec_summary) == 8, "disk format");
static_assert(sizeof(struct rec_delivery) == 48, "disk format");
static_assert(sizeof(struct rec_target) == 36, "disk format");
static_assert(sizeof(struct rec_delta) == 40, "disk format");
static_assert(sizeof(struct rec_flags) == 8, "disk format");
static_assert(sizeof(struct rec_expunge) == 12, "disk format");
static_assert(sizeof(struct rec_copy) == 24, "disk format");
static_assert(sizeof(struct rec_move) == 21, "disk format");
static_assert(sizeof(struct rec_mailbox) == 16, "disk format");
static_assert(sizeof(struct rec_folder) == 12, "disk format");
static_assert(sizeof(struct rec_user) == 12, "disk format");
static_assert(sizeof(struct rec_user_state) == 66, "disk format");
static_assert(sizeof(struct rec_folder_state) == 48, "disk format");
static_assert(sizeof(struct rec_mailbox_state) == 36, "disk format");
static_assert(sizeof(struct rec_page_ref) == 24, "disk format");
static_assert(sizeof(struct rec_page) == 20, "disk format");
static_assert(sizeof(struct packed_entry) == 40, "disk format");
static_assert(sizeof(struct rec_counters) == 20, "disk format");
static_assert(sizeof(struct rec_adopted) == 12, "disk format");
static_assert(sizeof(struct rec_straddle) == 16, "disk format");
static_assert(sizeof(struct rec_fanout) == 24, "disk format");
static_assert(sizeof(struct rec_fanout_done) == 16, "disk format");
static_assert(sizeof(struct rec_queue_added) == 36, "disk format");
static_assert(sizeof(struct rec_queue_attempted) == 20, "disk format");
static_assert(sizeof(struct rec_queue_done) == 16, "disk format");

/* --- reading them: bounds are checked, contents are not --- */

/* What is left of a payload. `bad` is sticky. */
struct reader {
    struct slice rest;
    bool bad;
};

static inline struct reader reader_of(struct slice payload)
{
    return (struct reader){payload, false};
}

/* The next n bytes, or none and `bad`. */
static inline struct slice reader_take(struct reader *r, uint64_t n)
{
    if (r->bad || n > r->rest.len) {
        r->bad = true;
        return slice_of(NULL, 0);
    }
    return slice_take(&r->rest, (size_t)n);
}

/* Copies the next n bytes; zeroes when there are too few. */
static inline void reader_copy(struct reader *r, void *to, size_t n)
{
    struct slice s = reader_take(r, n);

    if (r->bad)
        memset(to, 0, n);
    else if (n)
        memcpy(to, s.at, n);
}

/* A string behind its length in one byte. */
static inline struct slice reader_string(struct reader *r)
{
    uint8_t n;

    reader_copy(r, &n, 1);
    return reader_take(r, n);
}

static inline uint64_t u64_at(struct slice array, size_t i)
{
    uint64_t v;

    memcpy(&v, array.at + i * 8, 8);
    return v;
}

struct message_read {
    struct rec_message fixed;
    struct slice owners; /* u64 each */
    const struct rec_part *parts;
    struct slice head, tail;
};
bool message_read(struct slice payload, struct message_read *m);

struct summaries_read {
    struct rec_summary fixed;
    struct slice owners, ends, blobs;
};
bool summaries_read(struct slice payload, struct summaries_read *s);
/* The i-th of them; empty when there is none. */
struct slice summaries_at(const struct summaries_read *s, unsigned i);

struct delivery_read {
    struct rec_delivery fixed;
    const struct rec_target *targets;
    struct reader keywords; /* of the first target; then of the next, … */
    struct slice rest;
};
/* Its cost does not grow with the number of targets when none has a keyword. */
bool delivery_read(struct slice payload, struct delivery_read *d);

/* What a DELIVERY says to one of its users: the same with his targets alone, in `copy`,
 * or the payload itself where there is nothing to leave out. `near`: where they may
 * begin. at == NULL: no memory. */
struct slice delivery_share(
    struct slice payload, uint64_t user, uint32_t near, struct bytes *copy);

/* Any record that begins with rec_delta; `body` is what follows. */
struct delta_read {
    struct rec_delta fixed;
    struct reader body;
};
bool delta_read(struct slice payload, struct delta_read *d);

struct ranges_read {
    const struct rec_range *at;
    uint32_t count;
};

struct flags_read {
    struct rec_flags fixed;
    struct ranges_read ranges;
    struct reader keywords;
};
bool flags_read(struct reader body, struct flags_read *f);

struct expunge_read {
    struct rec_expunge fixed;
    struct ranges_read ranges;
    const struct rec_freed *freed;
};
bool expunge_read(struct reader body, struct expunge_read *e);

struct copy_read {
    struct rec_copy fixed;
    struct ranges_read ranges;
};
bool copy_read(struct reader body, struct copy_read *c);

struct relocate_read {
    const struct rec_move *moves;
    uint32_t count;
};
bool relocate_read(struct reader body, struct relocate_read *r);

struct tree_read {
    struct rec_mailbox fixed;
    struct reader folders; /* folder_next() */
    struct slice name, to;
    const struct rec_freed *freed;
};
bool tree_read(struct reader body, struct tree_read *t);

struct user_read {
    struct rec_user fixed;
    struct reader folders;
    struct slice name;
    const struct rec_freed *freed;
};
bool user_read(struct reader body, struct user_read *u);

struct folder_read {
    struct rec_folder fixed;
    struct slice name;
};
bool folder_next(struct reader *folders, struct folder_read *f);

struct user_state_read {
    struct rec_user_state fixed;
    struct slice name;
    const struct rec_freed *freed;
    struct reader folders; /* folder_state_next() */
};
/* Not the folders: user_state_whole(). */
bool user_state_read(struct reader body, struct user_state_read *s);
/* Are all folders there? */
bool user_state_whole(const struct user_state_read *s);
struct folder_state_read {
    struct rec_folder_state fixed;
    struct slice name;
};
bool folder_state_next(struct reader *folders, struct folder_state_read *f);

struct mailbox_state_read {
    struct rec_mailbox_state fixed;
    const struct rec_page_ref *pages;
    struct reader keywords;
    struct slice sets, entries;
};
bool mailbox_state_read(struct slice payload, struct mailbox_state_read *s);

struct page_read {
    struct rec_page fixed;
    struct slice entries;
};
bool page_read(struct slice payload, struct page_read *p);

struct queue_added_read {
    struct rec_queue_added fixed;
    const struct rec_freed *freed;
    struct slice envelope, state;
};
bool queue_added_read(struct slice payload, struct queue_added_read *q);

struct queue_attempted_read {
    struct rec_queue_attempted fixed;
    const struct rec_freed *freed;
    struct slice state;
};
bool queue_attempted_read(struct slice payload, struct queue_attempted_read *q);

struct queue_done_read {
    struct rec_queue_done fixed;
    const struct rec_freed *freed;
};
bool queue_done_read(struct slice payload, struct queue_done_read *q);
