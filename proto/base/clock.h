#pragma once
#include <stdint.h>
#include <time.h>

/* A clock's reading in ns; CLOCK_REALTIME's are since 1970. */
static inline uint64_t clock_now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
