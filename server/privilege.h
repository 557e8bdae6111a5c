/* privilege.h -- from root to the account that serves.
 *
 *   privilege_fix --> privilege_enter --> process_open: files made and read as the
 *   account, low ports bound --> privilege_drop: root is gone for good
 */
#pragma once
#include <stdbool.h>

#include "proto/base/slice.h"

/* Acts as the account from now on, but may still bind ports below 1024. Makes DATA for
 * it where it is missing. Before any thread is made. False: `why`. */
bool privilege_enter(const char *user, const char *data, struct out *why);

/* Becomes the account in every thread; root can't be regained. No core dump and no
 * debugger from now on: memory holds mail and keys. NULL: stays who it is. False: `why`.
 */
bool privilege_drop(const char *user, struct out *why);

/* Nothing that is executed gains privileges: for all threads, so before any is made. */
void privilege_fix(void);
