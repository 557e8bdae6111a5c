/* IMAP: commands in, responses out. */
#include "proto/imap/imap.h"

#include "bench/micro/corpus.h"
#include "proto/base/check.h"
#include "proto/imap/imap_write.h"
#include "proto/mime/summary.h"

enum { MESSAGES = 1000 };

static const char *const lines[] = {"a1 NOOP", "a2 SELECT INBOX",
    "a3 FETCH 1:* (UID FLAGS)",
    "a4 UID FETCH 100:200 (UID FLAGS BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT)])",
    "a4 UID FETCH 1:* (UID RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE)",
    "a5 UID STORE 17 +FLAGS.SILENT (\\Seen)",
    "a6 UID SEARCH UNSEEN SINCE 1-Jan-2024 FROM \"anna\"",
    "a7 STATUS \"Archive/2024\" (MESSAGES UIDNEXT UNSEEN)", "a8 LIST \"\" \"*\"",
    "a9 UID COPY 1,5,9:20 Archive", "a10 FETCH 7 BODY[]", "a11 IDLE",
    "a12 UID FETCH 4711 (BODY.PEEK[])"};

static void *open_commands(const struct micro *m)
{
    (void)m;
    return corpus_of_lines(lines, sizeof lines / sizeof *lines, CORPUS_BYTES);
}

static uint64_t run_commands(void *state, uint64_t passes)
{
    struct corpus *in = state;
    struct imap_limits limits = imap_limits_of(true, 64 << 20);
    struct imap_cmd cmd;

    for (uint64_t i = 0; i < passes; i++) {
        struct imap_collect collect = {0};
        struct slice rest = in->text;

        while (rest.len) {
            CHECK(imap_collect(&collect, rest, &limits) == IMAP_COLLECT_COMMAND);
            CHECK(imap_parse(slice_take(&rest, collect.bytes), IMAP_STATE_SELECTED,
                      &imap_parse_defaults, &in->arena, &cmd) == IMAP_ERROR_NONE);
            micro_keep(&cmd);
            arena_reset(&in->arena);
        }
    }
    return passes * in->text.len;
}

/* --- responses: `text` is what is written, so that memcpy() writes as much - */

static void put_flags(struct out *out)
{
    static const struct slice keywords[] = {SI("$Forwarded"), SI("Project")};

    for (uint32_t seq = 1; seq <= MESSAGES; seq++) {
        imap_put_fetch_head(out, seq);
        out_put(out, S("UID "));
        out_u64(out, 100000 + seq);
        out_put(out, S(" FLAGS ("));
        imap_put_flags(out,
            seq % 8 ? IMAP_FLAG_SEEN : IMAP_FLAG_SEEN | IMAP_FLAG_ANSWERED, keywords,
            seq % 16 ? 0 : 2, true);
        out_put(out, S("))\r\n"));
    }
}

static void *open_flags(const struct micro *m)
{
    struct corpus *in = micro_take(sizeof *in);
    struct out out = out_of(micro_take(MESSAGES * 128), MESSAGES * 128);

    (void)m;
    put_flags(&out);
    CHECK(!out.full);
    in->text = out_slice(&out);
    in->copy = micro_take(out.cap);
    return in;
}

static uint64_t run_flags(void *state, uint64_t passes)
{
    struct corpus *in = state;

    for (uint64_t i = 0; i < passes; i++) {
        struct out out = out_of(in->copy, in->text.len);

        put_flags(&out);
        CHECK(!out.full);
        micro_keep(out.at);
    }
    return passes * in->text.len;
}

/* From the stored summary of a message to its line. */
static void put_envelopes(struct out *out, struct slice blob)
{
    static const struct imap_item item = {.kind = IMAP_ITEM_ENVELOPE};

    for (uint32_t seq = 1; seq <= MESSAGES; seq++) {
        struct summary summary;

        CHECK(summary_open(blob, &summary));
        imap_put_fetch_head(out, seq);
        imap_put_item_name(out, &item);
        out_byte(out, ' ');
        out_put(out, summary.envelope);
        out_put(out, S(")\r\n"));
    }
}

static struct slice summary_of(struct corpus *message, struct arena *arena)
{
    struct summary_builder *b = summary_begin(&message->arena, &summary_defaults);
    struct slice blob;

    CHECK(b);
    summary_feed(b, message->text);
    blob = arena_copy(arena, summary_end(b));
    CHECK(blob.at);
    return blob;
}

static void *open_envelopes(const struct micro *m)
{
    struct corpus *message = corpus_of_message(CORPUS_PLAIN, 4096);
    struct corpus *in = micro_take(sizeof *in);
    struct out out = out_of(micro_take(MESSAGES * 1024), MESSAGES * 1024);
    struct slice *blob = micro_take(sizeof *blob);

    (void)m;
    in->arena = arena_of(1 << 20);
    *blob = summary_of(message, &in->arena);
    in->more = blob;
    put_envelopes(&out, *blob);
    CHECK(!out.full);
    in->text = out_slice(&out);
    in->copy = micro_take(out.cap);
    corpus_close(message);
    return in;
}

static uint64_t run_envelopes(void *state, uint64_t passes)
{
    struct corpus *in = state;

    for (uint64_t i = 0; i < passes; i++) {
        struct out out = out_of(in->copy, in->text.len);

        put_envelopes(&out, *(struct slice *)in->more);
        CHECK(!out.full);
        micro_keep(out.at);
    }
    return passes * in->text.len;
}

const struct micro micro_imap[] = {{.name = "imap-command",
                                       .against = "memchr for each LF",
                                       .open = open_commands,
                                       .run = run_commands,
                                       .reference = corpus_memchr_lines,
                                       .close = corpus_close},
    {.name = "imap-put-flags",
        .against = "memcpy",
        .open = open_flags,
        .run = run_flags,
        .reference = corpus_memcpy,
        .close = corpus_close},
    {.name = "imap-put-envelope",
        .against = "memcpy",
        .open = open_envelopes,
        .run = run_envelopes,
        .reference = corpus_memcpy,
        .close = corpus_close},
    {0}};
