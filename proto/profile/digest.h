#pragma once
/* digest: a profile by the names of a program's own code: what two builds of it can be compared by.
 *
 * Pure. A row is a list of own functions (own_code.h), innermost first, each with its source file
 * or, where that is not known, its object: "parse_line (src/parser.c)", shortened as tables have
 * them. Neither lines nor addresses are part of it, nor how often a function calls itself, nor what
 * stands between them that is not own. A stack without own code is its innermost frame.
 * G1: no two rows have the same names; they are sorted by them.
 * G2: blocks from before the attach, and what a filter leaves out, are in no row and in no sum.
 */
#include "filter.h"
#include "metric.h"
#include "verdict.h"

struct dhat_digest_row {
	char **names; /* never none */
	size_t name_count;
	uint64_t figures[DHAT_FIGURE_COUNT];
	struct dhat_evidence evidence;		 /* of a sample; else all 0 */
	const struct dhat_rendered_point *point; /* of the table; NULL: it comes from a file */
};

struct dhat_digest {
	char *program;
	enum dhat_verdict verdict;
	uint64_t sample_bytes; /* 0: figures are exact */
	struct dhat_evidence evidence;
	/* What only conditions ask for (metric.h) is not known of one that comes from a file.
	 * Of all; that may be more than the rows' sums, where stacks were not kept */
	uint64_t figures[DHAT_FIGURE_COUNT];
	struct dhat_digest_row *rows;
	size_t row_count, row_room;
	struct dhat_rendering *table; /* NULL: it comes from a file */
};

/* The snapshot is borrowed, as long as it lives; the filter's figures are of this one then. */
int dhat_digest_of(const struct dhat_snapshot *snapshot, struct dhat_filter *filter,
		   struct dhat_digest **ret);
void dhat_digest_free(struct dhat_digest *digest);

/* For those who build one. -ENOMEM; names are taken over, be it so or not. */
int dhat_digest_add(struct dhat_digest *digest, char **names, size_t name_count,
		    struct dhat_digest_row **ret);
/* After the last row; false: two have the same names. */
bool dhat_digest_sort(struct dhat_digest *digest);

/* The row of these names; NULL: there is none. */
const struct dhat_digest_row *dhat_digest_find(const struct dhat_digest *digest,
					       const struct dhat_digest_row *like);
/* Were the names left out (redact.h)? No pattern matches what the program had then. */
bool dhat_digest_is_redacted(const struct dhat_digest *digest);
/* Does a pattern (pattern.h) match the function or the file of one of its names? NULL matches all.
 */
bool dhat_digest_row_matches(const struct dhat_digest_row *row, const char *pattern);
