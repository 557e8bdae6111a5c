#include "server/next_hop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/config.h"
#include "server/file.h"

enum {
    PASSWORD_FILE_MAX = 4096,
    LABEL_MAX = 320,
    ROWS_MIN = 16 /* of the table of routes */
};

struct route_row {
    char *domain; /* lower case; with a dot in front where all below it is meant */
    const struct next_hop *hop;
};

struct next_hops {
    uint64_t key;
    struct next_hop **hops; /* the first: MX */
    unsigned hop_count;
    const struct next_hop *otherwise; /* what has no route */
    struct route_row *rows;           /* open addressing, a power of two */
    size_t row_count;
};

/* What a flag says, before it is known whether another says the same. */
struct spec {
    struct next_hop hop;
    char *name, *user, *password;
};

/* --- messages ----------------------------------------------------------- */

/* Always false. */
static bool refuse(
    struct out *why, const char *flag, struct slice value, const char *text)
{
    out_str(why, flag);
    out_byte(why, ' ');
    out_put(why, slice_of(value.at, value.len < 128 ? value.len : 128));
    out_str(why, ": ");
    out_str(why, text);
    return false;
}

/* --- values ------------------------------------------------------------- */

static bool take_level(struct slice word, enum hop_tls *tls)
{
    static const char *const words[] = {"none", "may", "encrypt", "verify"};

    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_eq_nocase(word, slice_str(words[i]))) {
            *tls = (enum hop_tls)i;
            return true;
        }
    return false;
}

/* An address without a port, with or without brackets. */
static bool take_address(struct slice text, struct address *address)
{
    char line[ADDRESS_TEXT_MAX + 8];
    bool bare = slice_find(text, ':') < text.len && text.at[0] != '[';
    int n = snprintf(line, sizeof line, bare ? "[%.*s]:0" : "%.*s:0",
        (int)(text.len < ADDRESS_TEXT_MAX ? text.len : ADDRESS_TEXT_MAX), text.at);

    return n > 0 && (size_t)n < sizeof line &&
        address_parse(slice_of(line, (size_t)n), address);
}

static bool take_source(
    struct spec *s, struct slice text, const char *flag, struct out *why)
{
    struct address a;

    if (!take_address(text, &a))
        return refuse(why, flag, text,
            "not an address to send from; write it like 192.0.2.1 or 2001:db8::1");
    s->hop.source[a.family == AF_INET6] = a;
    return true;
}

/* The first line of a file. */
static bool take_password(
    struct spec *s, struct slice path, const char *flag, struct out *why)
{
    char *name = strndup(path.at, path.len);
    struct file_bytes bytes = {0};
    struct slice line;

    if (!name || !file_read(name, PASSWORD_FILE_MAX, &bytes)) {
        refuse(why, flag, path, name ? strerror(errno) : "out of memory");
        free(name);
        return false;
    }
    free(name);
    line = slice_of(bytes.text.at, slice_find(bytes.text, '\n'));
    while (line.len > 0 && line.at[line.len - 1] == '\r')
        line.len--;
    free(s->password);
    s->password = line.len > 0 ? strndup(line.at, line.len) : NULL;
    if (bytes.text.len > 0)
        explicit_bzero((char *)(uintptr_t)bytes.text.at, bytes.text.len);
    file_release(&bytes);
    return s->password ||
        refuse(why, flag, path, "its first line is empty; write the password there");
}

/* HOST:PORT, [ADDR]:PORT. */
static bool take_host(struct spec *s, struct slice text)
{
    size_t colon = text.len;
    struct slice host;
    uint32_t port;

    while (colon > 0 && text.at[colon - 1] != ':')
        colon--;
    if (colon < 2 || !slice_u32(slice_of(text.at + colon, text.len - colon), &port) ||
        port == 0 || port > UINT16_MAX)
        return false;
    host = slice_of(text.at, colon - 1);
    if (host.at[0] == '[') {
        struct address a;

        if (!take_address(host, &a) || a.family != AF_INET6)
            return false;
        host = slice_of(host.at + 1, host.len - 2);
    } else if (!smtp_is_domain(host, false) || slice_find(host, ':') < host.len) {
        return false;
    }
    s->hop.kind = NEXT_HOP_HOST;
    s->hop.port = (uint16_t)port;
    s->name = strndup(host.at, host.len);
    return s->name != NULL;
}

static bool take_target(struct spec *s, struct slice text, const char *flag,
    struct slice value, struct out *why)
{
    if (slice_eq_nocase(text, S("mx")))
        return true;
    if (slice_starts_nocase(text, S("unix:"))) {
        slice_take(&text, 5);
        if (text.len == 0 || text.len > ADDRESS_PATH_MAX || text.at[0] != '/')
            return refuse(why, flag, value,
                "not the path of a socket; write it like unix:/run/lmtp, at most 107 "
                "octets");
        s->hop.kind = NEXT_HOP_UNIX;
        s->hop.lmtp = true;
        s->name = strndup(text.at, text.len);
        return s->name || refuse(why, flag, value, "out of memory");
    }
    return take_host(s, text) ||
        refuse(why, flag, value,
            "not a host with a port; write it like mail.example.org:25 or "
            "[2001:db8::1]:25");
}

static bool take_option(
    struct spec *s, struct slice option, struct slice value, struct out *why)
{
    struct slice name = slice_of(option.at, slice_find(option, '='));
    struct slice text = option;

    slice_take(&text, name.len < text.len ? name.len + 1 : name.len);
    if (slice_eq_nocase(option, S("lmtp"))) {
        s->hop.lmtp = true;
    } else if (slice_eq_nocase(option, S("smtps"))) {
        s->hop.implicit_tls = true;
    } else if (slice_eq_nocase(name, S("tls"))) {
        s->hop.tls_fixed = true;
        if (!take_level(text, &s->hop.tls))
            return refuse(why, "--route", value,
                "no such level of TLS; write tls=none, may, encrypt or verify");
    } else if (slice_eq_nocase(name, S("source"))) {
        return take_source(s, text, "--route ... source", why);
    } else if (slice_eq_nocase(name, S("user")) && text.len > 0) {
        free(s->user);
        s->user = strndup(text.at, text.len);
        return s->user || refuse(why, "--route", value, "out of memory");
    } else if (slice_eq_nocase(name, S("password-file")) && text.len > 0) {
        return take_password(s, text, "--route ... password-file", why);
    } else {
        return refuse(why, "--route", value,
            "no such option; there are tls=LEVEL, lmtp, smtps, source=ADDR, user=NAME, "
            "password-file=FILE");
    }
    return true;
}

/* --- the list of hops --------------------------------------------------- */

static bool same_text(struct slice text, const char *with)
{
    return with ? slice_eq(text, slice_str(with)) : text.len == 0;
}

static bool same(const struct next_hop *h, const struct spec *s)
{
    bool named = s->name != NULL;

    return h->kind == s->hop.kind && h->tls == s->hop.tls &&
        h->tls_fixed == s->hop.tls_fixed && h->port == s->hop.port &&
        h->implicit_tls == s->hop.implicit_tls && h->lmtp == s->hop.lmtp &&
        (h->name != NULL) == named && (!named || strcmp(h->name, s->name) == 0) &&
        same_text(h->user, s->user) && same_text(h->password, s->password) &&
        memcmp(h->source, s->hop.source, sizeof h->source) == 0;
}

/* "host:port", with a number where another next hop has that name already. */
static struct slice make_label(const struct next_hops *hops, const struct spec *s)
{
    bool brackets = s->name && strchr(s->name, ':') && s->hop.kind == NEXT_HOP_HOST;
    char text[LABEL_MAX], *copy;
    unsigned twins = 0;
    int n = s->hop.kind == NEXT_HOP_MX ? 0
        : s->hop.kind == NEXT_HOP_UNIX
        ? snprintf(text, sizeof text, "unix:%s", s->name)
        : snprintf(
              text, sizeof text, brackets ? "[%s]:%u" : "%s:%u", s->name, s->hop.port);

    for (unsigned i = 0; i < hops->hop_count && n > 0; i++)
        twins += hops->hops[i]->kind == s->hop.kind &&
            hops->hops[i]->port == s->hop.port &&
            strcmp(hops->hops[i]->name, s->name) == 0;
    if (twins > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "#%u", twins + 1);
    for (int i = 0; s->hop.kind == NEXT_HOP_HOST && i < n; i++)
        text[i] = ascii_lower(text[i]);
    copy = strndup(text, (size_t)n);
    return copy ? slice_of(copy, (size_t)n) : (struct slice){0};
}

static void spec_free(struct spec *s)
{
    free(s->name);
    free(s->user);
    if (s->password)
        explicit_bzero(s->password, strlen(s->password));
    free(s->password);
    *s = (struct spec){0};
}

/* Takes over what the spec holds. NULL: no memory. */
static const struct next_hop *hop_add(struct next_hops *hops, struct spec *s)
{
    struct next_hop **grown, *hop;

    for (unsigned i = 0; i < hops->hop_count; i++)
        if (same(hops->hops[i], s)) {
            spec_free(s);
            return hops->hops[i];
        }
    grown = realloc(hops->hops, (hops->hop_count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    hops->hops = grown;
    hop = malloc(sizeof *hop);
    if (!hop)
        return NULL;
    *hop = s->hop;
    hop->label = make_label(hops, s);
    if (!hop->label.at) {
        free(hop);
        return NULL;
    }
    hop->tls_fixed |= s->user != NULL;
    hop->name = s->name;
    hop->user = s->user ? slice_str(s->user) : S("");
    hop->password = s->password ? slice_str(s->password) : S("");
    *s = (struct spec){0};
    hops->hops[hops->hop_count++] = hop;
    return hop;
}

static void hop_free(struct next_hop *hop)
{
    free((char *)(uintptr_t)hop->name);
    free((char *)(uintptr_t)hop->label.at);
    if (hop->user.len > 0)
        free((char *)(uintptr_t)hop->user.at);
    if (hop->password.len > 0) {
        explicit_bzero((char *)(uintptr_t)hop->password.at, hop->password.len);
        free((char *)(uintptr_t)hop->password.at);
    }
    free(hop);
}

/* --- the table of routes ------------------------------------------------ */

/* Where the domain stands, or would; `domain` in lower case. */
static struct route_row *row_of(const struct next_hops *hops, struct slice domain)
{
    size_t at = slice_hash(domain, hops->key) & (hops->row_count - 1);

    while (hops->rows[at].domain && !slice_eq(slice_str(hops->rows[at].domain), domain))
        at = (at + 1) & (hops->row_count - 1);
    return &hops->rows[at];
}

/* --- flags -------------------------------------------------------------- */

static bool start_spec(struct spec *s, const struct config *c, struct out *why)
{
    *s = (struct spec){.hop.tls = (enum hop_tls)c->tls_out};
    for (unsigned i = 0; i < c->sources.count; i++)
        if (!take_source(s, slice_str(c->sources.at[i]), "--source", why))
            return false;
    return true;
}

static bool check_spec(
    const struct spec *s, const char *flag, struct slice value, struct out *why)
{
    if ((s->user != NULL) != (s->password != NULL))
        return refuse(why, flag, value,
            "a login needs both; write a user and a file with its password");
    if (s->user && s->hop.kind == NEXT_HOP_MX)
        return refuse(
            why, flag, value, "a login is for one host; write HOST:PORT in place of mx");
    if (s->hop.lmtp && s->hop.kind == NEXT_HOP_MX)
        return refuse(
            why, flag, value, "MX speak no LMTP; write HOST:PORT in place of mx");
    if (s->hop.implicit_tls && s->hop.tls == HOP_TLS_NONE)
        return refuse(why, flag, value, "smtps and tls=none exclude each other");
    return true;
}

static bool fill_route(
    struct spec *s, struct slice rest, struct slice value, struct out *why)
{
    struct slice target = slice_take(&rest, slice_find(rest, ','));

    if (!take_target(s, target, "--route", value, why))
        return false;
    while (rest.len > 0) {
        struct slice option;

        slice_take(&rest, 1);
        option = slice_take(&rest, slice_find(rest, ','));
        if (!take_option(s, option, value, why))
            return false;
    }
    return check_spec(s, "--route", value, why);
}

static bool add_row(struct next_hops *hops, struct slice domain, struct slice value,
    const struct next_hop *hop, struct out *why)
{
    char *name = strndup(domain.at, domain.len);
    struct route_row *row;

    if (!name || !hop) {
        free(name);
        return refuse(why, "--route", value, "out of memory");
    }
    for (char *c = name; *c; c++)
        *c = ascii_lower(*c);
    row = row_of(hops, slice_str(name));
    if (row->domain) {
        free(name);
        return refuse(why, "--route", value, "this domain has a route already");
    }
    *row = (struct route_row){name, hop};
    return true;
}

static bool add_route(
    struct next_hops *hops, const struct config *c, struct slice value, struct out *why)
{
    struct slice domain = slice_of(value.at, slice_find(value, '=')), rest = value;
    struct slice bare = domain;
    struct spec s = {0};
    bool good;

    if (bare.len > 0 && bare.at[0] == '.')
        slice_take(&bare, 1);
    if (domain.len == value.len || !smtp_is_domain(bare, true))
        return refuse(why, "--route", value,
            "not DOMAIN=HOST:PORT; write it like example.org=mail.example.org:25");
    slice_take(&rest, domain.len + 1);
    good = start_spec(&s, c, why) && fill_route(&s, rest, value, why) &&
        add_row(hops, domain, value, hop_add(hops, &s), why);
    spec_free(&s);
    return good;
}

static bool fill_relay(struct spec *s, const struct config *c, struct out *why)
{
    struct slice value = slice_str(c->relay);

    if (!take_host(s, value))
        return refuse(why, "--relay", value,
            "not a host with a port; write it like mail.example.org:25 or "
            "[2001:db8::1]:25");
    if (c->relay_tls && !take_level(slice_str(c->relay_tls), &s->hop.tls))
        return refuse(why, "--relay-tls", slice_str(c->relay_tls),
            "not one of none, may, encrypt, verify");
    s->hop.tls_fixed = c->relay_tls != NULL;
    if (c->relay_user) {
        s->user = strdup(c->relay_user);
        if (!s->user)
            return refuse(why, "--relay-user", value, "out of memory");
    }
    if (c->relay_password_file &&
        !take_password(
            s, slice_str(c->relay_password_file), "--relay-password-file", why))
        return false;
    return check_spec(s, "--relay", value, why);
}

static bool add_relay(struct next_hops *hops, const struct config *c, struct out *why)
{
    struct spec s = {0};
    bool good;

    hops->otherwise = hops->hops[0];
    if (!c->relay) {
        const char *alone = c->relay_tls ? "--relay-tls"
            : c->relay_user              ? "--relay-user"
            : c->relay_password_file     ? "--relay-password-file"
                                         : NULL;

        return !alone ||
            refuse(why, alone, S(""), "only counts with --relay HOST:PORT; write both");
    }
    good = start_spec(&s, c, why) && fill_relay(&s, c, why);
    if (good)
        hops->otherwise = hop_add(hops, &s);
    if (good && !hops->otherwise)
        good = refuse(why, "--relay", slice_str(c->relay), "out of memory");
    spec_free(&s);
    return good;
}

static bool fill(struct next_hops *hops, const struct config *c, struct out *why)
{
    struct spec s;

    if (!start_spec(&s, c, why))
        return false;
    if (!hop_add(hops, &s))
        return refuse(why, "--tls-out", S(""), "out of memory");
    for (unsigned i = 0; i < c->routes.count; i++)
        if (!add_route(hops, c, slice_str(c->routes.at[i]), why))
            return false;
    return add_relay(hops, c, why);
}

struct next_hops *next_hops_make(const struct config *config, struct out *why)
{
    struct next_hops *hops = calloc(1, sizeof *hops);
    size_t rows = ROWS_MIN;

    while (rows < 2 * (size_t)config->routes.count)
        rows *= 2;
    if (hops) {
        hops->key = random_u64();
        hops->row_count = rows;
        hops->rows = calloc(rows, sizeof *hops->rows);
    }
    if (!hops || !hops->rows) {
        out_str(why, "out of memory");
        next_hops_free(hops);
        return NULL;
    }
    if (fill(hops, config, why))
        return hops;
    next_hops_free(hops);
    return NULL;
}

void next_hops_free(struct next_hops *hops)
{
    if (!hops)
        return;
    for (unsigned i = 0; i < hops->hop_count; i++)
        hop_free(hops->hops[i]);
    for (size_t i = 0; hops->rows && i < hops->row_count; i++)
        free(hops->rows[i].domain);
    free(hops->hops);
    free(hops->rows);
    free(hops);
}

/* --- questions ---------------------------------------------------------- */

const struct next_hop *next_hops_find(const struct next_hops *hops, struct slice domain)
{
    char lower[SMTP_DOMAIN_MAX];
    struct slice rest;

    if (domain.len > sizeof lower)
        return hops->otherwise;
    for (size_t i = 0; i < domain.len; i++)
        lower[i] = ascii_lower(domain.at[i]);
    rest = slice_of(lower, domain.len);
    if (row_of(hops, rest)->domain)
        return row_of(hops, rest)->hop;
    while (rest.len > 0) {
        const struct route_row *row;

        slice_take(&rest, slice_find(rest, '.'));
        row = row_of(hops, rest); /* with the dot */
        if (rest.len > 0 && row->domain)
            return row->hop;
        if (rest.len > 0)
            slice_take(&rest, 1);
    }
    return hops->otherwise;
}

const struct next_hop *next_hops_labelled(
    const struct next_hops *hops, struct slice label)
{
    for (unsigned i = 0; i < hops->hop_count; i++)
        if (hops->hops[i]->label.len > 0 && slice_eq(hops->hops[i]->label, label))
            return hops->hops[i];
    return NULL;
}

enum hop_tls next_hop_level(const struct next_hop *hop, bool optional)
{
    bool less = optional && !hop->tls_fixed && hop->tls > HOP_TLS_MAY;

    return less ? HOP_TLS_MAY : hop->tls;
}

uint64_t next_hops_key(const struct next_hops *hops)
{
    return hops->key;
}
