#pragma once
/* census: the live blocks of one moment by age and by size, counted piece by piece while events go
 * on; or a list of them.
 *
 * Pure. The heap's table (blocks.h) is walked over in pieces, and tells meanwhile of each block
 * that is put into the part that is still to come, or leaves it. C1: what is counted are the blocks
 * that were live when the census began, as they were then.
 */
#include <stdbool.h>
#include <stdint.h>

#include "block.h"
#include "proto/base/index.h"
#include "proto/profile/histogram.h"
#include "sample.h"
#include "size_classes.h"

#define CENSUS_PAGE_POINTS 64

struct block_list;

struct census_point {
	uint32_t ages[DHAT_AGES], sizes[DHAT_SIZES]; /* an index has room for less than 2^32 */
	uint64_t older_bytes, older_blocks;	     /* of older_ns and more */
	uint64_t slack_bytes; /* that the allocator gives beyond the size; 0: not known */
};

/* A block to be counted: where, and as what. */
struct census_step {
	struct census_point *point; /* NULL: none */
	uint64_t age_ns, size_bytes, slack_bytes;
	uint64_t bytes, blocks; /* that it stands for: sample.h */
};
/* Stacks of a hundred thousand points have 30 MB of counts, in no order: two lines that are in no
 * cache for each block, 75 ns; brought near so many blocks before, 25 ns. */
#define CENSUS_AHEAD 16

struct census {
	uint64_t time_ns;	   /* when it began: ages are of then; no block was born later */
	uint64_t older_ns;	   /* 0: is not asked for */
	struct sample sample;	   /* of the heap; all 0: none */
	enum size_classes classes; /* of domain 0; of custom allocators none are known */
	uint64_t place;		   /* of the table, what is below is counted (index_visit_from()) */
	/* Borrowed; NULL, or: they are listed here, too. */
	struct block_list *list;
	struct index *late; /* blocks behind `place` that are older and were put there since */
	struct census_page **pages;
	uint32_t page_room;
	struct census_step
		ahead[CENSUS_AHEAD]; /* a ring: they are brought near, and counted next */
	uint32_t ahead_at;
	int error; /* -ENOMEM, block_list_add()'s: it cannot be used */
};

int census_new(uint64_t older_ns, struct census **ret);
void census_free(struct census *census);
/* All 0 for one that has no live blocks. */
const struct census_point *census_at(const struct census *census, uint32_t point);
/* What it has at most for so many points. */
uint64_t census_bytes(uint32_t points);

/* For the heap and its table. One that was live when it began; others are left out. */
void census_count(struct census *census, const struct block *block);
/* The same for one of many in a row, some time before census_settle() ends. */
void census_count_soon(struct census *census, const struct block *block);
void census_settle(struct census *census);
/* Is it to be counted when the walk comes to it? */
bool census_is_late(const struct census *census, const struct block *block);
/* Something is put into the table, or leaves it, at a place that is not below. */
void census_put(struct census *census, const struct block *block);
void census_take(struct census *census, const struct block *block);
