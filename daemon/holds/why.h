#pragma once
/* why: what is at one address, and who holds it, block by block.
 */
#include "holds.h"

struct look_closer_at;
struct why_facts {
	const struct scan_once *scan;  /* the last one */
	const struct reach_mark *mark; /* with ways, and names */
	const struct target_identity *identity;
	struct target *target;
	const struct look_closer_at *at; /* of it */
	struct symbolizer *symbolizer;
	bool knows_before; /* see root_names_give() */
};

/* -ENOMEM. The caller frees *ret by why_free(). */
int why_find(const struct why_facts *facts, uint64_t addr, struct holds_why **ret);
void why_free(struct holds_why *why);
