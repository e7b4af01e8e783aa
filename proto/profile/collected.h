#pragma once
/* collected: whose garbage collector frees a program point's blocks, when it sees fit. Pure. */
#include "snapshot.h"

/* "ruby", "java", …: the program's, or that of a file that the stack goes through; NULL: none is
 * known. What counts references (CPython, PHP, Perl) frees at once, and is none of them. */
const char *dhat_collector_of(const struct dhat_snapshot *snapshot,
			      const Dhat__ProgramPoint *point);
