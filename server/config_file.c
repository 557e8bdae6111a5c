#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/config.h"
#include "server/file.h"

enum { CONFIG_FILE_MAX = 1 << 20 };

static struct slice cut_word(struct slice *line)
{
    size_t n = 0;

    while (
        n < line->len && line->at[n] != ' ' && line->at[n] != '\t' && line->at[n] != '=')
        n++;
    return slice_take(line, n);
}

static bool is_comment(struct slice rest)
{
    rest = slice_trim(rest);
    return rest.len == 0 || rest.at[0] == '#';
}

/* What follows the name: without one "=", blanks, a comment, and quotes around it all.
 * False: quotes that end too early or never. */
static bool take_value(struct slice rest, struct slice *value)
{
    rest = slice_trim(rest);
    if (rest.len > 0 && rest.at[0] == '=') {
        slice_take(&rest, 1);
        rest = slice_trim(rest);
    }
    if (rest.len > 0 && rest.at[0] == '"') {
        slice_take(&rest, 1);
        *value = slice_take(&rest, slice_find(rest, '"'));
        return rest.len > 0 && is_comment(slice_of(rest.at + 1, rest.len - 1));
    }
    for (size_t i = 0; i < rest.len; i++)
        if (rest.at[i] == '#' &&
            (i == 0 || rest.at[i - 1] == ' ' || rest.at[i - 1] == '\t'))
            rest.len = i;
    *value = slice_trim(rest);
    return true;
}

static bool take_line(struct config *c, struct slice line, struct out *why)
{
    struct slice name, value;

    line = slice_trim(line);
    if (line.len == 0 || line.at[0] == '#')
        return true;
    if (slice_starts_nocase(line, S("--")))
        slice_take(&line, 2);
    name = cut_word(&line);
    if (!take_value(line, &value)) {
        out_str(why, "--");
        out_put(why, name);
        out_str(why, ": the quotes around the value are not closed at its end; write \"");
        out_put(why, value);
        out_str(why, "\"");
        return false;
    }
    return config_set(c, name, value, value.len > 0, why);
}

bool config_text(struct config *c, struct slice text, const char *file, struct out *why)
{
    char where[64];

    for (unsigned number = 1; text.len > 0; number++) {
        struct slice line = slice_take(&text, slice_find(text, '\n'));
        size_t before = why->len;

        if (text.len > 0)
            slice_take(&text, 1);
        if (take_line(c, line, why))
            continue;
        CHECK(why->len >= before);
        snprintf(where, sizeof where, ", line %u)", number);
        out_str(why, " (");
        out_str(why, file);
        out_str(why, where);
        return false;
    }
    return true;
}

bool config_file_read(struct config *c, struct slice path, struct out *why)
{
    char *name = strndup(path.at, path.len);
    struct file_bytes bytes = {0};
    bool good = false;

    if (!name) {
        out_str(why, "--config: out of memory");
    } else if (c->config_depth > 0) {
        out_str(why, "--config: a configuration file can't name another");
    } else if (!file_read(name, CONFIG_FILE_MAX, &bytes)) {
        out_str(why, "--config ");
        out_str(why, name);
        out_str(why, ": ");
        out_str(why, strerror(errno));
    } else {
        c->config_depth++;
        good = config_text(c, bytes.text, name, why);
        c->config_depth--;
    }
    file_release(&bytes);
    free(name);
    return good;
}
