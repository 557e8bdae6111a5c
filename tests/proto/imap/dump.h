/* dump.h -- a parsed command as one line of text, so that tests are tables.
 *
 * "a7 UID FETCH 1:* (UID FLAGS BODY.PEEK[1.TEXT]<0.9>) seen": tag, verb, then the
 * arguments as far as the verb has any. Strings stand in [brackets], `-` is NIL. */
#pragma once
#include "proto/imap/imap.h"

void dump_command(struct out *o, const struct imap_cmd *cmd);

void dump_set(struct out *o, const struct imap_set *set);

/* Parses `command` with a fresh arena and dumps what came out; errors as "!NAME", behind
 * the tag when there is one. */
void dump_parse(
    struct out *o, struct slice command, enum imap_state state, size_t arena_bytes);
