#pragma once
/* taken: a target's profile of now as a value, with names, for who writes files or judges. */
#include <stdatomic.h>

#include "daemon/lookup/symbolizer.h"
#include "daemon/target/target.h"
#include "proto/profile/snapshot.h"

struct holds_book;

struct taken_options {
	struct holds_book
		*book;	   /* NULL, or: what was answered last on who holds the blocks is told */
	bool without_ages; /* target_copy() instead of target_copy_with_ages() */
	const atomic_bool *gone; /* NULL, or: is raised when nobody waits for it any more */
};

/* options NULL: all 0. The caller frees *ret. -EBUSY: too much memory is in use to copy the
 * profile, see target_copy(); -ECANCELED: gone. */
int taken_snapshot(struct target *target, struct symbolizer *symbolizer,
		   const struct taken_options *options, struct dhat_snapshot **ret,
		   struct dhat_error *err);
