#pragma once
/* find_words: how many words a scan may find: as many as there is room for.
 *
 * Pure but for the scan, which is the caller's. How many there are is not known before; so room is
 * claimed for many, and what was not needed given back as soon as that is known.
 */
#include "daemon/reach/found.h"
#include "daemon/reach/table.h"
#include "proto/base/error.h"

struct find_words_asking {
	struct room *room;		  /* NULL: there is no bound */
	const struct reach_block *blocks; /* the table */
	uint32_t block_count;
	const struct reach_range *ranges; /* that are read */
	size_t range_count;
	/* reach_scan(), somewhere, with its index: -E2BIG: it found more than that. */
	int (*scan)(void *context, const struct reach_limits *limits, struct reach_found *ret,
		    struct dhat_error *err);
	void *context;
};

/* *ret has a share for what it takes. -ENOSPC: there is too little room. */
int find_words(const struct find_words_asking *asking, struct reach_found *ret,
	       struct dhat_error *err);
