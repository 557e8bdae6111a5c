/* MIME: the summary of a message at delivery, and what SEARCH reads. */
#include "bench/micro/corpus.h"
#include "proto/mime/search.h"
#include "proto/mime/summary.h"

/* --- summaries ------------------------------------------------------------ */

static void *open_plain(const struct micro *m)
{
    return corpus_of_message(CORPUS_PLAIN, m->size);
}

static void *open_multipart(const struct micro *m)
{
    return corpus_of_message(CORPUS_MULTIPART, m->size);
}

static uint64_t run_summary(void *state, uint64_t passes)
{
    struct corpus *in = state;

    for (uint64_t i = 0; i < passes; i++) {
        struct summary_builder *b = summary_begin(&in->arena, &summary_defaults);
        struct slice blob;

        CHECK(b);
        summary_feed(b, in->text);
        blob = summary_end(b);
        CHECK(blob.at);
        micro_keep(blob.at);
        arena_reset(&in->arena);
    }
    return passes * in->text.len;
}

/* --- searches: the needle begins like a word of the text, and is not there - */

static const char needle_text[] = "messaging";

struct search_state {
    struct search_needle needle;
    char encoding;
};

static struct corpus *with_needle(struct corpus *in, char encoding)
{
    struct search_state *s = micro_take(sizeof *s);

    CHECK(search_prepare(&in->arena, slice_str(needle_text), slice_of(NULL, 0),
              &s->needle) == STATUS_OK);
    s->encoding = encoding;
    in->more = s;
    return in;
}

/* m->depth is the transfer encoding. */
static void *open_search(const struct micro *m)
{
    return with_needle(corpus_of_body((char)m->depth, m->size), (char)m->depth);
}

static uint64_t run_search(void *state, uint64_t passes)
{
    struct corpus *in = state;
    const struct search_state *s = in->more;

    for (uint64_t i = 0; i < passes; i++) {
        struct search_body body;

        search_body_begin(&body, &s->needle, s->encoding, S("utf-8"));
        search_body_feed(&body, in->text);
        CHECK(!search_body_end(&body));
    }
    return passes * in->text.len;
}

static void *open_search_header(const struct micro *m)
{
    struct corpus *in = corpus_of_message(CORPUS_PLAIN, m->size);

    in->text.len = corpus_header().len;
    return with_needle(in, '7');
}

static uint64_t run_search_header(void *state, uint64_t passes)
{
    struct corpus *in = state;
    const struct search_state *s = in->more;

    for (uint64_t i = 0; i < passes; i++) {
        struct search_header header;

        search_header_begin(&header, &s->needle);
        search_header_feed(&header, in->text);
        CHECK(!search_header_end(&header));
    }
    return passes * in->text.len;
}

static uint64_t reference_memmem(void *state, uint64_t passes)
{
    const struct corpus *in = state;

    for (uint64_t i = 0; i < passes; i++) {
        micro_keep(in->text.at);
        micro_keep(
            memmem(in->text.at, in->text.len, needle_text, sizeof needle_text - 1));
    }
    return passes * in->text.len;
}

#define SUMMARY(case, bytes, opens)                                                  \
    {                                                                                \
        .name = case, .against = "memchr for each LF", .size = bytes, .open = opens, \
        .run = run_summary, .reference = corpus_memchr_lines, .close = corpus_close  \
    }
#define SEARCH(case, bytes, encoding, opens, runs)                                       \
    {                                                                                    \
        .name = case, .against = "memmem, undecoded", .size = bytes, .depth = encoding,  \
        .open = opens, .run = runs, .reference = reference_memmem, .close = corpus_close \
    }

const struct micro micro_mime[] = {SUMMARY("mime-summary-2k", 2 << 10, open_plain),
    SUMMARY("mime-summary-16k", 16 << 10, open_plain),
    SUMMARY("mime-summary-parts", 128 << 10, open_multipart),
    SEARCH("search-plain", 64 << 10, '7', open_search, run_search),
    SEARCH("search-quoted", 64 << 10, 'q', open_search, run_search),
    SEARCH("search-base64", 64 << 10, 'b', open_search, run_search),
    SEARCH("search-header", 2 << 10, '7', open_search_header, run_search_header), {0}};
