#include "graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"

void reach_graph_deinit(struct reach_graph *graph)
{
	reach_found_deinit(&graph->found);
	interned_deinit(&graph->names);
	free(graph->name_classes);
	room_return_all(&graph->share);
	*graph = (struct reach_graph){ 0 };
}

/* At most, beside its letters: pointer, number, places in tables that double, what malloc adds. */
#define NAME_BYTES 96
#define NAMES_STEP 65536 /* most names are known already */

static int claim_name(struct reach_graph *graph, uint64_t bytes)
{
	graph->share.room = graph->room;
	return graph->name_bytes + bytes > graph->share.bytes
		       ? room_claim(&graph->share, bytes + NAMES_STEP)
		       : 0;
}

int reach_graph_name(struct reach_graph *graph, const char *name, enum reach_class class,
		     uint32_t *ret)
{
	uint32_t before = graph->names.count;
	uint64_t bytes = NAME_BYTES + strlen(name);
	int r = claim_name(graph, bytes);

	if (r == 0)
		r = array_make_room(&graph->name_classes, &graph->name_room, before);
	if (r == 0)
		r = interned_add(&graph->names, name, ret);
	if (r || *ret != before)
		return r;
	graph->name_classes[before] = class;
	graph->name_bytes += bytes;
	return 0;
}

const char *reach_name_text(const struct reach_graph *graph, uint32_t name)
{
	if (name < graph->names.count)
		return graph->names.list[name];
	return name == REACH_NAME_FREED(graph)
		       ? "memory that was freed during the scan"
		       : "memory in which an allocator above another has its blocks";
}

enum reach_class reach_name_class(const struct reach_graph *graph, uint32_t name)
{
	if (name < graph->names.count)
		return graph->name_classes[name];
	return name == REACH_NAME_FREED(graph) ? REACH_FREED : REACH_OTHER;
}

void reach_graph_forget_names(struct reach_graph *graph)
{
	for (uint32_t i = 0; i < graph->found.run_count; i++)
		graph->found.runs[i].name = graph->name_classes[graph->found.runs[i].name];
	interned_deinit(&graph->names);
	graph->names = (struct interned){ 0 };
	graph->name_bytes = 0;
	room_return_all(&graph->share);
}

/* ---- what has happened since the table was made --------------------------------------------- */

static bool overlaps(const struct reach_block *block, const struct reach_block *young, size_t count)
{
	size_t last = reach_find_below(young, count, block->addr + block->size_bytes - 1);

	return last < count && young[last].addr + young[last].size_bytes > block->addr;
}

static bool is_in(const struct reach_block *young, size_t count, uint64_t addr)
{
	size_t i = reach_find_below(young, count, addr);

	return i < count && addr - young[i].addr < young[i].size_bytes;
}

static int find_young_roots(struct reach_graph *graph, const struct reach_block *young,
			    size_t count)
{
	struct reach_root_walk walk = { 0 };
	struct reach_renaming renaming = { .share = { .room = graph->room } };
	struct reach_root root;
	int r = 0;

	while (r == 0 && reach_next_root(&graph->found, &walk, &root)) {
		bool is_memory = root.name == REACH_GAP || root.name == REACH_MAPPING ||
				 root.name == REACH_OWN;

		if (is_memory && is_in(young, count, root.addr))
			root.name = REACH_YOUNG;
		r = reach_rename_root(&renaming, root.addr, walk.is_first, root.name);
	}
	if (r == 0)
		reach_rename(&graph->found, &renaming);
	reach_renaming_deinit(&renaming);
	return r;
}

int reach_graph_compare(struct reach_graph *graph, struct reach_block *blocks,
			const struct reach_block *young, size_t young_count)
{
	for (uint32_t i = 0; i < graph->count && young_count; i++)
		if (blocks[i].flags & REACH_BLOCK_GONE && overlaps(&blocks[i], young, young_count))
			blocks[i].flags |= REACH_BLOCK_ANEW;
	return young_count ? find_young_roots(graph, young, young_count) : 0;
}
