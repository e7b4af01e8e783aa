#pragma once
/* types: what the blocks of a site are, where something in them, or beside what points to them,
 * leads to a name: a C++ vtable, a Rust one, the header of a Tokio task, a table of functions in C.
 *
 * Names are read by the symbolizer, in the confined worker. Bound: one name for each site that
 * pointer_places has.
 */
#include "daemon/lookup/symbolizer.h"
#include "pointer_places.h"
#include "scan_once.h"

struct types {
	char **names; /* of each site of the places; NULL: not known */
	uint32_t count;
};

struct types_memory {
	/* closer_look() in a process's memory; its images are the looker's. */
	int (*look)(void *context, struct closer_question *question, struct closer_answer *ret);
	void *context;
};

/* What cannot be read is not known. -ENOMEM. */
int types_find(const struct scan_once *scan, const struct target_identity *identity,
	       const struct pointer_places *places, const struct types_memory *memory,
	       struct symbolizer *symbolizer, struct types *ret);
void types_deinit(struct types *types);

/* Pure. The caller frees; NULL: it names no type. Of a variable that something in a block leads to,
 * and of a function in a vtable without a name. */
char *types_of_variable(const char *name);
char *types_of_function(const char *name);
