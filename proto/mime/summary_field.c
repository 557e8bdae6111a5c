#include "proto/mime/summary_parts.h"

#include "proto/base/check.h"
#include "proto/mime/address.h"
#include "proto/mime/date.h"
#include "proto/mime/header.h"
#include "proto/mime/lex.h"
#include "proto/mime/params.h"
#include "proto/mime/wire.h"

enum {
    /* Octets of a field with structure that are looked at: they cost ten times what those
     * of a text do, and a thousand addresses or the parameters of a part take less. */
    STRUCTURED_MAX = 64 << 10,
    DATE_MAX = 1 << 10,
};

struct field_name {
    struct slice name;
    enum field field;
};

static const struct field_name message_fields[] = {
    {SI("Date"), FIELD_DATE},
    {SI("Subject"), FIELD_SUBJECT},
    {SI("From"), FIELD_FROM},
    {SI("Sender"), FIELD_SENDER},
    {SI("Reply-To"), FIELD_REPLY_TO},
    {SI("To"), FIELD_TO},
    {SI("Cc"), FIELD_CC},
    {SI("Bcc"), FIELD_BCC},
    {SI("In-Reply-To"), FIELD_IN_REPLY_TO},
    {SI("Message-ID"), FIELD_MESSAGE_ID},
};

static const struct field_name content_fields[] = {
    {SI("Type"), FIELD_TYPE},
    {SI("Transfer-Encoding"), FIELD_TRANSFER},
    {SI("ID"), FIELD_ID},
    {SI("Description"), FIELD_DESCRIPTION},
    {SI("MD5"), FIELD_MD5},
    {SI("Disposition"), FIELD_DISPOSITION},
    {SI("Language"), FIELD_LANGUAGE},
    {SI("Location"), FIELD_LOCATION},
};

static enum field look_up(const struct field_name *list, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_nocase(list[i].name, name))
            return list[i].field;
    return FIELD_NONE;
}

enum field summary_field_of(struct slice name, bool message)
{
    if (slice_starts_nocase(name, S("Content-"))) {
        slice_take(&name, sizeof "Content-" - 1);
        return look_up(
            content_fields, sizeof content_fields / sizeof content_fields[0], name);
    }
    if (!message)
        return FIELD_NONE;
    return look_up(
        message_fields, sizeof message_fields / sizeof message_fields[0], name);
}

/* --- pieces of renderings ----------------------------------------------------- */

/* Octets that may still be sent of the part in progress, each of them `copies` times. */
static uint32_t room_left(const struct summary_builder *b, uint32_t copies)
{
    return (b->budget < b->part->budget ? b->budget : b->part->budget) / copies;
}

static void pay(struct summary_builder *b, uint32_t bytes)
{
    b->budget -= bytes;
    b->part->budget -= bytes;
}

/* Takes b->piece out of the arena's scratch and pays for it, `copies` being how often
 * it will be sent. at == NULL when it is over the budget: the item is NIL then. */
static struct slice keep_piece(struct summary_builder *b, uint32_t copies)
{
    size_t bytes = text_len(&b->piece);
    struct slice kept;

    b->failed |= b->piece.no_memory;
    if (b->failed || b->piece.out.full || bytes > room_left(b, copies))
        return slice_of(NULL, 0);
    kept = arena_copy(b->arena, text_slice(&b->piece));
    b->failed |= !kept.at;
    pay(b, (uint32_t)bytes * copies);
    return kept;
}

/* The envelope of the message itself is sent in ENVELOPE only, an embedded one in
 * BODY and BODYSTRUCTURE. */
static uint32_t envelope_copies(const struct part *p)
{
    return p->parent ? 2 : 1;
}

/* A field whose value is sent as one string. Where a field is repeated, which RFC
 * 5322, section 3.6 forbids, the last that there is room for counts. */
static void take_string(
    struct summary_builder *b, struct slice *where, struct slice raw, uint32_t copies)
{
    struct slice value, kept;

    text_reset(&b->space);
    header_put_unfolded(&b->space.out, raw, b->field == FIELD_SUBJECT);
    b->failed |= b->space.no_memory;
    value = text_slice(&b->space);
    text_reset(&b->piece);
    wire_put_string(&b->piece.out, value.at ? value : S(""));
    kept = keep_piece(b, copies);
    if (kept.at)
        *where = kept;
}

/* --- addresses ------------------------------------------------------------------ */

/* RFC 3501, 7.4.2: (name route mailbox host). A group begins with a mailbox and no
 * host and ends with neither, so a mailbox that lacks a part is given a name for it. */
static void put_address(struct out *out, const struct address *a)
{
    struct slice mailbox = a->mailbox, host = a->host;

    if (a->kind == ADDRESS_MAILBOX) {
        if (!mailbox.at)
            mailbox = S("MISSING_MAILBOX");
        if (!host.at)
            host = S("MISSING_DOMAIN");
    }
    out_byte(out, '(');
    wire_put_nstring(out, a->name);
    out_byte(out, ' ');
    wire_put_nstring(out, a->route);
    out_byte(out, ' ');
    wire_put_nstring(out, mailbox);
    out_byte(out, ' ');
    wire_put_nstring(out, host);
    out_byte(out, ')');
}

/* Adds b->piece to the list; several fields of one name make one list. */
static void add_piece(
    struct summary_builder *b, struct envelope_list *list, uint32_t copies)
{
    struct piece *piece;
    struct slice kept;

    if (text_len(&b->piece) == 0)
        return;
    kept = keep_piece(b, copies);
    if (!kept.at)
        return;
    piece = arena_take(b->arena, sizeof *piece);
    if (!piece) {
        b->failed = true;
        return;
    }
    *piece = (struct piece){.text = kept};
    if (!list->last)
        list->last = &list->first;
    *list->last = piece;
    list->last = &piece->next;
}

/* `copies`: how often the list is sent. Lists fewer addresses when more would be over
 * the limits; an open group is closed then. */
static void take_addresses(struct summary_builder *b, struct envelope_list *list,
    struct slice raw, uint32_t copies)
{
    struct address_reader reader;
    struct address address;
    bool in_group = false;

    text_reset(&b->piece);
    if (!text_reserve(&b->space, address_room(raw.len))) {
        b->failed |= b->space.no_memory;
        return;
    }
    address_begin(&reader, raw, b->space.base);
    while (list->count < b->limits.addresses && address_next(&reader, &address)) {
        size_t before = text_len(&b->piece);

        put_address(&b->piece.out, &address);
        if (b->piece.out.full || text_len(&b->piece) + 32 > room_left(b, copies)) {
            text_cut(&b->piece, before);
            list->count = b->limits.addresses;
            break;
        }
        in_group = address.kind == ADDRESS_GROUP ||
            (in_group && address.kind != ADDRESS_GROUP_END);
        list->count++;
    }
    if (in_group)
        put_address(&b->piece.out, &(struct address){.kind = ADDRESS_GROUP_END});
    add_piece(b, list, copies);
}

/* --- Content fields --------------------------------------------------------------- */

/* Parameters behind the lexer's place, as sent: at == NULL for NIL. */
static struct slice take_params(struct summary_builder *b, const struct params *params,
    struct out *joined, bool default_charset, uint32_t copies)
{
    text_reset(&b->piece);
    params_put(params, &b->piece.out, default_charset, joined);
    if (slice_eq(text_slice(&b->piece), S("NIL")))
        return slice_of(NULL, 0);
    return keep_piece(b, copies);
}

static struct slice keep_text(struct summary_builder *b, struct slice s, size_t max)
{
    struct slice copy;

    if (s.len == 0)
        return slice_of(NULL, 0);
    if (s.len > max)
        s.len = max;
    copy = arena_copy(b->arena, s);
    b->failed |= !copy.at;
    return copy;
}

static bool is_message(struct slice type, struct slice subtype)
{
    /* RFC 9051, 7.5.2 has message/global (RFC 6532, 3.7) beside message/rfc822. */
    return slice_eq_nocase(type, S("message")) &&
        (slice_eq_nocase(subtype, S("rfc822")) || slice_eq_nocase(subtype, S("global")));
}

/* Type and subtype as sent; a multipart's type is shown by its parts. */
static void keep_type(
    struct summary_builder *b, struct part *p, struct slice type, struct slice subtype)
{
    p->digest = false;
    p->text = slice_eq_nocase(type, S("text"));
    p->searchable = p->text || slice_eq_nocase(type, S("message"));
    p->kind = PART_LEAF;
    if (is_message(type, subtype))
        p->kind = PART_MESSAGE;
    text_reset(&b->piece);
    if (slice_eq_nocase(type, S("multipart"))) {
        p->kind = PART_MULTIPART;
        p->digest = slice_eq_nocase(subtype, S("digest"));
    } else {
        wire_put_string(&b->piece.out, type);
        out_byte(&b->piece.out, ' ');
    }
    wire_put_string(&b->piece.out, subtype);
    p->type = keep_piece(b, 2);
}

/* Room for the parameters of a value so long, and for joining their pieces. */
static bool params_room(struct summary_builder *b, size_t value_bytes, struct out *joined)
{
    size_t n = value_bytes + 16;

    if (!text_reserve(&b->space, 4 * n)) {
        b->failed |= b->space.no_memory;
        return false;
    }
    *joined = out_of(b->space.base + n, 3 * n);
    return true;
}

/* type "/" subtype; false when it is not that. */
static bool read_type(struct lexer *lex, struct slice *type, struct slice *subtype)
{
    lex_blanks(lex);
    *type = lex_token(lex);
    lex_blanks(lex);
    if (!lex_skip(lex, '/'))
        return false;
    lex_blanks(lex);
    *subtype = lex_token(lex);
    lex_blanks(lex);
    return type->len && subtype->len;
}

/* RFC 2045, 5.1. What is not type "/" subtype is taken for no Content-Type at all,
 * as section 5.2 recommends; so is a multipart that goes on with something else than
 * parameters and names no boundary. */
static void take_type(struct summary_builder *b, struct part *p, struct slice raw)
{
    struct lexer lex = lex_of(raw);
    struct slice type, subtype, boundary;
    struct params params;
    struct out joined;
    bool junk;

    if (p->type.at || !params_room(b, raw.len, &joined) ||
        !read_type(&lex, &type, &subtype))
        return;
    junk = !lex_ended(&lex) && !lex_is(&lex, ';');
    params_read(&params, &lex, b->limits.pieces, b->space.base, raw.len);
    boundary = params_value(&params, S("boundary"), &joined);
    if (junk && !boundary.at && slice_eq_nocase(type, S("multipart")))
        return;
    keep_type(b, p, type, subtype);
    if (p->kind == PART_MULTIPART)
        p->boundary = keep_text(b, boundary, BOUNDARY_MAX);
    joined.len = 0;
    if (p->text)
        p->charset =
            keep_text(b, params_value(&params, S("charset"), &joined), CHARSET_MAX);
    joined.len = 0;
    p->params =
        take_params(b, &params, &joined, p->text, p->kind == PART_MULTIPART ? 1 : 2);
}

static char encoding_of(struct slice token)
{
    if (slice_eq_nocase(token, S("base64")))
        return 'b';
    if (slice_eq_nocase(token, S("quoted-printable")))
        return 'q';
    if (slice_eq_nocase(token, S("7bit")) || slice_eq_nocase(token, S("8bit")) ||
        slice_eq_nocase(token, S("binary")))
        return '7';
    return '?';
}

/* RFC 2045, 6.1: one token; anything else is taken for no such field. */
static void take_transfer(struct summary_builder *b, struct part *p, struct slice raw)
{
    struct lexer lex = lex_of(raw);
    struct slice token;

    lex_blanks(&lex);
    token = lex_token(&lex);
    lex_blanks(&lex);
    if (p->transfer.at || token.len == 0 || !lex_ended(&lex))
        return;
    p->encoding = encoding_of(token);
    text_reset(&b->piece);
    wire_put_string(&b->piece.out, token);
    p->transfer = keep_piece(b, 2);
}

/* RFC 2183: ("attachment" ("filename" "x")). */
static void take_disposition(struct summary_builder *b, struct part *p, struct slice raw)
{
    struct lexer lex = lex_of(raw);
    struct slice token, list;
    struct params params;
    struct out joined;

    lex_blanks(&lex);
    token = lex_token(&lex);
    if (p->disposition.at || token.len == 0 || !params_room(b, raw.len, &joined))
        return;
    params_read(&params, &lex, b->limits.pieces, b->space.base, raw.len);
    list = take_params(b, &params, &joined, false, 1);
    text_reset(&b->piece);
    out_byte(&b->piece.out, '(');
    wire_put_string(&b->piece.out, token);
    out_byte(&b->piece.out, ' ');
    out_put(&b->piece.out, list.at ? list : S("NIL"));
    out_byte(&b->piece.out, ')');
    b->budget += (uint32_t)list.len; /* paid once, as part of the whole */
    p->budget += (uint32_t)list.len;
    p->disposition = keep_piece(b, 1);
}

/* RFC 3282: tags between commas; sent as a list (RFC 3501, body-fld-lang). */
static void take_language(struct summary_builder *b, struct part *p, struct slice raw)
{
    struct lexer lex = lex_of(raw);
    unsigned tags = 0;

    if (p->language.at)
        return;
    text_reset(&b->piece);
    for (lex_blanks(&lex); !lex_ended(&lex); lex_blanks(&lex)) {
        struct slice tag = lex_token(&lex);

        if (tag.len == 0) {
            lex.at++;
            continue;
        }
        out_byte(&b->piece.out, tags++ ? ' ' : '(');
        wire_put_string(&b->piece.out, tag);
    }
    out_byte(&b->piece.out, ')');
    if (tags)
        p->language = keep_piece(b, 1);
}

/* --- dispatch ------------------------------------------------------------------------
 */

static struct slice beginning(struct slice raw, size_t max)
{
    return slice_of(raw.at, raw.len < max ? raw.len : max);
}

static void take_date(struct summary_builder *b, struct part *p, struct slice raw)
{
    struct date date;

    if (!p->parent) {
        bool known = date_parse(beginning(raw, DATE_MAX), &date);

        b->sent_utc = known ? date.utc : INT64_MIN;
        b->sent_day = known ? date_local_day(date) : 0;
    }
    take_string(b, &p->envelope->date, raw, envelope_copies(p));
}

static void take_message_field(
    struct summary_builder *b, struct part *p, struct slice raw)
{
    struct envelope *e = p->envelope;
    uint32_t copies = envelope_copies(p);
    struct slice list = beginning(raw, STRUCTURED_MAX);

    if (b->field == FIELD_DATE)
        take_date(b, p, raw);
    else if (b->field == FIELD_SUBJECT)
        take_string(b, &e->subject, raw, copies);
    else if (b->field == FIELD_IN_REPLY_TO)
        take_string(b, &e->in_reply_to, raw, copies);
    else if (b->field == FIELD_MESSAGE_ID)
        take_string(b, &e->message_id, raw, copies);
    else if (b->field == FIELD_FROM) /* also sent for Sender and Reply-To */
        take_addresses(b, &e->from, list, 3 * copies);
    else if (b->field == FIELD_SENDER)
        take_addresses(b, &e->sender, list, copies);
    else if (b->field == FIELD_REPLY_TO)
        take_addresses(b, &e->reply_to, list, copies);
    else if (b->field == FIELD_TO)
        take_addresses(b, &e->to, list, copies);
    else if (b->field == FIELD_CC)
        take_addresses(b, &e->cc, list, copies);
    else if (b->field == FIELD_BCC)
        take_addresses(b, &e->bcc, list, copies);
}

static void take_content_field(
    struct summary_builder *b, struct part *p, struct slice raw)
{
    struct slice structured = beginning(raw, STRUCTURED_MAX);

    if (b->field == FIELD_TYPE)
        take_type(b, p, structured);
    else if (b->field == FIELD_TRANSFER)
        take_transfer(b, p, structured);
    else if (b->field == FIELD_ID)
        take_string(b, &p->id, raw, 2);
    else if (b->field == FIELD_DESCRIPTION)
        take_string(b, &p->description, raw, 2);
    else if (b->field == FIELD_MD5)
        take_string(b, &p->md5, raw, 1);
    else if (b->field == FIELD_DISPOSITION)
        take_disposition(b, p, structured);
    else if (b->field == FIELD_LANGUAGE)
        take_language(b, p, structured);
    else if (b->field == FIELD_LOCATION)
        take_string(b, &p->location, raw, 1);
}

void summary_field_take(struct summary_builder *b)
{
    struct slice raw = text_slice(&b->value);

    b->failed |= b->value.no_memory;
    if (b->field == FIELD_NONE || b->failed)
        return;
    if (b->field >= FIELD_TYPE)
        take_content_field(b, b->part, raw);
    else
        take_message_field(b, b->part, raw);
    b->field = FIELD_NONE;
}
