#pragma once
/* found: what points to which block, as a scan has found it.
 *
 * Pure. There are as many of each as there are blocks, or more, so they are kept small: of where a
 * block's edges are one byte, and of a root, beside its edge, one more. An edge (table.h) takes 4.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "room.h"

struct reach_limits {
	uint64_t max_edges, max_roots; /* below 2^32 */
};

/* A block that has so many edges or more is in `many`. */
#define REACH_MANY 255u
struct reach_many {
	uint32_t block, edges;
};

/* Roots that stand one behind the other, and have one name. */
struct reach_root_run {
	uint64_t addr; /* of the first */
	uint32_t first, name;
};
#define REACH_GAP_BYTES (255u * 8u) /* between two of a run, at most */

struct reach_found {
	uint8_t *degrees;	 /* of each block: how many edges, or REACH_MANY */
	struct reach_many *many; /* ascending */
	uint32_t *edges;	 /* of one block after the other; see reach_point() */
	uint32_t *root_edges;
	uint8_t *root_gaps; /* in words, from the one before it in its run */
	struct reach_root_run *runs;
	uint32_t block_count, many_count, edge_count, root_count, run_count;
	uint64_t read_bytes, short_bytes; /* short: was to be read and could not be */

	/* private */
	uint32_t *firsts;		      /* of every 32nd block: its first edge */
	size_t root_room, gap_room, run_room; /* so many have room without being moved */
	uint64_t last_root;
	struct room_share share; /* of whoever scans: reach_found_bytes() */
};

/* What it may come to, by its limits: so many of each. */
static inline uint64_t reach_max_many(const struct reach_limits *limits)
{
	return limits->max_edges / REACH_MANY + 1;
}

/* Room for that, from malloc(). -ENOMEM. */
int reach_found_init(struct reach_found *found, uint32_t block_count,
		     const struct reach_limits *limits);
void reach_found_deinit(struct reach_found *found);
/* Whoever made it: are all its numbers in range? */
bool reach_found_is_sound(const struct reach_found *found, uint32_t block_count);

/* ---- edges ---- */

/* What it takes; and at most, within limits. With its index. */
uint64_t reach_found_bytes(const struct reach_found *found);
uint64_t reach_max_found_bytes(uint32_t block_count, const struct reach_limits *limits);

/* Once, when all edges are found: before any is asked for. -ENOMEM. */
int reach_found_index(struct reach_found *found);

struct reach_span { /* of `edges` */
	uint32_t first, end;
};
struct reach_span reach_edges_of(const struct reach_found *found, uint32_t block);

/* The place of a block in `many`, of one that has so many edges; of another one where it would be.
 */
uint32_t reach_many_at(const struct reach_found *found, uint32_t block);

static inline bool reach_has_edges(const struct reach_found *found, uint32_t block)
{
	return found->degrees[block];
}

/* ---- roots ---- */

struct reach_root {
	uint64_t addr; /* where the word stands; a register's or the kernel's: its value */
	uint32_t edge;
	uint32_t name; /* its class; from reach_graph_name() on, what it is called */
};

/* One more. -ENOMEM, -ENOSPC. */
int reach_add_root(struct reach_found *found, uint64_t addr, uint32_t edge, uint32_t name);
/* So many more will come, of any name: no more room is taken than for these. -ENOMEM, -ENOSPC. */
int reach_reserve_roots(struct reach_found *found, uint32_t count);
/* Would it take a run of its own? */
bool reach_begins_run(const struct reach_found *found, uint64_t addr, uint32_t name);

/* How many there are; and back to so many, the last ones being forgotten. */
struct reach_roots_at {
	uint32_t roots, runs;
	uint64_t last;
};
struct reach_roots_at reach_roots_at(const struct reach_found *found);
void reach_roots_back(struct reach_found *found, const struct reach_roots_at *at);

/* All of them in turn: of a walk of zeroes the first. false: there are no more. */
struct reach_root_walk {
	uint32_t next, next_run;
	uint64_t addr;
	bool is_first; /* of its run */
};
bool reach_next_root(const struct reach_found *found, struct reach_root_walk *walk,
		     struct reach_root *ret);

/* Other names for all of them, in turn: what is where with which name; then taken. -ENOMEM,
 * -ENOSPC. */
struct reach_renaming {
	struct reach_root_run *runs;
	size_t count, room;
	uint32_t roots;
	struct room_share share;
};
int reach_rename_root(struct reach_renaming *renaming, uint64_t addr, bool is_first, uint32_t name);
void reach_rename(struct reach_found *found, struct reach_renaming *renaming);
void reach_renaming_deinit(struct reach_renaming *renaming);
