#pragma once
/* born_file: what was allocated since a mark and still lives, as a file. */
#include "comparing.h"

/* As report_print() of a report on births, which also go to a file, by whole stacks; if that is the
 * standard output, there is no list. The snapshot is of no more use then. file NULL: none. */
int born_file_print(const struct report *report, struct dhat_snapshot *snapshot,
		    const struct comparing_file *file, struct dhat_error *err);
