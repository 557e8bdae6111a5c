/* config.h -- the command line and the configuration file, as values.
 *
 * Flags are the configuration; all of them stand in config_flags.h. A config is filled
 * once, checked, and then never changes while the process lives.
 */
#pragma once
#include "server/config_flags.h"
#include "server/conn.h"
#include "server/network.h"
#include "store/store.h"

enum { CONFIG_WHY_MAX = 512 }; /* octets of a message about a bad flag */

struct config_texts {
    char **at; /* NUL-terminated, in the order given */
    unsigned count;
    bool given; /* false: the default list */
};

struct config_networks {
    struct network *at;
    unsigned count;
};

#define CONFIG_TYPE_SWITCH   bool
#define CONFIG_TYPE_TEXT     char * /* NULL: not given and no default */
#define CONFIG_TYPE_TEXTS    struct config_texts
#define CONFIG_TYPE_COUNT    uint64_t
#define CONFIG_TYPE_SIZE     uint64_t /* octets */
#define CONFIG_TYPE_SECONDS  uint64_t
#define CONFIG_TYPE_LISTEN   unsigned /* how many; they are in `listeners` */
#define CONFIG_TYPE_NETWORKS struct config_networks
#define CONFIG_TYPE_WORD     int

struct config {
#define CONFIG_GROUP(title)
#define CONFIG_FIELD(type, field, name, value, preset, min, max, help) \
    CONFIG_TYPE_##type field;
    CONFIG_FLAGS(CONFIG_GROUP, CONFIG_FIELD)
#undef CONFIG_FIELD
#undef CONFIG_GROUP
    /* All ports, in the order given; `calls` is filled in by who starts the sessions,
     * the port of `address` by who binds where it was 0. */
    struct listener *listeners;
    unsigned listener_count;
    /* made by config_finish() */
    char *control_path;          /* DATA/control */
    char *removed_path;          /* DATA/removed */
    char *srs_key_path;          /* DATA/srs.key */
    struct next_hops *next_hops; /* of --route, --relay and the like; a server only */
    bool aliases_wanted;         /* --aliases was given: a missing file is an error */
    char delimiter;              /* of --recipient-delimiter, 0 for none */
    unsigned config_depth;       /* private: --config within a file is refused */
    unsigned listener_room;      /* private */
};

/* All defaults; NULL without memory. */
struct config *config_new(void);
void config_free(struct config *c);

/* Takes the arguments behind the sub-command. `operands` gets what is no flag, at most
 * `operand_max`, more is an error. Only the flags in `only` (names, NULL-terminated) are
 * allowed on the command line, all of them when it is NULL; a file may hold any.
 * False: `why` holds one line that names the flag, the value and the remedy. */
bool config_parse(struct config *c, int argc, char **argv, const char *const *only,
    char **operands, unsigned operand_max, unsigned *operand_count, struct out *why);

/* One flag, as from a line of the file. For tests and the fuzzer too. */
bool config_set(struct config *c, struct slice name, struct slice value, bool has_value,
    struct out *why);

/* A configuration file that is in memory; `file` names it in messages. */
bool config_text(struct config *c, struct slice text, const char *file, struct out *why);

/* The same from the disk. */
bool config_file_read(struct config *c, struct slice path, struct out *why);

/* Fills in what depends on other flags (paths below --data, the host's name, counts of
 * 0). `serve`: also checks what a server needs. */
bool config_finish(struct config *c, bool serve, struct out *why);

/* The flags, grouped, wrapped to 80 columns; only those in `only`, all when NULL. */
void config_help(struct out *out, const char *const *only);
/* The same as part of the manual page, in man(7). */
void config_man(struct out *out);

/* The USE of --folder NAME=USE; USE_NONE: no such word. */
enum mailbox_use config_use_of(struct slice word);
/* "imaps" of the flag that made the listener. */
const char *config_listener_name(const struct listener *l);

/* "64M" -> octets, "5m" -> seconds. False: not a number, or no such unit. */
bool config_size(struct slice text, uint64_t *octets);
bool config_seconds(struct slice text, uint64_t *seconds);
