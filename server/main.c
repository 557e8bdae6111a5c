/* main.c -- which sub-command, and that is all. */
#include <stdio.h>
#include <string.h>

#include "server/command.h"

const struct command *const commands[] = {&command_serve, &command_user, &command_check,
    &command_reshard, &command_stat, &command_queue, NULL};

static const struct command *find(const char *name)
{
    for (unsigned i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* help | help COMMAND | help --man */
static int help(int argc, char **argv)
{
    const struct command *command = argc > 0 ? find(argv[0]) : NULL;

    if (argc > 0 && strcmp(argv[0], "--man") == 0) {
        command_man(stdout);
        return EXIT_GOOD;
    }
    if (argc > 0 && !command && !is_help(argv[0]))
        return command_failf(EXIT_USAGE,
            "help %s: no such command; `ringmail help` lists those there are", argv[0]);
    command_help(command, stdout);
    return EXIT_GOOD;
}

int main(int argc, char **argv)
{
    const struct command *command;

    if (argc < 2) {
        command_help(NULL, stderr);
        return EXIT_USAGE;
    }
    if (is_help(argv[1]) || strcmp(argv[1], "help") == 0)
        return help(argc - 2, argv + 2);
    if (strcmp(argv[1], "--version") == 0) {
        puts("ringmail " RINGMAIL_VERSION);
        return EXIT_GOOD;
    }
    command = find(argv[1]);
    if (!command)
        return command_failf(EXIT_USAGE,
            "%s: no such command; `ringmail help` lists those there are", argv[1]);
    if (argc > 2 && is_help(argv[2])) {
        command_help(command, stdout);
        return EXIT_GOOD;
    }
    return command->run(argc - 2, argv + 2);
}
