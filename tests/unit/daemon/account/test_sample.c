/* sample: the law of sampling against the C library; weights; and by many runs of it through the
 * heap that estimates have no bias, and that their intervals hold what they claim. Draws are by a
 * generator with a fixed seed: what is shown is shown each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/census.h"
#include "daemon/account/heap.h"
#include "daemon/account/lifetimes.h"
#include "daemon/account/moments.h"
#include "proto/base/cleanup.h"
#include "proto/profile/estimate.h"

DEFINE_CLEANUP_PTR(struct heap *, heap_free)
DEFINE_CLEANUP_PTR(struct census *, census_free)
DEFINE_CLEANUP_PTR(struct moments *, moments_free)

static uint64_t seed = 0x853c49e6748fea9bull;

/* xorshift64* (Vigna 2016), its better half */
static uint32_t draw(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)(seed * 0x2545f4914f6cdd1dull >> 32);
}

/* ---- the law ------------------------------------------------------------------------------- */

static const uint64_t rates[] = {
	DHAT_SAMPLE_LEAST_BYTES, 1 << 12, 100003, 1 << 19, (1 << 19) + 1, 999999999,
	DHAT_SAMPLE_MOST_BYTES
};

static void follows_the_exponential(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		const struct dhat_sample sample = dhat_sample_of(rates[i]);

		for (uint64_t bytes = 1; bytes < 30 * rates[i]; bytes += bytes / 1000 + 1) {
			uint64_t threshold = dhat_sample_threshold(&sample, bytes);
			double p = -expm1(-(double)bytes / (double)rates[i]);

			/* some of its last bits; never nothing, never more than all */
			assert_true(fabs((double)threshold - p * DHAT_SAMPLE_ONE) < 8);
			assert_in_range(threshold, 1, DHAT_SAMPLE_ONE);
		}
	}
}

/* That a larger block is drawn less often would be a surprise; a last bit may be. */
static void grows_with_the_size(void **state)
{
	const struct dhat_sample sample = dhat_sample_of(1 << 19);
	uint64_t last = 0;

	for (uint64_t size = 1; size < 24 << 19; size += 97) {
		uint64_t threshold = dhat_sample_threshold(&sample, size);

		assert_true(threshold + 2 >= last);
		last = threshold;
	}
	assert_int_equal(last, DHAT_SAMPLE_ONE);
}

static void draws_as_the_threshold_says(void **state)
{
	static const uint64_t sizes[] = { 1, 64, 4096, 1 << 18, 1 << 19, 3 << 19, 22 << 19 };
	const struct dhat_sample sample = dhat_sample_of(1 << 19);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t threshold = dhat_sample_threshold(&sample, sizes[i]);

		assert_true(threshold < DHAT_SAMPLE_ONE);
		assert_int_equal(dhat_sample_takes(&sample, sizes[i], 0), 1);
		assert_int_equal(dhat_sample_takes(&sample, sizes[i], threshold - 1), 1);
		assert_int_equal(dhat_sample_takes(&sample, sizes[i], threshold), 0);
		assert_int_equal(dhat_sample_takes(&sample, sizes[i], UINT32_MAX), 0);
	}
	assert_int_equal(dhat_sample_takes(&sample, 23 << 19, UINT32_MAX), 1);
	assert_int_equal(dhat_sample_takes(&sample, 1ull << 47, UINT32_MAX), 1);
}

/* H5, H9: both sides have to agree, or a weight would be another's. */
static void sizes_that_cannot_be_are_one_byte(void **state)
{
	const struct dhat_sample sample = dhat_sample_of(1 << 19);
	uint64_t one = dhat_sample_threshold(&sample, 1);

	assert_int_equal(DHAT_SAMPLE_SIZE_MOST, HEAP_SIZE_MOST);
	for (int i = 0; i < 3; i++) {
		const uint64_t sizes[] = { 0, (1ull << 47) + 1, UINT64_MAX };

		assert_int_equal(dhat_sample_size(sizes[i]), 1);
		assert_int_equal(dhat_sample_takes(&sample, sizes[i], one - 1), 1);
		assert_int_equal(dhat_sample_takes(&sample, sizes[i], one), 0);
	}
}

/* ---- weights ------------------------------------------------------------------------------- */

static void weighs_by_the_probability_that_was_used(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		const struct sample sample = sample_of(rates[i]);

		for (uint64_t bytes = 1; bytes < 30 * rates[i]; bytes += bytes / 100 + 1) {
			double p =
				(double)dhat_sample_threshold(&sample.law, bytes) / DHAT_SAMPLE_ONE;
			struct sample_weight weight = sample_weigh(&sample, bytes);
			double variance = sample_variance(&sample, weight.error);

			assert_int_equal(weight.seen, bytes);
			assert_true(fabs((double)weight.bytes - (double)bytes / p) <=
				    0.5 + 1e-9 * (double)weight.bytes);
			assert_true(fabs((double)weight.blocks / SAMPLE_BLOCK - 1 / p) <
				    1e-5 / p + 1e-5);
			assert_true(weight.bytes >= bytes);
			/* but for the last bits of p */
			assert_true(variance / ((double)rates[i] * (double)rates[i]) <=
				    1.00001 + 6 / (p * DHAT_SAMPLE_ONE));
			assert_true(
				fabs(variance - (double)bytes / p * (double)bytes / p * (1 - p)) <=
				(double)rates[i] * (double)rates[i] * 2e-6);
		}
	}
}

static void large_blocks_are_what_they_are(void **state)
{
	const struct sample sample = sample_of(1 << 19);
	struct sample_weight weight = sample_weigh(&sample, 100ull << 20);

	assert_int_equal(weight.bytes, 100ull << 20);
	assert_int_equal(weight.blocks, SAMPLE_BLOCK);
	assert_int_equal(weight.error, 0);
}

/* Up or down: 1.25 blocks are 2 of four times. */
static void histograms_have_whole_blocks_without_a_bias(void **state)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < 1 << 16; i++) {
		uint64_t blocks =
			sample_whole_by(SAMPLE_BLOCK + SAMPLE_BLOCK / 4, 0x55550000ull + 16 * i);

		assert_in_range(blocks, 1, 2);
		sum += blocks;
	}
	assert_true(fabs((double)sum / (1 << 16) - 1.25) < 0.01);
}

/* ---- the account --------------------------------------------------------------------------- */

#define R (64u << 10)

static struct heap *sampled_heap(void)
{
	struct heap *heap = NULL;

	assert_int_equal(heap_new(0, &heap), 0);
	heap_sample(heap, R);
	return heap;
}

static struct heap_point point_of(const struct heap *heap, uint32_t id)
{
	_cleanup_free_ struct heap_point *points = NULL;
	struct heap_totals totals;
	uint32_t count;

	assert_int_equal(heap_copy(heap, &totals, &points, &count), 0);
	assert_true(id < count);
	return points[id];
}

static void what_a_birth_adds_its_death_takes(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = sampled_heap();
	struct heap_totals totals;
	struct heap_sampled sampled;
	uint64_t addr = 4096;

	for (int i = 0; i < 10000; i++, addr += 16)
		assert_int_equal(
			heap_add_block(heap, 0, addr, 1 + draw() % (4 * R), i % 7, 100 + i), 0);
	while (addr > 4096)
		assert_true(heap_remove_block(heap, 0, addr -= 16, 0, 20000));
	heap_totals(heap, &totals);
	assert_int_equal(totals.live_bytes, 0);
	assert_int_equal(totals.live_blocks, 0);
	assert_int_equal(totals.sampled.live_error, 0);
	assert_int_equal(totals.sampled.live_seen, 0);
	assert_int_equal(totals.closed_blocks, totals.total_blocks);
	for (uint32_t i = 0; i < 7; i++) {
		sampled = heap_point_sampled(heap, i);
		assert_int_equal(sampled.live_error, 0);
		assert_int_equal(sampled.live_seen, 0);
		assert_int_not_equal(sampled.total_error, 0);
		assert_int_equal(point_of(heap, i).live_bytes, 0);
		assert_true(point_of(heap, i).live_births_ns == 0);
	}
}

/* The peak's evidence is of its moment, of points that have changed since and of those that have
 * not. */
static void evidence_of_the_peak_is_of_its_moment(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = sampled_heap();
	struct heap_totals totals;

	assert_int_equal(heap_add_block(heap, 0, 16, 1000, 1, 1), 0);
	assert_int_equal(heap_add_block(heap, 0, 32, 3000, 2, 2), 0);
	assert_int_equal(heap_point_sampled(heap, 1).peak_seen, 1000);
	heap_remove_block(heap, 0, 32, 0, 3);
	assert_int_equal(heap_point_sampled(heap, 1).peak_seen, 1000);
	assert_int_equal(heap_point_sampled(heap, 2).peak_seen, 3000);
	assert_int_equal(heap_point_sampled(heap, 2).live_seen, 0);
	heap_remove_block(heap, 0, 16, 0, 4);
	heap_totals(heap, &totals);
	assert_int_equal(totals.sampled.peak_seen, 4000);
	assert_int_equal(totals.sampled.peak_error, heap_point_sampled(heap, 1).peak_error +
							    heap_point_sampled(heap, 2).peak_error);
}

/* H12 */
static void a_realloc_is_an_end_and_a_beginning(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = sampled_heap();
	struct sample sample = sample_of(R);
	uint64_t old = sample_weigh(&sample, 100).bytes, new = sample_weigh(&sample, 5000).bytes;

	assert_int_equal(heap_add_block(heap, 0, 16, 100, 1, 1), 0);
	heap_realloc_begin(heap, 7, 0, 16, 0, 2);
	assert_int_equal(heap_realloc_end(heap, 7, 0, 16, 4096, 5000, 2, DHAT_REALLOC_MOVED, 3), 1);
	assert_int_equal(point_of(heap, 1).live_bytes, 0);
	assert_int_equal(point_of(heap, 1).total_bytes, old);
	assert_int_equal(point_of(heap, 2).live_bytes, new);
	heap_realloc_begin(heap, 7, 0, 4096, 0, 4);
	assert_int_equal(heap_realloc_end(heap, 7, 0, 4096, 0, 9000, 2, DHAT_REALLOC_FAILED, 5), 0);
	assert_int_equal(point_of(heap, 2).live_bytes, new);
	assert_int_equal(point_of(heap, 2).total_bytes, new);
	heap_realloc_begin(heap, 7, 0, 4096, 0, 6);
	assert_int_equal(heap_realloc_end(heap, 7, 0, 4096, 0, 50, 2, DHAT_REALLOC_FREED, 7), 0);
	assert_int_equal(point_of(heap, 2).live_bytes, 0);
}

/* P3: the block whose address comes again is gone; and of what nobody knows nothing is said. */
static void an_address_that_comes_again_ends_its_block(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = sampled_heap();
	struct heap_totals totals;

	assert_int_equal(heap_add_block(heap, 0, 16, 100, 1, 1), 0);
	heap_replace_block(heap, 0, 16, 2);
	heap_replace_block(heap, 0, 16, 3);
	assert_false(heap_remove_block(heap, 0, 16, 0, 4));
	heap_totals(heap, &totals);
	assert_int_equal(totals.live_bytes, 0);
	assert_int_equal(totals.seen_twice, 1);
	assert_int_equal(totals.unknown_frees, 0);
	/* what was not counted is not taken off, either */
	heap_discount_unknown_frees(heap, 1, 100);
	heap_totals(heap, &totals);
	assert_int_equal(totals.unknown_frees, 0);
}

/* They are all recorded, and may be cut: bpf/sampled.h. */
static void mappings_are_exact(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = sampled_heap();

	assert_int_equal(heap_add_block(heap, DHAT_DOMAIN_ANON, 4096, 8192, 1, 1), 0);
	assert_true(heap_cut_block(heap, DHAT_DOMAIN_ANON, 4096));
	assert_int_equal(heap_add_rest(heap, DHAT_DOMAIN_ANON, 4096, 4096, 1, 1, 2), 0);
	assert_int_equal(point_of(heap, 1).live_bytes, 4096);
	assert_int_equal(point_of(heap, 1).live_blocks, 1);
	assert_int_equal(heap_point_sampled(heap, 1).live_error, 0);
	assert_int_equal(heap_point_sampled(heap, 1).live_seen, 4096);
}

/* Ages, sizes, marks and lifetimes are of what the blocks stand for. */
static void what_follows_from_blocks_is_weighted(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = sampled_heap();
	_cleanup_(census_free_ptr) struct census *census = NULL;
	_cleanup_(moments_free_ptr) struct moments *moments = NULL;
	struct sample sample = sample_of(R);
	struct sample_weight weight = sample_weigh(&sample, 64);
	uint64_t each = weight.blocks / SAMPLE_BLOCK, sum = 0;
	struct moments_figures since;
	const uint32_t *dead;

	assert_int_equal(heap_mark(heap, "early", 1), 0);
	for (uint64_t i = 1; i <= 100; i++)
		assert_int_equal(heap_add_block(heap, 0, 16 * i, 64, 1, 10), 0);
	since = moments_since(heap_moments(heap), 0);
	assert_int_equal(since.bytes, 100 * weight.bytes);
	assert_in_range(since.blocks, 100 * each, 100 * each + 100);
	assert_int_equal(moments_copy(heap_moments(heap), true, &moments), 0);
	assert_int_equal(moments_since(moments, 0).blocks, since.blocks);
	assert_int_equal(census_new(1, &census), 0);
	assert_int_equal(heap_begin_census(heap, census, 1000), 0);
	while (heap_step_census(heap, 1) == 1)
		;
	assert_int_equal(census_at(census, 1)->older_bytes, 100 * weight.bytes);
	assert_in_range(census_at(census, 1)->older_blocks, 100 * each, 100 * each + 100);
	assert_in_range(census_at(census, 1)->sizes[dhat_size_bucket(64)], 100 * each,
			100 * each + 100);
	for (uint64_t i = 1; i <= 100; i++)
		assert_true(heap_remove_block(heap, 0, 16 * i, 0, 2000));
	dead = lifetimes_at(heap_lifetimes(heap), 1);
	assert_non_null(dead);
	for (size_t i = 0; i < DHAT_AGES; i++)
		sum += dead[i];
	assert_in_range(sum, 100 * each, 100 * each + 100);
	assert_int_equal(moments_since(heap_moments(heap), 0).blocks, 0);
	/* a mean of ages is no other for being weighted */
	assert_int_equal(heap_point_lifetimes_ns(&(struct heap_point){ 0 }, 1), 0);
	assert_true(point_of(heap, 1).dead_lifetimes_ns / point_of(heap, 1).total_blocks >= 1980);
	assert_true(point_of(heap, 1).dead_lifetimes_ns / point_of(heap, 1).total_blocks <= 2000);
}

/* ---- a sample that begins later ------------------------------------------------------------ */

static struct heap *switched_heap(void)
{
	struct heap *heap = NULL;

	assert_int_equal(heap_new(0, &heap), 0);
	for (uint64_t i = 1; i <= 100; i++)
		assert_int_equal(heap_add_block(heap, 0, 16 * i, 64, 1, i), 0);
	for (uint64_t i = 51; i <= 100; i++)
		assert_true(heap_remove_block(heap, 0, 16 * i, 0, 200 + i));
	assert_int_equal(heap_begin_sample(heap, R), 0);
	return heap;
}

static void what_was_counted_before_stays_exact(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = switched_heap();
	const struct sample sample = sample_of(R);
	struct sample_weight weight = sample_weigh(&sample, 64);
	struct heap_totals totals;
	struct heap_sampled sampled = heap_point_sampled(heap, 1);
	struct heap_point point = point_of(heap, 1);

	assert_int_equal(heap_begin_sample(heap, R), -EALREADY);
	assert_int_equal(point.total_bytes, 6400);
	assert_int_equal(point.total_blocks, 100);
	assert_int_equal(point.max_blocks, 100);
	assert_int_equal(point.peak_blocks, 100);
	assert_int_equal(point.live_blocks, 50);
	assert_int_equal(point.live_births_ns / 50, 51 / 2); /* a mean in whole ns */
	assert_true(point.dead_lifetimes_ns == 50 * 200);
	assert_int_equal(sampled.total_single, 6400);
	assert_int_equal(sampled.peak_single, 6400);
	assert_int_equal(sampled.live_single, 3200);
	assert_int_equal(sampled.live_error, 0);
	assert_int_equal(heap_single_blocks(heap), 50);
	/* what is drawn stands for others, what was decided before does not, whichever comes first
	 */
	assert_int_equal(heap_add_block(heap, 0, 4096, 64, 1, 400), 0);
	assert_int_equal(heap_add_single_block(heap, 0, 8192, 64, 1, 401), 0);
	assert_int_equal(point_of(heap, 1).live_bytes, 3200 + 64 + weight.bytes);
	assert_int_equal(heap_single_blocks(heap), 51);
	assert_true(heap_remove_block(heap, 0, 4096, 0, 500));
	assert_true(heap_remove_block(heap, 0, 8192, 0, 501));
	for (uint64_t i = 1; i <= 50; i++)
		assert_true(heap_remove_block(heap, 0, 16 * i, 0, 600));
	heap_totals(heap, &totals);
	assert_int_equal(totals.live_bytes, 0);
	assert_int_equal(totals.live_blocks, 0);
	assert_int_equal(totals.peak_bytes, 3200 + 64 + weight.bytes);
	sampled = heap_point_sampled(heap, 1);
	assert_int_equal(sampled.live_single, 0);
	assert_int_equal(sampled.live_seen, 0);
	assert_int_equal(sampled.live_error, 0);
	assert_int_equal(sampled.total_single, 6464);
	assert_int_equal(sampled.total_error, weight.error);
	assert_int_equal(heap_single_blocks(heap), 0);
	assert_true(point_of(heap, 1).live_births_ns == 0);
}

/* A realloc that was decided before keeps its stack (H4); one that is drawn is a new block. */
static void reallocs_over_the_switch(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = switched_heap();
	const struct sample sample = sample_of(R);

	heap_realloc_begin(heap, 7, 0, 16, 0, 300);
	assert_int_equal(
		heap_realloc_end_single(heap, 7, 0, 16, 5000, 100, 2, DHAT_REALLOC_MOVED, 301), 0);
	assert_int_equal(point_of(heap, 1).live_bytes, 3200 + 36);
	heap_realloc_begin(heap, 7, 0, 32, 0, 302);
	assert_int_equal(heap_realloc_end(heap, 7, 0, 32, 6000, 100, 2, DHAT_REALLOC_MOVED, 303),
			 1);
	assert_int_equal(point_of(heap, 1).live_bytes, 3200 + 36 - 64);
	assert_int_equal(point_of(heap, 2).live_bytes, sample_weigh(&sample, 100).bytes);
	/* it fails, and stays what it is */
	heap_realloc_begin(heap, 7, 0, 48, 0, 304);
	assert_int_equal(heap_realloc_end(heap, 7, 0, 48, 0, 900, 2, DHAT_REALLOC_FAILED, 305), 0);
	assert_int_equal(point_of(heap, 1).live_bytes, 3200 + 36 - 64);
	heap_realloc_begin(heap, 7, 0, 48, 0, 306);
	assert_int_equal(heap_realloc_end(heap, 7, 0, 48, 0, 900, 2, DHAT_REALLOC_FREED, 307), 0);
	assert_int_equal(point_of(heap, 1).live_bytes, 3200 + 36 - 128);
}

/* Marks, ages and the peak go on. */
static void what_follows_goes_on(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = NULL;
	_cleanup_(census_free_ptr) struct census *census = NULL;
	const struct sample sample = sample_of(R);
	uint64_t more = sample_weigh(&sample, 64).bytes;
	struct heap_totals totals;

	assert_int_equal(heap_new(0, &heap), 0);
	assert_int_equal(heap_mark(heap, "early", 1), 0);
	for (uint64_t i = 1; i <= 10; i++)
		assert_int_equal(heap_add_block(heap, 0, 16 * i, 64, 1, 10), 0);
	assert_int_equal(census_new(1, &census), 0);
	assert_int_equal(heap_begin_census(heap, census, 1000), 0);
	assert_int_equal(heap_begin_sample(heap, R), -EBUSY);
	while (heap_step_census(heap, 1) == 1)
		;
	assert_int_equal(heap_begin_sample(heap, R), 0);
	assert_int_equal(moments_since(heap_moments(heap), 0).blocks, 10);
	assert_int_equal(heap_add_block(heap, 0, 4096, 64, 1, 1100), 0);
	assert_int_equal(moments_since(heap_moments(heap), 0).bytes, 640 + more);
	heap_totals(heap, &totals);
	assert_int_equal(totals.sampled.peak_single, 640);
	assert_int_equal(totals.peak_bytes, 640 + more);
	census_free(census);
	assert_int_equal(census_new(1, &census), 0);
	assert_int_equal(heap_begin_census(heap, census, 2000), 0);
	while (heap_step_census(heap, 1) == 1)
		;
	assert_int_equal(census_at(census, 1)->older_bytes, 640 + more);
	for (uint64_t i = 1; i <= 10; i++)
		assert_true(heap_remove_block(heap, 0, 16 * i, 0, 3000));
	assert_int_equal(moments_since(heap_moments(heap), 0).bytes, more);
}

/* Without a sample nothing of it is there: P2. */
static void exact_heaps_stay_exact(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = NULL;
	struct heap_sampled sampled;

	assert_int_equal(heap_new(0, &heap), 0);
	assert_int_equal(heap_add_block(heap, 0, 16, 100, 1, 1), 0);
	assert_int_equal(point_of(heap, 1).live_bytes, 100);
	assert_int_equal(point_of(heap, 1).live_blocks, 1);
	sampled = heap_point_sampled(heap, 1);
	assert_int_equal(sampled.live_seen, 0);
}

/* ---- many runs ----------------------------------------------------------------------------- */

/* What a stack does in each run: so many blocks of sizes between two, of which each second one is
 * freed. */
static const struct course {
	const char *name;
	uint32_t blocks, least, most;
} courses[] = {
	{ "all small", 20000, 48, 80 },
	{ "few small", 1000, 60, 68 },
	{ "hardly any", 40, 100, 100 },
	{ "all large", 20, 4 * R, 4 * R },
	{ "of the rate's size", 50, R / 2, 2 * R },
	{ "mixed", 300, 16, 3 * R },
	{ "one small", 1, 64, 64 },
	{ "one of the rate's size", 1, R, R },
	{ "one large", 1, 3 * R, 3 * R },
	{ "one that is always there", 1, 40 * R, 40 * R },
};
#define COURSES ARRAY_SIZE(courses)

struct tally {
	double sum, squares, truth; /* of estimates, and what they are of */
	uint32_t covered;
};

static void add_estimate(struct tally *tally, uint64_t estimate, uint64_t truth, uint64_t low,
			 uint64_t high)
{
	tally->sum += (double)estimate;
	tally->squares += (double)estimate * (double)estimate;
	tally->truth += (double)truth;
	tally->covered += truth >= low && truth <= high;
}

static struct dhat_evidence evidence_of(const struct heap *heap, uint32_t point)
{
	const struct sample *sample = heap_sample_of(heap);
	struct heap_sampled sampled = heap_point_sampled(heap, point);

	return (struct dhat_evidence){
		.seen_bytes = { [DHAT_ESTIMATED_TOTAL] = sampled.total_seen,
				[DHAT_ESTIMATED_LIVE] = sampled.live_seen },
		.single_bytes = { [DHAT_ESTIMATED_TOTAL] = sampled.total_single,
				  [DHAT_ESTIMATED_LIVE] = sampled.live_single },
		.variance = { [DHAT_ESTIMATED_TOTAL] = sample_variance(sample, sampled.total_error),
			      [DHAT_ESTIMATED_LIVE] = sample_variance(sample, sampled.live_error) },
	};
}

/* A stack without a sample is not shown: what is said of it is the bound alone. */
static void tally_figure(struct tally *tally, const struct heap *heap, uint32_t point,
			 enum dhat_estimated which, uint64_t estimate, uint64_t truth)
{
	struct dhat_evidence evidence = evidence_of(heap, point);
	struct dhat_interval interval;

	dhat_evidence_add_missed(&evidence, R); /* as message_fill_sampled() */
	interval = evidence.seen_bytes[DHAT_ESTIMATED_TOTAL]
			   ? dhat_interval_of(R, &evidence, which, estimate)
			   : (struct dhat_interval){ 0, dhat_estimate_unseen(R) };

	add_estimate(tally, estimate, truth, interval.low, interval.high);
}

struct sums { /* of a course in one run, as they are */
	uint64_t total, live, total_blocks;
};

static void run_course(struct heap *heap, uint32_t point, uint64_t *addr, struct sums *sums)
{
	const struct course *course = &courses[point];
	const struct dhat_sample *law = &heap_sample_of(heap)->law;

	for (uint32_t i = 0; i < course->blocks; i++, *addr += 16) {
		uint64_t size = course->least + draw() % (course->most - course->least + 1);
		bool is_freed = i % 2;

		sums->total += size;
		sums->total_blocks++;
		sums->live += is_freed ? 0 : size;
		if (!dhat_sample_takes(law, size, draw()))
			continue;
		assert_int_equal(heap_add_block(heap, 0, *addr, size, point, *addr), 0);
		if (is_freed)
			assert_true(heap_remove_block(heap, 0, *addr, 0, *addr + 1));
	}
}

static void check_tally(const char *name, const char *figure, const struct tally *tally,
			uint32_t runs, double least_covered)
{
	double mean = tally->sum / runs, truth = tally->truth / runs;
	double variance = tally->squares / runs - mean * mean;
	double error = sqrt((variance > 0 ? variance : 0) / runs);
	double covered = (double)tally->covered / runs;

	print_message("%-26s %-6s bias %+6.2f %% (%+.1f standard errors), covered %.1f %%\n", name,
		      figure, 100 * (mean / truth - 1), error > 0 ? (mean - truth) / error : 0,
		      100 * covered);
	assert_true(fabs(mean - truth) <= 4 * error + 1e-5 * truth);
	assert_true(covered >= least_covered);
}

#define RUNS 2000

static void estimates_have_no_bias_and_intervals_hold(void **state)
{
	struct tally totals[COURSES] = { 0 }, lives[COURSES] = { 0 }, all = { 0 };
	struct tally blocks = { 0 };

	for (int run = 0; run < RUNS; run++) {
		_cleanup_(heap_free_ptr) struct heap *heap = sampled_heap();
		_cleanup_free_ struct heap_point *points = NULL;
		struct dhat_evidence evidence = { 0 };
		struct sums sum = { 0 };
		struct heap_totals heap_sums;
		struct dhat_interval interval;
		uint64_t addr = 4096;
		uint32_t count;

		/* the last first, so that the table has room for all */
		for (uint32_t i = COURSES; i-- > 0;) {
			struct sums sums = { 0 };
			struct heap_point point = { 0 };

			run_course(heap, i, &addr, &sums);
			if (heap_point_total_blocks(heap, i))
				point = point_of(heap, i);
			tally_figure(&totals[i], heap, i, DHAT_ESTIMATED_TOTAL, point.total_bytes,
				     sums.total);
			tally_figure(&lives[i], heap, i, DHAT_ESTIMATED_LIVE, point.live_bytes,
				     sums.live);
			if (i == 0)
				add_estimate(&blocks, point.total_blocks, sums.total_blocks, 0, 0);
			sum.total += sums.total;
			sum.live += sums.live;
		}
		assert_int_equal(heap_copy(heap, &heap_sums, &points, &count), 0);
		for (uint32_t i = 0; i < count; i++) {
			struct dhat_evidence part = evidence_of(heap, i);

			dhat_evidence_add(&evidence, &part);
		}
		interval =
			dhat_interval_of(R, &evidence, DHAT_ESTIMATED_LIVE, heap_sums.live_bytes);
		add_estimate(&all, heap_sums.live_bytes, sum.live, interval.low, interval.high);
	}
	for (uint32_t i = 0; i < COURSES; i++) {
		check_tally(courses[i].name, "total", &totals[i], RUNS, 0.93);
		check_tally(courses[i].name, "live", &lives[i], RUNS, 0.93);
	}
	check_tally("the whole heap", "live", &all, RUNS, 0.93);
	check_tally(courses[0].name, "blocks", &blocks, RUNS, 0);
}

/* A stack that was watched for long, and is sampled since: little came, of much that is there. The
 * uncertain part is as in any sample, and the interval is no wider for the rest. */
#define BEFORE_BYTES (1ull << 30)

static void a_switch_has_no_bias_and_its_intervals_hold(void **state)
{
	struct tally totals[COURSES] = { 0 }, lives[COURSES] = { 0 };

	for (int run = 0; run < RUNS; run++) {
		_cleanup_(heap_free_ptr) struct heap *heap = NULL;
		uint64_t addr = 1 << 20;

		assert_int_equal(heap_new(0, &heap), 0);
		for (uint32_t i = 0; i < COURSES; i++)
			for (uint64_t j = 0; j < 4; j++)
				assert_int_equal(heap_add_block(heap, 0, 4096 + 16 * (4 * i + j),
								BEFORE_BYTES / 4, i, 1),
						 0);
		assert_int_equal(heap_begin_sample(heap, R), 0);
		for (uint32_t i = 0; i < COURSES; i++) {
			struct sums sums = { 0 };
			struct heap_point point;
			uint64_t left = run % 4;

			run_course(heap, i, &addr, &sums);
			for (uint64_t j = left; j < 4; j++) /* of those from before */
				assert_true(heap_remove_block(heap, 0, 4096 + 16 * (4 * i + j), 0,
							      addr));
			point = point_of(heap, i);
			tally_figure(&totals[i], heap, i, DHAT_ESTIMATED_TOTAL, point.total_bytes,
				     BEFORE_BYTES + sums.total);
			tally_figure(&lives[i], heap, i, DHAT_ESTIMATED_LIVE, point.live_bytes,
				     left * (BEFORE_BYTES / 4) + sums.live);
		}
	}
	for (uint32_t i = 0; i < COURSES; i++) {
		check_tally(courses[i].name, "total", &totals[i], RUNS, 0.93);
		check_tally(courses[i].name, "live", &lives[i], RUNS, 0.93);
	}
}

/* A heap that lies flat, and is turned over again and again: the highest of all estimates is above
 * what was ever live. estimate.h says by how much, and allows for it. */
#define FLAT_BLOCKS 20000
#define FLAT_BYTES 512
#define FLAT_RUNS 100
#define FLAT_TURNS 50

static void the_peak_of_a_flat_heap_is_a_little_high(void **state)
{
	uint64_t truth = (uint64_t)FLAT_BLOCKS * FLAT_BYTES;
	uint32_t covered = 0;
	double excess = 0;

	for (int run = 0; run < FLAT_RUNS; run++) {
		_cleanup_(heap_free_ptr) struct heap *heap = sampled_heap();
		const struct sample *sample = heap_sample_of(heap);
		struct dhat_evidence evidence = { 0 };
		struct dhat_interval interval;
		struct heap_totals totals;
		_cleanup_free_ bool *is_in = calloc(FLAT_BLOCKS, sizeof(*is_in));
		double deviation;

		assert_non_null(is_in);
		for (uint64_t i = 0; i < (uint64_t)FLAT_BLOCKS * FLAT_TURNS; i++) {
			uint64_t at = i % FLAT_BLOCKS;

			if (is_in[at])
				heap_remove_block(heap, 0, 16 * (at + 1), 0, i);
			is_in[at] = dhat_sample_takes(&sample->law, FLAT_BYTES, draw());
			if (is_in[at])
				assert_int_equal(
					heap_add_block(heap, 0, 16 * (at + 1), FLAT_BYTES, 1, i),
					0);
		}
		heap_totals(heap, &totals);
		evidence.seen_bytes[DHAT_ESTIMATED_PEAK] = totals.sampled.peak_seen;
		evidence.variance[DHAT_ESTIMATED_PEAK] =
			sample_variance(sample, totals.sampled.peak_error);
		deviation = sqrt((double)truth * R);
		excess += ((double)totals.peak_bytes - (double)truth) / deviation / FLAT_RUNS;
		interval = dhat_interval_of(R, &evidence, DHAT_ESTIMATED_PEAK, totals.peak_bytes);
		covered += truth >= interval.low && truth <= interval.high;
	}
	print_message("%d turns: the peak is %.2f standard errors high, covered %d %%\n",
		      FLAT_TURNS, excess, (int)(100 * covered / FLAT_RUNS));
	assert_true(excess < 3.2);
	assert_true(covered >= FLAT_RUNS * 93 / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_the_exponential),
		cmocka_unit_test(grows_with_the_size),
		cmocka_unit_test(draws_as_the_threshold_says),
		cmocka_unit_test(sizes_that_cannot_be_are_one_byte),
		cmocka_unit_test(weighs_by_the_probability_that_was_used),
		cmocka_unit_test(large_blocks_are_what_they_are),
		cmocka_unit_test(histograms_have_whole_blocks_without_a_bias),
		cmocka_unit_test(what_a_birth_adds_its_death_takes),
		cmocka_unit_test(evidence_of_the_peak_is_of_its_moment),
		cmocka_unit_test(a_realloc_is_an_end_and_a_beginning),
		cmocka_unit_test(an_address_that_comes_again_ends_its_block),
		cmocka_unit_test(mappings_are_exact),
		cmocka_unit_test(what_follows_from_blocks_is_weighted),
		cmocka_unit_test(exact_heaps_stay_exact),
		cmocka_unit_test(what_was_counted_before_stays_exact),
		cmocka_unit_test(reallocs_over_the_switch),
		cmocka_unit_test(what_follows_goes_on),
		cmocka_unit_test(a_switch_has_no_bias_and_its_intervals_hold),
		cmocka_unit_test(estimates_have_no_bias_and_intervals_hold),
		cmocka_unit_test(the_peak_of_a_flat_heap_is_a_little_high),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
