#pragma once
/* memory: where in a process's memory a word stands that points to a block, and what that makes of
 * the block.
 */
#include <stdint.h>

/* What holds no block by itself says less of what it points to: see reach_class_level(). */
enum reach_class {
	REACH_GLOBAL,	/* variables of the program and its libraries */
	REACH_STACK,	/* of a thread, from its stack pointer on: its thread-local memory, too */
	REACH_REGISTER, /* of a thread, as it entered the kernel last */
	REACH_KERNEL,	/* data given to epoll, a timer, a signal stack */
	REACH_MAPPING,	/* memory that the process mapped itself */
	REACH_SHARED,	/* that, shared with others */
	REACH_YOUNG,	/* a block that is younger than the table */
	REACH_OTHER,	/* a block in which others lie: memory of an allocator above another */
	REACH_GAP,	/* an allocator's memory, in no block that is known */
	REACH_BELOW,	/* a stack, below its stack pointer */
	REACH_ENDED,	/* what may be the stack of a thread that has ended */
	REACH_FREED,	/* a block that was freed during the scan */
	REACH_OWN,	/* a word of an allocator's own (own_words.h): it holds nothing */
	REACH_CLASSES
};

/* How sure it is that something holds a block: the lowest at which it is reached. */
enum reach_level {
	REACH_UNREACHED,
	REACH_HELD,	 /* by a pointer to it or into it */
	REACH_HELD_PAST, /* by a pointer to its end, too */
	REACH_STALE,	 /* by what may be left over: unknown */
	REACH_GUESSED,	 /* by what may be a pointer with a tag in it: unknown */
	REACH_LEVELS
};

static inline enum reach_level reach_class_level(enum reach_class class)
{
	return class < REACH_GAP ? REACH_HELD : class == REACH_OWN ? REACH_LEVELS : REACH_STALE;
}

struct reach_range { /* ascending, not overlapping; whole words */
	uint64_t start, end;
	uint32_t class;	  /* of words in no block */
	uint32_t is_code; /* not 0: in instructions addresses stand anywhere, not at whole words */
};
