#pragma once
/* own_code: is a frame a program's own, or does it only hand memory on?
 *
 * Pure. The rule, in one place: not own code is
 *   - what is in a file of the C or C++ library, of the compiler's or of an allocator (libc.so.6,
 *     libstdc++.so.6, libgcc_s.so.1, ld-linux…, libjemalloc.so.2 …);
 *   - what trim.h calls the standard library's, the allocator's and the executor's by its name,
 *     wherever it was compiled into (templates, static linking);
 *   - functions of the C library that allocate for their caller, by name, for static programs:
 *     `strdup`, `getline`, `fopen` …; and those that call the program, as `_start`;
 *   - functions that programs wrap malloc in, by name: those called after malloc, calloc, realloc,
 *     palloc, strdup … (`zmalloc_usable`, `sqlite3DbMallocRaw`, `PyMem_RawMalloc`, `apr_pstrdup`),
 *     and a list of others (`ngx_alloc`, `AllocSetAlloc` …). A wrapper that has neither kind of
 * name is own code;
 *   - code that is in no file and has no name.
 * All else is: a program's own functions, and those of the libraries that it uses.
 */
#include <stdbool.h>

#include "snapshot.h"

/* One location of a frame; NULL: it has no name. */
bool dhat_is_own_code(const Dhat__Frame *frame, const Dhat__Location *location);

/* One by one the frames of a stack that are own code, innermost first, inlined ones each for
 * itself. At first zeroed; false: there are no more. */
struct dhat_own_frame {
	const Dhat__Frame *frame;
	const Dhat__Location *location; /* NULL: it has no name */
	uint32_t number;		/* the frame's, in the snapshot */
	size_t location_index;

	size_t next_frame, next_location; /* private */
};
bool dhat_own_next(const struct dhat_snapshot *snapshot, const Dhat__ProgramPoint *point,
		   struct dhat_own_frame *ret);
