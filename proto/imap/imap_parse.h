/* imap_parse.h -- private to proto/imap: one function for each form of arguments.
 *
 * Each starts right behind the verb and ends before the final CRLF. */
#pragma once
#include "proto/imap/imap.h"
#include "proto/imap/imap_lex.h"

typedef enum imap_error imap_parse_fn(struct imap_lex *x, struct imap_cmd *cmd);

imap_parse_fn imap_parse_nothing, imap_parse_mailbox, imap_parse_create,
    imap_parse_rename, imap_parse_authenticate, imap_parse_login, imap_parse_status,
    imap_parse_expunge, imap_parse_copy, imap_parse_id, imap_parse_enable,
    imap_parse_list, imap_parse_lsub, imap_parse_fetch, imap_parse_search,
    imap_parse_store, imap_parse_append;

/* SP sequence-set. */
enum imap_error imap_lex_set(struct imap_lex *x, struct imap_set *set);

/* Runs a lexer function that is no longer needed when it fails. */
#define TRY_LEX(expr)                     \
    do {                                  \
        enum imap_error try_lex = (expr); \
        if (try_lex != IMAP_ERROR_NONE)   \
            return try_lex;               \
    } while (0)
