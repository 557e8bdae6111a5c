/* password.h -- the password field of the users file: {SCHEME}hash.
 *
 *   {CRYPT} {SHA512-CRYPT} {SHA256-CRYPT} {BLF-CRYPT} {YESCRYPT} {MD5-CRYPT} {DES-CRYPT}
 *       what crypt(3) takes: yescrypt, bcrypt, sha512 ...; without {SCHEME} the same
 *   {PLAIN} {CLEARTEXT}
 *       the password itself
 *
 * An empty hash, or one that begins with ! or *, fits no password.
 */
#pragma once
#include "proto/base/slice.h"

enum {
    PASSWORD_MAX = 511,       /* octets; what crypt(3) takes */
    PASSWORD_FIELD_MAX = 1024 /* octets of the whole field */
};

enum password_kind {
    PASSWORD_LOCKED,
    PASSWORD_UNKNOWN, /* a scheme that is none of ours */
    PASSWORD_CRYPT,   /* takes a while: off the loop */
    PASSWORD_PLAIN    /* at once */
};

enum password_kind password_kind(struct slice field);

/* Does the password fit? With PASSWORD_CRYPT blocks for the time of the hash, which does
 * not depend on the answer. Copies are wiped. */
bool password_fits(struct slice field, struct slice password);

/* A field for a new password, with crypt(3)'s best hash and a salt from the system.
 * False: too long, empty, holds a NUL, or crypt(3) failed. */
bool password_make(struct slice password, struct out *field);

/* Equal? In a time that does not depend on where they differ. */
bool password_equal(struct slice a, struct slice b);
