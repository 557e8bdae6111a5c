#include "server/session_imap_search.h"

/* The value is over: another field, or the header, ends. */
static void end_value(struct field_search *f)
{
    if (!f->open)
        return;
    f->open = false;
    f->found |= search_header_end(&f->value);
}

/* At the start of a line: does the field go on, or does another one begin? */
static void begin_line(struct field_search *f, char octet)
{
    if (octet == ' ' || octet == '\t') {
        f->at = FIELD_VALUE;
        return;
    }
    end_value(f);
    f->at = FIELD_NAME;
}

/* What the filter has passed: fields of the wanted name, whole. */
static void take(struct field_search *f, struct slice text)
{
    while (text.len && !f->found) {
        size_t n;

        if (f->at == FIELD_BEGIN)
            begin_line(f, *text.at);
        if (f->at == FIELD_NAME) {
            n = slice_find(text, ':');
            if (n == text.len)
                return;
            slice_take(&text, n + 1);
            f->at = FIELD_VALUE;
            f->open = true;
            search_header_begin(&f->value, f->needle);
            continue;
        }
        n = slice_find(text, '\n');
        if (n < text.len) {
            n++;
            f->at = FIELD_BEGIN;
        }
        if (f->open)
            f->found |= search_header_feed(&f->value, slice_of(text.at, n));
        slice_take(&text, n);
    }
}

static bool on_full(struct out *out)
{
    struct field_search *f = container_of(out, struct field_search, out);

    take(f, out_slice(out));
    out->at = f->buffer;
    out->cap = sizeof f->buffer;
    out->len = 0;
    return true;
}

void field_search_begin(
    struct field_search *f, struct slice name, const struct search_needle *needle)
{
    f->needle = needle;
    f->name = name;
    f->open = f->found = false;
    f->at = FIELD_BEGIN;
    f->out = out_of(f->buffer, sizeof f->buffer);
    f->out.more = on_full;
    header_filter_begin(&f->filter, &f->name, 1, false);
}

bool field_search_feed(struct field_search *f, struct slice bytes)
{
    header_filter_feed(&f->filter, bytes, &f->out);
    on_full(&f->out);
    return f->found || f->filter.state == FILTER_DONE;
}

bool field_search_end(struct field_search *f)
{
    header_filter_end(&f->filter, &f->out);
    on_full(&f->out);
    end_value(f);
    return f->found;
}
