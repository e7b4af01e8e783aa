#include "stack_walk.h"

#include <stdlib.h>

#include "bpf/unwind_types.h"
#include "proto/base/cleanup.h"

struct stack_walker {
	const struct unwinding *unwinding;
	const struct stack_walk_source *source;
	struct unwind_control control;
	struct unwind_memo memo[UNWIND_MEMO_SIZE];
	struct unwind_scratch scratch;
};

/* ---- what bpf/unwind.h asks for: it has no context ------------------------------------------- */

static _Thread_local struct stack_walker *walking;
static _Thread_local struct unwind_control unwind_control; /* of it */

#define UNWIND_NOINLINE __attribute__((noinline, unused)) static

typedef const struct unwinding_table unwind_table_t;

static inline int unwind_copy(void *dst, uint32_t size, uint64_t addr)
{
	return walking->source->read(walking->source->context, addr, dst, size) ? -1 : 0;
}

static inline struct unwind_memo *unwind_memo(uint32_t index)
{
	return index < UNWIND_MEMO_SIZE ? &walking->memo[index] : NULL;
}

/* There is one bank: the first. */
static inline const struct dhat_mapping *unwind_mapping(uint32_t index)
{
	return index < unwind_control.count[0] ? &walking->unwinding->mappings[index] : NULL;
}

static inline unwind_table_t *unwind_table(uint32_t slot)
{
	unwind_table_t *table =
		slot < walking->unwinding->table_count ? &walking->unwinding->tables[slot] : NULL;

	return table && table->words ? table : NULL;
}

/* By a pointer that the kernel side writes through nowhere either. */
static inline const __u64 *unwind_table_word(unwind_table_t *table, uint64_t index)
{
	return index < table->bytes / sizeof(uint64_t) ? (const __u64 *)&table->words[index] : NULL;
}
#define unwind_word(table, index) ((__u64 *)(uintptr_t)unwind_table_word(table, index))

static inline int unwind_is_current(uint64_t pc, uint64_t inode, uint64_t bias)
{
	return 1; /* the caller has looked */
}

static inline int unwind_is_code(uint64_t pc)
{
	return walking->source->is_code(walking->source->context, pc);
}

/* The walk ends there. */
static inline void unwind_tell_unread(uint64_t pc)
{
}

/* Only the kernel knows; the walk ends there. */
static inline uint64_t unwind_hidden_return(uint64_t slot_addr)
{
	return 0;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunknown-pragmas" /* clang's unroll */
#include "bpf/unwind.h"
#pragma GCC diagnostic pop

/* ---- a walk ---------------------------------------------------------------------------------- */

struct stack_walker *stack_walker_new(const struct unwinding *unwinding,
				      const struct stack_walk_source *source)
{
	struct stack_walker *walker = calloc(1, sizeof(*walker));
	size_t count = unwinding->mapping_count;

	if (!walker)
		return NULL;
	walker->unwinding = unwinding;
	walker->source = source;
	walker->control.count[0] = count < DHAT_MAX_MAPPINGS ? count : DHAT_MAX_MAPPINGS;
	return walker;
}

void stack_walker_free(struct stack_walker *walker)
{
	free(walker);
}

static void begin(struct unwind_scratch *s, const struct dhat_thread_state *thread)
{
	s->frame_count = 0;
	s->flags = s->is_fp_lost = s->guess = 0;
	s->is_exact_pc = 1;
	s->pc = thread->words[DHAT_REGISTER_PC];
	s->sp = thread->words[DHAT_REGISTER_SP];
	s->fp = thread->words[DHAT_REGISTER_FP];
	s->window_base = s->window_size = 0;
	s->reads.count = 0;
	unwind_push(s, s->pc);
}

/* What began at a signal is the code that it came upon: it may keep something below, too. */
static uint64_t first_word(const struct unwind_scratch *s)
{
	return s->is_exact_pc ? s->sp - DHAT_RED_ZONE_BYTES : s->sp;
}

/* *stop: why it ended (enum dhat_stop); UNWIND_MORE: at the bound, or for want of a rule. */
static size_t walk(struct unwind_scratch *s, struct walked_frame *ret, uint32_t *stop)
{
	size_t count = 0;

	for (unsigned steps = 0; steps < 2 * STACK_WALK_MAX_FRAMES; steps++) {
		const struct walked_frame frame = { .start = first_word(s),
						    .pc = s->is_exact_pc ? s->pc : s->pc - 1 };
		uint64_t sp = s->sp;

		*stop = unwind_step(s);
		if (*stop != UNWIND_MORE || s->guess || count == STACK_WALK_MAX_FRAMES)
			break;
		if (s->is_exact_pc || s->sp == sp) /* the kernel's frame of a signal; no step */
			continue;
		ret[count] = frame;
		ret[count++].end = s->sp;
	}
	return count;
}

size_t stack_walk(struct stack_walker *walker, const struct dhat_thread_state *thread,
		  struct walked_frame *ret)
{
	struct unwind_scratch *s = &walker->scratch;
	uint32_t stop = DHAT_STOP_NO_SCRATCH;
	size_t count;

	walking = walker;
	unwind_control = walker->control;
	begin(s, thread);
	count = walk(s, ret, &stop);
	walking = NULL;
	if (stop == DHAT_STOP_BAD_MEMORY || stop == DHAT_STOP_NO_CALLER)
		return 0;
	if (count)
		ret[count - 1].is_outermost = stop == DHAT_STOP_COMPLETE;
	return count;
}
