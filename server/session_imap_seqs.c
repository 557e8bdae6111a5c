#include "server/session_imap_work.h"

enum { SEQS_MAX = 65536 }; /* ranges a command may split into */

bool imap_seqs_add(struct session_imap *s, struct imap_seqs *seqs, uint32_t seq)
{
    struct imap_range *last = seqs->count ? &seqs->at[seqs->count - 1] : NULL;

    if (last && last->last + 1 == seq) {
        last->last = seq;
        return true;
    }
    if (seqs->count == seqs->cap) {
        unsigned cap = seqs->cap ? 2 * seqs->cap : 64;
        struct imap_range *at =
            cap > SEQS_MAX ? NULL : arena_take(&s->work->arena, cap * sizeof *at);

        if (!at) {
            imap_no(s, S("[LIMIT]"), S("Too many messages in one command"));
            return false;
        }
        if (seqs->at)
            memcpy(at, seqs->at, seqs->count * sizeof *at);
        seqs->at = at;
        seqs->cap = cap;
    }
    CHECK(seqs->at);
    seqs->at[seqs->count++] = (struct imap_range){seq, seq};
    return true;
}

void imap_seqs_from_uids(const struct view *view, struct imap_seqs *seqs)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < seqs->count; i++) {
        struct imap_range r = seqs->at[i];
        uint32_t first = view_rank(view, r.first - 1) + 1;
        uint32_t last = view_rank(view, r.last);

        if (first <= last)
            seqs->at[kept++] = (struct imap_range){first, last};
    }
    seqs->count = kept;
}

bool imap_seqs_of(
    struct session_imap *s, struct imap_set *set, bool uid, struct imap_seqs *seqs)
{
    const struct view *view = &s->view;
    uint32_t star = view->count;

    if (uid) /* in an empty mailbox `*` is no message: RFC 3501, 6.4.8 */
        star = view->count ? view_uid(view, view->count) : UINT32_MAX;
    imap_set_resolve(set, star);
    *seqs = (struct imap_seqs){set->at, set->count, set->count};
    if (uid) {
        imap_seqs_from_uids(view, seqs);
        return true;
    }
    if (imap_set_fits(set, view->count))
        return true;
    imap_bad(s, S("No such message"));
    return false;
}

bool imap_seqs_from(
    const struct imap_seqs *seqs, unsigned *hint, uint32_t from, uint32_t *seq)
{
    while (*hint < seqs->count && seqs->at[*hint].last < from)
        ++*hint;
    if (*hint == seqs->count)
        return false;
    *seq = seqs->at[*hint].first < from ? from : seqs->at[*hint].first;
    return true;
}

struct uid_range *imap_seqs_uids(struct session_imap *s, const struct imap_seqs *seqs)
{
    struct uid_range *uids =
        arena_take(&s->work->arena, (seqs->count + 1) * sizeof *uids);

    if (!uids) {
        imap_no(s, S("[LIMIT]"), S("Too many messages in one command"));
        return NULL;
    }
    for (unsigned i = 0; i < seqs->count; i++)
        uids[i] = (struct uid_range){
            view_uid(&s->view, seqs->at[i].first), view_uid(&s->view, seqs->at[i].last)};
    return uids;
}
