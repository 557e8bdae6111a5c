#include "tests/store/storekit.h"

#include <stdio.h>
#include <stdlib.h>

static void on_event(void *arg, int level, const char *event, const char *text)
{
    struct skit *k = arg;

    if (getenv("SKIT_VERBOSE"))
        fprintf(stderr, "level=%d event=%s %s\n", level, event, text);
    k->damages += level == SAY_ERROR && strcmp(event, "read-only") != 0;
    k->disk_full += strcmp(event, "disk-full") == 0;
    k->disk_full -= strcmp(event, "disk-has-room") == 0;
    if (strcmp(event, "segment-compacted") == 0)
        k->compacted = (uint32_t)strtoul(text + strlen("segment="), NULL, 16);
    snprintf(k->last_event, sizeof k->last_event, "%s", event);
}

void skit_init(struct skit *k, uint64_t seed)
{
    static const struct store_folder folders[] = {
        {SI("Sent"), USE_SENT}, {SI("Trash"), USE_TRASH}};

    *k = (struct skit){.now_s = 1700000000};
    memdisk_init(&k->disk, seed);
    k->disk.cached = seed % 2;
    k->conf = (struct store_conf){.store_id = 77,
        .shard = 1,
        .segment_bytes = 1 << 20,
        .recent_bytes = 1 << 20,
        .index_bytes = 8 << 20,
        .checkpoint_bytes = 4 << 20,
        .folders = folders,
        .folder_count = 2,
        .event = on_event,
        .arg = k};
}

void skit_free(struct skit *k)
{
    memdisk_free(&k->disk);
}

enum status skit_try_open(struct skit *k)
{
    return store_open(&k->store, &k->disk.disk, &k->conf, k->now_s);
}

void skit_open(struct skit *k)
{
    assert_int_equal(skit_try_open(k), STATUS_OK);
}

/* --- turns --- */

/* False: nothing happens any more. */
static bool step(struct skit *k)
{
    bool busy = store_turn(k->store, k->now_s);

    busy |= memdisk_step(&k->disk);
    return busy || memdisk_wait(&k->disk, store_due_ns(k->store));
}

void skit_turn(struct skit *k)
{
    step(k);
}

void skit_settle(struct skit *k)
{
    for (unsigned i = 0, quiet = 0; quiet < 3; i++) {
        quiet = step(k) ? 0 : quiet + 1;
        if (i > 10000000)
            fail_msg("the store does not come to rest");
    }
}

void skit_run(struct skit *k, struct store_op *op)
{
    for (unsigned i = 0; op->pending; i++) {
        skit_turn(k);
        if (i > 10000000)
            fail_msg("a request is not answered");
    }
}

void skit_done(struct store_op *op, enum status status)
{
    op->owner = (void *)(uintptr_t)(status + 1);
}

enum status skit_status(const struct store_op *op)
{
    return (enum status)((uintptr_t)op->owner - 1);
}

void skit_close(struct skit *k)
{
    struct store_op op = {.done = skit_done};

    store_stop(k->store, &op);
    skit_run(k, &op);
    skit_settle(k);
    store_close(k->store);
    k->store = NULL;
}

void skit_die(struct skit *k, bool power)
{
    if (!k->disk.dead && power)
        memdisk_power_loss(&k->disk);
    else if (!k->disk.dead)
        memdisk_kill(&k->disk);
    for (unsigned i = 0, quiet = 0; quiet < 5 && i < 100000; i++) {
        quiet = step(k) ? 0 : quiet + 1;
    }
}

void skit_crash(struct skit *k, bool power)
{
    struct store_op op = {.done = skit_done};

    skit_die(k, power);
    store_stop(k->store, &op);
    skit_run(k, &op);
    skit_die(k, power);
    store_close(k->store);
    k->store = NULL;
    memdisk_revive(&k->disk);
}

void skit_forget_checkpoints(struct skit *k)
{
    struct memfile *f, *next;

    for (f = k->disk.files; f; f = next) {
        next = f->next;
        if (strncmp(f->name, "checkpoint", 10) == 0)
            memdisk_erase(&k->disk, f->name);
    }
}

void skit_damage_checkpoint(struct skit *k)
{
    struct memfile *newest = NULL;

    for (struct memfile *f = k->disk.files; f; f = f->next)
        if (f->linked && strncmp(f->name, "checkpoint", 10) == 0 &&
            (!newest || strcmp(f->name, newest->name) > 0))
            newest = f;
    if (newest && newest->bytes)
        memdisk_flip(newest, memdisk_draw(&k->disk, newest->bytes * 8));
}

/* --- messages --- */

char *skit_body(const char *tag, unsigned bytes)
{
    char *body = malloc(bytes + 1);
    unsigned n = (unsigned)snprintf(body, bytes + 1, "Subject: %s\r\n\r\n", tag);
    uint64_t x = slice_hash(slice_str(tag), 5);

    for (; n < bytes; n++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        body[n] = (char)('a' + (x >> 40) % 26);
    }
    if (bytes >= 2 && x >> 60 & 1)
        memcpy(body + bytes - 2, "\r\n", 2);
    return body;
}

struct delivery {
    struct store_message m;
    struct store_target target;
    uint64_t chunks[64];
    uint32_t chunk_bytes[64];
    char *body;
    char summary[64];
};

static enum status put_chunks(struct skit *k, struct delivery *d, unsigned bytes)
{
    unsigned at = 100; /* the head */

    if (bytes <= STORE_INLINE_MAX)
        return STATUS_OK;
    d->m.head.len = at;
    for (; bytes - at > STORE_INLINE_MAX; at += STORE_CHUNK_BYTES) {
        struct store_chunk c = {
            .op.done = skit_done, .bytes = slice_of(d->body + at, STORE_CHUNK_BYTES)};

        store_chunk(k->store, &c);
        skit_run(k, &c.op);
        TRY(skit_status(&c.op));
        d->chunks[d->m.chunk_count] = c.place;
        d->chunk_bytes[d->m.chunk_count++] = STORE_CHUNK_BYTES;
    }
    d->m.tail = slice_of(d->body + at, bytes - at);
    return STATUS_OK;
}

enum status skit_deliver(struct skit *k, const char *user, const char *mailbox,
    const char *tag, unsigned bytes, uint32_t *uid)
{
    struct delivery d = {.m.op.done = skit_done};
    enum status status;

    d.body = skit_body(tag, bytes);
    d.target.user = slice_str(user);
    d.target.mailbox = slice_str(mailbox ? mailbox : "");
    snprintf(d.summary, sizeof d.summary, "summary of %s", tag);
    d.m.head = slice_of(d.body, bytes);
    d.m.chunks = d.chunks;
    d.m.chunk_bytes = d.chunk_bytes;
    d.m.size = bytes;
    d.m.summary = slice_str(d.summary);
    d.m.date_s = 1600000000;
    d.m.date_zone = 120;
    d.m.targets = &d.target;
    d.m.target_count = 1;
    status = put_chunks(k, &d, bytes);
    if (status == STATUS_OK) {
        store_message(k->store, &d.m);
        skit_run(k, &d.m.op);
        status = skit_status(&d.m.op);
    }
    if (uid)
        *uid = d.target.uid;
    free(d.body);
    return status;
}

/* --- users and mailboxes --- */

enum status skit_user(struct skit *k, const char *name, bool create, struct user **user)
{
    struct user_open o = {
        .op.done = skit_done, .name = slice_str(name), .create = create};

    user_open(k->store, &o);
    skit_run(k, &o.op);
    *user = o.user;
    return skit_status(&o.op);
}

struct user *skit_open_user(struct skit *k, const char *name)
{
    struct user *u;

    assert_int_equal(skit_user(k, name, false, &u), STATUS_OK);
    return u;
}

enum status skit_remove(struct skit *k, const char *name)
{
    struct user_remove r = {.op.done = skit_done, .name = slice_str(name)};

    user_remove(k->store, &r);
    skit_run(k, &r.op);
    return skit_status(&r.op);
}

enum status skit_mailbox(
    struct skit *k, struct user *u, const char *name, struct mailbox **mailbox)
{
    struct mailbox_open o = {.op.done = skit_done, .name = slice_str(name)};

    mailbox_open(u, &o);
    skit_run(k, &o.op);
    *mailbox = o.mailbox;
    return skit_status(&o.op);
}

struct mailbox *skit_open_mailbox(struct skit *k, struct user *u, const char *name)
{
    struct mailbox *m;

    assert_int_equal(skit_mailbox(k, u, name, &m), STATUS_OK);
    return m;
}

enum status skit_change(struct skit *k, struct user *u, enum mailbox_change change,
    const char *name, const char *to)
{
    struct mailbox_op o = {.op.done = skit_done,
        .change = change,
        .name = slice_str(name),
        .to = slice_str(to ? to : "")};

    mailbox_change(u, &o);
    skit_run(k, &o.op);
    return skit_status(&o.op);
}

enum status skit_flags(struct skit *k, struct mailbox *m, uint32_t first, uint32_t last,
    enum flags_mode mode, uint8_t flags, const char *keyword)
{
    struct uid_range range = {first, last};
    struct slice word = slice_str(keyword ? keyword : "");
    struct flags_op f = {.op.done = skit_done,
        .uids = &range,
        .uid_count = 1,
        .mode = mode,
        .flags = flags,
        .keywords = &word,
        .keyword_count = keyword ? 1 : 0};

    mailbox_flags(m, &f);
    skit_run(k, &f.op);
    return skit_status(&f.op);
}

enum status skit_expunge(struct skit *k, struct mailbox *m, uint32_t first, uint32_t last,
    bool always, uint32_t *count)
{
    struct uid_range range = {first, last};
    struct expunge_op e = {
        .op.done = skit_done, .uids = &range, .uid_count = 1, .always = always};

    mailbox_expunge(m, &e);
    skit_run(k, &e.op);
    if (count)
        *count = e.count;
    return skit_status(&e.op);
}

enum status skit_copy(struct skit *k, struct mailbox *m, uint32_t first, uint32_t last,
    const char *to, bool move, struct copy_op *out)
{
    struct uid_range range = {first, last};
    struct copy_op c = {.op.done = skit_done,
        .uids = &range,
        .uid_count = 1,
        .to = slice_str(to),
        .move = move};

    mailbox_copy(m, &c);
    skit_run(k, &c.op);
    if (out)
        *out = c;
    return skit_status(&c.op);
}

/* --- reading --- */

enum status skit_read(
    struct skit *k, const struct entry *e, uint64_t at, uint64_t len, struct slice *bytes)
{
    char *out = calloc(1, e->size + 1);
    struct body b;
    size_t n = 0;

    *bytes = slice_of(out, 0);
    TRY(body_open(k->store, &b, e, at, len));
    for (;;) {
        enum status status = STATUS_OK;

        if (!body_next(&b, skit_done)) {
            skit_run(k, &b.op);
            status = skit_status(&b.op);
        }
        if (status != STATUS_OK || b.piece.len == 0) {
            body_close(&b);
            bytes->len = n;
            return status;
        }
        assert_true(n + b.piece.len <= e->size);
        memcpy(out + n, b.piece.at, b.piece.len);
        n += b.piece.len;
    }
}

enum status skit_summary(
    struct skit *k, struct mailbox *m, const struct entry *e, struct slice *bytes)
{
    struct summary_read r = {0};
    enum status status = STATUS_OK;
    char *out;

    if (!summary_get(m, &r, e, skit_done)) {
        skit_run(k, &r.op);
        status = skit_status(&r.op);
    }
    out = malloc(r.summary.len + 1);
    memcpy(out, r.summary.at ? r.summary.at : "", r.summary.len);
    *bytes = slice_of(out, r.summary.len);
    summary_release(&r);
    return status;
}

bool skit_entry(struct mailbox *m, uint32_t i, struct entry *e)
{
    if (!m->content || i >= m->content->messages)
        return false;
    entry_public(content_at(m->content, i), e);
    return true;
}

void skit_check_body(
    struct skit *k, const struct entry *e, const char *tag, unsigned bytes)
{
    char *want = skit_body(tag, bytes);
    struct slice got;

    assert_int_equal(e->size, bytes);
    assert_int_equal(skit_read(k, e, 0, UINT64_MAX, &got), STATUS_OK);
    assert_int_equal(got.len, bytes);
    assert_memory_equal(got.at, want, bytes);
    if (e->uid) /* of a mailbox, not of the queue */
        assert_int_equal(e->ends_with_crlf, bytes >= 2 && want[bytes - 1] == '\n');
    free((char *)got.at);
    free(want);
}

static void check_mailbox(struct mailbox *m, uint32_t segment)
{
    struct content *c = m->content;

    assert_true(PLACE_SEGMENT(m->state) != segment);
    for (uint32_t i = 0; i < c->page_count; i++)
        assert_true(PLACE_SEGMENT(c->pages[i].record.place) != segment);
    for (uint32_t i = 0; i < c->messages; i++) {
        const struct packed_entry *e = content_at(c, i);

        assert_true(PLACE_SEGMENT(e->body) != segment);
        assert_true(PLACE_SEGMENT(e->summary) != segment);
    }
}

void skit_check_unused(struct skit *k, uint32_t segment)
{
    const struct heads *h = &k->store->heads;

    for (uint32_t i = 0; i < h->slots; i++) {
        const struct head *head = heads_at(h, i);
        struct user *u;
        struct mailbox_info info;

        if (!head || head->flags & HEAD_REMOVED)
            continue;
        assert_true(PLACE_SEGMENT(head->state) != segment);
        if (skit_user(k, head->name, false, &u) != STATUS_OK)
            continue;
        for (unsigned b = 0; user_mailbox_at(u, b, &info); b++) {
            struct mailbox_open o = {.op.done = skit_done, .name = info.name};

            mailbox_open(u, &o);
            skit_run(k, &o.op);
            if (!o.mailbox)
                continue;
            check_mailbox(o.mailbox, segment);
            mailbox_close(o.mailbox);
        }
        user_close(u);
    }
}

/* --- hashes --- */

static void mix(uint64_t *h, uint64_t v)
{
    *h = (*h ^ v) * 0x9e3779b97f4a7c15u;
    *h ^= *h >> 32;
}

static uint64_t keyword_bits(const struct keywords *k, unsigned set)
{
    uint64_t h = 0;

    for (unsigned i = 0; i < k->shown; i++)
        if (k->sets[set].bits[i / 64] >> (i % 64) & 1)
            h += slice_hash(k->at[i], 1); /* their order is no state */
    return h;
}

static void hash_mailbox(uint64_t *h, struct mailbox *m)
{
    struct content *c = m->content;

    for (uint32_t i = 0; i < c->messages; i++) {
        const struct packed_entry *e = content_at(c, i);

        mix(h, e->uid), mix(h, e->flags), mix(h, e->size), mix(h, (uint64_t)e->date);
        mix(h, e->modseq), mix(h, (uint64_t)e->zone), mix(h, e->body);
        mix(h, e->summary), mix(h, e->summary_index), mix(h, e->share);
        mix(h, e->ends_with_crlf);
        mix(h, keyword_bits(&c->keywords, e->set));
    }
    mix(h, c->unseen), mix(h, c->deleted), mix(h, c->bytes), mix(h, m->flags_modseq);
}

uint64_t skit_hash_user(struct skit *k, const char *name)
{
    struct user *u;
    struct mailbox_info info;
    uint64_t h = 1;

    if (skit_user(k, name, false, &u) != STATUS_OK)
        return 0;
    for (unsigned i = 0; user_mailbox_at(u, i, &info); i++) {
        struct mailbox_open o = {.op.done = skit_done, .name = info.name};

        mix(&h, slice_hash(info.name, 2)), mix(&h, info.selectable);
        mix(&h, info.exists), mix(&h, info.subscribed), mix(&h, info.uid_validity);
        mix(&h, info.uid_next), mix(&h, info.modseq), mix(&h, info.use);
        if (!info.selectable)
            continue;
        mailbox_open(u, &o);
        skit_run(k, &o.op);
        mix(&h, skit_status(&o.op));
        if (!o.mailbox)
            continue;
        hash_mailbox(&h, o.mailbox);
        mailbox_close(o.mailbox);
    }
    mix(&h, u->bytes), mix(&h, user_bytes(u));
    user_close(u);
    return h;
}

uint64_t skit_hash_heads(struct skit *k)
{
    const struct heads *h = &k->store->heads;
    uint64_t all = 0;

    for (uint32_t i = 0; i < h->slots; i++) {
        const struct head *head = heads_at(h, i);
        uint64_t one = 1;

        if (!head)
            continue;
        mix(&one, slice_hash(head_name(head), 3)), mix(&one, head->id);
        mix(&one, head->last), mix(&one, head->seq), mix(&one, head->state);
        mix(&one, head->modseq), mix(&one, head->bytes), mix(&one, head->uid_validity);
        mix(&one, head->uid_next), mix(&one, head->chain), mix(&one, head->applied_seq);
        all += one; /* in any order */
    }
    mix(&all, k->store->uid_validity), mix(&all, k->store->next_user);
    return all;
}

/* --- what a client can see of a user --- */

static void mix_bytes(uint64_t *h, struct slice bytes)
{
    mix(h, slice_hash(bytes, 7));
    free((char *)bytes.at);
}

static void shown_entry(struct skit *k, uint64_t *h, struct mailbox *m, struct entry *e)
{
    struct slice bytes, keyword;

    mix(h, e->uid), mix(h, e->flags), mix(h, e->size), mix(h, e->modseq);
    mix(h, (uint64_t)e->date_s), mix(h, (uint64_t)e->date_zone);
    mix(h, e->ends_with_crlf);
    for (unsigned i = 0; mailbox_keyword_at(m, i, &keyword); i++)
        mix(h, slice_hash(keyword, 1) * mailbox_keyword_in(m, e->keywords, i));
    assert_int_equal(skit_read(k, e, 0, e->size, &bytes), STATUS_OK);
    mix_bytes(h, bytes);
    assert_int_equal(skit_summary(k, m, e, &bytes), STATUS_OK);
    mix_bytes(h, bytes);
}

static void shown_mailbox(struct skit *k, uint64_t *h, struct user *u, const char *name)
{
    struct mailbox *m = skit_open_mailbox(k, u, name);
    struct mailbox_status st;
    struct entry e;

    mailbox_status(m, &st);
    mix(h, st.messages), mix(h, st.recent), mix(h, st.unseen), mix(h, st.deleted);
    for (uint32_t i = 0; skit_entry(m, i, &e); i++)
        shown_entry(k, h, m, &e);
    mailbox_close(m);
}

uint64_t skit_hash_shown(struct skit *k, const char *user)
{
    struct mailbox_info info;
    struct user *u;
    uint64_t h = 1;
    char name[64];

    if (skit_user(k, user, false, &u) != STATUS_OK)
        return 0;
    for (unsigned i = 0; user_mailbox_at(u, i, &info); i++) {
        mix(&h, slice_hash(info.name, 2)), mix(&h, info.selectable);
        mix(&h, info.exists), mix(&h, info.subscribed), mix(&h, info.uid_validity);
        mix(&h, info.uid_next), mix(&h, info.modseq), mix(&h, info.use);
        snprintf(name, sizeof name, "%.*s", (int)info.name.len, info.name.at);
        if (info.selectable)
            shown_mailbox(k, &h, u, name);
    }
    mix(&h, user_bytes(u));
    user_close(u);
    return h;
}

/* --- fixtures --- */

int skit_start(void **state)
{
    struct skit *k = calloc(1, sizeof *k);

    skit_init(k, 1);
    skit_open(k);
    *state = k;
    return 0;
}

int skit_stop(void **state)
{
    struct skit *k = *state;

    if (k->store)
        skit_close(k);
    skit_free(k);
    free(k);
    return 0;
}
