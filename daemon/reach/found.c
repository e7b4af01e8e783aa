#include "found.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "table.h"

#define WORD sizeof(uint64_t)
#define FIRSTS 32u /* blocks to one of `firsts`: an eighth of a byte for each */

void reach_found_deinit(struct reach_found *found)
{
	free(found->degrees);
	free(found->many);
	free(found->edges);
	free(found->root_edges);
	free(found->root_gaps);
	free(found->runs);
	free(found->firsts);
	room_return_all(&found->share);
	*found = (struct reach_found){ 0 };
}

int reach_found_init(struct reach_found *found, uint32_t block_count,
		     const struct reach_limits *limits)
{
	size_t roots = limits->max_roots + 1ul;

	*found = (struct reach_found){
		.degrees = malloc(block_count + 1ul),
		.many = malloc(reach_max_many(limits) * sizeof(*found->many)),
		.edges = malloc((limits->max_edges + 1ul) * sizeof(*found->edges)),
		.root_edges = malloc(roots * sizeof(*found->root_edges)),
		.root_gaps = malloc(roots),
		.runs = malloc(roots * sizeof(*found->runs)),
		.block_count = block_count,
		.root_room = limits->max_roots,
		.gap_room = limits->max_roots,
		.run_room = limits->max_roots,
	};
	if (found->degrees && found->many && found->edges && found->root_edges &&
	    found->root_gaps && found->runs)
		return 0;
	reach_found_deinit(found);
	return -ENOMEM;
}

static uint64_t bytes_of(uint64_t blocks, uint64_t many, uint64_t edges, uint64_t roots,
			 uint64_t runs)
{
	return blocks + (blocks / FIRSTS + 1) * sizeof(uint32_t) +
	       many * sizeof(struct reach_many) + edges * sizeof(uint32_t) +
	       roots * (sizeof(uint32_t) + 1) + runs * sizeof(struct reach_root_run);
}

uint64_t reach_found_bytes(const struct reach_found *found)
{
	return bytes_of(found->block_count, found->many_count, found->edge_count, found->root_count,
			found->run_count);
}

uint64_t reach_max_found_bytes(uint32_t block_count, const struct reach_limits *limits)
{
	return bytes_of(block_count, reach_max_many(limits), limits->max_edges, limits->max_roots,
			limits->max_roots);
}

/* ---- whoever made it ------------------------------------------------------------------------ */

static bool are_degrees_sound(const struct reach_found *found)
{
	uint64_t edges = 0;
	uint32_t many = 0;

	for (uint32_t i = 0; i < found->block_count; i++) {
		if (found->degrees[i] < REACH_MANY) {
			edges += found->degrees[i];
			continue;
		}
		if (many == found->many_count || found->many[many].block != i ||
		    found->many[many].edges < REACH_MANY)
			return false;
		edges += found->many[many++].edges;
	}
	return many == found->many_count && edges == found->edge_count;
}

/* What a scan of memory may call a root; the others are ours to give. */
static bool is_of_memory(uint32_t name)
{
	return name < REACH_CLASSES && name != REACH_KERNEL && name != REACH_REGISTER &&
	       name != REACH_YOUNG;
}

static bool are_runs_sound(const struct reach_found *found)
{
	if (!found->run_count)
		return !found->root_count;
	if (found->runs[0].first || found->runs[found->run_count - 1].first >= found->root_count)
		return false;
	for (uint32_t i = 0; i < found->run_count; i++)
		if (!is_of_memory(found->runs[i].name) ||
		    (i && found->runs[i].first <= found->runs[i - 1].first))
			return false;
	return true;
}

static bool are_edges_sound(const uint32_t *edges, uint32_t count, uint32_t block_count)
{
	for (uint32_t i = 0; i < count; i++)
		if (reach_target(edges[i]) >= block_count)
			return false;
	return true;
}

bool reach_found_is_sound(const struct reach_found *found, uint32_t block_count)
{
	return found->block_count == block_count && are_degrees_sound(found) &&
	       are_runs_sound(found) &&
	       are_edges_sound(found->edges, found->edge_count, block_count) &&
	       are_edges_sound(found->root_edges, found->root_count, block_count);
}

/* ---- edges ---------------------------------------------------------------------------------- */

uint32_t reach_many_at(const struct reach_found *found, uint32_t block)
{
	uint32_t low = 0, high = found->many_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (found->many[middle].block < block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint32_t degree_of(const struct reach_found *found, uint32_t block)
{
	return found->degrees[block] < REACH_MANY ? found->degrees[block]
						  : found->many[reach_many_at(found, block)].edges;
}

int reach_found_index(struct reach_found *found)
{
	uint32_t edges = 0, many = 0;

	free(found->firsts);
	found->firsts = malloc((found->block_count / FIRSTS + 1ul) * sizeof(*found->firsts));
	if (!found->firsts)
		return -ENOMEM;
	for (uint32_t i = 0; i < found->block_count; i++) {
		if (i % FIRSTS == 0)
			found->firsts[i / FIRSTS] = edges;
		edges += found->degrees[i] < REACH_MANY ? found->degrees[i]
							: found->many[many++].edges;
	}
	return 0;
}

/* The sum of eight bytes. */
static uint32_t sum_of(uint64_t bytes)
{
	const uint64_t even = 0x00ff00ff00ff00ff;

	return ((bytes & even) + (bytes >> 8 & even)) * 0x0001000100010001 >> 48;
}

static uint32_t sum_degrees(const uint8_t *degrees, uint32_t count)
{
	uint32_t sum = 0;

	for (; count >= sizeof(uint64_t); count -= sizeof(uint64_t)) {
		uint64_t bytes;

		memcpy(&bytes, degrees, sizeof(bytes));
		degrees += sizeof(bytes);
		sum += sum_of(bytes);
	}
	while (count--)
		sum += *degrees++;
	return sum;
}

struct reach_span reach_edges_of(const struct reach_found *found, uint32_t block)
{
	uint32_t from = block / FIRSTS * FIRSTS, first = found->firsts[block / FIRSTS];

	first += sum_degrees(found->degrees + from, block - from);
	/* those count as REACH_MANY in the sum */
	for (uint32_t i = found->many_count ? reach_many_at(found, from) : 0;
	     i < found->many_count && found->many[i].block < block; i++)
		first += found->many[i].edges - REACH_MANY;
	return (struct reach_span){ first, first + degree_of(found, block) };
}

/* ---- roots ---------------------------------------------------------------------------------- */

static bool is_near(uint64_t before, uint64_t addr)
{
	return addr - before <= REACH_GAP_BYTES && (addr - before) % WORD == 0;
}

bool reach_begins_run(const struct reach_found *found, uint64_t addr, uint32_t name)
{
	return !found->run_count || found->runs[found->run_count - 1].name != name ||
	       !is_near(found->last_root, addr);
}

int reach_add_root(struct reach_found *found, uint64_t addr, uint32_t edge, uint32_t name)
{
	bool begins = reach_begins_run(found, addr, name);

	struct room_share *share = &found->share;
	int r = room_make_room(share, &found->root_edges, &found->root_room, found->root_count);

	if (r == 0)
		r = room_make_room(share, &found->root_gaps, &found->gap_room, found->root_count);
	if (r == 0 && begins)
		r = room_make_room(share, &found->runs, &found->run_room, found->run_count);
	if (r)
		return r;
	if (begins)
		found->runs[found->run_count++] =
			(struct reach_root_run){ addr, found->root_count, name };
	found->root_gaps[found->root_count] = begins ? 0 : (addr - found->last_root) / WORD;
	found->root_edges[found->root_count++] = edge;
	found->last_root = addr;
	return 0;
}

static int reserve(struct room_share *share, void *array_, size_t *room, size_t element_bytes,
		   size_t wanted)
{
	void **array = array_, *grown;
	uint64_t more = wanted > *room ? (wanted - *room) * element_bytes : 0;
	int r = room_claim(share, more);

	if (r || !more)
		return r;
	grown = reallocarray(*array, wanted, element_bytes);
	if (!grown) {
		room_return(share, more);
		return -ENOMEM;
	}
	*array = grown;
	*room = wanted;
	return 0;
}

int reach_reserve_roots(struct reach_found *found, uint32_t count)
{
	size_t roots = found->root_count + (size_t)count;
	int r = reserve(&found->share, &found->root_edges, &found->root_room,
			sizeof(*found->root_edges), roots);

	if (r == 0)
		r = reserve(&found->share, &found->root_gaps, &found->gap_room,
			    sizeof(*found->root_gaps), roots);
	return r ? r
		 : reserve(&found->share, &found->runs, &found->run_room, sizeof(*found->runs),
			   found->run_count + (size_t)count);
}

struct reach_roots_at reach_roots_at(const struct reach_found *found)
{
	return (struct reach_roots_at){ found->root_count, found->run_count, found->last_root };
}

void reach_roots_back(struct reach_found *found, const struct reach_roots_at *at)
{
	found->root_count = at->roots;
	found->run_count = at->runs;
	found->last_root = at->last;
}

bool reach_next_root(const struct reach_found *found, struct reach_root_walk *walk,
		     struct reach_root *ret)
{
	if (walk->next == found->root_count)
		return false;
	walk->is_first = walk->next_run < found->run_count &&
			 found->runs[walk->next_run].first == walk->next;
	if (walk->is_first)
		walk->addr = found->runs[walk->next_run++].addr;
	else
		walk->addr += found->root_gaps[walk->next] * WORD;
	*ret = (struct reach_root){ walk->addr, found->root_edges[walk->next++],
				    found->runs[walk->next_run - 1].name };
	return true;
}

int reach_rename_root(struct reach_renaming *renaming, uint64_t addr, bool is_first, uint32_t name)
{
	bool begins =
		is_first || !renaming->count || renaming->runs[renaming->count - 1].name != name;
	int r = begins ? room_make_room(&renaming->share, &renaming->runs, &renaming->room,
					renaming->count)
		       : 0;

	if (r)
		return r;
	if (begins)
		renaming->runs[renaming->count++] =
			(struct reach_root_run){ addr, renaming->roots, name };
	renaming->roots++;
	return 0;
}

void reach_rename(struct reach_found *found, struct reach_renaming *renaming)
{
	free(found->runs);
	room_return(&found->share, found->run_room * sizeof(*found->runs));
	room_move(&found->share, &renaming->share);
	found->runs = take_ptr(renaming->runs);
	found->run_count = renaming->count;
	found->run_room = renaming->room;
	*renaming = (struct reach_renaming){ 0 };
}

void reach_renaming_deinit(struct reach_renaming *renaming)
{
	free(renaming->runs);
	room_return_all(&renaming->share);
	*renaming = (struct reach_renaming){ 0 };
}
