#include "proto/smtp/smtp_text.h"

/* What is looked for. */
static const struct field {
    struct slice name;
    enum smtp_field field; /* 0: Received */
} fields[] = {
    {SI("received"), 0},
    {SI("date"), SMTP_FIELD_DATE},
    {SI("from"), SMTP_FIELD_FROM},
    {SI("message-id"), SMTP_FIELD_MESSAGE_ID},
    {SI("return-path"), SMTP_FIELD_RETURN_PATH},
    {SI("tls-required"), SMTP_FIELD_TLS_OPTIONAL},
};

enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

/* The value of TLS-Required, which may begin on a line of its own. */
enum value {
    VALUE_NONE, /* not in that field */
    VALUE_BEGIN,
    VALUE_N,
    VALUE_NO,
    VALUE_OTHER
};

static void take_value(struct smtp_header_watch *w, char c)
{
    enum value was = (enum value)w->value;

    if (c == ' ' || c == '\t' || c == '\r')
        w->value = (uint8_t)(was == VALUE_N ? VALUE_OTHER : was);
    else if (was == VALUE_BEGIN && ascii_lower(c) == 'n')
        w->value = VALUE_N;
    else if (was == VALUE_N && ascii_lower(c) == 'o')
        w->value = VALUE_NO;
    else
        w->value = VALUE_OTHER;
}

/* No line continues it. */
static void end_value(struct smtp_header_watch *w)
{
    if (w->value == VALUE_NO)
        w->fields |= SMTP_FIELD_TLS_OPTIONAL;
    w->value = VALUE_NONE;
}

bool smtp_header_tls_optional(const struct smtp_header_watch *w)
{
    return (w->fields & SMTP_FIELD_TLS_OPTIONAL) || w->value == VALUE_NO;
}

static void note(struct smtp_header_watch *w, const struct field *f)
{
    if (f->field == 0)
        w->received++;
    else if (f->field == SMTP_FIELD_TLS_OPTIONAL)
        w->value = VALUE_BEGIN;
    else
        w->fields |= f->field;
}

/* The colon has come: which field is this? Spaces may stand before it (RFC 5322,
 * 4.5: obsolete, but understood by those who would loop). */
static void judge_name(struct smtp_header_watch *w)
{
    struct slice name = slice_trim(slice_of(w->name, w->name_len));

    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (slice_eq(name, fields[i].name))
            note(w, &fields[i]);
    w->in_line = true;
}

static void end_line(struct smtp_header_watch *w)
{
    w->ended = !w->in_line && w->name_len == 0;
    w->in_line = w->cr = false;
    w->name_len = 0;
}

/* The next octet of the start of a line. */
static void take_octet(struct smtp_header_watch *w, char c)
{
    bool first = w->name_len == 0 && !w->cr;

    if (w->value && first && c != ' ' && c != '\t')
        end_value(w);
    if (c == '\n')
        end_line(w);
    else if (c == ':')
        judge_name(w);
    else if (c == '\r' && first)
        w->cr = true;
    else if (w->cr || w->name_len == sizeof w->name || (first && (c == ' ' || c == '\t')))
        w->in_line = true; /* no field begins here, or none of ours */
    else
        w->name[w->name_len++] = ascii_lower(c);
}

/* The field whose name the bytes begin with, in any case; NULL: none. */
static const struct field *field_at(struct slice bytes)
{
    char first = ascii_lower(bytes.at[0]);

    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].name.at[0] == first && slice_starts_nocase(bytes, fields[i].name))
            return &fields[i];
    return NULL;
}

/* Where the start of a line lies in one piece it is not read octet by octet. */
static void begin_line(struct smtp_header_watch *w, struct slice *bytes)
{
    const struct field *f;

    if (w->name_len || w->cr || w->value || bytes->len <= SMTP_FIELD_NAME_MAX ||
        bytes->at[0] == '\r' || bytes->at[0] == '\n')
        return;
    f = field_at(*bytes);
    w->in_line = !f || bytes->at[f->name.len] == ':';
    if (f && w->in_line) {
        slice_take(bytes, f->name.len + 1);
        note(w, f);
    }
}

/* The rest of a line of TLS-Required, its end excluded. */
static void watch_value(struct smtp_header_watch *w, struct slice rest)
{
    for (size_t i = 0; i < rest.len && w->value != VALUE_OTHER; i++)
        take_value(w, rest.at[i]);
}

size_t smtp_header_watch(struct smtp_header_watch *w, struct slice bytes)
{
    const char *begin = bytes.at;

    while (bytes.len && !w->ended) {
        struct slice rest;

        if (!w->in_line)
            begin_line(w, &bytes);
        if (!w->in_line) {
            take_octet(w, slice_take(&bytes, 1).at[0]);
            continue;
        }
        rest = slice_take(&bytes, slice_find(bytes, '\n'));
        if (w->value)
            watch_value(w, rest);
        if (bytes.len) {
            slice_take(&bytes, 1);
            end_line(w);
        }
    }
    return (size_t)(bytes.at - begin);
}

bool smtp_has_8bit(struct slice bytes)
{
    unsigned char any = 0;

    for (size_t i = 0; i < bytes.len; i++)
        any |= (unsigned char)bytes.at[i];
    return any >= 0x80;
}
