/* Converts the corpus of real mail ($RINGMAIL_SHARED/corpus) and checks that each
 * message fits the hop afterwards and still decodes to the same. */
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/proto/mime/convert_check.h"

enum { FILE_MAX = 8 << 20 };

static unsigned verdicts[2][CONVERT_LIMIT + 1];

static bool is_message(const char *path)
{
    const char *name = strrchr(path, '/'), *dot = name ? strrchr(name, '.') : NULL;

    return !dot || (strcmp(dot, ".md") && strcmp(dot, ".py") && strcmp(dot, ".jsonl"));
}

/* The file with CRLF lines, as a server holds it. */
static struct slice read_message(const char *path)
{
    static char raw[FILE_MAX], text[2 * FILE_MAX];
    FILE *file = fopen(path, "rb");
    size_t len = 0, n;

    CHECK(file);
    n = fread(raw, 1, sizeof raw, file);
    fclose(file);
    for (size_t i = 0; i < n; i++) {
        if (raw[i] == '\n' && (i == 0 || raw[i - 1] != '\r'))
            text[len++] = '\r';
        text[len++] = raw[i];
    }
    return slice_of(text, len);
}

static int visit(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)place;
    if (kind != FTW_F || !is_message(path) || status->st_size > FILE_MAX)
        return 0;
    for (unsigned target = CONVERT_TO_7BIT; target <= CONVERT_TO_8BIT; target++)
        verdicts[target][check_conversion(read_message(path), target, 4099)]++;
    return 0;
}

int main(void)
{
    const char *shared = getenv("RINGMAIL_SHARED");
    char path[4096];

    if (!shared) {
        printf("skip: RINGMAIL_SHARED is not set\n");
        return 0;
    }
    snprintf(path, sizeof path, "%s/corpus", shared);
    if (nftw(path, visit, 16, FTW_PHYS)) {
        printf("not ok: no corpus at %s\n", path);
        return 1;
    }
    for (unsigned target = CONVERT_TO_7BIT; target <= CONVERT_TO_8BIT; target++)
        for (unsigned v = 0; v <= CONVERT_LIMIT; v++)
            printf("%s %5u: %s\n", target == CONVERT_TO_7BIT ? "7bit" : "8bit",
                verdicts[target][v], convert_reason(v).at);
    /* A corpus that calls for no conversion proves nothing. */
    return verdicts[CONVERT_TO_7BIT][CONVERT_REWRITE] < 10;
}
