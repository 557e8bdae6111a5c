/* Looks through a whole shard, offline.
 *
 *      the log      every byte of it: damage, torn tail, missing segments
 *      the index    the store is opened behind a disk that keeps changes to itself, every
 *                   user is loaded, every mailbox opened
 *      references   every message names a body and a summary that the log has, every
 *                   entry of the queue a body
 *
 * Repair opens the store for good and drops what can't be read, nothing else. */
#include <stdarg.h>
#include <stdio.h>

#include "store/check_disk.h"
#include "store/check_state.h"
#include "store/log_check.h"

enum { LINE_MAX_BYTES = 1024 };

void check_say(struct check *c, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->say(c->arg, line);
}

void check_problem(struct check *c, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->problems++;
    c->say(c->arg, line);
}

/* --- what the log has --- */

static bool place_add(struct places *p, uint64_t place, uint32_t count)
{
    struct placed one = {place, count};

    bytes_put(&p->bytes, &one, sizeof one);
    return !p->bytes.failed;
}

static int by_place(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;

    return x->place < y->place ? -1 : x->place > y->place;
}

static void places_sort(struct places *p)
{
    size_t n = p->bytes.len / sizeof(struct placed);

    if (n > 1)
        qsort(p->bytes.at, n, sizeof(struct placed), by_place);
}

const struct placed *places_find(const struct places *p, uint64_t place)
{
    struct placed key = {place, 0};

    return p->bytes.len
        ? bsearch(&key, p->bytes.at, p->bytes.len / sizeof key, sizeof key, by_place)
        : NULL;
}

static void on_problem(
    void *arg, const char *file, uint64_t offset, uint64_t bytes, const char *what)
{
    check_problem(arg, "file=%s offset=%llu bytes=%llu: %s", file,
        (unsigned long long)offset, (unsigned long long)bytes, what);
}

static enum status chunks_add(
    struct check *c, const struct log_record *r, const struct message_read *m)
{
    for (uint32_t i = 0; i < m->fixed.chunk_count; i++) {
        struct part_of part = {r->place, m->parts[i].place};

        bytes_put(&c->parts, &part, sizeof part);
    }
    return c->parts.failed ? STATUS_NO_MEMORY : STATUS_OK;
}

/* Damage inside a record that its checksum does not show is our own, or worse. */
static void bad_record(struct check *c, const struct log_record *r)
{
    check_problem(c, "file=" SEGMENT_NAME " offset=%u: a %s record contradicts itself",
        PLACE_SEGMENT(r->place), PLACE_OFFSET(r->place), record_kind_text(r->kind));
}

static enum status on_record(void *arg, const struct log_record *r)
{
    struct check *c = arg;
    struct message_read m;
    struct summaries_read s;
    bool room = true;

    if (r->kind == RECORD_MESSAGE && message_read(r->payload, &m)) {
        TRY(chunks_add(c, r, &m));
        room = place_add(&c->messages, r->place, (uint32_t)m.fixed.size);
    } else if (r->kind == RECORD_SUMMARY && summaries_read(r->payload, &s)) {
        room = place_add(&c->summaries, r->place, s.fixed.count);
    } else if (r->kind == RECORD_CHUNK) {
        room = place_add(&c->chunks, r->place, (uint32_t)r->payload.len);
    } else if (r->kind == RECORD_MESSAGE || r->kind == RECORD_SUMMARY) {
        bad_record(c, r);
    }
    return room ? STATUS_OK : STATUS_NO_MEMORY;
}

static int by_message(const void *a, const void *b)
{
    const struct part_of *x = a, *y = b;

    return x->message < y->message ? -1 : x->message > y->message;
}

static enum status check_log(struct check *c, struct disk *disk)
{
    struct log_check log = {.store_id = c->conf.store_id,
        .shard = c->conf.shard,
        .record = on_record,
        .problem = on_problem,
        .arg = c};

    TRY(log_check(disk, &log));
    if (log.tail_cut_bytes)
        check_say(c, "tail: %llu bytes were never acknowledged and will be cut",
            (unsigned long long)log.tail_cut_bytes);
    places_sort(&c->messages);
    places_sort(&c->summaries);
    places_sort(&c->chunks);
    if (c->parts.len)
        qsort(c->parts.at, c->parts.len / sizeof(struct part_of), sizeof(struct part_of),
            by_message);
    return STATUS_OK;
}

/* --- waiting --- */

void check_done(struct store_op *op, enum status status)
{
    op->owner = (void *)(uintptr_t)status;
}

static void turn(struct check *c)
{
    store_turn(c->store, c->now_s);
    check_disk_run(c->disk);
}

enum status check_await(struct check *c, struct store_op *op)
{
    while (op->pending)
        turn(c);
    return (enum status)(uintptr_t)op->owner;
}

/* --- references --- */

static bool chunks_there(const struct check *c, uint64_t message)
{
    const struct part_of *at = (const void *)c->parts.at;
    size_t lo = 0, hi = c->parts.len / sizeof *at, n = hi;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (at[mid].message < message)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < n && at[lo].message == message; lo++)
        if (!places_find(&c->chunks, at[lo].chunk))
            return false;
    return true;
}

static void lost(struct check *c, struct mailbox *m, const struct packed_entry *e,
    uint64_t place, const char *what)
{
    check_problem(c,
        "user=%.*s mailbox=\"%.*s\" uid=%u file=" SEGMENT_NAME " offset=%u: %s",
        (int)m->user->head->name_bytes, m->user->head->name, (int)m->name_bytes, m->name,
        e->uid, PLACE_SEGMENT(place), PLACE_OFFSET(place), what);
}

/* False: the message can't be read. */
static bool body_there(struct check *c, struct mailbox *m, const struct packed_entry *e)
{
    const struct placed *body = places_find(&c->messages, e->body);

    if (body && body->count == e->size && chunks_there(c, e->body))
        return true;
    lost(c, m, e, e->body,
        body ? "a part of the message is missing" : "the message is missing");
    return false;
}

static bool summary_there(
    struct check *c, struct mailbox *m, const struct packed_entry *e)
{
    const struct placed *s = places_find(&c->summaries, e->summary);

    if (s && e->summary_index < s->count)
        return true;
    lost(c, m, e, e->summary, "the summary is missing");
    return false;
}

static void check_entries(struct check *c, struct mailbox *m)
{
    uint32_t uid = 1;

    for (;;) {
        struct spot s = content_seek(m->content, uid);
        struct packed_entry e;

        if (s.page == m->content->page_count)
            return;
        e = *content_get(m->content, s);
        uid = e.uid + 1;
        c->entries++;
        c->user_bytes += e.size;
        if (e.uid >= m->uid_next)
            check_problem(c, "user=%.*s mailbox=\"%.*s\" uid=%u: above UIDNEXT",
                (int)m->user->head->name_bytes, m->user->head->name, (int)m->name_bytes,
                m->name, e.uid);
        if (!body_there(c, m, &e)) {
            if (c->repair && check_drop(c, m, e.uid) == STATUS_OK)
                check_say(c, "  dropped: the rest of the mailbox is as it was");
        } else if (!summary_there(c, m, &e) && c->repair &&
            check_new_summary(c, m, e.uid) == STATUS_OK) {
            check_say(c, "  it will be computed when the message is read");
        }
    }
}

static void check_mailbox(struct check *c, struct user *u, struct mailbox *m)
{
    struct mailbox_open o = {.op.done = check_done, .name = mailbox_name(m)};
    enum status status;

    mailbox_open(u, &o);
    status = check_await(c, &o.op);
    if (status == STATUS_OK) {
        check_entries(c, o.mailbox);
        mailbox_close(o.mailbox);
        return;
    }
    c->user_broken = true;
    check_problem(c,
        "user=%.*s mailbox=\"%.*s\" file=" SEGMENT_NAME " offset=%u: its state: %s",
        (int)u->head->name_bytes, u->head->name, (int)m->name_bytes, m->name,
        PLACE_SEGMENT(m->state), PLACE_OFFSET(m->state), status_text(status));
}

static void check_user(struct check *c, struct head *head)
{
    struct user_open o = {.op.done = check_done, .name = head_name(head)};
    enum status status;

    c->user_bytes = 0;
    c->user_broken = false;
    user_open(c->store, &o);
    status = check_await(c, &o.op);
    if (status != STATUS_OK) {
        c->user_broken = true;
        check_problem(c,
            "user=%.*s state=" SEGMENT_NAME "+%u last=" SEGMENT_NAME "+%u: %s",
            (int)head->name_bytes, head->name, PLACE_SEGMENT(head->state),
            PLACE_OFFSET(head->state), PLACE_SEGMENT(head->last),
            PLACE_OFFSET(head->last), status_text(status));
        return;
    }
    for (unsigned i = 0; i < o.user->id_count; i++)
        check_mailbox(c, o.user, o.user->ids[i]);
    if (!c->user_broken && !c->repair && c->user_bytes != head->bytes)
        check_problem(c, "user=%.*s: holds %llu bytes, counted %llu",
            (int)head->name_bytes, head->name, (unsigned long long)c->user_bytes,
            (unsigned long long)head->bytes);
    user_close(o.user);
}

static void check_fanouts(struct check *c)
{
    struct store_fanout f;

    for (unsigned i = 0; store_fanout_open(c->store, i, &f); i++)
        if (!places_find(&c->messages, f.body) || !chunks_there(c, f.body))
            check_problem(c,
                "fan-out %llu file=" SEGMENT_NAME " offset=%u: the message is missing",
                (unsigned long long)f.id, PLACE_SEGMENT(f.body), PLACE_OFFSET(f.body));
}

static void check_queue(struct check *c)
{
    struct store_queued q = {0};

    while (store_queue_after(c->store, q.id, &q)) {
        const struct placed *body = places_find(&c->messages, q.body);

        c->queued++;
        if (body && body->count == q.size && chunks_there(c, q.body))
            continue;
        check_problem(c, "queue entry %llx file=" SEGMENT_NAME " offset=%u: %s",
            (unsigned long long)q.id, PLACE_SEGMENT(q.body), PLACE_OFFSET(q.body),
            body ? "a part of the message is missing" : "the message is missing");
        if (c->repair && check_drop_queued(c, q.id) == STATUS_OK)
            check_say(c, "  dropped: its recipients do not get the message");
    }
}

static void check_users(struct check *c)
{
    struct heads *h = &c->store->heads;

    for (uint32_t i = 0; i < h->slots; i++) {
        struct head *head = heads_at(h, i);

        if (!head)
            continue;
        c->users++;
        check_user(c, head);
    }
}

/* --- all of it --- */

static void check_stop(struct check *c)
{
    struct store_op op = {.done = check_done};

    store_stop(c->store, &op);
    (void)check_await(c, &op);
    while (store_turn(c->store, c->now_s) || check_disk_run(c->disk))
        ;
    store_close(c->store);
}

static enum status check_index(struct check *c, struct disk *disk)
{
    enum status status;

    c->disk = check_disk_open(disk, c->repair);
    if (!c->disk)
        return STATUS_NO_MEMORY;
    status = store_open_as(&c->store, c->disk, &c->conf, c->now_s, true);
    if (status == STATUS_OK) {
        c->store->stopping = !c->repair; /* nothing may be written, not even in memory */
        check_users(c);
        check_fanouts(c);
        check_queue(c);
        check_stop(c);
    }
    check_disk_close(c->disk);
    return status;
}

uint64_t store_check(struct disk *disk, const struct store_conf *conf, bool repair,
    void (*say)(void *arg, const char *line), void *arg)
{
    struct check c = {.conf = *conf, .repair = repair, .say = say, .arg = arg};
    enum status status;

    c.conf.event = NULL; /* the findings say the same */
    c.conf.wake = NULL;
    c.conf.compact_percent = STORE_COMPACT_NEVER; /* all stays where it was found */
    if (!repair)
        c.conf.segment_bytes = 16 << 20;
    status = check_log(&c, disk);
    if (status == STATUS_OK)
        status = check_index(&c, disk);
    if (status != STATUS_OK)
        check_problem(&c, "the check can't go on: %s", status_text(status));
    check_say(&c, "%llu users, %llu messages, %llu queue entries, %llu problems",
        (unsigned long long)c.users, (unsigned long long)c.entries,
        (unsigned long long)c.queued, (unsigned long long)c.problems);
    bytes_free(&c.messages.bytes);
    bytes_free(&c.summaries.bytes);
    bytes_free(&c.chunks.bytes);
    bytes_free(&c.parts);
    return c.problems;
}
