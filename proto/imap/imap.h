/* imap.h -- IMAP commands: from bytes to struct imap_cmd.
 *
 * RFC 3501 with LITERAL+ (7888), SASL-IR (4959), IDLE (2177), NAMESPACE (2342), UIDPLUS
 * (4315), UNSELECT (3691), CHILDREN (3348), LIST-EXTENDED as far as SPECIAL-USE needs it
 * (5258, 6154), CREATE with USE (6154), ID (2971), ENABLE (5161), MOVE (6851).
 *
 * Two steps. imap_collect() finds where a command ends, asks for literals and refuses
 * what is too big, looking at every byte once however they arrive. imap_parse() then
 * turns the whole command into a struct imap_cmd whose slices point into the bytes.
 *
 *      bytes --> imap_collect() --+-> MORE      receive, call again with more bytes
 *                                 +-> CONTINUE  write "+ OK\r\n", call again
 *                                 +-> COMMAND   imap_parse(), run, consume
 *                                 +-> APPEND    imap_parse(), consume, stream the
 * message, |             then call again for the end of the line
 *                                 +-> REFUSED   imap_put_error(), consume
 *                                 +-> SKIP      consume
 *                                 +-> CLOSE     write "* BYE", hang up
 *
 * No I/O, no clock; memory only from the arena handed in. No recursion deeper than
 * imap_parse_limits.depth. Time is linear in the bytes received.
 */
#pragma once
#include "proto/base/arena.h"
#include "proto/base/slice.h"
#include "proto/imap/imap_error.h"
#include "proto/imap/imap_name.h"
#include "proto/imap/imap_set.h"

enum {
    IMAP_TAG_MAX = 128,
    IMAP_SEARCH_KEYS_MAX = 1000,
    IMAP_FETCH_ITEMS_MAX = 128,
    IMAP_FETCH_FIELDS_MAX = 1000, /* header field names a command */
    IMAP_PATH_MAX = 100,          /* numbers in a section */
    IMAP_PATTERNS_MAX = 32,
    IMAP_KEYWORDS_MAX = 256, /* in one flag list */
    IMAP_KEYWORD_MAX = 128,  /* octets of a keyword */
    IMAP_ID_PAIRS_MAX = 30,  /* RFC 2971, 3.3 */
    IMAP_ENABLE_MAX = 32,
    IMAP_ARENA_BYTES = 1 << 20, /* an arena of this limit suffices for any command */
};

/* What the arguments of one command may hold. */
struct imap_parse_limits {
    uint32_t depth;  /* parentheses, NOT, OR within each other: IMAP_ERROR_DEPTH */
    uint32_t ranges; /* of a sequence set: IMAP_ERROR_SET_LONG */
    struct imap_name_limits name; /* of a mailbox: IMAP_ERROR_NAME */
};

enum { /* no limit may be above these, and those of imap_name.h */
    IMAP_DEPTH_MAX = 200,
    IMAP_SET_RANGES_MAX = 10000,
};

extern const struct imap_parse_limits imap_parse_defaults;

/* --- collecting a command -------------------------------------------------- */

struct imap_limits {
    uint32_t line_max; /* octets of a command outside its literals */
    uint32_t
        literal_max; /* octets of its literals together, without an APPENDed message */
    uint64_t append_max; /* octets of an APPENDed message */
    uint64_t skip_max;   /* octets of a refused command that are read and dropped before
                            the connection is given up */
};

/* The limits of a connection before and after login, with `message_max` as announced.
 * Before login no message is waited for. */
static inline struct imap_limits imap_limits_of(bool logged_in, uint64_t message_max)
{
    return logged_in ? (struct imap_limits){65536, 65536, message_max, 1 << 20}
                     : (struct imap_limits){8192, 4096, 4096, 1 << 18};
}

enum imap_collected {
    IMAP_COLLECT_MORE,     /* not enough bytes yet; nothing to consume */
    IMAP_COLLECT_CONTINUE, /* the client waits: send a continuation, then call again with
                              the same bytes and what follows; nothing to consume */
    IMAP_COLLECT_COMMAND,  /* the first c->bytes octets are a whole command */
    IMAP_COLLECT_APPEND,   /* the first c->bytes octets are an APPEND command up to and
                              including the "{n}" CRLF of its message; see below */
    IMAP_COLLECT_LINE,     /* imap_collect_line(): c->bytes octets with their CRLF */
    IMAP_COLLECT_REFUSED,  /* answer c->error with the tag imap_collect_tag(), consume
                              c->bytes, call again */
    IMAP_COLLECT_SKIP,     /* consume c->bytes: more of a refused command */
    IMAP_COLLECT_CLOSE,    /* the refused command does not end within skip_max: send a BYE
                              and close; nothing to consume */
};

/* The collector of one connection. Zeroed, it stands at the start of a command. */
struct imap_collect {
    /* What the last call found. */
    size_t bytes;           /* to consume */
    uint64_t literal_bytes; /* CONTINUE, APPEND: octets of the literal that follows */
    bool literal_sync;      /* APPEND: the client waits for a continuation */
    uint8_t tag_bytes;      /* length of a valid tag at the front of the command, or 0 */
    uint8_t error;          /* REFUSED: an enum imap_error */

    /* Where it stands; not for the caller. */
    uint8_t phase;
    uint8_t brace;           /* how much of "{n+}" the last octets are */
    bool cr;                 /* the last octet looked at was a CR */
    size_t scanned;          /* octets looked at and not consumed */
    size_t brace_at;         /* where that "{" is */
    uint64_t number;         /* the n of it, then the octets of a literal still to come */
    uint64_t skip_left;      /* octets that may still be skipped */
    uint32_t literal_octets; /* of all literals of the command so far */
};

/* Looks at the bytes from the first octet of a command on. Until it says that something
 * is to be consumed, every call must get the same bytes again, and more; octets already
 * seen are not looked at again. The outcome does not depend on how the bytes were cut.
 *
 * Refused: bad tags (IMAP_ERROR_TAG, no tag to echo), NUL, 8-bit, bare CR and bare LF
 * outside literals, commands and literals above the limits. The rest of a refused
 * command, with its non-synchronising literals (RFC 7888, 4), is skipped; a synchronising
 * literal that is refused ends the command (RFC 3501, 7.5).
 *
 * After APPEND the caller parses the head and decides:
 *   - refuse: answer, imap_collect_refuse(), consume c->bytes, go on as usual;
 *   - accept: keep what it needs of the head (it holds slices into it), consume c->bytes,
 *     send a continuation if c->literal_sync, take exactly c->literal_bytes octets of
 *     message off the stream by itself, then call imap_collect() for what follows. That
 *     answers COMMAND with the two octets CRLF: the APPEND is complete; or REFUSED: it is
 *     not (answer with the tag of the APPEND and store nothing).
 * A message above limits->append_max is REFUSED at once, without APPEND. */
enum imap_collected imap_collect(
    struct imap_collect *c, struct slice in, const struct imap_limits *limits);

/* After APPEND: the command has been answered with NO or BAD. Skips a message that is
 * sent without waiting, however long (it is within append_max). c->bytes is still to be
 * consumed. */
void imap_collect_refuse(struct imap_collect *c, const struct imap_limits *limits);

/* One line that is not a command: the answer to an AUTHENTICATE challenge, or what ends
 * an IDLE. Same contract as imap_collect(), with the answers MORE, LINE (c->bytes octets,
 * CRLF included), REFUSED (no tag: the caller knows which command is meant), SKIP and
 * CLOSE. The line may have line_max octets. A line that announces a literal is refused.
 */
enum imap_collected imap_collect_line(struct imap_collect *c, struct slice in,
    uint32_t line_max, const struct imap_limits *limits);

/* The tag to answer with while the command has not been consumed; empty: answer "*". */
static inline struct slice imap_collect_tag(const struct imap_collect *c, struct slice in)
{
    return slice_of(in.at, c->tag_bytes);
}

/* Is a collected line (with its CRLF) the DONE that ends IDLE (RFC 2177)? */
bool imap_is_done(struct slice line);

/* --- what a command says ---------------------------------------------------- */

enum imap_verb {
#define VERB(name, text, states, uid, arguments) IMAP_##name,
    IMAP_VERBS(VERB)
#undef VERB
        IMAP_VERB_COUNT, /* also: none */
};

enum imap_state {     /* RFC 3501, 3 */
    IMAP_STATE_START, /* not authenticated */
    IMAP_STATE_USER,  /* authenticated */
    IMAP_STATE_SELECTED,
};

enum {
    IMAP_IN_START = 1 << IMAP_STATE_START,
    IMAP_IN_SELECTED = 1 << IMAP_STATE_SELECTED,
    IMAP_IN_USER = 1 << IMAP_STATE_USER | IMAP_IN_SELECTED,
    IMAP_IN_ANY = IMAP_IN_START | IMAP_IN_USER,
};

/* The word for a verb: "FETCH". */
struct slice imap_verb_text(enum imap_verb verb);

/* System flags, bits; the order is that of IMAP_FLAGS. */
enum imap_flag_bit {
#define FLAG(name, text) IMAP_FLAG_BIT_##name,
    IMAP_FLAGS(FLAG)
#undef FLAG
        IMAP_FLAG_COUNT,
};
enum imap_flag {
#define FLAG(name, text) IMAP_FLAG_##name = 1 << IMAP_FLAG_BIT_##name,
    IMAP_FLAGS(FLAG)
#undef FLAG
};

/* Flags that a client gave: never \Recent. Keywords are atoms, as written, duplicates
 * (also in another case) included. */
struct imap_flags {
    unsigned system; /* enum imap_flag */
    const struct slice *keywords;
    unsigned keyword_count;
};

enum imap_use { /* RFC 6154, 2 */
    IMAP_USE_NONE,
#define USE(name, text) IMAP_USE_##name,
    IMAP_USES(USE)
#undef USE
        IMAP_USE_COUNT,
};

/* "\Drafts"; empty for NONE. */
struct slice imap_use_text(enum imap_use use);

struct imap_date_time {
    int64_t utc_s;        /* seconds since 1970-01-01 00:00 UTC */
    int16_t zone_minutes; /* east of Greenwich */
};

struct imap_append {
    struct slice mailbox;
    struct imap_flags flags;
    bool has_date;
    struct imap_date_time date; /* valid with has_date */
    uint64_t message_bytes;
};

enum imap_list_option {           /* bits; RFC 5258, 3, RFC 6154, 3 */
    IMAP_LIST_SUBSCRIBED = 1,     /* select, return */
    IMAP_LIST_REMOTE = 2,         /* select */
    IMAP_LIST_RECURSIVEMATCH = 4, /* select, only with SUBSCRIBED */
    IMAP_LIST_SPECIAL_USE = 8,    /* select, return */
    IMAP_LIST_CHILDREN = 16,      /* return */
};

struct imap_list {
    bool extended;   /* has options or several patterns: `LIST "" ""` is then no question
                        for the delimiter (RFC 5258, 3) */
    unsigned select; /* enum imap_list_option */
    unsigned want;   /* RETURN options, those implied by `select` included */
    struct slice reference; /* wire form, for imap_pattern_compile() */
    const struct slice *patterns;
    unsigned pattern_count; /* at least 1 */
};

enum imap_status_bit {
#define STATUS_ITEM(name, text) IMAP_STATUS_BIT_##name,
    IMAP_STATUS_ITEMS(STATUS_ITEM)
#undef STATUS_ITEM
        IMAP_STATUS_COUNT,
};
enum imap_status_item { /* bits */
#define STATUS_ITEM(name, text) IMAP_STATUS_##name = 1 << IMAP_STATUS_BIT_##name,
    IMAP_STATUS_ITEMS(STATUS_ITEM)
#undef STATUS_ITEM
};

enum imap_item_kind { /* RFC 3501, 6.4.5 */
    IMAP_ITEM_UID,
    IMAP_ITEM_FLAGS,
    IMAP_ITEM_INTERNALDATE,
    IMAP_ITEM_RFC822_SIZE,
    IMAP_ITEM_ENVELOPE,
    IMAP_ITEM_BODY, /* without section: the structure, non-extensible */
    IMAP_ITEM_BODYSTRUCTURE,
    IMAP_ITEM_RFC822,
    IMAP_ITEM_RFC822_HEADER,
    IMAP_ITEM_RFC822_TEXT,
    IMAP_ITEM_SECTION, /* BODY[...] and BODY.PEEK[...] */
    IMAP_ITEM_COUNT,
};

enum imap_section_part {
    IMAP_PART_ALL, /* BODY[] or BODY[1.2] */
    IMAP_PART_HEADER,
    IMAP_PART_TEXT,
    IMAP_PART_MIME, /* only with a path */
    IMAP_PART_FIELDS,
    IMAP_PART_FIELDS_NOT,
};

struct imap_item {
    enum imap_item_kind kind;
    /* The rest is for SECTION only. */
    enum imap_section_part part;
    bool peek;            /* does not set \Seen */
    bool partial;         /* <from.length> was given */
    uint32_t from;        /* first octet, from 0 */
    uint32_t length;      /* at most so many octets, at least 1 */
    const uint32_t *path; /* part numbers, each at least 1 */
    unsigned path_count;
    const struct slice *fields; /* FIELDS, FIELDS_NOT: at least one, as written */
    unsigned field_count;
};

struct imap_fetch {
    struct imap_set set;
    const struct imap_item *items; /* macros expanded; UID added for UID FETCH */
    unsigned item_count;
    unsigned kinds; /* bit 1 << enum imap_item_kind for each kind present */
    bool sets_seen; /* some item sets \Seen: RFC822, RFC822.TEXT, BODY[...] */
};

enum imap_store_mode { IMAP_STORE_SET, IMAP_STORE_ADD, IMAP_STORE_REMOVE };

struct imap_store {
    struct imap_set set;
    enum imap_store_mode mode;
    bool silent;
    struct imap_flags flags;
};

/* Search keys. What has an opposite in the RFC's list comes as its opposite under
 * `negated`: UNSEEN is FLAG \Seen negated, OLD is FLAG \Recent negated, UNKEYWORD. */
enum imap_key_kind {
    IMAP_KEY_AND, /* children: at least one, all must match */
    IMAP_KEY_OR,  /* children: two */
    IMAP_KEY_NOT, /* children: one */
    IMAP_KEY_ALL,
    IMAP_KEY_FLAG,        /* flag */
    IMAP_KEY_NEW,         /* RECENT UNSEEN */
    IMAP_KEY_KEYWORD,     /* text */
    IMAP_KEY_SEQUENCE,    /* set of sequence numbers */
    IMAP_KEY_UID,         /* set of UIDs */
    IMAP_KEY_BEFORE,      /* day: internal date < day, time and zone disregarded */
    IMAP_KEY_ON,          /* day */
    IMAP_KEY_SINCE,       /* day: >= */
    IMAP_KEY_SENT_BEFORE, /* day, of the Date field */
    IMAP_KEY_SENT_ON,
    IMAP_KEY_SENT_SINCE,
    IMAP_KEY_LARGER,  /* number: octets > number */
    IMAP_KEY_SMALLER, /* number: octets < number */
    IMAP_KEY_HEADER,  /* field, text: also BCC, CC, FROM, SUBJECT and TO */
    IMAP_KEY_BODY,    /* text */
    IMAP_KEY_TEXT,    /* text, in header or body */
};

struct imap_key {
    enum imap_key_kind kind;
    bool negated;
    uint16_t index;              /* number of the key in the command, from 0 */
    const struct imap_key *next; /* the next child of the same parent */
    union {
        const struct imap_key *child;
        unsigned flag; /* one enum imap_flag */
        struct imap_set set;
        int32_t day; /* days since 1970-01-01 */
        uint64_t number;
        struct {
            struct slice field; /* HEADER: any case */
            struct slice text;  /* valid UTF-8 without NUL; may be empty, which matches
                                   every message that has the field (RFC 3501, 6.4.4) */
        };
    };
};

struct imap_search {
    const struct imap_key *root; /* an AND of all keys */
    unsigned key_count;          /* indexes are below this */
    unsigned kinds;              /* bit 1 << enum imap_key_kind for each kind present */
};

/* An argument that is ID NIL has no pairs. */
struct imap_id_pair {
    struct slice field, value; /* value.at == NULL: NIL */
};

struct imap_cmd {
    enum imap_verb verb; /* IMAP_VERB_COUNT when it could not be read */
    bool uid;            /* UID FETCH, UID EXPUNGE, ... */
    struct slice tag;    /* empty when invalid: answer "*" */
    union {
        struct slice mailbox; /* SELECT EXAMINE DELETE SUBSCRIBE UNSUBSCRIBE */
        struct {
            struct slice mailbox;
            enum imap_use use; /* the first one given */
            bool several;      /* more than one use was given */
        } create;
        struct {
            struct slice from, to;
        } rename;
        struct {
            struct slice mechanism; /* as written */
            bool has_initial;       /* RFC 4959 */
            struct slice initial;   /* base64, checked for its alphabet; empty for "=" */
        } authenticate;
        struct {
            struct slice user, password;
        } login;
        struct imap_list list; /* LIST LSUB */
        struct {
            struct slice mailbox;
            unsigned items; /* enum imap_status_item */
        } status;
        struct imap_append append;
        struct imap_search search;
        struct imap_fetch fetch;
        struct imap_store store;
        struct {
            struct imap_set set;
            struct slice mailbox;
        } copy;               /* COPY MOVE */
        struct imap_set uids; /* UID EXPUNGE */
        struct {
            const struct imap_id_pair *pairs;
            unsigned count;
        } id;
        struct {
            const struct slice *names;
            unsigned count;
        } enable;
    };
};

/* --- parsing ------------------------------------------------------------------ */

/* Turns what imap_collect() called COMMAND or APPEND into *cmd. `command` are its
 * c->bytes octets. Slices in *cmd point into `command` or the arena and live as long as
 * both. Mailbox names are checked, canonical UTF-8 (imap_name.h); sets are not yet
 * resolved.
 *
 * NONE: *cmd is whole. Otherwise answer with imap_put_error(out, cmd->tag, error);
 * cmd->tag and, where it was read, cmd->verb are valid then too. STATE comes before any
 * complaint about arguments, and nothing but tag and verb is looked at. */
enum imap_error imap_parse(struct slice command, enum imap_state state,
    const struct imap_parse_limits *limits, struct arena *arena, struct imap_cmd *cmd);

/* --- searching ----------------------------------------------------------------- */

enum imap_match { IMAP_MATCH_NO, IMAP_MATCH_YES, IMAP_MATCH_UNKNOWN };

/* Does the message at hand match this one key (never AND, OR or NOT; `negated` is not the
 * test's business)? UNKNOWN: it can't be said without work, such as reading the message.
 */
typedef enum imap_match imap_key_test_fn(const struct imap_key *key, void *arg);

/* Evaluates the tree for one message, asking `test` for the leaves, in the order written
 * and no further than needed. UNKNOWN when the answer hangs on a leaf that was UNKNOWN:
 * the caller does that leaf's work (*open, the first such leaf, when not NULL) and asks
 * again, its test then remembering by key->index. */
enum imap_match imap_search_match(const struct imap_search *search,
    imap_key_test_fn *test, void *arg, const struct imap_key **open);
