#pragma once
/* metric: one number of a program point, chosen by its name. Pure. */
#include <stdint.h>

#include "rendering.h"

enum dhat_metric {
	DHAT_LIVE_BYTES = 0, /* at t-end */
	DHAT_LIVE_BLOCKS,
	DHAT_PEAK_BYTES, /* at t-gmax */
	DHAT_PEAK_BLOCKS,
	DHAT_TOTAL_BYTES, /* ever allocated */
	DHAT_TOTAL_BLOCKS,
	DHAT_METRIC_COUNT,
	/* what conditions ask for, too, and no export has a column of (assertion.h) */
	DHAT_LOST_BYTES = DHAT_METRIC_COUNT, /* as of the last scan: held.h */
	DHAT_LOST_BLOCKS,
	DHAT_BESIDE_BYTES, /* free, on pages with live blocks */
	DHAT_FREE_BYTES,   /* in memory, and of no live block; 0 of a point */
	DHAT_FIGURE_COUNT,
};

/* "live-bytes", …; what dhat_metric_parse() takes. */
const char *dhat_metric_name(enum dhat_metric metric);
/* Is it a number of bytes? Else one of blocks. Of any figure, as is dhat_metric_of(). */
bool dhat_metric_is_bytes(enum dhat_metric metric);
/* A name, or "live", "peak", "total" for the bytes. -EINVAL: none of them. */
int dhat_metric_parse(const char *text, enum dhat_metric *ret);
/* Of a figure that is `value`. Of blocks of a sample no more is known than whether there are any.
 */
struct dhat_interval dhat_metric_interval(uint64_t sample_bytes,
					  const struct dhat_evidence *evidence,
					  enum dhat_metric metric, uint64_t value);
uint64_t dhat_metric_of(const struct dhat_rendered_point *point, enum dhat_metric metric);
