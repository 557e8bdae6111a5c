#include "proto/smtp/smtp_path.h"

#include <arpa/inet.h>

static bool is_utf8_octet(char c)
{
    return (unsigned char)c >= 0x80;
}

static bool is_alnum(char c)
{
    return ascii_alpha(c) || ascii_digit(c);
}

/* atext of RFC 5322, 3.2.3, and UTF-8 (RFC 6531, 3.3). */
static bool is_atext(char c)
{
    return is_alnum(c) || is_utf8_octet(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Octets of the Dot-string at the front of s: atoms with single dots between. 0 when
 * there is none. */
static size_t dot_string_span(struct slice s)
{
    size_t i = 0;

    while (i < s.len && is_atext(s.at[i])) {
        while (i < s.len && is_atext(s.at[i]))
            i++;
        if (i == s.len || s.at[i] != '.')
            return i;
        i++;
    }
    return 0;
}

/* Octets of the Quoted-string at the front of s, with its quotes; 0 when there is
 * none or it is empty. */
static size_t quoted_span(struct slice s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.at[i] == '"')
            return i > 1 ? i + 1 : 0;
        if (s.at[i] == '\\' && ++i == s.len)
            return 0;
        if ((unsigned char)s.at[i] < ' ' || s.at[i] == 0x7f)
            return 0;
    }
    return 0;
}

static size_t local_span(struct slice s)
{
    size_t n = s.len && s.at[0] == '"' ? quoted_span(s) : dot_string_span(s);

    return n <= SMTP_LOCAL_MAX ? n : 0;
}

static bool is_label_octet(char c)
{
    return is_alnum(c) || is_utf8_octet(c) || c == '_' || c == '-';
}

/* Octets of the label at the front of s, 0 when it is not one. */
static size_t label_span(struct slice s)
{
    size_t n = 0;

    while (n < s.len && is_label_octet(s.at[n]))
        n++;
    if (n == 0 || n > SMTP_LABEL_MAX || s.at[0] == '-' || s.at[n - 1] == '-')
        return 0;
    return n;
}

/* Octets of the domain name at the front of s; 0 when there is none. */
static size_t name_span(struct slice s)
{
    size_t at = 0;

    for (;;) {
        size_t n = label_span(slice_of(s.at + at, s.len - at));

        at += n;
        if (n == 0 || at > SMTP_DOMAIN_MAX)
            return 0;
        if (at == s.len || s.at[at] != '.')
            return at;
        at++;
    }
}

static bool is_ip(int family, struct slice text)
{
    char copy[INET6_ADDRSTRLEN], address[sizeof(struct in6_addr)];

    if (text.len >= sizeof copy || slice_find(text, '\0') < text.len)
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, address) == 1;
}

/* General-address-literal: tag ":" 1*dcontent (RFC 5321, 4.1.3). */
static bool is_general_literal(struct slice text)
{
    size_t colon = slice_find(text, ':');

    if (colon == 0 || colon + 1 >= text.len)
        return false;
    for (size_t i = 0; i < colon; i++)
        if (!is_alnum(text.at[i]) && text.at[i] != '-')
            return false;
    for (size_t i = colon + 1; i < text.len; i++)
        if (text.at[i] < '!' || text.at[i] > '~' || text.at[i] == '\\')
            return false;
    return text.at[colon - 1] != '-';
}

/* Octets of the address literal at the front of s, with its brackets; 0 when it is
 * not one. */
static size_t literal_span(struct slice s)
{
    size_t end = slice_find(s, ']');
    struct slice text;

    if (end == s.len || end > SMTP_DOMAIN_MAX)
        return 0;
    text = slice_of(s.at + 1, end - 1);
    if (slice_find(text, '[') < text.len)
        return 0;
    if (slice_starts_nocase(text, S("IPv6:"))) {
        slice_take(&text, 5);
        return is_ip(AF_INET6, text) ? end + 1 : 0;
    }
    return is_ip(AF_INET, text) || is_general_literal(text) ? end + 1 : 0;
}

static size_t domain_span(struct slice s)
{
    return s.len && s.at[0] == '[' ? literal_span(s) : name_span(s);
}

static bool has_utf8(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (is_utf8_octet(s.at[i]))
            return true;
    return false;
}

/* Takes local@domain, or a local part alone, off the front of `in`. */
static bool take_mailbox(struct slice *in, struct smtp_path *path)
{
    struct slice begin = *in;
    size_t n = local_span(*in);

    if (n == 0)
        return false;
    path->local = slice_take(in, n);
    path->quoted = path->local.at[0] == '"';
    path->kind = SMTP_PATH_POSTMASTER;
    if (in->len && in->at[0] == '@') {
        slice_take(in, 1);
        n = domain_span(*in);
        if (n == 0)
            return false;
        path->kind = SMTP_PATH_MAILBOX;
        path->domain = slice_take(in, n);
        path->literal = path->domain.at[0] == '[';
    }
    path->text = slice_of(begin.at, begin.len - in->len);
    path->utf8 = has_utf8(path->text);
    return true;
}

/* Takes a source route, "@a,@b:", off the front of `in`, where there is one. */
static bool skip_route(struct slice *in)
{
    if (in->len == 0 || in->at[0] != '@')
        return true;
    while (in->len && in->at[0] == '@') {
        size_t n;
        char mark;

        slice_take(in, 1);
        n = domain_span(*in);
        slice_take(in, n);
        if (n == 0 || in->len == 0)
            return false;
        mark = slice_take(in, 1).at[0];
        if (mark != ',')
            return mark == ':';
    }
    return false;
}

bool smtp_path_take(struct slice *in, struct smtp_path *path)
{
    *path = (struct smtp_path){.kind = SMTP_PATH_NULL};
    if (in->len < 2 || in->at[0] != '<')
        return false;
    slice_take(in, 1);
    if (in->at[0] != '>') {
        struct slice route = *in;

        if (!skip_route(in))
            return false;
        route.len -= in->len;
        if (!take_mailbox(in, path))
            return false;
        path->utf8 = path->utf8 || has_utf8(route);
        if (path->kind == SMTP_PATH_POSTMASTER &&
            (route.len || !slice_eq_nocase(path->local, S("postmaster"))))
            return false;
    }
    if (in->len == 0 || in->at[0] != '>')
        return false;
    slice_take(in, 1);
    return in->len == 0 || in->at[0] == ' ';
}

bool smtp_mailbox(struct slice text, bool utf8, struct smtp_path *path)
{
    *path = (struct smtp_path){.kind = SMTP_PATH_NULL};
    return take_mailbox(&text, path) && text.len == 0 &&
        path->kind == SMTP_PATH_MAILBOX &&
        (!path->utf8 || (utf8 && slice_is_utf8(path->text)));
}

bool smtp_is_domain(struct slice text, bool utf8)
{
    return text.len && name_span(text) == text.len &&
        (!has_utf8(text) || (utf8 && slice_is_utf8(text)));
}

static void put_lower(struct out *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        out_byte(out, ascii_lower(s.at[i]));
}

/* The octets that a quoted local part stands for, in lower case. */
static void put_unquoted(struct out *out, struct slice quoted)
{
    for (size_t i = 1; i + 1 < quoted.len; i++) {
        if (quoted.at[i] == '\\')
            i++;
        out_byte(out, ascii_lower(quoted.at[i]));
    }
}

/* Those octets, which are no Dot-string, as a quoted string. */
static void put_quoted(struct out *out, struct slice octets)
{
    out_byte(out, '"');
    for (size_t i = 0; i < octets.len; i++) {
        if (octets.at[i] == '"' || octets.at[i] == '\\')
            out_byte(out, '\\');
        out_byte(out, octets.at[i]);
    }
    out_byte(out, '"');
}

/* The local part in its one form; `spare` has room for it too. */
static void put_local(struct out *out, const struct smtp_path *path, struct out *spare)
{
    struct slice octets;

    if (!path->quoted) {
        put_lower(out, path->local);
        return;
    }
    put_unquoted(spare, path->local);
    octets = out_slice(spare);
    if (dot_string_span(octets) == octets.len)
        out_put(out, octets);
    else
        put_quoted(out, octets);
}

/* Sets user, detail and base. `spare` receives the base where it is not `full`. */
static void split_detail(struct smtp_addr *addr, char separator, struct out *spare)
{
    size_t at = separator ? slice_find(addr->local, separator) : addr->local.len;

    if (at == 0 || at == addr->local.len || addr->local.at[0] == '"') {
        addr->base = addr->full;
        addr->user = addr->local;
        return;
    }
    addr->detail = slice_of(addr->local.at + at + 1, addr->local.len - at - 1);
    spare->len = 0;
    out_put(spare, slice_of(addr->local.at, at));
    out_byte(spare, '@');
    out_put(spare, addr->domain);
    addr->base = out_slice(spare);
    addr->user = slice_of(spare->at, at);
}

bool smtp_addr_of(const struct smtp_path *path, struct slice home, char separator,
    struct arena *arena, struct smtp_addr *addr)
{
    struct slice domain = path->kind == SMTP_PATH_MAILBOX ? path->domain : home;
    size_t cap = path->local.len + 1 + domain.len;
    struct out out, spare;
    char *room;
    size_t at;

    *addr = (struct smtp_addr){0};
    if (path->kind == SMTP_PATH_NULL)
        return false;
    room = arena_take(arena, 2 * cap);
    if (!room)
        return false;
    out = out_of(room, cap);
    spare = out_of(room + cap, cap);
    put_local(&out, path, &spare);
    at = out.len;
    out_byte(&out, '@');
    put_lower(&out, domain);
    addr->full = out_slice(&out);
    addr->local = slice_of(out.at, at);
    addr->domain = slice_of(out.at + at + 1, out.len - at - 1);
    split_detail(addr, separator, &spare);
    return true;
}
