/* --max-memory: what the kernel holds for a target, and unwind tables, beside its accounts. */
#include "private.h"

#include "proto/base/units.h"

#include <errno.h>
#include <stdio.h>

#define RING_SHARE 4   /* of the whole a ring takes at most, where nobody asked for one */
#define TABLES_SHARE 4 /* and unwind tables, so that stacks give way before blocks: P3 */
/* A stack takes a kilobyte here, with its figures and the room for a copy (test_memory.py): the
 * kernel need not know more of them. */
#define BYTES_A_STACK 1024
#define LEAST_STACKS 4096
#define LEAST_ACCOUNTS_BYTES (2ull << 20) /* beyond empty ones, which take 1.1 MB */
#define MIB (1u << 20)

uint32_t memory_ring_bytes(uint32_t asked_bytes, uint64_t limit_bytes)
{
	uint32_t bytes = TARGET_RING_BYTES;

	if (asked_bytes)
		return asked_bytes;
	while (bytes > limit_bytes / RING_SHARE)
		bytes /= 2;
	return bytes;
}

uint32_t memory_max_stacks(uint64_t limit_bytes)
{
	uint32_t count = LEAST_STACKS;

	while (count < TRACER_MAX_STACKS && count < limit_bytes / BYTES_A_STACK)
		count *= 2;
	return count;
}

void target_limit_memory(struct target *target, uint64_t limit_bytes)
{
	target->budget.limit_bytes = limit_bytes;
	target->table_budget = (struct budget){ .parent = &target->budget,
						.limit_bytes = limit_bytes / TABLES_SHARE };
	target->ring_bytes = memory_ring_bytes(target->options.ring_bytes, limit_bytes);
}

/* "64M", as --max-memory has it. */
static void format_mib(uint64_t bytes, char ret[DHAT_UNIT_CHARS])
{
	snprintf(ret, DHAT_UNIT_CHARS, "%lluM", (unsigned long long)((bytes + MIB - 1) / MIB));
}

static int refuse(const struct target *target, uint64_t wanted_bytes, struct dhat_error *err)
{
	char limit[DHAT_UNIT_CHARS], ring[DHAT_UNIT_CHARS], kernel[DHAT_UNIT_CHARS],
		enough[DHAT_UNIT_CHARS];

	format_mib(target->budget.limit_bytes, limit);
	format_mib(wanted_bytes, enough);
	return dhat_error_set(
		err, ENOSPC, DHAT_EXIT_USAGE,
		"--max-memory %s is too little for a ring of %s (--ring-size) and the "
		"%s that the kernel takes beside it: it has to be %s at least, or the "
		"ring smaller",
		limit, dhat_format_size(target->ring_bytes, ring),
		dhat_format_size(tracer_bytes(target->tracer) - target->ring_bytes, kernel),
		enough);
}

int target_charge_kernel(struct target *target, struct dhat_error *err)
{
	uint64_t bytes = tracer_bytes(target->tracer);
	uint64_t wanted = target->budget.used_bytes + bytes + LEAST_ACCOUNTS_BYTES;
	char size[DHAT_UNIT_CHARS], note[160];

	if (wanted > target->budget.limit_bytes)
		return refuse(target, wanted, err);
	target->kernel_bytes = bytes;
	budget_force(&target->budget, bytes);
	if (target->options.ring_bytes || target->ring_bytes == TARGET_RING_BYTES)
		return 0;
	snprintf(note, sizeof(note),
		 "the ring has %s, so that --max-memory leaves room for blocks and stacks; "
		 "--ring-size sets it",
		 dhat_format_size(target->ring_bytes, size));
	return findings_note(&target->findings, note);
}

void target_discharge_kernel(struct target *target)
{
	budget_give(&target->budget, target->kernel_bytes);
	target->kernel_bytes = 0;
	budget_give(&target->table_budget, target->table_budget.used_bytes);
}

/* Files that are mapped, and where. */
static void charge_files(struct target *target)
{
	struct objects_sum sum;
	uint64_t bytes;

	objects_sum(&target->objects, &sum);
	bytes = sum.own_bytes + mappings_count(target->mappings) * sizeof(struct mapping) +
		mappings_object_count(target->mappings) * sizeof(struct mapped_object);
	budget_force(&target->budget, (int64_t)(bytes - target->file_bytes));
	target->file_bytes = bytes;
}

/* Of those of past epochs, which no stack here is for, the kernel keeps up to
 * TRACER_STACKS_TO_FORGET. */
static void charge_stacks(struct target *target)
{
	uint64_t sent = target->figures.counters[DHAT_CTR_STACKS];
	uint64_t past = sent < TRACER_STACKS_TO_FORGET ? sent : TRACER_STACKS_TO_FORGET;
	uint64_t count = stacks_count(target->stacks) + past;
	uint64_t most = memory_max_stacks(target->budget.limit_bytes), bytes;

	if (!target->tracer)
		return;
	bytes = tracer_bytes(target->tracer) + TRACER_STACK_BYTES * (count < most ? count : most);
	if (heap_sample_of(target->heap)->bytes)
		bytes += TRACER_SAMPLED_BYTES * heap_kept_blocks(target->heap);
	budget_force(&target->budget, (int64_t)(bytes - target->kernel_bytes));
	target->kernel_bytes = bytes;
}

void target_charge_grown(struct target *target)
{
	charge_files(target);
	charge_stacks(target);
}

int target_charge_table(struct target *target, uint64_t bytes, struct dhat_error *err)
{
	char table[DHAT_UNIT_CHARS], left[DHAT_UNIT_CHARS];
	uint64_t left_bytes;
	bool has_room;

	target_lock(target);
	has_room = budget_take(&target->table_budget, bytes);
	left_bytes = budget_left(&target->table_budget);
	if (left_bytes > budget_left(&target->budget))
		left_bytes = budget_left(&target->budget);
	target_unlock(target);
	if (has_room)
		return 0;
	return dhat_error_set(err, ENOSPC, DHAT_EXIT_FAILED,
			      "its unwind table takes %s, and --max-memory leaves %s for tables",
			      dhat_format_size(bytes, table), dhat_format_size(left_bytes, left));
}

void target_discharge_table(struct target *target, uint64_t bytes)
{
	target_lock(target);
	budget_give(&target->table_budget, bytes);
	target_unlock(target);
}

void target_memory(const struct target *target, struct target_memory *ret)
{
	uint64_t tables = target->table_budget.used_bytes;

	*ret = (struct target_memory){
		.limit_bytes = target->budget.limit_bytes,
		.used_bytes = target->budget.used_bytes,
		.kernel_bytes = target->kernel_bytes,
		.table_bytes = tables,
		.accounts_bytes = target->budget.used_bytes - target->kernel_bytes - tables,
		.copy_bytes = atomic_load(&target->copied_bytes) + target->room_bytes,
	};
}

uint64_t target_room_left(const struct target *target)
{
	uint64_t left = budget_left(&target->budget);
	uint64_t taken = atomic_load(&target->copied_bytes) + target->room_bytes;

	return left > taken ? left - taken : 0;
}
