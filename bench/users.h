/* users.h -- who logs in and gets mail: a pattern with a number, or a list in a file. */
#pragma once
#include "proto/base/slice.h"

enum { USER_NAME_MAX = 320, USER_PASSWORD_MAX = 256 };

struct user {
    struct slice name, password;
};

struct users {
    struct slice before, after; /* of the number in the pattern */
    bool numbered;
    uint64_t first, count;
    struct slice password;
    struct user *list; /* of a file; NULL: the pattern */
    char *text;        /* that the list points into */
};

/* False: no single %d in it, or it is too long. */
bool users_pattern(struct users *u, struct slice pattern);
/* "address[:password]" a line; empty lines and those with a # in front mean nothing.
 * False: it can't be read, or names nobody; errno says why, or is 0; EOVERFLOW: a name or
 * a password is too long. */
bool users_file(struct users *u, const char *path);
void users_free(struct users *u);

/* Of user `i`, counted from 0; i is taken modulo their number. */
void users_name(const struct users *u, uint64_t i, struct out *out);
struct slice users_password(const struct users *u, uint64_t i);
