#include "stack.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "proto/base/budget.h"
#include "proto/base/cleanup.h"
#include "proto/base/index.h"

/* Frames lie one after the other in chunks that never move; a stack lies in one chunk. */
#define CHUNK_FRAMES 16384

enum { SPACE_ID, SPACE_CONTENT }; /* of the index */

struct stack {
	const struct stack_frame *frames;
	uint16_t frame_count;
	uint8_t stop, flags;
	uint16_t left_out, site;
};
_Static_assert(DHAT_MAX_DEPTH <= UINT16_MAX && sizeof(struct stack) == 16, "as many as move below");

struct stacks {
	struct stack *list; /* by point */
	uint32_t count, capacity, max_stacks;
	struct stack_frame **chunks;
	uint32_t chunk_count, chunk_capacity;
	uint32_t chunk_used;	    /* frames in the last chunk */
	struct index *point_by_key; /* by id (value: epoch), and by a hash of the content */
	uint64_t id_count, refused;
	uint32_t newest_epoch;
	struct budget *budget, frame_budget;	      /* NULL: none */
	struct stack_frame resolved[DHAT_MAX_FRAMES]; /* of the stack that is being learnt */
};

void stacks_free(struct stacks *stacks)
{
	if (!stacks)
		return;
	for (uint32_t i = 0; i < stacks->chunk_count; i++)
		free(stacks->chunks[i]);
	if (stacks->budget) {
		budget_give(&stacks->frame_budget, stacks->frame_budget.used_bytes);
		budget_give(stacks->budget, stacks->capacity * sizeof(*stacks->list));
	}
	free(stacks->chunks);
	free(stacks->list);
	index_free(stacks->point_by_key);
	free(stacks);
}
DEFINE_CLEANUP_PTR(struct stacks *, stacks_free)

int stacks_new(uint32_t max_stacks, struct stacks **ret)
{
	_cleanup_(stacks_free_ptr) struct stacks *stacks = calloc(1, sizeof(*stacks));
	int err;

	if (!stacks)
		return -ENOMEM;
	if (max_stacks < STACK_POINT_FIRST)
		max_stacks = STACK_POINT_FIRST;
	if (max_stacks > UINT32_MAX / 2)
		max_stacks = UINT32_MAX / 2;
	stacks->max_stacks = max_stacks;
	stacks->capacity = 256;
	stacks->list = calloc(stacks->capacity, sizeof(*stacks->list));
	if (!stacks->list)
		return -ENOMEM;
	stacks->count = STACK_POINT_FIRST;
	err = index_new(&stacks->point_by_key);
	if (err)
		return err;
	*ret = take_ptr(stacks);
	return 0;
}

void stacks_charge(struct stacks *stacks, struct budget *budget)
{
	stacks->budget = budget;
	stacks->frame_budget = (struct budget){ .parent = budget, .weight = 2 };
	budget_force(budget, stacks->capacity * sizeof(*stacks->list));
	index_charge(stacks->point_by_key, budget);
}

/* ---- what a stack is ---------------------------------------------------------------------- */

/* A return address is looked up at the call before it: a call at the very end of a mapping
 * returns, as far as addresses go, into the next one. */
static void resolve(struct stack_frame *frame, uint64_t raw, const struct mappings *mappings)
{
	bool is_exact_pc = raw & DHAT_FRAME_EXACT_PC;
	uint64_t addr = raw & ~DHAT_FRAME_EXACT_PC;
	uint64_t before = !is_exact_pc && addr > 0;
	const struct mapping *mapping = mappings_find(mappings, addr - before);

	*frame = (struct stack_frame){ .addr = addr,
				       .object = MAPPINGS_NO_OBJECT,
				       .is_exact_pc = is_exact_pc };
	if (!mapping)
		return;
	frame->object = mapping->object;
	frame->file_offset = mapping->file_offset + (addr - mapping->start);
}

static bool is_same_frame(const struct stack_frame *a, const struct stack_frame *b)
{
	if (a->object != b->object || a->is_exact_pc != b->is_exact_pc)
		return false;
	return a->object == MAPPINGS_NO_OBJECT ? a->addr == b->addr
					       : a->file_offset == b->file_offset;
}

/* Its flags but for how it was found: before its tables were there a stack may have been walked by
 * frame pointers, and comes by tables later. */
static uint8_t kind_of(const struct stack *stack)
{
	return stack->flags & ~DHAT_STACK_USED_FP;
}

static bool is_same_stack(const struct stack *a, const struct stack *b)
{
	if (a->frame_count != b->frame_count || a->left_out != b->left_out || a->stop != b->stop ||
	    kind_of(a) != kind_of(b))
		return false;
	for (uint32_t i = 0; i < a->frame_count; i++)
		if (!is_same_frame(&a->frames[i], &b->frames[i]))
			return false;
	return true;
}

/* A key for the index. Equal keys are only candidates. */
static uint64_t content_key(const struct index *index, const struct stack *stack)
{
	uint64_t key = index_mix(index, stack->frame_count + (uint64_t)stack->left_out,
				 (uint64_t)stack->stop << 8 | kind_of(stack));

	for (uint32_t i = 0; i < stack->frame_count; i++) {
		const struct stack_frame *frame = &stack->frames[i];
		bool is_file = frame->object != MAPPINGS_NO_OBJECT;

		key = index_mix(index, key, is_file ? frame->file_offset : frame->addr);
		key = index_mix(index, key, (uint64_t)frame->object << 1 | frame->is_exact_pc);
	}
	return key;
}

/* ---- storage ------------------------------------------------------------------------------ */

static int store_frames(struct stacks *stacks, struct stack *stack)
{
	uint64_t most = (uint64_t)STACKS_FRAMES_EACH * stacks->max_stacks / CHUNK_FRAMES + 1;
	struct budget *budget = stacks->budget ? &stacks->frame_budget : NULL;
	struct stack_frame *frames;

	if (stacks->chunk_count == stacks->chunk_capacity) {
		uint32_t capacity = stacks->chunk_capacity ? 2 * stacks->chunk_capacity : 16;
		struct stack_frame **chunks;

		chunks = realloc(stacks->chunks, capacity * sizeof(*chunks));
		if (!chunks)
			return -ENOMEM;
		stacks->chunks = chunks;
		stacks->chunk_capacity = capacity;
	}
	if (!stacks->chunk_count || stacks->chunk_used + stack->frame_count > CHUNK_FRAMES) {
		if (stacks->chunk_count >= most)
			return -ENOSPC;
		if (!budget_take(budget, CHUNK_FRAMES * sizeof(*frames)))
			return -ENOSPC;
		frames = malloc(CHUNK_FRAMES * sizeof(*frames));
		if (!frames) {
			budget_give(budget, CHUNK_FRAMES * sizeof(*frames));
			return -ENOMEM;
		}
		stacks->chunks[stacks->chunk_count++] = frames;
		stacks->chunk_used = 0;
	}
	frames = stacks->chunks[stacks->chunk_count - 1] + stacks->chunk_used;
	memcpy(frames, stack->frames, stack->frame_count * sizeof(*frames));
	stacks->chunk_used += stack->frame_count;
	stack->frames = frames;
	return 0;
}

/* 16 bytes a stack: a million of them move in a millisecond or two, once. */
static int reserve_stack(struct stacks *stacks)
{
	struct stack *list;

	if (stacks->count >= stacks->max_stacks)
		return -ENOSPC;
	if (stacks->count < stacks->capacity)
		return 0;
	if (!budget_take(stacks->budget, stacks->capacity * sizeof(*list)))
		return -ENOSPC;
	list = realloc(stacks->list, 2 * (size_t)stacks->capacity * sizeof(*list));
	if (!list) {
		budget_give(stacks->budget, stacks->capacity * sizeof(*list));
		return -ENOMEM;
	}
	stacks->list = list;
	stacks->capacity *= 2;
	return 0;
}

/* The point of a stack, new or known. stack->frames is borrowed. */
static int intern(struct stacks *stacks, struct stack *stack, uint32_t *ret)
{
	uint64_t key = content_key(stacks->point_by_key, stack);
	struct index_entry *entry;
	int err;

	/* A different stack with the same key moves on to the next key. */
	for (; (entry = index_find(stacks->point_by_key, SPACE_CONTENT, key)); key++) {
		struct stack *known = &stacks->list[entry->point];

		if (is_same_stack(known, stack)) {
			known->flags &= stack->flags; /* tables have proven what was guessed */
			*ret = entry->point;
			return 0;
		}
	}
	err = reserve_stack(stacks);
	if (!err)
		err = store_frames(stacks, stack);
	if (err)
		return err;
	err = index_claim(stacks->point_by_key, SPACE_CONTENT, key, &entry);
	if (err < 0)
		return err;
	entry->point = stacks->count;
	stacks->list[stacks->count] = *stack;
	*ret = stacks->count++;
	return 0;
}

/* ---- ids ---------------------------------------------------------------------------------- */

/* The epoch is part of an id, so those of past epochs do not come again. One epoch back is still
 * possible: a thread that was interrupted between taking its stack and sending it. */
static bool is_past_id(const struct index_entry *entry, const void *ctx)
{
	const struct stacks *stacks = ctx;

	return entry->space == SPACE_ID && entry->value + 1 < stacks->newest_epoch;
}

static int learn_id(struct stacks *stacks, uint64_t stack_id, uint32_t epoch, uint32_t point)
{
	uint64_t bound = (uint64_t)STACKS_IDS_EACH * stacks->max_stacks, before;
	struct index_entry *entry;
	int made;

	if (stacks->id_count >= bound) {
		before = index_count(stacks->point_by_key);
		index_remove_if(stacks->point_by_key, is_past_id, stacks);
		stacks->id_count -= before - index_count(stacks->point_by_key);
		if (stacks->id_count >= bound)
			return -ENOSPC;
	}
	made = index_claim(stacks->point_by_key, SPACE_ID, stack_id, &entry);
	if (made < 0)
		return made;
	stacks->id_count += made;
	entry->point = point;
	entry->value = epoch;
	return 0;
}

int stacks_learn(struct stacks *stacks, uint64_t stack_id, uint32_t epoch, const uint64_t *frames,
		 uint32_t frame_count, uint8_t stop, uint8_t flags, const struct mappings *mappings)
{
	uint32_t kept = dhat_kept_frames(frame_count, stop), point;
	struct stack stack = {
		.frames = stacks->resolved,
		.frame_count = kept,
		.left_out = frame_count - kept,
		.stop = stop,
		.flags = flags,
		.site = STACK_NO_SITE,
	};
	int err;

	if (stack_id == 0 || frame_count > DHAT_MAX_DEPTH)
		return -EINVAL;
	if (index_find(stacks->point_by_key, SPACE_ID, stack_id))
		return 0;
	if (epoch > stacks->newest_epoch)
		stacks->newest_epoch = epoch;
	for (uint32_t i = 0; i < kept; i++)
		resolve(&stacks->resolved[i],
			frames[dhat_frame_slot(i < DHAT_INNER_FRAMES ? i : i + stack.left_out)],
			mappings);
	err = intern(stacks, &stack, &point);
	if (!err)
		err = learn_id(stacks, stack_id, epoch, point);
	if (err)
		stacks->refused++;
	return err;
}

void stacks_note_site(struct stacks *stacks, uint64_t stack_id, uint16_t site)
{
	struct stack *stack = &stacks->list[stacks_point(stacks, stack_id)];

	if (stack->frames && stack->site == STACK_NO_SITE)
		stack->site = site;
}

uint32_t stacks_point(const struct stacks *stacks, uint64_t stack_id)
{
	const struct index_entry *entry = NULL;

	if (stack_id != 0)
		entry = index_find(stacks->point_by_key, SPACE_ID, stack_id);
	return entry ? entry->point : STACK_POINT_LOST;
}

void stacks_prefetch(const struct stacks *stacks, uint64_t stack_id)
{
	index_prefetch(stacks->point_by_key, SPACE_ID, stack_id);
}

/* ---- reading ------------------------------------------------------------------------------ */

uint32_t stacks_count(const struct stacks *stacks)
{
	return stacks->count;
}

void stacks_view(const struct stacks *stacks, uint32_t point, struct stack_view *ret)
{
	*ret = (struct stack_view){ .site = STACK_NO_SITE };
	if (point < STACK_POINT_FIRST || point >= stacks->count)
		return;
	ret->frames = stacks->list[point].frames;
	ret->frame_count = stacks->list[point].frame_count;
	ret->left_out = stacks->list[point].left_out;
	ret->stop = stacks->list[point].stop;
	ret->flags = stacks->list[point].flags;
	ret->site = stacks->list[point].site;
}

uint64_t stacks_refused(const struct stacks *stacks)
{
	return stacks->refused;
}
