/* hop_fit.c -- what a hop can take of a message, and how it is told: parameters of MAIL
 * and RCPT, each only where the hop offers its extension. */
#include <stdio.h>

#include "server/hop_state.h"
#include "server/idn.h"

enum { BY_MAX_S = 999999999 }; /* RFC 2852, 4 */

/* --- addresses ------------------------------------------------------------ */

static bool is_ascii(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] >= 0x80)
            return false;
    return true;
}

/* RFC 6531, 3.2: a domain has another form, a local part has none. */
static struct slice in_ascii(const struct smtp_path *path, char at[SMTP_PATH_MAX])
{
    struct out out = out_of(at, SMTP_PATH_MAX);
    char name[IDN_MAX];
    struct slice domain = idn_ascii(path->domain, name, sizeof name);

    if (!is_ascii(path->local) || domain.len == 0)
        return S("");
    out_put(&out, path->local);
    out_byte(&out, '@');
    out_put(&out, domain);
    return out.full ? S("") : out_slice(&out);
}

struct slice hop_address(
    const struct hop *h, struct slice address, char at[SMTP_PATH_MAX])
{
    struct smtp_path path;

    if (!smtp_mailbox(address, true, &path))
        return S("");
    if (!path.utf8 || hop_offers(h, SMTP_HELLO_SMTPUTF8))
        return address;
    return in_ascii(&path, at);
}

/* --- what fits ------------------------------------------------------------ */

static void refuse_all(
    struct hop *h, unsigned code, struct hop_status status, const char *text)
{
    struct hop_answer a;

    hop_answer_ours(&a, code, status, "%s", text);
    hop_settle(h, HOP_RCPT_TODO, &a);
}

static void fit_rcpts(struct hop *h)
{
    struct hop_work *w = &h->work;
    char at[SMTP_PATH_MAX];
    struct smtp_path path;
    struct hop_answer a;

    for (unsigned i = 0; i < w->m->rcpt_count; i++) {
        struct slice address = w->m->rcpts[i].rcpt->address;

        if (w->states[i] != HOP_RCPT_TODO || hop_address(h, address, at).len)
            continue;
        if (smtp_mailbox(address, true, &path))
            hop_answer_ours(&a, 553, HOP_STATUS(5, 6, 7),
                "the address needs SMTPUTF8, which the hop does not offer");
        else
            hop_answer_ours(&a, 553, HOP_STATUS(5, 1, 3), "no address");
        w->states[i] = HOP_RCPT_DONE;
        w->m->rcpts[i].answer = hop_note(w, &a);
    }
}

static void fit_sender(struct hop *h)
{
    struct hop_work *w = &h->work;
    struct slice sender = w->m->sender, fits;

    if (sender.len == 0)
        return;
    fits = hop_address(h, sender, w->sender);
    if (fits.at == w->sender)
        w->sender_bytes = fits.len;
    if (fits.len == 0)
        refuse_all(h, 550, HOP_STATUS(5, 6, 7),
            "the sender's address needs SMTPUTF8, which the hop does not offer");
}

/* SMTPUTF8 is asked for where something needs it, or may (RFC 6531, 3.4 and 3.6). */
static void fit_utf8(struct hop *h)
{
    const struct envelope *e = h->work.m->envelope;
    bool wanted = e->utf8 || !is_ascii(h->work.m->sender);

    for (unsigned i = 0; i < h->work.m->rcpt_count && !wanted; i++)
        wanted = !is_ascii(h->work.m->rcpts[i].rcpt->address);
    h->work.utf8 = wanted && hop_offers(h, SMTP_HELLO_SMTPUTF8);
    if (e->utf8 && e->utf8_header && !h->work.utf8)
        refuse_all(h, 550, HOP_STATUS(5, 6, 7),
            "the header needs SMTPUTF8, which the hop does not offer");
    fit_sender(h);
    fit_rcpts(h);
}

static void fit_body(struct hop *h)
{
    const struct envelope *e = h->work.m->envelope;
    bool chunks = hop_offers(h, SMTP_HELLO_CHUNKING);
    bool eight = e->text_8bit || e->utf8_header;

    h->work.chunks = chunks;
    if (e->body == SMTP_BODY_BINARYMIME) {
        h->work.body = SMTP_BODY_BINARYMIME;
        h->work.convert = !chunks || !hop_offers(h, SMTP_HELLO_BINARYMIME);
    } else if (eight) {
        h->work.body = SMTP_BODY_8BITMIME;
        h->work.convert = !hop_offers(h, SMTP_HELLO_8BITMIME);
    }
}

/* RFC 8689, 4.2.1; a report may go on without (5). */
static void fit_tls(struct hop *h)
{
    const struct envelope *e = h->work.m->envelope;
    bool good = h->conn->secure && h->tls == HOP_TLS_VERIFY;

    if (!e->require_tls || h->work.m->sender.len == 0 || hop_is_local(h))
        return;
    if (!good)
        refuse_all(h, 550, HOP_STATUS(5, 7, 10),
            "the message requires TLS with a certificate that was checked");
    else if (!hop_offers(h, SMTP_HELLO_REQUIRETLS))
        refuse_all(h, 550, HOP_STATUS(5, 7, 30), "the hop has no REQUIRETLS");
}

static int64_t by_left(const struct hop *h)
{
    int64_t left = h->work.m->envelope->by_s - h->thread->now_s;

    return left < -BY_MAX_S ? -BY_MAX_S : left > BY_MAX_S ? BY_MAX_S : left;
}

/* RFC 2852, 4.1.4. */
static void fit_by(struct hop *h)
{
    const struct envelope *e = h->work.m->envelope;
    bool offered = hop_offers(h, SMTP_HELLO_DELIVERBY);

    if (e->by_s == 0)
        return;
    h->work.by = offered;
    h->work.by_lost = !offered && e->by_notify;
    if (e->by_notify || (h->lmtp && !offered))
        return;
    if (by_left(h) <= 0)
        refuse_all(h, 554, HOP_STATUS(5, 4, 7), "the time to deliver it in is over");
    else if (!offered)
        refuse_all(h, 554, HOP_STATUS(5, 3, 3),
            "it has to be delivered in a set time, and the hop has no DELIVERBY");
    else if (by_left(h) < (int64_t)h->hello.by_min)
        refuse_all(h, 554, HOP_STATUS(5, 4, 7),
            "the time left to deliver it in is less than the hop takes on");
}

void hop_fit(struct hop *h)
{
    struct hop_work *w = &h->work;

    w->send_bytes = w->m->size - w->m->envelope->text_at;
    if (hop_offers(h, SMTP_HELLO_SIZE) && h->hello.size_max > 0 &&
        w->send_bytes > h->hello.size_max)
        refuse_all(h, 552, HOP_STATUS(5, 3, 4), "larger than the hop takes");
    fit_tls(h);
    fit_by(h);
    fit_utf8(h);
    fit_body(h);
}

/* --- MAIL ----------------------------------------------------------------- */

static void put_number(struct out *out, int64_t value)
{
    if (value < 0)
        out_byte(out, '-');
    out_u64(out, (uint64_t)(value < 0 ? -value : value));
}

/* RFC 4954, 5: only to who has our login; nobody's submission is <>. */
static void put_auth(const struct hop *h, struct out *out)
{
    const struct envelope *e = h->work.m->envelope;

    if (!h->authenticated || (e->auth.len == 0 && e->user.len))
        return;
    out_put(out, S(" AUTH="));
    out_put(out, e->auth.len ? e->auth : S("<>"));
}

static void put_dsn(const struct envelope *e, struct out *out)
{
    if (e->ret != SMTP_RET_NONE)
        out_put(out, e->ret == SMTP_RET_FULL ? S(" RET=FULL") : S(" RET=HDRS"));
    if (e->envid.len) {
        out_put(out, S(" ENVID="));
        out_put(out, e->envid);
    }
}

static void put_by(const struct hop *h, struct out *out)
{
    const struct envelope *e = h->work.m->envelope;

    out_put(out, S(" BY="));
    put_number(out, by_left(h));
    out_put(out, e->by_notify ? S(";N") : S(";R"));
    if (e->by_trace)
        out_byte(out, 'T');
}

void hop_put_mail(struct hop *h)
{
    const struct hop_work *w = &h->work;
    const struct envelope *e = w->m->envelope;
    struct out *out = &h->conn->out;

    out_put(out, S("MAIL FROM:<"));
    out_put(out, w->sender_bytes ? slice_of(w->sender, w->sender_bytes) : w->m->sender);
    out_byte(out, '>');
    if (hop_offers(h, SMTP_HELLO_SIZE)) {
        out_put(out, S(" SIZE="));
        out_u64(out, w->send_bytes);
    }
    if (w->body != SMTP_BODY_7BIT)
        out_put(out,
            w->body == SMTP_BODY_8BITMIME ? S(" BODY=8BITMIME") : S(" BODY=BINARYMIME"));
    if (w->utf8)
        out_put(out, S(" SMTPUTF8"));
    if (hop_offers(h, SMTP_HELLO_DSN))
        put_dsn(e, out);
    if (hop_offers(h, SMTP_HELLO_AUTH))
        put_auth(h, out);
    if (e->require_tls && (h->conn->secure || hop_is_local(h)) &&
        hop_offers(h, SMTP_HELLO_REQUIRETLS))
        out_put(out, S(" REQUIRETLS"));
    if (e->priority && hop_offers(h, SMTP_HELLO_PRIORITY)) {
        out_put(out, S(" MT-PRIORITY="));
        put_number(out, e->priority);
    }
    if (w->by)
        put_by(h, out);
    out_put(out, S("\r\n"));
}

/* --- RCPT ----------------------------------------------------------------- */

/* Who is not told the deadline is asked to tell of delays (RFC 2852, 4.1.4.2). */
static unsigned notify_of(const struct hop *h, const struct envelope_rcpt *rcpt)
{
    if (!h->work.by_lost || rcpt->notify & SMTP_NOTIFY_NEVER)
        return rcpt->notify;
    return (rcpt->notify ? rcpt->notify : (unsigned)SMTP_NOTIFY_FAILURE) |
        SMTP_NOTIFY_DELAY;
}

static void put_notify(struct out *out, unsigned notify)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        {SMTP_NOTIFY_NEVER, "NEVER"},
        {SMTP_NOTIFY_SUCCESS, "SUCCESS"},
        {SMTP_NOTIFY_FAILURE, "FAILURE"},
        {SMTP_NOTIFY_DELAY, "DELAY"},
    };
    const char *before = " NOTIFY=";

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (notify & words[i].bit) {
            out_str(out, before);
            out_str(out, words[i].word);
            before = ",";
        }
}

/* Octets of the UTF-8 character at the front, its number in *value; the text is known to
 * be UTF-8. */
static size_t char_of(struct slice s, uint32_t *value)
{
    unsigned char c = (unsigned char)s.at[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

    *value = n == 1 ? c : c & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        *value = *value << 6 | ((unsigned char)s.at[i] & 0x3f);
    return n;
}

static bool is_parameter(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] <= 0x20 || s.at[i] == 0x7f)
            return false;
    return slice_is_utf8(s);
}

/* Without SMTPUTF8 what is beyond ASCII is written as \x{...} (RFC 6533, 3). */
static void put_orcpt(struct out *out, struct slice orcpt, bool utf8)
{
    char hex[16];
    uint32_t value;

    if (orcpt.len == 0 || !is_parameter(orcpt))
        return;
    out_put(out, S(" ORCPT="));
    while (orcpt.len) {
        struct slice c = slice_take(&orcpt, char_of(orcpt, &value));

        if (utf8 || value < 0x80) {
            out_put(out, c);
            continue;
        }
        snprintf(hex, sizeof hex, "\\x{%X}", (unsigned)value);
        out_str(out, hex);
    }
}

void hop_put_rcpt(struct hop *h, const struct envelope_rcpt *rcpt)
{
    struct out *out = &h->conn->out;
    char at[SMTP_PATH_MAX];

    out_put(out, S("RCPT TO:<"));
    out_put(out, hop_address(h, rcpt->address, at));
    out_byte(out, '>');
    if (hop_offers(h, SMTP_HELLO_DSN)) {
        put_notify(out, notify_of(h, rcpt));
        put_orcpt(out, rcpt->orcpt, h->work.utf8);
    }
    out_put(out, S("\r\n"));
}
