#pragma once
/* report: what one profile says, for people or for programs: the headline, the totals, a list. */
#include "births.h"
#include "filtering.h"
#include "listing.h"
#include "proto/profile/trim.h"
#include "rows.h"

struct report {			  /* how */
	struct rows_options rows; /* its top is the list's */
	struct listing list;
	unsigned trim_rules;
	struct dhat_filter *filter; /* borrowed; counts what it leaves out */
	bool as_json, without_names;
	/* of what was allocated since a mark, or between two; NULL: of all */
	const char *since, *before;
	uint64_t older_ns; /* of what is at least so old; 0: of any age */
	bool has_ages, has_sizes, has_pages;
	const char *path; /* of the file that a single profile is from; NULL: of none */
};

/* Is there what it asks of a profile? */
int report_check(const struct report *report, const struct dhat_snapshot *snapshot,
		 struct dhat_error *err);
/* Of which blocks it is; all 0: of all. */
int report_find_births(const struct report *report, const struct dhat_snapshot *snapshot,
		       struct dhat_births *ret, struct dhat_error *err);
/* As report_check(), and prints. */
int report_print(const struct report *report, const struct dhat_snapshot *snapshot,
		 struct dhat_error *err);
