#pragma once
/* own: what this dhatd takes itself. */
#include <stdint.h>

uint64_t own_rss_bytes(void); /* 0: not known */
double own_cpu_seconds(void);
