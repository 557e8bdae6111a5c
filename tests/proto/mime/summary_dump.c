/* summary_dump -- what the summary says of messages, for corpus_summary.py.
 *
 * Each line of standard input is a file name and section names, with tabs between.
 * For each comes: the size, three renderings as "bytes\n" and octets, then for each
 * section a line with its offset, its length and the length of its decoded octets,
 * which follow; or "-" where there is none.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/mime/decode.h"
#include "proto/mime/summary.h"

enum { ARENA_MAX = 32 << 20, PATH_PARTS_MAX = 200 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* The file with bare LFs made CRLF. */
static struct slice read_message(const char *name)
{
    FILE *f = fopen(name, "rb");
    char *at;
    size_t len = 0, cap = 1 << 16;
    int c, before = 0;

    if (!f)
        fail(name);
    at = malloc(cap);
    while ((c = getc(f)) != EOF) {
        if (len + 2 > cap)
            at = realloc(at, cap *= 2);
        if (!at)
            fail("memory");
        if (c == '\n' && before != '\r')
            at[len++] = '\r';
        at[len++] = (char)c;
        before = c;
    }
    fclose(f);
    return slice_of(at, len);
}

/* The part's body without its transfer encoding; the caller frees it. */
static struct slice decoded(struct slice message, const struct summary_leaf *part)
{
    struct slice body = slice_of(message.at + part->body.at, part->body.len);
    size_t room = body.len + 2 * TRANSFER_ROOM_MIN, n = 0;
    char *at = malloc(room);
    struct transfer_decoder d;

    if (!at)
        fail("memory");
    transfer_begin(&d, part->encoding);
    while (body.len)
        n += transfer_decode(&d, &body, at + n, room - n);
    n += transfer_end(&d, at + n);
    return slice_of(at, n);
}

/* "1.2.HEADER" to a range and, for the body of a part, the decoded octets. */
static void show_section(const struct summary *s, struct slice message, const char *name)
{
    uint32_t path[PATH_PARTS_MAX];
    enum section_part part = SECTION_ALL;
    unsigned count = 0;
    struct range range;
    struct summary_leaf leaf;
    struct slice octets = {NULL, 0};

    while (isdigit((unsigned char)*name) && count < PATH_PARTS_MAX) {
        path[count++] = (uint32_t)strtoul(name, (char **)&name, 10);
        name += *name == '.';
    }
    if (strcmp(name, "HEADER") == 0)
        part = SECTION_HEADER;
    else if (strcmp(name, "TEXT") == 0)
        part = SECTION_TEXT;
    else if (strcmp(name, "MIME") == 0)
        part = SECTION_MIME;
    if (!summary_section(s, path, count, part, &range)) {
        puts("-");
        return;
    }
    if (part == SECTION_ALL && count && summary_part(s, path, count, &leaf))
        octets = decoded(message, &leaf);
    printf("%llu %llu %zu\n", (unsigned long long)range.at, (unsigned long long)range.len,
        octets.len);
    if (octets.len)
        fwrite(octets.at, 1, octets.len, stdout);
    free((char *)octets.at);
}

static void show(struct slice s)
{
    printf("%zu\n", s.len);
    fwrite(s.at, 1, s.len, stdout);
}

static void dump(char *line)
{
    struct arena arena = arena_of(ARENA_MAX);
    char *name = strsep(&line, "\t");
    struct slice message = read_message(name);
    struct summary_builder *b = summary_begin(&arena, &summary_defaults);
    struct summary s;

    if (!b)
        fail("summary_begin");
    summary_feed(b, message);
    if (!summary_open(summary_end(b), &s))
        fail("summary_open");
    printf("%llu\n", (unsigned long long)s.size);
    show(s.envelope);
    show(s.body);
    show(s.bodystructure);
    while (line)
        show_section(&s, message, strsep(&line, "\t"));
    fflush(stdout);
    arena_reset(&arena);
    free((char *)message.at);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    while ((n = getline(&line, &cap, stdin)) > 0) {
        if (line[n - 1] == '\n')
            line[n - 1] = 0;
        dump(line);
    }
    free(line);
    return 0;
}
