#include "pointer_places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

enum what { OF_HOLDER, OF_SELF, OF_ROOT, OF_INSIDE, OF_CYCLE, WHATS };

struct pointer_places_sample {
	enum what what;
	uint32_t slot; /* of a chain; of OF_INSIDE: of a site; of OF_CYCLE: of a link */
	uint32_t site; /* of the block that is pointed to: its slot + 1; 0: none */
};

struct choosing {
	const struct reach_graph *graph;
	const struct reach_mark *mark;
	const uint8_t *inside;
	struct pointer_places *places;
	uint8_t *taken; /* of each slot, WHATS numbers of samples */
};

void pointer_places_deinit(struct pointer_places *places)
{
	free(places->chains);
	free(places->cycles);
	free(places->sites);
	free(places->chain_slots);
	free(places->site_slots);
	free(places->pairs);
	free(places->heads);
	free(places->samples);
	free(places->heads_of);
	room_return_all(&places->share);
	*places = (struct pointer_places){ 0 };
}

const struct chain_places *pointer_places_of_chain(const struct pointer_places *places,
						   uint32_t chain)
{
	uint32_t slot = places->chain_slots ? places->chain_slots[chain] : 0;

	return slot ? &places->chains[slot - 1] : NULL;
}

const struct site_places *pointer_places_of_site(const struct pointer_places *places,
						 uint32_t point)
{
	uint32_t slot = point < places->point_count ? places->site_slots[point] : 0;

	return slot ? &places->sites[slot - 1] : NULL;
}

/* ---- which chains and sites ----------------------------------------------------------------- */

static int compare_bytes(const void *a_, const void *b_, void *bytes_)
{
	const uint64_t *bytes = bytes_;
	uint32_t a = *(const uint32_t *)a_, b = *(const uint32_t *)b_;

	if (bytes[a] != bytes[b])
		return bytes[a] > bytes[b] ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* The largest, by their numbers; the caller frees. */
static uint32_t *largest(const uint64_t *bytes, uint32_t count, uint32_t most, uint32_t *ret_count)
{
	uint32_t *list = malloc((count + 1ul) * sizeof(*list)), length = 0;

	if (!list)
		return NULL;
	for (uint32_t i = 0; i < count; i++)
		if (bytes[i])
			list[length++] = i;
	qsort_r(list, length, sizeof(*list), compare_bytes, without_qualifiers(bytes));
	*ret_count = length < most ? length : most;
	return list;
}

/* A chain, and those that lead to it: each at most once. */
static void want_chain(struct pointer_places *places, const struct reach_mark *mark, uint32_t chain)
{
	for (; chain && !places->chain_slots[chain] && !mark->chains[chain].is_root;
	     chain = mark->chains[chain].parent)
		places->chain_slots[chain] = ++places->chain_count;
}

static int choose_chains(struct choosing *choosing)
{
	const struct reach_mark *mark = choosing->mark;
	struct pointer_places *places = choosing->places;
	_cleanup_free_ uint64_t *bytes = NULL;
	_cleanup_free_ uint32_t *list = NULL;
	uint32_t length = 0;
	int r = room_claim(&places->share,
			   (mark->chain_count + 1ul) *
				   (sizeof(*bytes) + sizeof(*list) + sizeof(*places->chain_slots)));

	if (r)
		return r;
	bytes = calloc(mark->chain_count + 1ul, sizeof(*bytes));
	places->chain_slots = calloc(mark->chain_count + 1ul, sizeof(*places->chain_slots));
	if (!bytes || !places->chain_slots)
		return -ENOMEM;
	for (uint32_t i = 1; i < mark->chain_count; i++)
		bytes[i] = mark->chains[i].is_root ? 0 : mark->chains[i].bytes;
	list = largest(bytes, mark->chain_count, PLACES_MAX_CHAINS, &length);
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < length; i++)
		want_chain(places, mark, list[i]);
	r = room_claim(&places->share, (places->chain_count + 1ul) * sizeof(*places->chains));
	if (r)
		return r;
	places->chains = calloc(places->chain_count + 1ul, sizeof(*places->chains));
	return places->chains ? 0 : -ENOMEM;
}

static void measure_blocks(struct choosing *choosing)
{
	const struct reach_graph *graph = choosing->graph;
	struct pointer_places *places = choosing->places;

	for (uint32_t i = 0; i < graph->count; i++) {
		const struct reach_block *block = &graph->blocks[i];
		uint32_t slot = places->site_slots[block->point];
		struct site_places *site = slot ? &places->sites[slot - 1] : NULL;

		if (!site || block->flags & REACH_BLOCK_GONE)
			continue;
		if (block->size_bytes < site->least_bytes)
			site->least_bytes = block->size_bytes;
		if (block->size_bytes > site->most_bytes)
			site->most_bytes = block->size_bytes;
	}
}

static int choose_sites(struct choosing *choosing)
{
	const struct reach_graph *graph = choosing->graph;
	struct pointer_places *places = choosing->places;
	_cleanup_free_ uint64_t *bytes = NULL;
	_cleanup_free_ uint32_t *list = NULL;
	int r;

	for (uint32_t i = 0; i < graph->count; i++)
		if (graph->blocks[i].point >= places->point_count)
			places->point_count = graph->blocks[i].point + 1;
	r = room_claim(&places->share,
		       (places->point_count + 1ul) * (sizeof(*bytes) + sizeof(*list) +
						      sizeof(*places->site_slots)) +
			       PLACES_MAX_SITES * (sizeof(*places->sites) +
						   PLACES_HEADS * sizeof(*places->heads_of)));
	if (r)
		return r;
	bytes = calloc(places->point_count + 1ul, sizeof(*bytes));
	places->site_slots = calloc(places->point_count + 1ul, sizeof(*places->site_slots));
	if (!bytes || !places->site_slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < graph->count; i++)
		bytes[graph->blocks[i].point] += graph->blocks[i].size_bytes;
	list = largest(bytes, places->point_count, PLACES_MAX_SITES, &places->site_count);
	places->sites = calloc(PLACES_MAX_SITES, sizeof(*places->sites));
	places->heads_of = calloc(PLACES_MAX_SITES * PLACES_HEADS, sizeof(*places->heads_of));
	if (!list || !places->sites || !places->heads_of)
		return -ENOMEM;
	for (uint32_t i = 0; i < places->site_count; i++) {
		places->site_slots[list[i]] = i + 1;
		places->sites[i].least_bytes = UINT64_MAX;
	}
	measure_blocks(choosing);
	return 0;
}

/* ---- which blocks --------------------------------------------------------------------------- */

static int add_pair(struct choosing *choosing, enum what what, uint32_t slot, uint64_t holder,
		    uint64_t bytes, uint32_t target)
{
	const struct reach_block *block = &choosing->graph->blocks[target];
	uint8_t *taken = &choosing->taken[slot * WHATS + what];
	struct pointer_places *places = choosing->places;
	int r;

	if (*taken == PLACES_SAMPLES || places->pair_count == CLOSER_MAX_QUESTIONS)
		return 0;
	++*taken;
	r = room_make_room(&places->share, &places->pairs, &places->pair_room, places->pair_count);
	if (r == 0)
		r = room_make_room(&places->share, &places->samples, &places->sample_room,
				   places->pair_count);
	if (r)
		return r;
	places->samples[places->pair_count] =
		(struct pointer_places_sample){ what, slot, places->site_slots[block->point] };
	places->pairs[places->pair_count++] =
		(struct closer_pair){ holder, bytes, block->addr, block->size_bytes };
	return 0;
}

static int take_inside(struct choosing *choosing, uint64_t holder, uint64_t bytes, uint32_t target)
{
	uint32_t site = choosing->places->site_slots[choosing->graph->blocks[target].point];

	return site && reach_is_from_inside(choosing->inside, target)
		       ? add_pair(choosing, OF_INSIDE, site - 1, holder, bytes, target)
		       : 0;
}

static int take_edge(struct choosing *choosing, uint32_t from, uint32_t to)
{
	const struct reach_mark *mark = choosing->mark;
	const struct reach_block *holder = &choosing->graph->blocks[from];
	uint32_t chain = mark->chains_of[to], slot = choosing->places->chain_slots[chain];
	int r = take_inside(choosing, holder->addr, holder->size_bytes, to);

	if (r || !slot)
		return r;
	if (mark->chains_of[from] == chain)
		return from == to ? 0
				  : add_pair(choosing, OF_SELF, slot - 1, holder->addr,
					     holder->size_bytes, to);
	return mark->chains_of[from] == mark->chains[chain].parent
		       ? add_pair(choosing, OF_HOLDER, slot - 1, holder->addr, holder->size_bytes,
				  to)
		       : 0;
}

static int take_edges(struct choosing *choosing)
{
	const struct reach_graph *graph = choosing->graph;
	int r = 0;

	for (uint32_t i = 0; i < graph->count && r == 0; i++) {
		const struct reach_span edges = reach_edges_of(&graph->found, i);

		for (uint32_t e = edges.first;
		     choosing->mark->chains_of[i] && e < edges.end && r == 0; e++)
			r = take_edge(choosing, i, reach_target(graph->found.edges[e]));
	}
	return r;
}

/* Roots that stand in memory. */
static int take_roots(struct choosing *choosing)
{
	const struct reach_graph *graph = choosing->graph;
	const struct reach_mark *mark = choosing->mark;
	struct reach_root_walk walk = { 0 };
	struct reach_root root;
	int r = 0;

	while (r == 0 && reach_next_root(&graph->found, &walk, &root)) {
		enum reach_class class = graph->name_classes[root.name];
		uint32_t target = reach_target(root.edge), chain = mark->chains_of[target];
		uint32_t slot = choosing->places->chain_slots[chain];
		const struct reach_chain *parent = &mark->chains[mark->chains[chain].parent];

		if (class == REACH_REGISTER || class == REACH_KERNEL || class == REACH_OWN)
			continue;
		r = take_inside(choosing, root.addr, sizeof(uint64_t), target);
		if (r == 0 && slot && parent->is_root && parent->site == root.name)
			r = add_pair(choosing, OF_ROOT, slot - 1, root.addr, 2 * sizeof(uint64_t),
				     target);
	}
	return r;
}

/* The place of a site's next head; NULL: it has enough. */
static uint32_t *next_head(const struct pointer_places *places, uint32_t site)
{
	uint32_t *heads = &places->heads_of[site * PLACES_HEADS];

	for (size_t i = 0; i < PLACES_HEADS; i++)
		if (!heads[i])
			return &heads[i];
	return NULL;
}

static int take_heads(struct choosing *choosing)
{
	const struct reach_graph *graph = choosing->graph;
	struct pointer_places *places = choosing->places;

	for (uint32_t i = 0; i < graph->count; i++) {
		const struct reach_block *block = &graph->blocks[i];
		uint32_t site = places->site_slots[block->point];
		uint32_t *head = site ? next_head(places, site - 1) : NULL;

		if (!head || block->flags & REACH_BLOCK_GONE || block->addr % sizeof(uint64_t))
			continue;
		if (array_make_room(&places->heads, &places->head_room, places->head_count))
			return -ENOMEM;
		places->heads[places->head_count++] =
			(struct closer_span){ block->addr, block->addr + block->size_bytes };
		*head = places->head_count;
	}
	return 0;
}

static int take_cycles(struct choosing *choosing, const struct reach_cycle *cycles, uint32_t count)
{
	const struct reach_block *blocks = choosing->graph->blocks;
	int r = 0;

	for (uint32_t i = 0; i < count; i++)
		for (uint32_t j = 0; j < cycles[i].link_count && r == 0; j++) {
			const struct reach_block *holder = &blocks[cycles[i].holders[j]];

			r = add_pair(choosing, OF_CYCLE, i * REACH_MAX_CYCLE_LINKS + j,
				     holder->addr, holder->size_bytes, cycles[i].targets[j]);
		}
	return r;
}

int pointer_places_choose(const struct reach_graph *graph, const struct reach_mark *mark,
			  const uint8_t *inside, const struct reach_cycle *cycles,
			  uint32_t cycle_count, struct pointer_places *ret)
{
	_cleanup_(pointer_places_deinit) struct pointer_places places = {
		.share = { .room = graph->room }
	};
	_cleanup_free_ uint8_t *taken = NULL;
	struct choosing choosing = { graph, mark, inside, &places, NULL };
	size_t links;
	int r = choose_chains(&choosing);

	if (r == 0)
		r = choose_sites(&choosing);
	if (r)
		return r;
	/* slots of chains, of sites, of links of cycles: each kind of sample is of one of these */
	links = cycle_count * (size_t)REACH_MAX_CYCLE_LINKS;
	r = room_claim(&places.share, (places.chain_count + places.site_count + links + 1) * WHATS +
					      (links + 1) * sizeof(*places.cycles));
	if (r)
		return r;
	taken = choosing.taken = calloc(places.chain_count + places.site_count + links + 1, WHATS);
	places.cycles = calloc(links + 1, sizeof(*places.cycles));
	r = taken && places.cycles ? take_cycles(&choosing, cycles, cycle_count) : -ENOMEM;
	if (r == 0)
		r = take_edges(&choosing);
	if (r == 0)
		r = take_roots(&choosing);
	if (r == 0)
		r = take_heads(&choosing);
	if (r)
		return r;
	*ret = places;
	places = (struct pointer_places){ 0 };
	return 0;
}

/* ---- what they agree in --------------------------------------------------------------------- */

/* The value that PLACES_AGREE_PERCENT of some have, if there is one. */
static bool find_agreed(const uint64_t *values, size_t count, uint64_t *ret)
{
	for (size_t i = 0; i < count; i++) {
		size_t same = 0;

		for (size_t j = 0; j < count; j++)
			same += values[j] == values[i];
		*ret = values[i];
		if (same * 100 >= count * PLACES_AGREE_PERCENT)
			return true;
	}
	return false;
}

struct found {
	uint64_t at[PLACES_SAMPLES], bytes[PLACES_SAMPLES], beside[PLACES_SAMPLES];
	uint64_t roots[PLACES_SAMPLES]; /* that lead to a beginning */
	size_t count, root_count;
	bool is_from_start;
};

static void agree(const struct found *found, struct place *ret, uint64_t *ret_beside)
{
	uint64_t beside;

	ret->is_known = found->count && find_agreed(found->at, found->count, &ret->at);
	if (!found->count || !find_agreed(found->bytes, found->count, &ret->bytes))
		ret->bytes = 0;
	if (found->count && find_agreed(found->beside, found->count, &beside) && beside)
		*ret_beside = beside;
}

/* Pairs of one kind and slot do not come one after the other: they are put together first. */
static int compare_samples(const void *a_, const void *b_, void *samples_)
{
	const struct pointer_places_sample *samples = samples_;
	uint32_t x = *(const uint32_t *)a_, y = *(const uint32_t *)b_;
	const struct pointer_places_sample *a = &samples[x], *b = &samples[y];

	if (a->what != b->what)
		return a->what < b->what ? -1 : 1;
	if (a->slot != b->slot)
		return a->slot < b->slot ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void take_group(struct pointer_places *places, const struct pointer_places_sample *sample,
		       const struct found *found, uint64_t root)
{
	uint64_t unused = 0,
		 *beside = sample->site ? &places->sites[sample->site - 1].beside : &unused;
	struct place in_root;

	switch (sample->what) {
	case OF_HOLDER:
		agree(found, &places->chains[sample->slot].holder, beside);
		places->chains[sample->slot].is_from_start = found->is_from_start;
		return;
	case OF_SELF:
		agree(found, &places->chains[sample->slot].self, beside);
		return;
	case OF_INSIDE:
		agree(found, &places->sites[sample->slot].inside, &unused);
		return;
	case OF_CYCLE:
		agree(found, &places->cycles[sample->slot], beside);
		return;
	default:
		agree(found, &in_root, beside);
		places->chains[sample->slot].in_root = found->count == 1 ? root : 0;
		places->chains[sample->slot].is_from_start = found->is_from_start;
		places->chains[sample->slot].root_count = found->root_count;
		memcpy(places->chains[sample->slot].roots, found->roots, sizeof(found->roots));
	}
}

static void take_pairs(struct pointer_places *places, const uint32_t *order,
		       const struct closer_answer *answer)
{
	uint32_t end;

	for (uint32_t i = 0; i < places->pair_count; i = end) {
		const struct pointer_places_sample *first = &places->samples[order[i]];
		struct found found = { .is_from_start = true };
		uint64_t root = 0;

		for (end = i; end < places->pair_count; end++) {
			const struct pointer_places_sample *sample = &places->samples[order[end]];
			const struct closer_pair *pair = &places->pairs[order[end]];
			const struct closer_place *place = &answer->places[order[end]];
			bool is_inside = sample->what == OF_INSIDE;

			if (sample->what != first->what || sample->slot != first->slot)
				break;
			if (place->at == CLOSER_NOWHERE)
				continue;
			found.at[found.count] = is_inside ? place->into : place->at;
			found.bytes[found.count] =
				is_inside ? pair->target_bytes : pair->holder_bytes;
			found.beside[found.count++] = place->beside;
			root = pair->holder + place->at;
			found.is_from_start &= place->into == 0;
			if (place->into == 0)
				found.roots[found.root_count++] = root;
		}
		take_group(places, first, &found, root);
	}
}

static void take_words(struct pointer_places *places, const struct closer_answer *answer)
{
	for (uint32_t site = 0; site < places->site_count; site++) {
		const uint32_t *heads = &places->heads_of[site * PLACES_HEADS];

		for (size_t word = 0; word < CLOSER_WORDS; word++) {
			uint64_t values[PLACES_HEADS];
			size_t count = 0;

			for (; count < PLACES_HEADS && heads[count]; count++)
				values[count] = answer->heads[heads[count] - 1].words[word];
			if (!count || !find_agreed(values, count, &places->sites[site].words[word]))
				places->sites[site].words[word] = 0;
		}
	}
}

void pointer_places_take(struct pointer_places *places, const struct closer_answer *answer)
{
	_cleanup_free_ uint32_t *order = malloc((places->pair_count + 1ul) * sizeof(*order));

	if (!order)
		return;
	for (uint32_t i = 0; i < places->pair_count; i++)
		order[i] = i;
	qsort_r(order, places->pair_count, sizeof(*order), compare_samples, places->samples);
	take_pairs(places, order, answer);
	take_words(places, answer);
}
