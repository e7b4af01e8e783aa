#pragma once
/* keep: a target's profile becomes a file at the end, whatever becomes of the place that was named
 * for it. P7. */
#include "daemon/lookup/symbolizer.h"
#include "daemon/target/target.h"
#include "proto/base/error.h"
#include "proto/export/export.h"

struct keep_place {
	const char *path;		      /* as it was named; lent */
	const struct dhat_exporter *exporter; /* the format that the path names */
};

/* What the path means, and that it can be written to, under its own name and under one that it may
 * come to have. Before anything is collected. */
int keep_settle(struct keep_place *ret, const char *path, struct dhat_error *err);

/* number: 0 if there is but one: the path itself. Of several "leak.pb.gz" is "leak.1234.pb.gz",
 * "leak" is "leak.1234", and for the second of one process, which executed something or was
 * attached to again, "leak.1234-2.pb.gz". What is no file keeps its name. */
void keep_name(char *ret, size_t size, const struct keep_place *place, pid_t pid, unsigned number);

struct holds_book;

/* path: as keep_name() made it for this place. -EBUSY: too much memory is in use to copy the
 * profile, see target_copy(). DHAT_EXIT_OUTPUT: that file could not be written; err says where the
 * profile is instead, and *ret_is_kept is set; if it is not, it could be written nowhere. */
int keep_profile(struct target *target, struct symbolizer *symbolizer, struct holds_book *book,
		 const struct keep_place *place, const char *path, bool *ret_is_kept,
		 struct dhat_error *err);
