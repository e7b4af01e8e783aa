#include "footprint.h"

#include "daemon/proc/breakpoints.h"
#include "proto/base/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* By offset alone: file systems that lie on others show another inode in maps than to stat(2), and
 * that a breakpoint of somebody's is at the same offset of another file is a chance to live with.
 */
static bool holds_offset(const struct breakpoints *found, uint64_t file_offset)
{
	for (size_t i = 0; i < found->count; i++)
		if (found->list[i].file_offset == file_offset)
			return true;
	return false;
}

int footprint_add(struct footprint *footprint, pid_t pid, const struct uprobe_site *sites,
		  size_t count)
{
	struct breakpoints found = { 0 };
	uint64_t *more =
		reallocarray(footprint->file_offsets, footprint->count + count, sizeof(*more));

	if (!more)
		return -ENOMEM;
	footprint->file_offsets = more;
	if (breakpoints_find(pid, &found))
		found = (struct breakpoints){ 0 }; /* then nothing is known of others */
	for (size_t i = 0; i < count; i++)
		if (!holds_offset(&found, sites[i].file_offset))
			more[footprint->count++] = sites[i].file_offset;
	breakpoints_deinit(&found);
	return 0;
}

void footprint_deinit(struct footprint *footprint)
{
	free(footprint->file_offsets);
	*footprint = (struct footprint){ 0 };
}

size_t footprint_count(const struct footprint *footprint, pid_t pid)
{
	struct breakpoints found = { 0 };
	size_t count = 0;

	if (!footprint->count || breakpoints_find(pid, &found))
		return 0;
	for (size_t i = 0; i < footprint->count; i++)
		count += holds_offset(&found, footprint->file_offsets[i]);
	breakpoints_deinit(&found);
	return count;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

size_t footprint_wait(const struct footprint *footprint, pid_t pid, unsigned patience_ms)
{
	size_t least = footprint_count(footprint, pid), left = least;
	uint64_t last_ms = now_ms();
	struct timespec pause = { .tv_nsec = 1000000 };

	while (left && now_ms() - last_ms < patience_ms) {
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 20000000)
			pause.tv_nsec *= 2;
		left = footprint_count(footprint, pid);
		if (left < least) {
			least = left;
			last_ms = now_ms();
		}
	}
	return left;
}
