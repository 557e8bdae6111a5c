/* smtp_path.h -- private to proto/smtp: paths in commands. */
#pragma once
#include "proto/smtp/smtp.h"

/* Takes a path, <...>, off the front of `in`; behind it comes a space or nothing.
 * Octets beyond ASCII pass: path->utf8 tells of them (the source route's too), and
 * the caller judges. False when the syntax is not RFC 5321's. */
bool smtp_path_take(struct slice *in, struct smtp_path *path);
