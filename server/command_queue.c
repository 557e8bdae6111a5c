/* command_queue.c -- ringmail queue: what is on its way to other servers, seen and
 * changed in a running server, page after page (queue_control.h). */
#include <stdlib.h>
#include <unistd.h>

#include "server/command.h"
#include "server/control.h"
#include "server/queue_control.h"

enum { ANSWER_BYTES_MAX = 192 << 10, REQUEST_BYTES_MAX = 1000, ANSWER_S = 60 };

/* What is to be done with which messages. */
struct errand {
    const struct config *config;
    const char *verb;     /* as the server knows it */
    const char *done;     /* "dropped"; NULL: nothing is changed */
    const char *selector; /* all, id, sender, to */
    const char *value;
    bool json;
    unsigned long long count; /* lines, or messages that were changed */
    bool open;                /* `show` in JSON: in its list of recipients */
    unsigned rows;            /* of a list in JSON */
};

/* --- lines of an answer ------------------------------------------------- */

static void print(struct slice text)
{
    fwrite(text.at, 1, text.len, stdout);
}

/* `show` in JSON is one object: its head, then the list of recipients. */
static void print_show(struct errand *e, char letter, struct slice text)
{
    if (letter == 'm') {
        print(text);
        fputs(",\"recipients\":[", stdout);
        e->open = true;
        e->rows = 0;
        return;
    }
    fputs(e->rows++ ? ",\n" : "\n", stdout);
    print(text);
}

static void print_row(struct errand *e, struct slice text)
{
    if (e->json)
        fputs(e->rows++ ? ",\n" : "[\n", stdout);
    print(text);
    if (!e->json)
        putchar('\n');
}

/* False: it is where to go on, "next THREAD CURSOR". */
static bool take_line(struct errand *e, struct slice line)
{
    char letter = line.len > 2 ? line.at[0] : 0;
    uint64_t n;

    if (slice_starts_nocase(line, S("next ")))
        return false;
    slice_take(&line, line.len > 2 ? 2 : line.len);
    if (letter == 'n') {
        e->count += slice_u64(line, &n) ? n : 0;
        return true;
    }
    e->count += letter == 'm' || letter == 'w';
    if (e->json && strcmp(e->verb, "show") == 0)
        print_show(e, letter, line);
    else
        print_row(e, line);
    return true;
}

/* Prints a page. `next` gets where to go on, empty at the end. */
static void take_page(struct errand *e, struct slice text, struct out *next)
{
    next->len = 0;
    while (text.len > 0) {
        struct slice line = slice_take(&text, slice_find(text, '\n'));

        if (text.len > 0)
            slice_take(&text, 1);
        if (!take_line(e, line))
            out_put(next, slice_of(line.at + 5, line.len - 5));
    }
}

/* --- asking ------------------------------------------------------------- */

static int ask(struct errand *e, struct slice at, char *room, struct out *next)
{
    char request[REQUEST_BYTES_MAX];
    struct out answer = out_of(room, ANSWER_BYTES_MAX);

    snprintf(request, sizeof request, "queue %s %s %.*s %s %s", e->verb,
        e->json ? "json" : "text", (int)at.len, at.at, e->selector, e->value);
    switch (control_ask(e->config->data, request, ANSWER_S, &answer)) {
    case CONTROL_OK:
        take_page(e, out_slice(&answer), next);
        return EXIT_GOOD;
    case CONTROL_ERROR:
        return command_fail(EXIT_FAILED, out_slice(&answer));
    case CONTROL_NONE:
        return command_failf(EXIT_FAILED, "no server runs on %s", e->config->data);
    case CONTROL_LOST:
        break;
    }
    return command_failf(
        EXIT_FAILED, "the server on %s does not answer", e->config->data);
}

/* A change of very many messages waits for very many commits: on a terminal one sees how
 * far it is. `over`: nothing of that is left there. */
static void say_progress(const struct errand *e, bool over)
{
    if (!e->done || e->count == 0 || !isatty(STDERR_FILENO))
        return;
    if (over)
        fputs("\033[K", stderr);
    else
        fprintf(stderr, "%llu so far\r", e->count); /* whatever comes next stands there */
    fflush(stderr);
}

static int ask_all(struct errand *e)
{
    char *room = malloc(ANSWER_BYTES_MAX);
    char cursor[128] = "0 0", more[128];
    struct out next = out_of(more, sizeof more);
    int status = room ? EXIT_GOOD : command_failf(EXIT_FAILED, "out of memory");

    next.len = 3;
    memcpy(more, cursor, 3);
    while (status == EXIT_GOOD && next.len > 0) {
        size_t len = next.len;

        memcpy(cursor, more, len);
        status = ask(e, slice_of(cursor, len), room, &next);
        say_progress(e, next.len == 0);
    }
    free(room);
    return status;
}

/* --- the words around it ------------------------------------------------ */

static int none_found(const struct errand *e)
{
    if (strcmp(e->selector, "id") == 0)
        return command_failf(EXIT_FAILED, "%s: no such message in the queue%s", e->value,
            e->done ? ", or nothing to change about it" : "");
    if (strcmp(e->selector, "to") == 0)
        return command_failf(EXIT_FAILED,
            "%s: no message in the queue goes there%s; `ringmail queue list` shows what "
            "there is",
            e->value, e->done ? " that could be changed" : "");
    return EXIT_GOOD;
}

static int carry_out(struct errand *e)
{
    bool list = e->json && !e->done && strcmp(e->verb, "show") != 0;
    int status = ask_all(e);

    if (e->open)
        fputs("\n]}\n", stdout);
    if (list && (e->rows > 0 || status == EXIT_GOOD))
        fputs(e->rows > 0 ? "\n]\n" : "[]\n", stdout);
    if (status == EXIT_GOOD && e->done && e->json)
        printf("{\"%s\":%llu}\n", e->done, e->count);
    else if (status == EXIT_GOOD && e->done)
        printf("%llu message%s %s.\n", e->count, e->count == 1 ? "" : "s", e->done);
    else if (status == EXIT_GOOD && !e->json && strcmp(e->verb, "list") == 0)
        printf("%llu message%s.\n", e->count, e->count == 1 ? "" : "s");
    if (status == EXIT_GOOD && e->count == 0)
        status = none_found(e);
    fflush(stdout);
    return status;
}

/* --- the command line --------------------------------------------------- */

static int usage(void)
{
    return command_failf(EXIT_USAGE,
        "queue: write `ringmail queue list|show|why|retry|hold|release|drop --data DIR "
        "[ID|DESTINATION|all|--sender ADDRESS]`; --help says more");
}

/* Takes this command's own flags out of the arguments. False: said. */
static bool take_own(struct errand *e, int *argc, char **argv, bool *bounce)
{
    int kept = 0;

    for (int i = 0; i < *argc; i++) {
        bool sender = strcmp(argv[i], "--sender") == 0;

        if (strcmp(argv[i], "--json") == 0) {
            e->json = true;
        } else if (strcmp(argv[i], "--bounce") == 0) {
            *bounce = true;
        } else if (sender && i + 1 < *argc) {
            e->selector = "sender";
            e->value = argv[++i];
        } else if (strncmp(argv[i], "--sender=", 9) == 0) {
            e->selector = "sender";
            e->value = argv[i] + 9;
        } else if (sender) {
            command_failf(EXIT_USAGE, "--sender: no value; write --sender ADDRESS");
            return false;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return true;
}

static bool set_verb(struct errand *e, const char *word, bool bounce)
{
    static const struct {
        const char *word, *done;
    } verbs[] = {{"list", NULL}, {"show", NULL}, {"why", NULL}, {"retry", "retried"},
        {"hold", "held"}, {"release", "released"}, {"drop", "dropped"}};

    for (unsigned i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(word, verbs[i].word) == 0) {
            e->verb = word;
            e->done = verbs[i].done;
            if (bounce && strcmp(word, "drop") == 0) {
                e->verb = "bounce";
                e->done = "returned";
                return true;
            }
            return !bounce;
        }
    return false;
}

/* What an operand names. */
static bool set_value(struct errand *e, const char *operand)
{
    uint64_t id;

    if (e->selector)
        return false; /* --sender was given, too */
    e->value = operand;
    e->selector = strcmp(operand, "all") == 0     ? "all"
        : queue_id_parse(slice_str(operand), &id) ? "id"
                                                  : "to";
    if (strcmp(e->selector, "all") == 0)
        e->value = "";
    return true;
}

static int act(struct errand *e, char **operands, unsigned count, bool bounce)
{
    if (count < 1 || !set_verb(e, operands[0], bounce) ||
        (count == 2 && !set_value(e, operands[1])))
        return usage();
    if (!e->selector && strcmp(e->verb, "list") == 0)
        set_value(e, "all");
    if (!e->selector)
        return usage();
    if (strlen(e->value) > 500 || strpbrk(e->value, "\r\n"))
        return command_failf(EXIT_USAGE, "queue: an address or a name is too long");
    if (strcmp(e->verb, "show") == 0 && strcmp(e->selector, "id") != 0)
        return command_failf(EXIT_USAGE,
            "show: write the ID of a message, as `ringmail queue list` has it");
    return carry_out(e);
}

static int run(int argc, char **argv)
{
    struct errand e = {0};
    char *operands[2];
    unsigned count;
    bool bounce = false;
    struct config *c;
    int status;

    if (!take_own(&e, &argc, argv, &bounce))
        return EXIT_USAGE;
    c = command_config(&command_queue, argc, argv, operands, 2, &count, &status);
    if (!c)
        return status;
    e.config = c;
    status = act(&e, operands, count, bounce);
    config_free(c);
    return status;
}

static const char *const flags[] = {"data", "config", NULL};

const struct command command_queue = {
    .name = "queue",
    .synopsis = "list|show|why|retry|hold|release|drop --data DIR "
                "[ID|DESTINATION|all|--sender ADDRESS] [--json]",
    .summary = "see and change what is on its way to other servers",
    .text =
        "Asks the running server. ID is that of a message in the list; DESTINATION a "
        "domain, the\nHOST:PORT of a --route or --relay, or `local`.\n\n"
        "  list      a line for each message: age, size, sender, recipients left, next "
        "try,\n            last answer\n"
        "  show ID   the envelope, and what has become of each recipient\n"
        "  why       what a message, or a destination, is waiting for\n"
        "  retry     now, in place of the next try\n"
        "  hold      not before `release`; held messages do not expire\n"
        "  release   lets go of what is held\n"
        "  drop      away with it; nobody is told, but with --bounce the sender is\n\n"
        "A change is durable when the command ends. --json prints the same for "
        "programs.\n",
    .flags = flags,
    .run = run,
};
