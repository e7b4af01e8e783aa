#pragma once
/* ps_report: `dhatd ps': which processes grow, for who does not know yet which to attach to. */
#include "options.h"

/* Prints, or complains; the exit status. */
int ps_report(const struct dhatd_options *options);
