/* session_pop3.h -- POP3 (RFC 1939) for the listeners of --pop3 and --pop3s. */
#pragma once
#include "server/conn.h"

extern const struct session_calls session_pop3_calls;
