/* srs_keys.c -- DATA/srs.key: keys in hexadecimal, one a line, # begins a comment. The
 * first one signs; those behind it are older, and what they signed still comes back. */
#include "server/accounts_state.h"
#include "server/config.h"

static int digit_of(char c)
{
    c = ascii_lower(c);
    if (ascii_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_key(struct accounts_build *b, struct slice text)
{
    const char *file = b->source->config->srs_key_path;
    struct srs_keys *keys = &b->a->srs;
    struct srs_key *key = &keys->at[keys->count];

    if (text.len % 2 || text.len < (size_t)SRS_KEY_MIN * 2 ||
        text.len > (size_t)SRS_KEY_MAX * 2)
        return accounts_refuse(b, file, "not a key of 32 to 128 hexadecimal digits");
    if (keys->count == SRS_KEYS_MAX)
        return accounts_refuse(b, file, "more than 8 keys; remove the oldest");
    for (size_t i = 0; i < text.len; i += 2) {
        int high = digit_of(text.at[i]), low = digit_of(text.at[i + 1]);

        if (high < 0 || low < 0)
            return accounts_refuse(b, file, "not a key of 32 to 128 hexadecimal digits");
        key->bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    key->len = (uint8_t)(text.len / 2);
    keys->count++;
    return true;
}

bool accounts_read_srs(struct accounts_build *b)
{
    const struct config *config = b->source->config;
    struct slice text = b->source->srs_keys, line;

    b->line = 0;
    b->a->srs.domain = b->a->home;
    if (config->srs_domain)
        b->a->srs.domain = arena_copy(&b->a->arena, slice_str(config->srs_domain));
    if (!b->a->srs.domain.at && config->srs_domain)
        return accounts_no_memory(b);
    while (accounts_line(b, &text, &line)) {
        line = slice_trim(line);
        if (line.len > 0 && line.at[0] != '#' && !take_key(b, line))
            return false;
    }
    b->a->srs.signs = config->srs && b->a->srs.count > 0 && b->a->srs.domain.len > 0;
    return true;
}
