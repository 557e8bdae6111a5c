/* config_help.c -- the flags as help text and as a manual page. */
#include "proto/base/help.h"
#include "server/config_table.h"

static bool is_number(const struct flag *f)
{
    return f->type == FLAG_COUNT || f->type == FLAG_SIZE || f->type == FLAG_SECONDS;
}

/* "[default 50M, 64K to 2G]", "[repeatable]". */
static void print_facts(struct out *out, const struct flag *f)
{
    const char *before = "[";

    if (config_repeats(f))
        out_str(out, "[repeatable"), before = ", ";
    if (*f->preset) {
        out_str(out, before);
        out_str(out, "default ");
        for (const char *c = f->preset; *c; c++) {
            out_byte(out, *c);
            if (*c == ',')
                out_byte(out, ' ');
        }
        before = ", ";
    }
    if (is_number(f)) {
        out_str(out, before);
        config_print_number(out, f->type, f->min);
        out_str(out, " to ");
        config_print_number(out, f->type, f->max);
    }
    if (config_repeats(f) || *f->preset || is_number(f))
        out_str(out, "]");
}

static void print_flag(struct out *out, const struct flag *f)
{
    char buffer[256];
    struct out facts = out_of(buffer, sizeof buffer);

    print_facts(&facts, f);
    help_flag(out, f->name, f->value, f->help, out_slice(&facts));
}

void config_help(struct out *out, const char *const *only)
{
    const char *group = NULL;

    for (unsigned i = 0; i < config_table_count; i++) {
        const struct flag *f = &config_table[i];

        if (f->type == FLAG_GROUP) {
            group = f->name;
            continue;
        }
        if (!config_listed(only, f->name))
            continue;
        if (group) {
            out_byte(out, '\n');
            out_str(out, group);
            out_str(out, ":\n");
            group = NULL;
        }
        print_flag(out, f);
    }
}

/* Text for man(7): a hyphen that is a minus, no backslash, no dot that begins a line. */
static void man_text(struct out *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        out_str(out, "\\&");
    for (; *text; text++) {
        if (*text == '\\')
            out_str(out, "\\e");
        else if (*text == '-')
            out_str(out, "\\-");
        else
            out_byte(out, *text);
    }
}

void config_man(struct out *out)
{
    char buffer[256];

    for (unsigned i = 0; i < config_table_count; i++) {
        const struct flag *f = &config_table[i];
        struct out facts = out_of(buffer, sizeof buffer - 1);

        if (f->type == FLAG_GROUP) {
            out_str(out, ".SS ");
            man_text(out, f->name);
            out_str(out, "\n");
            continue;
        }
        out_str(out, ".TP\n.BI \\-\\-");
        man_text(out, f->name);
        if (*f->value) {
            out_str(out, " \" ");
            man_text(out, f->value);
            out_str(out, "\"");
        }
        out_str(out, "\n");
        man_text(out, f->help);
        print_facts(&facts, f);
        buffer[facts.len] = 0;
        if (facts.len > 0) {
            out_str(out, "\n");
            man_text(out, buffer);
        }
        out_str(out, "\n");
    }
}
