#pragma once
/* jsonl: JSON lines of dhatctl's, read back; the way from proto/export/jsonl.c.
 *
 * The object "totals" first, then one "point" each, of as many as it says: a file that was cut at a
 * line's end is refused like one that was cut within. Stacks are as they read: inlined functions
 * are frames of their own, and without an address.
 */
#include "json_text.h"
#include "proto/profile/snapshot.h"

/* Does a text begin as such a file does? */
bool dhat_jsonl_knows(const char *text, size_t length);
int dhat_jsonl_import(const struct dhat_json_text *text, const char *path,
		      struct dhat_snapshot **ret, struct dhat_error *err);
