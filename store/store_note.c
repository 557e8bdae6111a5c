#include "store/index.h"

/* --- live bytes --- */

/* The numbers only choose the segments to compact, and may drift; compaction itself looks
 * at what is named. Each reference to a message holds 1 / 2^share of its bytes, and two
 * copies hold half of what the one had: what goes away adds up to what came. */

void freed_add(struct freed *f, uint32_t segment, uint64_t bytes)
{
    struct rec_freed *at = (void *)f->bytes.at, add = {segment, bytes};
    uint32_t lo = 0, hi = freed_count(f);

    if (hi && at[hi - 1].segment < segment)
        lo = hi;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (at[mid].segment < segment)
            lo = mid + 1;
        else
            hi = mid;
    }
    hi = freed_count(f);
    if (lo < hi && at[lo].segment == segment) {
        at[lo].bytes += bytes;
        return;
    }
    bytes_put(&f->bytes, &add, sizeof add);
    if (f->bytes.failed) {
        f->bytes.failed = false; /* the estimate is a little worse, nothing else */
        return;
    }
    at = (void *)f->bytes.at;
    memmove(at + lo + 1, at + lo, (hi - lo) * sizeof *at);
    at[lo] = add;
}

void freed_add_body(
    struct store *s, struct freed *f, uint64_t body, uint32_t size, unsigned share)
{
    uint64_t own = size + (uint64_t)ACCOUNT_MESSAGE;
    unsigned count;
    const struct straddle *t = straddle_find(s, body, &count);

    if (share == SHARE_MAX)
        return;
    for (unsigned i = 0; i < count; i++) {
        freed_add(f, t[i].segment, t[i].bytes >> share);
        own -= t[i].bytes < own ? t[i].bytes : own;
    }
    freed_add(f, PLACE_SEGMENT(body), own >> share);
}

void freed_add_entry(struct store *s, struct freed *f, const struct packed_entry *e)
{
    if (e->share == SHARE_MAX)
        return;
    freed_add_body(s, f, e->body, e->size, e->share);
    freed_add(f, PLACE_SEGMENT(e->summary), s->summary_bytes >> e->share);
}

void note_freed(struct store *s, const struct rec_freed *freed, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = freed[i].bytes < INT64_MAX ? freed[i].bytes : INT64_MAX;

        log_live(s->log, (uint64_t)freed[i].segment << 32, -(int64_t)bytes);
    }
}

/* --- messages whose chunks lie in several segments --- */

static unsigned straddle_at(const struct store *s, uint64_t message)
{
    uint32_t lo = 0, hi = s->straddle_count;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (s->straddles[mid].message < message)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct straddle *straddle_find(
    const struct store *s, uint64_t message, unsigned *count)
{
    unsigned at = straddle_at(s, message), end = at;

    while (end < s->straddle_count && s->straddles[end].message == message)
        end++;
    *count = end - at;
    return *count ? s->straddles + at : NULL;
}

bool straddle_reserve(struct store *s, unsigned count)
{
    uint32_t cap = s->straddle_cap ? s->straddle_cap : 64;
    struct straddle *at;

    if (count <= s->straddle_cap - s->straddle_count)
        return true;
    while (cap - s->straddle_count < count)
        cap *= 2;
    at = realloc(s->straddles, cap * sizeof *at);
    if (!at)
        return false;
    s->straddles = at;
    s->straddle_cap = cap;
    return true;
}

void straddle_forget(struct store *s, uint64_t message)
{
    unsigned count, at = straddle_at(s, message);

    if (!straddle_find(s, message, &count))
        return;
    memmove(s->straddles + at, s->straddles + at + count,
        (s->straddle_count - at - count) * sizeof *s->straddles);
    s->straddle_count -= count;
}

void straddle_add(struct store *s, uint64_t message, uint32_t segment, uint32_t bytes)
{
    unsigned at = straddle_at(s, message);

    for (; at < s->straddle_count && s->straddles[at].message == message; at++)
        if (s->straddles[at].segment == segment) {
            s->straddles[at].bytes += bytes;
            return;
        }
    memmove(s->straddles + at + 1, s->straddles + at,
        (s->straddle_count - at) * sizeof *s->straddles);
    s->straddles[at] = (struct straddle){message, segment, bytes};
    s->straddle_count++;
}

/* --- records that change no user --- */

void note_message(struct store *s, uint64_t place, const struct rec_message *m,
    const struct rec_part *parts)
{
    uint64_t own = m->size + ACCOUNT_MESSAGE;

    straddle_forget(s, place);
    for (uint32_t i = 0; i < m->chunk_count; i++) {
        uint32_t segment = PLACE_SEGMENT(parts[i].place);

        if (segment == PLACE_SEGMENT(place))
            continue;
        straddle_add(s, place, segment, parts[i].bytes);
        log_live(s->log, parts[i].place, parts[i].bytes);
        own -= parts[i].bytes;
    }
    log_live(s->log, place, (int64_t)own);
}

static enum status replay_message(struct store *s, const struct log_record *r)
{
    struct message_read m;

    if (!message_read(r->payload, &m))
        return STATUS_OK;
    if (!straddle_reserve(s, m.fixed.chunk_count))
        return STATUS_NO_MEMORY;
    note_message(s, r->place, &m.fixed, m.parts);
    return STATUS_OK;
}

void note_summaries(struct store *s, uint64_t place, unsigned count, size_t bytes)
{
    uint64_t span = record_span(bytes);

    log_live(s->log, place, (int64_t)span);
    if (count) /* what one costs when it goes: the average of late */
        s->summary_bytes = (63 * s->summary_bytes + span / count) / 64;
}

static void replay_summaries(struct store *s, const struct log_record *r)
{
    struct summaries_read m;

    if (summaries_read(r->payload, &m))
        note_summaries(s, r->place, m.fixed.count, r->payload.len);
}

static void note_uid_validity(struct store *s, uint32_t value)
{
    if (value > s->uid_validity)
        s->uid_validity = value;
}

static void note_counters(struct store *s, const struct log_record *r)
{
    struct reader in = reader_of(r->payload);
    struct rec_counters c;
    struct slice ids;

    reader_copy(&in, &c, sizeof c);
    ids = reader_take(&in, (uint64_t)c.fanout_count * 8);
    if (in.bad || c.version != RECORDS_VERSION)
        return;
    note_uid_validity(s, c.uid_validity);
    if (c.next_user > s->next_user)
        s->next_user = c.next_user;
    for (uint32_t i = 0; i < c.fanout_count; i++)
        recent_add(&s->recent, u64_at(ids, i));
    if (in.rest.len >= sizeof(uint64_t)) /* not in version 2 */
        note_queue_next(s, u64_at(in.rest, 0));
}

static enum status note_fanout(struct store *s, const struct log_record *r)
{
    struct reader in = reader_of(r->payload);
    struct rec_fanout f;
    struct slice rest;

    reader_copy(&in, &f, sizeof f);
    rest = reader_take(&in, f.rest_bytes);
    if (in.bad || f.version != RECORDS_VERSION)
        return STATUS_OK;
    recent_add(&s->recent, f.id);
    return fanout_open(s, f.id, f.body, r->place, rest);
}

static void note_fanout_done(struct store *s, const struct log_record *r)
{
    struct reader in = reader_of(r->payload);
    struct rec_fanout_done f;

    reader_copy(&in, &f, sizeof f);
    if (!in.bad && f.version == RECORDS_VERSION)
        fanout_close(s, f.id);
}

/* --- records that change users --- */

/* Makes the record the newest link of the user's chain. False: the head has it already,
 * or the user is not known (any more). */
static bool link_head(struct head *head, const struct log_record *r)
{
    if (!head || r->seq <= head->seq)
        return false;
    head->last = r->place;
    head->seq = r->seq;
    if (head->chain < UINT16_MAX)
        head->chain++;
    return true;
}

static void inbox_modseq(struct head *head, uint64_t modseq)
{
    if (modseq > head->modseq)
        head->modseq = modseq;
}

static void inbox_uid(struct head *head, uint64_t uid_next)
{
    if (uid_next > head->uid_next)
        head->uid_next = uid_next > UINT32_MAX ? UINT32_MAX : (uint32_t)uid_next;
}

static enum status note_delivery(struct store *s, const struct log_record *r)
{
    struct delivery_read d;
    struct head *head = NULL;
    bool linked = false;

    if (!delivery_read(r->payload, &d))
        return STATUS_OK;
    for (unsigned i = 0; i < d.fixed.target_count; i++) {
        const struct rec_target *t = &d.targets[i];

        if (i == 0 || t->user != d.targets[i - 1].user) {
            head = heads_by_id(&s->heads, t->user);
            linked = link_head(head, r);
        }
        if (!linked)
            continue;
        head->bytes += d.fixed.size;
        if (t->mailbox == MAILBOX_INBOX) {
            inbox_uid(head, (uint64_t)t->uid + 1);
            inbox_modseq(head, t->modseq);
        }
    }
    if (d.fixed.fanout_id)
        recent_add(&s->recent, d.fixed.fanout_id);
    if (d.fixed.fanout_id && d.rest.len)
        return fanout_open(s, d.fixed.fanout_id, d.fixed.body, r->place, d.rest);
    return STATUS_OK;
}

static void note_folders(struct store *s, struct reader folders, unsigned count)
{
    struct folder_read f;

    for (unsigned i = 0; i < count && folder_next(&folders, &f); i++)
        note_uid_validity(s, f.fixed.uid_validity);
}

static void note_user_id(struct store *s, uint64_t id)
{
    uint64_t counter = id & (((uint64_t)1 << USER_SHARD_SHIFT) - 1);

    if (id >> USER_SHARD_SHIFT == s->conf.shard && counter >= s->next_user)
        s->next_user = counter + 1;
}

/* The head of a user that a record makes; an older user of the name has gone. */
static struct head *head_for(struct store *s, uint64_t id, struct slice name)
{
    struct head *head = heads_by_id(&s->heads, id), *other;

    note_user_id(s, id);
    if (head)
        return head;
    other = heads_find(&s->heads, name);
    if (other && other->id > id)
        return NULL;
    if (other)
        heads_unname(&s->heads, other);
    head = heads_add(&s->heads, id, name);
    if (head)
        heads_name(&s->heads, head);
    return head;
}

static enum status note_user(
    struct store *s, const struct log_record *r, struct delta_read *d)
{
    struct user_read u;
    struct head *head;

    if (!user_read(d->body, &u))
        return STATUS_OK;
    if (d->fixed.what == USER_REMOVED) {
        note_freed(s, u.freed, u.fixed.freed_count);
        head = heads_by_id(&s->heads, d->fixed.user);
        if (head && s->replaying)
            heads_remove(&s->heads, head);
        else if (head)
            link_head(head, r);
        return STATUS_OK;
    }
    note_uid_validity(s, u.fixed.uid_validity);
    note_folders(s, u.folders, u.fixed.folder_count);
    head = head_for(s, d->fixed.user, u.name);
    if (!head) {
        struct head *other = heads_find(&s->heads, u.name);

        return other && other->id > d->fixed.user ? STATUS_OK : STATUS_NO_MEMORY;
    }
    if (!link_head(head, r))
        return STATUS_OK;
    head->flags &= (uint8_t)~HEAD_NEW;
    head->uid_validity = u.fixed.uid_validity;
    inbox_uid(head, 1);
    inbox_modseq(head, 1);
    return STATUS_OK;
}

void head_set_state(struct head *head, const struct log_record *r)
{
    struct delta_read d;
    struct user_state_read st;

    if (!delta_read(r->payload, &d) || !user_state_read(d.body, &st))
        return;
    head->state = r->place;
    head->applied_seq = st.fixed.applied_seq;
}

static enum status note_user_state(
    struct store *s, const struct log_record *r, struct delta_read *d)
{
    struct user_state_read st;
    struct head *head;

    if (!user_state_read(d->body, &st) || (s->replaying && !user_state_whole(&st)))
        return STATUS_OK;
    log_live(s->log, r->place, (int64_t)record_span(r->payload.len));
    note_freed(s, st.freed, st.fixed.freed_count);
    if (!s->replaying) {
        link_head(heads_by_id(&s->heads, d->fixed.user), r);
        return STATUS_OK;
    }
    note_uid_validity(s, st.fixed.uid_validity);
    head = head_for(s, d->fixed.user, st.name);
    if (!head)
        return heads_find(&s->heads, st.name) ? STATUS_OK : STATUS_NO_MEMORY;
    if (!link_head(head, r))
        return STATUS_OK;
    head_set_state(head, r);
    head->chain = st.fixed.chain > UINT16_MAX ? UINT16_MAX : (uint16_t)st.fixed.chain;
    head->uid_validity = st.fixed.uid_validity;
    head->bytes = st.fixed.bytes;
    inbox_uid(head, st.fixed.uid_next);
    inbox_modseq(head, st.fixed.modseq);
    return STATUS_OK;
}

/* COPY into or out of INBOX moves its counters. */
static void note_copy(struct head *head, const struct delta_read *d)
{
    struct copy_read c;

    if (!copy_read(d->body, &c))
        return;
    if (d->fixed.mailbox == MAILBOX_INBOX)
        inbox_uid(head, (uint64_t)c.fixed.uid_first + c.fixed.count);
    if (c.fixed.from == MAILBOX_INBOX)
        inbox_modseq(head, c.fixed.modseq_from);
}

static void note_parts(struct store *s, const struct log_record *r, struct delta_read *d)
{
    struct expunge_read e;
    struct tree_read t;

    if (r->kind == RECORD_EXPUNGE && expunge_read(d->body, &e))
        note_freed(s, e.freed, e.fixed.freed_count);
    if (r->kind == RECORD_MAILBOX && tree_read(d->body, &t)) {
        note_freed(s, t.freed, t.fixed.freed_count);
        note_folders(s, t.folders, t.fixed.folder_count);
    }
}

static enum status note_delta(struct store *s, const struct log_record *r)
{
    struct delta_read d;
    struct head *head;

    if (!delta_read(r->payload, &d))
        return STATUS_OK;
    if (r->kind == RECORD_USER)
        return note_user(s, r, &d);
    if (r->kind == RECORD_USER_STATE)
        return note_user_state(s, r, &d);
    note_parts(s, r, &d);
    head = heads_by_id(&s->heads, d.fixed.user);
    if (!link_head(head, r))
        return STATUS_OK;
    head->bytes += (uint64_t)d.fixed.bytes;
    if (d.fixed.mailbox == MAILBOX_INBOX)
        inbox_modseq(head, d.fixed.modseq);
    if (r->kind == RECORD_COPY)
        note_copy(head, &d);
    return STATUS_OK;
}

enum status store_note(struct store *s, const struct log_record *r)
{
    switch (r->kind) {
    case RECORD_MESSAGE:
        return replay_message(s, r);
    case RECORD_SUMMARY:
        replay_summaries(s, r);
        return STATUS_OK;
    case RECORD_DELIVERY:
        return note_delivery(s, r);
    case RECORD_MAILBOX_STATE:
        log_live(s->log, r->place, (int64_t)record_span(r->payload.len));
        return STATUS_OK;
    case RECORD_FLAGS:
    case RECORD_EXPUNGE:
    case RECORD_RELOCATE:
    case RECORD_COPY:
    case RECORD_MAILBOX:
    case RECORD_USER:
    case RECORD_USER_STATE:
        return note_delta(s, r);
    case RECORD_UIDVALIDITY:
        note_counters(s, r);
        return STATUS_OK;
    case RECORD_ADOPTED:
        return adopted_note(s, r);
    case RECORD_FANOUT:
        return note_fanout(s, r);
    case RECORD_FANOUT_DONE:
        note_fanout_done(s, r);
        return STATUS_OK;
    case RECORD_QUEUE_ADDED:
        return note_queue_added(s, r);
    case RECORD_QUEUE_ATTEMPTED:
        return note_queue_attempted(s, r);
    case RECORD_QUEUE_DONE:
        note_queue_done(s, r);
        return STATUS_OK;
    case RECORD_CHUNK:
    case RECORD_BATCH:
    case RECORD_SEGMENT_SEALED:
    case RECORD_SEGMENTS:
        return STATUS_OK;
    }
    return STATUS_OK;
}

bool record_users(const struct log_record *r, struct record_users *u)
{
    struct delivery_read d;
    struct delta_read delta;

    switch (r->kind) {
    case RECORD_DELIVERY:
        if (!delivery_read(r->payload, &d))
            return false;
        *u = (struct record_users){d.targets, d.fixed.target_count, 0, 0};
        return true;
    case RECORD_FLAGS:
    case RECORD_EXPUNGE:
    case RECORD_RELOCATE:
    case RECORD_COPY:
    case RECORD_MAILBOX:
    case RECORD_USER:
    case RECORD_USER_STATE:
        if (!delta_read(r->payload, &delta))
            return false;
        *u = (struct record_users){NULL, 1, delta.fixed.user, delta.fixed.prev};
        return true;
    case RECORD_MESSAGE:
    case RECORD_SUMMARY:
    case RECORD_MAILBOX_STATE:
    case RECORD_UIDVALIDITY:
    case RECORD_ADOPTED:
    case RECORD_FANOUT:
    case RECORD_FANOUT_DONE:
    case RECORD_CHUNK:
    case RECORD_BATCH:
    case RECORD_SEGMENT_SEALED:
    case RECORD_SEGMENTS:
    case RECORD_QUEUE_ADDED:
    case RECORD_QUEUE_ATTEMPTED:
    case RECORD_QUEUE_DONE:
        break;
    }
    return false;
}
