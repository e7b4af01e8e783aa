#pragma once
/* scopes: functions and inlined calls that cover an address, from DWARF.
 *
 * Runs inside the worker. The unit of an address is found in an index made from the units' own
 * ranges (clang writes no .debug_aranges), the function in an index of its unit that is made when
 * the unit is first asked for; so that 50,000 addresses cost one walk of each unit, not one each.
 */
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "split.h"

#define SCOPES_MAX_DEPTH 128 /* of inlined calls in one another; deeper ones are left out */

struct scopes;

/* dwarf and split must outlive the result. */
int scopes_new(Dwarf *dwarf, struct split *split, struct scopes **ret);
void scopes_free(struct scopes *scopes);

struct scope_hit {
	Dwarf_Die cu;			   /* of the object: its lines */
	const char *missing;		   /* NULL, or why the unit's functions are not to be had */
	int depth;			   /* of chain; 0: no function here */
	Dwarf_Die chain[SCOPES_MAX_DEPTH]; /* [0] the innermost inlined call … the function */
};

/* False when no unit covers the link-time address. */
bool scopes_find(struct scopes *scopes, uint64_t vaddr, struct scope_hit *ret);
