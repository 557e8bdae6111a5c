/* populate_text.c -- what a message looks like: the header that a delivery would have
 * left, then lines of words. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/populate.h"

enum { LINE_WORDS = 64 /* octets of a line after which no word begins */ };

static const int64_t first_date = 1735689600; /* 2025-01-01 */

static const char *const words[] = {"about", "all", "answer", "budget", "by", "call",
    "can", "contract", "copy", "customer", "date", "draft", "each", "figures", "for",
    "from", "good", "have", "invoice", "is", "it", "last", "letter", "list", "mail",
    "meeting", "minutes", "Monday", "need", "new", "next", "note", "number", "of",
    "offer", "on", "order", "our", "page", "part", "plan", "please", "price", "project",
    "question", "reply", "report", "review", "sample", "send", "server", "thanks", "that",
    "the", "this", "time", "to", "travel", "update", "week", "will", "with", "work",
    "year"};

static const char *const people[] = {"Anna", "Bela", "Chidi", "Dana", "Emre", "Femi",
    "Gina", "Hugo", "Iris", "Jun", "Kofi", "Lena", "Mara", "Nils", "Olga", "Paul"};

enum { WORDS = sizeof words / sizeof *words, PEOPLE = sizeof people / sizeof *people };

/* SplitMix64 (Steele, Lea, Flood, 2014): any two states give streams of their own. */
static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t stream(const struct populate_plan *plan, uint64_t number)
{
    uint64_t state = plan->seed;

    return draw(&state) ^ number * 0xd1342543de82ef95u;
}

struct slice populate_name(const struct populate_plan *plan, uint64_t number, char *at)
{
    const char *hole = strstr(plan->user, "%d");
    struct out out = out_of(at, POPULATE_NAME_MAX);

    out_put(&out, slice_of(plan->user, (size_t)(hole - plan->user)));
    out_u64(&out, number);
    out_str(&out, hole + 2);
    return out_slice(&out);
}

int64_t populate_date(uint64_t number)
{
    return first_date + (int64_t)number;
}

static void put_date(struct out *out, uint64_t number)
{
    time_t date = (time_t)populate_date(number);
    char text[64];
    struct tm tm;

    gmtime_r(&date, &tm);
    out_put(out,
        slice_of(text, strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &tm)));
}

static void put_word(struct out *out, uint64_t *state)
{
    out_str(out, words[draw(state) % WORDS]);
}

static void put_header(struct out *out, const struct populate_plan *plan, uint64_t number,
    struct slice user, uint64_t *state)
{
    const char *who = people[draw(state) % PEOPLE];
    uint64_t account = draw(state) % 1000;

    out_str(out, "Return-Path: <");
    out_str(out, who);
    out_u64(out, account);
    out_str(out, "@sender.test>\r\nDate: ");
    put_date(out, number);
    out_str(out, "\r\nFrom: ");
    out_str(out, who);
    out_str(out, " <");
    out_str(out, who);
    out_u64(out, account);
    out_str(out, "@sender.test>\r\nTo: <");
    /* What would not leave the message its size is left out. */
    out_put(out, user.len <= 64 ? user : S("undisclosed@sender.test"));
    out_str(out, ">\r\nSubject: ");
    for (unsigned i = 0; i < 3; i++) {
        put_word(out, state);
        out_byte(out, ' ');
    }
    out_u64(out, number);
    out_str(out, "\r\nMessage-ID: <");
    out_u64(out, plan->seed);
    out_byte(out, '.');
    out_u64(out, number);
    out_str(out,
        "@sender.test>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
}

void populate_text(
    const struct populate_plan *plan, uint64_t number, struct slice user, char *at)
{
    struct out out = out_of(at, plan->size - 2);
    uint64_t state = stream(plan, number);
    size_t line;

    put_header(&out, plan, number, user, &state);
    line = out.len;
    while (!out.full) {
        put_word(&out, &state);
        if (out.len - line < LINE_WORDS) {
            out_byte(&out, ' ');
            continue;
        }
        out_str(&out, "\r\n");
        line = out.len;
    }
    memset(at + out.len, '-', out.cap - out.len);
    memcpy(at + out.cap, "\r\n", 2);
}
