#include "server/forward.h"

#include <openssl/hmac.h>

#include "proto/base/check.h"
#include "server/accounts_state.h"

static void mac_of(void *arg, unsigned key, struct slice text, uint8_t out[SRS_MAC_BYTES])
{
    const struct srs_key *k = &((const struct srs_keys *)arg)->at[key];
    unsigned len = SRS_MAC_BYTES;

    CHECK(HMAC(EVP_sha256(), k->bytes, k->len, (const uint8_t *)text.at, text.len, out,
              &len) &&
        len == SRS_MAC_BYTES);
}

static struct srs srs_of(const struct accounts *a)
{
    return (struct srs){.domain = a->srs.domain,
        .keys = a->srs.count,
        .mac = mac_of,
        .arg = (void *)&a->srs};
}

static bool is_srs_domain(const struct accounts *a, struct slice domain)
{
    return slice_eq_nocase(domain, a->srs.domain);
}

struct slice forward_sender(const struct thread *t, struct slice sender, char *at)
{
    const struct accounts *a = t->accounts;
    struct slice domain = accounts_domain_of(sender);
    struct out out = out_of(at, FORWARD_SENDER_MAX);
    struct srs srs = srs_of(a);

    if (!a->srs.signs || sender.len == 0 || accounts_is_local(a, domain) ||
        is_srs_domain(a, domain) || !srs_forward(&srs, sender, t->now_s, &out))
        return sender;
    return out_slice(&out);
}

/* Where the true sender is: elsewhere, or by now here. */
static enum route_result route_back(
    const struct accounts *a, struct slice address, struct route *route)
{
    bool relay = route->relay;
    enum route_result result = ROUTE_SRS_FORGED;
    struct smtp_path path;

    route->relay = true;
    if (smtp_mailbox(address, true, &path))
        result = route_resolve(a, &path, route);
    route->relay = relay;
    return result;
}

enum route_result forward_route(const struct accounts *a, const struct smtp_path *rcpt,
    const struct smtp_path *sender, int64_t now_s, struct route *route)
{
    char text[FORWARD_SENDER_MAX];
    struct out out = out_of(text, sizeof text);
    struct srs srs = srs_of(a);

    if (a->srs.count == 0 || !srs_is(rcpt) || !is_srs_domain(a, rcpt->domain))
        return route_resolve(a, rcpt, route);
    route->count = route->remote_count = 0;
    if (sender->kind != SMTP_PATH_NULL)
        return ROUTE_SRS_SENDER;
    switch (srs_reverse(&srs, rcpt, now_s, &out)) {
    case SRS_OK:
        return route_back(a, out_slice(&out), route);
    case SRS_EXPIRED:
        return ROUTE_SRS_EXPIRED;
    case SRS_FORGED:
        break;
    }
    return ROUTE_SRS_FORGED;
}
