#pragma once
/* sample: what one block of a sample (bpf/dhat_sample.h) stands for.
 *
 * Pure. A block of s bytes that was recorded with the probability p counts as 1/p blocks and s/p
 * bytes: the estimate of Horvitz and Thompson (1952), which is unbiased whatever the sizes are. Its
 * variance is estimated without bias, too, by the sum of (s/p)^2 (1-p) over the recorded blocks.
 * All of it follows from the size and R, so that a death takes away what the birth has added, and a
 * block is kept in no more bytes than without a sample.
 * Blocks are counted in parts of SAMPLE_BLOCK, so that 1.157 of them are not 1 (a sum has room for
 * 2^48: nine years of a million a second); bytes whole, being
 * R or more each. Variance is counted in parts, 1/SAMPLE_ERROR of R^2: no block adds more than R^2,
 * whatever its size, since x^2 exp(-x) / (1 - exp(-x))^2 is never above 1. So sums are integers,
 * and what comes back to nothing is 0.
 */
#include <stdint.h>

#include "bpf/dhat_sample.h"

#define SAMPLE_BLOCK (1u << 16)
#define SAMPLE_ERROR (1u << 20)

struct sample {
	uint64_t bytes; /* R; 0: every block is recorded */
	struct dhat_sample law;
};

struct sample_weight {
	uint64_t bytes, blocks; /* blocks: in parts; without a sample whole */
	uint64_t seen;		/* bytes that the block has */
	uint64_t error;
	uint64_t single; /* `seen`, of a block that stands for itself alone */
};

/* sample_bytes: from DHAT_SAMPLE_LEAST_BYTES to DHAT_SAMPLE_MOST_BYTES, or 0. */
struct sample sample_of(uint64_t sample_bytes);
/* Of a size as the heap counts it (H5, H9). */
struct sample_weight sample_weigh(const struct sample *sample, uint64_t size_bytes);
/* Of one that was recorded when all were. */
static inline struct sample_weight sample_weigh_single(uint64_t size_bytes)
{
	return (struct sample_weight){
		.bytes = size_bytes,
		.blocks = SAMPLE_BLOCK,
		.seen = size_bytes,
		.single = size_bytes,
	};
}
/* In square bytes. */
double sample_variance(const struct sample *sample, uint64_t error);

/* For those who show them: parts as whole blocks. */
static inline uint64_t sample_whole(uint64_t parts)
{
	return (parts + SAMPLE_BLOCK / 2) / SAMPLE_BLOCK;
}

/* Whole blocks for one in a histogram of whole numbers, where rounding would be a bias: up or down
 * by its address, up as often as it has parts. */
uint64_t sample_whole_by(uint64_t parts, uint64_t addr);
