/* command_user.c -- ringmail user add|passwd|del|list: edits the users file. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "proto/smtp/smtp.h"
#include "server/accounts.h"
#include "server/command.h"
#include "server/control.h"
#include "server/file.h"
#include "server/password.h"
#include "server/rand.h"
#include "server/removal_list.h"

enum { USERS_BYTES_MAX = 1 << 30, LOCK_WAIT_S = 10, ANSWER_S = 60 };

/* The users file under its lock, and what it becomes. */
struct edit {
    const struct config *config;
    int lock;
    struct file_bytes old;
    struct accounts *accounts; /* what is in it now */
    struct out fresh;
    size_t room;
};

/* --- the file ---------------------------------------------------------- */

static struct accounts *build(const struct edit *e, struct slice users, struct out *why)
{
    struct accounts_source source = {.config = e->config,
        .users = users,
        .users_name = e->config->users,
        .aliases_name = e->config->aliases,
        .key = random_u64()};

    return accounts_build(&source, why);
}

static int no_file(const struct config *c)
{
    const char *remedy = errno == ENOENT
        ? "; write --data DIR or --users FILE of a server"
        : errno == EBUSY ? "; another command edits it, try again"
                         : "";

    return command_failf(EXIT_FAILED, "%s: %s%s", c->users, strerror(errno), remedy);
}

static void edit_close(struct edit *e)
{
    if (e->lock >= 0)
        close(e->lock);
    accounts_drop(e->accounts);
    if (e->fresh.at)
        explicit_bzero(e->fresh.at, e->room);
    free(e->fresh.at);
    file_release(&e->old);
}

/* DATA, made for the account that the configuration runs the server under. */
static bool make_folder(const struct config *c)
{
    const struct passwd *pw;

    if (mkdir(c->data, 0700) != 0)
        return errno == EEXIST;
    if (!c->user || geteuid() != 0)
        return true;
    errno = ENOENT; /* where getpwnam() says nothing else */
    pw = getpwnam(c->user);
    if (pw && chown(c->data, pw->pw_uid, pw->pw_gid) == 0)
        return true;
    rmdir(c->data);
    return false;
}

/* What the file is opened for. Only `user add` makes one: elsewhere a missing file means
 * that --data or --users is wrong. */
enum edit_how { EDIT_LOOK, EDIT_LOOK_FOR, EDIT_CHANGE, EDIT_MAKE };

/* Reads and locks. Not EXIT_GOOD: said; edit_close() is owed either way. */
static int edit_open(struct edit *e, const struct config *c, enum edit_how how)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);

    *e = (struct edit){.config = c, .lock = -1};
    if (how == EDIT_MAKE && !make_folder(c))
        return command_failf(EXIT_FAILED, "--data %s: %s", c->data, strerror(errno));
    if (how != EDIT_MAKE && how != EDIT_LOOK_FOR && access(c->users, F_OK) != 0)
        return no_file(c);
    if (how == EDIT_MAKE || how == EDIT_CHANGE) {
        e->lock = file_lock(c->users, LOCK_WAIT_S);
        if (e->lock < 0)
            return no_file(c);
    }
    if (!file_read(c->users, USERS_BYTES_MAX, &e->old) && errno != ENOENT)
        return no_file(c);
    e->room = e->old.text.len + ACCOUNT_NAME_MAX + PASSWORD_FIELD_MAX + 4;
    e->fresh = out_of(malloc(e->room), e->room);
    e->accounts = build(e, e->old.text, &why);
    if (!e->fresh.at || !e->accounts)
        return command_fail(EXIT_FAILED, why.len ? out_slice(&why) : S("out of memory"));
    return EXIT_GOOD;
}

/* Checks what was made of the file, then puts it in its place. */
static int edit_save(struct edit *e)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);
    struct accounts *fresh = build(e, out_slice(&e->fresh), &why);

    if (!fresh)
        return command_fail(EXIT_FAILED, out_slice(&why));
    accounts_drop(fresh);
    if (!file_replace(e->config->users, out_slice(&e->fresh), 0600))
        return no_file(e->config);
    return EXIT_GOOD;
}

static bool cut_line(struct slice *text, struct slice *line)
{
    if (text->len == 0)
        return false;
    *line = slice_take(text, slice_find(*text, '\n'));
    if (text->len > 0)
        slice_take(text, 1);
    return true;
}

static bool is_line_of(const struct edit *e, struct slice line, struct slice name)
{
    char buffer[ACCOUNT_NAME_MAX + 2];
    struct slice given = slice_trim(slice_of(line.at, slice_find(line, ':')));

    return slice_trim(line).len > 0 && line.at[0] != '#' &&
        slice_eq(accounts_name(e->accounts, given, buffer, sizeof buffer), name);
}

static void put_line(struct out *out, struct slice line)
{
    out_put(out, line);
    out_byte(out, '\n');
}

/* The file without the user's line, or with another password in it. */
static void rewrite(struct edit *e, struct slice name, struct slice password)
{
    struct slice text = e->old.text, line;

    while (cut_line(&text, &line)) {
        if (!is_line_of(e, line, name)) {
            put_line(&e->fresh, line);
            continue;
        }
        if (password.len == 0)
            continue;
        out_put(&e->fresh, slice_take(&line, slice_find(line, ':')));
        out_byte(&e->fresh, ':');
        out_put(&e->fresh, password);
        if (line.len > 0)
            slice_take(&line, 1);
        slice_take(&line, slice_find(line, ':')); /* the old one */
        put_line(&e->fresh, line);
    }
}

static void append(struct edit *e, struct slice name, struct slice password)
{
    out_put(&e->fresh, e->old.text);
    if (e->fresh.len > 0 && e->fresh.at[e->fresh.len - 1] != '\n')
        out_byte(&e->fresh, '\n');
    out_put(&e->fresh, name);
    out_byte(&e->fresh, ':');
    put_line(&e->fresh, password);
}

/* --- passwords --------------------------------------------------------- */

static bool read_line(char *at, size_t cap, size_t *len)
{
    char c;

    for (*len = 0;;) {
        ssize_t n = read(STDIN_FILENO, &c, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || c == '\n')
            break;
        if (*len == cap)
            return false;
        at[(*len)++] = c;
    }
    if (*len > 0 && at[*len - 1] == '\r')
        --*len;
    return *len > 0;
}

/* From a terminal without echo. */
static bool ask(const char *prompt, char *at, size_t cap, size_t *len)
{
    struct termios old, quiet;
    bool terminal = tcgetattr(STDIN_FILENO, &old) == 0, good;

    if (!terminal)
        return read_line(at, cap, len);
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    fputs(prompt, stderr);
    good = read_line(at, cap, len);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    fputc('\n', stderr);
    return good;
}

/* A password from standard input, twice from a terminal, as a field of the file. */
static int read_password(struct out *field)
{
    char first[PASSWORD_MAX], again[PASSWORD_MAX];
    size_t len, again_len;
    int status = EXIT_GOOD;

    if (!ask("New password: ", first, sizeof first, &len))
        status = command_failf(EXIT_USAGE,
            "the password on standard input is empty or longer than %d octets",
            PASSWORD_MAX);
    else if (isatty(STDIN_FILENO) &&
        (!ask("Once more: ", again, sizeof again, &again_len) ||
            !slice_eq(slice_of(first, len), slice_of(again, again_len))))
        status =
            command_failf(EXIT_USAGE, "the two passwords differ; nothing is changed");
    else if (!password_make(slice_of(first, len), field))
        status = command_failf(EXIT_FAILED, "crypt(3) can't hash this password");
    explicit_bzero(first, sizeof first);
    explicit_bzero(again, sizeof again);
    return status;
}

/* --- the running server ------------------------------------------------ */

/* Tells it what has changed. `offline` is said when there is none. */
static int tell(const struct config *c, const char *request, const char *offline)
{
    char buffer[CONFIG_WHY_MAX];
    struct out reply = out_of(buffer, sizeof buffer);

    switch (control_ask(c->data, request, ANSWER_S, &reply)) {
    case CONTROL_OK:
        return EXIT_GOOD;
    case CONTROL_NONE:
        printf("No server runs on %s: %s\n", c->data, offline);
        return EXIT_GOOD;
    case CONTROL_ERROR:
        return command_failf(EXIT_FAILED, "%s is written, but the server says: %.*s",
            c->users, (int)reply.len, reply.at);
    case CONTROL_LOST:
        break;
    }
    return command_failf(EXIT_FAILED,
        "%s is written, but the server does not answer; send it SIGHUP", c->users);
}

/* --- the commands ------------------------------------------------------ */

/* Asks for the password before the file is locked: a terminal takes its time. */
static int begin(const struct config *c, struct slice name, bool wanted, struct edit *e,
    struct out *field)
{
    int status = edit_open(e, c, wanted ? EDIT_LOOK : EDIT_LOOK_FOR);
    bool there = status == EXIT_GOOD && accounts_find(e->accounts, name);

    if (status == EXIT_GOOD && there != wanted)
        status = command_failf(EXIT_FAILED,
            wanted ? "%.*s: no such account; `ringmail user add` makes it"
                   : "%.*s exists; `ringmail user passwd` changes the password",
            (int)name.len, name.at);
    if (status == EXIT_GOOD)
        status = read_password(field);
    if (status != EXIT_GOOD)
        return status;
    edit_close(e);
    status = edit_open(e, c, wanted ? EDIT_CHANGE : EDIT_MAKE);
    if (status == EXIT_GOOD && !accounts_find(e->accounts, name) == wanted)
        status = command_failf(EXIT_FAILED, "somebody else has just edited %s", c->users);
    return status;
}

static int add(const struct config *c, struct slice name)
{
    char buffer[PASSWORD_FIELD_MAX];
    struct out field = out_of(buffer, sizeof buffer);
    struct edit e;
    int status = begin(c, name, false, &e, &field);

    if (status == EXIT_GOOD) {
        append(&e, name, out_slice(&field));
        status = edit_save(&e);
    }
    edit_close(&e);
    if (status == EXIT_GOOD)
        status = tell(c, "reload", "the account counts from its next start.");
    return status;
}

static int passwd(const struct config *c, struct slice name)
{
    char buffer[PASSWORD_FIELD_MAX];
    struct out field = out_of(buffer, sizeof buffer);
    struct edit e;
    int status = begin(c, name, true, &e, &field);

    if (status == EXIT_GOOD) {
        rewrite(&e, name, out_slice(&field));
        status = edit_save(&e);
    }
    edit_close(&e);
    if (status == EXIT_GOOD)
        status = tell(c, "reload", "the password counts from its next start.");
    return status;
}

/* Also for a name that is in no file: mail of an account that was taken out by hand. */
static int del(const struct config *c, struct slice name)
{
    char buffer[CONFIG_WHY_MAX];
    struct out why = out_of(buffer, sizeof buffer);
    struct edit e;
    int status = edit_open(&e, c, EDIT_CHANGE);

    if (status == EXIT_GOOD && accounts_find(e.accounts, name)) {
        rewrite(&e, name, S(""));
        status = edit_save(&e);
    } else if (status == EXIT_GOOD) {
        printf("%.*s has no line in %s; only mail that is left is removed.\n",
            (int)name.len, name.at, c->users);
    }
    if (status == EXIT_GOOD && !removal_add(c, name, &why))
        status = command_fail(EXIT_FAILED, out_slice(&why));
    edit_close(&e);
    if (status == EXIT_GOOD)
        status = tell(c, "remove",
            "the account is closed; its mail is removed when it next starts.");
    return status;
}

static int list(const struct config *c)
{
    struct edit e;
    int status = edit_open(&e, c, EDIT_LOOK);

    for (unsigned i = 0; status == EXIT_GOOD && i < accounts_count(e.accounts); i++) {
        const struct account *account = accounts_at(e.accounts, i);

        printf("%.*s%s\n", (int)account->name.len, account->name.at,
            account->disabled     ? " (disabled)"
                : !account->login ? " (no login)"
                                  : "");
    }
    edit_close(&e);
    return status;
}

/* The canonical name of an operand, in `at`. */
static bool name_of(
    const struct config *c, const char *operand, struct arena *arena, struct slice *name)
{
    struct smtp_path path = {.kind = SMTP_PATH_MAILBOX};
    struct smtp_addr addr;
    char *full = NULL;
    bool good;

    if (!strchr(operand, '@') && c->domains.count > 0 &&
        asprintf(&full, "%s@%s", operand, c->domains.at[0]) < 0)
        return false;
    good = smtp_mailbox(slice_str(full ? full : operand), true, &path) && !path.literal &&
        smtp_addr_of(&path, S(""), 0, arena, &addr) && addr.full.len <= ACCOUNT_NAME_MAX;
    if (good)
        *name = addr.full;
    free(full);
    return good;
}

static int act(const struct config *c, char **operands, unsigned count)
{
    static const struct {
        const char *word;
        int (*run)(const struct config *c, struct slice name);
    } verbs[] = {{"add", add}, {"passwd", passwd}, {"del", del}};
    struct arena arena = arena_of(16384);
    struct slice name;
    int status;

    if (count == 1 && strcmp(operands[0], "list") == 0)
        return list(c);
    for (unsigned i = 0; count == 2 && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(operands[0], verbs[i].word) != 0)
            continue;
        if (operands[1][0] == '#' || strchr(operands[1], ':'))
            status = command_failf(EXIT_USAGE,
                "%s: the users file takes no name with a colon or a # in front; write "
                "it like anna@example.org",
                operands[1]);
        else if (!name_of(c, operands[1], &arena, &name))
            status = command_failf(EXIT_USAGE,
                "%s: not a name of an account; write it like anna@example.org",
                operands[1]);
        else
            status = verbs[i].run(c, name);
        arena_reset(&arena);
        return status;
    }
    return command_failf(EXIT_USAGE,
        "user: write `ringmail user add|passwd|del --data DIR USER@DOMAIN` or "
        "`ringmail user list --data DIR`");
}

static int run(int argc, char **argv)
{
    char *operands[2];
    unsigned count;
    int status;
    struct config *c =
        command_config(&command_user, argc, argv, operands, 2, &count, &status);

    if (!c)
        return status;
    status = act(c, operands, count);
    config_free(c);
    return status;
}

static const char *const flags[] = {"data", "users", "domain", "config", NULL};

const struct command command_user = {
    .name = "user",
    .synopsis = "add|passwd|del|list --data DIR [USER@DOMAIN]",
    .summary = "make, change, remove and list accounts",
    .text =
        "Edits the users file, atomically, and tells a running server at once. The "
        "password of\nadd and passwd comes from standard input, on a terminal without "
        "echo:\n\n"
        "  ringmail user add --data /srv/mail anna@example.org\n\n"
        "passwd and del end the sessions of the user. del also removes all mail of "
        "the user: at\nonce where a server runs, else when it next starts. An account "
        "that is only taken out\nof the file keeps its mail.\n",
    .flags = flags,
    .run = run,
};
