#pragma once
/* written: what a command says of the profile that it has put into a file. */
#include "command.h"
#include "proto/profile/filter.h"

/* filter: what was left out of it is said, too. Nothing when path is "-": the profile itself is on
 * the standard output then. */
int written_report(const struct common *common, unsigned trim_rules, const char *path,
		   const struct dhat_snapshot *snapshot, const struct dhat_filter *filter,
		   struct dhat_error *err);
