/* params.h -- "; name=value" lists of Content-Type and Content-Disposition
 * (RFC 2045, section 5.1), continuations joined (RFC 2231, sections 3 and 6).
 */
#pragma once
#include "proto/base/slice.h"
#include "proto/mime/lex.h"

enum {
    PARAMS_MAX = 256,     /* of one field; the rest is not read */
    PARAM_NAME_MAX = 256, /* longer names are skipped */
};

struct param {
    struct slice name;  /* as given, without "*0" and "*" */
    struct slice value; /* unquoted; extended ones still charset'language'%41 */
    int32_t index;      /* of a continuation piece, else -1 */
    bool extended;      /* its name ended in "*" */
};

struct params {
    struct param list[PARAMS_MAX];
    unsigned count;
};

/* Reads the list behind the lexer's place, and no more than `pieces_max` continuation
 * pieces. `space` holds as many octets as the value has and lives as long as the list. */
void params_read(
    struct params *p, struct lexer *l, unsigned pieces_max, char *space, size_t room);

/* What a parameter is worth to this program: plain, joined, extended octets decoded
 * but not converted (RFC 2231, section 4). Written to *space where that is needed,
 * which must hold three times the octets of all values; at == NULL: not there. */
struct slice params_value(const struct params *p, struct slice name, struct out *space);

/* Writes body-fld-param: ("name" "value" ...) or NIL (RFC 3501, section 9). Joined and
 * extended ones come last, by name; when a piece is extended the name has a "*", and
 * the octets of plain pieces that would be misread are written as %41 (RFC 2231,
 * section 4.1). `default_charset`: a charset is added when none is given. */
void params_put(
    const struct params *p, struct out *out, bool default_charset, struct out *space);
