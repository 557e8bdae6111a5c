/* Fields that stand in the ENVELOPE of the summary (RFC 3501, 7.4.2): searching there
 * spares reading the message. Addresses are searched as `Name <mailbox@host>`. */
#include "server/session_imap_search.h"

enum { ADDRESSES_KEPT = 1000 }; /* the envelope has no more of them */

static const struct {
    struct slice name;
    unsigned index; /* in the envelope */
    bool addresses;
} fields[] = {
    {SI("Subject"), 1, false},
    {SI("From"), 2, true},
    {SI("To"), 5, true},
    {SI("Cc"), 6, true},
    {SI("Bcc"), 7, true},
    {SI("In-Reply-To"), 8, false},
    {SI("Message-ID"), 9, false},
};

/* A string as IMAP sends it; raw, with its backslashes where it was quoted. */
struct wire_string {
    struct slice raw; /* at == NULL: NIL */
    bool quoted;
};

static bool skip(struct slice *in, char c)
{
    if (in->len == 0 || *in->at != c)
        return false;
    slice_take(in, 1);
    return true;
}

/* From behind the opening quote. */
static bool cut_quoted(struct slice *in, struct wire_string *s)
{
    size_t i = 0;

    while (i < in->len && in->at[i] != '"')
        i += in->at[i] == '\\' ? 2 : 1;
    if (i >= in->len)
        return false;
    *s = (struct wire_string){slice_take(in, i), true};
    return skip(in, '"');
}

/* From behind the opening brace. */
static bool cut_literal(struct slice *in, struct wire_string *s)
{
    struct slice digits = slice_take(in, slice_find(*in, '}'));
    uint64_t n;

    if (!slice_u64(digits, &n) || !skip(in, '}') || !skip(in, '\r') || !skip(in, '\n') ||
        n > in->len)
        return false;
    *s = (struct wire_string){slice_take(in, (size_t)n), false};
    return true;
}

static bool cut_string(struct slice *in, struct wire_string *s)
{
    skip(in, ' ');
    if (skip(in, '"'))
        return cut_quoted(in, s);
    if (skip(in, '{'))
        return cut_literal(in, s);
    *s = (struct wire_string){slice_of(NULL, 0), false};
    if (!slice_starts_nocase(*in, S("NIL")))
        return false;
    slice_take(in, 3);
    return true;
}

static void feed(struct search_header *search, struct wire_string s)
{
    while (s.raw.len) {
        size_t n = s.quoted ? slice_find(s.raw, '\\') : s.raw.len;

        search_header_feed(search, slice_take(&s.raw, n));
        if (s.raw.len < 2)
            return;
        slice_take(&s.raw, 1);
        search_header_feed(search, slice_take(&s.raw, 1));
    }
}

/* `(name route mailbox host)`; with `search` its text is searched. */
static bool cut_address(struct slice *in, struct search_header *search)
{
    struct wire_string name, route, mailbox, host;

    if (!skip(in, '(') || !cut_string(in, &name) || !cut_string(in, &route) ||
        !cut_string(in, &mailbox) || !cut_string(in, &host) || !skip(in, ')'))
        return false;
    if (!search)
        return true;
    feed(search, name);
    if (name.raw.at)
        search_header_feed(search, S(" <"));
    feed(search, mailbox);
    if (host.raw.at)
        search_header_feed(search, S("@"));
    feed(search, host);
    search_header_feed(search, name.raw.at ? S(">, ") : S(", "));
    return true;
}

static bool cut_addresses(struct slice *in, struct search_header *search, unsigned *count)
{
    *count = 0;
    skip(in, ' ');
    if (slice_starts_nocase(*in, S("NIL"))) {
        slice_take(in, 3);
        return true;
    }
    if (!skip(in, '('))
        return false;
    while (!skip(in, ')')) {
        if (!cut_address(in, search))
            return false;
        ++*count;
    }
    return true;
}

/* Octets that the envelope has dropped or moved: quotes, comments, what divides a list.
 */
static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        switch (text.at[i]) {
        case '"':
        case '\\':
        case '(':
        case ')':
        case ',':
        case ':':
        case ';':
            return false;
        default:
            break;
        }
    return true;
}

static enum imap_match search_addresses(
    struct slice in, const struct search_needle *needle)
{
    struct search_header search;
    unsigned count;
    bool whole, found;

    search_header_begin(&search, needle);
    whole = cut_addresses(&in, &search, &count);
    found = search_header_end(&search);
    if (found)
        return IMAP_MATCH_YES;
    if (!whole || count >= ADDRESSES_KEPT || !is_plain(needle->text))
        return IMAP_MATCH_UNKNOWN;
    return IMAP_MATCH_NO;
}

static enum imap_match search_string(struct slice in, const struct search_needle *needle)
{
    struct search_header search;
    struct wire_string string;

    if (!cut_string(&in, &string))
        return IMAP_MATCH_UNKNOWN;
    if (!string.raw.at)
        return IMAP_MATCH_NO;
    search_header_begin(&search, needle);
    feed(&search, string);
    return search_header_end(&search) ? IMAP_MATCH_YES : IMAP_MATCH_NO;
}

/* Steps over the first `n` items of an envelope, its parenthesis included. */
static bool seek(struct slice *in, unsigned n)
{
    struct wire_string string;
    unsigned count;

    if (!skip(in, '('))
        return false;
    for (unsigned i = 0; i < n; i++)
        if (i >= 2 && i <= 7 ? !cut_addresses(in, NULL, &count)
                             : !cut_string(in, &string))
            return false;
    return true;
}

enum imap_match envelope_search(
    struct slice envelope, struct slice field, const struct search_needle *needle)
{
    if (needle->text.len == 0) /* is there such a field at all? */
        return IMAP_MATCH_UNKNOWN;
    for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!slice_eq_nocase(field, fields[i].name))
            continue;
        if (!seek(&envelope, fields[i].index))
            return IMAP_MATCH_UNKNOWN;
        return fields[i].addresses ? search_addresses(envelope, needle)
                                   : search_string(envelope, needle);
    }
    return IMAP_MATCH_UNKNOWN;
}
