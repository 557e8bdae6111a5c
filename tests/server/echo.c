#include "tests/server/echo.h"

#include <stdio.h>
#include <stdlib.h>

_Atomic unsigned echo_opened, echo_closed, echo_lent, echo_stopped;
_Atomic int echo_last_error;

static struct echo *echo_of(struct conn *c)
{
    return container_of(c, struct echo, conn);
}

uint64_t echo_sum(const char *at, size_t len, uint64_t before)
{
    for (size_t i = 0; i < len; i++)
        before = (before ^ (uint8_t)at[i]) * 0x100000001b3U;
    return before;
}

static void say(struct conn *c, const char *word, uint64_t number)
{
    out_str(&c->out, word);
    out_byte(&c->out, ' ');
    out_u64(&c->out, number);
    out_byte(&c->out, '\n');
}

static void arrived(struct conn *c)
{
    say(c, "moved", c->thread->index);
}

static void release(void *arg)
{
    free(arg);
    echo_lent--;
}

static void lend(struct conn *c, size_t len)
{
    char *block = malloc(len + 1);

    for (size_t i = 0; i < len; i++)
        block[i] = (char)('a' + i % 26);
    echo_lent++;
    conn_lend(c, slice_of(block, len), release, block);
    out_byte(&c->out, '\n');
}

/* False: nothing more is to be done now. */
static bool on_word(struct echo *e, struct slice word, uint64_t number)
{
    struct conn *c = &e->conn;
    char text[128];

    if (slice_eq(word, S("quit"))) {
        out_str(&c->out, "bye\n");
        conn_close(c);
    } else if (slice_eq(word, S("part"))) {
        out_str(&c->out, "bye\n");
        conn_part(c);
    } else if (slice_eq(word, S("abort"))) {
        conn_abort(c);
    } else if (slice_eq(word, S("who"))) {
        say(c, "thread", c->thread->index);
    } else if (slice_eq(word, S("move"))) {
        conn_move(c, process_thread(c->thread->process, (unsigned)number), arrived);
        return false;
    } else if (slice_eq(word, S("starttls"))) {
        out_str(&c->out, "go\n");
        conn_starttls(c);
        return false;
    } else if (slice_eq(word, S("tls"))) {
        out_put(&c->out, conn_tls_text(c, text, sizeof text));
        out_byte(&c->out, '\n');
    } else if (slice_eq(word, S("big"))) {
        e->big_left = number;
    } else if (slice_eq(word, S("lend"))) {
        lend(c, number);
    } else if (slice_eq(word, S("lent"))) {
        say(c, "lent", echo_lent);
    } else if (slice_eq(word, S("sink"))) {
        e->sink_left = number;
        e->sink_sum = 0;
        conn_bulk(c, true);
    } else if (slice_eq(word, S("wait"))) {
        e->paused = true;
        conn_pause(c, true);
        conn_wake(c);
        return false;
    } else if (slice_eq(word, S("timeout"))) {
        conn_deadline(c, (unsigned)number);
    } else {
        return false;
    }
    return true;
}

static bool step_big(struct echo *e)
{
    char line[1024];

    memset(line, 'b', sizeof line - 1);
    line[sizeof line - 1] = '\n';
    while (e->big_left && !conn_congested(&e->conn)) {
        out_put(&e->conn.out, slice_of(line, sizeof line));
        e->big_left--;
    }
    return e->big_left == 0;
}

static bool step_sink(struct echo *e)
{
    struct conn *c = &e->conn;
    size_t n = c->in.len < e->sink_left ? c->in.len : e->sink_left;

    e->sink_sum = echo_sum(c->in.at, n, e->sink_sum);
    slice_take(&c->in, n);
    e->sink_left -= n;
    if (e->sink_left)
        return false;
    conn_bulk(c, false);
    say(c, "sum", e->sink_sum);
    return true;
}

static bool is_known(struct slice word)
{
    static const struct slice words[] = {SI("quit"), SI("part"), SI("abort"), SI("who"),
        SI("move"), SI("starttls"), SI("tls"), SI("big"), SI("lend"), SI("lent"),
        SI("sink"), SI("wait"), SI("timeout")};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_eq(word, words[i]))
            return true;
    return false;
}

/* One line; false: stop for now. */
static bool step_line(struct echo *e)
{
    struct conn *c = &e->conn;
    size_t end = slice_find(c->in, '\n');
    struct slice line, word;
    uint64_t number = 0;

    if (end == c->in.len)
        return false;
    line = slice_take(&c->in, end + 1);
    word = slice_of(line.at, slice_find(slice_of(line.at, end), ' '));
    if (!is_known(word)) {
        out_put(&c->out, line);
        return true;
    }
    if (word.len < end)
        slice_u64(slice_of(line.at + word.len + 1, end - word.len - 1), &number);
    return on_word(e, word, number);
}

static void run(struct conn *c)
{
    struct echo *e = echo_of(c);

    e->turns++;
    if (e->paused) {
        e->paused = false;
        conn_pause(c, false);
        out_str(&c->out, "done\n");
    }
    while (!c->closing) {
        if (e->big_left && !step_big(e))
            return;
        if (e->sink_left && !step_sink(e))
            break;
        if (conn_congested(c) || !step_line(e))
            break;
    }
    if (c->eof && !e->paused && !conn_congested(c))
        conn_close(c);
}

static void open_echo(struct conn *c)
{
    echo_opened++;
    out_str(&c->out, "hello\n");
}

static void timeout(struct conn *c)
{
    out_str(&c->out, "late\n");
    conn_close(c);
}

static void stop(struct conn *c)
{
    echo_stopped++;
    out_str(&c->out, "stopping\n");
    conn_close(c);
}

static void closed(struct conn *c)
{
    echo_closed++;
    echo_last_error = c->error;
    conn_free(c);
}

const struct session_calls echo_calls = {.session_bytes = sizeof(struct echo),
    .open = open_echo,
    .run = run,
    .timeout = timeout,
    .stop = stop,
    .closed = closed,
    .refusal = SI("421 busy\n")};
