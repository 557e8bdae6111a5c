#include "proto/mime/summary_parts.h"

#include "proto/base/check.h"

static void put_or_nil(struct out *out, struct slice s)
{
    out_byte(out, ' ');
    out_put(out, s.at ? s : S("NIL"));
}

static void put_list(struct out *out, const struct envelope_list *list)
{
    if (!list->first) {
        out_put(out, S(" NIL"));
        return;
    }
    out_put(out, S(" ("));
    for (const struct piece *p = list->first; p; p = p->next)
        out_put(out, p->text);
    out_byte(out, ')');
}

void summary_put_envelope(struct out *out, const struct envelope *e)
{
    out_byte(out, '(');
    out_put(out, e->date.at ? e->date : S("NIL"));
    put_or_nil(out, e->subject);
    put_list(out, &e->from);
    /* RFC 3501, 7.4.2: Sender and Reply-To default to From. */
    put_list(out, e->sender.first ? &e->sender : &e->from);
    put_list(out, e->reply_to.first ? &e->reply_to : &e->from);
    put_list(out, &e->to);
    put_list(out, &e->cc);
    put_list(out, &e->bcc);
    put_or_nil(out, e->in_reply_to);
    put_or_nil(out, e->message_id);
    out_byte(out, ')');
}

/* For a part that names no type, or one too long to be sent; message/rfc822 is the
 * default within a digest. */
static struct slice default_type(const struct part *p)
{
    if (p->kind == PART_MESSAGE)
        return S("\"message\" \"rfc822\"");
    return p->text ? S("\"text\" \"plain\"") : S("\"application\" \"octet-stream\"");
}

/* RFC 3501, section 9: body-fields, and the type in front of them. */
static void put_fields(struct out *out, const struct part *p)
{
    out_put(out, p->type.at ? p->type : default_type(p));
    if (!p->params.at && p->text)
        out_put(out, S(" (\"charset\" \"us-ascii\")"));
    else
        put_or_nil(out, p->params);
    put_or_nil(out, p->id);
    put_or_nil(out, p->description);
    out_byte(out, ' ');
    out_put(out, p->transfer.at ? p->transfer : S("\"7bit\""));
    out_byte(out, ' ');
    out_u64(out, p->end - p->body_at);
}

static void put_lines(struct out *out, const struct part *p)
{
    out_byte(out, ' ');
    out_u64(out, p->end_lines - p->body_lines_at);
}

/* body-ext-1part behind its MD5, and body-ext-mpart behind its parameters. */
static void put_extension(struct out *out, const struct part *p)
{
    put_or_nil(out, p->disposition);
    put_or_nil(out, p->language);
    put_or_nil(out, p->location);
}

/* What stands before the parts inside. */
static void put_opening(struct out *out, const struct part *p)
{
    out_byte(out, '(');
    if (p->kind != PART_MESSAGE)
        return;
    put_fields(out, p);
    out_byte(out, ' ');
    summary_put_envelope(out, p->next->envelope);
    out_byte(out, ' ');
}

static void put_closing(struct out *out, const struct part *p, bool extended)
{
    if (p->kind == PART_MULTIPART) {
        out_byte(out, ' ');
        out_put(out, p->type.at ? p->type : S("\"mixed\""));
        if (extended)
            put_or_nil(out, p->params);
    } else {
        put_lines(out, p);
        if (extended)
            put_or_nil(out, p->md5);
    }
    if (extended)
        put_extension(out, p);
    out_byte(out, ')');
}

static void put_leaf(struct out *out, const struct part *p, bool extended)
{
    out_byte(out, '(');
    put_fields(out, p);
    if (p->text)
        put_lines(out, p);
    if (extended) {
        put_or_nil(out, p->md5);
        put_extension(out, p);
    }
    out_byte(out, ')');
}

void summary_put_part(struct out *out, const struct part *p, bool extended)
{
    const struct part *parent = p->parent;

    if (p->kind != PART_LEAF) {
        put_opening(out, p);
        return;
    }
    put_leaf(out, p, extended);
    for (uint32_t next = p->index + 1; parent && parent->after == next;
         parent = parent->parent)
        put_closing(out, parent, extended);
}
