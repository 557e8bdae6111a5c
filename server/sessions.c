#include "server/sessions.h"

#include "server/session_imap.h"
#include "server/session_pop3.h"
#include "server/session_smtp.h"

const struct session_calls *sessions_calls(enum protocol protocol)
{
    switch (protocol) {
    case PROTO_SMTP:
    case PROTO_SUBMISSION:
    case PROTO_LMTP:
        return &session_smtp_calls;
    case PROTO_POP3:
        return &session_pop3_calls;
    case PROTO_IMAP:
        return &session_imap_calls;
    }
    return NULL;
}
