#include "mark.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

/* Blocks whose edges are to be followed, in pieces, so that it takes no more than there are. Those
 * that have none are not in it, which most are, as often as not. */
#define PIECE_BLOCKS 16382u

struct piece {
	struct piece *next;
	uint32_t blocks[PIECE_BLOCKS];
};

struct queue {
	struct piece *first, *last, *spare;
	uint32_t begin, end; /* in the first, and in the last */
	struct room_share share;
};

struct marking {
	const struct reach_graph *graph;
	struct queue queue;
	struct reach_mark *mark;
	enum reach_level level;
	uint32_t from;		    /* the block whose edges are followed, + 1; 0: roots are */
	uint32_t cut[REACH_LEVELS]; /* chains for what has no room; 0: none yet */
	/* the last link of a chain that was looked for: most blocks come after one of their site */
	uint32_t last_holder, last_site, last_chain;
};

void reach_mark_deinit(struct reach_mark *mark)
{
	free(mark->chains_of);
	free(mark->chains);
	free(mark->ways);
	free(mark->buckets);
	room_return_all(&mark->share);
	*mark = (struct reach_mark){ 0 };
}

/* ---- what is to be followed ----------------------------------------------------------------- */

static void queue_free(struct queue *queue)
{
	while (queue->first) {
		struct piece *piece = queue->first;

		queue->first = piece->next;
		free(piece);
	}
	free(queue->spare);
	room_return_all(&queue->share);
}

static bool queue_is_empty(const struct queue *queue)
{
	return !queue->first || (queue->first == queue->last && queue->begin == queue->end);
}

static int queue_grow(struct queue *queue)
{
	struct piece *piece = queue->spare;
	int r = piece ? 0 : room_claim(&queue->share, sizeof(*piece));

	if (r == 0 && !piece)
		piece = malloc(sizeof(*piece));
	if (!piece)
		return r ? r : -ENOMEM;
	queue->spare = NULL;
	piece->next = NULL;
	if (queue->last)
		queue->last->next = piece;
	else
		queue->first = piece;
	queue->last = piece;
	queue->end = 0;
	return 0;
}

static int queue_put(struct queue *queue, uint32_t block)
{
	int r = !queue->last || queue->end == PIECE_BLOCKS ? queue_grow(queue) : 0;

	if (r == 0)
		queue->last->blocks[queue->end++] = block;
	return r;
}

static uint32_t queue_take(struct queue *queue)
{
	struct piece *piece = queue->first;
	uint32_t block = piece->blocks[queue->begin++];

	if (queue->begin < PIECE_BLOCKS)
		return block;
	queue->first = piece->next;
	queue->last = queue->first ? queue->last : NULL;
	queue->begin = 0;
	if (queue->spare)
		room_return(&queue->share, sizeof(*piece));
	free(queue->spare);
	queue->spare = piece;
	return block;
}

/* ---- chains --------------------------------------------------------------------------------- */

static bool is_same(const struct reach_chain *a, const struct reach_chain *b)
{
	return a->parent == b->parent && a->site == b->site && a->level == b->level &&
	       a->is_root == b->is_root && a->is_cut == b->is_cut;
}

static uint32_t hash_of(const struct reach_chain *chain)
{
	uint64_t hash =
		chain->parent * 0x9e3779b97f4a7c15u ^
		(chain->site + ((uint64_t)chain->level << 34) + ((uint64_t)chain->is_root << 33)) *
			0xbf58476d1ce4e5b9u;

	return hash >> 32 ^ hash >> 15;
}

static void enter(struct reach_mark *mark, uint32_t chain)
{
	uint32_t i = hash_of(&mark->chains[chain]) & (mark->bucket_count - 1);

	while (mark->buckets[i])
		i = (i + 1) & (mark->bucket_count - 1);
	mark->buckets[i] = chain;
}

static int make_buckets(struct reach_mark *mark)
{
	uint32_t wanted = mark->bucket_count ? 2 * mark->bucket_count : 1024, *buckets;
	int r = room_claim(&mark->share, wanted * sizeof(*buckets));

	if (r)
		return r;
	buckets = calloc(wanted, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	free(mark->buckets);
	room_return(&mark->share, mark->bucket_count * sizeof(*buckets));
	mark->buckets = buckets;
	mark->bucket_count = wanted;
	for (uint32_t i = 1; i < mark->chain_count; i++)
		enter(mark, i);
	return 0;
}

static int add_chain(struct reach_mark *mark, const struct reach_chain *chain, uint32_t *ret)
{
	int r = room_make_room(&mark->share, &mark->chains, &mark->chain_room, mark->chain_count);

	if (r == 0 && 2 * (mark->chain_count + 1) > mark->bucket_count)
		r = make_buckets(mark);
	if (r)
		return r;
	*ret = mark->chain_count++;
	mark->chains[*ret] = *chain;
	enter(mark, *ret);
	return 0;
}

static uint32_t find_chain(const struct reach_mark *mark, const struct reach_chain *chain)
{
	uint32_t i = hash_of(chain) & (mark->bucket_count - 1);

	while (mark->buckets[i] && !is_same(&mark->chains[mark->buckets[i]], chain))
		i = (i + 1) & (mark->bucket_count - 1);
	return mark->buckets[i];
}

/* What has no room is all held by one chain of its level. */
static int get_cut(struct marking *marking, uint32_t *ret)
{
	const struct reach_chain cut = { .level = marking->level, .is_root = true, .is_cut = true };
	int r = marking->cut[marking->level]
			? 0
			: add_chain(marking->mark, &cut, &marking->cut[marking->level]);

	*ret = marking->cut[marking->level];
	return r;
}

static int get_chain(struct marking *marking, struct reach_chain chain, uint32_t *ret)
{
	struct reach_mark *mark = marking->mark;
	uint32_t found = find_chain(mark, &chain), cut;
	int r;

	if (found) {
		*ret = found;
		return 0;
	}
	if (chain.depth >= REACH_MAX_LINKS || mark->chain_count >= REACH_MAX_CHAINS) {
		r = get_cut(marking, &cut);
		if (r || chain.parent == cut)
			return r ? r : add_chain(mark, &chain, ret);
		chain.parent = cut;
		chain.depth = 1;
		return get_chain(marking, chain, ret);
	}
	return add_chain(mark, &chain, ret);
}

/* The link of a site in a chain that leads to one of its blocks already; 0: there is none. */
static uint32_t find_link(const struct reach_mark *mark, uint32_t chain, uint32_t site,
			  enum reach_level level)
{
	for (; chain; chain = mark->chains[chain].parent) {
		const struct reach_chain *link = &mark->chains[chain];

		if (!link->is_root && link->site == site && link->level == level)
			return chain;
	}
	return 0;
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* Of a block of a site that is reached from where another chain ends. */
static int chain_of(struct marking *marking, uint32_t holder, uint32_t site, uint32_t *ret)
{
	struct reach_mark *mark = marking->mark;
	int r = 0;

	if (marking->last_chain && marking->last_holder == holder && marking->last_site == site) {
		*ret = marking->last_chain;
		return 0;
	}
	*ret = find_link(mark, holder, site, marking->level);
	if (!*ret)
		r = get_chain(marking,
			      (struct reach_chain){
				      .parent = holder,
				      .site = site,
				      .level = marking->level,
				      .depth = mark->chains[holder].depth + 1,
			      },
			      ret);
	if (r == 0) {
		marking->last_holder = holder;
		marking->last_site = site;
		marking->last_chain = *ret;
	}
	return r;
}

static int reach(struct marking *marking, uint32_t block, uint32_t holder)
{
	struct reach_mark *mark = marking->mark;
	uint32_t chain;
	int r = chain_of(marking, holder, marking->graph->blocks[block].point, &chain);

	if (r)
		return r;
	if (mark->chains[chain].parent == holder)
		mark->chains[chain].entries++;
	if (!(marking->graph->blocks[block].flags & REACH_BLOCK_UNCOUNTED)) {
		mark->chains[chain].blocks++;
		mark->chains[chain].bytes += marking->graph->blocks[block].size_bytes;
	}
	mark->chains_of[block] = chain;
	if (mark->ways)
		mark->ways[block] = marking->from;
	mark->reached++;
	return reach_has_edges(&marking->graph->found, block) ? queue_put(&marking->queue, block)
							      : 0;
}

static enum reach_level level_of_kind(enum reach_kind kind)
{
	return kind == REACH_PAST     ? REACH_HELD_PAST
	       : kind == REACH_TAGGED ? REACH_GUESSED
				      : REACH_HELD;
}

static int reach_by(struct marking *marking, uint32_t edge, uint32_t holder)
{
	uint32_t block = reach_target(edge);

	if (level_of_kind(reach_kind(edge)) > marking->level || marking->mark->chains_of[block])
		return 0;
	return reach(marking, block, holder);
}

static int follow(struct marking *marking, uint32_t block)
{
	const struct reach_graph *graph = marking->graph;
	const struct reach_span edges = reach_edges_of(&graph->found, block);
	uint32_t chain = marking->mark->chains_of[block];
	int r = 0;

	marking->from = block + 1;
	for (uint32_t i = edges.first; i < edges.end && r == 0; i++)
		r = reach_by(marking, graph->found.edges[i], chain);
	marking->from = 0;
	return r;
}

static int root_chain(struct marking *marking, uint32_t name, uint32_t *ret)
{
	return get_chain(
		marking,
		(struct reach_chain){ .site = name, .level = marking->level, .is_root = true },
		ret);
}

static bool is_young(const struct reach_graph *graph, const struct reach_root *root)
{
	return graph->name_classes[root->name] == REACH_YOUNG;
}

static int take_roots(struct marking *marking, bool young)
{
	const struct reach_graph *graph = marking->graph;
	struct reach_root_walk walk = { 0 };
	struct reach_root root;
	uint32_t chain = 0, last = 0; /* an array has many roots of one name */
	int r = 0;

	while (r == 0 && reach_next_root(&graph->found, &walk, &root)) {
		if (is_young(graph, &root) != young ||
		    reach_class_level(graph->name_classes[root.name]) > marking->level ||
		    level_of_kind(reach_kind(root.edge)) > marking->level ||
		    marking->mark->chains_of[reach_target(root.edge)])
			continue;
		if (!chain || root.name != last)
			r = root_chain(marking, root.name, &chain);
		last = root.name;
		if (r == 0)
			r = reach_by(marking, root.edge, chain);
	}
	return r;
}

/* Blocks that are roots themselves. */
static int take_blocks(struct marking *marking, uint32_t flag, uint32_t name)
{
	const struct reach_graph *graph = marking->graph;
	int r = 0;

	for (uint32_t i = 0; i < graph->count && r == 0; i++) {
		uint32_t chain;

		if (!(graph->blocks[i].flags & flag) || marking->mark->chains_of[i])
			continue;
		r = root_chain(marking, name, &chain);
		if (r == 0)
			r = reach(marking, i, chain);
	}
	return r;
}

static int follow_all(struct marking *marking)
{
	int r = 0;

	while (!queue_is_empty(&marking->queue) && r == 0)
		r = follow(marking, queue_take(&marking->queue));
	return r;
}

/* Of those that were reached at an earlier level edges that say less count now, too. */
static int follow_earlier(struct marking *marking)
{
	int r = 0;

	for (uint32_t i = 0; i < marking->graph->count && r == 0; i++)
		if (marking->mark->chains_of[i] && reach_has_edges(&marking->graph->found, i) &&
		    reach_level_of(marking->mark, i) < marking->level)
			r = follow(marking, i);
	return r;
}

static int mark_level(struct marking *marking)
{
	int r;

	marking->last_chain = 0; /* it is of another level */
	r = take_roots(marking, false);
	if (r == 0 && marking->level == REACH_HELD)
		r = take_blocks(marking, REACH_BLOCK_SHARED | REACH_BLOCK_ANEW,
				REACH_NAME_OTHER(marking->graph));
	if (r == 0 && marking->level == REACH_STALE)
		r = take_blocks(marking, REACH_BLOCK_GONE, REACH_NAME_FREED(marking->graph));
	if (r == 0 && (marking->level == REACH_HELD_PAST || marking->level == REACH_GUESSED))
		r = follow_earlier(marking);
	if (r == 0)
		r = follow_all(marking);
	/* what held all the while is the better answer: a new head of an old list holds it, too */
	if (r == 0)
		r = take_roots(marking, true);
	return r ? r : follow_all(marking);
}

/* One for each block. */
static int make_list(const struct marking *marking, uint32_t **ret)
{
	size_t length = marking->graph->count + 1ul;
	int r = room_claim(&marking->mark->share, length * sizeof(**ret));

	if (r)
		return r;
	*ret = calloc(length, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static int prepare(struct marking *marking, bool with_ways)
{
	struct reach_mark *mark = marking->mark;
	int r = make_list(marking, &mark->chains_of);

	if (r == 0 && with_ways)
		r = make_list(marking, &mark->ways);
	if (r == 0)
		r = make_buckets(mark);
	if (r == 0)
		r = room_make_room(&mark->share, &mark->chains, &mark->chain_room, 0);
	if (r)
		return r;
	mark->chains[0] = (struct reach_chain){ 0 }; /* of what is not reached */
	mark->chain_count = 1;
	return 0;
}

static int mark_all(const struct reach_graph *graph, bool with_ways, struct reach_mark *ret)
{
	_cleanup_(reach_mark_deinit) struct reach_mark mark = { .share = { .room = graph->room } };
	struct marking marking = { .graph = graph,
				   .mark = &mark,
				   .queue = { .share = { .room = graph->room } } };
	int r = prepare(&marking, with_ways);

	for (marking.level = REACH_HELD; marking.level < REACH_LEVELS && r == 0; marking.level++)
		r = mark_level(&marking);
	queue_free(&marking.queue);
	if (r)
		return r;
	*ret = mark;
	mark = (struct reach_mark){ 0 };
	return 0;
}

int reach_mark(const struct reach_graph *graph, struct reach_mark *ret)
{
	return mark_all(graph, false, ret);
}

int reach_mark_ways(const struct reach_graph *graph, struct reach_mark *ret)
{
	return mark_all(graph, true, ret);
}
