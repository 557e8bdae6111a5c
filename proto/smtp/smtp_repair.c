#include "proto/smtp/smtp_repair.h"

#include "proto/base/check.h"
#include "proto/mime/address.h"
#include "proto/smtp/smtp.h"
#include "proto/smtp/smtp_trace.h"

enum repair_at {
    REPAIR_LINE, /* at the start of a line */
    REPAIR_NAME, /* in what may be the name of a field */
    REPAIR_CR,   /* a CR alone in its line so far */
    REPAIR_PASS, /* in a field that goes on */
    REPAIR_DROP, /* in one that does not */
    REPAIR_BODY
};

enum repair_field {
    REPAIR_NONE, /* no field has begun yet */
    REPAIR_OTHER,
    REPAIR_DATE,
    REPAIR_FROM,
    REPAIR_SENDER,
    REPAIR_MESSAGE_ID,
    REPAIR_BCC,
    REPAIR_RESENT_BCC,
    REPAIR_RETURN_PATH
};

static const struct slice names[] = {
    [REPAIR_DATE] = SI("date"),
    [REPAIR_FROM] = SI("from"),
    [REPAIR_SENDER] = SI("sender"),
    [REPAIR_MESSAGE_ID] = SI("message-id"),
    [REPAIR_BCC] = SI("bcc"),
    [REPAIR_RESENT_BCC] = SI("resent-bcc"),
    [REPAIR_RETURN_PATH] = SI("return-path"),
};

void smtp_repair_begin(
    struct smtp_repair *r, const struct smtp_repair_conf *conf, struct arena *arena)
{
    *r = (struct smtp_repair){.conf = conf, .arena = arena};
}

static bool has_passed(const struct smtp_repair *r, enum repair_field field)
{
    return (r->fields >> field & 1) != 0;
}

static bool is_dropped(enum repair_field field)
{
    return field >= REPAIR_BCC;
}

/* --- authors ------------------------------------------------------------- */

/* The value is longer than what is looked at. */
static bool from_is_cut(const struct smtp_repair *r)
{
    return r->from_len == SMTP_REPAIR_FROM_MAX;
}

/* Room for n more octets; old room stays in the arena, a third of the new one. */
static bool from_room(struct smtp_repair *r, size_t n)
{
    uint32_t cap = r->from_cap ? r->from_cap : 512;
    char *at;

    while (cap - r->from_len < n)
        cap *= 4;
    if (cap == r->from_cap)
        return true;
    at = arena_take(r->arena, cap);
    if (!at)
        return false;
    if (r->from_len > 0)
        memcpy(at, r->from, r->from_len);
    r->from = at;
    r->from_cap = cap;
    return true;
}

static void keep_from(struct smtp_repair *r, struct slice bytes)
{
    size_t left = SMTP_REPAIR_FROM_MAX - r->from_len;

    if (bytes.len > left)
        bytes.len = left;
    if (bytes.len == 0)
        return;
    if (!from_room(r, bytes.len)) {
        r->no_memory = true;
        return;
    }
    memcpy(r->from + r->from_len, bytes.at, bytes.len);
    r->from_len += (uint32_t)bytes.len;
}

/* local@domain; the local part quoted where it needs that, or might be taken for a
 * quoted string. */
static struct slice spec_of(const struct address *a, struct out *out)
{
    struct smtp_path path;

    out_put(out, a->mailbox);
    out_byte(out, '@');
    out_put(out, a->host);
    if (slice_find(a->mailbox, '"') == a->mailbox.len &&
        smtp_mailbox(out_slice(out), true, &path))
        return out_slice(out);
    out->len = 0;
    out_byte(out, '"');
    for (size_t i = 0; i < a->mailbox.len; i++) {
        if (a->mailbox.at[i] == '"' || a->mailbox.at[i] == '\\')
            out_byte(out, '\\');
        out_byte(out, a->mailbox.at[i]);
    }
    out_str(out, "\"@");
    out_put(out, a->host);
    return out_slice(out);
}

static bool may_write_as(struct smtp_repair *r, const struct address *a, char *room)
{
    struct out out = out_of(room, (size_t)r->from_len * 2 + 8);

    return !r->conf->may_write_as ||
        r->conf->may_write_as(r->conf->arg, spec_of(a, &out));
}

/* Each "@" outside quoted strings and comments. */
static size_t count_at(struct slice value)
{
    size_t depth = 0, count = 0;
    bool quoted = false;

    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];

        if (c == '\\')
            i++;
        else if (c == '"' && depth == 0)
            quoted = !quoted;
        else if (c == '(' && !quoted)
            depth++;
        else if (c == ')' && depth > 0)
            depth--;
        else if (c == '@' && !quoted && depth == 0)
            count++;
    }
    return count;
}

/* How many authors From names; each may have to be allowed. What is no address list
 * ("<a@x> <b@x>") is read differently by different programs, and nobody's then. */
static unsigned judge_from(struct smtp_repair *r)
{
    size_t room = address_room(r->from_len);
    struct address_reader reader;
    struct address a;
    unsigned authors = 0;
    char *space;

    if (r->from_len == 0)
        return 0;
    space = arena_take(r->arena, room + (size_t)r->from_len * 2 + 8);
    if (!space) {
        r->no_memory = true;
        return 0;
    }
    address_begin(&reader, slice_of(r->from, r->from_len), space);
    while (address_next(&reader, &a)) {
        if (a.kind != ADDRESS_MAILBOX)
            continue;
        authors++;
        r->denied = r->denied || !may_write_as(r, &a, space + room);
    }
    if (r->conf->may_write_as && count_at(slice_of(r->from, r->from_len)) > authors)
        r->denied = true;
    return authors;
}

/* --- what is added ------------------------------------------------------- */

static void put_field(struct out *out, const char *name, struct slice value)
{
    out_str(out, name);
    out_put(out, value);
    out_str(out, "\r\n");
}

static void put_missing(const struct smtp_repair *r, struct out *out, unsigned authors)
{
    const struct smtp_repair_conf *conf = r->conf;

    if (!has_passed(r, REPAIR_DATE)) {
        out_str(out, "Date: ");
        smtp_put_date(out, conf->time_s, conf->zone_minutes);
        out_str(out, "\r\n");
    }
    if (!has_passed(r, REPAIR_FROM))
        put_field(out, "From: ", conf->user);
    if (authors > 1 && !has_passed(r, REPAIR_SENDER))
        put_field(out, "Sender: ", conf->user);
    if (!has_passed(r, REPAIR_MESSAGE_ID)) {
        out_str(out, "Message-ID: <");
        out_put(out, conf->id);
        out_byte(out, '@');
        out_put(out, conf->host);
        out_str(out, ">\r\n");
    }
}

static void make_ready(struct smtp_repair *r, struct slice run)
{
    if (run.len > 0)
        r->ready[r->ready_count++] = run;
}

/* The header is over; `tail` ends its last line where that has not happened. */
static void end_header(struct smtp_repair *r, struct slice tail)
{
    const struct smtp_repair_conf *conf = r->conf;
    size_t cap = conf->user.len * 2 + conf->id.len + conf->host.len + 128;
    unsigned authors = judge_from(r);
    char *at = arena_take(r->arena, cap);
    struct out out = out_of(at, at ? cap : 0);

    if (from_is_cut(r)) {
        r->denied = r->denied || conf->may_write_as;
        authors = 2;
    }
    r->no_memory = r->no_memory || !at;
    if (at)
        put_missing(r, &out, authors);
    make_ready(r, tail);
    make_ready(r, out_slice(&out));
    make_ready(r, S("\r\n"));
    r->at = REPAIR_BODY;
}

/* The line is no field: the text begins with it. */
static void begin_body(struct smtp_repair *r, struct slice held)
{
    end_header(r, S(""));
    make_ready(r, held);
    r->held = 0;
}

/* --- lines ----------------------------------------------------------------- */

static struct slice held_name(const struct smtp_repair *r)
{
    return slice_of(r->name, r->held);
}

static enum repair_field field_of(struct slice name)
{
    name = slice_trim(name);
    for (unsigned i = REPAIR_DATE; i < sizeof names / sizeof *names; i++)
        if (slice_eq_nocase(name, names[i]))
            return (enum repair_field)i;
    return REPAIR_OTHER;
}

/* Passes or drops the field whose name is held; its colon is next. */
static void begin_field(struct smtp_repair *r, struct slice *in)
{
    enum repair_field field = field_of(held_name(r));

    r->name[r->held++] = slice_take(in, 1).at[0];
    r->field = (uint8_t)field;
    r->fields = (uint16_t)(r->fields | 1u << field);
    r->at = is_dropped(field) ? REPAIR_DROP : REPAIR_PASS;
    r->cr = false;
    if (r->at == REPAIR_PASS)
        make_ready(r, held_name(r));
    if (field == REPAIR_FROM && r->from_len > 0)
        keep_from(r, S(","));
    r->held = 0;
}

/* "From anna@x.test Mon ...", perhaps with ">" in front, in the very first line. */
static bool is_mailbox_line(const struct smtp_repair *r)
{
    struct slice name = held_name(r);

    while (name.len > 0 && name.at[0] == '>')
        slice_take(&name, 1);
    return r->field == REPAIR_NONE && r->blank &&
        slice_eq(slice_of(name.at, name.len < 5 ? name.len : 5), S("From "));
}

/* RFC 5322, 2.2 and 4.5: printable ASCII, then perhaps blanks, then the colon. */
static void take_name(struct smtp_repair *r, struct slice *in)
{
    while (in->len > 0) {
        char c = in->at[0];
        bool blank = c == ' ' || c == '\t';

        if (c == ':' && r->held > 0) {
            begin_field(r, in);
            return;
        }
        if (!blank && r->blank && is_mailbox_line(r)) {
            r->at = REPAIR_DROP;
            r->held = 0;
            return;
        }
        if ((!blank && (r->blank || c < '!' || c > '~' || c == ':')) ||
            r->held == SMTP_REPAIR_NAME_MAX) {
            begin_body(r, held_name(r));
            return;
        }
        r->blank = blank;
        r->name[r->held++] = c;
        slice_take(in, 1);
    }
}

static void begin_line(struct smtp_repair *r, struct slice *in)
{
    char c = in->at[0];

    r->blank = false;
    if (c == '\r') {
        slice_take(in, 1);
        r->at = REPAIR_CR;
    } else if (c != ' ' && c != '\t') {
        r->at = REPAIR_NAME;
    } else if (r->field == REPAIR_NONE) {
        begin_body(r, S(""));
    } else {
        r->at = is_dropped((enum repair_field)r->field) ? REPAIR_DROP : REPAIR_PASS;
    }
}

static void after_cr(struct smtp_repair *r, struct slice *in)
{
    if (in->at[0] != '\n') {
        begin_body(r, S("\r"));
        return;
    }
    slice_take(in, 1);
    end_header(r, S(""));
}

/* The rest of the line, its end included, or what there is of it. */
static struct slice take_line(struct smtp_repair *r, struct slice *in)
{
    size_t n = 0;

    while (n < in->len) {
        size_t lf = n + slice_find(slice_of(in->at + n, in->len - n), '\n');
        bool ends = lf < in->len && (lf > 0 ? in->at[lf - 1] == '\r' : r->cr);

        n = lf < in->len ? lf + 1 : lf;
        if (ends) {
            r->at = REPAIR_LINE;
            break;
        }
    }
    r->cr = in->at[n - 1] == '\r';
    return slice_take(in, n);
}

static void take_field(struct smtp_repair *r, struct slice *in)
{
    bool passes = r->at == REPAIR_PASS;
    struct slice line = take_line(r, in);

    if (!passes)
        return;
    make_ready(r, line);
    if (r->field == REPAIR_FROM)
        keep_from(r, line);
}

/* --- the stream ------------------------------------------------------------ */

static bool take_ready(struct smtp_repair *r, struct slice *run)
{
    if (r->ready_next == r->ready_count) {
        r->ready_next = r->ready_count = 0;
        return false;
    }
    *run = r->ready[r->ready_next++];
    return true;
}

static void step(struct smtp_repair *r, struct slice *in)
{
    switch ((enum repair_at)r->at) {
    case REPAIR_LINE:
        begin_line(r, in);
        return;
    case REPAIR_NAME:
        take_name(r, in);
        return;
    case REPAIR_CR:
        after_cr(r, in);
        return;
    case REPAIR_PASS:
    case REPAIR_DROP:
        take_field(r, in);
        return;
    case REPAIR_BODY:
        make_ready(r, slice_take(in, in->len));
        return;
    }
}

bool smtp_repair_next(struct smtp_repair *r, struct slice *in, struct slice *run)
{
    for (;;) {
        if (take_ready(r, run))
            return true;
        if (in->len == 0)
            return false;
        step(r, in);
    }
}

static void finish(struct smtp_repair *r)
{
    switch ((enum repair_at)r->at) {
    case REPAIR_LINE:
    case REPAIR_CR: /* refused for its bare CR, which is not kept */
    case REPAIR_DROP:
        end_header(r, S(""));
        return;
    case REPAIR_NAME:
        begin_body(r, held_name(r));
        return;
    case REPAIR_PASS:
        end_header(r, S("\r\n"));
        return;
    case REPAIR_BODY:
        return;
    }
}

bool smtp_repair_end(struct smtp_repair *r, struct slice *run)
{
    if (take_ready(r, run))
        return true;
    finish(r);
    return take_ready(r, run);
}
