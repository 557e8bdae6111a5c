#include "proto/mime/header.h"

#include "proto/base/check.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_white(char c)
{
    return is_blank(c) || c == '\r' || c == '\n';
}

/* Cuts a line with its end off the front of *s. */
static struct slice take_line(struct slice *s)
{
    size_t lf = slice_find(*s, '\n');

    return slice_take(s, lf < s->len ? lf + 1 : lf);
}

static bool is_empty_line(struct slice line)
{
    return slice_eq(line, S("\r\n")) || slice_eq(line, S("\n"));
}

static struct slice trim_blanks(struct slice s)
{
    while (s.len && is_blank(s.at[s.len - 1]))
        s.len--;
    while (s.len && is_blank(s.at[0]))
        slice_take(&s, 1);
    return s;
}

bool header_next(struct slice *block, struct header_field *field)
{
    struct slice rest = *block;
    struct slice line = take_line(&rest);
    size_t colon;

    if (line.len == 0 || is_empty_line(line))
        return false;
    while (rest.len && is_blank(rest.at[0]))
        take_line(&rest);
    field->whole = slice_of(line.at, (size_t)(rest.at - line.at));
    colon = slice_find(line, ':');
    if (colon == line.len) {
        field->name = slice_trim(line);
        field->value = slice_of(line.at + line.len, 0);
    } else {
        field->name = trim_blanks(slice_of(line.at, colon));
        field->value = slice_of(line.at + colon + 1, field->whole.len - colon - 1);
    }
    *block = rest;
    return true;
}

bool header_find(struct slice block, struct slice name, struct slice *value)
{
    struct header_field field;

    while (header_next(&block, &field)) {
        if (slice_eq_nocase(field.name, name)) {
            *value = field.value;
            return true;
        }
    }
    return false;
}

/* Cuts the white space off the front of *s and writes it unfolded. */
static void put_white(struct out *out, struct slice *s, bool tidy)
{
    const char *start = s->at;
    bool folded = false;

    while (s->len && is_white(s->at[0]))
        folded |= !is_blank(slice_take(s, 1).at[0]);
    if (folded && tidy) {
        out_byte(out, ' ');
        return;
    }
    for (; start < s->at; start++)
        if (is_blank(*start))
            out_byte(out, *start);
}

void header_put_unfolded(struct out *out, struct slice value, bool tidy)
{
    value = slice_trim(value);
    while (value.len) {
        size_t run = 0;

        while (run < value.len && !is_white(value.at[run]))
            run++;
        out_put(out, slice_take(&value, run));
        put_white(out, &value, tidy);
    }
}

/* --- HEADER.FIELDS ------------------------------------------------------------------ */

static int compare_nocase(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;

    for (size_t i = 0; i < n; i++) {
        int order =
            (unsigned char)ascii_lower(a.at[i]) - (unsigned char)ascii_lower(b.at[i]);

        if (order)
            return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

/* Lets names[at] sink to its place in a heap of `count`, the greatest on top. */
static void sink(struct slice *names, unsigned at, unsigned count)
{
    for (unsigned child; (child = 2 * at + 1) < count; at = child) {
        struct slice moved = names[at];

        if (child + 1 < count && compare_nocase(names[child], names[child + 1]) < 0)
            child++;
        if (compare_nocase(moved, names[child]) >= 0)
            return;
        names[at] = names[child];
        names[child] = moved;
    }
}

/* Heap sort: no memory, and no input makes it slow. */
static void sort_names(struct slice *names, unsigned count)
{
    for (unsigned i = count / 2; i-- > 0;)
        sink(names, i, count);
    for (unsigned end = count; end-- > 1;) {
        struct slice greatest = names[0];

        names[0] = names[end];
        names[end] = greatest;
        sink(names, 0, end);
    }
}

static bool is_listed(const struct header_filter *f, struct slice name)
{
    unsigned low = 0, high = f->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = compare_nocase(f->names[middle], name);

        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

void header_filter_begin(
    struct header_filter *f, struct slice *names, unsigned count, bool not_listed)
{
    sort_names(names, count);
    f->names = names;
    f->count = count;
    f->not_listed = not_listed;
    header_filter_rewind(f);
}

void header_filter_rewind(struct header_filter *f)
{
    f->state = FILTER_LINE;
    f->passing = false;
    f->bytes = 0;
    f->held = 0;
}

static void filter_put(struct header_filter *f, struct slice s, struct out *out)
{
    f->bytes += s.len;
    if (out)
        out_put(out, s);
}

/* The name is known as far as it matters; what was held goes the way of the field. */
static void filter_decide(struct header_filter *f, struct slice name, struct out *out)
{
    f->passing = is_listed(f, trim_blanks(slice_trim(name))) != f->not_listed;
    if (f->passing)
        filter_put(f, slice_of(f->name, f->held), out);
    f->held = 0;
    f->state = f->passing ? FILTER_PASS : FILTER_DROP;
}

/* The first octet of a line: more of the field, the empty line or a new name. */
static void filter_line(struct header_filter *f, char first)
{
    if (is_blank(first))
        f->state = f->passing ? FILTER_PASS : FILTER_DROP;
    else
        f->state = FILTER_NAME;
}

/* Holds octets of a name until the colon, the line end or the limit. */
static void filter_name(struct header_filter *f, struct slice *in, struct out *out)
{
    char c = slice_take(in, 1).at[0];
    struct slice name;

    f->name[f->held++] = c;
    name = slice_of(f->name, f->held);
    if (c == ':') {
        filter_decide(f, slice_of(name.at, name.len - 1), out);
    } else if (c == '\n') {
        if (is_empty_line(name)) {
            f->state = FILTER_DONE;
            f->held = 0;
            return;
        }
        filter_decide(f, name, out);
        f->state = FILTER_LINE;
    } else if (f->held == HEADER_NAME_MAX) {
        filter_decide(f, S(""), out);
    }
}

/* The rest of a line of a field that is decided. */
static void filter_rest(struct header_filter *f, struct slice *in, struct out *out)
{
    size_t lf = slice_find(*in, '\n');
    bool ended = lf < in->len;
    struct slice rest = slice_take(in, ended ? lf + 1 : lf);

    if (f->passing)
        filter_put(f, rest, out);
    if (ended)
        f->state = FILTER_LINE;
}

void header_filter_feed(struct header_filter *f, struct slice in, struct out *out)
{
    while (in.len) {
        switch (f->state) {
        case FILTER_LINE:
            filter_line(f, in.at[0]);
            break;
        case FILTER_NAME:
            filter_name(f, &in, out);
            break;
        case FILTER_PASS:
        case FILTER_DROP:
            filter_rest(f, &in, out);
            break;
        case FILTER_DONE:
            return;
        }
    }
}

void header_filter_end(struct header_filter *f, struct out *out)
{
    if (f->state == FILTER_NAME && f->held)
        filter_decide(f, slice_of(f->name, f->held), out);
    f->state = FILTER_DONE;
    filter_put(f, S("\r\n"), out);
}
