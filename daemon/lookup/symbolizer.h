#pragma once
/* symbolizer: names of a target's frames, remembered.
 *
 * What an object's addresses are called does not change with time: names are kept by file (device,
 * inode, size, mtime, and the root they were seen from), for later snapshots and for other targets,
 * after the target's end too. The naming itself is the worker's. Bound: SYMBOLIZER_MEMORY_BYTES;
 * beyond it the objects that were not used for longest are forgotten. Thread-safe.
 */
#include <sys/types.h>

#include "daemon/object/dwarf/names.h"
#include "daemon/worker/worker.h"
#include "debuginfod.h"

struct symbolizer;

#define SYMBOLIZER_MEMORY_BYTES (256ull << 20)

struct symbolizer_options {
	struct debuginfod debuginfod; /* strings are copied */
	uint64_t memory_bytes;	      /* 0: SYMBOLIZER_MEMORY_BYTES */
};

/* options may be NULL. worker stays the caller's and must outlive the symbolizer. */
int symbolizer_new(struct worker *worker, const struct symbolizer_options *options,
		   struct symbolizer **ret, struct dhat_error *err);
void symbolizer_free(struct symbolizer *symbolizer);

struct symbolizer_object {
	int fd;		  /* of the object */
	int root_fd;	  /* the target's root, O_PATH; -1: gone */
	uid_t uid;	  /* the target's owner */
	const char *path; /* as the target sees it */
};

struct symbolized_frame {
	const struct names *names; /* NULL: the object could not be read; see reason */
	uint32_t frame;		   /* in names */
};

struct symbolized {
	struct symbolized_frame *frames; /* one for each query */
	char reason[256];		 /* why some have no names; "" otherwise */
	struct cached_object *cached;	 /* what the frames point into */
};

/* Fills *ret even if nothing could be named; fails only without memory. */
int symbolizer_name(struct symbolizer *symbolizer, const struct symbolizer_object *object,
		    const struct name_query *queries, uint32_t count, bool places_only,
		    struct symbolized *ret);
void symbolized_deinit(struct symbolizer *symbolizer, struct symbolized *symbolized);

/* Names of variables: worker_name_data(), with the target's debug files, but no server's. Not kept.
 * with_members takes a look at all units of the debugging information (members.h: 4 s at most). The
 * caller frees. */
int symbolizer_name_data(struct symbolizer *symbolizer, const struct symbolizer_object *object,
			 const struct name_query *queries, uint32_t count, bool with_members,
			 struct names **ret);

/* What blocks are that variables point to: worker_name_pointees(), as symbolizer_name_data() with
 * members. The caller frees. */
int symbolizer_name_pointees(struct symbolizer *symbolizer, const struct symbolizer_object *object,
			     const struct pointee_query *queries, uint32_t count,
			     struct names **ret);

/* Names of code that is in no file: by a perf map or a jitdump (daemon/object/jit/jit_names.h),
 * asked for anew each time, for it grows. The caller frees. */
int symbolizer_name_generated(struct symbolizer *symbolizer, int fd,
			      const struct jit_query *queries, uint32_t count, struct names **ret,
			      struct dhat_error *err);
