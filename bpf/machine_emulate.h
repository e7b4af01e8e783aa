#pragma once
/* machine_emulate: the header that executes instructions of the machine that this is built for. */

#if defined(__x86_64__) || defined(__TARGET_ARCH_x86)
#include "x86_64_emulate.h"
#endif
