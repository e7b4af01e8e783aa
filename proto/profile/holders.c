#include "holders.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/units.h"

void dhat_holders_deinit(struct dhat_holders *holders)
{
	for (size_t i = 0; i < holders->count; i++) {
		for (size_t j = 0; j < holders->list[i].chain_count; j++)
			free(holders->list[i].chains[j].links);
		free(holders->list[i].chains);
	}
	free(holders->list);
	for (size_t i = 0; i < holders->cycle_count; i++)
		free(holders->cycles[i].links);
	free(holders->cycles);
	free(holders->types);
	*holders = (struct dhat_holders){ 0 };
}

/* ---- sums ----------------------------------------------------------------------------------- */

static void add(struct dhat_holding *sum, const Dhat__HoldsSum *part)
{
	if (!part)
		return;
	sum->bytes += part->bytes;
	sum->blocks += part->blocks;
}

static void add_live(struct dhat_holder *holder, struct dhat_holding *sum,
		     const Dhat__HoldsSum *part)
{
	add(sum, part);
	add(&holder->live, part);
}

static struct dhat_holder_place place_of(const Dhat__HoldsPlace *from)
{
	return from ? (struct dhat_holder_place){ from->is_known, from->at, from->of,
						  *from->member ? from->member : NULL }
		    : (struct dhat_holder_place){ 0 };
}

static void agree_with(struct dhat_holder_place *place, const struct dhat_holder_place *other)
{
	place->is_known &= other->is_known && other->at == place->at;
	if (other->of != place->of)
		place->of = 0;
	if (!place->member || !other->member || strcmp(place->member, other->member) != 0)
		place->member = NULL;
}

static void agree(struct dhat_holder_place *place, bool is_first, const Dhat__HoldsPlace *from)
{
	const struct dhat_holder_place other = place_of(from);

	if (is_first)
		*place = other;
	else
		agree_with(place, &other);
}

/* What most of a row's blocks are: Boyer and Moore's vote (MJRTY, 1981). */
static void vote(struct dhat_holder *holder, const char *type, uint64_t blocks)
{
	if (!holder->type || !strcmp(holder->type, type)) {
		holder->type = type;
		holder->type_blocks += blocks;
	} else if (blocks > holder->type_blocks) {
		holder->type = type;
		holder->type_blocks = blocks - holder->type_blocks;
	} else {
		holder->type_blocks -= blocks;
	}
}

static uint64_t blocks_of(const Dhat__PointHolds *from)
{
	const Dhat__HoldsSum *const sums[] = { from->held, from->unknown, from->lost,
					       from->unseen };
	uint64_t blocks = 0;

	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
		blocks += sums[i] ? sums[i]->blocks : 0;
	return blocks;
}

static void add_point(struct dhat_holder *holder, const Dhat__PointHolds *from)
{
	add_live(holder, &holder->held, from->held);
	add_live(holder, &holder->unknown, from->unknown);
	add_live(holder, &holder->lost, from->lost);
	add_live(holder, &holder->unseen, from->unseen);
	add(&holder->past_end, from->past_end);
	add(&holder->in_cycles, from->in_cycles);
	add(&holder->under_lost, from->under_lost);
	/* of several points one may retain another: no sum */
	if (from->retained && from->retained->bytes > holder->retained.bytes)
		holder->retained =
			(struct dhat_holding){ from->retained->bytes, from->retained->blocks };
	holder->withdrawn_blocks += from->withdrawn_blocks;
	if (from->from_inside)
		agree(&holder->into, holder->from_inside.blocks == 0, from->into);
	add(&holder->from_inside, from->from_inside);
	vote(holder, from->type, blocks_of(from));
}

/* ---- chains --------------------------------------------------------------------------------- */

/* A row comes but once: from its second time on the chain goes on as from its first. Its own row is
 * none. */
static size_t add_link(struct dhat_holder_link *links, size_t count,
		       const struct dhat_rendered_point *own, const struct dhat_holder_link *link)
{
	if (link->row == own)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (links[i].row == link->row)
			return i + 1;
	links[count] = *link;
	return count + 1;
}

struct dhat_holder_link dhat_holder_link_of(const struct dhat_rendering *table,
					    const uint32_t *points, Dhat__HoldsPlace *const *places,
					    size_t place_count, size_t i)
{
	return (struct dhat_holder_link){
		.row = points[i] ? table->point_of[points[i] - 1] : NULL,
		.place = place_of(i < place_count ? places[i] : NULL),
	};
}

static bool is_alike(const struct dhat_holder_chain *a, const struct dhat_holder_chain *b)
{
	if (a->root != b->root || a->is_unknown != b->is_unknown ||
	    a->is_past_end != b->is_past_end || a->is_tagged != b->is_tagged ||
	    a->link_count != b->link_count)
		return false;
	for (size_t i = 0; i < a->link_count; i++)
		if (a->links[i].row != b->links[i].row)
			return false;
	return true;
}

static void merge(struct dhat_holder_chain *into, const struct dhat_holder_chain *from)
{
	into->held.bytes += from->held.bytes;
	into->held.blocks += from->held.blocks;
	into->words += from->words;
	into->root_words += from->root_words;
	for (size_t i = 0; i < into->link_count; i++)
		agree_with(&into->links[i].place, &from->links[i].place);
	agree_with(&into->self, &from->self);
	if (strcmp(into->in_root, from->in_root) != 0)
		into->in_root = "";
}

static int add_chain(const struct dhat_rendering *table, struct dhat_holder *holder,
		     const Dhat__HoldsChain *from)
{
	_cleanup_free_ struct dhat_holder_link *links = calloc(from->n_points + 1, sizeof(*links));
	const Dhat__Holds *holds = table->snapshot->end->holds;
	struct dhat_holder_chain chain = {
		.is_unknown = from->is_unknown,
		.is_past_end = from->is_past_end,
		.is_tagged = from->is_tagged,
		.words = from->words,
		.root_words = from->root_words,
		.root = from->root ? holds->roots[from->root - 1] : NULL,
		.in_root = from->in_root,
		.self = place_of(from->self),
	};

	if (!links)
		return -ENOMEM;
	add(&chain.held, from->held);
	for (size_t i = 0; i < from->n_points; i++) {
		const struct dhat_holder_link link =
			dhat_holder_link_of(table, from->points, from->places, from->n_places, i);

		chain.link_count = add_link(links, chain.link_count, holder->point, &link);
	}
	chain.links = links;
	for (size_t i = 0; i < holder->chain_count; i++) {
		if (!is_alike(&holder->chains[i], &chain))
			continue;
		merge(&holder->chains[i], &chain);
		return 0;
	}
	if (array_make_room(&holder->chains, &holder->chain_room, holder->chain_count))
		return -ENOMEM;
	links = NULL; /* the chain's */
	holder->chains[holder->chain_count++] = chain;
	return 0;
}

/* ---- all ------------------------------------------------------------------------------------ */

static int compare_chains(const void *a_, const void *b_)
{
	const struct dhat_holder_chain *a = a_, *b = b_;

	if (a->held.bytes != b->held.bytes)
		return a->held.bytes > b->held.bytes ? -1 : 1;
	return (a->is_unknown > b->is_unknown) - (a->is_unknown < b->is_unknown);
}

static int compare_holders(const void *a_, const void *b_)
{
	const struct dhat_holder *a = a_, *b = b_;

	if (a->lost.bytes != b->lost.bytes)
		return a->lost.bytes > b->lost.bytes ? -1 : 1;
	if (a->live.bytes != b->live.bytes)
		return a->live.bytes > b->live.bytes ? -1 : 1;
	return a->point->number < b->point->number ? -1 : a->point->number > b->point->number;
}

static int add_all(const struct dhat_rendering *table, struct dhat_holders *holders)
{
	int r = 0;

	for (size_t i = 0; i < table->snapshot->point_count && r == 0; i++) {
		const Dhat__PointHolds *from = table->snapshot->points[i]->holds;
		struct dhat_holder *holder;

		if (!from || !table->point_of[i])
			continue;
		holder = &holders->list[table->point_of[i]->number];
		add_point(holder, from);
		for (size_t j = 0; j < from->n_chains && r == 0; j++)
			r = add_chain(table, holder, from->chains[j]);
	}
	return r;
}

/* Who has won the vote has most of the blocks only if somebody has. */
static void count_votes(const struct dhat_rendering *table, struct dhat_holders *holders)
{
	for (size_t i = 0; i < holders->count; i++)
		holders->list[i].type_blocks = 0;
	for (size_t i = 0; i < table->snapshot->point_count; i++) {
		const Dhat__PointHolds *from = table->snapshot->points[i]->holds;
		struct dhat_holder *holder;

		if (!from || !table->point_of[i])
			continue;
		holder = &holders->list[table->point_of[i]->number];
		if (!strcmp(holder->type, from->type))
			holder->type_blocks += blocks_of(from);
	}
	for (size_t i = 0; i < holders->count; i++)
		if (holders->list[i].type_blocks <= holders->list[i].live.blocks / 2)
			holders->list[i].type = "";
}

/* Rows that follow one another are one link; those of other points of a row may stand elsewhere. */
static int add_cycle(const struct dhat_rendering *table, const Dhat__HoldsCycle *from,
		     struct dhat_holder_cycle *ret)
{
	struct dhat_holder_link *links = calloc(from->n_points + 1, sizeof(*links));
	size_t count = 0;

	if (!links)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_points; i++) {
		const struct dhat_holder_link link =
			dhat_holder_link_of(table, from->points, from->places, from->n_places, i);

		if (count && links[count - 1].row == link.row)
			links[count - 1] = link;
		else
			links[count++] = link;
	}
	if (count > 1 && links[count - 1].row == links[0].row && !from->is_cut)
		links[0] = links[--count];
	*ret = (struct dhat_holder_cycle){
		.links = links,
		.link_count = count,
		.length = from->length,
		.is_cut = from->is_cut,
		.part = from,
	};
	add(&ret->lost, from->lost);
	return 0;
}

static bool is_same_loop(const struct dhat_holder_cycle *a, const struct dhat_holder_cycle *b)
{
	if (a->link_count != b->link_count || a->is_cut != b->is_cut)
		return false;
	for (size_t i = 0; i < a->link_count; i++)
		if (a->links[i].row != b->links[i].row)
			return false;
	return (a->length == 1) == (b->length == 1);
}

static int add_cycles(const struct dhat_rendering *table, struct dhat_holders *holders)
{
	const Dhat__Holds *holds = table->snapshot->end->holds;
	size_t count = holds ? holds->n_cycles : 0;

	holders->cycles = calloc(count + 1, sizeof(*holders->cycles));
	if (!holders->cycles)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct dhat_holder_cycle cycle, *known = holders->cycles;

		if (add_cycle(table, holds->cycles[i], &cycle))
			return -ENOMEM;
		while (known < holders->cycles + holders->cycle_count &&
		       !is_same_loop(known, &cycle))
			known++;
		if (known == holders->cycles + holders->cycle_count) {
			holders->cycles[holders->cycle_count++] = cycle;
			continue;
		}
		known->lost.bytes += cycle.lost.bytes;
		known->lost.blocks += cycle.lost.blocks;
		for (size_t j = 0; j < cycle.link_count; j++)
			agree_with(&known->links[j].place, &cycle.links[j].place);
		free(cycle.links);
	}
	return 0;
}

int dhat_holders_make(const struct dhat_rendering *table, struct dhat_holders *ret)
{
	_cleanup_(dhat_holders_deinit) struct dhat_holders holders = { 0 };
	int r;

	holders.list = calloc(table->point_count + 1, sizeof(*holders.list));
	if (!holders.list)
		return -ENOMEM;
	holders.count = table->point_count;
	for (size_t i = 0; i < table->point_count; i++)
		holders.list[table->points[i]->number].point = table->points[i];
	holders.types = calloc(table->point_count + 1, sizeof(*holders.types));
	r = holders.types ? add_all(table, &holders) : -ENOMEM;
	if (r == 0)
		r = add_cycles(table, &holders);
	if (r)
		return r;
	for (size_t i = 0; i < holders.count; i++)
		if (!holders.list[i].type)
			holders.list[i].type = "";
	count_votes(table, &holders);
	for (size_t i = 0; i < holders.count; i++)
		holders.types[i] = holders.list[i].type;
	qsort(holders.list, holders.count, sizeof(*holders.list), compare_holders);
	for (size_t i = 0; i < holders.count; i++) {
		struct dhat_holder *holder = &holders.list[i];

		if (holder->chain_count)
			qsort(holder->chains, holder->chain_count, sizeof(*holder->chains),
			      compare_chains);
		holders.lost_count += holder->lost.blocks > 0;
	}
	*ret = holders;
	holders = (struct dhat_holders){ 0 };
	return 0;
}
