#pragma once
/* own: what this dhatd takes itself. */
#include <stdint.h>

uint64_t own_rss_bytes(void);  /* 0: not known */
uint64_t own_heap_bytes(void); /* allocated and not freed, as the C library counts it */
double own_cpu_seconds(void);
