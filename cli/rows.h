#pragma once
/* rows: what keeps the memory, for a person: the headline, and the list. */
#include "held.h"
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "ranking.h"
#include "survivors.h"

struct rows_options {
	enum ranking_key key;
	size_t top;			   /* at most so many */
	bool has_ages, has_sizes;	   /* with histograms; the table has them */
	bool has_pages;			   /* with what is in memory; the snapshot has it */
	const struct survivors *survivors; /* shown, too; NULL: not */
	const struct held_rows *held;	   /* likewise */
};

/* The row with most of the live bytes, in a few lines; by_line: a table by line of source, so that
 * a leak that many stacks lead to is one. */
void rows_headline(struct screen *screen, struct dhat_rendering *by_line);
/* The list; sorts the points. */
void rows_print(struct screen *screen, struct dhat_rendering *table,
		const struct rows_options *options);

/* A row's lines, as in the list. */
void rows_print_stack(struct screen *screen, const struct dhat_rendering *table,
		      const struct dhat_rendered_point *point);
/* The same for programs: "NAME (PLACE)" each. */
struct json_object *rows_lines_as_json(const struct dhat_rendering *table,
				       const struct dhat_rendered_point *point);

/* Where the list hides what the headline tells, for it lists stacks, and each has but a small part:
 * how to see it. Both are sorted, the list by live bytes. */
void rows_hint(struct screen *screen, const struct dhat_rendering *table,
	       const struct dhat_rendering *by_line);
