#pragma once
/* layout: what a process's memory is, as far as it matters for who holds a block there.
 *
 * Pure. By address and not by mapping: the kernel makes one mapping of neighbours that are alike,
 * as a stack and an arena.
 */
#include "bpf/thread_state.h"
#include "daemon/proc/procmaps.h"
#include "daemon/proc/smaps.h"
#include "daemon/reach/memory.h"
#include "daemon/reach/table.h"

struct layout_area {
	uint64_t start, end;
	enum reach_class class;
	bool is_shared, is_file; /* of a private mapping of a file only pages of its own count */
	bool is_code;		 /* it may be: of a compiler at run time */
	uint32_t mapping;	 /* its place in the maps */
};

struct layout {
	struct layout_area *areas; /* ascending; whole words */
	size_t count, room;
};

struct layout_facts {
	const struct procmaps *maps;
	const struct smaps *smaps; /* flags; may be of a moment later */
	const struct reach_block *blocks;
	size_t block_count;
	const struct dhat_thread_state *threads;
	size_t thread_count; /* 0: nothing is known of threads: stacks are taken whole */
	/* where the own stacks end of those that are on their signal stacks (left_stack.h); NULL:
	   not known */
	const uint64_t *left_stacks;
};

/* Leaves out what is no memory of the process's own: devices, the kernel's pages, code, and what a
 * userfaultfd handler would have to fill in. -ENOMEM. */
int layout_make(const struct layout_facts *facts, struct layout *ret);
void layout_deinit(struct layout *layout);
/* The area an address lies in; NULL: none. */
const struct layout_area *layout_find(const struct layout *layout, uint64_t addr);

/* Has it a stack, in which its stack pointer lies? */
bool layout_has_stack_of(const struct layout *layout, const struct dhat_thread_state *thread);

/* Is there memory that was not there before, and that does not begin with (or in) a block born
 * since, as an allocator's new memory does? after: blocks of now. */
bool layout_has_grown(const struct layout *before, const struct layout *now,
		      const struct reach_block *after, size_t after_count, uint64_t since_ns);
