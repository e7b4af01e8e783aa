#include "pin_regions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"

/* glibc's malloc/arena.c: HEAP_MAX_SIZE, to which heaps of other arenas are aligned. */
#define ARENA_HEAP_BYTES (64ull << 20)
/* malloc/malloc.c: a chunk with a mapping of its own has its block here. A heap has its own head
 * there. */
#define CHUNK_HEAD 16

/* What there is of blocks in one mapping, and before it. */
struct holding {
	size_t next;	     /* number of the first block behind it */
	size_t started;	     /* in it; the target's own mappings are none */
	uint64_t end;	     /* of all blocks so far, the highest */
	uint64_t mapped_end; /* with those of the target's own mappings */
	bool has_mapped_chunk;
};

static void pass_blocks(const struct block_list *blocks, const struct procmaps_entry *entry,
			struct holding *holding, bool *has_before)
{
	holding->started = 0;
	holding->has_mapped_chunk = false;
	for (; holding->next < block_list_count(blocks); holding->next++) {
		struct listed_block block = block_list_at(blocks, holding->next);
		uint64_t end = block.addr + block.size_bytes;

		if (block.addr >= entry->end)
			return;
		*has_before |= block.age == DHAT_PAGE_AGE_BEFORE;
		if (end > holding->mapped_end)
			holding->mapped_end = end;
		if (block.is_mapped)
			continue;
		if (end > holding->end)
			holding->end = end;
		if (block.addr < entry->start)
			continue; /* its mapping is gone */
		holding->started++;
		holding->has_mapped_chunk |= block.addr % ARENA_HEAP_BYTES == CHUNK_HEAD;
	}
}

static bool is_anonymous(const struct procmaps_entry *entry)
{
	return !entry->is_shared && !entry->inode && entry->is_readable &&
	       (!*entry->path || !strcmp(entry->path, "[heap]") ||
		!strncmp(entry->path, "[anon", strlen("[anon")));
}

/* Heaps of arenas: one, or several of which all but the last have grown to their bound. */
static bool are_arena_heaps(const struct procmaps *maps, size_t number,
			    const struct holding *holding)
{
	const struct procmaps_entry *entry = &maps->entries[number], *next = entry + 1;
	uint64_t bound = (entry->end + ARENA_HEAP_BYTES - 1) / ARENA_HEAP_BYTES * ARENA_HEAP_BYTES;

	if (entry->start % ARENA_HEAP_BYTES || holding->has_mapped_chunk || !entry->is_writable)
		return false;
	if (entry->end == bound)
		return holding->started;
	return number + 1 < maps->count && next->start == entry->end && next->end == bound &&
	       !next->is_readable && !next->is_writable;
}

static int add_region(struct pin_regions *regions, uint64_t start, uint64_t end, bool shrinks)
{
	struct pins_region *last =
		regions->region_count ? &regions->regions[regions->region_count - 1] : NULL;

	if (last && last->end == start && !last->shrinks_from_end && !shrinks) {
		last->end = end;
		return 0;
	}
	if (array_make_room(&regions->regions, &regions->region_room, regions->region_count))
		return -ENOMEM;
	regions->regions[regions->region_count++] = (struct pins_region){ start, end, shrinks };
	return 0;
}

static int add_arena_heaps(struct pin_regions *regions, const struct procmaps_entry *entry)
{
	int error = 0;

	for (uint64_t start = entry->start; error == 0 && start < entry->end;
	     start += ARENA_HEAP_BYTES) {
		uint64_t end = start + ARENA_HEAP_BYTES;

		error = add_region(regions, start, end < entry->end ? end : entry->end, true);
	}
	return error;
}

/* The memory below the break may have been cut into several mappings: by madvise(2), say. */
static int add_break(struct pin_regions *regions, const struct procmaps_entry *entry)
{
	struct pins_region *last =
		regions->region_count ? &regions->regions[regions->region_count - 1] : NULL;

	if (!last || last->end != entry->start || !last->shrinks_from_end)
		return add_region(regions, entry->start, entry->end, true);
	last->end = entry->end;
	return 0;
}

static int add_mapping(struct pin_regions *regions, const struct procmaps *maps, size_t number,
		       const struct holding *holding, bool is_glibc)
{
	const struct procmaps_entry *entry = &maps->entries[number];
	bool is_held = holding->end > entry->start;

	if (!is_anonymous(entry))
		return 0;
	if (is_glibc && !strcmp(entry->path, "[heap]"))
		return add_break(regions, entry);
	if (is_glibc && are_arena_heaps(maps, number, holding))
		return add_arena_heaps(regions, entry);
	return is_held ? add_region(regions, entry->start, entry->end, false) : 0;
}

static int add_range(struct pin_regions *regions, const struct procmaps_entry *entry)
{
	struct pin_range *last =
		regions->range_count ? &regions->ranges[regions->range_count - 1] : NULL;

	if (last && last->end == entry->start) {
		last->end = entry->end;
		return 0;
	}
	if (array_make_room(&regions->ranges, &regions->range_room, regions->range_count))
		return -ENOMEM;
	regions->ranges[regions->range_count++] = (struct pin_range){ entry->start, entry->end };
	return 0;
}

int pin_regions_find(const struct procmaps *maps, const struct block_list *blocks, bool is_glibc,
		     struct pin_regions *ret)
{
	struct holding holding = { 0 };
	int error = 0;

	*ret = (struct pin_regions){ 0 };
	for (size_t i = 0; error == 0 && i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];
		size_t regions = ret->region_count;
		uint64_t regions_end = regions ? ret->regions[regions - 1].end : 0;

		pass_blocks(blocks, entry, &holding, &ret->has_before);
		error = add_mapping(ret, maps, i, &holding, is_glibc);
		if (error == 0 &&
		    (holding.mapped_end > entry->start || ret->region_count != regions ||
		     (regions && ret->regions[regions - 1].end != regions_end)))
			error = add_range(ret, entry);
	}
	return error;
}

void pin_regions_deinit(struct pin_regions *regions)
{
	free(regions->regions);
	free(regions->ranges);
}
