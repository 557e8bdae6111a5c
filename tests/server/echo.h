/* echo.h -- a session for tests that answers each line with the same line, and does what
 * a few words ask for. Lines end with LF.
 *
 *   quit          "bye", closes             abort         closes at once
 *   who           "thread N"                move N        to thread N, "moved N"
 *   starttls      "go", then TLS            tls           text of conn_tls_text()
 *   big N         N lines of 1 KiB, in steps, pausing when congested
 *   lend N        a lent block of N bytes and a line    lent   blocks not released yet
 *   sink N        takes N bytes in bulk, "sum X"        wait   a pause of one turn,
 * "done" timeout N     deadline in N seconds, then "late", closes
 */
#pragma once
#include <stdatomic.h>

#include "server/conn.h"
#include "server/process.h"

struct echo {
    struct conn conn;
    size_t big_left;   /* lines of `big` still to write */
    size_t sink_left;  /* bytes of `sink` still to take */
    uint64_t sink_sum; /* FNV-1a of them */
    uint64_t turns;    /* runs, to see that nothing spins */
    bool paused, told;
};

extern const struct session_calls echo_calls;
/* What has become of the sessions. */
extern _Atomic unsigned echo_opened, echo_closed, echo_lent, echo_stopped;
extern _Atomic int echo_last_error;

uint64_t echo_sum(const char *at, size_t len, uint64_t before);
