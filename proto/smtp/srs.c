#include "proto/smtp/srs.h"

enum {
    DAY_SECONDS = 86400,
    DAYS = 32 * 32, /* that two digits tell apart */
    TAG_LEN = 4     /* "SRS0", "SRS1" */
};

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"; /* RFC 4648, 6 */

/* --- local parts ----------------------------------------------------------- */

static bool is_atext(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || (unsigned char)c >= 0x80 ||
        (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* It can stand without quotes (RFC 5321, 4.1.2: Dot-string). */
static bool is_dot_string(struct slice s)
{
    char before = '.';

    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] == '.' ? before == '.' : !is_atext(s.at[i]))
            return false;
        before = s.at[i];
    }
    return before != '.';
}

/* The octets that a local part stands for. */
static struct slice unquoted(const struct smtp_path *path, char at[SMTP_LOCAL_MAX])
{
    size_t n = 0;

    if (!path->quoted)
        return path->local;
    for (size_t i = 1; i + 1 < path->local.len && n < SMTP_LOCAL_MAX; i++) {
        if (path->local.at[i] == '\\')
            i++;
        at[n++] = path->local.at[i];
    }
    return slice_of(at, n);
}

static void put_local(struct out *out, struct slice octets)
{
    if (is_dot_string(octets)) {
        out_put(out, octets);
        return;
    }
    out_byte(out, '"');
    for (size_t i = 0; i < octets.len; i++) {
        if (octets.at[i] == '"' || octets.at[i] == '\\')
            out_byte(out, '\\');
        out_byte(out, octets.at[i]);
    }
    out_byte(out, '"');
}

/* --- the hash ---------------------------------------------------------------- */

/* Without regard to case, which servers on the way may change. */
static void hash_of(const struct srs *srs, unsigned key, const struct slice *parts,
    unsigned count, char at[SRS_HASH_OCTETS])
{
    char folded[2 * SMTP_PATH_MAX];
    struct out out = out_of(folded, sizeof folded);
    uint8_t mac[SRS_MAC_BYTES];
    uint32_t bits;

    for (unsigned i = 0; i < count; i++) {
        for (size_t j = 0; j < parts[i].len; j++)
            out_byte(&out, ascii_lower(parts[i].at[j]));
        out_byte(&out, '\0'); /* so that no two lists of parts look the same */
    }
    srs->mac(srs->arg, key, out_slice(&out), mac);
    bits =
        (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3];
    for (unsigned i = 0; i < SRS_HASH_OCTETS; i++)
        at[i] = digits[bits >> (27 - 5 * i) & 31];
}

/* In the same time whatever is wrong. */
static bool is_ours(
    const struct srs *srs, struct slice hash, const struct slice *parts, unsigned count)
{
    bool found = false;

    if (hash.len != SRS_HASH_OCTETS)
        return false;
    for (unsigned key = 0; key < srs->keys; key++) {
        char ours[SRS_HASH_OCTETS];
        unsigned differs = 0;

        hash_of(srs, key, parts, count, ours);
        for (unsigned i = 0; i < SRS_HASH_OCTETS; i++)
            differs |= (unsigned)(ours[i] ^ ascii_upper(hash.at[i]));
        found |= differs == 0;
    }
    return found;
}

/* --- the day ------------------------------------------------------------------- */

static unsigned day_of(int64_t now_s)
{
    return (unsigned)(now_s / DAY_SECONDS % DAYS);
}

static int digit_of(char c)
{
    const char *at = c ? strchr(digits, ascii_upper(c)) : NULL;

    return at ? (int)(at - digits) : -1;
}

static bool is_valid_day(struct slice stamp, int64_t now_s)
{
    int high, low;

    if (stamp.len != 2)
        return false;
    high = digit_of(stamp.at[0]);
    low = digit_of(stamp.at[1]);
    return high >= 0 && low >= 0 &&
        (day_of(now_s) + DAYS - (unsigned)(high * 32 + low)) % DAYS <= SRS_DAYS_VALID;
}

/* --- forward --------------------------------------------------------------------- */

/* "SRS0", "SRS1" and one of the separators that there are. */
static bool has_tag(struct slice local, char digit)
{
    return local.len > TAG_LEN && slice_starts_nocase(local, S("SRS")) &&
        local.at[3] == digit && memchr("=+-", local.at[TAG_LEN], 3);
}

/* host=rest, cut; false when there is no separator. */
static bool cut(struct slice *rest, struct slice *part)
{
    size_t n = slice_find(*rest, '=');

    if (n == rest->len)
        return false;
    *part = slice_take(rest, n);
    slice_take(rest, 1);
    return true;
}

static bool finish(const struct srs *srs, const struct out *local, struct out *out)
{
    size_t before = out->len;

    put_local(out, out_slice(local));
    if (local->full || out->len - before > SMTP_LOCAL_MAX)
        return false;
    out_byte(out, '@');
    out_put(out, srs->domain);
    return !out->full;
}

static bool forward_plain(const struct srs *srs, struct slice local, struct slice domain,
    int64_t now_s, struct out *out)
{
    const unsigned day = day_of(now_s);
    const char stamp[] = {digits[day / 32], digits[day % 32]};
    const struct slice parts[] = {slice_of(stamp, sizeof stamp), domain, local};
    char text[SMTP_PATH_MAX], hash[SRS_HASH_OCTETS];
    struct out whole = out_of(text, sizeof text);

    hash_of(srs, 0, parts, 3, hash);
    out_str(&whole, "SRS0=");
    out_put(&whole, slice_of(hash, sizeof hash));
    for (unsigned i = 0; i < 3; i++) {
        out_byte(&whole, '=');
        out_put(&whole, parts[i]);
    }
    return finish(srs, &whole, out);
}

/* `host` has made what comes behind the tag of SRS0, its separator first. */
static bool forward_again(
    const struct srs *srs, struct slice host, struct slice behind, struct out *out)
{
    const struct slice parts[] = {host, behind};
    char text[SMTP_PATH_MAX], hash[SRS_HASH_OCTETS];
    struct out whole = out_of(text, sizeof text);

    hash_of(srs, 0, parts, 2, hash);
    out_str(&whole, "SRS1=");
    out_put(&whole, slice_of(hash, sizeof hash));
    out_byte(&whole, '=');
    out_put(&whole, host);
    out_byte(&whole, '=');
    out_put(&whole, behind);
    return finish(srs, &whole, out);
}

bool srs_forward(
    const struct srs *srs, struct slice sender, int64_t now_s, struct out *out)
{
    char octets[SMTP_LOCAL_MAX];
    struct smtp_path path;
    struct slice local, rest, hash, host;

    /* An "=" in a domain literal would end it. */
    if (!smtp_mailbox(sender, true, &path) ||
        slice_find(path.domain, '=') < path.domain.len)
        return false;
    local = unquoted(&path, octets);
    rest = slice_of(local.at + TAG_LEN, local.len < TAG_LEN ? 0 : local.len - TAG_LEN);
    if (has_tag(local, '0'))
        return forward_again(srs, path.domain, rest, out);
    if (has_tag(local, '1')) {
        slice_take(&rest, 1);
        if (cut(&rest, &hash) && cut(&rest, &host) && smtp_is_domain(host, true))
            return forward_again(srs, host, rest, out);
    }
    return forward_plain(srs, local, path.domain, now_s, out);
}

/* --- reverse --------------------------------------------------------------------- */

bool srs_is(const struct smtp_path *path)
{
    char octets[SMTP_LOCAL_MAX];
    struct slice local;

    if (path->kind != SMTP_PATH_MAILBOX)
        return false;
    local = unquoted(path, octets);
    return has_tag(local, '0') || has_tag(local, '1');
}

static enum srs_result put_address(
    struct slice local, struct slice domain, struct out *out)
{
    struct smtp_path path;
    size_t before = out->len;

    put_local(out, local);
    out_byte(out, '@');
    out_put(out, domain);
    return !out->full &&
            smtp_mailbox(slice_of(out->at + before, out->len - before), true, &path)
        ? SRS_OK
        : SRS_FORGED;
}

static enum srs_result reverse_plain(
    const struct srs *srs, struct slice rest, int64_t now_s, struct out *out)
{
    struct slice hash, parts[3];

    if (!cut(&rest, &hash) || !cut(&rest, &parts[0]) || !cut(&rest, &parts[1]))
        return SRS_FORGED;
    parts[2] = rest;
    if (!is_ours(srs, hash, parts, 3))
        return SRS_FORGED;
    if (!is_valid_day(parts[0], now_s))
        return SRS_EXPIRED;
    return put_address(parts[2], parts[1], out);
}

/* How long it is valid says the server that made SRS0. */
static enum srs_result reverse_again(
    const struct srs *srs, struct slice rest, struct out *out)
{
    char text[SMTP_PATH_MAX];
    struct out local = out_of(text, sizeof text);
    struct slice hash, parts[2];

    if (!cut(&rest, &hash) || !cut(&rest, &parts[0]))
        return SRS_FORGED;
    parts[1] = rest;
    if (!is_ours(srs, hash, parts, 2))
        return SRS_FORGED;
    out_str(&local, "SRS0");
    out_put(&local, parts[1]);
    return put_address(out_slice(&local), parts[0], out);
}

enum srs_result srs_reverse(
    const struct srs *srs, const struct smtp_path *path, int64_t now_s, struct out *out)
{
    char octets[SMTP_LOCAL_MAX];
    struct slice local = unquoted(path, octets), rest;

    if (!srs_is(path))
        return SRS_FORGED;
    rest = slice_of(local.at + TAG_LEN + 1, local.len - TAG_LEN - 1);
    return local.at[3] == '0' ? reverse_plain(srs, rest, now_s, out)
                              : reverse_again(srs, rest, out);
}
