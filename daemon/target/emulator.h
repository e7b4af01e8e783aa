#pragma once
/* emulator: programs that translate the code of another one, which no probe can see. */
#include <stdbool.h>

/* path: of the executable. */
bool emulator_is(const char *path);
