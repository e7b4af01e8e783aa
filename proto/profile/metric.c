#include "metric.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "proto/base/cleanup.h"

static const struct {
	const char *name, *short_name; /* short_name: NULL, if there is none */
	size_t offset;		       /* in a rendered point */
} metrics[] = {
#define POINT(field) offsetof(struct dhat_rendered_point, field)
	[DHAT_LIVE_BYTES] = { "live-bytes", "live", POINT(live_bytes) },
	[DHAT_LIVE_BLOCKS] = { "live-blocks", NULL, POINT(live_blocks) },
	[DHAT_PEAK_BYTES] = { "peak-bytes", "peak", POINT(peak_bytes) },
	[DHAT_PEAK_BLOCKS] = { "peak-blocks", NULL, POINT(peak_blocks) },
	[DHAT_TOTAL_BYTES] = { "total-bytes", "total", POINT(total_bytes) },
	[DHAT_TOTAL_BLOCKS] = { "total-blocks", NULL, POINT(total_blocks) },
};
_Static_assert(ARRAY_SIZE(metrics) == DHAT_METRIC_COUNT, "each metric has a name");

static const struct {
	bool is_bytes;
	size_t offset; /* 0: a point has none */
} others[] = {
	[DHAT_LOST_BYTES - DHAT_METRIC_COUNT] = { true, POINT(held.lost_bytes) },
	[DHAT_LOST_BLOCKS - DHAT_METRIC_COUNT] = { false, POINT(held.lost_blocks) },
	[DHAT_BESIDE_BYTES - DHAT_METRIC_COUNT] = { true, POINT(pages.beside_bytes) },
	[DHAT_FREE_BYTES - DHAT_METRIC_COUNT] = { true, 0 },
#undef POINT
};

const char *dhat_metric_name(enum dhat_metric metric)
{
	return metrics[metric].name;
}

bool dhat_metric_is_bytes(enum dhat_metric metric)
{
	return metric < DHAT_METRIC_COUNT ? metrics[metric].short_name != NULL
					  : others[metric - DHAT_METRIC_COUNT].is_bytes;
}

int dhat_metric_parse(const char *text, enum dhat_metric *ret)
{
	for (size_t i = 0; i < DHAT_METRIC_COUNT; i++) {
		if (strcmp(text, metrics[i].name) &&
		    (!metrics[i].short_name || strcmp(text, metrics[i].short_name)))
			continue;
		*ret = i;
		return 0;
	}
	return -EINVAL;
}

uint64_t dhat_metric_of(const struct dhat_rendered_point *point, enum dhat_metric metric)
{
	size_t offset = metric < DHAT_METRIC_COUNT ? metrics[metric].offset
						   : others[metric - DHAT_METRIC_COUNT].offset;

	return offset ? *(const uint64_t *)((const char *)point + offset) : 0;
}

struct dhat_interval dhat_metric_interval(uint64_t sample_bytes,
					  const struct dhat_evidence *evidence,
					  enum dhat_metric metric, uint64_t value)
{
	static const enum dhat_estimated estimated[DHAT_METRIC_COUNT] = {
		[DHAT_LIVE_BYTES] = DHAT_ESTIMATED_LIVE,
		[DHAT_LIVE_BLOCKS] = DHAT_ESTIMATED_LIVE,
		[DHAT_PEAK_BYTES] = DHAT_ESTIMATED_PEAK,
		[DHAT_PEAK_BLOCKS] = DHAT_ESTIMATED_PEAK,
		[DHAT_TOTAL_BYTES] = DHAT_ESTIMATED_TOTAL,
		[DHAT_TOTAL_BLOCKS] = DHAT_ESTIMATED_TOTAL,
	};
	struct dhat_interval interval = { value, value };

	if (metric >= DHAT_METRIC_COUNT)
		return interval;
	if (dhat_metric_is_bytes(metric))
		return dhat_interval_of(sample_bytes, evidence, estimated[metric], value);
	if (!sample_bytes || dhat_evidence_is_certain(evidence))
		return interval;
	return (struct dhat_interval){ evidence->seen_bytes[estimated[metric]] != 0, UINT64_MAX };
}
