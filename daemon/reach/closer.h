#pragma once
/* closer: a second look at a few blocks: where in one the pointer to another stands, and what it
 * begins with.
 *
 * Pure but for the reading, which is the caller's. Edges do not say where they stand: that would
 * double them. So a few of each kind are looked up again, a moment later. Runs in the worker; of
 * what is read only distances within blocks leave it, and words that lead into mapped files: these
 * say what is mapped there, and nothing of anybody's data.
 */
#include "scan.h"

#define CLOSER_MAX_QUESTIONS 65536     /* pairs, and heads */
#define CLOSER_MAX_BYTES (64ull << 20) /* that are read for all pairs; the rest is nowhere */
#define CLOSER_WORDS 8		       /* of a head */
#define CLOSER_NOWHERE UINT64_MAX

struct closer_pair {
	uint64_t holder, holder_bytes, target, target_bytes;
};

struct closer_place {
	uint64_t at; /* from the holder's beginning; CLOSER_NOWHERE: nothing leads there (any more)
		      */
	uint64_t into;	 /* how far into the target it leads */
	uint64_t beside; /* the word behind it, if it leads into an image: of a fat pointer; or 0 */
};

struct closer_span {
	uint64_t start, end;
};

struct closer_head {
	uint64_t words[CLOSER_WORDS]; /* those that lead into no image, and what is behind its end:
					 0 */
};

struct closer_question {
	const struct closer_pair *pairs;
	const struct closer_span *heads; /* of each the first words; its start is a multiple of 8 */
	const struct closer_span *images; /* ascending, not overlapping */
	uint32_t pair_count, head_count, image_count;
};

struct closer_answer {
	struct closer_place *places; /* one for each pair */
	struct closer_head *heads;
	uint32_t pair_count, head_count;
};

bool closer_leads_to_image(const struct closer_question *question, uint64_t word);
/* What cannot be read is nowhere, or 0. -E2BIG: more than CLOSER_MAX_QUESTIONS. */
int closer_look(const struct closer_question *question, const struct reach_source *source,
		struct closer_answer *ret);
void closer_answer_deinit(struct closer_answer *answer);
