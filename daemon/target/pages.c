/* What of a target's blocks is in memory, and what they keep there, for a copy. */
#include "private.h"

#include "daemon/account/pin_regions.h"
#include "daemon/proc/pagemap.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/units.h"

#include <errno.h>
#include <stdio.h>

#define MAX_RUNS                                                                                   \
	(4u << 20) /* 96 MiB; a heap of which every second page is there has 32 GiB then           \
		    */

struct pages {
	struct pagemap_run *runs;
	size_t count, room;
};

static void pages_deinit(struct pages *pages)
{
	free(pages->runs);
}

/* With `lock`. As of ages there may be no room: then the copy goes without, and says so. */
static bool claim(struct target *target, struct target_copy *copy, uint32_t points)
{
	uint64_t bytes = block_list_bytes(copy->totals.live_blocks, copy->totals.live_bytes) +
			 pins_bytes(points);

	if (bytes > target_room_left(target))
		return false;
	copy->bytes += bytes;
	atomic_fetch_add(&target->copied_bytes, bytes);
	return true;
}

static int say(struct target_copy *copy, const char *why)
{
	char note[256];

	snprintf(note, sizeof(note), "what is in memory was not counted: %s", why);
	return texts_add(&copy->notes, note);
}

int target_begin_pages(struct target *target, struct target_copy *copy, uint32_t points)
{
	if (copy->state != TARGET_ATTACHED)
		return 0; /* it has no memory, or has freed nobody knows what */
	if (copy->sample.bytes)
		return say(copy, "all live blocks are needed, and a sample has some of them");
	if (!copy->census || !claim(target, copy, points))
		return say(copy, "there is no room for a list of the live blocks; a larger "
				 "--max-memory helps");
	copy->pin_points = points;
	return block_list_new(copy->totals.live_blocks, &copy->census->list);
}

/* ---- without the lock ---------------------------------------------------------------------- */

static int add_run(void *context, const struct pagemap_run *run)
{
	struct pages *pages = context;

	if (pages->count == MAX_RUNS)
		return -E2BIG;
	if (array_make_room(&pages->runs, &pages->room, pages->count))
		return -ENOMEM;
	pages->runs[pages->count++] = *run;
	return 0;
}

static int scan(pid_t pid, const struct pin_regions *regions, struct pages *pages)
{
	_cleanup_(pagemap_deinit) struct pagemap pagemap = PAGEMAP_CLOSED;
	int error = pagemap_open(pid, &pagemap);

	for (size_t i = 0; error == 0 && i < regions->range_count; i++)
		error = pagemap_scan(&pagemap, regions->ranges[i].start, regions->ranges[i].end,
				     add_run, pages);
	return error;
}

static int count_pins(struct target *target, struct target_copy *copy)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	_cleanup_(pin_regions_deinit) struct pin_regions regions = { 0 };
	_cleanup_(pages_deinit) struct pages pages = { 0 };
	struct block_list *list = copy->census->list;
	struct pins_input input = { .blocks = list, .points = copy->pin_points };
	bool is_glibc = probed_is_only_glibc(&copy->probed);
	int error;

	block_list_sort(list);
	error = procmaps_read(target->pid, &maps);
	if (error == 0)
		error = pin_regions_find(&maps, list, is_glibc, &regions);
	if (error == 0)
		error = scan(target->pid, &regions, &pages);
	if (error)
		return error;
	copy->knows_all_blocks = copy->from_start || (is_glibc && regions.has_before);
	input.runs = pages.runs;
	input.run_count = pages.count;
	input.regions = regions.regions;
	input.region_count = regions.region_count;
	return pins_count(&input, &copy->pins);
}

int target_count_pages(struct target *target, struct target_copy *copy)
{
	char why[128];
	int error;

	if (!copy->census || !copy->census->list)
		return 0;
	error = count_pins(target, copy);
	block_list_free(copy->census->list);
	copy->census->list = NULL;
	if (error == 0 || error == -ENOMEM)
		return error;
	if (error == -E2BIG)
		snprintf(why, sizeof(why), "they are in more than %u runs of pages", MAX_RUNS);
	else if (error == -ESRCH)
		snprintf(why, sizeof(why), "the process has ended meanwhile");
	else
		snprintf(why, sizeof(why), "/proc/%d cannot be read (error %d)", (int)target->pid,
			 -error);
	return say(copy, why);
}
