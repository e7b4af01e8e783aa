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
#undef POINT
};
_Static_assert(ARRAY_SIZE(metrics) == DHAT_METRIC_COUNT, "each metric has a name");

const char *dhat_metric_name(enum dhat_metric metric)
{
	return metrics[metric].name;
}

bool dhat_metric_is_bytes(enum dhat_metric metric)
{
	return metrics[metric].short_name;
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
	return *(const uint64_t *)((const char *)point + metrics[metric].offset);
}
