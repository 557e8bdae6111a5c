/* removal_list.h -- DATA/removed: accounts whose mail is to be removed, a name a line.
 *
 * `ringmail user del` adds a name, the server takes it out when the mail is gone. An
 * account in the list is closed, also when it was made anew: what is left of the old one
 * must be gone first. */
#pragma once
#include "server/config.h"
#include "server/file.h"

/* Adds a name, durably. False: `why`. */
bool removal_add(const struct config *config, struct slice name, struct out *why);

/* The list, empty when there is none; file_release() it. False: `why`. */
bool removal_read(const struct config *config, struct file_bytes *bytes, struct out *why);
/* Its next name. False at the end. */
bool removal_cut(struct slice *text, struct slice *name);

/* Takes a name out, durably; the file goes with the last one. */
bool removal_forget(const struct config *config, struct slice name);
