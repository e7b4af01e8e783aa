#pragma once
/* keep: a target's profile becomes a file at the end, whatever becomes of the place that was named
 * for it. P7. */
#include "daemon/lookup/symbolizer.h"
#include "daemon/target/target.h"
#include "proto/base/error.h"

/* number: 0 if there is but one: the path itself. Of several "leak.json" is "leak.1234.json", and
 * for the second of one process, which executed something, "leak.1234-2.json". */
void keep_name(char *ret, size_t size, const char *path, pid_t pid, unsigned number);

struct holds_book;

/* path: as keep_name() made it. -EBUSY: too much memory is in use to copy the profile, see
 * target_copy(). DHAT_EXIT_OUTPUT: that file could not be written; err says where the profile is
 * instead, and *ret_is_kept is set; if it is not, it could be written nowhere. */
int keep_profile(struct target *target, struct symbolizer *symbolizer, struct holds_book *book,
		 const char *path, bool *ret_is_kept, struct dhat_error *err);
