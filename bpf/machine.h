#pragma once
/* machine: the header of the machine that this is built for: the only place that chooses one. */

#if defined(__x86_64__) || defined(__TARGET_ARCH_x86)
#include "x86_64.h"
#else
#error "dhatd knows no such machine; ARCHITECTURE.md says what one consists of"
#endif
