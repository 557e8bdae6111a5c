/* sessions.h -- which session serves which protocol. */
#pragma once
#include "server/conn.h"

const struct session_calls *sessions_calls(enum protocol protocol);
