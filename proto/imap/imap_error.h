/* imap_error.h -- what can be wrong with a command, and the reply it gets.
 *
 * Parsers return one of these; imap_put_error() (imap_write.h) turns it into the tagged
 * reply, so that a session answers in one place.
 */
#pragma once
#include "proto/base/slice.h"
#include "proto/imap/imap_words.h"

enum imap_error {
#define ERROR(name, answer, code, text) IMAP_ERROR_##name,
    IMAP_ERRORS(ERROR)
#undef ERROR
};

/* The parts of the reply to an error: "BAD", "[TOOBIG]" (or empty), the text. */
struct imap_error_reply {
    struct slice answer, code, text;
};

const struct imap_error_reply *imap_error_reply(enum imap_error error);

/* The name of an error ("TAG"), for traces and tests. */
struct slice imap_error_name(enum imap_error error);
