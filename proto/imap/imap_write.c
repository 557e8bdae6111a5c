#include "proto/imap/imap_write.h"

#include "proto/imap/imap_date.h"
#include "proto/imap/imap_lex.h"
#include "proto/imap/imap_name.h"

enum { QUOTED_MAX = 1024 };

static void put_crlf(struct out *o)
{
    out_put(o, S("\r\n"));
}

/* --- status responses --------------------------------------------------------------- */

void imap_put_status(struct out *o, struct slice tag, struct slice answer,
    struct slice code, struct slice text)
{
    out_put(o, tag.len ? tag : S("*"));
    out_byte(o, ' ');
    out_put(o, answer);
    out_byte(o, ' ');
    if (code.len) {
        out_put(o, code);
        out_byte(o, ' ');
    }
    out_put(o, text);
    put_crlf(o);
}

void imap_put_error(struct out *o, struct slice tag, enum imap_error error)
{
    const struct imap_error_reply *reply = imap_error_reply(error);

    imap_put_status(o, tag, reply->answer, reply->code, reply->text);
}

void imap_put_number_code(
    struct out *o, struct slice name, uint64_t number, struct slice text)
{
    out_put(o, S("* OK ["));
    out_put(o, name);
    out_byte(o, ' ');
    out_u64(o, number);
    out_put(o, S("] "));
    out_put(o, text);
    put_crlf(o);
}

void imap_put_append_uid(struct out *o, uint32_t uid_validity, uint32_t uid)
{
    out_put(o, S("[APPENDUID "));
    out_u64(o, uid_validity);
    out_byte(o, ' ');
    out_u64(o, uid);
    out_byte(o, ']');
}

void imap_put_count(struct out *o, uint64_t number, struct slice word)
{
    out_put(o, S("* "));
    out_u64(o, number);
    out_byte(o, ' ');
    out_put(o, word);
    put_crlf(o);
}

/* --- strings -------------------------------------------------------------------------
 */

static bool can_quote(struct slice s)
{
    if (s.len > QUOTED_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < ' ' || s.at[i] > '~')
            return false;
    return true;
}

static void put_quoted(struct out *o, struct slice s)
{
    out_byte(o, '"');
    while (s.len) {
        size_t n = 0;

        while (n < s.len && s.at[n] != '"' && s.at[n] != '\\')
            n++;
        out_put(o, slice_take(&s, n));
        if (s.len) {
            out_byte(o, '\\');
            out_put(o, slice_take(&s, 1));
        }
    }
    out_byte(o, '"');
}

void imap_put_literal_head(struct out *o, uint64_t bytes)
{
    out_byte(o, '{');
    out_u64(o, bytes);
    out_put(o, S("}\r\n"));
}

void imap_put_string(struct out *o, struct slice s)
{
    if (can_quote(s)) {
        put_quoted(o, s);
        return;
    }
    imap_put_literal_head(o, s.len);
    out_put(o, s);
}

void imap_put_nstring(struct out *o, struct slice s)
{
    if (s.at)
        imap_put_string(o, s);
    else
        out_put(o, S("NIL"));
}

void imap_put_astring(struct out *o, struct slice s)
{
    if (s.len && s.len <= QUOTED_MAX && imap_octets_all(s, IMAP_OCTET_ASTRING) &&
        !slice_eq_nocase(s, S("NIL")))
        out_put(o, s);
    else
        imap_put_string(o, s);
}

void imap_put_mailbox(struct out *o, struct slice name)
{
    char wire[4 * IMAP_NAME_MAX];
    struct out encoded = out_of(wire, sizeof wire);

    imap_put_astring(o, imap_name_encode(name, &encoded) ? out_slice(&encoded) : name);
}

/* --- flags and dates ------------------------------------------------------------------
 */

/* A space unless `first`; then the word. */
static void put_word(struct out *o, struct slice word, bool *first)
{
    if (!*first)
        out_byte(o, ' ');
    *first = false;
    out_put(o, word);
}

bool imap_put_flags(struct out *o, unsigned system, const struct slice *keywords,
    unsigned keyword_count, bool first)
{
    static const struct slice texts[] = {
#define FLAG(name, text) [IMAP_FLAG_BIT_##name] = SI(text),
        IMAP_FLAGS(FLAG)
#undef FLAG
    };

    for (unsigned bit = 0; bit < IMAP_FLAG_COUNT; bit++)
        if (system >> bit & 1)
            put_word(o, texts[bit], &first);
    for (unsigned i = 0; i < keyword_count; i++)
        put_word(o, keywords[i], &first);
    return first;
}

static void put_digits(struct out *o, int32_t value, size_t count)
{
    char digits[4];

    for (size_t i = count; i-- > 0; value /= 10)
        digits[i] = (char)('0' + value % 10);
    out_put(o, slice_of(digits, count));
}

static void put_day(struct out *o, int32_t days)
{
    struct imap_day day = imap_day_split(days);

    put_digits(o, day.day, 2);
    out_byte(o, '-');
    out_put(o, imap_months[day.month - 1]);
    out_byte(o, '-');
    put_digits(o, day.year, 4);
}

void imap_put_date_time(struct out *o, struct imap_date_time date)
{
    enum { DAY_S = 86400, ZONE_MAX = 24 * 60 - 1 };
    int64_t first = (int64_t)imap_day_of(0, 1, 1) * DAY_S;
    int64_t last = (int64_t)imap_day_of(10000, 1, 1) * DAY_S - 1;
    int32_t zone = date.zone_minutes, seconds;
    int64_t local;

    zone = zone > ZONE_MAX ? ZONE_MAX : zone < -ZONE_MAX ? -ZONE_MAX : zone;
    local = date.utc_s < first - DAY_S ? first
        : date.utc_s > last + DAY_S    ? last
                                       : date.utc_s + (int64_t)zone * 60;
    local = local < first ? first : local > last ? last : local;
    seconds = (int32_t)((local - first) % DAY_S);
    out_byte(o, '"');
    put_day(o, (int32_t)((local - seconds) / DAY_S));
    out_byte(o, ' ');
    put_digits(o, seconds / 3600, 2);
    out_byte(o, ':');
    put_digits(o, seconds / 60 % 60, 2);
    out_byte(o, ':');
    put_digits(o, seconds % 60, 2);
    out_put(o, zone < 0 ? S(" -") : S(" +"));
    zone = zone < 0 ? -zone : zone;
    put_digits(o, zone / 60 * 100 + zone % 60, 4);
    out_byte(o, '"');
}

/* --- mailbox data ----------------------------------------------------------------------
 */

void imap_put_list(struct out *o, struct slice word, unsigned attributes,
    enum imap_use use, struct slice name, bool childinfo)
{
    static const struct slice texts[] = {
#define ATTRIBUTE(name, text) [IMAP_ATTR_BIT_##name] = SI(text),
        IMAP_ATTRIBUTES(ATTRIBUTE)
#undef ATTRIBUTE
    };
    bool first = true;

    out_put(o, S("* "));
    out_put(o, word);
    out_put(o, S(" ("));
    for (unsigned bit = 0; bit < IMAP_ATTR_COUNT; bit++)
        if (attributes >> bit & 1)
            put_word(o, texts[bit], &first);
    if (use != IMAP_USE_NONE)
        put_word(o, imap_use_text(use), &first);
    out_put(o, S(") \"/\" "));
    imap_put_mailbox(o, name);
    if (childinfo)
        out_put(o, S(" (\"CHILDINFO\" (\"SUBSCRIBED\"))"));
    put_crlf(o);
}

void imap_put_status_data(struct out *o, struct slice name, unsigned items,
    const uint32_t values[IMAP_STATUS_COUNT])
{
    static const struct slice texts[] = {
#define STATUS_ITEM(name, text) [IMAP_STATUS_BIT_##name] = SI(text),
        IMAP_STATUS_ITEMS(STATUS_ITEM)
#undef STATUS_ITEM
    };
    bool first = true;

    out_put(o, S("* STATUS "));
    imap_put_mailbox(o, name);
    out_put(o, S(" ("));
    for (unsigned bit = 0; bit < IMAP_STATUS_COUNT; bit++) {
        if (!(items >> bit & 1))
            continue;
        put_word(o, texts[bit], &first);
        out_byte(o, ' ');
        out_u64(o, values[bit]);
    }
    out_put(o, S(")\r\n"));
}

/* --- message data
 * ----------------------------------------------------------------------- */

void imap_put_fetch_head(struct out *o, uint32_t seq)
{
    out_put(o, S("* "));
    out_u64(o, seq);
    out_put(o, S(" FETCH ("));
}

static void put_section(struct out *o, const struct imap_item *item)
{
    static const struct slice parts[] = {
        [IMAP_PART_ALL] = SI(""),
        [IMAP_PART_HEADER] = SI("HEADER"),
        [IMAP_PART_TEXT] = SI("TEXT"),
        [IMAP_PART_MIME] = SI("MIME"),
        [IMAP_PART_FIELDS] = SI("HEADER.FIELDS ("),
        [IMAP_PART_FIELDS_NOT] = SI("HEADER.FIELDS.NOT ("),
    };
    bool first = true;

    for (unsigned i = 0; i < item->path_count; i++) {
        if (i)
            out_byte(o, '.');
        out_u64(o, item->path[i]);
    }
    if (item->path_count && item->part != IMAP_PART_ALL)
        out_byte(o, '.');
    out_put(o, parts[item->part]);
    for (unsigned i = 0; i < item->field_count; i++) {
        put_word(o, S(""), &first);
        imap_put_astring(o, item->fields[i]);
    }
    if (item->field_count)
        out_byte(o, ')');
}

void imap_put_item_name(struct out *o, const struct imap_item *item)
{
    static const struct slice names[] = {
        [IMAP_ITEM_UID] = SI("UID"),
        [IMAP_ITEM_FLAGS] = SI("FLAGS"),
        [IMAP_ITEM_INTERNALDATE] = SI("INTERNALDATE"),
        [IMAP_ITEM_RFC822_SIZE] = SI("RFC822.SIZE"),
        [IMAP_ITEM_ENVELOPE] = SI("ENVELOPE"),
        [IMAP_ITEM_BODY] = SI("BODY"),
        [IMAP_ITEM_BODYSTRUCTURE] = SI("BODYSTRUCTURE"),
        [IMAP_ITEM_RFC822] = SI("RFC822"),
        [IMAP_ITEM_RFC822_HEADER] = SI("RFC822.HEADER"),
        [IMAP_ITEM_RFC822_TEXT] = SI("RFC822.TEXT"),
        [IMAP_ITEM_SECTION] = SI("BODY["),
    };

    out_put(o, names[item->kind]);
    if (item->kind != IMAP_ITEM_SECTION)
        return;
    put_section(o, item);
    out_byte(o, ']');
    if (item->partial) {
        out_byte(o, '<');
        out_u64(o, item->from);
        out_byte(o, '>');
    }
}
