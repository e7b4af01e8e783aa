#pragma once
/* filter_options: --filter, --exclude and --suppressions, the same for all commands that choose
 * stacks.
 */
#include <argp.h>

#include "filter.h"

extern const struct argp dhat_filter_argp; /* input: struct dhat_filter, zeroed before */
