/* storekit.h -- a store on a simulated disk, with calls that wait. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "store/mailbox.h"
#include "tests/store/memdisk.h"

struct skit {
    struct memdisk disk;
    struct store_conf conf;
    struct store *store;
    int64_t now_s;
    unsigned damages; /* events of damage */
    int disk_full;    /* events of that, less those of room */
    char last_event[64];
    uint32_t compacted; /* the segment that was given up last; 0: none since looked at */
};

/* A new disk and no store: small segments, so that all borders are met. */
void skit_init(struct skit *k, uint64_t seed);
void skit_free(struct skit *k);

enum status skit_try_open(struct skit *k);
void skit_open(struct skit *k);
/* A clean stop. */
void skit_close(struct skit *k);
/* The process or the power goes. The caller has closed what he had open. */
void skit_crash(struct skit *k, bool power);
/* Kills the disk, and has everything that was asked for answered. */
void skit_die(struct skit *k, bool power);

/* Takes the checkpoints away: the log alone suffices. */
void skit_forget_checkpoints(struct skit *k);
/* Damages one bit of the newest, anywhere. */
void skit_damage_checkpoint(struct skit *k);

/* One turn and one landing. */
void skit_turn(struct skit *k);
/* Until nothing moves any more. */
void skit_settle(struct skit *k);
/* Until the request has been answered. */
void skit_run(struct skit *k, struct store_op *op);

/* An op whose done() keeps the status. Put it first in a wait. */
void skit_done(struct store_op *op, enum status status);
enum status skit_status(const struct store_op *op);

/* --- calls that wait --- */

/* A message with a body that follows from `tag`; INBOX when mailbox is NULL. */
enum status skit_deliver(struct skit *k, const char *user, const char *mailbox,
    const char *tag, unsigned bytes, uint32_t *uid);
/* The body that skit_deliver() makes; malloc()ed. About half of them end with CR LF. */
char *skit_body(const char *tag, unsigned bytes);

enum status skit_user(struct skit *k, const char *name, bool create, struct user **user);
struct user *skit_open_user(struct skit *k, const char *name);
enum status skit_remove(struct skit *k, const char *name);
enum status skit_mailbox(
    struct skit *k, struct user *u, const char *name, struct mailbox **mailbox);
struct mailbox *skit_open_mailbox(struct skit *k, struct user *u, const char *name);
enum status skit_change(struct skit *k, struct user *u, enum mailbox_change change,
    const char *name, const char *to);
enum status skit_flags(struct skit *k, struct mailbox *m, uint32_t first, uint32_t last,
    enum flags_mode mode, uint8_t flags, const char *keyword);
enum status skit_expunge(struct skit *k, struct mailbox *m, uint32_t first, uint32_t last,
    bool always, uint32_t *count);
enum status skit_copy(struct skit *k, struct mailbox *m, uint32_t first, uint32_t last,
    const char *to, bool move, struct copy_op *out);

/* All bytes of a body; malloc()ed. */
enum status skit_read(struct skit *k, const struct entry *e, uint64_t at, uint64_t len,
    struct slice *bytes);
enum status skit_summary(
    struct skit *k, struct mailbox *m, const struct entry *e, struct slice *bytes);

/* Entry i of a mailbox, and checks that its bytes are those of skit_deliver(). */
bool skit_entry(struct mailbox *m, uint32_t i, struct entry *e);
void skit_check_body(
    struct skit *k, const struct entry *e, const char *tag, unsigned bytes);

/* Nothing that is in use lies in this segment. */
void skit_check_unused(struct skit *k, uint32_t segment);

/* A number that says what a user holds; equal for equal states. */
uint64_t skit_hash_user(struct skit *k, const char *name);
uint64_t skit_hash_heads(struct skit *k);
/* The same of what a client sees, to the last byte, wherever it is stored; 0: there is no
 * such user. */
uint64_t skit_hash_shown(struct skit *k, const char *name);

/* Set-up and tear-down of a test whose state is one open kit. */
int skit_start(void **state);
int skit_stop(void **state);
