#pragma once
/* births: --since a mark, or between two: which marks are meant, and how that is said. */
#include "proto/base/error.h"
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/profile/mark.h"
#include "proto/profile/rendering.h"

/* Is a word a mark's name, and not a file? A file is what has a dot or a slash, "-", and what is a
 * regular file here. */
bool births_is_mark(const char *word);

/* Marks of a profile by their names; before NULL: up to now. An unknown one is an error, and so are
 * two in the wrong order. */
int births_find(const struct dhat_snapshot *snapshot, const char *since, const char *before,
		struct dhat_births *ret, struct dhat_error *err);

/* What is at least so old. A file knows ages by powers of two only: it is what is as old as the one
 * that is not above it. */
int births_find_older(const struct dhat_snapshot *snapshot, uint64_t older_ns,
		      struct dhat_births *ret, struct dhat_error *err);

#define BIRTHS_CHARS 192
/* "since early", "between early and late", "at least 1 min 0 s ago" */
const char *births_name(const struct dhat_snapshot *snapshot, const struct dhat_births *births,
			char ret[BIRTHS_CHARS]);
/* How long these births lasted; 0: not known. */
double births_seconds(const struct dhat_snapshot *snapshot, const struct dhat_births *births);
/* When, how much lives of it, and how fast it grew: a paragraph. */
void births_print(struct screen *screen, const struct dhat_snapshot *snapshot,
		  const struct dhat_births *births);
struct json_object *births_as_json(const struct dhat_snapshot *snapshot,
				   const struct dhat_births *births);
