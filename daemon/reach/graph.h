#pragma once
/* graph: blocks, what points to them, and what the roots are called.
 *
 * Pure. Beside the table of blocks it needs a byte for each block, 4 for each edge, and 5 for each
 * root (found.h); marking (mark.h) 4 more for each block, and 4 for each that is still to be
 * followed.
 */
#include "proto/base/interned.h"
#include "scan.h"

struct reach_graph {
	const struct reach_block *blocks; /* borrowed; by address */
	uint32_t count;
	struct reach_found found; /* of them */
	/* What roots are called, by number: the name, and which class has it. */
	struct interned names;
	uint8_t *name_classes;
	size_t name_room;
	struct room_share share; /* of the names, NAMES_STEP ahead */
	uint64_t name_bytes;
	struct room *room; /* of what is made of it; NULL: there is no bound */
};

void reach_graph_deinit(struct reach_graph *graph);

/* What has come since the scan began (later.h), while GONE was what is there no more: a block where
 * one of those is now is there ANEW, and roots that stand in a young one are young. -ENOMEM,
 * -ENOSPC. */
int reach_graph_compare(struct reach_graph *graph, struct reach_block *blocks,
			const struct reach_block *young, size_t young_count);

/* The number of a name: to be put into the roots that have it. */
int reach_graph_name(struct reach_graph *graph, const char *name, enum reach_class class,
		     uint32_t *ret);

/* All roots have one: it becomes their class again. */
void reach_graph_forget_names(struct reach_graph *graph);

/* Of a root of a chain (mark.h): blocks that are roots themselves have names behind all others. */
#define REACH_NAME_FREED(graph) ((graph)->names.count)
#define REACH_NAME_OTHER(graph) ((graph)->names.count + 1)
const char *reach_name_text(const struct reach_graph *graph, uint32_t name);
enum reach_class reach_name_class(const struct reach_graph *graph, uint32_t name);
