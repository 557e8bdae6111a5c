/* rand.h -- randomness; the calls stand in thread.h. A simulation replaces rand.c at link
 * time and gives numbers from its seed. */
#pragma once
#include "server/thread.h"
