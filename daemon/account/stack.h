#pragma once
/* stack: interned call stacks; their dense ids are the heap's point ids.
 *
 * Pure. The kernel side names a stack by a hash of raw addresses; what it means depends on the
 * mappings of its time. A frame is therefore kept as (object, file offset), or as an address when
 * it lies in no file. Stacks with equal frames, stop and flags are one point, whatever their hash
 * and whether frame pointers were used (DHAT_STACK_USED_FP is of points of which all were); of one
 * that is too deep to be kept whole, the frames are those kept and how many there were: two that
 * differ only in the middle, and are equally deep, are one point.
 *
 * Bounds: max_stacks points, and STACKS_FRAMES_EACH frames for each of them on average; further
 * stacks become the point STACK_POINT_LOST and are counted. Of ids there are STACKS_IDS_EACH times
 * as many; when there are more, those of past epochs are forgotten; their points stay.
 */
#include <stdint.h>

#include "mappings.h"

struct stacks;

#define STACKS_FRAMES_EACH 32
#define STACKS_IDS_EACH 2

/* Points that are no stacks, always there. */
enum {
	STACK_POINT_LOST = 0,	/* stack record lost, or the table full */
	STACK_POINT_BEFORE = 1, /* blocks from before the attach */
	STACK_POINT_FIRST = 2,
};

struct stack_frame {
	uint64_t addr;	      /* as on the stack, without DHAT_FRAME_EXACT_PC */
	uint64_t file_offset; /* of addr in the object; 0 when there is none */
	uint32_t object;      /* MAPPINGS_NO_OBJECT: addr is in no file */
	uint32_t is_exact_pc;
};

struct stack_view { /* frames stay valid as long as the stacks do */
	const struct stack_frame *frames;
	uint32_t frame_count; /* that are kept */
	uint32_t left_out;    /* further ones, outwards of the first DHAT_INNER_FRAMES */
	uint8_t stop;	      /* enum dhat_stop */
	uint8_t flags;	      /* DHAT_STACK_… */
	uint16_t site;	      /* STACK_NO_SITE: not known */
};
#define STACK_NO_SITE UINT16_MAX

int stacks_new(uint32_t max_stacks, struct stacks **ret);
void stacks_free(struct stacks *stacks);
/* What they have and take is budget's; where there is none left the table is full. A frame counts
 * twice, for a copy of it. */
struct budget;
void stacks_charge(struct stacks *stacks, struct budget *budget);

/* Learn what stack_id means; frames, stop, flags, epoch as in struct dhat_record_stack. An id
 * learnt again keeps its point. -ENOSPC: table full, counted. -ENOMEM; -EINVAL: stack_id is 0, or
 * more than DHAT_MAX_DEPTH frames. The id then stands for STACK_POINT_LOST. */
int stacks_learn(struct stacks *stacks, uint64_t stack_id, uint32_t epoch, const uint64_t *frames,
		 uint32_t frame_count, uint8_t stop, uint8_t flags,
		 const struct mappings *mappings);
/* By which of the probed functions (the number in a cookie) the stack of an id that was learnt has
 * been seen; the first that is told stays. */
void stacks_note_site(struct stacks *stacks, uint64_t stack_id, uint16_t site);
/* The point of a stack id; STACK_POINT_LOST if it was never learnt (or stack_id is 0). */
uint32_t stacks_point(const struct stacks *stacks, uint64_t stack_id);

/* stack_id will be asked for soon: its place is brought near. */
void stacks_prefetch(const struct stacks *stacks, uint64_t stack_id);

uint32_t stacks_count(const struct stacks *stacks); /* points, the special ones included */
/* No frames for a special point, or for one that does not exist. */
void stacks_view(const struct stacks *stacks, uint32_t point, struct stack_view *ret);
uint64_t stacks_refused(const struct stacks *stacks); /* not interned: table full */
