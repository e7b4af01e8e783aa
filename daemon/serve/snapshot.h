#pragma once
/* snapshot: a target's copy, its frames named, as the messages a client gets.
 *
 * One program point of the copy is one of the snapshot: two stacks whose frames differ in any
 * object or offset stay apart here, whatever they are called (exporters whose format wants one line
 * per text merge by text). A frame is the same wherever its object is mapped. What cannot be named
 * says so in its frame, with a note at the end; a snapshot fails only if memory is short or the
 * receiver does not want any more.
 */
#include "daemon/lookup/symbolizer.h"
#include "daemon/target/target.h"
#include "proto/wire/dhat.pb-c.h"

/* Gets each part in order; the message is the caller's and ends with the call. Not 0: stop, and
 * return that. */
typedef int (*snapshot_sink)(void *context, const Dhat__SnapshotPart *part);

#define SNAPSHOT_BATCH_BYTES (1u << 20) /* about the largest part */

/* holds: NULL: nobody has asked for it. */
struct holds;
int snapshot_write(const struct target_copy *copy, const struct holds *holds,
		   struct symbolizer *symbolizer, bool without_names, snapshot_sink sink,
		   void *context, struct dhat_error *err);
