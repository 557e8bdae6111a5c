#include "server/password.h"

#include <crypt.h>

#include "proto/base/check.h"

enum { DES_HASH_OCTETS = 13 };

_Static_assert(PASSWORD_MAX < CRYPT_MAX_PASSPHRASE_SIZE, "crypt(3) takes it");

struct parsed {
    enum password_kind kind;
    struct slice secret; /* behind the scheme */
};

static bool is_crypt(struct slice scheme)
{
    static const struct slice names[] = {SI("CRYPT"), SI("SHA512-CRYPT"),
        SI("SHA256-CRYPT"), SI("BLF-CRYPT"), SI("YESCRYPT"), SI("MD5-CRYPT"),
        SI("DES-CRYPT")};

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_eq_nocase(scheme, names[i]))
            return true;
    return false;
}

static bool to_string(struct slice s, char *at, size_t cap)
{
    if (s.len >= cap || (s.len > 0 && memchr(s.at, 0, s.len)))
        return false;
    if (s.len > 0)
        memcpy(at, s.at, s.len);
    at[s.len] = 0;
    return true;
}

static bool crypt_takes(struct slice setting)
{
    char text[CRYPT_OUTPUT_SIZE];
    int answer;

    if (!to_string(setting, text, sizeof text))
        return false;
    /* Any two letters are a salt to crypt(3); only a whole hash is one to us. */
    if (text[0] != '$' && text[0] != '_' && setting.len != DES_HASH_OCTETS)
        return false;
    answer = crypt_checksalt(text);
    return answer != CRYPT_SALT_INVALID && answer != CRYPT_SALT_METHOD_DISABLED;
}

static struct parsed parse(struct slice field)
{
    struct slice scheme = S("CRYPT");

    if (field.len > 0 && field.at[0] == '{') {
        size_t close = slice_find(field, '}');

        if (close == field.len)
            return (struct parsed){PASSWORD_UNKNOWN, field};
        scheme = slice_of(field.at + 1, close - 1);
        slice_take(&field, close + 1);
    }
    if (field.len == 0)
        return (struct parsed){PASSWORD_LOCKED, field};
    if (slice_eq_nocase(scheme, S("PLAIN")) || slice_eq_nocase(scheme, S("CLEARTEXT")))
        return (struct parsed){PASSWORD_PLAIN, field};
    if (field.at[0] == '!' || field.at[0] == '*')
        return (struct parsed){PASSWORD_LOCKED, field};
    if (!is_crypt(scheme) || !crypt_takes(field))
        return (struct parsed){PASSWORD_UNKNOWN, field};
    return (struct parsed){PASSWORD_CRYPT, field};
}

enum password_kind password_kind(struct slice field)
{
    return parse(field).kind;
}

bool password_equal(struct slice a, struct slice b)
{
    unsigned char different = a.len != b.len;

    for (size_t i = 0; i < b.len; i++)
        different |= (unsigned char)(b.at[i] ^ a.at[a.len ? i % a.len : 0]);
    return different == 0;
}

/* The hash is computed for a password that is too long too, so that its time says
 * nothing. */
static bool crypt_fits(struct slice secret, struct slice password)
{
    struct crypt_data data;
    char setting[CRYPT_OUTPUT_SIZE], phrase[PASSWORD_MAX + 1];
    bool whole = to_string(password, phrase, sizeof phrase);
    const char *hash;
    bool fits;

    if (!to_string(secret, setting, sizeof setting))
        return false;
    if (!whole)
        phrase[0] = 'x', phrase[1] = 0;
    memset(&data, 0, sizeof data);
    hash = crypt_rn(phrase, setting, &data, sizeof data);
    fits = hash && whole && password_equal(slice_str(hash), secret);
    explicit_bzero(&data, sizeof data);
    explicit_bzero(phrase, sizeof phrase);
    return fits;
}

bool password_fits(struct slice field, struct slice password)
{
    struct parsed p = parse(field);

    switch (p.kind) {
    case PASSWORD_CRYPT:
        return crypt_fits(p.secret, password);
    case PASSWORD_PLAIN:
        return password.len <= PASSWORD_MAX && password_equal(p.secret, password);
    case PASSWORD_LOCKED:
    case PASSWORD_UNKNOWN:
        break;
    }
    return false;
}

bool password_make(struct slice password, struct out *field)
{
    struct crypt_data data;
    char salt[CRYPT_GENSALT_OUTPUT_SIZE], phrase[PASSWORD_MAX + 1];
    const char *hash;

    if (password.len == 0 || !to_string(password, phrase, sizeof phrase))
        return false;
    memset(&data, 0, sizeof data);
    hash = crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof salt)
        ? crypt_rn(phrase, salt, &data, sizeof data)
        : NULL;
    if (hash) {
        out_str(field, "{CRYPT}");
        out_str(field, hash);
    }
    explicit_bzero(&data, sizeof data);
    explicit_bzero(phrase, sizeof phrase);
    return hash && !field->full;
}
