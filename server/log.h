/* log.h -- events for the operator: one line each, key=value, on standard error.
 *
 *   struct event e;
 *   if (event_begin(&e, LEVEL_INFO, "login")) {
 *       event_text(&e, "user", user);
 *       event_number(&e, "session", c->id);
 *       event_end(&e);
 *   }
 *   --> 2025-03-04T05:06:07.123Z info login user=anna@example.org session=17
 *
 * Keys and event names are literals of ours; values are quoted and escaped, so that
 * nothing a peer sends can begin a line or forge a key. Never a password, never a body.
 *
 * A line goes to a bounded buffer of the thread and is written by a thread of its own,
 * warnings and errors at once, others within 100 ms, many at a time: a standard error
 * that blocks costs lines (counted, and said), never time. Without logger_start(), or on
 * a thread that has not called logger_attach(), lines are written at once.
 */
#pragma once
#include <stdint.h>

#include "proto/base/slice.h"

enum log_level { /* as in syslog(3) */
    LEVEL_ERROR = 3,
    LEVEL_WARNING = 4,
    LEVEL_NOTICE = 5,
    LEVEL_INFO = 6,
    LEVEL_DEBUG = 7
};

enum {
    EVENT_BYTES_MAX = 2048, /* a line; values are cut, with "..." */
    EVENT_VALUE_MAX = 512   /* octets of a value before escaping */
};

struct event {
    struct out out;
    bool urgent;
    char line[EVENT_BYTES_MAX];
};

/* What is logged: set once, before threads start. */
void logger_set(enum log_level level, bool priorities, unsigned rate);
enum log_level logger_level(void);

/* Starts the writing thread (to descriptor 2). False without resources. */
bool logger_start(void);
/* Writes what is buffered, waiting at most a second for a reader, and ends the thread. */
void logger_stop(void);
/* Gives the calling thread its buffer; a second call does nothing. False without memory.
 */
bool logger_attach(void);

/* False: not wanted at this level, or too many of this kind in this second. `name` is
 * a literal. */
bool event_begin(struct event *e, enum log_level level, const char *name);
/* The same without the limit on how often: for what must not be missed. */
bool event_begin_always(struct event *e, enum log_level level, const char *name);
void event_text(struct event *e, const char *key, struct slice value);
void event_string(struct event *e, const char *key, const char *value);
void event_number(struct event *e, const char *key, uint64_t value);
/* "key=value key=value" already escaped by event_value(). */
void event_raw(struct event *e, const char *pairs);
void event_end(struct event *e);

/* One value as it stands in a line: plain, or quoted with \xNN, \" and \\. */
void event_value(struct out *out, struct slice value);

/* A line without pairs, or with one. */
void event_say(
    enum log_level level, const char *name, const char *key, const char *value);
