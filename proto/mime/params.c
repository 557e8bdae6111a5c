#include "proto/mime/params.h"

#include "proto/mime/wire.h"

/* name, name*, name*3, name*3* : RFC 2231, section 7. A number with a leading zero
 * is none. */
static void split_name(struct param *p, struct slice name)
{
    struct slice digits;
    size_t star;
    uint32_t index;

    p->index = -1;
    p->name = name;
    if (name.len > 1 && name.at[name.len - 1] == '*') {
        p->extended = true;
        p->name.len = --name.len;
    }
    star = slice_find(name, '*');
    if (star == 0 || star + 1 >= name.len)
        return;
    digits = slice_of(name.at + star + 1, name.len - star - 1);
    if ((digits.at[0] == '0' && digits.len > 1) || digits.len > 8 ||
        !slice_u32(digits, &index))
        return;
    p->name.len = star;
    p->index = (int32_t)index;
}

static bool ends_value(char c)
{
    return c == ';' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A quoted string, or octets up to a blank or semicolon: tspecials such as "/" and
 * "=" often stand in values that should have been quoted. */
static struct slice read_value(struct lexer *l, struct out *out)
{
    size_t start = out->len;

    if (lex_is(l, '"')) {
        lex_quoted(l, out, LEX_STRICT);
    } else {
        const char *from = l->at;

        while (l->at < l->end && !ends_value(*l->at) && *l->at != '(' && *l->at != '"')
            l->at++;
        out_put(out, slice_of(from, (size_t)(l->at - from)));
    }
    return slice_of(out->at + start, out->len - start);
}

static void skip_to_semicolon(struct lexer *l)
{
    while (l->at < l->end && *l->at != ';')
        l->at++;
}

void params_read(
    struct params *p, struct lexer *l, unsigned pieces_max, char *space, size_t room)
{
    struct out out = out_of(space, room);
    unsigned pieces = 0;

    p->count = 0;
    while (p->count < PARAMS_MAX) {
        struct param *param = &p->list[p->count];
        struct slice name;

        lex_blanks(l);
        while (lex_skip(l, ';'))
            lex_blanks(l);
        if (lex_ended(l))
            return;
        name = lex_token(l);
        lex_blanks(l);
        if (name.len == 0 || name.len > PARAM_NAME_MAX || !lex_skip(l, '=')) {
            skip_to_semicolon(l);
            continue;
        }
        lex_blanks(l);
        *param = (struct param){0};
        split_name(param, name);
        param->value = read_value(l, &out);
        if (param->index < 0 || pieces++ < pieces_max)
            p->count++;
    }
}

struct piece_writer {
    struct out *out;
    bool open; /* the parenthesis has been written */
};

static void put_pair(struct piece_writer *w, struct slice name, struct slice value)
{
    out_put(w->out, w->open ? S(" ") : S("("));
    w->open = true;
    wire_put_string(w->out, name);
    out_byte(w->out, ' ');
    wire_put_string(w->out, value);
}

/* RFC 2231, section 7: attribute-char; what is not must be %-encoded. */
static bool is_attribute_char(char c)
{
    struct slice others = S("*'%()<>@,;:\\\"/[]?=");

    return (unsigned char)c > ' ' && (unsigned char)c < 0x7f &&
        slice_find(others, c) == others.len;
}

static void put_percent(struct out *out, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];

        if (is_attribute_char(s.at[i])) {
            out_byte(out, s.at[i]);
        } else {
            out_byte(out, '%');
            out_byte(out, hex[c >> 4]);
            out_byte(out, hex[c & 15]);
        }
    }
}

static const struct param *find_piece(
    const struct params *p, struct slice name, int32_t index)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->list[i].index == index && slice_eq_nocase(p->list[i].name, name))
            return &p->list[i];
    return NULL;
}

/* Joins name*0, name*1 ... up to the first that is missing. At most 128 pieces of
 * at most 256 parameters are looked at. */
static struct slice join(
    const struct params *p, struct slice name, bool *extended, struct out *space)
{
    const struct param *piece;
    size_t start = space->len;

    for (int32_t i = 0; (piece = find_piece(p, name, i)); i++)
        *extended |= piece->extended;
    if (*extended && !find_piece(p, name, 0)->extended)
        out_put(space, S("''")); /* no charset, no language: section 4 wants the quotes */
    for (int32_t i = 0; (piece = find_piece(p, name, i)); i++) {
        if (*extended && !piece->extended)
            put_percent(space, piece->value);
        else
            out_put(space, piece->value);
    }
    return slice_of(space->at + start, space->len - start);
}

/* Neither extended nor a piece: written as it stands. */
static bool is_plain(const struct param *p)
{
    return p->index < 0 && !p->extended;
}

/* Writes one joined or extended parameter. */
static void put_starred(struct piece_writer *w, const struct params *p,
    const struct param *param, struct out *space)
{
    size_t start = space->len, name_at;
    struct slice value = param->value, name = param->name;
    bool extended = param->extended;

    if (param->index == 0)
        value = join(p, param->name, &extended, space);
    if (extended) {
        name_at = space->len;
        out_put(space, param->name);
        out_byte(space, '*');
        name = slice_of(space->at + name_at, space->len - name_at);
    }
    put_pair(w, name, value);
    space->len = start;
}

static int compare_names(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = strncasecmp(a.at, b.at, n);

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* The starred parameters in the order of their names, into `sorted`. Later pieces
 * are left out: they go with their first. */
static unsigned sort_starred(const struct params *p, const struct param **sorted)
{
    unsigned count = 0;

    for (unsigned i = 0; i < p->count; i++) {
        const struct param *param = &p->list[i];
        unsigned at = count;

        if (is_plain(param) || param->index > 0 ||
            (param->index == 0 && find_piece(p, param->name, 0) != param))
            continue;
        for (; at && compare_names(sorted[at - 1]->name, param->name) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = param;
        count++;
    }
    return count;
}

static bool is_given(const struct params *p, struct slice name)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->list[i].index <= 0 && slice_eq_nocase(p->list[i].name, name))
            return true;
    return false;
}

void params_put(
    const struct params *p, struct out *out, bool default_charset, struct out *space)
{
    const struct param *starred[PARAMS_MAX];
    unsigned count = sort_starred(p, starred);
    struct piece_writer w = {.out = out};

    for (unsigned i = 0; i < p->count; i++)
        if (is_plain(&p->list[i]))
            put_pair(&w, p->list[i].name, p->list[i].value);
    for (unsigned i = 0; i < count; i++)
        put_starred(&w, p, starred[i], space);
    if (default_charset && !is_given(p, S("charset")))
        put_pair(&w, S("charset"), S("us-ascii"));
    out_put(out, w.open ? S(")") : S("NIL"));
}

static unsigned hex_digit(char c)
{
    if (ascii_digit(c))
        return (unsigned)(c - '0');
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
}

/* Decodes %41 behind the second quote, in place. */
static struct slice decode_percent(char *at, size_t len)
{
    size_t from = 0, to = 0;

    for (unsigned quotes = 0; quotes < 2 && from < len; from++)
        quotes += at[from] == '\'';
    while (from < len) {
        unsigned high = 16, low = 16;

        if (at[from] == '%' && len - from > 2) {
            high = hex_digit(at[from + 1]);
            low = hex_digit(at[from + 2]);
        }
        if (high < 16 && low < 16) {
            at[to++] = (char)(high << 4 | low);
            from += 3;
        } else {
            at[to++] = at[from++];
        }
    }
    return slice_of(at, to);
}

struct slice params_value(const struct params *p, struct slice name, struct out *space)
{
    const struct param *param = NULL;
    bool extended = false;
    struct slice value;
    size_t start = space->len;

    for (unsigned i = 0; i < p->count; i++)
        if (p->list[i].index <= 0 && slice_eq_nocase(p->list[i].name, name) &&
            (!param || (is_plain(&p->list[i]) && !is_plain(param))))
            param = &p->list[i];
    if (!param)
        return slice_of(NULL, 0);
    if (is_plain(param))
        return param->value;
    if (param->index == 0) {
        value = join(p, name, &extended, space);
    } else {
        extended = true;
        out_put(space, param->value);
        value = slice_of(space->at + start, space->len - start);
    }
    return extended ? decode_percent(space->at + start, value.len) : value;
}
