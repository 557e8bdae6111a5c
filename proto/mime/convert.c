#include "proto/mime/convert_plan.h"

#include "proto/base/check.h"

static const struct convert_edit *next_on(const struct convert_edit *e)
{
    while (e && !convert_edit_is_on(e))
        e = e->next;
    return e;
}

void convert_begin(struct converter *c, const struct convert_plan *plan)
{
    CHECK(plan->verdict == CONVERT_REWRITE || plan->verdict == CONVERT_AS_IS);
    *c = (struct converter){.edit = next_on(plan->edits)};
}

/* The run of octets that no edit concerns. */
static bool copy(struct converter *c, struct slice *in, char *at, size_t *n, size_t room)
{
    size_t most = room - *n;

    if (most > in->len)
        most = in->len;
    if (c->edit && most > c->edit->at - c->at)
        most = (size_t)(c->edit->at - c->at);
    if (most == 0)
        return false;
    memcpy(at + *n, slice_take(in, most).at, most);
    *n += most;
    c->at += most;
    return true;
}

static void edit_begin(struct converter *c)
{
    c->inside = true;
    c->left = c->edit->text;
    if (c->edit->encoding) {
        encoder_begin(&c->encoder, c->edit->encoding);
        transfer_begin(&c->decoder, c->edit->decoding);
    }
}

static void edit_end(struct converter *c)
{
    c->inside = false;
    c->edit = next_on(c->edit->next);
}

/* Octets of the source that the edit still wants, of those that are there. */
static size_t wanted(const struct converter *c, struct slice in)
{
    uint64_t most = c->edit->at + c->edit->len - c->at;

    return most < in.len ? (size_t)most : in.len;
}

static bool is_over(const struct converter *c)
{
    return c->at == c->edit->at + c->edit->len;
}

static bool replace(struct converter *c, struct slice *in, char *at, size_t *n)
{
    size_t dropped = wanted(c, *in);

    if (c->left.len)
        memcpy(at + *n, c->left.at, c->left.len);
    *n += c->left.len;
    c->left.len = 0;
    slice_take(in, dropped);
    c->at += dropped;
    if (is_over(c)) {
        edit_end(c);
        return true;
    }
    return dropped > 0;
}

/* The part is over: what the decoder and the encoder hold. */
static void finish(struct converter *c, char *at, size_t *n, size_t room)
{
    c->left = slice_of(c->mid, transfer_end(&c->decoder, c->mid));
    *n += encoder_run(&c->encoder, &c->left, at + *n, room - *n);
    CHECK(c->left.len == 0 && room - *n >= ENCODE_ROOM_MIN + 2);
    *n += encoder_end(&c->encoder, at + *n);
    if (c->edit->line_end) {
        memcpy(at + *n, "\r\n", 2);
        *n += 2;
    }
    edit_end(c);
}

static bool encode(
    struct converter *c, struct slice *in, char *at, size_t *n, size_t room)
{
    struct slice piece;

    if (c->left.len) {
        *n += encoder_run(&c->encoder, &c->left, at + *n, room - *n);
        return true;
    }
    if (is_over(c)) {
        finish(c, at, n, room);
        return true;
    }
    piece = slice_of(in->at, wanted(c, *in));
    if (piece.len == 0)
        return false;
    if (c->edit->decoding == '7')
        *n += encoder_run(&c->encoder, &piece, at + *n, room - *n);
    else
        c->left =
            slice_of(c->mid, transfer_decode(&c->decoder, &piece, c->mid, sizeof c->mid));
    c->at += (uint64_t)(piece.at - in->at);
    slice_take(in, (size_t)(piece.at - in->at));
    return true;
}

/* One thing after the other; false when there is nothing to go on with. */
static bool step(struct converter *c, struct slice *in, char *at, size_t *n, size_t room)
{
    if (!c->inside && c->edit && c->at == c->edit->at)
        edit_begin(c);
    if (!c->inside)
        return copy(c, in, at, n, room);
    if (c->edit->encoding)
        return encode(c, in, at, n, room);
    return replace(c, in, at, n);
}

size_t convert_run(struct converter *c, struct slice *in, char *at, size_t room)
{
    size_t n = 0;

    CHECK(room >= CONVERT_ROOM_MIN);
    while (room - n >= CONVERT_ROOM_MIN && step(c, in, at, &n, room))
        continue;
    return n;
}

size_t convert_end(struct converter *c, char *at)
{
    struct slice nothing = slice_of("", 0);
    size_t n = 0;

    while (step(c, &nothing, at, &n, CONVERT_ROOM_MIN))
        continue;
    return n;
}
