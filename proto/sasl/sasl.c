#include "proto/sasl/sasl.h"

#include <string.h>

#include "proto/base/check.h"

static const struct {
    enum sasl_mechanism mechanism;
    struct slice name;
} mechanisms[] = {
#define X(name, text) {SASL_##name, SI(text)},
    SASL_MECHANISMS(X)
#undef X
};

enum sasl_mechanism sasl_mechanism_of(struct slice name)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
        if (slice_eq_nocase(name, mechanisms[i].name))
            return mechanisms[i].mechanism;
    return SASL_NONE;
}

void secret_wipe(void *at, size_t n)
{
    if (n)
        explicit_bzero(at, n);
}

void sasl_start(struct sasl *s, enum sasl_mechanism mechanism, char *buffer, size_t cap)
{
    CHECK(mechanism != SASL_NONE && cap >= SASL_BUFFER_MIN);
    *s = (struct sasl){.mechanism = mechanism, .kept = out_of(buffer, cap)};
}

void sasl_wipe(struct sasl *s)
{
    if (s->kept.at)
        secret_wipe(s->kept.at, s->kept.cap);
    *s = (struct sasl){.mechanism = SASL_NONE};
}

/* A name that could be an account's. Control octets would break log lines. */
static bool is_name(struct slice name)
{
    if (name.len == 0 || name.len > SASL_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.at[i] < ' ' || name.at[i] == 0x7f)
            return false;
    return true;
}

static bool is_password(struct slice password)
{
    return password.len > 0 && password.len <= SASL_PASSWORD_MAX;
}

/* [authzid] NUL authcid NUL passwd (RFC 4616, 2). */
static enum sasl_result take_plain(struct sasl *s, struct slice message)
{
    struct slice authzid = slice_take(&message, slice_find(message, '\0'));
    struct slice authcid;

    if (message.len == 0)
        return SASL_MALFORMED;
    slice_take(&message, 1);
    authcid = slice_take(&message, slice_find(message, '\0'));
    if (message.len == 0)
        return SASL_MALFORMED;
    slice_take(&message, 1);
    if (slice_find(message, '\0') < message.len)
        return SASL_MALFORMED;
    if (!slice_is_utf8(authzid) || !slice_is_utf8(authcid) || !slice_is_utf8(message))
        return SASL_MALFORMED;
    if (authzid.len && !slice_eq_nocase(authzid, authcid))
        return SASL_REFUSED;
    if (!is_name(authcid) || !is_password(message))
        return SASL_REFUSED;
    s->user = authcid;
    s->password = message;
    return SASL_DONE;
}

/* A name, then a password, each a message of its own. */
static enum sasl_result take_login(struct sasl *s, struct slice message)
{
    if (slice_find(message, '\0') < message.len)
        return SASL_MALFORMED;
    if (!s->user.at) {
        if (!slice_is_utf8(message))
            return SASL_MALFORMED;
        if (!is_name(message))
            return SASL_REFUSED;
        s->user = message;
        s->challenge = S("UGFzc3dvcmQ6"); /* Password: */
        return SASL_CHALLENGE;
    }
    if (!is_password(message))
        return SASL_REFUSED;
    s->password = message;
    return SASL_DONE;
}

/* One message in base64, decoded into the buffer behind those before it. */
static enum sasl_result take(struct sasl *s, struct slice text)
{
    size_t begin = s->kept.len;

    CHECK(s->mechanism != SASL_NONE);
    if (text.len > base64_size(s->kept.cap - begin))
        return SASL_REFUSED;
    if (!base64_decode(&s->kept, text))
        return s->kept.full ? SASL_REFUSED : SASL_MALFORMED;

    struct slice message = slice_of(s->kept.at + begin, s->kept.len - begin);
    return s->mechanism == SASL_PLAIN ? take_plain(s, message) : take_login(s, message);
}

enum sasl_result sasl_initial(struct sasl *s, struct slice text, bool given)
{
    if (given)
        return take(s, slice_eq(text, S("=")) ? S("") : text);
    s->challenge = s->mechanism == SASL_LOGIN ? S("VXNlcm5hbWU6") : S(""); /* Username: */
    return SASL_CHALLENGE;
}

enum sasl_result sasl_line(struct sasl *s, struct slice line)
{
    return slice_eq(line, S("*")) ? SASL_CANCELLED : take(s, line);
}
