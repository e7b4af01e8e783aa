#pragma once
/* histogram: ages and sizes by powers of two; and what is so young that it is temporary. Pure. */
#include <stdint.h>

/* Of times: bucket n holds those below 2^(n-17) s, 7.6 µs, that no bucket before holds; the last
 * one all from 24 days on. */
#define DHAT_AGES 40
/* Of sizes: bucket n holds those up to 2^n bytes that no bucket before holds; the last one all
 * above 1 GiB. */
#define DHAT_SIZES 32

/* What its thread frees before it allocates anew has been of no use to anybody else; but one that
 * waits for something meanwhile may hold a block for long. */
#define DHAT_TEMPORARY_NS 1000000000ull

/* The bound of all but the last bucket, rounded up: what is less is below it. */
static inline uint64_t dhat_age_bound_ns(uint32_t bucket)
{
	const uint64_t second = 1000000000;

	return bucket >= 17 ? second << (bucket - 17)
			    : (second + (1u << (17 - bucket)) - 1) >> (17 - bucket);
}

static inline uint32_t dhat_age_bucket(uint64_t ns)
{
	/* 2^-17 s lie between 2^12 and 2^13 ns, and so with all bounds: one of two is it */
	uint32_t bucket = ns >> 12 ? 63 - 12 - __builtin_clzll(ns) : 0;

	if (bucket >= DHAT_AGES - 1)
		return DHAT_AGES - 1;
	return bucket + (ns >= dhat_age_bound_ns(bucket));
}

static inline uint32_t dhat_size_bucket(uint64_t bytes)
{
	uint32_t bucket = bytes > 1 ? 64 - __builtin_clzll(bytes - 1) : 0;

	return bucket < DHAT_SIZES ? bucket : DHAT_SIZES - 1;
}
