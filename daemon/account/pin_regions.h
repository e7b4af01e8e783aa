#pragma once
/* pin_regions: which mappings of a process hold blocks, and which of them are an allocator's.
 *
 * Pure. An allocator's is anonymous private memory that a live block lies in; of glibc also a heap
 * that has none any more: the memory below the break, and what looks like a heap of another arena,
 * which begins at a multiple of 64 MiB and is followed by what it may still grow into.
 */
#include "daemon/proc/procmaps.h"
#include "pins.h"

struct pin_range {
	uint64_t start, end;
};

struct pin_regions {
	struct pins_region *regions; /* by ascending address; neighbours that are alike are one */
	size_t region_count, region_room;
	struct pin_range *ranges; /* whose pages are asked for: regions, and wherever a block is */
	size_t range_count, range_room;
	bool has_before; /* some block is from before the attach */
};

/* blocks: sorted. is_glibc: all are of glibc's malloc. maps: of now. -ENOMEM. To be deinited
 * when it failed, too. */
int pin_regions_find(const struct procmaps *maps, const struct block_list *blocks, bool is_glibc,
		     struct pin_regions *ret);
void pin_regions_deinit(struct pin_regions *regions);
