#include "proto/mime/convert_plan.h"

#include "proto/base/check.h"
#include "proto/base/scan.h"
#include "proto/mime/lex.h"
#include "proto/mime/params.h"

/* An edit that has to be made, or the text doesn't fit. */
static void want(struct convert_scan *s, struct convert_edit *e)
{
    if (convert_part(s)->inside_signed)
        convert_refuse(s, CONVERT_SIGNED);
    if (!e)
        return;
    e->on = true;
    s->wanted = true;
}

/* --- fields --------------------------------------------------------------- */

void convert_field_begin(struct convert_scan *s, struct slice name)
{
    struct convert_part *p = convert_part(s);

    s->field = CONVERT_FIELD_NONE;
    if (slice_eq_nocase(name, S("MIME-Version")) && p->message)
        p->versioned = true;
    else if (slice_eq_nocase(name, S("Content-Type")))
        s->field = CONVERT_FIELD_TYPE;
    else if (slice_eq_nocase(name, S("Content-Transfer-Encoding")))
        s->field = CONVERT_FIELD_LABEL;
    if (s->field == CONVERT_FIELD_NONE)
        return;
    text_reset(&s->value);
    if (s->field != CONVERT_FIELD_LABEL)
        return;
    s->field_edit = convert_add(s, s->count);
    if (!p->label_edit)
        p->label_edit = s->field_edit;
    else if (s->field_edit)
        s->field_edit->with = p->label_edit; /* one field is left */
}

/* 0: none that is known. */
static char label_of(struct slice token)
{
    static const struct {
        struct slice token;
        char label;
    } labels[] = {
        {SI("7bit"), '7'},
        {SI("8bit"), '8'},
        {SI("binary"), 'B'},
        {SI("quoted-printable"), 'q'},
        {SI("base64"), 'b'},
    };

    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        if (slice_eq_nocase(token, labels[i].token))
            return labels[i].label;
    return '?';
}

/* RFC 2045, 6.1: one token; anything else is taken for no such field. */
static void take_label(struct convert_part *p, struct slice raw)
{
    struct lexer lex = lex_of(raw);
    struct slice token;

    lex_blanks(&lex);
    token = lex_token(&lex);
    lex_blanks(&lex);
    if (p->labelled || token.len == 0 || !lex_ended(&lex))
        return;
    p->labelled = true;
    p->label = label_of(token);
}

static void keep_type(struct convert_part *p, struct slice type, struct slice subtype)
{
    bool message = slice_eq_nocase(type, S("message"));

    p->typed = true;
    p->kind = CONVERT_LEAF;
    p->text = message || slice_eq_nocase(type, S("text"));
    /* RFC 2046, 5.2.2 and 5.2.3: always 7bit. message/global may be encoded like any
     * leaf (RFC 6532, 3.7), and its header needs that. */
    p->fixed = message &&
        (slice_eq_nocase(subtype, S("partial")) ||
            slice_eq_nocase(subtype, S("external-body")));
    if (message && slice_eq_nocase(subtype, S("rfc822")))
        p->kind = CONVERT_MESSAGE;
    if (slice_eq_nocase(type, S("multipart"))) {
        p->kind = CONVERT_MULTIPART;
        p->digest = slice_eq_nocase(subtype, S("digest"));
        p->is_signed = slice_eq_nocase(subtype, S("signed"));
    }
}

/* RFC 2045, 5.1 and 5.2, read as the summary reads it: what is no type "/" subtype is
 * taken for no Content-Type. */
static void take_type(struct convert_scan *s, struct convert_part *p, struct slice raw)
{
    struct lexer lex = lex_of(raw);
    struct slice type, subtype, boundary;
    struct params params;
    struct out joined;
    bool junk;

    lex_blanks(&lex);
    type = lex_token(&lex);
    lex_blanks(&lex);
    if (p->typed || !lex_skip(&lex, '/'))
        return;
    lex_blanks(&lex);
    subtype = lex_token(&lex);
    lex_blanks(&lex);
    if (type.len == 0 || subtype.len == 0)
        return;
    if (!text_reserve(&s->space, 4 * (raw.len + 16))) {
        convert_refuse(s, CONVERT_LIMIT);
        return;
    }
    junk = !lex_ended(&lex) && !lex_is(&lex, ';');
    joined = out_of(s->space.base + raw.len + 16, 3 * (raw.len + 16));
    params_read(&params, &lex, CONVERT_PIECES_MAX, s->space.base, raw.len);
    boundary = params_value(&params, S("boundary"), &joined);
    if (junk && !boundary.at && slice_eq_nocase(type, S("multipart")))
        return;
    keep_type(p, type, subtype);
    if (boundary.len > BOUNDARY_MAX)
        boundary.len = BOUNDARY_MAX;
    if (boundary.len)
        memcpy(p->boundary, boundary.at, boundary.len);
    p->boundary_len = (uint8_t)boundary.len;
}

void convert_field_end(struct convert_scan *s)
{
    struct slice raw = text_slice(&s->value);

    if (s->field != CONVERT_FIELD_NONE && s->value.no_memory)
        convert_refuse(s, CONVERT_LIMIT);
    if (convert_refused(s) || s->field == CONVERT_FIELD_NONE)
        return;
    if (s->field == CONVERT_FIELD_TYPE) {
        take_type(s, convert_part(s), raw);
    } else {
        s->field_edit->len = s->count - s->field_edit->at;
        take_label(convert_part(s), raw);
    }
    s->field = CONVERT_FIELD_NONE;
}

/* --- folding -------------------------------------------------------------- */

/* The line is too long: it goes on in another one from the blank. A label has no
 * business being so long. */
static void fold_line(struct convert_scan *s)
{
    struct convert_fold *f = &s->fold;
    struct convert_edit *e;

    if (!f->known || s->field == CONVERT_FIELD_LABEL) {
        convert_refuse(s, CONVERT_FORM);
        return;
    }
    e = convert_add(s, f->at);
    if (e)
        e->text = S("\r\n");
    want(s, e);
    f->known = false;
}

/* A blank is good for folding when words stand before and behind it in its line, so that
 * no line is blank, and the name of the field is over. */
static void fold_octet(struct convert_scan *s, char c, uint64_t at)
{
    struct convert_fold *f = &s->fold;
    bool blank = c == ' ' || c == '\t';

    if (c == '\n') {
        *f = (struct convert_fold){.colon = f->colon};
        return;
    }
    if (f->octets == 0 && !blank)
        f->colon = false;
    if (!blank && c != '\r') {
        if (f->after_blank && f->word && f->colon) {
            f->at = f->blank;
            f->known = true;
        }
        f->word = true;
        f->colon |= c == ':';
    }
    f->after_blank = blank;
    if (blank)
        f->blank = at;
    if (c == '\r' || ++f->octets <= CONVERT_LINE_MAX)
        return;
    fold_line(s);
    f->octets = (uint32_t)(at - f->at) + 1;
}

void convert_fold_octets(struct convert_scan *s, struct slice octets)
{
    for (size_t i = 0; i < octets.len && !convert_refused(s); i++)
        fold_octet(s, octets.at[i], s->count + i);
}

/* --- parts ---------------------------------------------------------------- */

/* What may stand in the header of something that fits. */
static struct slice label_field(enum convert_target target)
{
    return target == CONVERT_TO_7BIT ? S("Content-Transfer-Encoding: 7bit\r\n")
                                     : S("Content-Transfer-Encoding: 8bit\r\n");
}

/* Lowers a label above the target; only of interest when something has to be converted,
 * and never where it is signed. */
static void lower_label(const struct convert_scan *s, struct convert_part *p)
{
    bool above =
        p->label == 'B' || (p->label == '8' && s->plan.target == CONVERT_TO_7BIT);

    if (!above || p->inside_signed || !p->label_edit)
        return;
    p->label_edit->text = label_field(s->plan.target);
    p->label_edit->on = true;
}

/* Places where fields can be added, before the empty line. */
static void add_field_edits(
    struct convert_scan *s, struct convert_part *p, unsigned empty_line)
{
    if (p->message && !p->versioned)
        p->version_edit = convert_add(s, s->count - empty_line);
    if (p->version_edit)
        p->version_edit->text = S("MIME-Version: 1.0\r\n");
    if (!p->label_edit)
        p->label_edit = convert_add(s, s->count - empty_line);
}

static void settle_kind(struct convert_part *p)
{
    bool encoded = p->label == 'q' || p->label == 'b';

    if (p->kind == CONVERT_MULTIPART && p->boundary_len == 0) {
        p->fixed = true;
        p->kind = CONVERT_LEAF;
    }
    if (p->too_deep || (p->kind == CONVERT_MESSAGE && encoded))
        p->kind = CONVERT_LEAF;
}

void convert_header_done(struct convert_scan *s, unsigned empty_line)
{
    struct convert_part *p = convert_part(s);
    unsigned flaws = convert_take_flaws(s);

    if (flaws & (SCAN_BARE | SCAN_NUL))
        convert_refuse(s, CONVERT_FORM);
    if (flaws & CONVERT_HIGH)
        convert_refuse(s, CONVERT_HEADER);
    s->fold = (struct convert_fold){0};
    p->body_at = s->count;
    settle_kind(p);
    if (empty_line)
        add_field_edits(s, p, empty_line);
    if (p->kind == CONVERT_LEAF)
        p->body_edit = convert_add(s, s->count);
    else
        lower_label(s, p);
}

/* The messages around a part that is converted say that they are MIME (RFC 2045, 4). */
static void want_versions(struct convert_scan *s)
{
    for (unsigned i = 0; i <= s->depth; i++)
        if (s->parts[i].version_edit)
            s->parts[i].version_edit->on = true;
}

/* The leaf holds what the target can't take. */
static void convert_leaf(struct convert_scan *s, struct convert_part *p, bool whole)
{
    bool encoded = p->label == 'q' || p->label == 'b';

    if (p->too_deep)
        convert_refuse(s, CONVERT_LIMIT);
    if (p->fixed || p->label == '?' || !p->label_edit)
        convert_refuse(s, CONVERT_FORM);
    want(s, p->body_edit);
    if (convert_refused(s))
        return;
    want_versions(s);
    p->body_edit->decoding = encoded ? p->label : '7';
    p->body_edit->encoding = encoded ? p->label : p->text ? 'q' : 'b';
    p->body_edit->line_end = whole && p->body_edit->encoding == 'b';
    if (encoded)
        return;
    p->label_edit->on = true;
    p->label_edit->text = p->text ? S("Content-Transfer-Encoding: quoted-printable\r\n")
                                  : S("Content-Transfer-Encoding: base64\r\n");
}

/* Octets of no part: nobody is shown them, and no encoding would be undone. */
static void drop(struct convert_scan *s, uint64_t at, uint64_t end)
{
    struct convert_edit *e = convert_add(s, at);

    if (e)
        e->len = end - at;
    want(s, e);
}

void convert_preamble_done(struct convert_scan *s)
{
    if (convert_take_flaws(s))
        drop(s, convert_part(s)->body_at, s->count);
}

static void multipart_done(struct convert_scan *s, struct convert_part *p, uint64_t end)
{
    if (convert_take_flaws(s) == 0)
        return;
    if (p->epilogue_at == 0)
        convert_refuse(s, CONVERT_FORM); /* all of it is preamble */
    else if (end > p->epilogue_at)
        drop(s, p->epilogue_at, end);
}

void convert_part_done(struct convert_scan *s, uint64_t end, bool whole)
{
    struct convert_part *p = convert_part(s);
    unsigned flaws;

    if (convert_refused(s) || p->kind == CONVERT_MESSAGE)
        return;
    if (p->kind == CONVERT_MULTIPART) {
        multipart_done(s, p, end);
        return;
    }
    flaws = convert_take_flaws(s);
    if (end > p->body_at)
        p->body_edit->len = end - p->body_at;
    if (flaws && p->body_edit->len)
        convert_leaf(s, p, whole);
    else
        lower_label(s, p);
}
