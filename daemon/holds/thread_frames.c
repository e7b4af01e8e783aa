#include "thread_frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/kernel/threads.h"
#include "daemon/proc/file.h"
#include "daemon/proc/pagemap.h"
#include "daemon/target/target.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct stack_walker *, stack_walker_free)

void thread_frames_deinit(struct thread_frames *frames)
{
	free(frames->list);
	*frames = (struct thread_frames){ 0 };
}

bool thread_frames_has_run(const struct dhat_thread_state *before,
			   const struct dhat_thread_state *after)
{
	return before->is_running || after->is_running || before->switches != after->switches;
}

const struct walked_frame *thread_frames_below(const struct thread_frames *frames, uint64_t addr)
{
	size_t low = 0, high = frames->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (frames->list[middle].start <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &frames->list[low - 1] : NULL;
}

/* ---- its memory ------------------------------------------------------------------------------ */

struct memory {
	const struct procmaps *maps;
	struct pagemap pagemap;
	int fd;
};

static void memory_deinit(struct memory *memory)
{
	pagemap_deinit(&memory->pagemap);
	cleanup_close_fd(&memory->fd);
}

static int memory_open(const struct thread_frames_facts *facts, struct memory *ret)
{
	int r = proc_open(facts->pid, "mem", &ret->fd);

	ret->maps = facts->maps;
	return r ? r : pagemap_open(facts->pid, &ret->pagemap);
}

static int read_memory(void *memory_, uint64_t addr, void *buffer, size_t size)
{
	struct memory *memory = memory_;

	if (addr > INT64_MAX - size || !pagemap_is_in_memory(&memory->pagemap, addr, addr + size))
		return -EFAULT;
	return pread(memory->fd, buffer, size, addr) == (ssize_t)size ? 0 : -EFAULT;
}

static const struct procmaps_entry *find_code(const struct procmaps *maps, uint64_t addr)
{
	const struct procmaps_entry *entry = procmaps_find(maps, addr);

	return entry && entry->is_executable ? entry : NULL;
}

static bool is_code(void *memory, uint64_t addr)
{
	return find_code(((const struct memory *)memory)->maps, addr);
}

/* ---- by what it is walked -------------------------------------------------------------------- */

/* Only by tables of what is mapped there now. */
static void leave_out_gone(const struct procmaps *maps, struct unwinding *unwinding)
{
	size_t kept = 0;

	for (size_t i = 0; i < unwinding->mapping_count; i++) {
		const struct dhat_mapping *mapping = &unwinding->mappings[i];
		const struct procmaps_entry *entry = find_code(maps, mapping->start);

		if (entry && mapping->end <= entry->end && entry->inode == mapping->inode &&
		    entry->start - entry->file_offset == mapping->start - mapping->file_offset)
			unwinding->mappings[kept++] = *mapping;
	}
	unwinding->mapping_count = kept;
}

/* ---- all threads ----------------------------------------------------------------------------- */

static int walk_all(const struct thread_frames_facts *facts, struct stack_walker *walker,
		    struct thread_frames *frames)
{
	size_t room = facts->thread_count * STACK_WALK_MAX_FRAMES;

	room = room < THREAD_FRAMES_MAX ? room : THREAD_FRAMES_MAX;
	frames->list = calloc(room + 1, sizeof(*frames->list));
	if (!frames->list)
		return -ENOMEM;
	for (size_t i = 0; i < facts->thread_count; i++) {
		size_t first = frames->count;

		if (facts->threads[i].is_running || room - first < STACK_WALK_MAX_FRAMES)
			continue;
		frames->count += stack_walk(walker, &facts->threads[i], &frames->list[first]);
		for (size_t j = first; j < frames->count; j++)
			frames->list[j].thread = i;
	}
	return 0;
}

static int compare_tids(const void *a_, const void *b_)
{
	const struct dhat_thread_state *a = a_, *b = b_;

	return a->tid < b->tid ? -1 : a->tid > b->tid;
}

static int compare_starts(const void *a_, const void *b_)
{
	const struct walked_frame *a = a_, *b = b_;

	return a->start < b->start ? -1 : a->start > b->start;
}

/* now: by their numbers. */
static bool has_stood(const struct dhat_thread_state *thread, const struct dhat_thread_state *now,
		      size_t count)
{
	const struct dhat_thread_state *after =
		count ? bsearch(thread, now, count, sizeof(*now), compare_tids) : NULL;

	return after && !thread_frames_has_run(thread, after);
}

static void leave_out_unproven(const struct thread_frames_facts *facts,
			       struct thread_frames *frames)
{
	_cleanup_free_ struct dhat_thread_state *now = NULL;
	size_t count = 0, kept = 0;

	if (threads_read(facts->pid, &now, &count, NULL))
		count = 0;
	if (count)
		qsort(now, count, sizeof(*now), compare_tids);
	for (size_t i = 0; i < frames->count; i++)
		if (has_stood(&facts->threads[frames->list[i].thread], now, count))
			frames->list[kept++] = frames->list[i];
	frames->count = kept;
}

/* Where two claim the same words, as no sound stacks do, the upper one has none. */
static void put_in_order(struct thread_frames *frames)
{
	size_t kept = 0;

	if (frames->count)
		qsort(frames->list, frames->count, sizeof(*frames->list), compare_starts);
	for (size_t i = 0; i < frames->count; i++)
		if (!kept || frames->list[i].start >= frames->list[kept - 1].end)
			frames->list[kept++] = frames->list[i];
	frames->count = kept;
}

static int find(const struct thread_frames_facts *facts, const struct unwinding *unwinding,
		struct thread_frames *frames)
{
	_cleanup_(memory_deinit) struct memory memory = { .fd = -1, .pagemap = PAGEMAP_CLOSED };
	const struct stack_walk_source source = { read_memory, is_code, &memory };
	_cleanup_(stack_walker_free_ptr) struct stack_walker *walker = NULL;
	int r = memory_open(facts, &memory);

	if (r)
		return r == -ENOMEM ? r : 0;
	walker = stack_walker_new(unwinding, &source);
	return walker ? walk_all(facts, walker, frames) : -ENOMEM;
}

int thread_frames_find(const struct thread_frames_facts *facts, struct thread_frames *ret)
{
	_cleanup_(thread_frames_deinit) struct thread_frames frames = { 0 };
	_cleanup_(unwinding_deinit) struct unwinding unwinding = { 0 };
	int r = target_unwinding(facts->target, &unwinding);

	if (r)
		return r;
	leave_out_gone(facts->maps, &unwinding);
	r = find(facts, &unwinding, &frames);
	if (r)
		return r;
	leave_out_unproven(facts, &frames);
	put_in_order(&frames);
	*ret = frames;
	frames = (struct thread_frames){ 0 };
	return 0;
}
