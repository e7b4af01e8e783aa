#pragma once
/* role: what a function does with blocks (enum dhat_role), and where it has its arguments.
 *
 * Plain. */
#include <stdbool.h>
#include <stdint.h>

#include "bpf/dhat_abi.h"

struct allocator_function {
	const char *name; /* symbol; in a table without its prefix */
	uint8_t role;	  /* enum dhat_role */
	uint8_t arg[3];	  /* which psABI argument (0…5) is the role's argument 0, 1, 2 */
	bool awaits;	  /* a free whose return is of interest: it calls another free */
	bool may_throw;	  /* a C++ exception may pass: no return probe, exit probes instead */
};

/* How many of the role's arguments there are. */
unsigned role_args(uint8_t role);
const char *role_name(uint8_t role);
/* A role of whose calls the return is to be seen: it hands out a block, or may have failed. */
bool role_returns(uint8_t role);
