/* A sample begins, of a target of which all blocks were recorded until then.
 *
 * Each allocation is decided by one of the two rules, in the kernel, and its record says by which;
 * so there is no moment at which one ends and the other begins. In order:
 * 1. the heap knows of weights, and each block until then stands for itself alone;
 * 2. the kernel side tells of all frees, and draws. When all calls that were under way are over,
 *    and the ring has been emptied, each block that was recorded by the old rule is in the heap;
 * 3. those that live are walked over, and become bits in the kernel, by which their frees are told
 *    from then on, and no others'. A block that goes meanwhile has a bit too many, which costs a
 *    record now and then; one that is moved is another one from there on (H12); one whose realloc
 *    has failed is in the kernel's set (L4 of bpf/sampled.h).
 * Where there is no room for bits, all frees are told for good: right, and dearer.
 */
#include "private.h"

#include "bpf/dhat_sample.h"
#include "proto/base/cleanup.h"
#include "proto/base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BITS_A_BLOCK 8ull   /* so that at most one in eight frees of others is told in vain */
#define LEAST_BITS_SHIFT 15 /* a page */
#define SET_BYTES (16ull * TRACER_MAX_SAMPLED) /* of the kernel's, empty: tracer.h */

static void add_step(struct target *target, enum target_step_kind kind, uint64_t sample_bytes,
		     const char *reason)
{
	struct target_steps *steps = &target->steps;
	struct target_step *step = &steps->list[steps->count];

	if (steps->count == TARGET_STEPS_MOST)
		return;
	*step = (struct target_step){ .kind = kind,
				      .unix_ns = clock_now_ns(CLOCK_REALTIME),
				      .ns = clock_now_ns(CLOCK_MONOTONIC),
				      .sample_bytes = sample_bytes };
	snprintf(step->reason, sizeof(step->reason), "%s", reason);
	steps->count++;
}

void target_note_detached(struct target *target, const char *reason)
{
	target_lock(target);
	add_step(target, TARGET_STEP_DETACHED, 0, reason);
	target_unlock(target);
}

/* ---- the blocks that live ------------------------------------------------------------------- */

struct bits {
	uint64_t *words;
	uint32_t shift;
	uint64_t count; /* of blocks */
};

static void set_bit(void *bits_, const struct block *block)
{
	struct bits *bits = bits_;
	uint32_t bit;

	if (!block->is_single || block->domain == DHAT_DOMAIN_ANON)
		return;
	bit = dhat_block_bit(tracer_block_name(block->domain, block->addr), bits->shift);
	bits->words[bit / 64] |= 1ull << bit % 64;
	bits->count++;
}

static uint64_t bytes_of(uint32_t shift)
{
	return (1ull << (64 - shift)) / 8;
}

/* Holder of map_lock. -ENOMEM, or as of tracer_set_recorded(). */
static int tell_recorded(struct target *target, uint32_t shift)
{
	struct bits bits = { .shift = shift };
	_cleanup_free_ uint64_t *words = calloc(1, bytes_of(shift));
	int error;

	if (!words)
		return -ENOMEM;
	bits.words = words;
	error = target_walk_blocks(target, set_bit, NULL, &bits);
	if (error == 0)
		error = tracer_set_recorded(target->tracer, bits.count ? words : NULL, shift);
	if (error)
		return error;
	target->recorded_blocks = bits.count;
	target->recorded_shift = shift;
	return 0;
}

/* 0: there is no room for so many. */
static uint32_t choose_shift(struct target *target)
{
	uint32_t log2 = LEAST_BITS_SHIFT;
	uint64_t blocks;
	bool has_room;

	target_lock(target);
	blocks = heap_kept_blocks(target->heap);
	while (log2 < 64 - DHAT_BLOCK_BITS_LEAST_SHIFT && 1ull << log2 < BITS_A_BLOCK * blocks)
		log2++;
	/* what the kernel takes is charged when it has it: target_charge_grown() */
	has_room = bytes_of(64 - log2) <= budget_left(&target->budget);
	target_unlock(target);
	return has_room ? 64 - log2 : 0;
}

static void tell_frees_of_known(struct target *target)
{
	uint32_t shift = choose_shift(target);

	if (shift && tell_recorded(target, shift) == 0)
		tracer_set_tells_all_frees(target->tracer, false);
	else
		findings_note(
			&target->findings,
			"there was no room for the blocks from before the sample: frees of all "
			"blocks are told by the kernel side, at the price of a record each");
}

void target_look_after_sample(struct target *target)
{
	bool is_due;

	target_lock(target);
	is_due = target->recorded_blocks && target->life.state == TARGET_ATTACHED &&
		 heap_single_blocks(target->heap) <= target->recorded_blocks / 2;
	target_unlock(target);
	if (!is_due)
		return;
	pthread_mutex_lock(&target->map_lock);
	if (target->tracer && !target->is_finished)
		tell_recorded(target, target->recorded_shift);
	pthread_mutex_unlock(&target->map_lock);
}

/* ---- the beginning -------------------------------------------------------------------------- */

/* With `lock`. */
static int begin_in_heap(struct target *target, uint64_t sample_bytes)
{
	int error;

	if (target->life.state != TARGET_ATTACHED || target->collector.is_closed)
		return -ESRCH;
	if (target->is_taking_inventory)
		return -EBUSY;
	error = heap_begin_sample(target->heap, sample_bytes);
	if (error == 0)
		target_charge_grown(target); /* the set, too */
	return error;
}

static void note_begin(struct target *target, uint64_t sample_bytes, const char *reason)
{
	char note[384], size[DHAT_UNIT_CHARS];

	snprintf(note, sizeof(note), "sampled since then, 1 block per %s: %s",
		 dhat_format_size(sample_bytes, size), reason);
	findings_note(&target->findings, note);
}

/* Holder of map_lock and census_lock. */
static int begin(struct target *target, uint64_t sample_bytes, const char *reason)
{
	bool is_sampled, has_room;
	int error;

	target_lock(target);
	is_sampled = heap_sample_of(target->heap)->bytes != 0;
	has_room = budget_left(&target->budget) >= SET_BYTES;
	target_unlock(target);
	if (is_sampled)
		return -EALREADY;
	if (!target->tracer || target->is_finished)
		return -ESRCH;
	error = has_room ? tracer_prepare_sample(target->tracer) : -ENOSPC;
	if (error)
		return error;
	target_lock(target);
	error = begin_in_heap(target, sample_bytes);
	if (error == 0)
		add_step(target, TARGET_STEP_SAMPLED, sample_bytes, reason);
	target_unlock(target);
	if (error)
		return error;
	note_begin(target, sample_bytes, reason);
	tracer_begin_sample(target->tracer, sample_bytes);
	target_drain_now(target);
	tell_frees_of_known(target);
	return 0;
}

static int explain(const struct target *target, int error, struct dhat_error *err)
{
	int pid = (int)target->pid;

	switch (error) {
	case 0:
		return 0;
	case -EALREADY:
		return dhat_error_set(err, EALREADY, DHAT_EXIT_ALREADY,
				      "process %d is sampled already, and a profile has one rate: "
				      "detach, and attach with another --sample",
				      pid);
	case -EBUSY:
		return dhat_error_set(err, EBUSY, DHAT_EXIT_FAILED,
				      "the blocks from before the attach to process %d are still "
				      "being listed: try again in a moment",
				      pid);
	case -ESRCH:
		return dhat_error_set(
			err, ESRCH, DHAT_EXIT_NO_PROCESS,
			"process %d is not watched any more: there is nothing to sample", pid);
	case -ENOSPC:
		return dhat_error_set(err, ENOSPC, DHAT_EXIT_FAILED,
				      "--max-memory leaves no room for a sample of process %d, of "
				      "which the kernel keeps a set",
				      pid);
	default:
		return dhat_error_errno(err, -error, "cannot sample process %d", pid);
	}
}

int target_sample(struct target *target, uint64_t sample_bytes, const char *reason,
		  struct dhat_error *err)
{
	int error;

	if (sample_bytes < DHAT_SAMPLE_LEAST_BYTES || sample_bytes > DHAT_SAMPLE_MOST_BYTES)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "a sample of one block for each %" PRIu64
				      " bytes cannot be: take 1 KiB to 1 GiB",
				      sample_bytes);
	pthread_mutex_lock(&target->map_lock);
	pthread_mutex_lock(&target->census_lock);
	error = begin(target, sample_bytes, reason);
	pthread_mutex_unlock(&target->census_lock);
	pthread_mutex_unlock(&target->map_lock);
	return explain(target, error, err);
}
