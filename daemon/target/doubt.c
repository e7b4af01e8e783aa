/* Signs that something in a target allocates which nobody counts: see doubt.h. */
#include "private.h"

#include "daemon/proc/file.h"
#include "daemon/proc/pagemap.h"
#include "daemon/proc/smaps.h"
#include "daemon/proc/status.h"
#include "identity.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOOK_NS 5000000000ull	/* a line of /proc/PID/status: some 20 us */
#define WEIGH_NS 60000000000ull /* smaps: milliseconds, in which the target may not map memory */
/* Looking through them holds up the collector, some 30 ms a million. Of more blocks the process
 * has a heap that is no side issue. */
#define MAX_BLOCKS 2000000
#define KEY "anonymous memory"
#define JIT_BYTES (64u << 10) /* less executable memory than that is a trampoline */

static uint64_t anonymous_bytes(pid_t pid)
{
	struct proc_status status;

	return proc_status_read(pid, &status) ? 0 : status.anonymous_bytes;
}

/* Does nothing for one that was there from the start: all its blocks are known. */
void target_begin_doubt(struct target *target)
{
	struct proc_status status;

	if (target->options.from_start || proc_status_read(target->pid, &status))
		return;
	target->doubt.memory_begin.anonymous_bytes = status.anonymous_bytes;
	target->doubt.bytes_before =
		status.anonymous_bytes + status.swap_bytes + status.shared_bytes;
}

void target_doubt_known(struct target *target, uint64_t live_bytes, bool has_all,
			uint64_t free_bytes)
{
	target->doubt.memory_begin.live_bytes = live_bytes;
	target->doubt.has_all = has_all;
	target->doubt.free_bytes = free_bytes;
}

/* What was there before shows once, when all blocks of before are known; what comes later by its
 * growth. */
static bool is_to_be_weighed(const struct target_doubt *doubt, const struct doubt_memory *now)
{
	if (doubt->has_all && !doubt->is_weighed)
		return now->anonymous_bytes > DOUBT_MEMORY_BYTES;
	return doubt_grows(&doubt->memory_begin, now);
}

bool target_look_for_doubt(struct target *target, uint64_t now_ns)
{
	struct doubt_memory now;
	struct heap_totals totals;

	if (target->life.state != TARGET_ATTACHED)
		return false;
	heap_totals(target->heap, &totals);
	collector_hold_back(&target->collector, &totals);
	doubt_count_frees(&target->doubt.frees, now_ns,
			  target->figures.counters[DHAT_CTR_ALLOCS] +
				  target->figures.counters[DHAT_CTR_REALLOCS],
			  totals.unknown_frees);
	if (target->doubt.bytes_before)
		target->doubt.frees_exceed |=
			doubt_exceeds(totals.unknown_frees, target->doubt.bytes_before);
	if (target->options.anonymous_memory || target->is_taking_inventory ||
	    now_ns - target->doubt.looked_ns < LOOK_NS)
		return false;
	target->doubt.looked_ns = now_ns;
	now.anonymous_bytes = anonymous_bytes(target->pid);
	now.live_bytes = totals.peak_bytes;
	if (!is_to_be_weighed(&target->doubt, &now) || totals.live_blocks > MAX_BLOCKS ||
	    (target->doubt.weighed_ns && now_ns - target->doubt.weighed_ns < WEIGH_NS))
		return false;
	target->doubt.weighed_ns = now_ns;
	target->doubt.is_weighed = true;
	return true;
}

/* ---- weighing ----------------------------------------------------------------------------- */

/* Where blocks are in a mapping. */
struct extent {
	uint64_t first, behind; /* 0 and 0: there is none */
};

struct scale {
	const struct smaps *smaps;
	struct extent *extents; /* one for each mapping */
	uint64_t least_bytes;	/* with less memory than that, to have no block tells nothing */
	size_t parts_left;
};

static void extend(struct extent *extent, uint64_t first, uint64_t behind)
{
	if (!extent->behind || first < extent->first)
		extent->first = first;
	if (behind > extent->behind)
		extent->behind = behind;
}

/* A block may lie in several: what is asked for a part of a mapping (madvise, mlock) parts it. No
 * two blocks share memory, so that all have no more parts than there are mappings; whose sizes say
 * otherwise are where they begin. */
static void mark(void *context, const struct block *block)
{
	struct scale *scale = context;
	const struct smaps_entry *entries = scale->smaps->entries;
	uint64_t behind = block->addr + block->size_bytes;
	size_t i = smaps_find(scale->smaps, block->addr);

	if (i == scale->smaps->count)
		return;
	extend(&scale->extents[i], block->addr, behind < entries[i].end ? behind : entries[i].end);
	for (i++; i < scale->smaps->count && entries[i].start == entries[i - 1].end &&
		  entries[i].start < behind && scale->parts_left > 0;
	     i++, scale->parts_left--)
		extend(&scale->extents[i], entries[i].start,
		       behind < entries[i].end ? behind : entries[i].end);
}

static int add_pages(void *bytes, const struct pagemap_run *run)
{
	if ((run->what & PAGEMAP_IN_MEMORY) && !(run->what & PAGEMAP_OF_FILE))
		*(uint64_t *)bytes += run->count * PAGEMAP_PAGE;
	return 0;
}

/* In memory, between whole pages. Less than `least`: 0. */
static uint64_t edge_bytes(struct pagemap *pagemap, uint64_t start, uint64_t end, uint64_t least)
{
	uint64_t first = (start + PAGEMAP_PAGE - 1) / PAGEMAP_PAGE, behind = end / PAGEMAP_PAGE,
		 bytes = 0;

	if (behind <= first || (behind - first) * PAGEMAP_PAGE < least)
		return 0;
	pagemap_scan(pagemap, first * PAGEMAP_PAGE, behind * PAGEMAP_PAGE, add_pages, &bytes);
	return bytes < least ? 0 : bytes;
}

/* Of neighbours the kernel makes one mapping, of an allocator's memory and another's: what is
 * before all blocks, or behind them, is not theirs. What brk(2) gives has no neighbours. */
static uint64_t beside_blocks(struct pagemap *pagemap, const struct smaps_entry *entry,
			      const struct extent *extent, uint64_t least_bytes)
{
	/* less an allocator keeps free */
	uint64_t least = least_bytes > DOUBT_MEMORY_BYTES ? least_bytes : DOUBT_MEMORY_BYTES, bytes;

	if (!strcmp(entry->name, "[heap]"))
		return 0;
	bytes = edge_bytes(pagemap, entry->start, extent->first, least) +
		edge_bytes(pagemap, extent->behind, entry->end, least);
	return bytes < entry->anonymous_bytes ? bytes : entry->anonymous_bytes;
}

static void weigh(const struct scale *scale, struct pagemap *pagemap, struct doubt_weights *ret)
{
	for (size_t i = 0; i < scale->smaps->count; i++) {
		const struct smaps_entry *entry = &scale->smaps->entries[i];
		uint64_t unknown_bytes = entry->anonymous_bytes;

		if (entry->is_file || entry->is_shared || !strcmp(entry->name, "[stack]"))
			continue;
		if (entry->is_executable && entry->rss_bytes >= JIT_BYTES && !entry->name[0])
			ret->has_generated_code = true;
		if (scale->extents[i].behind)
			unknown_bytes = beside_blocks(pagemap, entry, &scale->extents[i],
						      scale->least_bytes);
		else if (unknown_bytes < scale->least_bytes)
			unknown_bytes = 0;
		ret->unknown_bytes += unknown_bytes;
		ret->known_bytes += entry->anonymous_bytes - unknown_bytes;
	}
}

static int say(struct target *target, const struct doubt_weights *weights)
{
	char unknown[DHAT_UNIT_CHARS], known[DHAT_UNIT_CHARS], note[320];
	uint64_t bytes;
	enum doubt_finding finding = doubt_weigh(weights, &bytes);

	dhat_format_size(bytes, unknown);
	dhat_format_size(weights->known_bytes, known);
	switch (finding) {
	case DOUBT_UNKNOWN:
		return findings_partial(
			&target->findings, KEY, bytes,
			"%s of its memory are in mappings in which none of the probed allocators "
			"has a block, or far from all of them, against %s where they have: an "
			"allocator that could not be "
			"noticed, or memory that the program maps itself (--anonymous records what "
			"is mapped from the attach on)",
			unknown, known);
	case DOUBT_OWN_HEAP:
		if (target->doubt.has_own_heap_note)
			return 0;
		target->doubt.has_own_heap_note = true;
		snprintf(
			note, sizeof(note),
			"the process generates code, and has %s of memory in which none of the "
			"probed allocators has a block: its runtime's own heap, most likely, which "
			"is not counted",
			unknown);
		return findings_note(&target->findings, note);
	default:
		return 0;
	}
}

/* Before it is looked where blocks are: what comes after that has none yet. */
static bool read_mappings(const struct target *target, struct smaps *ret)
{
	_cleanup_fclose_ FILE *file = NULL;
	int fd = -1;

	if (proc_open(target->pid, "smaps", &fd) == 0)
		file = fdopen(fd, "r");
	return file && smaps_parse(file, ret) == 0 && ret->count;
}

/* In blocks of so many times a sample's interval none is recorded once in nine million cases. */
#define SAMPLE_SURE 16

/* False: there is nothing to be known. */
static bool look_at_scale(struct target *target, struct doubt_weights *ret)
{
	_cleanup_(smaps_deinit) struct smaps smaps = { 0 };
	_cleanup_(pagemap_deinit) struct pagemap pagemap = PAGEMAP_CLOSED;
	_cleanup_free_ struct extent *extents = NULL;
	struct proc_status status = { 0 };
	struct scale scale = { .smaps = &smaps };
	bool is_attached;

	*ret = (struct doubt_weights){ 0 };
	if (pagemap_open(target->pid, &pagemap) || !read_mappings(target, &smaps))
		return false;
	extents = calloc(smaps.count, sizeof(*extents));
	if (!extents)
		return false;
	scale.extents = extents;
	scale.parts_left = smaps.count;
	proc_status_read(target->pid, &status);
	ret->thread_count = status.thread_count;
	/* what was read is the process's own: its number may be another's by now */
	if (proc_start_ticks(target->pid) != target->identity.start_ticks)
		return false;
	target_drain_now(target); /* the blocks that are in those mappings are known, then */
	target_lock(target);
	scale.least_bytes = SAMPLE_SURE * heap_sample_of(target->heap)->bytes;
	ret->free_bytes = target->doubt.free_bytes;
	is_attached = target->life.state == TARGET_ATTACHED;
	if (is_attached)
		heap_visit_blocks(target->heap, mark, &scale);
	target_unlock(target);
	if (is_attached)
		weigh(&scale, &pagemap, ret);
	return is_attached;
}

void target_weigh(struct target *target)
{
	struct doubt_weights weights;
	uint64_t bytes;

	if (!look_at_scale(target, &weights))
		return;
	/* a block that was freed meanwhile has left its memory to nobody: a second look tells */
	if (doubt_weigh(&weights, &bytes) != DOUBT_NONE && !look_at_scale(target, &weights))
		return;
	target_lock(target);
	if (target->life.state == TARGET_ATTACHED)
		say(target, &weights);
	target_unlock(target);
}
