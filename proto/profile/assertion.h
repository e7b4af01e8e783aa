#pragma once
/* assertion: a condition that a profile has to meet, as a build states it. Pure.
 *
 *   assertion  = subject comparison limit
 *   subject    = [ "stack(/" PATTERN "/)." ] figure
 *   figure     = ("live" | "peak" | "total") "." ("bytes" | "blocks")
 *              | "growth" [ "." ("bytes" | "blocks") ]
 *              | "lost" "." ("bytes" | "blocks") | "beside" "." "bytes" | "free" "." "bytes"
 *   comparison = "==" | "!=" | "<" | "<=" | ">" | ">="
 *   limit      = amount | "baseline" [ "*" DECIMAL ] [ "+" amount ]
 *   amount     = DECIMAL [ UNIT ]
 *
 * with blanks between any two of these. There is no "and": each condition is an assertion, and a
 * case of its own in a report. PATTERN is one of pattern.h, and ends at the first "/)". Growth is
 * of what is live, against the baseline, and negative where it shrank. Units are those of
 * dhat_parse_size(), and of bytes only.
 *
 * What is lost is as of the last scan (held.h); beside and free are of the pages that an allocator
 * has in memory (keeping.h): what shares a page with live blocks, and all that no live block has.
 * No baseline has these three, and what is free is no stack's.
 *
 * A1: nothing is rounded, be it 1.5MiB or baseline * 1.05.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metric.h"

enum dhat_comparison {
	DHAT_EQUAL,
	DHAT_NOT_EQUAL,
	DHAT_AT_MOST,
	DHAT_AT_LEAST,
	DHAT_LESS,
	DHAT_MORE,
};

struct dhat_assertion {
	char *text;    /* as it was given; owned */
	char *pattern; /* NULL: all stacks; owned */
	enum dhat_metric metric;
	bool is_growth; /* of the metric, which is one of what is live */
	enum dhat_comparison comparison;
	/* the limit: amount, and of the baseline's figure so many parts */
	uint64_t amount;
	uint64_t numerator, denominator; /* 0 and 1 where it is no part of the limit */
};

/* Where a text is no assertion, and why. */
struct dhat_assertion_fault {
	size_t at, length; /* in bytes */
	char message[192];
};

/* -EINVAL: see *fault. -ENOMEM. */
int dhat_assertion_parse(const char *text, struct dhat_assertion *ret,
			 struct dhat_assertion_fault *fault);
void dhat_assertion_deinit(struct dhat_assertion *assertion);

/* A line that points to the fault, below a line that has the text in it from column `indent` on,
 * and says why. The caller frees; NULL: out of memory. */
char *dhat_assertion_caret(const char *text, const struct dhat_assertion_fault *fault,
			   size_t indent);

bool dhat_assertion_needs_scan(const struct dhat_assertion *assertion);
bool dhat_assertion_needs_pages(const struct dhat_assertion *assertion);
bool dhat_assertion_needs_baseline(const struct dhat_assertion *assertion);
/* now, baseline: the figure of what it is about, in either, or where it lies if it is an estimate
 * (estimate.h); the second is not looked at where none is needed. A2: it holds if it does wherever
 * the two lie, and does not if it does nowhere. */
enum dhat_answer { DHAT_HOLDS, DHAT_FAILS, DHAT_CANNOT_TELL };
enum dhat_answer dhat_assertion_answer(const struct dhat_assertion *assertion,
				       const struct dhat_interval *now,
				       const struct dhat_interval *baseline);
/* The same of figures that are exact. */
bool dhat_assertion_holds(const struct dhat_assertion *assertion, uint64_t now, uint64_t baseline);
