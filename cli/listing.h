#pragma once
/* listing: --by, --top, --depth and --whole-names: what a list has rows of, and how many. */
#include <argp.h>

#include "proto/profile/rendering.h"

struct listing { /* begins as listing_default */
	struct dhat_line_style style;
	size_t top, depth;
	bool has_depth; /* it was asked for */
};
extern const struct listing listing_default;
extern const struct argp listing_argp; /* input: struct listing */
