#include "why.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image_names.h"
#include "look_closer.h"
#include "proto/base/cleanup.h"
#include "root_names.h"

struct finding {
	const struct why_facts *facts;
	struct holds_why *why;
	uint32_t block;
	/* of each step: the block in it that is pointed from, and what it points to */
	struct closer_pair pairs[HOLDS_MAX_STEPS + 1];
	uint64_t root_addr; /* 0: none, or in no memory */
};

void why_free(struct holds_why *why)
{
	if (!why)
		return;
	free(why->place);
	free(why->root);
	free(why->in_root);
	free(why);
}
DEFINE_CLEANUP_PTR(struct holds_why *, why_free)

/* ---- an address in no block of the scan ----------------------------------------------------- */

struct search {
	uint64_t addr;
	bool is_found;
};

static void look_at(void *search_, const struct block *block)
{
	struct search *search = search_;

	search->is_found |=
		block->domain != DHAT_DOMAIN_ANON &&
		(search->addr == block->addr || search->addr - block->addr < block->size_bytes);
}

static void describe_place(struct finding *finding)
{
	const struct why_facts *facts = finding->facts;
	struct search search = { .addr = finding->why->addr };
	const struct layout_area *area = layout_find(&facts->scan->layout, search.addr);

	target_walk_blocks(facts->target, look_at, NULL, &search);
	finding->why->answer = search.is_found ? HOLDS_YOUNG : HOLDS_NO_BLOCK;
	finding->why->is_root = area && reach_class_level(area->class) == REACH_HELD;
	finding->why->place = root_names_describe(facts->scan, facts->identity, facts->knows_before,
						  facts->symbolizer, search.addr);
}

/* ---- the way -------------------------------------------------------------------------------- */

static void add_step(struct finding *finding, uint32_t holder, uint32_t target)
{
	const struct reach_block *blocks = finding->facts->scan->graph.blocks;
	struct holds_why *why = finding->why;
	struct holds_step *step = &why->steps[why->step_count];

	if (why->step_count == HOLDS_MAX_STEPS) {
		why->is_cut = true;
		return;
	}
	finding->pairs[why->step_count++] =
		(struct closer_pair){ blocks[holder].addr, blocks[holder].size_bytes,
				      blocks[target].addr, blocks[target].size_bytes };
	*step = (struct holds_step){ .addr = blocks[holder].addr,
				     .bytes = blocks[holder].size_bytes,
				     .run = 1,
				     .link = { .point = blocks[holder].point } };
}

/* The root that was met first, of the name that the chain says. */
static void take_root(struct finding *finding, uint32_t block)
{
	const struct reach_graph *graph = &finding->facts->scan->graph;
	const struct reach_mark *mark = finding->facts->mark;
	const struct reach_chain *link = &mark->chains[mark->chains_of[block]];
	const struct reach_block *target = &graph->blocks[block];
	struct reach_root_walk walk = { 0 };
	struct reach_root root;

	while (!link->is_root)
		link = &mark->chains[link->parent];
	if (link->is_cut)
		return;
	finding->why->root = strdup(reach_name_text(graph, link->site));
	if (reach_name_class(graph, link->site) != REACH_GLOBAL)
		return;
	while (reach_next_root(&graph->found, &walk, &root)) {
		if (reach_target(root.edge) != block || root.name != link->site)
			continue;
		finding->root_addr = root.addr;
		finding->pairs[finding->why->step_count] =
			(struct closer_pair){ root.addr, sizeof(uint64_t), target->addr,
					      target->size_bytes };
		return;
	}
}

/* Blocks of one site that follow one another are one step: a list is as long as it likes. */
static void walk(struct finding *finding)
{
	const struct reach_mark *mark = finding->facts->mark;
	const struct reach_block *blocks = finding->facts->scan->graph.blocks;
	struct holds_why *why = finding->why;
	uint32_t block = finding->block, holder;

	for (; mark->ways[block] && !why->is_cut; block = holder) {
		struct holds_step *last = why->step_count ? &why->steps[why->step_count - 1] : NULL;

		holder = mark->ways[block] - 1;
		if (last && last->link.point == blocks[holder].point)
			last->run++;
		else
			add_step(finding, holder, block);
	}
	if (!why->is_cut)
		take_root(finding, block);
}

/* Nothing holds it: who points to it all the same. */
static void list_pointers(struct finding *finding)
{
	const struct reach_graph *graph = &finding->facts->scan->graph;

	for (uint32_t i = 0; i < graph->count && !finding->why->is_cut; i++) {
		const struct reach_span edges = reach_edges_of(&graph->found, i);

		for (uint32_t e = edges.first; e < edges.end; e++) {
			if (reach_target(graph->found.edges[e]) != finding->block)
				continue;
			add_step(finding, i, finding->block);
			break;
		}
	}
}

/* ---- where pointers stand ------------------------------------------------------------------- */

static void take_places(struct finding *finding, const struct closer_answer *answer)
{
	const struct why_facts *facts = finding->facts;
	struct holds_why *why = finding->why;

	for (uint32_t i = 0; i < why->step_count; i++)
		if (answer->places[i].at != CLOSER_NOWHERE)
			why->steps[i].link.place = (struct place){ true, answer->places[i].at,
								   finding->pairs[i].holder_bytes };
	if (finding->root_addr) {
		struct image_name *name = calloc(1, sizeof(*name));

		if (!name)
			return;
		name->addr = finding->root_addr;
		image_names_find(facts->scan, facts->identity, facts->symbolizer, IMAGE_MEMBERS,
				 name, 1);
		why->in_root = name->within;
		name->within = NULL;
		image_names_free(name, 1);
	}
}

static void find_places(struct finding *finding)
{
	struct closer_answer answer = { 0 };
	const struct closer_question question = { .pairs = finding->pairs,
						  .pair_count = finding->why->step_count +
								(finding->root_addr != 0) };

	if (look_closer(finding->facts->at, &question, &answer) == 0)
		take_places(finding, &answer);
	closer_answer_deinit(&answer);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static enum holds_answer answer_of(const struct finding *finding)
{
	const struct reach_block *block = &finding->facts->scan->graph.blocks[finding->block];

	if (block->flags & REACH_BLOCK_GONE)
		return HOLDS_GONE;
	switch (reach_level_of(finding->facts->mark, finding->block)) {
	case REACH_HELD:
		return HOLDS_HELD;
	case REACH_HELD_PAST:
		return HOLDS_PAST;
	case REACH_STALE:
		return HOLDS_UNKNOWN;
	case REACH_GUESSED:
		return HOLDS_TAGGED;
	default:
		return reach_lost_kind(block) ? HOLDS_LOST : HOLDS_UNSEEN;
	}
}

static bool is_in(const struct reach_block *block, uint64_t addr)
{
	return addr == block->addr || addr - block->addr < block->size_bytes;
}

int why_find(const struct why_facts *facts, uint64_t addr, struct holds_why **ret)
{
	_cleanup_(why_free_ptr) struct holds_why *why = calloc(1, sizeof(*why));
	const struct reach_graph *graph = &facts->scan->graph;
	struct finding finding = { .facts = facts, .why = why };
	size_t at = reach_find_below(graph->blocks, graph->count, addr);

	if (!why)
		return -ENOMEM;
	why->addr = addr;
	if (at == graph->count || !is_in(&graph->blocks[at], addr)) {
		describe_place(&finding);
		*ret = take_ptr(why);
		return 0;
	}
	finding.block = at;
	why->block = graph->blocks[at].addr;
	why->bytes = graph->blocks[at].size_bytes;
	why->point = graph->blocks[at].point;
	why->age_ns = facts->scan->end_ns - graph->blocks[at].birth_ns;
	why->answer = answer_of(&finding);
	if (why->answer == HOLDS_LOST || why->answer == HOLDS_UNSEEN)
		list_pointers(&finding);
	else if (why->answer != HOLDS_GONE)
		walk(&finding);
	find_places(&finding);
	*ret = take_ptr(why);
	return 0;
}
