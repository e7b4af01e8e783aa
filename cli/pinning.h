#pragma once
/* pinning: what `dhatctl pins' prints, for a person and for programs. */
#include "proto/profile/filter.h"
#include "proto/profile/keeping.h"

struct pinning {			      /* borrowed; of a snapshot with pages */
	const struct dhat_rendering *by_line; /* of all stacks, and its suspects: for the answer */
	const struct dhat_suspects *suspects;
	struct dhat_rendering *table; /* the list; is sorted */
	const struct dhat_filter *filter;
	size_t top;
};

/* To standard output. -errno. */
int pinning_print(const struct pinning *pinning, bool as_json);
