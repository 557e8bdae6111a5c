/* worker.h -- threads for what may block; the calls stand in thread.h. */
#pragma once
#include "server/thread.h"
