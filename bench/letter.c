#include "bench/letter.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/letter_files.h"
#include "server/clock.h"
#include "server/rand.h"

enum {
    LINE = 78,      /* octets of a line of the pool, CR LF included */
    OFFSETS = 1680, /* lines at which a body may begin: 128 KiB, which stay in a cache */
    WORDS = 2000,
    WORD_MAX = 9,
    DIGITS = 16
};

static const char field[] = "X-Ringmail-Bench: ";

/* --- text ----------------------------------------------------------------- */

/* A word that is always the same for the same number; no two letters "ee" in it, so that
 * there are words to search for that are nowhere. */
static size_t put_word(char *at, uint64_t number)
{
    static const char consonants[] = "bcdfghklmnprstvw", vowels[] = "aeiou";
    uint64_t r = scatter(number % WORDS);
    size_t len = 2 + r % (WORD_MAX - 1);

    for (size_t i = 0; i < len; i++) {
        r = scatter(r);
        at[i] = i % 2 ? vowels[r % 5] : consonants[r % 16];
    }
    return len;
}

static void fill_line(char *at, uint64_t line)
{
    uint64_t r = scatter(line + 1);
    size_t len = 0;

    while (len + WORD_MAX + 1 < LINE - 2) {
        r = scatter(r);
        len += put_word(at + len, r);
        at[len++] = ' ';
    }
    while (len < LINE - 2) {
        r = scatter(r);
        at[len++] = (char)('a' + r % 26);
    }
    at[len] = '\r';
    at[len + 1] = '\n';
}

static bool make_pool(struct letters *ls)
{
    ls->pool_lines = OFFSETS + ls->sizes->largest / LINE + 1;
    ls->pool_bytes = ls->pool_lines * LINE;
    ls->pool = malloc(ls->pool_bytes);
    for (uint64_t i = 0; ls->pool && i < ls->pool_lines; i++)
        fill_line(ls->pool + i * LINE, i);
    return ls->pool != NULL;
}

/* --- header --------------------------------------------------------------- */

static void put_number(char *at, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < DIGITS; i++)
        at[i] = digits[value >> 4 * (DIGITS - 1 - i) & 15];
}

static void put_run(struct letters *ls, struct out *out)
{
    char text[DIGITS];

    put_number(text, ls->run);
    out_put(out, slice_of(text, sizeof text));
}

static size_t put_room(struct out *out)
{
    size_t at = out->len;

    out_put(out, S("0000000000000000"));
    return at;
}

static void put_place(struct letters *ls, struct out *out)
{
    ls->places[ls->place_count++] = put_room(out);
}

static void put_date(struct out *out)
{
    time_t now = (time_t)clock_wall_s();
    struct tm tm;
    char text[64];

    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S +0000\r\n", &tm);
    out_str(out, text);
}

static void make_head(struct letters *ls, const struct options *o)
{
    struct out out = out_of(ls->head, sizeof ls->head);

    out_str(&out, field);
    put_run(ls, &out);
    out_byte(&out, ' ');
    put_place(ls, &out);
    out_byte(&out, ' ');
    ls->user_place = put_room(&out);
    out_str(&out, "\r\n");
    if (!ls->files) {
        put_date(&out);
        out_str(&out, "From: Load Driver <");
        out_str(&out, *o->from ? o->from : "bench@client.test");
        out_str(&out, ">\r\nTo: Some User <");
        users_name(&o->users, 0, &out);
        out_str(&out, ">\r\nSubject: Message ");
        put_place(ls, &out);
        out_str(&out, "\r\nMessage-ID: <");
        put_run(ls, &out);
        out_byte(&out, '.');
        put_place(ls, &out);
        out_str(&out,
            "@bench.invalid>\r\nMIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
    }
    CHECK(!out.full);
    ls->head_len = out.len;
}

bool letters_open(struct letters *ls, const struct options *o, struct out *why)
{
    *ls = (struct letters){.run = random_u64(), .sizes = &o->sizes};
    if (*o->mail && !letter_files_read(ls, o->mail, why))
        return false;
    if (!ls->files && !make_pool(ls)) {
        out_str(why, "out of memory; write a smaller --size");
        return false;
    }
    make_head(ls, o);
    ls->largest += LETTER_HEAD_MAX + ls->sizes->largest;
    return true;
}

void letters_close(struct letters *ls)
{
    letter_files_free(ls);
    free(ls->pool);
}

/* --- one message ---------------------------------------------------------- */

size_t letter_head(const struct letters *ls, uint64_t number, uint64_t user, char *at)
{
    memcpy(at, ls->head, ls->head_len);
    put_number(at + ls->user_place, user);
    put_number(at + ls->places[0], number);
    for (unsigned i = 1; i < ls->place_count; i++)
        memcpy(at + ls->places[i], at + ls->places[0], DIGITS);
    return ls->head_len;
}

struct slice letter_body(const struct letters *ls, uint64_t number, bool stuffed)
{
    uint64_t random = scatter(number ^ ls->run), size;
    const struct mail_file *file;

    if (ls->files) {
        file = &ls->files[number % ls->file_count];
        return stuffed ? file->stuffed : file->plain;
    }
    size = sizes_pick(ls->sizes, random);
    size = size > ls->head_len + 2 ? size - ls->head_len - 2 : 0;
    if (size % LINE == LINE - 1)
        size--; /* a CR alone at the end would be no text */
    return slice_of(ls->pool + (random >> 32) % OFFSETS * LINE, size);
}

uint64_t letter_size(const struct letters *ls, uint64_t number)
{
    return ls->head_len + letter_body(ls, number, false).len + 2;
}

/* --- and back ------------------------------------------------------------- */

static bool take_number(struct slice *s, uint64_t *value)
{
    char text[DIGITS + 1], *end;

    if (s->len < DIGITS)
        return false;
    memcpy(text, slice_take(s, DIGITS).at, DIGITS);
    text[DIGITS] = 0;
    *value = strtoull(text, &end, 16);
    return !*end;
}

/* From our first field on; empty: it is not there. */
static struct slice from_field(struct slice message)
{
    const char *hit = message.at;
    size_t len = sizeof field - 1;

    while ((hit = memmem(hit, message.len - (size_t)(hit - message.at), field, len))) {
        if (hit == message.at || hit[-1] == '\n')
            return slice_of(hit, message.len - (size_t)(hit - message.at));
        hit += len;
    }
    return S("");
}

enum letter_verdict letter_check(
    const struct letters *ls, struct slice message, uint64_t user, uint64_t *number)
{
    struct slice rest = from_field(message), text = rest, body;
    char head[LETTER_HEAD_MAX];
    uint64_t run;
    size_t len;

    if (rest.len < sizeof field)
        return LETTER_STRANGE;
    slice_take(&rest, sizeof field - 1);
    if (!take_number(&rest, &run) || run != ls->run || rest.len == 0)
        return LETTER_STRANGE;
    slice_take(&rest, 1);
    if (!take_number(&rest, number))
        return LETTER_STRANGE;
    len = letter_head(ls, *number, user, head);
    body = letter_body(ls, *number, false);
    if (text.len != len + body.len + 2 || memcmp(text.at, head, len) != 0 ||
        memcmp(text.at + len, body.at, body.len) != 0 ||
        memcmp(text.at + len + body.len, "\r\n", 2) != 0)
        return LETTER_DIFFERENT;
    return LETTER_SAME;
}
