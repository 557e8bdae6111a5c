/* notify.h -- news for the service manager, as sd_notify(3) describes: one datagram to
 * $NOTIFY_SOCKET. Without it nothing happens. */
#pragma once
#include <stdint.h>

/* "READY=1\nSTATUS=..." */
void notify_send(const char *state);
/* READY=1 or RELOADING=1 with the monotonic time that the manager wants with it. */
void notify_reloading(void);
/* Half of WATCHDOG_USEC in milliseconds: how often to say WATCHDOG=1. -1: not wanted. */
int notify_watchdog_ms(void);
