#include "proto/imap/imap.h"

static const struct slice verb_texts[] = {
#define VERB(name, text, states, uid, arguments) [IMAP_##name] = SI(text),
    IMAP_VERBS(VERB)
#undef VERB
};

static const struct slice use_texts[] = {[IMAP_USE_NONE] = SI(""),
#define USE(name, text) [IMAP_USE_##name] = SI(text),
    IMAP_USES(USE)
#undef USE
};

static const struct imap_error_reply error_replies[] = {
#define ERROR(name, answer, code, text) \
    [IMAP_ERROR_##name] = {SI(answer), SI(code), SI(text)},
    IMAP_ERRORS(ERROR)
#undef ERROR
};

static const struct slice error_names[] = {
#define ERROR(name, answer, code, text) [IMAP_ERROR_##name] = SI(#name),
    IMAP_ERRORS(ERROR)
#undef ERROR
};

struct slice imap_verb_text(enum imap_verb verb)
{
    return verb < IMAP_VERB_COUNT ? verb_texts[verb] : S("");
}

struct slice imap_use_text(enum imap_use use)
{
    return use < IMAP_USE_COUNT ? use_texts[use] : S("");
}

const struct imap_error_reply *imap_error_reply(enum imap_error error)
{
    return &error_replies[error];
}

struct slice imap_error_name(enum imap_error error)
{
    return error_names[error];
}
