#pragma once
/* holders: who holds the rows of a table, and what of them is lost.
 *
 * Pure. What dhatd tells by program points becomes rows of what reads the same: chains are told by
 * rows, and those that read alike are one. A row comes in a chain but once.
 */
#include "rendering.h"

struct dhat_holding {
	uint64_t bytes, blocks;
};

/* Where in blocks a pointer stands: see HoldsPlace. */
struct dhat_holder_place {
	bool is_known;
	uint64_t at, of;
	const char *member; /* NULL: not known */
};

struct dhat_holder_link {
	const struct dhat_rendered_point *row; /* NULL: a point that is in no row */
	struct dhat_holder_place place;	       /* where in it the one before is pointed to */
};

struct dhat_holder_chain {
	struct dhat_holding held;
	bool is_unknown, is_past_end, is_tagged;
	uint64_t words, root_words;	/* see HoldsChain; sums */
	struct dhat_holder_link *links; /* from the holder outwards */
	size_t link_count;
	const Dhat__HoldsRoot *root;   /* NULL: there are more links */
	const char *in_root;	       /* ".buckets", "+16"; "": not known, or at its beginning */
	struct dhat_holder_place self; /* in its own blocks, where they hold one another */
};

struct dhat_holder_cycle { /* of lost blocks */
	struct dhat_holding lost;
	struct dhat_holder_link *links; /* each points to the next, the last to the first */
	size_t link_count;
	uint32_t length; /* see HoldsCycle */
	bool is_cut;
	const Dhat__HoldsCycle *part; /* the first that reads so */
};

struct dhat_holder {
	const struct dhat_rendered_point *point;
	struct dhat_holding live; /* at the last scan: the next four */
	struct dhat_holding held, unknown, lost, unseen;
	struct dhat_holding past_end, in_cycles, under_lost, retained;
	struct dhat_holding from_inside; /* of held: only by pointers to further in ... */
	struct dhat_holder_place into;	 /* ... to there */
	const char *type;		 /* of most of its blocks; "": not known */
	uint64_t type_blocks;		 /* private */
	uint64_t withdrawn_blocks;
	struct dhat_holder_chain *chains; /* the largest first */
	size_t chain_count, chain_room;
};

struct dhat_holders {
	struct dhat_holder *list; /* what is lost first, by its bytes; then by live bytes */
	size_t count;
	size_t lost_count;		  /* of these have something lost */
	struct dhat_holder_cycle *cycles; /* the largest first */
	size_t cycle_count;
	const char **types; /* of each row by its number; see dhat_holder.type */
};

/* table: of a snapshot whose end has holds. -ENOMEM. */
int dhat_holders_make(const struct dhat_rendering *table, struct dhat_holders *ret);
void dhat_holders_deinit(struct dhat_holders *holders);

/* A link as the profile has it. */
struct dhat_holder_link dhat_holder_link_of(const struct dhat_rendering *table,
					    const uint32_t *points, Dhat__HoldsPlace *const *places,
					    size_t place_count, size_t i);

/* "held by cache_put (cache.c:31) at +8 of 40 <- global response_cache+16", and of what the blocks
 * are if not all are held so. The caller frees; NULL: out of memory. */
char *dhat_holder_chain_text(const struct dhat_rendering *table, const struct dhat_holders *holders,
			     const struct dhat_holder *holder,
			     const struct dhat_holder_chain *chain);
/* "lost: they hold one another in cycles"; of a row with something lost. The caller frees. */
char *dhat_holder_lost_text(const struct dhat_holder *holder);
/* "200 blocks are held only from inside, at +64 of 4,096"; of a row of which that is true. The
 * caller frees. */
char *dhat_holder_inside_text(const struct dhat_holder *holder);
/* "cycle: Session::new (a.rs:3) at +16 of 56 -> Peer::new (a.rs:9) at +24 of 64 -> Session::new";
 * does a row take part in it? The caller frees. */
char *dhat_holder_cycle_text(const struct dhat_rendering *table, const struct dhat_holders *holders,
			     const struct dhat_holder_cycle *cycle);
bool dhat_holder_is_in_cycle(const struct dhat_holder *holder,
			     const struct dhat_holder_cycle *cycle);
/* What ends cycles of this kind, a sentence, by what the blocks were made with; NULL: not known. */
const char *dhat_holder_cure(const struct dhat_rendering *table,
			     const struct dhat_holder_cycle *cycle);
/* A row's own line: "cache_put (cache.c:31)"; with its type, if that is known: "... [Session]". The
 * caller frees. */
char *dhat_holder_name(const struct dhat_rendering *table, const struct dhat_rendered_point *point);
char *dhat_holder_typed_name(const struct dhat_rendering *table, const struct dhat_holders *holders,
			     const struct dhat_rendered_point *point);

/* Of Holds.why: what is at the address, a sentence; and what holds it, a line each, or none. The
 * caller frees. */
char *dhat_holder_why_text(const struct dhat_rendering *table, const struct dhat_holders *holders,
			   const Dhat__HoldsWhy *why);
char *dhat_holder_step_text(const struct dhat_rendering *table, const struct dhat_holders *holders,
			    const Dhat__HoldsStep *step);

/* What is lost, or why nothing is called so: one or two sentences. The caller frees. */
char *dhat_holders_headline(const Dhat__Holds *holds);
/* What is to be known of each such answer. */
extern const char dhat_holders_caveat[];
