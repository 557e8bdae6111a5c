/* mailbox.h -- a mailbox in memory.
 *
 * The node in the user's tree is always there; the messages are brought in when someone
 * opens the mailbox, as pages of up to PAGE_ENTRIES entries in the order of UIDs:
 *
 *      content --> page directory --> page --> entry, entry, …
 *
 * A sequence number is found by the counts of the pages before, a UID by two binary
 * searches; a deletion moves entries of one page only. Records that come while the
 * messages are not in memory are held until they are.
 *
 * Private to the store.
 */
#pragma once
#include "store/user.h"

struct page {
    struct packed_entry *at;
    uint32_t count, cap;
    uint32_t before;         /* messages in the pages before; see content.summed */
    uint32_t doomed;         /* entries with an expunge on its way */
    uint64_t changed_modseq; /* at least the highest of a change of flags */
    /* Its record, as the directory on disk names it; place 0: it has none. Here, so that
     * the directory can be written without a look at the entries. */
    struct rec_page_ref record;
    bool dirty; /* differs from the record */
};

struct keywords {
    struct slice *at; /* copies of their own */
    uint16_t count;   /* interned; those that no record has shown yet at the end */
    uint16_t shown;
    struct keyword_set *sets; /* set 0 is empty */
    uint16_t *table;          /* of sets by content: number + 1 */
    uint16_t set_count, set_cap;
};

struct content {
    struct page *pages;
    uint32_t page_count, page_cap;
    uint32_t page_max; /* entries of a full page */
    uint32_t summed;   /* pages whose `before` holds */
    uint32_t page_at;  /* where the last lookup by number ended: the next is near */
    uint32_t messages, unseen, deleted;
    uint64_t bytes;
    struct keywords keywords;
    struct freed dropped; /* records that a new state no longer names */
    struct segments left; /* of those: the state on disk may still name them */
    bool dirty;           /* directory or keywords differ from the state on disk */
    struct content *next_dead;
};

struct content_load;

/* What a mailbox is called as soon as the rename of a tree shows: user_rename.c. */
struct next_name {
    char *name; /* NULL: as before */
    uint16_t bytes;
    bool subscribed;
};

enum { SHORT_NAME = 16 };

struct mailbox {
    struct user *user;
    char *name; /* short_name, or memory of its own */
    uint16_t name_bytes;
    uint8_t use;
    bool exists, selectable, subscribed;
    bool dying;     /* a DELETE is on its way */
    bool gone;      /* deleted; lives until the last mailbox_close() */
    bool frozen;    /* INBOX, while its messages are being renamed away */
    bool choosing;  /* a COPY chooses its messages: nothing else may take one */
    bool damaged;   /* its state can't be read: nothing is written over it */
    uint8_t failed; /* enum status of the last load, for those who don't wait in line */
    struct next_name next;
    uint32_t id;
    uint32_t uid_validity;
    uint32_t uid_next, uid_pending; /* visible; next to give */
    uint64_t modseq, modseq_pending;
    uint64_t flags_modseq, flags_before; /* the last change of flags, and before that */
    uint32_t recent_uid;                 /* up to here someone was told */
    uint64_t state;                      /* place of the MAILBOX_STATE; 0: none */
    uint32_t state_bytes;                /* its payload */
    struct segments segments;            /* of all that state and entries name */
    uint32_t pins;
    struct content *content; /* NULL: not in memory */
    size_t counted;          /* of its memory, in store->index_used */
    struct content_load *load;
    struct held held;
    struct list waiters; /* requests for the content */
    struct list views;
    char short_name[SHORT_NAME]; /* not ended by a NUL */
};

static inline struct slice mailbox_name(const struct mailbox *m)
{
    if (m->next.name && m->user->renamed)
        return slice_of(m->next.name, m->next.bytes);
    return slice_of(m->name, m->name_bytes);
}
static inline bool mailbox_subscribed(const struct mailbox *m)
{
    return m->next.name && m->user->renamed ? m->next.subscribed : m->subscribed;
}

/* UIDs and modseqs to give; INBOX's are in the head. */
static inline uint32_t mailbox_uid_next(const struct mailbox *m)
{
    return m->id == MAILBOX_INBOX ? m->user->head->uid_next : m->uid_pending;
}
static inline uint64_t mailbox_modseq_next(const struct mailbox *m)
{
    return (m->id == MAILBOX_INBOX ? m->user->head->modseq : m->modseq_pending) + 1;
}
/* Remembers what has been given. */
static inline void mailbox_given(struct mailbox *m, uint32_t uid_next, uint64_t modseq)
{
    if (uid_next > m->uid_pending)
        m->uid_pending = uid_next;
    if (modseq > m->modseq_pending)
        m->modseq_pending = modseq;
}

void mailbox_free(struct mailbox *m);
/* Gives the memory of its name back, if that has memory of its own. */
void mailbox_name_free(struct mailbox *m);
/* Brings the account of memory up to date. */
void mailbox_recount(struct mailbox *m);

/* --- mailbox_page.c --- */

struct content *content_new(const struct store *s);
void content_free(struct content *c);
/* Has it freed by dead_step(); until then its memory counts as the store's. */
void content_bury(struct store *s, struct content *c);
/* Frees a page of what was buried; false: there is nothing more. */
bool content_free_piece(struct store *s);
size_t content_memory(const struct content *c);

/* Where an entry is. page == page_count: past the last. */
struct spot {
    uint32_t page, at;
};
/* The first entry whose UID is >= uid. */
struct spot content_seek(const struct content *c, uint32_t uid);
/* The i-th entry from 0; i < messages. */
const struct packed_entry *content_at(struct content *c, uint32_t i);
/* How many UIDs are <= uid. */
uint32_t content_rank(struct content *c, uint32_t uid);
/* The entry of exactly this UID, or NULL. */
struct packed_entry *content_find(const struct content *c, uint32_t uid);
static inline const struct packed_entry *content_get(
    const struct content *c, struct spot s)
{
    return &c->pages[s.page].at[s.at];
}
/* The entry after; false past the last. */
static inline bool content_next(const struct content *c, struct spot *s)
{
    if (++s->at >= c->pages[s->page].count) {
        s->at = 0;
        s->page++;
    }
    return s->page < c->page_count;
}

/* Adds at the end; its UID is above all others. False: no memory. */
bool content_append(struct content *c, const struct packed_entry *e);
/* Adds a whole page as read from its record. */
bool content_append_page(struct content *c, struct slice entries);
/* Removes n entries of one page, and the page when none is left. */
void content_remove(struct content *c, struct spot s, uint32_t n);
/* Joins small neighbours. */
void content_tidy(struct content *c);
/* The page is what this record holds. */
void page_recorded(struct page *p, uint64_t place, uint32_t bytes);
/* The page's record, if it has one, is named no more. */
void page_forget(struct content *c, struct page *p);
/* The same of the mailbox's state, whose content is in memory. */
void state_forget(struct mailbox *m);

void entry_public(const struct packed_entry *e, struct entry *entry);

/* --- mailbox_keyword.c --- */

int keyword_find(const struct keywords *k, struct slice keyword);
/* Its number, made when it is new; -1: no memory, or there are too many. */
int keyword_intern(struct keywords *k, struct slice keyword);
/* Takes back those after the first n, which nobody has seen. */
void keywords_cut(struct keywords *k, unsigned n);
/* The number of this set, made when it is new; -1: no memory; SETS_FULL. */
enum { SETS_FULL = -2 };
int keyword_set_intern(struct keywords *k, const struct keyword_set *set);
/* The sets as a state has them, the empty one first. False: no memory. */
bool keyword_sets_take(struct keywords *k, struct slice sets);
bool keywords_init(struct keywords *k);
void keywords_free(struct keywords *k);

/* --- mailbox_load.c --- */

/* The content, in memory with all that was held: OK. BUSY: it is on its way and op, if
 * any, parked; without an op, ask again until it answers something else. CORRUPT, IO,
 * NO_MEMORY. */
enum status content_need(struct mailbox *m, struct store_op *op);
bool content_loads_step(struct store *s);

/* --- mailbox_apply.c --- */

/* A durable record that changes this mailbox; held when the content is not there. */
enum applied mailbox_apply(
    struct mailbox *m, const struct log_record *r, struct progress *p);
/* The same with the content in memory. */
enum applied content_apply(
    struct mailbox *m, const struct log_record *r, struct progress *p);
/* COPY, both contents in memory. */
enum applied copy_apply(struct mailbox *to, struct mailbox *from,
    const struct log_record *r, struct progress *p);
/* Takes out every message, from p->uid on; views are told. */
enum applied mailbox_empty(struct mailbox *m, struct progress *p);

static inline void segments_join(struct segments *s, struct segments more)
{
    if (more.max && (s->max == 0 || more.min < s->min))
        s->min = more.min;
    if (more.max > s->max)
        s->max = more.max;
}

/* Remembers that the segment of this place is named; 0: none is. */
static inline void segments_add(struct segments *s, uint64_t place)
{
    segments_join(s, (struct segments){PLACE_SEGMENT(place), PLACE_SEGMENT(place)});
}

static inline bool segments_have(struct segments s, uint32_t segment)
{
    return s.max && segment >= s.min && segment <= s.max;
}

/* --- mailbox_ops.c --- */

enum status try_flags(struct mailbox *m, struct flags_op *f);
enum status try_expunge(struct mailbox *m, struct expunge_op *e);
enum status try_copy(struct mailbox *m, struct copy_op *c);
enum status try_mailbox_open(struct user *u, struct mailbox_open *o);
/* Gives keywords their numbers, so that the limit is known before anything is promised.
 * INVALID: an empty one. LIMIT. NO_MEMORY. */
enum status mailbox_intern(
    struct mailbox *m, const struct slice *keywords, unsigned count);

/* --- view.c --- */

/* Room in every view for these expunged UIDs, ascending, and to lose all; false: no
 * memory. */
bool views_reserve(struct mailbox *m, const uint32_t *uids, unsigned n);
/* What a message that goes costs for its views, in messages. */
int views_cost(const struct mailbox *m);
/* They have gone. */
void views_gone(struct mailbox *m, const uint32_t *uids, unsigned n);
/* All messages go at one moment: their UIDs are collected before, in slices, from the
 * page p->done on. NULL: no memory. */
struct view_lost *lost_new(uint32_t messages);
enum applied lost_fill(struct view_lost *l, const struct content *c, struct progress *p);
void views_lose(struct mailbox *m, struct view_lost *l);
void lost_drop(struct view_lost *l);
/* Messages have come: the oldest view that may takes them as recent. */
void views_came(struct mailbox *m);
/* There is something to tell. */
void views_tell(struct mailbox *m);
