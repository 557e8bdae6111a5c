/* control_status.h -- what `ringmail status` shows. */
#pragma once
#include "proto/base/slice.h"
#include "server/accounts.h"
#include "server/process.h"

/* NAME=VALUE lines: the process, then each thread. */
void control_status(struct process *process, const struct accounts *accounts,
    int64_t uptime_s, struct out *out);
