/* check.h -- assertions that stay on, statuses, and small language helpers.
 *
 * Three kinds of error. The peer is wrong: a reply, made by the parser. The
 * world is wrong: an enum status, returned and handled by one caller. We are
 * wrong: CHECK(), in every build, because a mail server that has lost its
 * invariants must stop before it acknowledges anything else.
 */
#pragma once
#include <stddef.h>

#define MUST_USE [[nodiscard]]

#define container_of(ptr, type, member) \
    ((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

#define STATUSES(X)                                                \
    X(OK, "ok")                                                    \
    X(NO_SPACE, "out of space")                                    \
    X(NO_MEMORY, "out of memory")                                  \
    X(NOT_FOUND, "no such object")                                 \
    X(EXISTS, "object exists")                                     \
    X(LIMIT, "a limit is reached")                                 \
    X(INVALID, "not allowed")                                      \
    X(BUSY, "try again later")                                     \
    X(CORRUPT, "stored bytes fail their checksum")                 \
    X(IO, "input/output error")                                    \
    X(READ_ONLY, "the shard takes no changes after a failed sync") \
    X(CANCELLED, "cancelled")

enum MUST_USE status {
#define X(name, text) STATUS_##name,
    STATUSES(X)
#undef X
};

/* The words for a status, for logs and command-line messages. */
const char *status_text(enum status status);

/* Leave the enclosing function with the first status that is not OK. */
#define TRY(expr)                        \
    do {                                 \
        enum status try_status = (expr); \
        if (try_status != STATUS_OK)     \
            return try_status;           \
    } while (0)

/* Says where and what on standard error, then aborts. */
_Noreturn void check_failed(const char *file, int line, const char *what);

#define CHECK(cond)                                  \
    do {                                             \
        if (__builtin_expect(!(cond), 0))            \
            check_failed(__FILE__, __LINE__, #cond); \
    } while (0)
