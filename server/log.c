#include "server/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    RING_BYTES = 128 << 10, /* lines of a thread that wait; a power of two */
    WRITE_BYTES = 4096,     /* whole lines in one write(2): PIPE_BUF, so never mixed */
    KINDS = 64,             /* kinds of events whose rate is watched, a power of two */
    LINGER_MS = 100,        /* lines gather so long: a wake-up is dearer than a line */
    STOP_MS = 1000          /* waiting for a reader at the end */
};

/* How often an event came in this second. */
struct kind {
    const char *name;
    int64_t second;
    uint32_t count, suppressed;
};

/* Lines on their way from one thread to the writer, each behind its length. */
struct log_ring {
    struct log_ring *next;
    struct kind kinds[KINDS];
    _Atomic uint32_t head; /* written by the thread */
    _Atomic uint32_t tail; /* by the writer */
    _Atomic uint32_t dropped;
    char bytes[RING_BYTES];
};

static struct {
    enum log_level level;
    bool priorities;
    unsigned rate;
    _Atomic(struct log_ring *) rings;
    atomic_bool running, stopping;
    atomic_bool rung;    /* the writer knows of lines */
    atomic_bool hurried; /* and that they are not to gather */
    int bell;            /* eventfd: one of them has been set */
    pthread_t writer;
} logger = {.level = LEVEL_INFO, .rate = 1000, .bell = -1};

static _Thread_local struct log_ring *mine;

void logger_set(enum log_level level, bool priorities, unsigned rate)
{
    logger.level = level;
    logger.priorities = priorities;
    logger.rate = rate;
}

enum log_level logger_level(void)
{
    return logger.level;
}

/* --- a line ------------------------------------------------------------ */

static bool is_plain(char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
}

static void put_escaped(struct out *out, char c)
{
    static const char hex[] = "0123456789abcdef";

    if (c == '"' || c == '\\') {
        out_byte(out, '\\');
        out_byte(out, c);
    } else if (c >= ' ' && c < 0x7f) {
        out_byte(out, c);
    } else {
        out_str(out, "\\x");
        out_byte(out, hex[(unsigned char)c >> 4]);
        out_byte(out, hex[(unsigned char)c & 15]);
    }
}

void event_value(struct out *out, struct slice value)
{
    bool cut = value.len > EVENT_VALUE_MAX, plain = value.len > 0 && !cut;

    if (cut)
        value.len = EVENT_VALUE_MAX;
    for (size_t i = 0; plain && i < value.len; i++)
        plain = is_plain(value.at[i]);
    if (plain) {
        out_put(out, value);
        return;
    }
    out_byte(out, '"');
    for (size_t i = 0; i < value.len; i++)
        put_escaped(out, value.at[i]);
    if (cut)
        out_str(out, "...");
    out_byte(out, '"');
}

static const char *level_word(enum log_level level)
{
    switch (level) {
    case LEVEL_ERROR:
        return "error";
    case LEVEL_WARNING:
        return "warning";
    case LEVEL_NOTICE:
        return "notice";
    case LEVEL_INFO:
        return "info";
    case LEVEL_DEBUG:
        return "debug";
    }
    return "error";
}

/* "2025-03-04T05:06:07.123Z"; all but the milliseconds stands for a second. */
static void put_time(struct out *out, const struct timespec *now)
{
    static _Thread_local time_t second = -1;
    static _Thread_local char text[32];
    unsigned ms = (unsigned)(now->tv_nsec / 1000000);
    struct tm tm;

    if (second != now->tv_sec) {
        gmtime_r(&now->tv_sec, &tm);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.", &tm);
        second = now->tv_sec;
    }
    out_str(out, text);
    out_byte(out, (char)('0' + ms / 100));
    out_byte(out, (char)('0' + ms / 10 % 10));
    out_byte(out, (char)('0' + ms % 10));
    out_byte(out, 'Z');
}

static void put_front(
    struct out *out, enum log_level level, const char *name, const struct timespec *now)
{
    if (logger.priorities) {
        out_byte(out, '<');
        out_u64(out, level);
        out_byte(out, '>');
    } else {
        put_time(out, now);
        out_byte(out, ' ');
        out_str(out, level_word(level));
        out_byte(out, ' ');
    }
    out_str(out, name);
}

/* Counts this one; false when there were too many in this second. *suppressed: how many
 * were left out before. */
static bool within_rate(const char *name, int64_t second, uint32_t *suppressed)
{
    struct kind *k;

    if (!mine)
        return true;
    k = &mine->kinds[((uintptr_t)name >> 3) % KINDS];
    if (k->second != second) {
        *suppressed = k->name == name ? k->suppressed : 0;
        *k = (struct kind){name, second, 0, 0};
    }
    if (k->count < logger.rate) {
        k->count++;
        return true;
    }
    k->suppressed++;
    return false;
}

static bool begin(struct event *e, enum log_level level, const char *name, bool limited)
{
    struct timespec now;
    uint32_t suppressed = 0;

    if (level > logger.level)
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    if (limited && !within_rate(name, now.tv_sec, &suppressed))
        return false;
    e->urgent = level <= LEVEL_WARNING;
    e->out = out_of(e->line, sizeof e->line - 1); /* room for the line end */
    put_front(&e->out, level, name, &now);
    if (suppressed > 0)
        event_number(e, "suppressed", suppressed);
    return true;
}

bool event_begin(struct event *e, enum log_level level, const char *name)
{
    return begin(e, level, name, true);
}

bool event_begin_always(struct event *e, enum log_level level, const char *name)
{
    return begin(e, level, name, false);
}

static void put_key(struct event *e, const char *key)
{
    out_byte(&e->out, ' ');
    out_str(&e->out, key);
    out_byte(&e->out, '=');
}

void event_text(struct event *e, const char *key, struct slice value)
{
    struct out before = e->out;

    put_key(e, key);
    event_value(&e->out, value);
    if (e->out.full && !before.full) /* leave out what has no room, whole */
        e->out = before;
}

void event_string(struct event *e, const char *key, const char *value)
{
    event_text(e, key, slice_str(value ? value : ""));
}

void event_number(struct event *e, const char *key, uint64_t value)
{
    struct out before = e->out;

    put_key(e, key);
    out_u64(&e->out, value);
    if (e->out.full && !before.full)
        e->out = before;
}

void event_raw(struct event *e, const char *pairs)
{
    if (!pairs || !*pairs)
        return;
    out_byte(&e->out, ' ');
    for (; *pairs && e->out.len < e->out.cap; pairs++)
        out_byte(&e->out, *pairs >= ' ' && *pairs < 0x7f ? *pairs : '?');
}

/* --- to the writer ----------------------------------------------------- */

/* Descriptor 2 at once; what can't be written is lost. */
static void write_now(struct slice line)
{
    while (line.len > 0) {
        ssize_t n = write(STDERR_FILENO, line.at, line.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        slice_take(&line, (size_t)n);
    }
}

static void ring_copy(struct log_ring *ring, uint32_t at, const void *from, size_t len)
{
    size_t first = RING_BYTES - at % RING_BYTES;

    if (first > len)
        first = len;
    memcpy(ring->bytes + at % RING_BYTES, from, first);
    memcpy(ring->bytes, (const char *)from + first, len - first);
}

static void ring_bell(atomic_bool *said)
{
    uint64_t one = 1;

    if (!atomic_exchange_explicit(said, true, memory_order_acq_rel))
        if (write(logger.bell, &one, sizeof one) < 0)
            return; /* the counter is full: the writer is awake anyway */
}

static void push(struct log_ring *ring, struct slice line, bool urgent)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t used = head - atomic_load_explicit(&ring->tail, memory_order_acquire);
    uint16_t len = (uint16_t)line.len;

    if (RING_BYTES - used < sizeof len + line.len) {
        atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
        return;
    }
    ring_copy(ring, head, &len, sizeof len);
    ring_copy(ring, head + sizeof len, line.at, line.len);
    atomic_store_explicit(
        &ring->head, head + (uint32_t)(sizeof len + line.len), memory_order_release);
    ring_bell(urgent || used > RING_BYTES / 2 ? &logger.hurried : &logger.rung);
}

void event_end(struct event *e)
{
    e->line[e->out.len++] = '\n';
    if (mine && atomic_load_explicit(&logger.running, memory_order_relaxed))
        push(mine, out_slice(&e->out), e->urgent);
    else
        write_now(out_slice(&e->out));
}

void event_say(enum log_level level, const char *name, const char *key, const char *value)
{
    struct event e;

    if (!event_begin(&e, level, name))
        return;
    if (key)
        event_string(&e, key, value);
    event_end(&e);
}

/* --- the writer -------------------------------------------------------- */

static void ring_take(struct log_ring *ring, uint32_t at, void *to, size_t len)
{
    size_t first = RING_BYTES - at % RING_BYTES;

    if (first > len)
        first = len;
    memcpy(to, ring->bytes + at % RING_BYTES, first);
    memcpy((char *)to + first, ring->bytes, len - first);
}

/* Moves whole lines into the buffer; false when it is full before the ring is empty. */
static bool take_lines(struct log_ring *ring, struct out *out)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint16_t len;

    while (tail != head) {
        ring_take(ring, tail, &len, sizeof len);
        if (len > out->cap - out->len)
            return false;
        ring_take(ring, tail + sizeof len, out->at + out->len, len);
        out->len += len;
        tail += (uint32_t)(sizeof len + len);
        atomic_store_explicit(&ring->tail, tail, memory_order_release);
    }
    return true;
}

static void say_dropped(struct log_ring *ring, struct out *out)
{
    struct event e;
    uint32_t dropped = atomic_exchange_explicit(&ring->dropped, 0, memory_order_relaxed);

    if (dropped == 0 || !begin(&e, LEVEL_WARNING, "log-dropped", false))
        return;
    event_number(&e, "lines", dropped);
    e.line[e.out.len++] = '\n';
    out_put(out, out_slice(&e.out));
}

/* Waits until descriptor 2 takes WRITE_BYTES without blocking; false: it is time to stop
 * and nobody reads. */
static bool wait_for_reader(void)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    int left = STOP_MS / 100;

    while (poll(&p, 1, 100) == 0)
        if (atomic_load_explicit(&logger.stopping, memory_order_relaxed) && --left <= 0)
            return false;
    return true;
}

/* One bufferful of one thread's lines. True when there may be more. */
static bool write_some(struct log_ring *ring)
{
    char buffer[WRITE_BYTES];
    struct out out = out_of(buffer, sizeof buffer);
    bool all = take_lines(ring, &out);

    if (all && out.len + EVENT_BYTES_MAX <= out.cap)
        say_dropped(ring, &out);
    else
        all = false; /* the count of dropped lines goes into the next one */
    if (out.len > 0) {
        if (!wait_for_reader())
            return false;
        write_now(out_slice(&out));
    }
    return !all;
}

static void write_all_rings(void)
{
    struct log_ring *first = atomic_load_explicit(&logger.rings, memory_order_acquire);
    bool more = true;

    while (more) {
        more = false;
        for (struct log_ring *r = first; r; r = r->next)
            more |= write_some(r);
    }
}

/* Until there are lines, and for a moment more, unless they are urgent. False: never. */
static bool wait_for_lines(void)
{
    struct pollfd bell = {.fd = logger.bell, .events = POLLIN};
    uint64_t count;

    if (read(logger.bell, &count, sizeof count) < 0)
        return errno == EINTR;
    if (!atomic_load_explicit(&logger.hurried, memory_order_acquire))
        poll(&bell, 1, LINGER_MS);
    /* Exchanged, so that whoever still sees them set has its line taken now. */
    atomic_exchange(&logger.rung, false);
    atomic_exchange(&logger.hurried, false);
    return true;
}

static void *writer_main(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&logger.stopping, memory_order_acquire)) {
        if (!wait_for_lines())
            break;
        write_all_rings();
    }
    write_all_rings();
    return NULL;
}

/* --- start and stop ---------------------------------------------------- */

bool logger_attach(void)
{
    struct log_ring *ring;

    if (mine)
        return true;
    ring = calloc(1, sizeof *ring);
    if (!ring)
        return false;
    ring->next = atomic_load_explicit(&logger.rings, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(
        &logger.rings, &ring->next, ring, memory_order_release, memory_order_relaxed))
        ;
    mine = ring;
    return true;
}

bool logger_start(void)
{
    logger.bell = eventfd(0, EFD_CLOEXEC);
    if (logger.bell < 0)
        return false;
    atomic_store(&logger.stopping, false);
    if (pthread_create(&logger.writer, NULL, writer_main, NULL) != 0) {
        close(logger.bell);
        return false;
    }
    pthread_setname_np(logger.writer, "log");
    atomic_store(&logger.running, true);
    return logger_attach();
}

static void free_rings(void)
{
    struct log_ring *ring = atomic_exchange(&logger.rings, NULL);

    while (ring) {
        struct log_ring *next = ring->next;

        free(ring);
        ring = next;
    }
    mine = NULL;
}

void logger_stop(void)
{
    struct timespec until;

    if (!atomic_exchange(&logger.running, false))
        return;
    atomic_store(&logger.stopping, true);
    atomic_store(&logger.hurried, false);
    ring_bell(&logger.hurried);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2 * STOP_MS / 1000;
    if (pthread_timedjoin_np(logger.writer, NULL, &until) != 0) {
        pthread_detach(logger.writer); /* stuck in write(2): its buffers stay */
        return;
    }
    close(logger.bell);
    free_rings();
}
