#pragma once
/* rendering: the program points of a snapshot with their stacks as lines of text.
 *
 * Pure. Two frames may read alike (a library loaded twice, a stack seen before and after its table
 * was ready), so points whose lines are all equal are merged into one. R1: no two points have the
 * same lines. R2: sums over the points are those over the snapshot's; only a merged point's own
 * maximum is not known exactly: see dhat_rendered_max_is_known(). A stack that ended early has one
 * more line at its outer end that says why, so that it is never merged with a whole one. Where
 * frames of a deep stack were left out, a line says how many.
 */
#include <stdbool.h>
#include <stdint.h>

#include "estimate.h"
#include "held.h"
#include "histogram.h"
#include "history.h"
#include "mark.h"
#include "pages.h"
#include "snapshot.h"
#include "table_line.h"

struct dhat_histograms { /* blocks; histogram.h */
	uint64_t live_ages[DHAT_AGES], dead_ages[DHAT_AGES], live_sizes[DHAT_SIZES];
	uint64_t slack_bytes; /* of live blocks, by SnapshotHead.size_classes */
};
void dhat_histograms_add(struct dhat_histograms *sum, const struct dhat_histograms *part);

struct dhat_rendered_point {
	const Dhat__ProgramPoint *part; /* the first of its parts */
	uint64_t total_bytes, total_blocks, lifetimes_us;
	uint64_t max_bytes,
		max_blocks; /* sums over the parts: an upper bound if there are several */
	uint64_t peak_bytes, peak_blocks, live_bytes, live_blocks;
	struct dhat_evidence evidence;	    /* of a sample; else all 0 */
	struct dhat_point_pages pages;	    /* all 0 where the snapshot has none */
	struct dhat_held held;		    /* likewise */
	uint64_t temporary_blocks;	    /* of total_blocks: histogram.h */
	uint64_t threads;		    /* threads.h */
	struct dhat_born born;		    /* of a table that was asked for births */
	struct dhat_histograms *histograms; /* owned; NULL: none were asked for, or all are 0 */
	uint64_t first_ns, last_ns;
	uint64_t lows[DHAT_HISTORY_SLOTS]; /* sums over the parts: history.h */
	double growth;			   /* of these, bytes a minute */
	uint64_t longest_freed_us;	   /* lifetime of a block that was freed; 0: none was */
	double live_ages_us;		   /* sum over the live blocks */
	uint64_t greatest_max_bytes;	   /* of a single part */
	uint32_t part_count;		   /* points of the snapshot that this one stands for */
	uint32_t number;		   /* in the order of their first parts, from 0 on */
	uint32_t hidden_count;		   /* lines of the first part's stack beyond the depth */
	uint32_t line_count;
	uint32_t lines[]; /* indices in dhat_rendering.lines; innermost first, never none */
};

struct dhat_rendering {
	const struct dhat_snapshot *snapshot; /* borrowed */
	struct dhat_line_style style;	      /* of a table's lines */
	struct dhat_births births;
	unsigned trim_rules;
	char **lines; /* each once; [0] is "[root]", which no point has */
	size_t line_count;
	struct dhat_rendered_point **points; /* in the snapshot's order of their first parts */
	size_t point_count;
	/* of each point of the snapshot: what it is a part of; NULL: it is not shown */
	struct dhat_rendered_point **point_of;
};

/* How a location of a frame reads; location NULL: the frame has no name. The caller frees; NULL:
 * out of memory. */
typedef char *(*dhat_line_of_frame)(const Dhat__Frame *frame, const Dhat__Location *location);

/* trim_rules: bits of enum dhat_trim; the lines they leave out are gone before points are compared,
 * so that points that differ in nothing else become one. 0: all lines. */
int dhat_rendering_new(const struct dhat_snapshot *snapshot, dhat_line_of_frame line_of_frame,
		       unsigned trim_rules, struct dhat_rendering **ret);

/* A table: rows are what reads the same. */
struct dhat_table_options {
	struct dhat_line_style style;
	unsigned trim_rules;
	size_t depth; /* lines of a stack, from the innermost on; 0: all. Only by stack */
	/* by stack the frames of one's own code alone, a recursion once, and no word of an early
	 * end: what stays the same when a library is another version. Nothing is trimmed then. */
	bool is_own_only;
	const bool *is_shown; /* of each point of the snapshot; NULL: all are */
	struct dhat_births births;
	bool has_histograms;
};
int dhat_table_new(const struct dhat_snapshot *snapshot, const struct dhat_table_options *options,
		   struct dhat_rendering **ret);
void dhat_rendering_free(struct dhat_rendering *rendering);

/* How far a figure of the point may be off. */
struct dhat_interval dhat_rendered_interval(const struct dhat_rendering *rendering,
					    const struct dhat_rendered_point *point,
					    enum dhat_estimated which);

/* Of the live blocks; 0: none is. Kept below 2^63, whatever a file holds. */
uint64_t dhat_rendered_mean_age_us(const struct dhat_rendered_point *point);
/* Is max_bytes what it was, and not just a bound? Its lower bound: dhat_rendered_least_max(). */
bool dhat_rendered_max_is_known(const struct dhat_rendered_point *point);
uint64_t dhat_rendered_least_max(const struct dhat_rendered_point *point);
