#pragma once
/* jit_names: names of code that was made at run time, from the files in which its makers tell them.
 *
 *   perf map  a line for each piece of code, "START SIZE NAME", both numbers in hex (Linux,
 *             tools/perf/Documentation/jit-interface.txt)
 *   jitdump   records of code that was loaded, and of such that was moved, which keeps its name
 *             (tools/perf/Documentation/jitdump-specification.txt); its lines are not read
 *
 * Runs inside the worker process; the file is hostile, and may be written to meanwhile.
 *
 * Where code is made, code goes, and other code comes to its place. A jitdump says when: a place
 * has the name that it had while it was on stacks. If it had several meanwhile, or if nothing says
 * when (a perf map has no times, and those of a jitdump may be the processor's), it has both:
 * "later or earlier (its address was used again)", and "or others" beyond two. What was on stacks
 * before its first name was given has that name: makers may be late.
 */
#include "daemon/object/dwarf/names.h"
#include "proto/base/error.h"

#define JIT_MAX_BYTES (256ull << 20) /* of a perf map that are read; a second and a half */
#define JIT_MAX_RECORDS (8u << 20)   /* of a jitdump; the code in it is skipped */
#define JIT_MAX_NAME_BYTES 1024	     /* of a longer name; an ellipsis stands for the rest */

/* Places that no entry covers have no location. Fails without memory, or when the file cannot be
 * read. */
int jit_name(int fd, const struct jit_query *queries, uint32_t count, struct names **ret,
	     struct dhat_error *err);
