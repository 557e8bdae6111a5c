#include "proto/mime/address.h"

#include "proto/base/check.h"

void address_begin(struct address_reader *r, struct slice value, char *space)
{
    *r = (struct address_reader){.lex = lex_of(value), .cap = address_room(value.len)};
    r->space = space;
}

/* Words in front of a delimiter, read in the two ways in which they may be meant. */
struct words {
    struct out phrase; /* a display name: words with one blank between them */
    struct out local;  /* a local part: words and dots with nothing between them */
    unsigned count;    /* words */
    bool apart;        /* two words without a dot between: no local part */
    bool quoted;       /* the first word is a quoted string */
};

static void put_word(struct words *w, struct slice word)
{
    out_put(&w->phrase, word);
    out_put(&w->local, word);
}

/* What ends words: the marks of an address and of a list. */
static bool is_mark(char c)
{
    return c == '<' || c == '>' || c == '@' || c == ',' || c == ':' || c == ';';
}

static bool is_junk(char c)
{
    bool control = (unsigned char)c < ' ' && c != '\t' && c != '\r' && c != '\n';

    return control || c == ')' || c == '[' || c == ']' || c == '\\' || c == 0x7f;
}

/* Octets that can't stand in an address outside quotes, taken for words of one octet. */
static struct slice read_junk(struct lexer *l, struct words *w)
{
    const char *start = l->at++;

    while (l->at < l->end && is_junk(*l->at))
        l->at++;
    w->apart |= l->at - start > 1;
    return slice_of(start, (size_t)(l->at - start));
}

/* Steps over words, dots and what can't be anything else, up to a delimiter. */
static void read_words(struct lexer *l, struct words *w)
{
    bool after_dot = true;

    for (;;) {
        const char *before = l->at;
        bool blank;

        lex_blanks(l);
        blank = l->at != before && w->phrase.len > 0;
        if (lex_ended(l) || is_mark(*l->at))
            return;
        if (blank)
            out_byte(&w->phrase, ' ');
        if (lex_is(l, '.')) {
            put_word(w, slice_of(l->at++, 1));
            after_dot = true;
            continue;
        }
        w->apart |= !after_dot;
        after_dot = false;
        w->count++;
        if (lex_is(l, '"')) {
            size_t start = w->phrase.len;

            w->quoted |= w->count == 1;
            lex_quoted(l, &w->phrase, LEX_TIDY);
            out_put(&w->local, slice_of(w->phrase.at + start, w->phrase.len - start));
            continue;
        }
        struct slice atom = lex_atom(l);
        put_word(w, atom.len ? atom : read_junk(l, w));
    }
}

/* A part of r->space, behind what is used already. */
static struct out room_for(struct address_reader *r, size_t used, size_t n)
{
    CHECK(used + n <= r->cap);
    return out_of(r->space + used, n);
}

/* "@" dot-atom or domain literal, without blanks and comments inside. */
static struct slice read_domain(struct lexer *l, struct out *out)
{
    size_t start = out->len;

    for (;;) {
        lex_blanks(l);
        if (lex_skip(l, '.')) {
            out_byte(out, '.');
        } else if (lex_is(l, '[')) {
            const char *from = l->at;

            while (l->at < l->end && *l->at != ']')
                l->at++;
            lex_skip(l, ']');
            lex_put_unescaped(out, slice_of(from, (size_t)(l->at - from)), LEX_STRICT);
        } else {
            struct slice atom = lex_atom(l);

            /* Two atoms in a row: the second belongs to no domain. */
            if (atom.len == 0 || (out->len > start && out->at[out->len - 1] != '.')) {
                l->at -= atom.len;
                break;
            }
            out_put(out, atom);
        }
    }
    return slice_of(out->at + start, out->len - start);
}

/* RFC 5322, 4.4: obs-route = obs-domain-list ":" */
static void read_route(struct lexer *l, struct out *out, struct slice *route)
{
    size_t start = out->len;

    while (lex_is(l, '@') || lex_is(l, ',')) {
        if (lex_skip(l, ',')) {
            lex_blanks(l);
            continue;
        }
        l->at++;
        if (out->len > start)
            out_byte(out, ',');
        out_byte(out, '@');
        read_domain(l, out);
    }
    *route = slice_of(out->at + start, out->len - start);
    lex_skip(l, ':');
    lex_blanks(l);
}

/* Up to the next comma or the end of the group or field. */
static void skip_rest(struct lexer *l)
{
    for (;;) {
        lex_blanks(l);
        if (lex_ended(l) || lex_is(l, ',') || lex_is(l, ';'))
            return;
        l->at++;
    }
}

/* RFC 5322, 3.4: angle-addr. The lexer stands at "<". */
static void read_angle(struct address_reader *r, struct out *out, struct address *a)
{
    struct lexer *l = &r->lex;
    struct words w = {.phrase = room_for(r, r->cap / 2, r->cap / 4),
        .local = room_for(r, r->cap / 4 * 3, r->cap / 4)};
    size_t start;

    l->at++;
    lex_blanks(l);
    if (lex_is(l, '@'))
        read_route(l, out, &a->route);
    start = out->len;
    read_words(l, &w);
    if (w.local.len || w.count) {
        out_put(out, out_slice(&w.local));
        a->mailbox = slice_of(out->at + start, out->len - start);
    }
    if (lex_skip(l, '@'))
        a->host = read_domain(l, out);
    while (l->at < l->end && *l->at != '>' && *l->at != ',' &&
        !(r->in_group && *l->at == ';'))
        l->at++;
    lex_skip(l, '>');
}

/* An addr-spec's comment names its owner: ann@example.test (Ann Example). */
static void name_from_comment(
    struct address_reader *r, struct out *out, struct address *a)
{
    size_t start = out->len;

    if (!r->lex.comment.at || a->name.at)
        return;
    lex_put_unescaped(out, r->lex.comment, LEX_TIDY);
    a->name = slice_trim(slice_of(out->at + start, out->len - start));
    if (a->name.len == 0)
        a->name.at = NULL;
}

/* local@domain, and perhaps a comment that names its owner. "ann@example <ann@b>"
 * has an address where a display name should be, and is read as one. */
static void read_spec(struct address_reader *r, struct out *out, struct address *a)
{
    struct lexer *l = &r->lex;
    struct slice local = out_slice(out);

    l->at++;
    out_byte(out, '@');
    a->host = read_domain(l, out);
    if (lex_is(l, '<')) {
        a->name = out_slice(out);
        a->host = slice_of(NULL, 0);
        read_angle(r, out, a);
        return;
    }
    a->mailbox = local;
    skip_rest(l);
    name_from_comment(r, out, a);
}

/* What the words were, now that the delimiter behind them is known. */
static void read_after_words(struct address_reader *r, struct words *w, struct address *a)
{
    struct lexer *l = &r->lex;
    struct out *out = &w->local;

    if (lex_is(l, '<')) {
        if (w->count)
            a->name = out_slice(&w->phrase);
        read_angle(r, out, a);
    } else if (lex_is(l, '@') && !w->apart) {
        read_spec(r, out, a);
    } else if (w->apart) {
        a->name = out_slice(&w->phrase);
    } else {
        if (w->count)
            a->mailbox = out_slice(out);
        name_from_comment(r, out, a);
    }
    skip_rest(l);
}

/* Steps over separators; true when that closes a group. */
static bool skip_separators(struct address_reader *r)
{
    struct lexer *l = &r->lex;

    for (;;) {
        lex_blanks(l);
        if (lex_skip(l, ';')) {
            if (r->in_group)
                return true;
        } else if (!lex_skip(l, ',')) {
            return r->in_group && lex_ended(l);
        }
    }
}

bool address_next(struct address_reader *r, struct address *address)
{
    struct lexer *l = &r->lex;

    *address = (struct address){0};
    if (skip_separators(r)) {
        address->kind = ADDRESS_GROUP_END;
        r->in_group = false;
        return true;
    }
    if (lex_ended(l))
        return false;
    struct words w = {.phrase = room_for(r, 0, r->cap / 4),
        .local = room_for(r, r->cap / 4, r->cap / 4)};
    l->comment.at = NULL;
    read_words(l, &w);
    if (lex_is(l, ':') && !r->in_group) {
        l->at++;
        r->in_group = true;
        address->kind = ADDRESS_GROUP;
        address->mailbox = out_slice(&w.phrase);
        return true;
    }
    read_after_words(r, &w, address);
    return true;
}
