#pragma once
/* unwinding: what the kernel side walks a process's stacks by, for whoever walks one out here.
 *
 * Of one moment: what is mapped later is not in it, and what was unmapped still is. The tables'
 * words are those that the kernel reads, mapped; they stay when the process is let go of.
 */
#include <stddef.h>
#include <stdint.h>

#include "bpf/dhat_abi.h"

struct objects;

struct unwinding_table {
	const uint64_t *words; /* NULL: none */
	uint64_t bytes;
};

struct unwinding {
	struct dhat_mapping *mappings;	/* ascending */
	struct unwinding_table *tables; /* by a mapping's table_slot */
	size_t mapping_count, table_count;
};

/* For any thread. -ENOMEM; a table that cannot be mapped is none. */
int unwinding_take(struct objects *objects, struct unwinding *ret);
void unwinding_deinit(struct unwinding *unwinding);
