/* imap_words.h -- every word IMAP hears and says, in one place.
 *
 * VERB(name, text, states, uid, arguments)
 *                                 commands: where they are allowed, whether a UID form
 *                                 exists, and the imap_parse_ function for their
 *                                 arguments (RFC 3501, 6 and section 9)
 * ERROR(name, answer, code, text) what the parser can object to
 * FLAG(name, text)                system flags (RFC 3501, 2.3.2)
 * USE(name, text)                 special uses of a mailbox (RFC 6154, 2)
 * ATTRIBUTE(name, text)           what a LIST reply says of a name (RFC 3501, 7.2.2,
 *                                 RFC 3348, RFC 5258)
 * STATUS_ITEM(name, text)         RFC 3501, 6.3.10
 */
#pragma once

#define IMAP_VERBS(VERB)                                                   \
    VERB(CAPABILITY, "CAPABILITY", IMAP_IN_ANY, false, nothing)            \
    VERB(NOOP, "NOOP", IMAP_IN_ANY, false, nothing)                        \
    VERB(LOGOUT, "LOGOUT", IMAP_IN_ANY, false, nothing)                    \
    VERB(ID, "ID", IMAP_IN_ANY, false, id)                                 \
    VERB(STARTTLS, "STARTTLS", IMAP_IN_START, false, nothing)              \
    VERB(AUTHENTICATE, "AUTHENTICATE", IMAP_IN_START, false, authenticate) \
    VERB(LOGIN, "LOGIN", IMAP_IN_START, false, login)                      \
    VERB(ENABLE, "ENABLE", IMAP_IN_USER, false, enable)                    \
    VERB(SELECT, "SELECT", IMAP_IN_USER, false, mailbox)                   \
    VERB(EXAMINE, "EXAMINE", IMAP_IN_USER, false, mailbox)                 \
    VERB(CREATE, "CREATE", IMAP_IN_USER, false, create)                    \
    VERB(DELETE, "DELETE", IMAP_IN_USER, false, mailbox)                   \
    VERB(RENAME, "RENAME", IMAP_IN_USER, false, rename)                    \
    VERB(SUBSCRIBE, "SUBSCRIBE", IMAP_IN_USER, false, mailbox)             \
    VERB(UNSUBSCRIBE, "UNSUBSCRIBE", IMAP_IN_USER, false, mailbox)         \
    VERB(LIST, "LIST", IMAP_IN_USER, false, list)                          \
    VERB(LSUB, "LSUB", IMAP_IN_USER, false, lsub)                          \
    VERB(NAMESPACE, "NAMESPACE", IMAP_IN_USER, false, nothing)             \
    VERB(STATUS, "STATUS", IMAP_IN_USER, false, status)                    \
    VERB(APPEND, "APPEND", IMAP_IN_USER, false, append)                    \
    VERB(IDLE, "IDLE", IMAP_IN_USER, false, nothing)                       \
    VERB(CHECK, "CHECK", IMAP_IN_SELECTED, false, nothing)                 \
    VERB(CLOSE, "CLOSE", IMAP_IN_SELECTED, false, nothing)                 \
    VERB(UNSELECT, "UNSELECT", IMAP_IN_SELECTED, false, nothing)           \
    VERB(EXPUNGE, "EXPUNGE", IMAP_IN_SELECTED, true, expunge)              \
    VERB(SEARCH, "SEARCH", IMAP_IN_SELECTED, true, search)                 \
    VERB(FETCH, "FETCH", IMAP_IN_SELECTED, true, fetch)                    \
    VERB(STORE, "STORE", IMAP_IN_SELECTED, true, store)                    \
    VERB(COPY, "COPY", IMAP_IN_SELECTED, true, copy)                       \
    VERB(MOVE, "MOVE", IMAP_IN_SELECTED, true, copy)

#define IMAP_ERRORS(ERROR)                                                             \
    ERROR(NONE, "OK", "", "Completed")                                                 \
    ERROR(TAG, "BAD", "", "Invalid tag")                                               \
    ERROR(NO_COMMAND, "BAD", "", "Missing command")                                    \
    ERROR(COMMAND, "BAD", "", "Unknown command")                                       \
    ERROR(STATE, "BAD", "", "Command not allowed in this state")                       \
    ERROR(OCTET, "BAD", "", "NUL, 8-bit or bare CR or LF outside a literal")           \
    ERROR(LINE_LONG, "BAD", "[TOOBIG]", "Command line too long")                       \
    ERROR(LITERAL_BIG, "BAD", "[TOOBIG]", "Literal too big")                           \
    ERROR(LITERAL, "BAD", "", "Invalid literal")                                       \
    ERROR(MESSAGE_BIG, "NO", "[TOOBIG]", "Message exceeds the size limit")             \
    ERROR(APPEND_TAIL, "BAD", "", "Nothing may follow the message")                    \
    ERROR(NO_ARGUMENT, "BAD", "", "Missing argument")                                  \
    ERROR(ARGUMENT, "BAD", "", "Invalid argument")                                     \
    ERROR(TRAILING, "BAD", "", "Unexpected text after the arguments")                  \
    ERROR(STRING, "BAD", "", "Invalid string")                                         \
    ERROR(BASE64, "BAD", "", "Invalid base64")                                         \
    ERROR(NAME, "NO", "[CANNOT]", "Invalid mailbox name")                              \
    ERROR(PATTERN, "BAD", "", "Invalid mailbox pattern")                               \
    ERROR(LIST_OPTION, "BAD", "", "Invalid list option")                               \
    ERROR(USE, "NO", "[USEATTR]", "Special use not supported")                         \
    ERROR(STATUS_ITEM, "BAD", "", "Invalid status item")                               \
    ERROR(FLAG, "BAD", "", "Invalid flag")                                             \
    ERROR(DATE, "BAD", "", "Invalid date")                                             \
    ERROR(NUMBER, "BAD", "", "Invalid number")                                         \
    ERROR(SET, "BAD", "", "Invalid sequence set")                                      \
    ERROR(SET_LONG, "BAD", "", "Too many ranges in the sequence set")                  \
    ERROR(FETCH_ITEM, "BAD", "", "Invalid fetch item")                                 \
    ERROR(SECTION, "BAD", "", "Invalid section")                                       \
    ERROR(PARTIAL, "BAD", "", "Invalid partial range")                                 \
    ERROR(STORE_ITEM, "BAD", "", "Invalid store item")                                 \
    ERROR(SEARCH_KEY, "BAD", "", "Invalid search key")                                 \
    ERROR(DEPTH, "BAD", "", "Nested too deeply")                                       \
    ERROR(BAD_CHARSET, "NO", "[BADCHARSET (US-ASCII UTF-8)]", "Charset not supported") \
    ERROR(CHARSET_TEXT, "BAD", "", "Text is not in its charset")                       \
    ERROR(LIMIT, "NO", "[LIMIT]", "Too many items in one command")

#define IMAP_FLAGS(FLAG)         \
    FLAG(ANSWERED, "\\Answered") \
    FLAG(FLAGGED, "\\Flagged")   \
    FLAG(DELETED, "\\Deleted")   \
    FLAG(SEEN, "\\Seen")         \
    FLAG(DRAFT, "\\Draft")       \
    FLAG(RECENT, "\\Recent")

#define IMAP_USES(USE)        \
    USE(ALL, "\\All")         \
    USE(ARCHIVE, "\\Archive") \
    USE(DRAFTS, "\\Drafts")   \
    USE(FLAGGED, "\\Flagged") \
    USE(JUNK, "\\Junk")       \
    USE(SENT, "\\Sent")       \
    USE(TRASH, "\\Trash")

#define IMAP_ATTRIBUTES(ATTRIBUTE)                \
    ATTRIBUTE(NONEXISTENT, "\\NonExistent")       \
    ATTRIBUTE(NOSELECT, "\\Noselect")             \
    ATTRIBUTE(NOINFERIORS, "\\Noinferiors")       \
    ATTRIBUTE(MARKED, "\\Marked")                 \
    ATTRIBUTE(UNMARKED, "\\Unmarked")             \
    ATTRIBUTE(HAS_CHILDREN, "\\HasChildren")      \
    ATTRIBUTE(HAS_NO_CHILDREN, "\\HasNoChildren") \
    ATTRIBUTE(SUBSCRIBED, "\\Subscribed")

#define IMAP_STATUS_ITEMS(STATUS_ITEM)      \
    STATUS_ITEM(MESSAGES, "MESSAGES")       \
    STATUS_ITEM(RECENT, "RECENT")           \
    STATUS_ITEM(UIDNEXT, "UIDNEXT")         \
    STATUS_ITEM(UIDVALIDITY, "UIDVALIDITY") \
    STATUS_ITEM(UNSEEN, "UNSEEN")
