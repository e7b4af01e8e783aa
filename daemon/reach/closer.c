#include "closer.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/cleanup.h"

#define WORD sizeof(uint64_t)
#define ADDRESS_MASK ((1ull << 48) - 1)
#define TAG_BITS 16

void closer_answer_deinit(struct closer_answer *answer)
{
	free(answer->places);
	free(answer->heads);
	*answer = (struct closer_answer){ 0 };
}

bool closer_leads_to_image(const struct closer_question *question, uint64_t word)
{
	uint32_t low = 0, high = question->image_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (question->images[middle].end <= word)
			low = middle + 1;
		else
			high = middle;
	}
	return low < question->image_count && question->images[low].start <= word;
}

static uint64_t in_image(const struct closer_question *question, uint64_t word)
{
	return closer_leads_to_image(question, word) ? word : 0;
}

/* ---- where a pointer stands ----------------------------------------------------------------- */

/* How surely a word points there: the more, the better; 0: not at all. *ret_into: how far in. */
static unsigned points(const struct closer_pair *pair, uint64_t word, uint64_t *ret_into)
{
	const uint64_t readings[] = { word, word & ADDRESS_MASK, word >> TAG_BITS };

	*ret_into = word - pair->target;
	if (!*ret_into || *ret_into < pair->target_bytes)
		return 3;
	if (*ret_into == pair->target_bytes)
		return 2;
	for (size_t i = 1; i < ARRAY_SIZE(readings); i++) {
		*ret_into = readings[i] - pair->target;
		if (*ret_into < pair->target_bytes)
			return 1;
	}
	return 0;
}

struct looking {
	const struct closer_question *question;
	const struct reach_source *source;
	uint64_t *words; /* REACH_PIECE_BYTES */
	uint64_t left;	 /* bytes that may be read */
};

/* Returns how surely the best word of a piece points there, if that is more than `sure`. */
static unsigned search(const struct looking *looking, const struct closer_pair *pair, uint64_t addr,
		       size_t count, unsigned sure, struct closer_place *place)
{
	for (size_t i = 0; i < count && sure < 3; i++) {
		uint64_t into;
		unsigned here = points(pair, looking->words[i], &into);

		if (here <= sure)
			continue;
		sure = here;
		*place = (struct closer_place){
			.at = addr + i * WORD - pair->holder,
			.into = into,
			.beside = i + 1 < count ? in_image(looking->question, looking->words[i + 1])
						: 0,
		};
	}
	return sure;
}

static void find_place(struct looking *looking, const struct closer_pair *pair,
		       struct closer_place *place)
{
	uint64_t addr = (pair->holder + WORD - 1) / WORD * WORD;
	uint64_t end = pair->holder + pair->holder_bytes;
	unsigned sure = 0;

	*place = (struct closer_place){ .at = CLOSER_NOWHERE };
	while (addr < end && end - addr >= WORD && sure < 3 && looking->left) {
		uint64_t size = end - addr;
		ssize_t got;

		size = size < REACH_PIECE_BYTES ? size : REACH_PIECE_BYTES;
		size = size < looking->left ? size : looking->left;
		got = looking->source->read(looking->source->context, addr, looking->words, size);
		if (got < (ssize_t)WORD)
			return;
		sure = search(looking, pair, addr, got / WORD, sure, place);
		looking->left -= got;
		addr += got / WORD * WORD;
	}
}

/* ---- what a block begins with --------------------------------------------------------------- */

static void take_head(const struct looking *looking, const struct closer_span *span,
		      struct closer_head *head)
{
	uint64_t size = span->end > span->start ? span->end - span->start : 0;
	ssize_t got;

	*head = (struct closer_head){ 0 };
	size = size < sizeof(head->words) ? size : sizeof(head->words);
	got = looking->source->read(looking->source->context, span->start, head->words, size);
	for (size_t i = 0; i < CLOSER_WORDS; i++)
		head->words[i] = got >= (ssize_t)((i + 1) * WORD)
					 ? in_image(looking->question, head->words[i])
					 : 0;
}

int closer_look(const struct closer_question *question, const struct reach_source *source,
		struct closer_answer *ret)
{
	_cleanup_(closer_answer_deinit) struct closer_answer answer = {
		.pair_count = question->pair_count, .head_count = question->head_count
	};
	_cleanup_free_ uint64_t *words = malloc(REACH_PIECE_BYTES);
	struct looking looking = { question, source, words, CLOSER_MAX_BYTES };

	if (question->pair_count > CLOSER_MAX_QUESTIONS ||
	    question->head_count > CLOSER_MAX_QUESTIONS)
		return -E2BIG;
	answer.places = calloc(answer.pair_count + 1ul, sizeof(*answer.places));
	answer.heads = calloc(answer.head_count + 1ul, sizeof(*answer.heads));
	if (!words || !answer.places || !answer.heads)
		return -ENOMEM;
	for (uint32_t i = 0; i < answer.pair_count; i++)
		find_place(&looking, &question->pairs[i], &answer.places[i]);
	for (uint32_t i = 0; i < answer.head_count; i++)
		take_head(&looking, &question->heads[i], &answer.heads[i]);
	*ret = answer;
	answer = (struct closer_answer){ 0 };
	return 0;
}
