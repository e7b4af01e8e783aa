#include "holds_message.h"

#include <errno.h>
#include <stdlib.h>

#include "message.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

struct site_message {
	Dhat__PointHolds point;
	Dhat__HoldsSum held, unknown, lost, unseen, past_end, in_cycles, under_lost, retained,
		from_inside;
	Dhat__HoldsPlace into;
};

struct chain_message {
	Dhat__HoldsChain chain;
	Dhat__HoldsSum held;
	Dhat__HoldsPlace self;
};

struct cycle_message {
	Dhat__HoldsCycle cycle;
	Dhat__HoldsSum lost;
};

struct root_message {
	Dhat__HoldsRoot root;
	Dhat__HoldsSum retained;
};

struct why_message {
	Dhat__HoldsWhy why;
	Dhat__HoldsStep steps[HOLDS_MAX_STEPS], *step_list[HOLDS_MAX_STEPS];
	Dhat__HoldsPlace places[HOLDS_MAX_STEPS];
};

struct holds_message {
	const struct holds *holds;
	struct why_message why;
	Dhat__Holds whole;
	Dhat__HoldsSum held, unknown, lost, unseen;
	struct site_message *sites;
	struct chain_message *chains;
	Dhat__HoldsChain **chain_list;
	struct root_message *roots;
	Dhat__HoldsRoot **root_list;
	struct cycle_message *cycles;
	Dhat__HoldsCycle **cycle_list;
	uint32_t *links;	  /* the place of each point in the copy, from 1 on */
	Dhat__HoldsPlace *places; /* of each link */
	Dhat__HoldsPlace **place_list;
	uint32_t *site_of_point; /* of each of the copy: from 1 on; 0: none */
	Dhat__LastHolds last;
	uint32_t *lost_points; /* of it */
	uint64_t *lost_bytes, *lost_blocks;
};

void holds_message_free(struct holds_message *message)
{
	if (!message)
		return;
	free(message->sites);
	free(message->chains);
	free(message->chain_list);
	free(message->roots);
	free(message->root_list);
	free(message->cycles);
	free(message->cycle_list);
	free(message->links);
	free(message->places);
	free(message->place_list);
	free(message->site_of_point);
	free(message->lost_points);
	free(message->lost_bytes);
	free(message->lost_blocks);
	free(message);
}
DEFINE_CLEANUP_PTR(struct holds_message *, holds_message_free)

static Dhat__HoldsSum *fill(Dhat__HoldsSum *sum, const struct holds_sum *from)
{
	dhat__holds_sum__init(sum);
	sum->bytes = from->bytes;
	sum->blocks = from->blocks;
	return from->blocks ? sum : NULL;
}

/* NULL: nothing is known of it. */
static Dhat__HoldsPlace *fill_place(Dhat__HoldsPlace *place, const struct place *from, char *member)
{
	dhat__holds_place__init(place);
	place->is_known = from->is_known;
	place->at = from->is_known ? from->at : 0;
	place->of = from->bytes;
	if (member && place->is_known)
		place->member = member;
	return place->is_known || place->of ? place : NULL;
}

static const char *const kinds[REACH_CLASSES] = {
	[REACH_GLOBAL] = "global",     [REACH_STACK] = "stack",	    [REACH_REGISTER] = "register",
	[REACH_KERNEL] = "kernel",     [REACH_MAPPING] = "mapping", [REACH_SHARED] = "shared",
	[REACH_YOUNG] = "young",       [REACH_OTHER] = "allocator", [REACH_GAP] = "free memory",
	[REACH_BELOW] = "below stack", [REACH_ENDED] = "old stack", [REACH_FREED] = "freed",
	[REACH_OWN] = "allocator",
};

static char *text_or_none(char *text)
{
	return text ? text : without_qualifiers(protobuf_c_empty_string);
}

static void fill_root(const struct holds_root *from, struct root_message *ret)
{
	dhat__holds_root__init(&ret->root);
	ret->root.name = from->name;
	ret->root.kind = without_qualifiers(kinds[from->class]);
	ret->root.retained = fill(&ret->retained, &from->retained);
}

static void fill_chain(struct holds_message *message, uint32_t i)
{
	const struct holds_chain *from = &message->holds->chains[i];
	struct chain_message *to = &message->chains[i];

	dhat__holds_chain__init(&to->chain);
	to->chain.held = fill(&to->held, &from->held);
	to->chain.is_unknown = from->level >= REACH_STALE;
	to->chain.is_past_end = from->level == REACH_HELD_PAST;
	to->chain.is_tagged = from->level == REACH_GUESSED;
	to->chain.points = message->links + from->first_link;
	to->chain.n_points = from->link_count;
	to->chain.root = from->is_cut ? 0 : from->root + 1;
	to->chain.root_words = from->root_words;
	to->chain.words = from->entries;
	to->chain.places = message->place_list + from->first_link;
	to->chain.n_places = from->link_count;
	to->chain.self = fill_place(&to->self, &from->self, from->self_member);
	if (from->in_root)
		to->chain.in_root = from->in_root;
	message->chain_list[i] = &to->chain;
}

static void fill_cycle(struct holds_message *message, uint32_t i)
{
	const struct holds_cycle *from = &message->holds->cycles[i];
	struct cycle_message *to = &message->cycles[i];

	dhat__holds_cycle__init(&to->cycle);
	to->cycle.lost = fill(&to->lost, &from->lost);
	to->cycle.points = message->links + from->first_link;
	to->cycle.n_points = from->link_count;
	to->cycle.places = message->place_list + from->first_link;
	to->cycle.n_places = from->link_count;
	to->cycle.is_cut = from->is_cut;
	to->cycle.length = from->length;
	message->cycle_list[i] = &to->cycle;
}

static void fill_site(struct holds_message *message, const struct holds_site *from,
		      struct site_message *to)
{
	Dhat__PointHolds *point = &to->point;

	dhat__point_holds__init(point);
	point->held = fill(&to->held, &from->held);
	point->unknown = fill(&to->unknown, &from->unknown);
	point->lost = fill(&to->lost, &from->lost);
	point->unseen = fill(&to->unseen, &from->unseen);
	point->past_end = fill(&to->past_end, &from->past);
	point->in_cycles = fill(&to->in_cycles, &from->in_cycles);
	point->under_lost = fill(&to->under_lost, &from->under);
	point->retained = fill(&to->retained, &from->retained);
	point->withdrawn_blocks = from->withdrawn;
	point->from_inside = fill(&to->from_inside, &from->inside);
	point->into = fill_place(&to->into, &from->into, NULL);
	if (from->type)
		point->type = from->type;
	point->chains = message->chain_list + from->first_chain;
	point->n_chains = from->chain_count;
}

static void fill_whole(struct holds_message *message, const struct target_copy *copy)
{
	const struct holds *holds = message->holds;
	Dhat__Holds *whole = &message->whole;

	dhat__holds__init(whole);
	whole->held = fill(&message->held, &holds->held);
	whole->unknown = fill(&message->unknown, &holds->unknown);
	whole->lost = fill(&message->lost, &holds->lost);
	whole->unseen = fill(&message->unseen, &holds->unseen);
	whole->refusals = holds->refusals;
	while (holds->refusals && holds->refusals[whole->n_refusals])
		whole->n_refusals++;
	whole->roots = message->root_list;
	whole->n_roots = holds->root_count;
	whole->cycles = message->cycle_list;
	whole->n_cycles = holds->cycle_count;
	whole->scans = holds->scans;
	whole->took_ns = holds->took_ns;
	whole->last_scan_ns = holds->last_scan_ns;
	whole->read_bytes = holds->read_bytes;
	whole->dropped_blocks = holds->dropped;
	whole->withdrawn_blocks = holds->withdrawn;
	whole->since = text_or_none(holds->since);
	whole->taken_ns = message_since(copy, holds->end_ns);
	whole->stopped_ns = holds->stopped_ns;
}

/* places: of each point that the heap knows its place in the copy, from 1 on. */
static void fill_why(struct holds_message *message, const uint32_t *places)
{
	static const char *const answers[] = {
		[HOLDS_NO_BLOCK] = "no block", [HOLDS_YOUNG] = "young",	  [HOLDS_GONE] = "freed",
		[HOLDS_HELD] = "held",	       [HOLDS_PAST] = "past end", [HOLDS_LOST] = "lost",
		[HOLDS_UNKNOWN] = "unknown",   [HOLDS_TAGGED] = "tagged", [HOLDS_UNSEEN] = "unseen",
	};
	const struct holds_why *from = message->holds->why;
	struct why_message *to = &message->why;

	dhat__holds_why__init(&to->why);
	to->why.address = from->addr;
	to->why.answer = without_qualifiers(answers[from->answer]);
	to->why.place = text_or_none(from->place);
	to->why.is_root = from->is_root;
	to->why.block = from->block;
	to->why.bytes = from->bytes;
	to->why.age_ns = from->age_ns;
	to->why.point = from->block ? places[from->point] : 0;
	to->why.is_cut = from->is_cut;
	to->why.root = text_or_none(from->root);
	to->why.in_root = text_or_none(from->in_root);
	for (uint32_t i = 0; i < from->step_count; i++) {
		dhat__holds_step__init(&to->steps[i]);
		to->steps[i].block = from->steps[i].addr;
		to->steps[i].run = from->steps[i].run;
		to->steps[i].point = places[from->steps[i].link.point];
		to->steps[i].place = fill_place(&to->places[i], &from->steps[i].link.place,
						from->steps[i].link.member);
		to->step_list[i] = &to->steps[i];
	}
	to->why.steps = to->step_list;
	to->why.n_steps = from->step_count;
	message->whole.why = &to->why;
}

static int fill_last(struct holds_message *message)
{
	const struct holds *holds = message->holds;
	Dhat__LastHolds *last = &message->last;
	size_t count = 0;

	message->lost_points = calloc(holds->site_count + 1ul, sizeof(*message->lost_points));
	message->lost_bytes = calloc(holds->site_count + 1ul, sizeof(*message->lost_bytes));
	message->lost_blocks = calloc(holds->site_count + 1ul, sizeof(*message->lost_blocks));
	if (!message->lost_points || !message->lost_bytes || !message->lost_blocks)
		return -ENOMEM;
	for (uint32_t i = 0; i < holds->site_count; i++) {
		if (!holds->sites[i].lost.blocks)
			continue;
		message->lost_points[count] = holds->sites[i].point + 1;
		message->lost_bytes[count] = holds->sites[i].lost.bytes;
		message->lost_blocks[count++] = holds->sites[i].lost.blocks;
	}
	dhat__last_holds__init(last);
	last->taken_ns = message->whole.taken_ns;
	last->lost = message->whole.lost;
	last->is_refused = message->whole.n_refusals;
	last->points = message->lost_points;
	last->lost_bytes = message->lost_bytes;
	last->lost_blocks = message->lost_blocks;
	last->n_points = last->n_lost_bytes = last->n_lost_blocks = count;
	return 0;
}

/* ---- points --------------------------------------------------------------------------------- */

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* places: by the number that the heap has of a point, its place in the copy, from 1 on. */
static int number(struct holds_message *message, const struct target_copy *copy)
{
	const struct holds *holds = message->holds;
	_cleanup_free_ uint32_t *places = NULL;
	uint32_t last = 0;

	for (uint32_t i = 0; i < copy->point_count; i++)
		last = most(last, copy->points[i].id);
	for (uint32_t i = 0; i < holds->site_count; i++)
		last = most(last, holds->sites[i].point);
	for (uint32_t i = 0; i < holds->link_count; i++)
		last = most(last, holds->links[i].point);
	for (uint32_t i = 0; holds->why && i < holds->why->step_count; i++)
		last = most(last, holds->why->steps[i].link.point);
	if (holds->why)
		last = most(last, holds->why->point);
	places = calloc(last + 1ul, sizeof(*places));
	if (!places)
		return -ENOMEM;
	for (uint32_t i = 0; i < copy->point_count; i++)
		places[copy->points[i].id] = i + 1;
	for (uint32_t i = 0; i < holds->link_count; i++)
		message->links[i] = places[holds->links[i].point];
	for (uint32_t i = 0; i < holds->site_count; i++)
		if (places[holds->sites[i].point])
			message->site_of_point[places[holds->sites[i].point] - 1] = i + 1;
	if (holds->why)
		fill_why(message, places);
	return 0;
}

int holds_message_new(const struct target_copy *copy, const struct holds *holds,
		      struct holds_message **ret)
{
	_cleanup_(holds_message_free_ptr) struct holds_message *message =
		calloc(1, sizeof(*message));

	if (!message)
		return -ENOMEM;
	message->holds = holds;
	message->sites = calloc(holds->site_count + 1ul, sizeof(*message->sites));
	message->chains = calloc(holds->chain_count + 1ul, sizeof(*message->chains));
	message->chain_list = calloc(holds->chain_count + 1ul, sizeof(Dhat__HoldsChain *));
	message->roots = calloc(holds->root_count + 1ul, sizeof(*message->roots));
	message->root_list = calloc(holds->root_count + 1ul, sizeof(Dhat__HoldsRoot *));
	message->cycles = calloc(holds->cycle_count + 1ul, sizeof(*message->cycles));
	message->cycle_list = calloc(holds->cycle_count + 1ul, sizeof(Dhat__HoldsCycle *));
	message->links = calloc(holds->link_count + 1ul, sizeof(*message->links));
	message->places = calloc(holds->link_count + 1ul, sizeof(*message->places));
	message->place_list = calloc(holds->link_count + 1ul, sizeof(Dhat__HoldsPlace *));
	message->site_of_point = calloc(copy->point_count + 1ul, sizeof(uint32_t));
	if (!message->sites || !message->chains || !message->chain_list || !message->roots ||
	    !message->root_list || !message->cycles || !message->cycle_list || !message->links ||
	    !message->places || !message->place_list || !message->site_of_point)
		return -ENOMEM;
	fill_whole(message, copy);
	if (number(message, copy) || fill_last(message))
		return -ENOMEM;
	for (uint32_t i = 0; i < holds->root_count; i++) {
		fill_root(&holds->roots[i], &message->roots[i]);
		message->root_list[i] = &message->roots[i].root;
	}
	for (uint32_t i = 0; i < holds->link_count; i++) {
		fill_place(&message->places[i], &holds->links[i].place, holds->links[i].member);
		message->place_list[i] = &message->places[i];
	}
	for (uint32_t i = 0; i < holds->chain_count; i++)
		fill_chain(message, i);
	for (uint32_t i = 0; i < holds->cycle_count; i++)
		fill_cycle(message, i);
	for (uint32_t i = 0; i < holds->site_count; i++)
		fill_site(message, &holds->sites[i], &message->sites[i]);
	*ret = take_ptr(message);
	return 0;
}

Dhat__PointHolds *holds_message_point(struct holds_message *message, uint32_t point)
{
	uint32_t site = message->site_of_point[point];

	return site ? &message->sites[site - 1].point : NULL;
}

Dhat__Holds *holds_message_whole(struct holds_message *message)
{
	return &message->whole;
}

Dhat__LastHolds *holds_message_last(struct holds_message *message)
{
	return &message->last;
}
