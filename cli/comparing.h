#pragma once
/* comparing: what has grown between two profiles and what has shrunk, for people or for programs.
 */
#include "proto/base/error.h"
#include "report.h"

struct compared {
	const struct dhat_snapshot *snapshot;
	const char *name; /* of its file; NULL: the process as it is now */
};

int comparing_print(const struct report *report, const struct compared *before,
		    const struct compared *after, struct dhat_error *err);
