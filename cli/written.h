#pragma once
/* written: what a command says of the profile that it has put into a file. */
#include "command.h"
#include "proto/profile/snapshot.h"

/* Nothing when path is "-": the profile itself is on the standard output then. */
int written_report(const struct common *common, unsigned trim_rules, const char *path,
		   const struct dhat_snapshot *snapshot, struct dhat_error *err);
