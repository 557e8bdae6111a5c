/* letter.h -- the messages of a run.
 *
 * Everything about a message follows from its number: size, text, recipients. So nothing
 * has to be kept of what was sent but whether it was acknowledged, and whoever reads it
 * back makes it again and compares. Where the user does not follow from the number (he is
 * the one of the connection), he stands in the message. It is
 *
 *     header, with run, number and user in its first field | body | CR LF
 *
 * of which only the header is written for each message; bodies are pieces of one text of
 * which every line is different, or the files of a folder.
 */
#pragma once
#include "bench/options.h"

enum { LETTER_HEAD_MAX = 1024, LETTER_PLACES = 3 };

struct mail_file {
    struct slice plain, stuffed; /* without the last CR LF; dots doubled for SMTP */
};

struct letters {
    uint64_t run; /* a random number */
    const struct sizes *sizes;
    char *pool; /* lines of one length */
    uint64_t pool_lines, pool_bytes;
    struct mail_file *files; /* of --mail; NULL: the pool */
    uint64_t file_count;
    char head[LETTER_HEAD_MAX];
    size_t head_len;
    size_t user_place;            /* of the user in it */
    size_t places[LETTER_PLACES]; /* and of the number */
    unsigned place_count;
    uint64_t largest; /* message */
};

/* False: `why` says what is wrong with --mail. */
bool letters_open(struct letters *ls, const struct options *o, struct out *why);
void letters_close(struct letters *ls);

/* The header, at most LETTER_HEAD_MAX; how long it is. */
size_t letter_head(const struct letters *ls, uint64_t number, uint64_t user, char *at);
/* The body; CR LF is to follow. Valid as long as the letters. */
struct slice letter_body(const struct letters *ls, uint64_t number, bool stuffed);
/* Of header, body and CR LF, not stuffed. */
uint64_t letter_size(const struct letters *ls, uint64_t number);

enum letter_verdict { LETTER_STRANGE, LETTER_SAME, LETTER_DIFFERENT };
/* Is this one of ours, as it was made for this user? Fields that servers put in front do
 * not count. *number: which. */
enum letter_verdict letter_check(
    const struct letters *ls, struct slice message, uint64_t user, uint64_t *number);
