#pragma once
/* overhead: has watching a process cost more than it may? Pure; the clock is the caller's.
 *
 * O1: it is the mean over the bound's time that counts, and not before there was so much: neither a
 *     burst that is over soon nor a pause now and then decides.
 * O2: once it has been too much, what was before is forgotten: who cannot let go is told again when
 *     as much time has passed.
 */
#include <stdbool.h>
#include <stdint.h>

struct overhead_bound {
	uint64_t hundredths; /* of a percent of a core; 0: none */
	uint64_t ns;	     /* the time over which it counts */
};

#define OVERHEAD_NS 30000000000ull /* where nothing is said */
#define OVERHEAD_SAMPLES 64

/* "3%", "2.5% for 10s"; 0, or -EINVAL and why, of TRIGGER_WHY_CHARS. */
int overhead_parse(const char *text, struct overhead_bound *ret, char *why);

struct overhead { /* zeroed before the first reading */
	struct overhead_sample {
		uint64_t ns;
		double cost;	     /* hundredths of a percent, times ns, up to then */
	} samples[OVERHEAD_SAMPLES]; /* a ring */
	uint64_t count;		     /* ever */
	uint64_t last_ns;
	double cost;
};

/* hundredths: what it costs now, and has since the last reading. True: too much; *ret_mean. now_ns
 * never goes back. */
bool overhead_step(struct overhead *overhead, const struct overhead_bound *bound,
		   uint64_t hundredths, uint64_t now_ns, uint64_t *ret_mean);
