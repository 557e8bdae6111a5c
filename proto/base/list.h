/* list.h -- an intrusive doubly linked list. A link lives inside its owner. */
#pragma once
#include <stdbool.h>

#include "proto/base/check.h"

/* A head, or a link in an owner. A link in no list points at itself or is zero. */
struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l || !l->next;
}

/* True while the link is in a list. */
static inline bool list_linked(const struct list *l)
{
    return l->next && l->next != l;
}

static inline void list_add(struct list *head, struct list *link) /* at the end */
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_remove(struct list *link)
{
    if (!list_linked(link))
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* The first link, unlinked, or NULL. */
static inline struct list *list_pop(struct list *head)
{
    struct list *link = head->next;

    if (list_empty(head))
        return NULL;
    list_remove(link);
    return link;
}

/* All of `from` at the end of `to`. */
static inline void list_join(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_each(link, head) \
    for (struct list *link = (head)->next; link != (head); link = link->next)

/* The same; the current link may be removed in the body. */
#define list_each_safe(link, after, head)                                       \
    for (struct list *link = (head)->next, *after = link->next; link != (head); \
         link = after, after = link->next)
