#pragma once
/* dhat_sample: which blocks are recorded when not all are (--sample R), and how likely that was.
 *
 * Beside dhat_abi.h the other header that both sides include: the kernel side draws by it, and the
 * daemon takes each block's weight from it. So the weight is 1 / (the probability really used), and
 * estimates are unbiased whatever the approximation below is worth.
 *
 * A block of s bytes is recorded with p(s) = 1 - exp(-s / R): that some point of a Poisson process
 * with one point every R bytes falls into it. It is drawn for each block by itself: nothing is
 * counted down, so that no counter is raced for (per-CPU ones that were lost updates: +21 %).
 * Numbers are fixed-point: ONE is 2^32, and p(s) = threshold / ONE exactly.
 */
#include <linux/types.h>

#define DHAT_SAMPLE_ONE (1ULL << 32)

/* R: below, nothing would be spared; above, p(1) would be a number of no more than two bits. */
#define DHAT_SAMPLE_LEAST_BYTES (1ULL << 10)
#define DHAT_SAMPLE_MOST_BYTES (1ULL << 30)

/* A size that no block can have counts as 1 byte, as 0 does: heap.h, H5 and H9. */
#define DHAT_SAMPLE_SIZE_MOST (1ULL << 47)

/* A set of blocks that is too large for a table, as bits: a block's is that of a hash of its name,
 * which it may have in common with others. */
#define DHAT_BLOCK_BITS_LEAST_SHIFT 33 /* 2^31 of them at most */
static inline __u32 dhat_block_bit(__u64 name, __u32 shift)
{
	return name * 0x9e3779b97f4a7c15ULL >> shift; /* 2^64 / golden ratio */
}

struct dhat_sample {
	__u64 inverse;	   /* 2^58 / R; 0: all blocks are recorded */
	__u64 always_from; /* bytes from which on a block always is: exp(-23) is less than 2^-32 */
};

static inline struct dhat_sample dhat_sample_of(__u64 sample_bytes)
{
	struct dhat_sample sample = { 0, 0 };

	if (sample_bytes) {
		sample.inverse = (1ULL << 58) / sample_bytes;
		sample.always_from = 23 * sample_bytes;
	}
	return sample;
}

/* s / R, 4 at least; of less than always_from, so that the product is less than 2^63. */
static inline __u64 dhat_sample_share(const struct dhat_sample *sample, __u64 size_bytes)
{
	return size_bytes * sample->inverse >> 26;
}

/* 1 - exp(-x), between 1 and x. exp(-x) is 2^-n exp(-r), the latter by its series: the error of its
 * eleventh power is 0.1 of the last bit. */
static inline __u64 dhat_sample_curve(__u64 x)
{
	/* ONE / k! */
	const __u64 c0 = 4294967296, c1 = 4294967296, c2 = 2147483648, c3 = 715827883,
		    c4 = 178956971, c5 = 35791394, c6 = 5965232, c7 = 852176, c8 = 106522,
		    c9 = 11836, c10 = 1184, c11 = 108;
	const __u64 ln_2 = 2977044472;
	__u64 n = x / ln_2, r = x - n * ln_2, e = c10 - (r * c11 >> 32), p;

	e = c9 - (r * e >> 32);
	e = c8 - (r * e >> 32);
	e = c7 - (r * e >> 32);
	e = c6 - (r * e >> 32);
	e = c5 - (r * e >> 32);
	e = c4 - (r * e >> 32);
	e = c3 - (r * e >> 32);
	e = c2 - (r * e >> 32);
	e = c1 - (r * e >> 32);
	e = c0 - (r * e >> 32);
	p = DHAT_SAMPLE_ONE - (n < 40 ? e >> n : 0);
	if (p > x) /* so that a draw above x needs no curve */
		p = x;
	return p ? p : 1;
}

/* As it is counted. */
static inline __u64 dhat_sample_size(__u64 size_bytes)
{
	return size_bytes - 1 >= DHAT_SAMPLE_SIZE_MOST ? 1 : size_bytes;
}

/* p(size) * ONE, of a size as it is counted. */
static inline __u64 dhat_sample_threshold(const struct dhat_sample *sample, __u64 size_bytes)
{
	if (size_bytes >= sample->always_from)
		return DHAT_SAMPLE_ONE;
	return dhat_sample_curve(dhat_sample_share(sample, size_bytes));
}

/* Is a block recorded? drawn: 32 random bits. Most are not, and that is found by one product. */
static inline int dhat_sample_takes(const struct dhat_sample *sample, __u64 size_bytes, __u32 drawn)
{
	__u64 size = dhat_sample_size(size_bytes), x;

	if (size >= sample->always_from)
		return 1;
	x = dhat_sample_share(sample, size);
	return drawn < x && drawn < dhat_sample_curve(x);
}
