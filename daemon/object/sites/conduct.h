#pragma once
/* conduct: what functions without a name do, by watching what they take and give.
 *
 * Pure. Some calls of all functions by which an allocator can be entered were recorded, in their
 * order: two arguments and the result of each. From that it is told which hand out blocks, which
 * take them, and which argument is the size. It counts as proven only when
 * - what was returned was taken later, often, and hardly anything was handed out twice or taken
 *   twice (C1); blocks from before the record are the fewer of those taken in its second half;
 * - every function that was called at all has a part in that, or none (C2);
 * - blocks do not reach into each other, and many lie as close as their size lets them (C3).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conduct_call {
	uint32_t entry; /* number of the function */
	uint64_t arg1, arg2, result;
};

enum conduct_role {
	CONDUCT_UNSEEN,	 /* not called, or too seldom to tell */
	CONDUCT_NONE,	 /* takes and gives no blocks */
	CONDUCT_MALLOC,	 /* p = f(size, …) */
	CONDUCT_CALLOC,	 /* p = f(count, size, …) */
	CONDUCT_ALIGNED, /* p = f(alignment, size, …) */
	CONDUCT_FREE,	 /* f(p, …) */
	CONDUCT_REALLOC, /* p = f(p, size, …) */
	CONDUCT_ROLES
};

#define CONDUCT_MIN_CALLS 8    /* of a function, to tell what it does */
#define CONDUCT_MIN_MATCHES 64 /* blocks that were returned and then taken */

struct conduct {
	enum conduct_role *roles; /* of each entry; the caller's */
	uint64_t matches;	  /* blocks seen from their return to their end */
	uint64_t contradictions;  /* given twice, taken twice */
	bool is_proven;
};

/* ret->roles has room for entry_count. -ENOMEM is the only failure. */
int conduct_judge(const struct conduct_call *calls, size_t count, size_t entry_count,
		  struct conduct *ret);
