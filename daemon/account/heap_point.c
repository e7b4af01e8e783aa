#include "heap_point.h"

unsigned __int128 heap_point_lifetimes_ns(const struct heap_point *point, uint64_t now_ns)
{
	unsigned __int128 now_sum = (unsigned __int128)point->live_blocks * now_ns;

	/* A record may carry a time some ns after the one at which the copy was taken. */
	if (now_sum <= point->live_births_ns)
		return point->dead_lifetimes_ns;
	return point->dead_lifetimes_ns + (now_sum - point->live_births_ns);
}

uint64_t heap_point_lifetimes_us(const struct heap_point *point, uint64_t now_ns)
{
	unsigned __int128 sum_us = heap_point_lifetimes_ns(point, now_ns) / 1000;

	return sum_us > UINT64_MAX ? UINT64_MAX : (uint64_t)sum_us;
}

uint64_t heap_point_mean_age_us(const struct heap_point *point, uint64_t now_ns)
{
	uint64_t mean_birth_ns;

	if (!point->live_blocks)
		return 0;
	mean_birth_ns = (uint64_t)(point->live_births_ns / point->live_blocks);
	return now_ns > mean_birth_ns ? (now_ns - mean_birth_ns) / 1000 : 0;
}
