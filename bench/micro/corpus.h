/* corpus.h -- what the parsers are given: the same bytes in every run. */
#pragma once
#include "bench/micro/micro.h"
#include "proto/base/arena.h"
#include "proto/base/slice.h"

enum { CORPUS_BYTES = 64 << 10 }; /* of lines: stays in the cache, as fresh input does */

/* The state of every case that reads text. */
struct corpus {
    struct slice text;
    struct slice *lines; /* without their CR LF */
    unsigned line_count;
    char *copy; /* room for as many octets as `text` and 64 KiB more */
    struct arena arena;
    void *more; /* of the case, malloc()ed */
};

/* The given lines again and again, with CR LF, up to `bytes`. */
struct corpus *corpus_of_lines(const char *const *lines, unsigned count, size_t bytes);

enum corpus_message {
    CORPUS_PLAIN,     /* a header as mail has it today, and text */
    CORPUS_MULTIPART, /* text, HTML, and an attachment in base64 */
};
/* A message of about `bytes` octets, all of it CR LF lines. */
struct corpus *corpus_of_message(enum corpus_message kind, size_t bytes);

/* A text of `bytes` octets in a transfer encoding: '7', 'q' or 'b'. */
struct corpus *corpus_of_body(char encoding, size_t bytes);

/* The first `bytes` octets of the header of such messages, whole lines. */
struct slice corpus_header(void);

void corpus_close(void *state);

/* References over all of `text`. */
uint64_t corpus_memchr(void *state, uint64_t passes); /* for an octet that is not there */
uint64_t corpus_memchr_lines(void *state, uint64_t passes); /* for each LF */
uint64_t corpus_memcpy(void *state, uint64_t passes);
