#pragma once
/* plan_report: `dhatd plan`: what an attach would do, and to which processes, as text or JSON. */
#include "options.h"

/* Prints; says on stderr what failed. The exit status: DHAT_EXIT_OK if all that was looked at can
 * be attached to, else that of the first which cannot. */
int plan_report(const struct dhatd_options *options);
