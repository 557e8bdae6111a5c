/* options_help.c -- the flags as text. */
#include <stdio.h>

#include "bench/options_table.h"

enum { COLUMN = 26, WIDTH = 90 };

static void pad(struct out *out, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        out_byte(out, ' ');
}

/* Words of `text` between the columns; the cursor stands at column `at`. */
static size_t wrap(struct out *out, size_t at, struct slice text)
{
    while (text.len > 0) {
        struct slice word = slice_take(&text, slice_find(text, ' '));

        if (text.len > 0)
            slice_take(&text, 1);
        if (word.len == 0)
            continue;
        if (at > COLUMN && at + 1 + word.len > WIDTH) {
            out_byte(out, '\n');
            pad(out, 0, COLUMN);
            at = COLUMN;
        } else if (at > COLUMN) {
            out_byte(out, ' ');
            at++;
        }
        out_put(out, word);
        at += word.len;
    }
    return at;
}

/* "[smtp submission lmtp; default 1]" */
static void print_facts(struct out *out, const struct flag *f)
{
    unsigned clients = (1u << MODE_COUNT) - 1 - (1u << MODE_SINK);
    const char *before = "[";

    for (unsigned i = 0; (f->modes & clients) != clients && i < MODE_COUNT; i++)
        if (f->modes & 1u << i) {
            out_str(out, before);
            out_str(out, mode_names[i]);
            before = " ";
        }
    if (*f->preset) {
        out_str(out, *before == '[' ? "[" : "; ");
        out_str(out, "default ");
        out_str(out, f->preset);
        before = " ";
    }
    if (*before != '[')
        out_str(out, "]");
}

static void print_flag(struct out *out, const struct flag *f)
{
    char buffer[256];
    struct out facts = out_of(buffer, sizeof buffer);
    size_t at = 4 + strlen(f->name) + (*f->value ? 1 + strlen(f->value) : 0);

    out_str(out, "  --");
    out_str(out, f->name);
    if (*f->value) {
        out_byte(out, ' ');
        out_str(out, f->value);
    }
    if (at + 2 > COLUMN) {
        out_byte(out, '\n');
        at = 0;
    }
    pad(out, at, COLUMN);
    at = wrap(out, COLUMN, slice_str(f->help));
    print_facts(&facts, f);
    wrap(out, at, out_slice(&facts));
    out_byte(out, '\n');
}

static const char overview[] =
    "ringmail-bench - load for mail servers, and what it costs them\n"
    "\n"
    "  ringmail-bench MODE --to ADDR:PORT [FLAGS]\n"
    "\n"
    "  smtp         sends messages by SMTP\n"
    "  submission   the same after AUTH PLAIN\n"
    "  lmtp         the same by LMTP\n"
    "  pop3         sessions: log in, STAT, LIST, RETR, QUIT\n"
    "  imap         one command over and over: --op\n"
    "  idle         holds IDLE connections; with --deliver, how long from the final dot\n"
    "               of a delivery to EXISTS\n"
    "  login        connect, log in, log out\n"
    "  mixed        a mailbox's day: deliver, IDLE, fetch, read, flag, search, expunge\n"
    "  sink         the other end: takes mail by SMTP and counts it\n"
    "\n"
    "  ringmail-bench smtp --to 127.0.0.1:25 --connections 16 --size 1K --time 10\n"
    "  ringmail-bench imap --op noop --to 127.0.0.1:143 --connections 64 --rate 20000\n"
    "\n"
    "Numbers take K, M and G, times s, m and h. Exit status: 0 all well, 1 errors or a\n"
    "failed --verify, 64 bad usage.\n";

void options_help(struct out *out)
{
    out_str(out, overview);
    for (unsigned i = 0; i < options_table_count; i++) {
        const struct flag *f = &options_table[i];

        if (f->type != FLAG_GROUP) {
            print_flag(out, f);
            continue;
        }
        out_byte(out, '\n');
        out_str(out, f->name);
        out_str(out, ":\n");
    }
}
