#pragma once
/* copies: of its own code that a process has made while it was watched, with our breakpoints in
 * them: see copies.c. Knows no target. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "places.h"

struct copies_range { /* of the process's memory */
	uint64_t start, end;
};

#define COPIES_MAX_PAGES 65536 /* 256 MiB of generated code */

struct copies {			       /* starts zeroed; one at a time searches */
	struct copies_range *searched; /* executable memory of no file, looked through */
	size_t searched_count;
	atomic_uint found; /* breakpoints of ours in copies */
	size_t max_pages;  /* of one search; 0: COPIES_MAX_PAGES. Beyond, it is said */
	bool is_limit_told;
};

/* Look for breakpoints of these places in copies, and take them out. all: everywhere, else where
 * nothing executable was at the last search. What was found is said. */
void copies_search(struct copies *copies, struct places *places, const struct places_owner *owner,
		   bool all);
void copies_deinit(struct copies *copies);
