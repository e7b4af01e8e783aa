#include "retained.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

#define NONE UINT32_MAX

struct arc {
	uint32_t from, to;
	uint64_t words;
};

struct sites {
	const struct reach_graph *graph;
	const struct reach_mark *mark;
	struct reach_retained *nodes;
	uint32_t count, point_count;
	size_t room, arc_room;
	uint32_t *node_of_point, *node_of_name; /* NONE */
	struct arc *arcs;
	uint32_t arc_count;
	uint32_t *buckets, bucket_count; /* arc + 1 */
	/* for the search: arcs by where they begin, nodes as they are left, from the last on */
	uint32_t *first_arc, *order, *place, *dominators;
	uint32_t ordered;
	struct room_share share;
};

static void sites_deinit(struct sites *sites)
{
	free(sites->nodes);
	free(sites->node_of_point);
	free(sites->node_of_name);
	free(sites->arcs);
	free(sites->buckets);
	free(sites->first_arc);
	free(sites->order);
	free(sites->place);
	free(sites->dominators);
	room_return_all(&sites->share);
}

/* ---- nodes and arcs ------------------------------------------------------------------------- */

static int get_node(struct sites *sites, uint32_t *known, uint32_t id, bool is_root)
{
	int r;

	if (*known != NONE)
		return 0;
	if (sites->count >= RETAINED_MAX_NODES)
		return -E2BIG;
	r = room_make_room(&sites->share, &sites->nodes, &sites->room, sites->count);
	if (r)
		return r;
	*known = sites->count;
	sites->nodes[sites->count++] = (struct reach_retained){ .id = id, .is_root = is_root };
	return 0;
}

static uint32_t *bucket_of(struct sites *sites, uint32_t from, uint32_t to)
{
	uint32_t mask = sites->bucket_count - 1;
	uint32_t i = (from * 0x9e3779b1u ^ to * 0x85ebca77u) >> 4 & mask;

	while (sites->buckets[i]) {
		const struct arc *arc = &sites->arcs[sites->buckets[i] - 1];

		if (arc->from == from && arc->to == to)
			break;
		i = (i + 1) & mask;
	}
	return &sites->buckets[i];
}

static int grow(struct sites *sites)
{
	uint32_t wanted = sites->bucket_count ? 2 * sites->bucket_count : 4096;
	int r = room_claim(&sites->share, (wanted - sites->bucket_count) * sizeof(*sites->buckets));

	if (r)
		return r;
	free(sites->buckets);
	sites->bucket_count = wanted;
	sites->buckets = calloc(sites->bucket_count, sizeof(*sites->buckets));
	if (!sites->buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < sites->arc_count; i++)
		*bucket_of(sites, sites->arcs[i].from, sites->arcs[i].to) = i + 1;
	return 0;
}

static int add_arc(struct sites *sites, uint32_t from, uint32_t to, uint64_t words)
{
	uint32_t *bucket;
	int r = 2 * (sites->arc_count + 1) > sites->bucket_count ? grow(sites) : 0;

	if (r)
		return r;
	bucket = bucket_of(sites, from, to);
	if (!*bucket) {
		r = room_make_room(&sites->share, &sites->arcs, &sites->arc_room, sites->arc_count);
		if (r)
			return r;
		sites->arcs[sites->arc_count++] = (struct arc){ from, to, 0 };
		*bucket = sites->arc_count;
	}
	sites->arcs[*bucket - 1].words += words;
	return 0;
}

static bool is_held(const struct sites *sites, uint32_t block)
{
	enum reach_level level = reach_level_of(sites->mark, block);

	return (level == REACH_HELD || level == REACH_HELD_PAST) &&
	       !(sites->graph->blocks[block].flags & REACH_BLOCK_GONE);
}

static bool counts(const struct sites *sites, uint32_t edge)
{
	return reach_kind(edge) != REACH_TAGGED && is_held(sites, reach_target(edge));
}

static int add_blocks(struct sites *sites)
{
	int r = 0;

	for (uint32_t i = 0; i < sites->graph->count && r == 0; i++) {
		const struct reach_block *block = &sites->graph->blocks[i];
		uint32_t *node = &sites->node_of_point[block->point];

		if (!is_held(sites, i))
			continue;
		r = get_node(sites, node, block->point, false);
		if (r)
			break;
		sites->nodes[*node].own_blocks++;
		sites->nodes[*node].own_bytes += block->size_bytes;
	}
	return r;
}

static int add_edges(struct sites *sites)
{
	const struct reach_graph *graph = sites->graph;
	int r = 0;

	for (uint32_t i = 0; i < graph->count; i++) {
		uint32_t from = sites->node_of_point[graph->blocks[i].point];
		struct reach_span edges;

		if (!is_held(sites, i))
			continue;
		edges = reach_edges_of(&graph->found, i);
		for (uint32_t e = edges.first; e < edges.end && r == 0; e++) {
			uint32_t edge = graph->found.edges[e], to;

			if (!counts(sites, edge))
				continue;
			to = sites->node_of_point[graph->blocks[reach_target(edge)].point];
			r = from == to ? 0 : add_arc(sites, from, to, 1);
		}
	}
	return r;
}

static int add_roots(struct sites *sites)
{
	const struct reach_graph *graph = sites->graph;
	struct reach_root_walk walk = { 0 };
	struct reach_root root;
	int r = 0;

	while (r == 0 && reach_next_root(&graph->found, &walk, &root)) {
		uint32_t *node = &sites->node_of_name[root.name];

		if (reach_class_level(graph->name_classes[root.name]) != REACH_HELD ||
		    !counts(sites, root.edge))
			continue;
		r = get_node(sites, node, root.name, true);
		if (r == 0)
			r = add_arc(
				sites, *node,
				sites->node_of_point[graph->blocks[reach_target(root.edge)].point],
				1);
	}
	return r;
}

/* One word may lead to all there is: to the first node of a list whose nodes are of two sites. So
 * an arc is as strong as what is held by it. */
static int add_chains(struct sites *sites)
{
	const struct reach_chain *chains = sites->mark->chains;
	int r = 0;

	for (uint32_t i = 1; i < sites->mark->chain_count && r == 0; i++) {
		const struct reach_chain *holder = &chains[chains[i].parent];
		uint32_t from;

		if (chains[i].is_root || chains[i].level > REACH_HELD_PAST || !chains[i].blocks ||
		    holder->is_cut ||
		    (holder->is_root && holder->site >= sites->graph->names.count))
			continue;
		from = holder->is_root ? sites->node_of_name[holder->site]
				       : sites->node_of_point[holder->site];
		if (from != NONE)
			r = add_arc(sites, from, sites->node_of_point[chains[i].site],
				    chains[i].blocks);
	}
	return r;
}

/* Arcs that lead to too little of what they lead to; but each node keeps its strongest. */
static int drop_weak(struct sites *sites)
{
	_cleanup_free_ uint64_t *most = calloc(sites->count + 1ul, sizeof(*most));
	uint32_t kept = 0;

	if (!most)
		return -ENOMEM;
	for (uint32_t i = 0; i < sites->arc_count; i++)
		if (sites->arcs[i].words > most[sites->arcs[i].to])
			most[sites->arcs[i].to] = sites->arcs[i].words;
	for (uint32_t i = 0; i < sites->arc_count; i++) {
		const struct arc *arc = &sites->arcs[i];

		if (arc->words * 100 >= sites->nodes[arc->to].own_blocks * RETAINED_MIN_PERCENT ||
		    arc->words == most[arc->to])
			sites->arcs[kept++] = *arc;
	}
	sites->arc_count = kept;
	return 0;
}

static int compare_arcs(const void *a_, const void *b_)
{
	const struct arc *a = a_, *b = b_;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	return a->to < b->to ? -1 : a->to > b->to;
}

/* ---- dominators ----------------------------------------------------------------------------- */

/* Depth first, without recursion; `order` is filled from its end, as nodes are left. */
static int walk(struct sites *sites)
{
	_cleanup_free_ uint32_t *path = malloc((sites->count + 1ul) * sizeof(*path));
	_cleanup_free_ uint32_t *next = malloc((sites->count + 1ul) * sizeof(*next));
	uint32_t place = sites->count;

	if (!path || !next)
		return -ENOMEM;
	for (uint32_t root = 0; root < sites->count; root++) {
		uint32_t depth = 0;

		if (!sites->nodes[root].is_root)
			continue;
		next[root] = sites->first_arc[root];
		path[depth++] = root;
		sites->place[root] = 0;
		while (depth) {
			uint32_t at = path[depth - 1], to;

			if (next[at] == sites->first_arc[at + 1]) {
				sites->order[--place] = at;
				depth--;
				continue;
			}
			to = sites->arcs[next[at]++].to;
			if (sites->place[to] != NONE)
				continue;
			sites->place[to] = 0;
			next[to] = sites->first_arc[to];
			path[depth++] = to;
		}
	}
	sites->ordered = sites->count - place;
	memmove(sites->order, sites->order + place, sites->ordered * sizeof(*sites->order));
	for (uint32_t i = 0; i < sites->ordered; i++)
		sites->place[sites->order[i]] = i;
	return 0;
}

/* The nearest that is above both; NONE stands for what is above all roots. */
static uint32_t meet(const struct sites *sites, uint32_t a, uint32_t b)
{
	while (a != b) {
		if (a == NONE || b == NONE)
			return NONE;
		if (sites->place[a] > sites->place[b])
			a = sites->dominators[a];
		else
			b = sites->dominators[b];
	}
	return a;
}

/* Cooper, Harvey and Kennedy (2001), which is quadratic on long chains: of blocks it would be too
 * slow, and of sites the passes are bounded. */
static int find_dominators(struct sites *sites)
{
	_cleanup_free_ bool *is_known = calloc(sites->count + 1ul, sizeof(*is_known));
	bool has_changed = true;

	if (!is_known)
		return -ENOMEM;
	for (uint32_t i = 0; i < sites->count; i++) {
		sites->dominators[i] = NONE;
		is_known[i] = sites->nodes[i].is_root;
	}
	for (int pass = 0; has_changed; pass++) {
		if (pass == RETAINED_MAX_PASSES)
			return -E2BIG;
		has_changed = false;
		for (uint32_t i = 0; i < sites->ordered; i++) {
			uint32_t from = sites->order[i];

			for (uint32_t a = sites->first_arc[from]; a < sites->first_arc[from + 1];
			     a++) {
				uint32_t to = sites->arcs[a].to;
				uint32_t before = sites->dominators[to];

				if (sites->nodes[to].is_root)
					continue;
				sites->dominators[to] =
					is_known[to] ? meet(sites, before, from) : from;
				has_changed |= !is_known[to] || sites->dominators[to] != before;
				is_known[to] = true;
			}
		}
	}
	return 0;
}

static void sum_up(struct sites *sites)
{
	for (uint32_t i = 0; i < sites->count; i++) {
		sites->nodes[i].bytes = sites->nodes[i].own_bytes;
		sites->nodes[i].blocks = sites->nodes[i].own_blocks;
		sites->nodes[i].under = i;
	}
	for (uint32_t i = sites->ordered; i-- > 0;) {
		struct reach_retained *node = &sites->nodes[sites->order[i]];
		uint32_t above = sites->dominators[sites->order[i]];

		if (above == NONE)
			continue;
		node->under = above;
		sites->nodes[above].bytes += node->bytes;
		sites->nodes[above].blocks += node->blocks;
	}
}

static int index_arcs(struct sites *sites)
{
	size_t room = sites->count + 2ul;
	uint32_t at = 0;
	int r = room_claim(&sites->share, 4 * room * sizeof(*sites->order));

	if (r)
		return r;
	sites->first_arc = calloc(room, sizeof(*sites->first_arc));
	sites->order = malloc(room * sizeof(*sites->order));
	sites->place = malloc(room * sizeof(*sites->place));
	sites->dominators = malloc(room * sizeof(*sites->dominators));
	if (!sites->first_arc || !sites->order || !sites->place || !sites->dominators)
		return -ENOMEM;
	memset(sites->place, 0xff, room * sizeof(*sites->place));
	if (sites->arc_count)
		qsort(sites->arcs, sites->arc_count, sizeof(*sites->arcs), compare_arcs);
	for (uint32_t node = 0; node <= sites->count; node++) {
		while (at < sites->arc_count && sites->arcs[at].from < node)
			at++;
		sites->first_arc[node] = at;
	}
	return 0;
}

static int none_list(struct sites *sites, size_t count, uint32_t **ret)
{
	size_t bytes = (count + 1) * sizeof(**ret);
	int r = room_claim(&sites->share, bytes);

	if (r)
		return r;
	*ret = malloc(bytes);
	if (!*ret)
		return -ENOMEM;
	memset(*ret, 0xff, bytes);
	return 0;
}

static int prepare(struct sites *sites)
{
	int r;

	for (uint32_t i = 0; i < sites->graph->count; i++)
		if (sites->graph->blocks[i].point >= sites->point_count)
			sites->point_count = sites->graph->blocks[i].point + 1;
	r = none_list(sites, sites->point_count, &sites->node_of_point);
	return r ? r : none_list(sites, sites->graph->names.count, &sites->node_of_name);
}

int reach_retained(const struct reach_graph *graph, const struct reach_mark *mark,
		   struct reach_retained **ret, uint32_t *ret_count)
{
	_cleanup_(sites_deinit) struct sites sites = { .graph = graph,
						       .mark = mark,
						       .share = { .room = graph->room } };
	int r = prepare(&sites);

	if (r == 0)
		r = add_blocks(&sites);
	if (r == 0)
		r = add_edges(&sites);
	if (r == 0)
		r = add_roots(&sites);
	if (r == 0)
		r = add_chains(&sites);
	if (r == 0)
		r = drop_weak(&sites);
	if (r == 0)
		r = index_arcs(&sites);
	if (r == 0)
		r = walk(&sites);
	if (r == 0)
		r = find_dominators(&sites);
	if (r)
		return r;
	sum_up(&sites);
	*ret_count = sites.count;
	*ret = take_ptr(sites.nodes);
	return 0;
}
