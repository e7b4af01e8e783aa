#pragma once
/* dhat_json: DHAT JSON, version 2, read back; the way back from proto/export/dhat_json.c.
 *
 * A line of the frame table becomes a frame: inlined functions are frames of their own.
 * A line that names the source has no object: in dhatctl's files it is found by the address, in
 * those of others it stays unknown. Valgrind counts time in instructions, which are no time: none
 * is in the snapshot then. A frame of Valgrind's own malloc at the inner end, which 3.19 writes, is
 * left out, so that stacks begin with the allocator's caller.
 */
#include "json_text.h"
#include "proto/profile/snapshot.h"

int dhat_json_import(const struct dhat_json_text *text, const char *path,
		     struct dhat_snapshot **ret, struct dhat_error *err);
