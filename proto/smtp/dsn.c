#include "proto/smtp/dsn_parts.h"

#include "proto/base/check.h"
#include "proto/smtp/smtp_trace.h"

enum stage {
    STAGE_HEADER,
    STAGE_TEXT, /* one list for each action */
    STAGE_STATUS = STAGE_TEXT + DSN_EXPANDED + 1,
    STAGE_RCPTS,
    STAGE_RETURNED,
    STAGE_DONE,
};

enum dsn_returned_what dsn_what_to_return(const struct dsn_rcpt *rcpts, unsigned count,
    enum smtp_ret ret, uint64_t size, uint64_t full_max, bool binary)
{
    if (ret != SMTP_RET_FULL || size > full_max || binary)
        return DSN_RETURN_HEADER;
    for (unsigned i = 0; i < count; i++)
        if (rcpts[i].action == DSN_FAILED)
            return DSN_RETURN_FULL;
    return DSN_RETURN_HEADER;
}

bool dsn_is_utf8(const struct dsn *d)
{
    return !dsn_is_ascii(d->to);
}

/* Some address or reply is beyond ASCII. */
static bool tells_utf8(const struct dsn *d)
{
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        const struct dsn_rcpt *r = &d->rcpts[i];

        if (!dsn_is_ascii(r->address) || !dsn_is_ascii(r->orcpt) ||
            !dsn_is_ascii(r->text) || !dsn_is_ascii(r->remote))
            return true;
    }
    return false;
}

/* The returned part holds a header beyond ASCII as RFC 6532 has it. */
static bool returns_global(const struct dsn *d)
{
    return d->returned_8bit_header && d->returned_utf8;
}

bool dsn_returns_encoded(const struct dsn *d)
{
    if (!d->returned_8bit_header || dsn_is_utf8(d))
        return false;
    return d->returned_utf8 || d->returned == DSN_RETURN_HEADER;
}

static bool returns_8bit(const struct dsn *d)
{
    if (d->returned == DSN_RETURN_NOTHING || dsn_returns_encoded(d))
        return false;
    return d->returned_8bit_header ||
        (d->returned == DSN_RETURN_FULL && d->returned_8bit);
}

bool dsn_is_8bit(const struct dsn *d)
{
    return dsn_is_utf8(d) || tells_utf8(d) || returns_8bit(d);
}

/* --- the header, and between parts ---------------------------------------- */

void dsn_put_boundary(struct out *out, const struct dsn *d)
{
    out_put(out, S(DSN_BOUNDARY));
    out_put(out, d->unique);
}

static void put_delimiter(struct out *out, const struct dsn *d)
{
    out_put(out, S("\r\n--"));
    dsn_put_boundary(out, d);
    out_put(out, S("\r\n"));
}

static void put_8bit(struct out *out, bool is_8bit)
{
    if (is_8bit)
        out_put(out, S("Content-Transfer-Encoding: 8bit\r\n"));
}

static void put_name(struct out *out, struct slice name)
{
    dsn_put_clean(out, name, DSN_NAME_MAX, false);
}

/* "<" printable ASCII ">" of a length that fits a line. */
static bool is_message_id(struct slice id)
{
    if (id.len < 3 || id.len > DSN_ADDRESS_MAX || id.at[0] != '<')
        return false;
    for (size_t i = 1; i < id.len; i++)
        if (id.at[i] <= ' ' || id.at[i] > '~' || (id.at[i] == '>') != (i == id.len - 1))
            return false;
    return true;
}

/* What relates the report to the message (RFC 3834, 3.1.5). */
static void put_threads(struct out *out, const struct dsn *d)
{
    if (!is_message_id(d->message_id))
        return;
    out_put(out, S("In-Reply-To: "));
    out_put(out, d->message_id);
    out_put(out, S("\r\nReferences: "));
    out_put(out, d->message_id);
    out_put(out, S("\r\n"));
}

static void put_header(struct out *out, const struct dsn *d)
{
    out_put(out, S("Date: "));
    smtp_put_date(out, d->now_s, d->zone_minutes);
    out_put(out, S("\r\nFrom: Mail Delivery System <"));
    dsn_put_clean(out, d->from, DSN_ADDRESS_MAX, false);
    out_put(out, S(">\r\nTo: <"));
    dsn_put_clean(out, d->to, DSN_ADDRESS_MAX, true);
    out_put(out, S(">\r\n"));
    dsn_put_subject(out, d);
    out_put(out, S("Message-ID: <"));
    out_put(out, d->unique);
    out_byte(out, '@');
    put_name(out, d->host);
    out_put(out, S(">\r\n"));
    put_threads(out, d);
    out_put(out,
        S("Auto-Submitted: auto-replied\r\n"
          "MIME-Version: 1.0\r\n"
          "Content-Type: multipart/report; report-type=delivery-status;\r\n"
          "\tboundary=\""));
    dsn_put_boundary(out, d);
    out_put(out, S("\"\r\n"));
    put_8bit(out, dsn_is_8bit(d));
}

static void put_first(const struct dsn_writer *w, struct out *out)
{
    put_header(out, w->dsn);
    put_delimiter(out, w->dsn);
    if (w->utf8)
        out_put(out, S("Content-Type: text/plain; charset=utf-8\r\n"));
    else
        out_put(out, S("Content-Type: text/plain; charset=us-ascii\r\n"));
    put_8bit(out, w->utf8);
    out_put(out, S("\r\nThis is a report of the mail server "));
    put_name(out, w->dsn->host);
    out_put(out, S(".\r\n"));
}

/* --- the part for programs (RFC 3464, 2.2 and 2.3) ------------------------ */

static void put_date_field(struct out *out, struct slice name, int64_t time_s, int zone)
{
    out_put(out, name);
    smtp_put_date(out, time_s, zone);
    out_put(out, S("\r\n"));
}

/* Fields in UTF-8 (RFC 6533, 4.1) only where they are needed and can be read. */
static bool is_global(const struct dsn_writer *w)
{
    return w->utf8 && dsn_is_utf8(w->dsn);
}

/* RFC 3461, 6.3 (a): decoded, as it was given. */
static void put_envid(struct out *out, struct slice envid)
{
    char text[2 * SMTP_ENVID_MAX];
    struct out plain = out_of(text, sizeof text);

    if (envid.len == 0 || !smtp_xtext_decode(envid, &plain))
        return;
    out_put(out, S("Original-Envelope-Id: "));
    dsn_put_clean(out, out_slice(&plain), sizeof text, false);
    out_put(out, S("\r\n"));
}

/* A number of seconds, or a date (RFC 4865, 5.1.2). */
static void put_hold(struct out *out, struct slice hold)
{
    bool dated = slice_find(hold, '-') < hold.len;

    if (hold.len == 0)
        return;
    out_put(out, S("Future-Release-Request: "));
    out_put(out, dated ? S("until;") : S("for;"));
    dsn_put_clean(out, hold, DSN_NAME_MAX, false);
    out_put(out, S("\r\n"));
}

static void put_message_fields(const struct dsn_writer *w, struct out *out)
{
    const struct dsn *d = w->dsn;

    put_delimiter(out, d);
    if (is_global(w))
        out_put(out, S("Content-Type: message/global-delivery-status\r\n"));
    else
        out_put(out, S("Content-Type: message/delivery-status\r\n"));
    put_8bit(out, is_global(w));
    out_put(out, S("\r\n"));
    put_envid(out, d->envid);
    out_put(out, S("Reporting-MTA: dns; "));
    put_name(out, d->host);
    out_put(out, S("\r\n"));
    put_date_field(out, S("Arrival-Date: "), d->arrived_s, d->zone_minutes);
    if (d->by_s) /* RFC 2852, 5 */
        put_date_field(out, S("Deliver-By-Date: "), d->by_s, d->zone_minutes);
    put_hold(out, d->hold);
    if (d->log_id.len == 0)
        return;
    out_put(out, S("X-Ringmail-Log-Id: "));
    put_name(out, d->log_id);
    out_put(out, S("\r\n"));
}

/* Without a reply code it is no "smtp" diagnostic (RFC 3461, 9.2). */
static void put_diagnostic(struct out *out, const struct dsn_rcpt *r, bool utf8)
{
    if (r->code == 0 && r->text.len == 0)
        return;
    if (r->code == 0) {
        out_put(out, S("Diagnostic-Code: x-ringmail;"));
    } else {
        out_put(out, S("Diagnostic-Code: smtp; "));
        out_u64(out, r->code);
        out_byte(out, ' ');
        dsn_put_status(out, r->status);
    }
    dsn_put_folded(out, r->text, 32, S("\r\n"), utf8);
    out_put(out, S("\r\n"));
}

static void put_rcpt_fields(
    const struct dsn_writer *w, struct out *out, const struct dsn_rcpt *r)
{
    static const struct slice actions[] = {
        [DSN_FAILED] = SI("failed"),
        [DSN_DELAYED] = SI("delayed"),
        [DSN_DELIVERED] = SI("delivered"),
        [DSN_RELAYED] = SI("relayed"),
        [DSN_EXPANDED] = SI("expanded"),
    };
    int zone = w->dsn->zone_minutes;

    out_put(out, S("\r\n"));
    dsn_put_original(out, r->orcpt, is_global(w));
    dsn_put_address(out, S("Final-Recipient"), r->address, is_global(w));
    out_put(out, S("Action: "));
    out_put(out, actions[r->action]);
    out_put(out, S("\r\nStatus: "));
    dsn_put_status(out, r->status);
    out_put(out, S("\r\n"));
    if (r->remote.len) {
        out_put(out, S("Remote-MTA: dns; "));
        put_name(out, r->remote);
        out_put(out, S("\r\n"));
    }
    put_diagnostic(out, r, is_global(w));
    if (r->attempt_s)
        put_date_field(out, S("Last-Attempt-Date: "), r->attempt_s, zone);
    if (r->action == DSN_DELAYED && r->retry_until_s)
        put_date_field(out, S("Will-Retry-Until: "), r->retry_until_s, zone);
}

/* --- the returned part (RFC 6522, 3; RFC 6533, 4.2 and 4.3) --------------- */

static struct slice returned_type(const struct dsn *d)
{
    if (d->returned == DSN_RETURN_FULL)
        return returns_global(d) ? S("message/global") : S("message/rfc822");
    return returns_global(d) ? S("message/global-headers") : S("text/rfc822-headers");
}

static void put_returned_header(struct out *out, const struct dsn *d)
{
    if (d->returned == DSN_RETURN_NOTHING)
        return;
    put_delimiter(out, d);
    out_put(out, S("Content-Type: "));
    out_put(out, returned_type(d));
    out_put(out, S("\r\n"));
    if (dsn_returns_encoded(d))
        out_put(out, S("Content-Transfer-Encoding: quoted-printable\r\n"));
    put_8bit(out, returns_8bit(d));
    out_put(out, S("\r\n"));
}

/* --- step by step --------------------------------------------------------- */

void dsn_begin(struct dsn_writer *w, const struct dsn *d)
{
    CHECK(d->rcpt_count > 0 && d->unique.len > 0 && d->unique.len <= DSN_UNIQUE_MAX);
    *w = (struct dsn_writer){.dsn = d, .utf8 = tells_utf8(d)};
}

static unsigned count_from(const struct dsn_writer *w, enum dsn_action action)
{
    unsigned n = 0;

    for (unsigned i = w->rcpt; i < w->dsn->rcpt_count; i++)
        n += w->dsn->rcpts[i].action == action;
    return n;
}

/* The next recipient of the list; the heading comes with the first. */
static void put_listed(struct dsn_writer *w, struct out *out)
{
    enum dsn_action action = w->stage - STAGE_TEXT;
    const struct dsn *d = w->dsn;

    while (w->rcpt < d->rcpt_count && d->rcpts[w->rcpt].action != action)
        w->rcpt++;
    if (w->rcpt == d->rcpt_count) {
        w->stage++;
        w->rcpt = 0;
        w->headed = false;
        return;
    }
    if (!w->headed)
        dsn_put_heading(out, action, count_from(w, action));
    w->headed = true;
    dsn_put_rcpt_text(out, d, &d->rcpts[w->rcpt++]);
}

bool dsn_put_step(struct dsn_writer *w, struct out *out)
{
    const struct dsn *d = w->dsn;

    switch (w->stage) {
    case STAGE_HEADER:
        put_first(w, out);
        w->stage++;
        break;
    case STAGE_STATUS:
        dsn_put_closing(out, d);
        put_message_fields(w, out);
        w->stage++;
        break;
    case STAGE_RCPTS:
        put_rcpt_fields(w, out, &d->rcpts[w->rcpt++]);
        w->stage += w->rcpt == d->rcpt_count;
        break;
    case STAGE_RETURNED:
        put_returned_header(out, d);
        w->stage++;
        break;
    case STAGE_DONE:
        break;
    default:
        put_listed(w, out);
        break;
    }
    return w->stage != STAGE_DONE;
}

void dsn_put_head(struct out *out, const struct dsn *d)
{
    struct dsn_writer w;

    dsn_begin(&w, d);
    while (dsn_put_step(&w, out))
        continue;
}
