/* options_help.c -- the flags as text. */
#include "bench/options_table.h"
#include "proto/base/help.h"

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

    print_facts(&facts, f);
    help_flag(out, f->name, f->value, f->help, out_slice(&facts));
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
