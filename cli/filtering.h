#pragma once
/* filtering: what is said of what --filter, --exclude and --suppressions left out. */
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/profile/filter_options.h"

/* What is missing in the list, with its sums; nothing if nothing is. */
void filtering_print(struct screen *screen, const struct dhat_filter *filter);
/* An array, an object each. NULL: out of memory. */
struct json_object *filtering_as_json(const struct dhat_filter *filter);
