#pragma once
/* filtering: what --filter, --exclude and --suppressions leave out of a file, and what is said of
 * it. */
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/export/export.h"
#include "proto/profile/filter_options.h"

/* For a file: what is left out goes from the snapshot. exporter NULL: that of the path. A .dhat
 * file keeps everything, and is refused with a filter. */
int filtering_reduce(struct dhat_filter *filter, const char *path,
		     const struct dhat_exporter *exporter, struct dhat_snapshot *snapshot,
		     struct dhat_error *err);
/* What is missing in the list, with its sums; nothing if nothing is. */
void filtering_print(struct screen *screen, const struct dhat_filter *filter);
/* An array, an object each. NULL: out of memory. */
struct json_object *filtering_as_json(const struct dhat_filter *filter);
