/* store.h -- the whole public face of one shard's store.
 *
 * A store owns the users of one shard, their mailboxes and one message log. It is
 * used by one thread, never blocks, and speaks to the disk through store/disk.h.
 *
 *   change:  store_xxx(request) --> record in the open batch --> durable --> applied
 *            in memory, views told --> request.done(OK)
 *   read:    from memory at once, or through the disk and a completion
 *
 * A change gets its UID and modseq when it enters a batch; no session sees it before
 * the commit that holds it, and all before it, are on the disk. Requests are owned by
 * the caller and must stay alive until done() has run; slices in a request too (the text
 * of a message until it is copied).
 * done() is never called from inside the call that started the request.
 */
#pragma once
#include "proto/base/list.h"
#include "proto/base/op.h"
#include "proto/base/slice.h"
#include "store/log_counts.h"

struct disk;
struct store;
struct user;    /* an account whose state is in memory; pinned while open */
struct mailbox; /* one of its mailboxes */

#define STORE_COMPACT_NEVER UINT32_MAX /* as compact_percent */

struct store_conf {
    uint64_t store_id;
    uint32_t shard; /* its number, never given twice in a store */
    /* This is number `lane` of the `lanes` shards that the store has now: they deal out
     * the numbers of segments among them. 0 of 0: there is no other. */
    uint32_t lanes, lane;
    uint32_t segments_from; /* a new store's segments have numbers from here on */
    uint32_t segment_bytes;
    uint32_t files_max;        /* finished segments open for reading at once: 128 */
    uint32_t commit_wait;      /* struct log_conf */
    uint64_t recent_bytes;     /* memory for the newest batches */
    uint64_t index_bytes;      /* memory for the heads of all users and, soft, for those
                                * that are loaded: cold ones are evicted; a quarter of
                                * it is theirs however many heads there are */
    uint64_t checkpoint_bytes; /* log bytes between checkpoints */
    uint32_t compact_percent;  /* disk use allowed, in percent of live bytes: 150; or
                                * STORE_COMPACT_NEVER */
    uint32_t folds_max;        /* users whose state is written at once: 8 */
    uint32_t mailboxes_max;    /* a user: 10,000 */
    uint32_t names_bytes_max;  /* all names of a user, 48 more for each: 960 KiB, so that
                                * his state needs no more memory than a slab of the log */
    uint32_t keywords_max;     /* a mailbox: 256 */
    uint64_t quota_bytes;      /* a user; 0: none */
    /* Mailboxes made for a new account, beside INBOX. */
    const struct store_folder {
        struct slice name; /* UTF-8, '/' between levels */
        uint8_t use;       /* enum mailbox_use */
    } * folders;
    unsigned folder_count;
    /* Called when work is ready for store_turn() that no op announces. */
    void (*wake)(void *arg);
    /* Events for the operator: damage, read-only, full disk, recovery. key=value text. */
    void (*event)(void *arg, int level, const char *event, const char *text);
    void *arg;
};

/* What every request begins with. */
struct store_op {
    struct list link; /* private */
    void (*done)(struct store_op *op, enum status status);
    bool pending;         /* until done() is called */
    uint8_t kind, status; /* private */
    void *owner;          /* private */
};

/* Recovers and opens; blocks, start only. now_s: seconds since 1970. */
enum status store_open(struct store **store, struct disk *disk,
    const struct store_conf *conf, int64_t now_s);

/* The time (of the disk's clock, ns) at which store_turn() has to run again even if
 * nothing else happens; UINT64_MAX: none. Coming late costs latency only. */
uint64_t store_due_ns(const struct store *store);

/* Once a turn, before the sessions, so that what they say goes out in this turn: answers
 * what commits and reads have released since the last one. store_turn() does it too. */
void store_answer(struct store *store);

/* Once a turn, after the sessions: starts the commit, does a slice (well below 1 ms) of
 * long work. Returns true when it wants another turn at once. */
bool store_turn(struct store *store, int64_t now_s);

/* Takes the memory for the newest batches from the system, so that no delivery pays for a
 * page fault: a piece of it, from its `at`-th octet on, and says how long that was; 0:
 * all is there. On any thread, while the store's own works. */
size_t store_fill_recent(const struct store *store, size_t at);

/* Takes no new change, writes a checkpoint; op->done when all is durable. */
void store_stop(struct store *store, struct store_op *op);
void store_close(struct store *store);

bool store_read_only(const struct store *store); /* after a failed sync */

struct store_stats {
    uint64_t users, users_loaded, index_bytes, log_bytes, live_bytes, commits, records,
        tail_cut_bytes, damaged_ranges, compacted_bytes;
    uint64_t queue_entries, queue_bytes; /* octets of their messages */
    uint64_t users_read, users_evicted;  /* into memory, and out of it */
    uint64_t segments, recent_bytes;     /* of the log; in memory */
    const struct log_counts *log;        /* good while the store is open */
};
void store_stats(const struct store *store, struct store_stats *stats);

/* ---- messages coming in ------------------------------------------------ */

/* A part of a large body, written ahead of its message. Pieces in order; all but the
 * last of a message STORE_CHUNK_BYTES long. What no message names is dead space. */
enum { STORE_CHUNK_BYTES = 128 * 1024, STORE_INLINE_MAX = 128 * 1024 };
struct store_chunk {
    struct store_op op;
    struct slice bytes;
    uint64_t place; /* out, with done(OK) */
};
void store_chunk(struct store *store, struct store_chunk *c);
/* No message will name this chunk: its upload was given up. Compaction leaves a segment
 * alone while it holds chunks that are neither named nor dropped. */
void store_chunk_drop(struct store *store, uint64_t place);

/* One copy for one mailbox of one user. */
struct store_target {
    struct slice
        user; /* canonical account name; made if new (accounts are the caller's affair) */
    struct slice mailbox; /* UTF-8; empty: INBOX. One that does not exist: NOT_FOUND for
                           * APPEND, INBOX for deliveries */
    const struct slice *keywords;
    unsigned keyword_count;
    uint32_t uid, uid_validity; /* out */
    uint32_t tag;               /* the caller's own */
    uint8_t flags;              /* enum message_flag */
    uint8_t status;             /* out, with `each`: OK, or what kept it out */
    void *held, *head;          /* private */
};

enum {
    STORE_QUEUE_MAX = 1024,                /* entries made at once */
    STORE_QUEUE_ENVELOPE_MAX = 1000 << 10, /* octets of an envelope, */
    STORE_QUEUE_STATE_MAX = 1000 << 10,    /* of a state; more is LIMIT */
};

/* A change of an entry of the queue (see below): a new state, or its end. */
struct store_queue_change {
    struct store_op op;
    uint64_t id;
    bool done;          /* the entry is gone, and its hold on the message with it */
    struct slice state; /* else: replaces the one before */
};

/* A message to store: one body, all its targets and entries of the queue in this shard,
 * and what it settles, in one batch: all or none. Body = head, the chunks, tail. LIMIT:
 * over quota, or more than a batch holds. NOT_FOUND: APPEND to no mailbox; what it
 * settles is no entry (any more). */
struct store_message {
    struct store_op op;
    struct slice head;      /* trace fields, then the body while it is small */
    const uint64_t *chunks; /* places of store_chunk()s, in order */
    const uint32_t *chunk_bytes;
    uint32_t chunk_count;
    struct slice tail;    /* the last bytes; head + tail <= 2 * STORE_INLINE_MAX */
    uint64_t size;        /* all of it, octets */
    struct slice summary; /* encoded, proto/mime/summary.h; opaque here */
    int64_t date_s;       /* internal date, UTC */
    int16_t date_zone;    /* and its zone in minutes east */
    struct store_target *targets;
    unsigned target_count; /* may be 0 when it has entries: needs no summary then */
    unsigned found;        /* private: so many have been looked up */
    bool append;           /* IMAP APPEND: mailboxes must exist */
    bool each;          /* targets that can't have it (LIMIT, NOT_FOUND) are left out; the
                         * answer is OK when anything was stored */
    bool promised;      /* its sender has been told that it is stored: no quota */
    uint64_t fanout_id; /* not 0: part of a delivery to several shards; a second
                         * message with the same id is not stored again: OK */
    struct slice fanout_rest; /* first owner only: opaque account of the other shards'
                               * share, kept until store_fanout_done() */
    const struct slice *queue_envelopes; /* each becomes an entry of the queue */
    unsigned queue_count;                /* up to STORE_QUEUE_MAX */
    uint64_t *queue_ids; /* out, queue_count of them; 0: the fan-out was known */
    const struct store_queue_change *settles; /* NULL, or durable with this message: a
                                               * report, and the state that it was made.
                                               * Its op is not used */
    bool copied; /* out: head, tail and summary are not read any more */
};
void store_message(struct store *store, struct store_message *m);

/* All other shards have stored their share of fanout_id. Needs no answer. */
void store_fanout_done(struct store *store, uint64_t fanout_id);

/* Fan-outs that were open when the store was opened, to finish before listening: body
 * by fanout->body, share by fanout->rest. Returns false past the last. */
struct store_fanout {
    uint64_t id;
    struct slice rest;
    uint64_t body; /* for body_open_place() */
};
bool store_fanout_open(struct store *store, unsigned i, struct store_fanout *fanout);

/* What is left of an open fan-out becomes entries of the queue, which take over its
 * body, and the fan-out is over: in one batch. NOT_FOUND: it is not open (any more).
 * Works on a full disk. */
struct store_fanout_queue {
    struct store_op op;
    uint64_t fanout_id;
    uint64_t size;                 /* of the message */
    const struct slice *envelopes; /* an entry each; up to STORE_QUEUE_MAX */
    unsigned count;
    uint64_t *ids; /* out */
};
void store_fanout_queue(struct store *store, struct store_fanout_queue *q);

/* ---- the queue --------------------------------------------------------- */

/* An entry holds on to one message, whatever is expunged: it is there until a change says
 * that it is done. Entries are in memory, durable ones only. Their ids ascend in the
 * order they came, but for entries that a resharding brought, and are never given twice
 * in a store (shard << 40 | counter). */
struct store_queued {
    uint64_t id;
    uint64_t body, size;   /* for body_open_place(); moves with a compaction: look it up
                            * anew for each use */
    struct slice envelope; /* opaque; never changes */
    struct slice state;    /* opaque; empty at first. The newest, durable or on its way */
};
/* NOT_FOUND: no such entry (any more). Works on a full disk. */
void store_queue_change(struct store *store, struct store_queue_change *c);

/* Slices are good until the next call of the store that may change the entry. */
bool store_queue_find(const struct store *store, uint64_t id, struct store_queued *out);
/* The entry with the lowest id above; 0: the first of all. False: there is none. */
bool store_queue_after(const struct store *store, uint64_t id, struct store_queued *out);

/* ---- users ------------------------------------------------------------- */

struct user_open {
    struct store_op op;
    struct slice name; /* canonical, "user@domain" in lower case */
    bool create;       /* make it, with INBOX and the usual folders, if it is new */
    struct user *user; /* out, pinned until user_close() */
};
/* NOT_FOUND, CORRUPT (its state can't be read), NO_SPACE. */
void user_open(struct store *store, struct user_open *o);
void user_close(struct user *user);

/* Removes the account and all its mail. Views of it become empty; open users get
 * user_removed(). A later user of the same name starts afresh with new UIDVALIDITYs. */
struct user_remove {
    struct store_op op;
    struct slice name;
    void *work; /* private */
};
void user_remove(struct store *store, struct user_remove *r);
bool user_removed(const struct user *user);
uint64_t user_bytes(const struct user *user); /* for quota: sum of message sizes */
/* The same by name, whether he is in memory or not; 0: nobody of that name. */
uint64_t store_user_bytes(const struct store *store, struct slice name);

/* The i-th user known to this shard, in no special order; false past the last. */
bool store_user_at(const struct store *store, unsigned i, struct slice *name);

/* ---- mailboxes --------------------------------------------------------- */

enum mailbox_use { /* RFC 6154 */
    USE_NONE,
    USE_ALL,
    USE_ARCHIVE,
    USE_DRAFTS,
    USE_FLAGGED,
    USE_JUNK,
    USE_SENT,
    USE_TRASH
};

struct mailbox_info {
    struct slice name; /* UTF-8, levels divided by '/' */
    uint8_t use;
    bool selectable; /* false: only a level of hierarchy (RFC 3501, 6.3.4) */
    bool exists;     /* false: subscribed, but there is no such mailbox */
    bool subscribed;
    bool has_children;
    uint32_t uid_validity, uid_next;
    uint64_t modseq;
};

/* The i-th name of the user, sorted as bytes with '/' lowest, so that children follow
 * their parent: INBOX, every mailbox, every subscription without one. False past the
 * last. The list may change between turns: go on with user_mailbox_after(). */
bool user_mailbox_at(struct user *user, unsigned i, struct mailbox_info *info);
unsigned user_mailbox_after(
    struct user *user, struct slice name); /* index of the first name above */
bool user_mailbox_find(struct user *user, struct slice name, struct mailbox_info *info);

enum mailbox_change {
    MAILBOX_CREATE,
    MAILBOX_DELETE,
    MAILBOX_RENAME,
    MAILBOX_SUBSCRIBE,
    MAILBOX_UNSUBSCRIBE
};

/* One change to the tree of names. Names are checked by the caller (length, levels,
 * characters); here: EXISTS, NOT_FOUND, INVALID (INBOX, below itself, has no name),
 * LIMIT. CREATE makes missing parents; a RENAME takes the whole tree along in one record;
 * RENAME of INBOX moves its messages (RFC 3501, 6.3.5); DELETE with children leaves a
 * level that can't be selected. */
struct mailbox_op {
    struct store_op op;
    enum mailbox_change change;
    struct slice name, to;
    uint8_t use;           /* CREATE */
    uint32_t uid_validity; /* out, CREATE */
    void *work;            /* private */
};
void mailbox_change(struct user *user, struct mailbox_op *m);

struct mailbox_status {
    uint32_t messages, recent, unseen, deleted, uid_next, uid_validity;
    uint64_t modseq, size;
};

/* Brings a mailbox into memory, pinned. NOT_FOUND also when it can't be selected. */
struct mailbox_open {
    struct store_op op;
    struct slice name;
    struct mailbox *mailbox; /* out, until mailbox_close() */
};
void mailbox_open(struct user *user, struct mailbox_open *o);
void mailbox_close(struct mailbox *mailbox);
void mailbox_status(struct mailbox *mailbox, struct mailbox_status *status);
bool mailbox_gone(const struct mailbox *mailbox); /* deleted meanwhile */

/* ---- messages ---------------------------------------------------------- */

enum message_flag { /* bits */
    FLAG_ANSWERED = 1,
    FLAG_FLAGGED = 2,
    FLAG_DELETED = 4,
    FLAG_SEEN = 8,
    FLAG_DRAFT = 16
};

/* A message as the index knows it. */
struct entry {
    uint32_t uid;
    uint8_t flags;
    bool recent;       /* in views only */
    uint16_t keywords; /* number of the keyword set, mailbox_keywords() */
    uint64_t modseq;
    int64_t date_s;
    int16_t date_zone;
    uint64_t size;
    uint64_t body;         /* place of the message record */
    uint64_t summary;      /* place of the summary record */
    uint8_t summary_index; /* which of the summaries in it */
    bool ends_with_crlf;   /* the message does; false: unknown */
};

/* The keywords of a mailbox, in the order they came; false past the last. */
bool mailbox_keyword_at(const struct mailbox *mailbox, unsigned i, struct slice *keyword);
/* Is keyword i in the set? */
bool mailbox_keyword_in(const struct mailbox *mailbox, uint16_t set, unsigned i);
/* Index of a keyword, compared without case, or -1. */
int mailbox_keyword_find(const struct mailbox *mailbox, struct slice keyword);

struct uid_range {
    uint32_t first, last;
};

enum flags_mode { FLAGS_SET, FLAGS_ADD, FLAGS_REMOVE };

/* Changes flags of the messages in sorted, disjoint UID ranges. Applied to what the
 * messages have when the change's turn comes, so concurrent adds and removes both count.
 * New keywords are made. LIMIT: too many keywords; nothing is changed. */
struct flags_op {
    struct store_op op;
    const struct uid_range *uids;
    unsigned uid_count;
    enum flags_mode mode;
    uint8_t flags;
    const struct slice *keywords;
    unsigned keyword_count;
    uint64_t modseq; /* out */
};
void mailbox_flags(struct mailbox *mailbox, struct flags_op *f);

/* Removes those of the given messages that carry \Deleted when it enters the batch (all
 * given ones with `always`: POP3, MOVE). uids NULL: the whole mailbox. */
struct expunge_op {
    struct store_op op;
    const struct uid_range *uids;
    unsigned uid_count;
    bool always;
    uint32_t count; /* out: how many went */
    uint32_t from;  /* private: the next UID, and the range it is in */
    unsigned at;
};
void mailbox_expunge(struct mailbox *mailbox, struct expunge_op *e);

/* Copies messages, in UID order, to another mailbox of the same user: new references to
 * the same bodies, flags and dates kept, all or none. `move` removes them here in the
 * same commit. */
struct copy_op {
    struct store_op op;
    const struct uid_range *uids;
    unsigned uid_count;
    struct slice to;
    bool move;
    uint32_t uid_validity, uid_first, count; /* out: copies have uid_first.. in order */
    void *work;                              /* private */
};
void mailbox_copy(struct mailbox *mailbox, struct copy_op *c);

/* ---- views ------------------------------------------------------------- */

/* What one client believes about a mailbox: sequence numbers stay as they were told
 * until the session lets the view take news. Small; embedded in the session. */
struct view {
    struct list link; /* among the mailbox's views */
    struct mailbox *mailbox;
    void (*changed)(struct view *);     /* there is news; called at most once until
                                           view_news() has been drained */
    uint32_t count;                     /* messages the client knows of */
    uint32_t uid_known;                 /* highest UID told */
    uint32_t recent_first, recent_last; /* UIDs recent in this view */
    uint64_t flags_seen;                /* flag changes up to here were told */
    uint64_t flags_target;              /* the pass that is being told ends here, or 0 */
    uint64_t flags_skip;                /* modseq of a change of the session's own */
    uint32_t flags_uid;                 /* the pass has come to this UID */
    struct view_gone *gone;             /* expunged but not told yet; NULL mostly */
    bool examine, told;
};

/* Shows the mailbox as it is now. read-write views take the \Recent messages. The
 * mailbox must stay open. */
void view_open(struct view *view, struct mailbox *mailbox, bool examine,
    void (*changed)(struct view *));
void view_close(struct view *view);

/* Entry of sequence number seq (1..count). False: expunged meanwhile, not told yet. */
bool view_entry(const struct view *view, uint32_t seq, struct entry *entry);
/* Number of messages with UID <= uid in the view; the seq of uid when it is there. */
uint32_t view_rank(const struct view *view, uint32_t uid);
/* Sequence number of exactly this UID, or 0. */
uint32_t view_seq(const struct view *view, uint32_t uid);
/* UID of seq, also of one expunged and not told. */
uint32_t view_uid(const struct view *view, uint32_t seq);
uint32_t view_recent(const struct view *view); /* how many are recent */

enum view_event { VIEW_NONE, VIEW_EXPUNGE, VIEW_EXISTS, VIEW_FLAGS };
struct view_news {
    enum view_event event;
    uint32_t seq;       /* EXPUNGE: the number to tell; FLAGS: whose flags changed */
    uint32_t count;     /* EXISTS */
    struct entry entry; /* FLAGS */
};
/* The next thing to tell, and the view then believes it. Without `expunge` expunges wait
 * (RFC 3501, 7.4.1), and so does EXISTS of what came after one: never lower a count.
 * NONE: all told. */
enum view_event view_news(struct view *view, bool expunge, struct view_news *news);
bool view_has_news(const struct view *view);
/* The flag change of this modseq was made by this very session and needs no telling
 * (STORE.SILENT). False: others have made some that it has not heard of, perhaps to the
 * same messages. */
bool view_skip_flags(struct view *view, uint64_t modseq);

/* ---- reading ----------------------------------------------------------- */

/* A body, read piece by piece: the slices are lent from the log, checked, and good until
 * the next body_next() or body_close(). */
struct body {
    struct store_op op;
    struct slice piece; /* with done(OK): next bytes; empty at the end of the range */
    uint64_t at, end;   /* range still to come, octets of the message */
    struct body_state *state; /* private */
};
/* Bytes [at, at+len) of the message, cut to its size. NO_MEMORY. Pins the log. */
enum status body_open(struct store *store, struct body *b, const struct entry *entry,
    uint64_t at, uint64_t len);
enum status body_open_place(
    struct store *store, struct body *b, uint64_t place, uint64_t at, uint64_t len);
/* True: the piece is there at once, done() is not called. False: done() comes, OK,
 * CORRUPT, IO. */
bool body_next(struct body *b, void (*done)(struct store_op *op, enum status status));
/* Passes the current piece to the caller (a connection that sends it): it stays good
 * until body_release() of the returned handle, also after body_close(). */
struct body_loan;
struct body_loan *body_lend(struct body *b);
void body_release(struct body_loan *loan);
/* Only while no done() is owed. */
void body_close(struct body *b);

/* The encoded summary of a message: from memory at once (true), or by done() (false).
 * Good until summary_release(). */
struct summary_read {
    struct store_op op;
    struct slice summary; /* with true or done(OK) */
    void *state;          /* private */
};
bool summary_get(struct mailbox *mailbox, struct summary_read *r,
    const struct entry *entry, void (*done)(struct store_op *op, enum status status));
void summary_release(struct summary_read *r);

/* A POP3 maildrop keeps every body readable that was there when it was opened, whatever
 * is expunged and compacted meanwhile. */
struct store_pin;
struct store_pin *store_pin(struct store *store);
void store_unpin(struct store *store, struct store_pin *pin);

/* ---- offline ----------------------------------------------------------- */

/* Walks the whole store of a shard: every record, every reference. `say` gets one line a
 * finding. Never changes anything unless `repair`. Returns how many problems there are.
 */
uint64_t store_check(struct disk *disk, const struct store_conf *conf, bool repair,
    void (*say)(void *arg, const char *line), void *arg);
