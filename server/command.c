#include "server/command.h"

#include <stdarg.h>
#include <stdlib.h>

enum { HELP_BYTES_MAX = 64 << 10 };

/* --- messages ---------------------------------------------------------- */

int command_fail(int status, struct slice message)
{
    fprintf(stderr, "ringmail: %.*s\n", (int)message.len, message.at);
    return status;
}

int command_failf(int status, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return command_fail(status, slice_str(text));
}

/* --- help -------------------------------------------------------------- */

static void print_flags(FILE *to, void (*print)(struct out *out, const char *const *only),
    const char *const *only)
{
    char *room = malloc(HELP_BYTES_MAX);
    struct out out = out_of(room, HELP_BYTES_MAX);

    if (!room)
        return;
    print(&out, only);
    fwrite(out.at, 1, out.len, to);
    free(room);
}

static void overview(FILE *to)
{
    fputs("ringmail - a mail server: SMTP and submission in, POP3 and IMAP out\n\n"
          "  ringmail COMMAND [FLAGS] ...\n\n",
        to);
    for (unsigned i = 0; commands[i]; i++)
        fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs(
        "  help       this; `ringmail help COMMAND` says more, `ringmail help --man` is "
        "the\n             manual page\n\n"
        "A server with two accounts, a certificate and mail programs' settings, from "
        "nothing:\n"
        "  server/quickstart\n\n"
        "By hand:\n"
        "  ringmail user add --data /srv/mail anna@example.org\n"
        "  ringmail serve --data /srv/mail --hostname mail.example.org --domain "
        "example.org \\\n"
        "      --tls-cert chain.pem --tls-key key.pem \\\n"
        "      --smtp 0.0.0.0:25 --submissions 0.0.0.0:465 --imaps 0.0.0.0:993\n",
        to);
}

void command_help(const struct command *command, FILE *to)
{
    if (!command) {
        overview(to);
        return;
    }
    fprintf(
        to, "ringmail %s %s\n\n%s\n", command->name, command->synopsis, command->text);
    print_flags(to, config_help, command->flags);
}

/* --- the manual page --------------------------------------------------- */

/* Paragraphs of help text: lines that begin with a blank are shown as they are. */
static void man_paragraphs(FILE *to, const char *text)
{
    bool literal = false, at_start = true;

    for (; *text; text++) {
        if (at_start && *text == '\n') {
            fputs(".PP\n", to);
            continue;
        }
        if (at_start && (*text == ' ') != literal) {
            literal = !literal;
            fputs(literal ? ".nf\n" : ".fi\n", to);
        }
        if (*text == '\\')
            fputs("\\e", to);
        else if (*text == '-')
            fputs("\\-", to);
        else
            fputc(*text, to);
        at_start = *text == '\n';
    }
    if (literal)
        fputs(".fi\n", to);
}

static void man_flags(struct out *out, const char *const *only)
{
    (void)only;
    config_man(out);
}

void command_man(FILE *to)
{
    fputs(".TH RINGMAIL 8 \"\" \"ringmail " RINGMAIL_VERSION "\"\n"
          ".SH NAME\nringmail \\- mail server: SMTP, submission, POP3, IMAP\n"
          ".SH SYNOPSIS\n.nf\n",
        to);
    for (unsigned i = 0; commands[i]; i++) {
        fprintf(to, "\\fBringmail %s\\fR ", commands[i]->name);
        man_paragraphs(to, commands[i]->synopsis);
        fputc('\n', to);
    }
    fputs(".fi\n.SH COMMANDS\n", to);
    for (unsigned i = 0; commands[i]; i++) {
        fprintf(to, ".SS ringmail %s\n", commands[i]->name);
        man_paragraphs(to, commands[i]->text);
    }
    fputs(".SH FLAGS\n"
          "A value follows its flag, or stands behind an equals sign. Sizes take K, M, G "
          "and T,\ntimes take s, m, h and d.\n",
        to);
    print_flags(to, man_flags, NULL);
    fputs(".SH SIGNALS\n.TP\n.B SIGTERM, SIGINT\nStop: no new connections, running "
          "commands end, all is made durable.\n"
          ".TP\n.B SIGHUP\nRead users, aliases and certificates again. What is bad is "
          "named in the log, and the old stays.\n"
          ".SH EXIT STATUS\n.TP\n.B 0\nA clean stop; the command was carried out.\n"
          ".TP\n.B 64\nBad usage; one line says what to write instead.\n"
          ".TP\n.B 1\nEverything else; one line says why.\n"
          ".SH FILES\n.TP\n.I DATA/users\nAccounts, as in Dovecot's passwd\\-file.\n"
          ".TP\n.I DATA/aliases\nAliases, as in Postfix's virtual(5).\n"
          ".TP\n.I DATA/control\nA socket through which the other commands reach a "
          "running server.\n"
          ".TP\n.I DATA/removed\nAccounts whose mail is still to be removed.\n"
          ".TP\n.I DATA/reshard\nThere while shards are being replaced; the next start "
          "removes what is left over.\n",
        to);
}

/* --- flags of the small commands ---------------------------------------- */

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

struct config *command_config(const struct command *command, int argc, char **argv,
    char **operands, unsigned operand_max, unsigned *operand_count, int *status)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);
    struct config *c;

    *status = EXIT_GOOD;
    if (wants_help(argc, argv)) {
        command_help(command, stdout);
        return NULL;
    }
    c = config_new();
    if (!c) {
        *status = command_failf(EXIT_FAILED, "out of memory");
        return NULL;
    }
    if (config_parse(
            c, argc, argv, command->flags, operands, operand_max, operand_count, &why) &&
        config_finish(c, !command->flags, &why))
        return c;
    *status = command_fail(EXIT_USAGE, out_slice(&why));
    config_free(c);
    return NULL;
}
