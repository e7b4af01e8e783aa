#pragma once
/* overhead: has watching a process cost more than it may? Pure; the clock is the caller's.
 *
 * O1: it is the mean over the bound's time that counts, and not before there was so much: neither a
 *     burst that is over soon nor a pause now and then decides.
 * O2: once it has been too much, what was before is forgotten: who cannot let go is told again when
 *     as much time has passed, and so is who has made it cheaper, and not enough.
 * O3: what is done only ever goes one way: all blocks, a sample, nothing. A sample is taken only if
 *     with it watching is taken to cost OVERHEAD_MARGIN of the bound at most: else it would have to
 *     be let go a little later, with less to show for it. At places where allocations are seen at
 *     the end of a call, as elsewhere, one that is not drawn costs its trap, and that is most of
 *     the price: a sample spares the walk and the record.
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

struct overhead_figures {  /* what it costs now, and has since the last reading */
	double hundredths; /* of a percent of a core */
	double walk;	   /* of them: for walks and records of allocations */
	double bytes;	   /* that an allocation has on the average; 0: not known */
};

struct overhead_sums { /* of the above, each times ns; the last times `walk`, too */
	double cost, walk, bytes;
};

struct overhead { /* zeroed before the first reading */
	struct overhead_sample {
		uint64_t ns;
		struct overhead_sums sums; /* up to then */
	} samples[OVERHEAD_SAMPLES];	   /* a ring */
	uint64_t count;			   /* ever */
	uint64_t last_ns;
	struct overhead_sums sums;
};

/* True: too much; *ret_mean. now_ns never goes back. */
bool overhead_step(struct overhead *overhead, const struct overhead_bound *bound,
		   const struct overhead_figures *now, uint64_t now_ns,
		   struct overhead_figures *ret_mean);

/* R of bpf/dhat_sample.h is doubled from the first to the last. With the last, a stack that is not
 * shown may have 48 MiB. */
#define OVERHEAD_LEAST_SAMPLE (512ull << 10)
#define OVERHEAD_MOST_SAMPLE (16ull << 20)
#define OVERHEAD_MARGIN 0.8

/* The least R with which it costs little enough, or 0: none, and then *ret_hundredths is of the
 * greatest. */
uint64_t overhead_choose(const struct overhead_bound *bound, const struct overhead_figures *mean,
			 double *ret_hundredths);
