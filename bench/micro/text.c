/* Lines, SMTP, POP3, and the checksum. */
#include "bench/micro/corpus.h"
#include "proto/base/dots.h"
#include "proto/base/line.h"
#include "proto/base/scan.h"
#include "proto/pop3/pop3.h"
#include "proto/smtp/smtp.h"
#include "proto/smtp/smtp_text.h"
#include "store/format.h"

enum { TEXT_BYTES = 64 << 10 };

#define COUNT(array) ((unsigned)(sizeof(array) / sizeof *(array)))

/* --- lines ---------------------------------------------------------------- */

static const char *const smtp_lines[] = {"EHLO desk.example.org",
    "MAIL FROM:<anna.schmidt@example.org> SIZE=10240 BODY=8BITMIME",
    "RCPT TO:<bob@example.net>",
    "RCPT TO:<c.o+lists@example.com> NOTIFY=FAILURE ORCPT=rfc822;c.o+2Blists@example.com",
    "DATA", "RSET", "MAIL FROM:<>", "RCPT TO:<postmaster@example.net>", "BDAT 10240 LAST",
    "NOOP", "AUTH PLAIN AGFubmEAc2VjcmV0", "QUIT"};

static const struct smtp_rules rules = {
    .offers = ~0U, .message_max = 64 << 20, .now_s = 1700000000, .hold_max_s = 86400};

static void *open_smtp(const struct micro *m)
{
    (void)m;
    return corpus_of_lines(smtp_lines, COUNT(smtp_lines), CORPUS_BYTES);
}

static uint64_t run_line_cut(void *state, uint64_t passes)
{
    const struct corpus *in = state;
    const struct line_limits limits = {4096, SMTP_DISCARD_MAX};

    for (uint64_t i = 0; i < passes; i++) {
        struct line_cutter cutter = {0};
        struct slice rest = in->text, line;

        while (rest.len) {
            CHECK(line_cut(&cutter, &rest, limits, &line) == LINE_DONE);
            micro_keep(line.at);
        }
    }
    return passes * in->text.len;
}

static uint64_t run_smtp_command(void *state, uint64_t passes)
{
    const struct corpus *in = state;
    struct smtp_cmd cmd;

    for (uint64_t i = 0; i < passes; i++)
        for (unsigned l = 0; l < in->line_count; l++) {
            CHECK(smtp_parse(in->lines[l], &rules, &cmd) == SMTP_REPLY_NONE);
            micro_keep(&cmd);
        }
    return passes * in->text.len;
}

/* --- message text --------------------------------------------------------- */

static void *open_text(const struct micro *m)
{
    return corpus_of_body('7', m->size);
}

/* What DATA brings: the text, then the end of it. */
static void *open_data(const struct micro *m)
{
    struct corpus *in = corpus_of_body('7', m->size);
    char *at = (char *)in->text.at + in->text.len; /* corpus.c leaves room */

    memcpy(at, ".\r\n", 3);
    in->text.len += 3;
    return in;
}

static uint64_t run_smtp_text(void *state, uint64_t passes)
{
    const struct corpus *in = state;

    for (uint64_t i = 0; i < passes; i++) {
        struct smtp_text text = {0};
        struct slice rest = in->text, run;

        while (smtp_text_next(&text, &rest, &run) == SMTP_TEXT_RUN)
            micro_keep(run.at);
        CHECK(text.at == SMTP_TEXT_ENDED && text.flaws == 0);
    }
    return passes * in->text.len;
}

static void *open_header(const struct micro *m)
{
    return corpus_of_message(CORPUS_PLAIN, m->size);
}

static uint64_t run_header_watch(void *state, uint64_t passes)
{
    const struct corpus *in = state;
    size_t header = 0;

    for (uint64_t i = 0; i < passes; i++) {
        struct smtp_header_watch watch = {0};

        header = smtp_header_watch(&watch, in->text);
        CHECK(watch.ended && watch.received == 2);
        micro_keep(&watch);
    }
    return passes * header;
}

/* --- POP3 ----------------------------------------------------------------- */

static const char *const pop3_lines[] = {"STAT", "LIST", "UIDL", "RETR 17", "DELE 17",
    "TOP 123 0", "LIST 4711", "NOOP", "RSET", "QUIT"};

static void *open_pop3(const struct micro *m)
{
    (void)m;
    return corpus_of_lines(pop3_lines, COUNT(pop3_lines), CORPUS_BYTES);
}

static uint64_t run_pop3_command(void *state, uint64_t passes)
{
    const struct corpus *in = state;
    struct pop3_cmd cmd;

    for (uint64_t i = 0; i < passes; i++)
        for (unsigned l = 0; l < in->line_count; l++) {
            CHECK(pop3_parse(in->lines[l], POP3_MAIL, &cmd) == POP3_REPLY_NONE);
            micro_keep(&cmd);
        }
    return passes * in->text.len;
}

static uint64_t run_pop3_dots(void *state, uint64_t passes)
{
    const struct corpus *in = state;

    for (uint64_t i = 0; i < passes; i++) {
        struct dots dots = {0};
        struct slice rest = in->text;

        while (rest.len)
            micro_keep(dots_next(&dots, &rest).at);
        micro_keep(dots_end(&dots).at);
    }
    return passes * in->text.len;
}

/* --- checksum ------------------------------------------------------------- */

static uint64_t run_crc32c(void *state, uint64_t passes)
{
    const struct corpus *in = state;
    uint32_t sum = 0;

    for (uint64_t i = 0; i < passes; i++) {
        sum = crc32c(sum, in->text.at, in->text.len);
        micro_keep(&sum);
    }
    return passes * in->text.len;
}

#define TEXT(case, what, bytes, opens, runs, references)                          \
    {                                                                             \
        .name = case, .against = what, .size = bytes, .open = opens, .run = runs, \
        .reference = references, .close = corpus_close                            \
    }

const struct micro micro_text[] = {TEXT("line-cut", "memchr for each LF", 0, open_smtp,
                                       run_line_cut, corpus_memchr_lines),
    TEXT("smtp-command", "memchr for each LF", 0, open_smtp, run_smtp_command,
        corpus_memchr_lines),
    TEXT(
        "smtp-text", "memchr, once", TEXT_BYTES, open_data, run_smtp_text, corpus_memchr),
    TEXT("smtp-header-watch", "memchr for each LF", 2048, open_header, run_header_watch,
        corpus_memchr_lines),
    TEXT("pop3-command", "memchr for each LF", 0, open_pop3, run_pop3_command,
        corpus_memchr_lines),
    TEXT(
        "pop3-dots", "memchr, once", TEXT_BYTES, open_text, run_pop3_dots, corpus_memchr),
    TEXT("crc32c-1k", "memchr, once", 1 << 10, open_text, run_crc32c, corpus_memchr),
    TEXT("crc32c-64k", "memchr, once", 64 << 10, open_text, run_crc32c, corpus_memchr),
    {0}};
