#pragma once
/* repair_report: what `dhatd repair` does, and prints of it. */
#include <stdbool.h>
#include <sys/types.h>

#include "proto/base/error.h"

/* Repairs one process and tells on the standard output. 0; an error; with DHAT_EXIT_UNSUITABLE and
 * no message if breakpoints that may serve nobody had to be left alone, which was told then. */
int repair_report(pid_t pid, bool as_json, struct dhat_error *err);
