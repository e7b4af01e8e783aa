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

struct dhat_holder_chain {
	struct dhat_holding held;
	bool is_unknown, is_past_end, is_tagged;
	uint64_t words, root_words; /* see HoldsChain; sums */
	/* from the holder outwards; NULL: a point that is in no row */
	const struct dhat_rendered_point **links;
	size_t link_count;
	const Dhat__HoldsRoot *root; /* NULL: there are more links */
};

struct dhat_holder {
	const struct dhat_rendered_point *point;
	struct dhat_holding live; /* at the last scan: the next four */
	struct dhat_holding held, unknown, lost, unseen;
	struct dhat_holding past_end, in_cycles, under_lost, retained;
	uint64_t withdrawn_blocks;
	struct dhat_holder_chain *chains; /* the largest first */
	size_t chain_count, chain_room;
};

struct dhat_holders {
	struct dhat_holder *list; /* what is lost first, by its bytes; then by live bytes */
	size_t count;
	size_t lost_count; /* of these have something lost */
};

/* table: of a snapshot whose end has holds. -ENOMEM. */
int dhat_holders_make(const struct dhat_rendering *table, struct dhat_holders *ret);
void dhat_holders_deinit(struct dhat_holders *holders);

/* "held by cache_put (cache.c:31) <- global response_cache", and of what the blocks are if not all
 * are held so. The caller frees; NULL: out of memory. */
char *dhat_holder_chain_text(const struct dhat_rendering *table, const struct dhat_holder *holder,
			     const struct dhat_holder_chain *chain);
/* "lost: they hold one another in cycles"; of a row with something lost. The caller frees. */
char *dhat_holder_lost_text(const struct dhat_holder *holder);
/* A row's own line: "cache_put (cache.c:31)". The caller frees. */
char *dhat_holder_name(const struct dhat_rendering *table, const struct dhat_rendered_point *point);

/* What is lost, or why nothing is called so: one or two sentences. The caller frees. */
char *dhat_holders_headline(const Dhat__Holds *holds);
/* What is to be known of each such answer. */
extern const char dhat_holders_caveat[];
