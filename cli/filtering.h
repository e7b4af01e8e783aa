#pragma once
/* filtering: --filter, --exclude and --suppressions, and what is said of what they left out. */
#include <argp.h>

#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/profile/filter.h"

extern const struct argp filter_argp; /* input: struct dhat_filter */

/* What is missing in the list, with its sums; nothing if nothing is. */
void filtering_print(struct screen *screen, const struct dhat_filter *filter);
/* An array, an object each. NULL: out of memory. */
struct json_object *filtering_as_json(const struct dhat_filter *filter);
