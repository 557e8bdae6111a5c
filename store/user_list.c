/* What sessions see of a user's names. */
#include "store/mailbox.h"

struct slice name_canonical(struct slice name)
{
    return name.len == 0 || slice_eq_nocase(name, S("INBOX")) ? S("INBOX") : name;
}

static bool has_children(const struct user *u, unsigned at)
{
    struct slice name = mailbox_name(u->names[at]);

    for (unsigned i = at + 1; i < u->name_count; i++) {
        if (!name_below(mailbox_name(u->names[i]), name))
            return false;
        if (u->names[i]->exists)
            return true;
    }
    return false;
}

bool user_mailbox_at(struct user *u, unsigned i, struct mailbox_info *info)
{
    const struct mailbox *m;

    if (u->removed || i >= u->name_count)
        return false;
    m = u->names[i];
    *info = (struct mailbox_info){.name = mailbox_name(m),
        .use = m->use,
        .selectable = m->selectable,
        .exists = m->exists,
        .subscribed = mailbox_subscribed(m),
        .has_children = has_children(u, i),
        .uid_validity = m->uid_validity,
        .uid_next = m->uid_next,
        .modseq = m->modseq};
    return true;
}

unsigned user_mailbox_after(struct user *u, struct slice name)
{
    unsigned at = names_at(u, name);

    if (at < u->name_count && slice_eq(mailbox_name(u->names[at]), name))
        at++;
    return at;
}

bool user_mailbox_find(struct user *u, struct slice name, struct mailbox_info *info)
{
    struct slice canonical = name_canonical(name);
    unsigned at = names_at(u, canonical);

    if (u->removed || at >= u->name_count ||
        !slice_eq(mailbox_name(u->names[at]), canonical))
        return false;
    return user_mailbox_at(u, at, info);
}
