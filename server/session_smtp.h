/* session_smtp.h -- SMTP (RFC 5321) for the listeners of --smtp, and submission (RFC
 * 6409) for those of --submission and --submissions. The listener says which. */
#pragma once
#include "server/conn.h"

extern const struct session_calls session_smtp_calls;
