/* config_finish.c -- what must hold between flags. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/smtp/smtp.h"
#include "server/config.h"
#include "server/dns.h"
#include "server/file.h"
#include "server/next_hop.h"

/* Always false. */
static bool refuse(struct out *why, const char *flag, const char *value, const char *text)
{
    out_str(why, flag);
    if (value) {
        out_str(why, " ");
        out_str(why, value);
    }
    out_str(why, ": ");
    out_str(why, text);
    return false;
}

static bool no_memory(struct out *why)
{
    out_str(why, "out of memory");
    return false;
}

/* Sets *field to DIR/name unless it is set already. */
static bool below(char **field, const char *dir, const char *name, struct out *why)
{
    if (!*field)
        *field = file_path(dir, name);
    return *field || no_memory(why);
}

static bool finish_paths(struct config *c, struct out *why)
{
    if (!c->data)
        return refuse(why, "--data", NULL,
            "not given; write --data DIR, the folder that holds the mail");
    c->aliases_wanted = c->aliases != NULL;
    return below(&c->users, c->data, "users", why) &&
        below(&c->aliases, c->data, "aliases", why) &&
        below(&c->control_path, c->data, "control", why) &&
        below(&c->removed_path, c->data, "removed", why) &&
        below(&c->srs_key_path, c->data, "srs.key", why);
}

static bool finish_hostname(struct config *c, struct out *why)
{
    char name[256] = "";

    if (!c->hostname) {
        gethostname(name, sizeof name - 1);
        c->hostname = strdup(name);
        if (!c->hostname)
            return no_memory(why);
    }
    return smtp_is_domain(slice_str(c->hostname), false) ||
        refuse(why, "--hostname", c->hostname,
            "not a name of a host; write it like mail.example.org");
}

static void fold(char *text)
{
    for (; *text; text++)
        *text = ascii_lower(*text);
}

static bool finish_domains(struct config *c, struct out *why)
{
    for (unsigned i = 0; i < c->domains.count; i++) {
        fold(c->domains.at[i]);
        if (!smtp_is_domain(slice_str(c->domains.at[i]), true))
            return refuse(why, "--domain", c->domains.at[i],
                "not a name of a domain; write it like example.org");
    }
    if (c->srs_domain)
        fold(c->srs_domain);
    if (c->srs_domain && !smtp_is_domain(slice_str(c->srs_domain), false))
        return refuse(why, "--srs-domain", c->srs_domain,
            "not a name of a domain; write it like srs.example.org");
    return true;
}

static bool finish_delimiter(struct config *c, struct out *why)
{
    if (strcmp(c->recipient_delimiter, "none") == 0)
        return true;
    c->delimiter = c->recipient_delimiter[0];
    if (c->recipient_delimiter[1] || !strchr("+-_.=#~", c->delimiter))
        return refuse(why, "--recipient-delimiter", c->recipient_delimiter,
            "not one of + - _ . = # ~; write --recipient-delimiter + or none");
    return true;
}

static bool is_address(const char *text)
{
    struct smtp_path path;

    return smtp_mailbox(slice_str(text), true, &path) && !path.literal;
}

static bool finish_addresses(struct config *c, struct out *why)
{
    if (c->postmaster && !is_address(c->postmaster))
        return refuse(why, "--postmaster", c->postmaster,
            "not an address; write it like anna@example.org");
    for (unsigned i = 0; i < c->catch_alls.count; i++) {
        char *text = c->catch_alls.at[i], *equals = strchr(text, '=');

        if (!equals || !smtp_is_domain(slice_of(text, (size_t)(equals - text)), true) ||
            !is_address(equals + 1))
            return refuse(why, "--catch-all", text,
                "not DOMAIN=ADDRESS; write it like example.org=anna@example.org");
    }
    return true;
}

static bool finish_folders(struct config *c, struct out *why)
{
    for (unsigned i = 0; i < c->folders.count; i++) {
        const char *text = c->folders.at[i], *equals = strchr(text, '=');
        size_t len = equals ? (size_t)(equals - text) : strlen(text);

        if (len == 0 || len > 512 || !slice_is_utf8(slice_of(text, len)))
            return refuse(why, "--folder", text, "not a name of a mailbox");
        if (equals && config_use_of(slice_str(equals + 1)) == USE_NONE)
            return refuse(why, "--folder", text,
                "no such use; write archive, drafts, flagged, junk, sent or trash");
    }
    return true;
}

enum mailbox_use config_use_of(struct slice word)
{
    static const struct {
        struct slice word;
        enum mailbox_use use;
    } uses[] = {{SI("archive"), USE_ARCHIVE}, {SI("drafts"), USE_DRAFTS},
        {SI("flagged"), USE_FLAGGED}, {SI("junk"), USE_JUNK}, {SI("sent"), USE_SENT},
        {SI("trash"), USE_TRASH}};

    for (unsigned i = 0; i < sizeof uses / sizeof *uses; i++)
        if (slice_eq_nocase(word, uses[i].word))
            return uses[i].use;
    return USE_NONE;
}

/* --- what a server needs ----------------------------------------------- */

static const char *flag_of(const struct listener *l)
{
    switch (l->protocol) {
    case PROTO_SMTP:
        return "--smtp";
    case PROTO_SUBMISSION:
        return l->implicit_tls ? "--submissions" : "--submission";
    case PROTO_LMTP:
        return "--lmtp";
    case PROTO_POP3:
        return l->implicit_tls ? "--pop3s" : "--pop3";
    case PROTO_IMAP:
        return l->implicit_tls ? "--imaps" : "--imap";
    }
    return "";
}

const char *config_listener_name(const struct listener *l)
{
    return flag_of(l) + 2;
}

static bool check_listener(const struct config *c, unsigned index, struct out *why)
{
    const struct listener *l = &c->listeners[index];
    bool login = l->protocol != PROTO_SMTP && l->protocol != PROTO_LMTP;

    if (l->implicit_tls && c->tls_certs.count == 0)
        return refuse(why, flag_of(l), l->text,
            "needs a certificate; write --tls-cert FILE --tls-key FILE too");
    if (login && c->tls_certs.count == 0 && c->allow_plaintext.count == 0)
        return refuse(why, flag_of(l), l->text,
            "nobody could log in; write --tls-cert FILE --tls-key FILE too, or "
            "--allow-plaintext NETWORK");
    if (l->protocol == PROTO_LMTP && l->address.port == 25) /* RFC 2033, 5 */
        return refuse(why, flag_of(l), l->text, "not on port 25; write another port");
    for (unsigned i = 0; i < index; i++)
        if (strcmp(c->listeners[i].text, l->text) == 0 &&
            (l->address.port != 0 || l->address.family == AF_UNIX))
            return refuse(
                why, flag_of(l), l->text, "named twice; each port has one protocol");
    return true;
}

static bool check_server(const struct config *c, struct out *why)
{
    if (c->tls_certs.count != c->tls_keys.count)
        return refuse(why, "--tls-cert", NULL,
            "as many as --tls-key are needed; write each pair as --tls-cert FILE "
            "--tls-key FILE");
    if (c->listener_count == 0)
        return refuse(why, "--smtp", NULL,
            "no port is named; write at least one of --smtp, --submission, "
            "--submissions, --lmtp, --pop3, --pop3s, --imap, --imaps ADDR:PORT");
    if (c->segment_size % (1 << 20) != 0)
        return refuse(why, "--segment-size", NULL,
            "not a whole number of MiB; write --segment-size 64M");
    for (unsigned i = 0; i < c->listener_count; i++)
        if (!check_listener(c, i, why))
            return false;
    return true;
}

/* Reads passwords, so only where they are wanted, and while root can. */
static bool check_resolvers(const struct config *c, struct out *why)
{
    for (unsigned i = 0; i < c->resolvers.count; i++) {
        struct address a;

        if (i == DNS_RESOLVERS_MAX)
            return refuse(why, "--resolver", c->resolvers.at[i],
                "more than eight DNS servers; leave some out");
        if (!address_parse(slice_str(c->resolvers.at[i]), &a) || a.port == 0)
            return refuse(why, "--resolver", c->resolvers.at[i],
                "not an address with a port; write it like 127.0.0.1:53 or [::1]:53");
    }
    return true;
}

static bool finish_next_hops(struct config *c, struct out *why)
{
    c->next_hops = next_hops_make(c, why);
    return c->next_hops != NULL;
}

bool config_finish(struct config *c, bool serve, struct out *why)
{
    return finish_paths(c, why) && finish_hostname(c, why) && finish_domains(c, why) &&
        finish_delimiter(c, why) && finish_addresses(c, why) && finish_folders(c, why) &&
        (!serve ||
            (check_server(c, why) && check_resolvers(c, why) &&
                finish_next_hops(c, why)));
}
