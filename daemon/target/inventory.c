/* The blocks that a target held before we came: listed from outside, added to its live ones. */
#include "private.h"

#include "daemon/inventory/inventory.h"
#include "daemon/inventory/settled.h"
#include "daemon/proc/status.h"
#include "proto/base/cleanup.h"
#include "proto/base/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define BATCH                                                                                      \
	4096 /* blocks that are added at a time; the ring waits meanwhile: a millisecond or two */
#define PAUSE_NS 20000000 /* the longest in which nobody looks whether it has to end */
#define BYTES_A_BLOCK 128 /* an inventory takes some 60 for a while, and the heap 64 for good */

DEFINE_CLEANUP_PTR(struct inventory *, inventory_free)

static bool wants_inventory(const struct target *target)
{
	return !target->options.skip_inventory && !target->options.from_start;
}

/* Between begin and end a sample's kernel side tells of all frees: a block that is not in it, too,
 * may be freed before it is listed. */
int target_begin_inventory(struct target *target)
{
	if (!wants_inventory(target))
		return 0;
	tracer_set_tells_all_frees(target->tracer, true);
	target->is_taking_inventory = true;
	return heap_begin_inventory(target->heap);
}

static bool is_drawn(const struct sample *sample, uint64_t size_bytes)
{
	uint32_t drawn;

	return getrandom(&drawn, sizeof(drawn), 0) == sizeof(drawn) &&
	       dhat_sample_takes(&sample->law, size_bytes, drawn);
}

/* Into the heap, and the sample's set. A free that was told, and has not been read, ends it in the
 * heap later; in the set it stays then, and what is told of it from there on is nothing (H12). */
static int add_block(struct target *target, const struct inventory_block *block, uint64_t now,
		     uint64_t *drawn)
{
	const struct sample *sample = heap_sample_of(target->heap);
	int error;

	if (sample->bytes && !is_drawn(sample, block->usable_bytes))
		return 0;
	++*drawn;
	error = heap_add_inventory_block(target->heap, 0, block->addr, block->usable_bytes,
					 STACK_POINT_BEFORE, now);
	if (error || !sample->bytes)
		return error;
	error = target->tracer ? tracer_add_sampled(target->tracer, block->addr) : 0;
	if (error)
		heap_cut_block(target->heap, 0, block->addr);
	return error;
}

/* One batch; *next: where to go on; total_blocks of *added: those that were drawn. With `lock`
 * held. */
static int add_batch(struct target *target, const struct inventory *inventory, size_t *next,
		     struct heap_totals *added)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	size_t end = *next + BATCH < inventory->count ? *next + BATCH : inventory->count;

	/* After an exec the addresses are another program's. */
	if (target->life.state != TARGET_ATTACHED || target->collector.is_closed)
		return -ESRCH;
	for (; *next < end; ++*next) {
		const struct inventory_block *block = &inventory->blocks[*next];
		int error = add_block(target, block, now, &added->total_blocks);

		if (error && error != -EEXIST)
			return error;
		if (error == 0) {
			added->live_blocks++;
			added->live_bytes += block->usable_bytes;
		}
	}
	return 0;
}

static int add_all(struct target *target, const struct inventory *inventory,
		   struct heap_totals *added)
{
	int error = 0;

	for (size_t next = 0; next < inventory->count && error == 0;) {
		target_lock(target);
		error = add_batch(target, inventory, &next, added);
		target_unlock(target);
	}
	return error;
}

static int take_once(struct target *target, const struct probed *probed, struct inventory **ret,
		     struct dhat_error *err)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	struct inventory_limits limits = {
		.max_ns = INVENTORY_MAX_NS,
		.stop = &target->is_ending,
		.probed = probed,
	};
	int error;

	target_lock(target);
	limits.max_blocks = budget_left(&target->budget) / BYTES_A_BLOCK + 1; /* 0: no bound */
	target_unlock(target);
	error = procmaps_read(target->pid, &maps);
	if (error)
		return dhat_error_errno(err, -error, "cannot read /proc/%d/maps", (int)target->pid);
	return inventory_take(target->pid, &maps, &limits, ret, err);
}

struct taking {
	struct target *target;
	const struct probed *probed;
};

static int take_of(void *context, struct inventory **ret, struct dhat_error *err)
{
	struct taking *taking = context;

	return take_once(taking->target, taking->probed, ret, err);
}

/* In pieces: who detaches meanwhile does not wait for it. */
static void pause_for(void *context, uint64_t ns)
{
	struct taking *taking = context;
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + ns;

	for (uint64_t now_ns = end_ns - ns; now_ns < end_ns && !taking->target->is_ending;
	     now_ns = clock_now_ns(CLOCK_MONOTONIC)) {
		uint64_t left_ns = end_ns - now_ns;
		struct timespec piece = { .tv_nsec = left_ns < PAUSE_NS ? left_ns : PAUSE_NS };

		nanosleep(&piece, NULL);
	}
}

static uint64_t cpu_of(void *context)
{
	return clock_now_ns(CLOCK_THREAD_CPUTIME_ID);
}

static int take(struct target *target, const struct probed *probed, struct inventory **ret,
		struct dhat_error *err)
{
	struct taking taking = { .target = target, .probed = probed };
	struct inventory_taker taker = {
		.take = take_of,
		.pause = pause_for,
		.cpu_ns = cpu_of,
		.context = &taking,
	};

	for (size_t i = 0; i < probed->allocator_count; i++)
		taker.is_awaited |= probed->allocators[i].is_glibc;
	return inventory_settle(&taker, ret, err);
}

static void describe(const struct inventory *inventory, const struct heap_totals *added,
		     bool is_sample, int error, char *ret, size_t size)
{
	char count[DHAT_UNIT_CHARS], bytes[DHAT_UNIT_CHARS], mapped[128] = "", drawn[64] = "";
	/* some may have been freed since */
	size_t mapped_count = inventory->mmapped_count < added->live_blocks
				      ? inventory->mmapped_count
				      : added->live_blocks;

	if (is_sample)
		snprintf(drawn, sizeof(drawn), "; %s of them are in the sample",
			 dhat_format_count(added->total_blocks, count));
	if (mapped_count)
		snprintf(mapped, sizeof(mapped),
			 " (%s with a mapping of %s: up to a page more, or up to %s alignment)",
			 dhat_format_count(mapped_count, count),
			 mapped_count == 1 ? "its own" : "their own",
			 mapped_count == 1 ? "its" : "their");
	if (error == -ENOSPC || error == -ENOMEM || error == -ENOBUFS)
		snprintf(ret, size,
			 "the blocks from before the attach are not all listed: only %s of %s, for "
			 "want of room; a larger --max-memory helps",
			 dhat_format_count(added->live_blocks, count),
			 dhat_format_count(inventory->count, bytes));
	else
		snprintf(ret, size,
			 "%s block%s (%s) from before the attach %s found live and shown at "
			 "[allocated before attach], with the allocator's sizes: up to 24 bytes "
			 "more than asked for%s%s",
			 dhat_format_count(added->live_blocks, count),
			 added->live_blocks == 1 ? "" : "s",
			 dhat_format_size(added->live_bytes, bytes),
			 added->live_blocks == 1 ? "was" : "were", mapped, drawn);
}

/* Only glibc's heaps can be listed. False if there is no other allocator. */
static bool note_other_allocators(struct target *target, const struct probed *probed)
{
	bool is_any = false;

	for (size_t i = 0; i < probed->allocator_count; i++) {
		const struct probed_allocator *allocator = &probed->allocators[i];
		char note[384];

		if (allocator->is_glibc)
			continue;
		snprintf(note, sizeof(note),
			 "blocks that %s (%.130s) had handed out before the attach cannot be "
			 "listed",
			 allocator->name, allocator->path);
		findings_note(&target->findings, note);
		is_any = true;
	}
	return is_any;
}

static const char *glibc_of(const struct probed *probed)
{
	for (size_t i = 0; i < probed->allocator_count; i++)
		if (probed->allocators[i].is_glibc)
			return probed->allocators[i].name;
	return NULL;
}

/* Why there is no inventory: "glibc 2.45" may be too new for one. */
static void describe_failure(const struct probed *probed, int error, const char *why, char *ret,
			     size_t size)
{
	const char *name = glibc_of(probed);

	if (error == -ENOENT && name)
		snprintf(ret, size,
			 "the blocks that %s had handed out before the attach cannot be listed: "
			 "%s; live bytes are from the attach on",
			 name, why);
	else
		snprintf(ret, size, "%s; live bytes are from the attach on", why);
}

/* Whoever has less than that, and no [heap], has not begun to use one. */
#define SMALL_BYTES (1u << 20)

static bool has_begun(const struct target *target)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	struct proc_status status;

	if (proc_status_read(target->pid, &status) || procmaps_read(target->pid, &maps))
		return false; /* it is gone */
	for (size_t i = 0; i < maps.count; i++)
		if (!strcmp(maps.entries[i].path, "[heap]"))
			return true;
	return status.anonymous_bytes + status.swap_bytes >= SMALL_BYTES;
}

/* What was found in part, or could not be found, is told by the verdict: live bytes lack blocks, or
 * have some too many. Other allocators' are never listed, which is no fault of this profile. */
static void say_outcome(struct target *target, const struct probed *probed,
			const struct inventory *inventory, uint64_t found, const char *text,
			int error)
{
	bool has_others = note_other_allocators(target, probed);

	/* a process that is gone needs no excuse */
	if (error == -ESRCH || error == -ECANCELED)
		return;
	if (error == -ENOENT && has_others)
		return; /* what was said of those says it better */
	if (error == -ENOENT && (!glibc_of(probed) || !has_begun(target))) {
		findings_note(&target->findings, text);
		return;
	}
	if (error) {
		findings_partial(&target->findings, "inventory", 0, "%s", text);
		return;
	}
	if (found)
		findings_note(&target->findings, text);
	if (!inventory->is_complete)
		findings_partial(&target->findings, "inventory", inventory->unseen_bytes,
				 "the list of blocks from before the attach is not whole: %s",
				 inventory->note);
}

/* As long as it is there it takes room from what comes in meanwhile. */
static void charge_list(struct target *target, int64_t bytes)
{
	target_lock(target);
	budget_force(&target->budget, bytes);
	target_unlock(target);
}

void target_take_inventory(struct target *target)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	struct heap_totals added = { 0 };
	struct dhat_error err = { 0 };
	_cleanup_(probed_deinit) struct probed probed = { 0 };
	char note[768];
	int error;

	if (!wants_inventory(target))
		return;
	target_lock(target);
	probed_copy(&target->probed.shown, &probed); /* as far as there is memory for */
	target_unlock(target);
	error = take(target, &probed, &inventory, &err);
	if (error == 0) {
		target_drain_now(target); /* every event up to here is newer than the inventory */
		charge_list(target, inventory->count * sizeof(*inventory->blocks));
		error = add_all(target, inventory, &added);
		charge_list(target, -(int64_t)(inventory->count * sizeof(*inventory->blocks)));
		describe(inventory, &added, target->options.sample_bytes != 0, error, note,
			 sizeof(note));
	} else {
		describe_failure(&probed, error, err.message, note, sizeof(note));
	}
	say_outcome(target, &probed, inventory, added.live_blocks, note, error);
	/* then: who sees that it is over, sees what was found */
	target_lock(target);
	heap_end_inventory(target->heap);
	if (target->tracer)
		tracer_set_tells_all_frees(target->tracer, false);
	target->is_taking_inventory = false;
	target_doubt_known(target, added.live_bytes,
			   (error == -ENOENT || (error == 0 && inventory->is_complete)) &&
				   probed_is_only_glibc(&probed),
			   error == 0 ? inventory->free_bytes + inventory->fastbin_bytes +
						inventory->cached_bytes
				      : 0);
	target_unlock(target);
}

bool target_is_taking_inventory(struct target *target)
{
	bool is_taking;

	target_lock(target);
	is_taking = target->is_taking_inventory;
	target_unlock(target);
	return is_taking;
}
