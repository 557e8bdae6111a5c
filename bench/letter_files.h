/* letter_files.h -- the messages of a folder (--mail). Private to letter*.c. */
#pragma once
#include "bench/letter.h"

bool letter_files_read(struct letters *ls, const char *folder, struct out *why);
void letter_files_free(struct letters *ls);
