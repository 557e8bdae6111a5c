/* command.h -- the sub-commands of `ringmail`. */
#pragma once
#include <stdio.h>

#include "server/config.h"

/* Exit statuses: as in the manual page. */
enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 64 };

struct command {
    const char *name;
    const char *synopsis;     /* behind "ringmail NAME" */
    const char *summary;      /* one line */
    const char *text;         /* more, for `ringmail NAME --help` and the manual page */
    const char *const *flags; /* names of config_flags.h, NULL-terminated; NULL: all, and
                                 what a server needs is checked */
    int (*run)(int argc, char **argv); /* what follows the name */
};

extern const struct command command_serve, command_user, command_check, command_reshard,
    command_stat, command_queue;

/* Ends with NULL. */
extern const struct command *const commands[];

/* Prints the command's own help, or the overview when it is NULL. */
void command_help(const struct command *command, FILE *to);
/* The manual page. */
void command_man(FILE *to);

/* "ringmail: MESSAGE" on standard error; returns `status`. */
int command_fail(int status, struct slice message);
int command_failf(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Parses flags and operands of a command that is no server. NULL: said, and *status is
 * what to exit with (0 after --help). */
struct config *command_config(const struct command *command, int argc, char **argv,
    char **operands, unsigned operand_max, unsigned *operand_count, int *status);
