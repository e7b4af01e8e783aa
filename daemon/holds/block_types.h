#pragma once
/* block_types: what blocks are, and what their members are called in which pointers stand, as the
 * debugging information of the variables says that hold them.
 *
 * Chain by chain, from variables outwards (dwarf/pointees.h), in the confined worker. What chains
 * of one site do not agree in is not known: one of them is wrong.
 */
#include "daemon/lookup/symbolizer.h"
#include "pointer_places.h"
#include "scan_once.h"

struct block_types {
	struct block_types_chain {
		char *in_root; /* where in its variable a pointer stands: ".buckets", "+16" */
		char *holder; /* the member of what holds it in which the pointer stands: ".next" */
		char *self;   /* that of its own blocks, where those hold one another */
	} * chains;	      /* by the places' slots; NULL: not known, or at the beginning */
	char **types;	      /* by the places' sites; NULL: not known */
	uint32_t chain_count, type_count;
	struct room_share share;
};

/* What cannot be read is not known. -ENOMEM, -ENOSPC. */
int block_types_find(const struct scan_once *scan, const struct reach_mark *mark,
		     const struct pointer_places *places, const struct target_identity *identity,
		     struct symbolizer *symbolizer, struct block_types *ret);
void block_types_deinit(struct block_types *types);
