/* options.h -- the command line of ringmail-micro, and the ends of a run. */
#pragma once
#include <stdbool.h>

/* Fills micro_options; exits by itself for --help and bad usage. */
void options_parse(int argc, char **argv);

/* One line that names flag, value and remedy; exits with 64. */
_Noreturn void options_bad(const char *flag, const char *value, const char *remedy);

/* Has the user had enough? */
bool options_interrupted(void);
