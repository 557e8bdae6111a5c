/* session_imap.h -- IMAP4rev1 (RFC 3501) for the listeners of --imap and --imaps. */
#pragma once
#include "server/conn.h"

extern const struct session_calls session_imap_calls;
