#pragma once
/* message: a target's copy, and a plan, as protobuf messages.
 *
 * Pure. Every message is whole and owned by the caller, who frees it with its …__free_unpacked(m,
 * NULL); NULL means out of memory.
 */
#include "daemon/target/processes.h"
#include "daemon/target/target.h"
#include "plan.h"
#include "proto/wire/dhat.pb-c.h"

Dhat__Plan *message_plan(const struct plan *plan);
Dhat__Target *message_target(const struct target_copy *copy);
Dhat__TargetStatus *message_target_status(const struct target_copy *copy);

/* Without frames and points, which are streamed: snapshot.h. taken_unix_ns: when. */
Dhat__SnapshotHead *message_snapshot_head(const struct target_copy *copy, uint64_t taken_unix_ns);
/* notes: NULL-terminated, beside the copy's; may be NULL. */
Dhat__SnapshotEnd *message_snapshot_end(const struct target_copy *copy, char *const *notes);

const char *message_stop_name(uint8_t stop); /* enum dhat_stop: "complete", "no table", … */
/* The first so many; is_watched is not set. */
Dhat__Processes *message_processes(const struct processes *processes, size_t top);

/* What estimates stand on, in place; of a sample only. has_all: of mappings, none of which is
 * missed. */
void message_fill_sampled(const struct sample *sample, const struct heap_sampled *from,
			  bool has_all, Dhat__Sampled *ret);

/* A time of CLOCK_MONOTONIC as ns since the observation began; 0: before it. */
uint64_t message_since(const struct target_copy *copy, uint64_t time_ns);
