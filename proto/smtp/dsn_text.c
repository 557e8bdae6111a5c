#include "proto/smtp/dsn_parts.h"

#include "proto/smtp/smtp_trace.h"

/* --- what a status means (RFC 3463 and its registry) ---------------------- */

enum { ANY = 255 }; /* detail that is not in the list */

struct meaning {
    uint8_t subject, detail;
    struct slice why, advice;
};

#define CHECK_ADDRESS  SI("Check the address for mistakes.")
#define ASK_POSTMASTER SI("Ask the recipient, or the postmaster there.")
#define TRY_LATER      SI("Send the message again later.")
#define SMALLER        SI("Send a smaller message, or a link to the file.")

static const struct meaning meanings[] = {
    {1, 1, SI("There is no such mailbox."), CHECK_ADDRESS},
    {1, 2, SI("The domain does not exist, or takes no mail."), CHECK_ADDRESS},
    {1, 3, SI("This is no valid address."), CHECK_ADDRESS},
    {1, 4, SI("More than one mailbox has this address."), CHECK_ADDRESS},
    {1, 6, SI("The mailbox has moved to an unknown address."),
        SI("Ask the recipient for the new address.")},
    {1, 7, SI("Your own address was refused as not valid."),
        SI("Check the address that your mail program sends from.")},
    {1, 8, SI("Your own address was refused: its domain is unknown there."),
        SI("Ask your postmaster.")},
    {1, 10, SI("The domain takes no mail."), CHECK_ADDRESS},
    {1, ANY, SI("The address was refused."), CHECK_ADDRESS},
    {2, 1, SI("The mailbox is closed, or takes no mail."), ASK_POSTMASTER},
    {2, 2, SI("The mailbox is full."),
        SI("Send the message again when the recipient has made room.")},
    {2, 3, SI("The message is too big for the mailbox."), SMALLER},
    {2, 4, SI("The mailing list there does not work."), ASK_POSTMASTER},
    {2, ANY, SI("The mailbox could not take the message."), ASK_POSTMASTER},
    {3, 1, SI("The server has no room for more mail."), TRY_LATER},
    {3, 4, SI("The message is too big for the server."), SMALLER},
    {3, ANY, SI("The server there has a problem."), TRY_LATER},
    {4, 1, SI("The server there did not answer."), TRY_LATER},
    {4, 2, SI("The connection to the server there broke."), TRY_LATER},
    {4, 3, SI("The name of the domain could not be looked up."), TRY_LATER},
    {4, 4, SI("No way to the domain was found."), CHECK_ADDRESS},
    {4, 6, SI("The message went round in circles."), SI("Ask your postmaster.")},
    {4, 7, SI("The message could not be delivered in time."), TRY_LATER},
    {4, ANY, SI("The server there could not be reached."), TRY_LATER},
    {5, 3, SI("The message has too many recipients."),
        SI("Send it to fewer recipients at a time.")},
    {5, ANY, SI("The servers could not agree on how to pass the message."),
        SI("Ask your postmaster.")},
    {6, 3, SI("The server there can't take what the message contains."),
        SI("Send it without attachments, signature or special characters.")},
    {6, 7, SI("The server there takes no addresses with these characters."),
        SI("Ask the recipient for an address in plain letters.")},
    {6, ANY, SI("What the message contains was refused."), ASK_POSTMASTER},
    {7, 1, SI("The server there does not want this message."), ASK_POSTMASTER},
    {7, 2, SI("You may not write to this list."), SI("Ask the owner of the list.")},
    {7, 10, SI("The connection could not be encrypted as it must be."),
        SI("Ask your postmaster.")},
    {7, 26, SI("It was not proved that the message is from your domain."),
        SI("Ask your postmaster: SPF, DKIM or DMARC failed.")},
    {7, 30,
        SI("The message must be encrypted on all its way, which is not certain here."),
        SI("Send it without asking for encryption, if you may.")},
    {7, ANY, SI("The message was refused for reasons of policy."), ASK_POSTMASTER},
};

static const struct meaning unknown = {
    0, ANY, SI("No precise reason is known."), ASK_POSTMASTER};

static const struct meaning *meaning_of(const uint8_t status[3])
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        const struct meaning *m = &meanings[i];

        if (m->subject == status[1] && (m->detail == status[2] || m->detail == ANY))
            return m;
    }
    return &unknown;
}

/* --- lists ---------------------------------------------------------------- */

struct heading {
    struct slice one, several, more;
};

/* By enum dsn_action. The number comes between "to these " and " addresses.". */
static const struct heading headings[] = {
    [DSN_FAILED] = {SI("Your message could not be delivered to this address."),
        SI("Your message could not be delivered to these "),
        SI("It will not be tried again.\r\n")},
    [DSN_DELAYED] = {SI("Your message could not be delivered yet to this address."),
        SI("Your message could not be delivered yet to these "),
        SI("It is still being tried: you need not send it again.\r\n")},
    [DSN_DELIVERED] = {SI("Your message was delivered to this address."),
        SI("Your message was delivered to these "), SI("")},
    [DSN_RELAYED] = {SI("Your message was passed on for this address."),
        SI("Your message was passed on for these "),
        SI("The next server does not tell when mail is delivered, so this may be\r\n"
           "the last you hear of it.\r\n")},
    [DSN_EXPANDED] =
        {SI("Your message was passed on to all who stand behind this address."),
            SI("Your message was passed on to all who stand behind these "), SI("")},
};

void dsn_put_heading(struct out *out, enum dsn_action action, unsigned count)
{
    const struct heading *h = &headings[action];

    out_put(out, S("\r\n"));
    if (count == 1) {
        out_put(out, h->one);
    } else {
        out_put(out, h->several);
        out_u64(out, count);
        out_put(out, S(" addresses."));
    }
    out_put(out, S("\r\n"));
    out_put(out, h->more);
}

/* The address that the sender wrote, where it is another one. */
static void put_original(struct out *out, const struct dsn_rcpt *r)
{
    char text[DSN_ORIGINAL_ROOM];
    struct slice original = dsn_original(r->orcpt, text);

    if (original.len == 0 || slice_eq_nocase(original, r->address))
        return;
    out_put(out, S("    You wrote to: "));
    dsn_put_clean(out, original, DSN_ADDRESS_MAX, true);
    out_put(out, S("\r\n"));
}

static void put_answer(struct out *out, const struct dsn_rcpt *r)
{
    if (r->code == 0 && r->text.len == 0)
        return;
    if (r->code == 0) {
        out_put(out, S("    What happened:\r\n"));
    } else if (r->remote.len) {
        out_put(out, S("    The server "));
        dsn_put_clean(out, r->remote, DSN_NAME_MAX, true);
        out_put(out, S(" said:\r\n"));
    } else {
        out_put(out, S("    The server said:\r\n"));
    }
    out_put(out, S("       "));
    if (r->code) {
        out_byte(out, ' ');
        out_u64(out, r->code);
        out_byte(out, ' ');
        dsn_put_status(out, r->status);
    }
    dsn_put_folded(out, r->text, r->code ? 17 : 7, S("\r\n       "), true);
    out_put(out, S("\r\n"));
}

static void put_time(struct out *out, struct slice words, int64_t time_s, int zone)
{
    out_put(out, words);
    smtp_put_date(out, time_s, zone);
    out_put(out, S(".\r\n"));
}

/* Why it failed, or has not succeeded yet. */
static void put_trouble(struct out *out, const struct dsn *d, const struct dsn_rcpt *r)
{
    const struct meaning *m = meaning_of(r->status);

    out_put(out, S("    "));
    out_put(out, m->why);
    out_put(out, S("\r\n"));
    put_answer(out, r);
    if (r->action == DSN_DELAYED && r->retry_until_s)
        put_time(
            out, S("    It will be tried until "), r->retry_until_s, d->zone_minutes);
    if (r->action != DSN_FAILED)
        return;
    if (r->status[0] == 4 && r->attempt_s)
        put_time(out, S("    The last attempt was on "), r->attempt_s, d->zone_minutes);
    out_put(out, S("    "));
    out_put(out, m->advice);
    out_put(out, S("\r\n"));
}

void dsn_put_rcpt_text(struct out *out, const struct dsn *d, const struct dsn_rcpt *r)
{
    out_put(out, S("\r\n  "));
    dsn_put_clean(out, r->address, DSN_ADDRESS_MAX, true);
    out_put(out, S("\r\n"));
    put_original(out, r);
    if (r->action == DSN_FAILED || r->action == DSN_DELAYED)
        put_trouble(out, d, r);
    else if (r->action == DSN_RELAYED)
        put_answer(out, r);
}

/* --- around the lists ----------------------------------------------------- */

static unsigned count_of(const struct dsn *d, enum dsn_action action)
{
    unsigned n = 0;

    for (unsigned i = 0; i < d->rcpt_count; i++)
        n += d->rcpts[i].action == action;
    return n;
}

/* One address is named where the field stays short and ASCII. */
static void put_whom(
    struct out *out, const struct dsn *d, enum dsn_action action, unsigned count)
{
    enum { NAMED_MAX = 100 };

    if (count > 1) {
        out_u64(out, count);
        out_put(out, S(" addresses"));
        return;
    }
    for (unsigned i = 0; i < d->rcpt_count; i++) {
        struct slice address = d->rcpts[i].address;

        if (d->rcpts[i].action != action)
            continue;
        if (address.len <= NAMED_MAX && (dsn_is_ascii(address) || dsn_is_utf8(d)))
            dsn_put_clean(out, address, NAMED_MAX, true);
        else
            out_put(out, S("one address"));
    }
}

void dsn_put_subject(struct out *out, const struct dsn *d)
{
    static const struct slice subjects[] = {
        [DSN_FAILED] = SI("Could not be delivered: your message to "),
        [DSN_DELAYED] = SI("Not delivered yet: your message to "),
        [DSN_DELIVERED] = SI("Delivered: your message to "),
        [DSN_RELAYED] = SI("Passed on: your message to "),
        [DSN_EXPANDED] = SI("Passed on: your message to "),
    };

    /* The gravest comes first. */
    for (unsigned action = DSN_FAILED; action <= DSN_EXPANDED; action++) {
        unsigned count = count_of(d, action);

        if (count == 0)
            continue;
        out_put(out, S("Subject: "));
        out_put(out, subjects[action]);
        put_whom(out, d, action, count);
        out_put(out, S("\r\n"));
        return;
    }
}

void dsn_put_closing(struct out *out, const struct dsn *d)
{
    out_put(out, S("\r\n"));
    put_time(out, S("Your message came here on "), d->arrived_s, d->zone_minutes);
    if (d->returned == DSN_RETURN_HEADER)
        out_put(out, S("Its header is attached.\r\n"));
    else if (d->returned == DSN_RETURN_FULL)
        out_put(out, S("It is attached.\r\n"));
    out_put(out, S("If you need help, write to "));
    dsn_put_clean(out, d->from, DSN_ADDRESS_MAX, false);
    if (d->log_id.len) {
        out_put(out, S("\r\nand quote this number: "));
        dsn_put_clean(out, d->log_id, DSN_NAME_MAX, false);
    }
    out_put(out, S("\r\n"));
}
