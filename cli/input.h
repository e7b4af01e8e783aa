#pragma once
/* input: a snapshot from a .dhat file, or from JSON (proto/import/import.h). */
#include "proto/profile/snapshot.h"

/* path "-": the standard input. The caller frees. */
int input_read(const char *path, struct dhat_snapshot **ret, struct dhat_error *err);
/* Does it say when blocks came and went, by which it is judged what grows? -ENODATA: it was read
 * from a file that does not. */
int input_check_history(const struct dhat_snapshot *snapshot, struct dhat_error *err);
/* Does it say when it was taken, how long its process was watched, and of what object each line is?
 * The same. */
int input_check_suspects(const struct dhat_snapshot *snapshot, struct dhat_error *err);
