/* command_status.c -- ringmail status: what a running server counts. */
#include <stdlib.h>

#include "server/command.h"
#include "server/control.h"

enum { STATUS_BYTES_MAX = 192 << 10, ANSWER_S = 10 };

static int report(const struct config *c)
{
    char *room = malloc(STATUS_BYTES_MAX);
    struct out out = out_of(room, STATUS_BYTES_MAX);
    int status = EXIT_FAILED;

    if (!room)
        return command_failf(EXIT_FAILED, "out of memory");
    switch (control_ask(c->data, "status", ANSWER_S, &out)) {
    case CONTROL_OK:
        fwrite(out.at, 1, out.len, stdout);
        status = EXIT_GOOD;
        break;
    case CONTROL_ERROR:
        status = command_fail(EXIT_FAILED, out_slice(&out));
        break;
    case CONTROL_NONE:
        status = command_failf(EXIT_FAILED, "no server runs on %s", c->data);
        break;
    case CONTROL_LOST:
        status = command_failf(EXIT_FAILED, "the server on %s does not answer", c->data);
        break;
    }
    free(room);
    return status;
}

static int run(int argc, char **argv)
{
    unsigned count;
    int status;
    struct config *c =
        command_config(&command_status, argc, argv, NULL, 0, &count, &status);

    if (!c)
        return status;
    status = report(c);
    config_free(c);
    return status;
}

static const char *const flags[] = {"data", "config", NULL};

const struct command command_status = {
    .name = "status",
    .synopsis = "--data DIR",
    .summary = "what a running server counts",
    .text = "Prints NAME=VALUE lines: connections, logins, traffic, and the longest turn "
            "of each\nthread's loop since this was last asked.\n",
    .flags = flags,
    .run = run,
};
