/* A client's octets through lines, commands and text, in one piece and in many: both
 * must give the same commands, replies and text. */
#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/check.h"
#include "proto/sasl/sasl.h"
#include "proto/smtp/smtp.h"
#include "proto/smtp/smtp_text.h"
#include "proto/smtp/smtp_trace.h"
#include "proto/smtp/smtp_xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum mode { MODE_LINES, MODE_TEXT, MODE_CHUNK, MODE_CLOSED };

/* What a session would keep, and a digest of all that has come out. */
struct client {
    enum mode mode;
    struct line_cutter cutter;
    struct smtp_rules rules;
    struct smtp_text text;
    struct smtp_header_watch header;
    uint64_t chunk_left;
    uint64_t digest;
};

static void note(struct client *c, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        c->digest = (c->digest ^ (unsigned char)bytes.at[i]) * 0x100000001b3U;
}

static void note_number(struct client *c, uint64_t n)
{
    note(c, slice_of((const char *)&n, sizeof n));
}

static void try_sasl(const struct smtp_cmd *cmd)
{
    enum sasl_mechanism mechanism = sasl_mechanism_of(cmd->arg);
    char buffer[SASL_BUFFER_MIN];
    struct sasl s;

    if (mechanism == SASL_NONE)
        return;
    sasl_start(&s, mechanism, buffer, sizeof buffer);
    if (sasl_initial(&s, cmd->initial, cmd->has_initial) == SASL_DONE)
        CHECK(s.user.len > 0 && s.user.len <= SASL_NAME_MAX && slice_is_utf8(s.user));
    sasl_wipe(&s);
}

/* The looked-up form of an address is an address, whose form it is. */
static void try_address(struct client *c, const struct smtp_path *path)
{
    struct arena arena = arena_of(1 << 16);
    struct smtp_addr addr, again;
    struct smtp_path back;

    if (smtp_addr_of(path, S("home.test"), '+', &arena, &addr)) {
        note(c, addr.full);
        note(c, addr.base);
        CHECK(smtp_mailbox(addr.full, path->utf8, &back));
        CHECK(smtp_addr_of(&back, S("home.test"), '+', &arena, &again));
        CHECK(slice_eq(addr.full, again.full) && slice_eq(addr.base, again.base));
    }
    arena_reset(&arena);
}

static void try_trace(const struct smtp_cmd *cmd)
{
    struct smtp_trace trace = {.helo = cmd->arg, .rcpt = cmd->path.text, .esmtp = true};
    char room[2048];
    struct out out = out_of(room, sizeof room);

    smtp_put_return_path(&out, &cmd->path);
    smtp_put_received(&out, &trace);
    CHECK(!out.full && scan_flaws(out_slice(&out), 0) == 0);
}

/* What is decoded fits, and is fit for a line of text. */
static void try_xclient(struct client *c, const struct smtp_cmd *cmd)
{
    char *room = malloc(cmd->arg.len + 1);
    struct out out = out_of(room, cmd->arg.len);
    struct smtp_xclient x;

    CHECK(room != NULL);
    if (smtp_xclient_parse(cmd->arg, &out, &x))
        for (unsigned i = 0; i < SMTP_XCLIENT_COUNT; i++) {
            CHECK(!x.value[i].len || x.given[i]);
            CHECK(scan_flaws(x.value[i], 0) == 0 && x.value[i].len <= SMTP_PATH_MAX);
            note(c, x.value[i]);
        }
    free(room);
}

static void try_times(struct client *c, const struct smtp_cmd *cmd)
{
    CHECK(cmd->priority >= -9 && cmd->priority <= 9);
    CHECK(!cmd->hold_until_s ||
        (cmd->hold_until_s > c->rules.now_s &&
            cmd->hold_until_s <= c->rules.now_s + c->rules.hold_max_s));
    CHECK(!cmd->by_s || cmd->by_s >= cmd->hold_until_s);
    note_number(c, (uint64_t)cmd->hold_until_s);
    note_number(c, (uint64_t)cmd->by_s);
}

static void on_command(struct client *c, struct slice line)
{
    struct smtp_cmd cmd;
    enum smtp_reply reply = smtp_parse(line, &c->rules, &cmd);

    note_number(c, reply);
    note_number(c, cmd.verb);
    if (reply && smtp_reply_closes(reply)) {
        c->mode = MODE_CLOSED;
        return;
    }
    if (reply && cmd.verb != SMTP_VERB_BDAT)
        return;
    note(c, cmd.arg);
    note(c, cmd.path.text);
    note_number(c, cmd.size);
    if (cmd.verb == SMTP_VERB_MAIL || cmd.verb == SMTP_VERB_RCPT)
        try_address(c, &cmd.path);
    if (cmd.verb == SMTP_VERB_MAIL || cmd.verb == SMTP_VERB_RCPT ||
        cmd.verb == SMTP_VERB_EHLO)
        try_trace(&cmd);
    if (cmd.verb == SMTP_VERB_MAIL) {
        c->rules.utf8 = cmd.utf8;
        try_times(c, &cmd);
    }
    if (cmd.verb == SMTP_VERB_XCLIENT)
        try_xclient(c, &cmd);
    if (cmd.verb == SMTP_VERB_AUTH)
        try_sasl(&cmd);
    if (cmd.verb == SMTP_VERB_DATA) {
        c->mode = MODE_TEXT;
        c->text = (struct smtp_text){0};
        c->header = (struct smtp_header_watch){0};
    }
    if (cmd.verb == SMTP_VERB_BDAT) {
        c->mode = MODE_CHUNK;
        c->chunk_left = cmd.size;
        c->text = (struct smtp_text){0};
    }
}

static bool step_lines(struct client *c, struct slice *in)
{
    struct slice line;
    enum line_cut cut =
        line_cut(&c->cutter, in, smtp_line_limits(*in, false, &smtp_defaults), &line);

    if (cut == LINE_MORE)
        return false;
    note_number(c, cut);
    if (cut == LINE_FLOOD)
        c->mode = MODE_CLOSED;
    if (cut == LINE_DONE)
        on_command(c, line);
    return true;
}

static bool step_text(struct client *c, struct slice *in)
{
    struct slice run;

    switch (smtp_text_next(&c->text, in, &run)) {
    case SMTP_TEXT_MORE:
        return false;
    case SMTP_TEXT_RUN:
        note(c, run);
        smtp_header_watch(&c->header, run);
        return true;
    case SMTP_TEXT_END:
        note_number(c, c->text.flaws);
        note_number(c, c->header.received);
        note_number(c, smtp_header_tls_optional(&c->header));
        c->mode = MODE_LINES;
        return true;
    }
    return false;
}

static bool step_chunk(struct client *c, struct slice *in)
{
    size_t n = c->chunk_left < in->len ? (size_t)c->chunk_left : in->len;

    smtp_text_chunk(&c->text, slice_take(in, n));
    c->chunk_left -= n;
    if (c->chunk_left)
        return false;
    smtp_text_chunk_end(&c->text);
    note_number(c, c->text.flaws);
    c->mode = MODE_LINES;
    return true;
}

static bool step(struct client *c, struct slice *in)
{
    switch (c->mode) {
    case MODE_LINES:
        return step_lines(c, in);
    case MODE_TEXT:
        return step_text(c, in);
    case MODE_CHUNK:
        return step_chunk(c, in);
    case MODE_CLOSED:
        break;
    }
    return false;
}

/* Every window is memory of its own, so that a look beyond it is seen. */
static uint64_t run_in_pieces(struct slice all, size_t piece)
{
    struct client c = {.rules = {.offers = (SMTP_OFFER_AUTH << 1) - 1,
                           .message_max = 1 << 20,
                           .now_s = 1772445600,
                           .hold_max_s = 86400}};
    struct slice window = {all.at, 0};

    while (all.len && c.mode != MODE_CLOSED) {
        size_t n = piece < all.len ? piece : all.len;
        char *copy;
        struct slice in;

        slice_take(&all, n);
        window.len += n;
        copy = malloc(window.len);
        CHECK(copy);
        memcpy(copy, window.at, window.len);
        in = slice_of(copy, window.len);
        while (step(&c, &in))
            ;
        slice_take(&window, window.len - in.len);
        free(copy);
    }
    note_number(&c, c.mode);
    return c.digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of((const char *)data, size);
    size_t piece;

    if (size == 0)
        return 0;
    piece = 1 + (unsigned char)slice_take(&all, 1).at[0] % 100U;
    CHECK(run_in_pieces(all, size) == run_in_pieces(all, piece));
    return 0;
}
