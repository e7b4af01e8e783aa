#pragma once
/* comparing: what has grown between two profiles and what has shrunk, for people or for programs.
 */
#include "proto/base/error.h"
#include "proto/export/export.h"
#include "report.h"

struct compared {
	const struct dhat_snapshot *snapshot;
	const char *name; /* of its file; NULL: the process as it is now */
};

struct comparing_file {	  /* to which the difference goes, too */
	const char *path; /* "-": the standard output, and nothing is listed */
	const struct dhat_exporter *exporter;
	enum dhat_metric metric;
};

/* Before anything is read: a wrong name is the first thing to be told of. path NULL: so is the
 * file's. */
struct format_options;
int comparing_file_choose(const char *path, const struct format_options *format,
			  struct comparing_file *ret, struct dhat_error *err);

/* Whether the two can be compared: the older one is given first, and stacks have names in both or
 * in neither. */
int comparing_check(const struct compared *before, const struct compared *after,
		    struct dhat_error *err);

/* file NULL: none. */
int comparing_print(const struct report *report, const struct compared *before,
		    const struct compared *after, const struct comparing_file *file,
		    struct dhat_error *err);
