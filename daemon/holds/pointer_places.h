#pragma once
/* pointer_places: where in blocks the pointers to others stand, and what blocks begin with: a few
 * of each chain and of each site are looked at again (reach/closer.h), and what most of them agree
 * in is said.
 *
 * Pure: what to ask, and what the answer says.
 */
#include "daemon/reach/closer.h"
#include "daemon/reach/cycles.h"
#include "daemon/reach/inside.h"

#define PLACES_SAMPLES 8
#define PLACES_MAX_CHAINS 2048 /* the largest, and those that lead to them */
#define PLACES_MAX_SITES 2048  /* the largest */
#define PLACES_HEADS 4	       /* blocks of a site */
#define PLACES_AGREE_PERCENT 75

struct place {
	bool is_known;	    /* they agree in where it stands */
	uint64_t at, bytes; /* within the holder; of how many: 0: they differ in size */
};

struct chain_places {
	struct place holder; /* in what holds it */
	struct place self;   /* in a block of its own, where those hold one another */
	uint64_t in_root; /* an address of the root at which a pointer stands; 0: none known, or of
			     many */
	uint64_t beside;  /* what fat pointers to it have behind the address; 0: nothing */
	/* words of its root, in memory, that lead to the beginning of its blocks */
	uint64_t roots[PLACES_SAMPLES];
	uint32_t root_count;
	bool is_from_start; /* all that were looked at lead to the beginning */
};

struct site_places {
	uint64_t
		words[CLOSER_WORDS]; /* that its blocks agree in, and that lead into mapped files */
	struct place inside; /* into blocks that are held from inside only; bytes: of the block */
	uint64_t beside;     /* see chain_places */
	uint64_t least_bytes, most_bytes; /* of its blocks */
};

struct pointer_places_sample;
struct pointer_places {
	struct chain_places *chains;
	struct place
		*cycles; /* of each REACH_MAX_CYCLE_LINKS: where in it the next is pointed to */
	struct site_places *sites;
	uint32_t *chain_slots; /* of each chain of the mark: its place in chains, + 1; 0: none */
	uint32_t *site_slots;  /* likewise, of each point */
	uint32_t chain_count, site_count, point_count;

	/* what is asked */
	struct closer_pair *pairs;
	struct closer_span *heads;
	uint32_t pair_count, head_count;

	/* private */
	struct pointer_places_sample *samples; /* what each pair is of */
	uint32_t *heads_of; /* of each site PLACES_HEADS: places in heads, + 1; 0: no more */
	size_t pair_room, head_room, sample_room;
	struct room_share share;
};

/* inside: reach_from_inside(). -ENOMEM, -ENOSPC. */
int pointer_places_choose(const struct reach_graph *graph, const struct reach_mark *mark,
			  const uint8_t *inside, const struct reach_cycle *cycles,
			  uint32_t cycle_count, struct pointer_places *ret);
void pointer_places_take(struct pointer_places *places, const struct closer_answer *answer);
void pointer_places_deinit(struct pointer_places *places);

/* NULL: not looked at. */
const struct chain_places *pointer_places_of_chain(const struct pointer_places *places,
						   uint32_t chain);
const struct site_places *pointer_places_of_site(const struct pointer_places *places,
						 uint32_t point);
