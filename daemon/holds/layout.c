#include "layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "left_stack.h"
#include "proto/base/array.h"

void layout_deinit(struct layout *layout)
{
	free(layout->areas);
	*layout = (struct layout){ 0 };
}

static int add(struct layout *layout, const struct layout_area *area)
{
	if (area->start >= area->end)
		return 0;
	if (array_make_room(&layout->areas, &layout->room, layout->count))
		return -ENOMEM;
	layout->areas[layout->count++] = *area;
	return 0;
}

/* ---- what a mapping is ---------------------------------------------------------------------- */

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static bool is_kernels(const struct procmaps_entry *entry)
{
	return begins(entry->path, "[v") || begins(entry->path, "[uprobes]");
}

static bool is_unreadable(const struct layout_facts *facts, const struct procmaps_entry *entry)
{
	size_t at = smaps_find(facts->smaps, entry->start);

	return at < facts->smaps->count &&
	       facts->smaps->entries[at].flags & (SMAPS_DEVICE | SMAPS_USERFAULT);
}

/* Files that were mapped to be read only hold no addresses of this process; what stands for shared
 * memory may be mapped a second time, writable. Nor does code; but data may be executable, too
 * (ld -N, or what writes code beside its variables). */
static bool is_wanted(const struct layout_facts *facts, const struct procmaps_entry *entry)
{
	bool is_memory = begins(entry->path, "/memfd:") || begins(entry->path, "/dev/shm/") ||
			 begins(entry->path, "/SYSV") || begins(entry->path, "/dev/zero");

	if (is_kernels(entry) || is_unreadable(facts, entry))
		return false;
	if (entry->is_shared)
		return entry->is_writable || !entry->inode || is_memory;
	return !entry->inode || entry->is_writable || !entry->is_executable;
}

/* What follows a file's data without a gap is its bss, and what a loader put behind that. */
static bool is_data(const struct procmaps *maps, size_t i)
{
	while (!maps->entries[i].inode) {
		if (!i || maps->entries[i].path[0] ||
		    maps->entries[i - 1].end != maps->entries[i].start)
			return false;
		i--;
	}
	return maps->entries[i].path[0] == '/' && !maps->entries[i].is_shared;
}

static uint64_t lower(const struct procmaps_entry *entry, uint64_t sp, uint64_t lowest)
{
	return sp >= entry->start && sp < entry->end && (!lowest || sp < lowest) ? sp : lowest;
}

/* A stack pointer within; the lowest. 0: none. */
static uint64_t lowest_stack(const struct layout_facts *facts, const struct procmaps_entry *entry)
{
	uint64_t lowest = 0;

	for (size_t i = 0; i < facts->thread_count; i++) {
		uint64_t left = facts->left_stacks ? facts->left_stacks[i] : 0;

		lowest = lower(entry, facts->threads[i].words[DHAT_REGISTER_SP], lowest);
		lowest = lower(entry, left, lowest);
	}
	return lowest;
}

static bool has_block(const struct layout_facts *facts, const struct procmaps_entry *entry)
{
	size_t at = reach_find_below(facts->blocks, facts->block_count, entry->end - 1);

	return at < facts->block_count &&
	       facts->blocks[at].addr + facts->blocks[at].size_bytes > entry->start;
}

/* Does a thread just now run on its signal stack, and where its own one ends is not known? */
static bool is_any_on_signal_stack(const struct layout_facts *facts)
{
	for (size_t i = 0; i < facts->thread_count; i++)
		if (left_stack_has(&facts->threads[i]) &&
		    !(facts->left_stacks && facts->left_stacks[i]))
			return true;
	return false;
}

/* Memory above a page that nobody may touch: as the C library keeps stacks of threads that have
 * ended. A stack that a program made for itself looks the same. */
static bool is_ended_stack(const struct layout_facts *facts, size_t i)
{
	const struct procmaps_entry *entry = &facts->maps->entries[i], *below = entry - 1;

	return i && facts->thread_count && entry->is_writable && below->end == entry->start &&
	       !below->inode && !below->is_readable && !below->is_writable &&
	       !below->is_executable && !is_any_on_signal_stack(facts);
}

static enum reach_class class_of(const struct layout_facts *facts, size_t i)
{
	const struct procmaps_entry *entry = &facts->maps->entries[i];

	if (entry->is_shared)
		return REACH_SHARED;
	if (is_data(facts->maps, i))
		return REACH_GLOBAL;
	if (!strcmp(entry->path, "[stack]"))
		return REACH_STACK;
	if (!strcmp(entry->path, "[heap]") || has_block(facts, entry))
		return REACH_GAP;
	return is_ended_stack(facts, i) ? REACH_ENDED : REACH_MAPPING;
}

static int add_mapping(const struct layout_facts *facts, size_t i, struct layout *layout)
{
	const struct procmaps_entry *entry = &facts->maps->entries[i];
	struct layout_area area = {
		.start = entry->start,
		.end = entry->end,
		.class = class_of(facts, i),
		.is_shared = entry->is_shared,
		.is_file = entry->inode != 0,
		.is_code = entry->is_executable,
		.mapping = i,
	};
	uint64_t stack =
		area.class == REACH_GLOBAL || area.is_shared ? 0 : lowest_stack(facts, entry);
	struct layout_area below = area;
	int r;

	if (!stack)
		return add(layout, &area);
	stack -= DHAT_RED_ZONE_BYTES;
	stack -= stack % sizeof(uint64_t);
	below.end = stack > area.start ? stack : area.start;
	below.class = area.class == REACH_GAP ? REACH_GAP : REACH_BELOW;
	area.start = below.end;
	area.class = REACH_STACK;
	r = add(layout, &below);
	return r ? r : add(layout, &area);
}

int layout_make(const struct layout_facts *facts, struct layout *ret)
{
	struct layout layout = { 0 };
	int r = 0;

	for (size_t i = 0; i < facts->maps->count && r == 0; i++)
		if (is_wanted(facts, &facts->maps->entries[i]))
			r = add_mapping(facts, i, &layout);
	if (r) {
		layout_deinit(&layout);
		return r;
	}
	*ret = layout;
	return 0;
}

/* ---- questions ------------------------------------------------------------------------------ */

const struct layout_area *layout_find(const struct layout *layout, uint64_t addr)
{
	size_t low = 0, high = layout->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (layout->areas[middle].end <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < layout->count && layout->areas[low].start <= addr ? &layout->areas[low] : NULL;
}

bool layout_has_stack_of(const struct layout *layout, const struct dhat_thread_state *thread)
{
	const struct layout_area *area = layout_find(layout, thread->words[DHAT_REGISTER_SP]);

	return area && (area->class == REACH_STACK || area->class == REACH_SHARED ||
			area->class == REACH_GLOBAL);
}

static bool is_of_young(const struct reach_block *after, size_t after_count, uint64_t since_ns,
			uint64_t start, uint64_t end)
{
	size_t at = reach_find_below(after, after_count, end - 1);

	/* the last few blocks in it: one of them is young, if it is new */
	for (unsigned tries = 0; at < after_count && tries < 16; tries++, at--) {
		if (after[at].addr + after[at].size_bytes <= start)
			return false;
		if (after[at].birth_ns >= since_ns)
			return true;
	}
	return false;
}

bool layout_has_grown(const struct layout *before, const struct layout *now,
		      const struct reach_block *after, size_t after_count, uint64_t since_ns)
{
	for (size_t i = 0; i < now->count; i++) {
		const struct layout_area *area = &now->areas[i];
		uint64_t addr = area->start;

		while (addr < area->end) {
			const struct layout_area *was = layout_find(before, addr);

			if (was) {
				addr = was->end;
				continue;
			}
			if (area->class != REACH_GAP ||
			    !is_of_young(after, after_count, since_ns, addr, area->end))
				return true;
			break;
		}
	}
	return false;
}
