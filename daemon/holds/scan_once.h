#pragma once
/* scan_once: one look at all memory of a live process: blocks, and what points to them.
 *
 * Nothing is stopped and nothing written. Memory is read by /proc/PID/mem, of pages that are there
 * only (remote.h says why), by the confined worker; a page that was swapped out stays there.
 */
#include <stdatomic.h>

#include "daemon/reach/graph.h"
#include "daemon/target/target.h"
#include "daemon/worker/worker.h"
#include "layout.h"
#include "quiet.h"
#include "thread_frames.h"

struct scan_once {
	uint64_t begin_ns, end_ns; /* CLOCK_MONOTONIC; the table's blocks are older than begin_ns */
	struct shared table;
	struct reach_block *blocks; /* of it */
	size_t block_count;
	struct reach_graph graph; /* roots have classes for names */
	struct procmaps maps;
	struct layout layout;
	struct dhat_thread_state *threads; /* in the order of their stack pointers */
	size_t thread_count;
	struct thread_frames frames; /* of those that stood still meanwhile */
	uint64_t swapped_bytes;
	uint32_t lacking_threads; /* no stack pointer of theirs lies in a stack */
	bool has_registers, has_grown;
	char **hazards;		      /* hazards.h */
	struct room_share share;      /* of the table */
	struct room_share look_share; /* of mappings and threads */
};

struct scan_once_asking {
	struct target *target;
	const struct target_identity *identity;
	struct worker *worker;
	struct quiet *quiet; /* does all that nobody waits for (quiet.h); NULL: haste */
	struct room *room;   /* of what is made of the scan, too */
};

/* scan: the one before, whose table becomes this one's (renew.h); or of zeroes. After an error it
 * is of zeroes, too. -ESRCH: it has ended, or runs another program. -ENOSPC: more memory than there
 * is room. */
int scan_once(const struct scan_once_asking *asking, struct scan_once *scan,
	      struct dhat_error *err);
/* All but the table. */
void scan_once_keep_table(struct scan_once *scan);
void scan_once_deinit(struct scan_once *scan);
