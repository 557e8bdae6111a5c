#include "bench/micro/options.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/micro/micro.h"

struct micro_options micro_options = {.dir = "/var/tmp"};

static char folder[4096];
static volatile sig_atomic_t interrupted;

static const char help[] =
    "usage: ringmail-micro [--only WORD] [--list] [--json] [--quick] [--dir DIR]\n"
    "\n"
    "Measures parsers, checksum, index and commits in turns with plain C over the same\n"
    "bytes. About a minute; best on a machine that does nothing else.\n"
    "\n"
    "  --only WORD  the cases with WORD in their name\n"
    "  --list       their names, nothing is measured\n"
    "  --json       a list of objects instead of a table\n"
    "  --quick      one pass each: do they run? The figures mean nothing\n"
    "  --dir DIR    where commits are written; the default is /var/tmp\n";

_Noreturn void options_bad(const char *flag, const char *value, const char *remedy)
{
    fprintf(stderr, "ringmail-micro: %s %s: %s\n", flag, value, remedy);
    exit(64);
}

static const char *value_of(int argc, char **argv, int *i, const char *remedy)
{
    if (*i + 1 >= argc || !argv[*i + 1][0])
        options_bad(argv[*i], "without a value", remedy);
    return argv[++*i];
}

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

bool options_interrupted(void)
{
    return interrupted;
}

void options_parse(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct stat st;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--only") == 0) {
            micro_options.only = value_of(argc, argv, &i, "give a word");
        } else if (strcmp(argv[i], "--dir") == 0) {
            micro_options.dir = value_of(argc, argv, &i, "give a folder");
        } else if (strcmp(argv[i], "--list") == 0) {
            micro_options.list = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            micro_options.json = true;
        } else if (strcmp(argv[i], "--quick") == 0) {
            micro_options.quick = true;
        } else if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        } else {
            options_bad(argv[i], "is no option", "--help tells those there are");
        }
    }
    if (stat(micro_options.dir, &st) != 0 || !S_ISDIR(st.st_mode))
        options_bad("--dir", micro_options.dir, "is no folder, give one that is there");
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* --- for the cases -------------------------------------------------------- */

static void remove_folder(void)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(folder);
}

const char *micro_folder(void)
{
    if (folder[0])
        return folder;
    if (snprintf(folder, sizeof folder, "%s/ringmail-micro-XXXXXX", micro_options.dir) >=
        (int)sizeof folder)
        options_bad("--dir", micro_options.dir, "is too long a path, give a shorter one");
    if (!mkdtemp(folder)) {
        folder[0] = '\0';
        micro_die("--dir %s: can't make a folder there: %s", micro_options.dir,
            strerror(errno));
    }
    atexit(remove_folder);
    return folder;
}

_Noreturn void micro_die(const char *format, ...)
{
    va_list args;

    fputs("ringmail-micro: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void *micro_take(size_t bytes)
{
    void *at = malloc(bytes ? bytes : 1);

    if (!at)
        micro_die("out of memory");
    memset(at, 0, bytes);
    return at;
}
