#pragma once
/* worker: ELF and DWARF are read by processes that hold nothing worth having.
 *
 * The files come from the target's owner. So dhatd starts itself again as a worker that has dropped
 * root, sees no files but the descriptors it is handed, and is confined by seccomp and by limits of
 * memory and time (sandbox.h). There is one for names, and up to three for surveys and unwind
 * tables, so that neither naming a large program nor a large table delays a small one. A worker
 * that crashes, hangs or asks for too much memory fails one request, with the reason; the next
 * request finds a new one. (A third kind reads a process's memory; what it saw ends with it, so
 * there is one for each scan.) A file that brings down a new one is not tried again as long as it
 * is the same (device, inode, size, mtime). A worker that has read a file of one owner, asked for
 * or granted, is not used for a file of another; root's files are everybody's. A request whose
 * files are of two people gets one's only.
 *
 * Thread-safe; requests for names wait for one another, and so do those for more tables than there
 * are workers. Descriptors stay the caller's, must be regular files, and their offset may move.
 */
#include <stdatomic.h>
#include <stdint.h>

#include "daemon/object/cfi/cfi_table.h"
#include "daemon/object/dwarf/names.h"
#include "daemon/object/dwarf/wish.h"
#include "daemon/object/sites/survey.h"
#include "daemon/reach/closer.h"
#include "daemon/reach/scan.h"
#include "proto/base/error.h"
#include "proto/base/shared.h"
#include "proto/base/wire.h"

struct worker;

struct worker_options {
	uint64_t memory_bytes;	/* of each; 0: WORKER_MEMORY_BYTES */
	uint32_t table_seconds; /* longest time for a description or a table; 0:
				   WORKER_TABLE_SECONDS */
	uint32_t name_seconds;	/* for one worker_name(); 0: WORKER_NAME_SECONDS */
	uint32_t grant_seconds; /* for all wishes of one; 0: WORKER_GRANT_SECONDS */
	uint32_t scan_seconds;	/* for one worker_scan(); 0: WORKER_SCAN_SECONDS */
};
#define WORKER_MEMORY_BYTES (2ull << 30)
#define WORKER_TABLE_SECONDS 60 /* libc took 20 s on an emulated processor beside other work */
#define WORKER_NAME_SECONDS 60
#define WORKER_SCAN_SECONDS 240
#define WORKER_URGENT_SECONDS 20
#define WORKER_GRANT_SECONDS                                                                       \
	120 /* a few downloads of debug files, each with a limit of its own                        \
	     */

/* options may be NULL. Starts the processes when they are first needed. */
int worker_new(const struct worker_options *options, struct worker **ret, struct dhat_error *err);
void worker_free(struct worker *worker);
/* dhatd is about to end: requests under way and later ones fail at once with ECANCELED; of
 * descriptions and tables only, or of names, too. */
void worker_stop_looking(struct worker *worker);
void worker_stop(struct worker *worker);

/* survey_make(), cfi_build() and symbol_name() in the worker; results are freed as theirs. The file
 * has the bytes that the survey tells of its sites' places. */
int worker_survey(struct worker *worker, int fd, const struct survey_question *question,
		  struct survey **ret, struct dhat_error *err);
int worker_build_cfi(struct worker *worker, int fd, uint32_t max_rows, struct cfi_table **ret,
		     struct dhat_error *err);
/* granter (may be NULL) is asked in the caller's thread; the time it takes does not count, but is
 * bounded: what is wished for after grant_seconds, or after 65,536 wishes, is not looked for. */
int worker_name(struct worker *worker, int fd, const struct name_query *queries, uint32_t count,
		bool places_only, const struct wish_granter *granter, struct names **ret,
		struct dhat_error *err);
/* jit_name() in the worker: of a perf map or a jitdump. */
int worker_name_jit(struct worker *worker, int fd, const struct jit_query *queries, uint32_t count,
		    struct names **ret, struct dhat_error *err);
/* Of variables: file offsets of addresses that stand in the data of the object, or behind it where
 * its bss goes on (as if the file did). One location each at most, as data_name() has it. */
int worker_name_data(struct worker *worker, int fd, const struct name_query *queries,
		     uint32_t count, bool with_members, const struct wish_granter *granter,
		     struct names **ret, struct dhat_error *err);

/* data_pointees() in the worker. */
int worker_name_pointees(struct worker *worker, int fd, const struct pointee_query *queries,
			 uint32_t count, const struct wish_granter *granter, struct names **ret,
			 struct dhat_error *err);

/* What follows is done by one process, and is this caller's alone until worker_give_scans(): who
 * stops a target for it has it first. stop: raised when nobody waits for an answer any more; those
 * that are under way end then, and this waiting, too, with -ECANCELED. May be NULL. is_urgent:
 * somebody stands still meanwhile, so it is as quick as it can, and WORKER_URGENT_SECONDS at the
 * most. */
int worker_take_scans(struct worker *worker, const atomic_bool *stop, bool is_urgent);
void worker_give_scans(struct worker *worker);

/* reach_scan() in the worker. memory_fd: of /proc/PID/mem; blocks: so many struct reach_block,
 * which it can read and not write. Reading goes on after an exec, in the memory of before: whoever
 * asks looks whether there was one. */
int worker_scan(struct worker *worker, int memory_fd, const struct shared *blocks, uint32_t count,
		const struct reach_range *ranges, uint32_t range_count,
		const struct reach_limits *limits, struct reach_found *ret, struct dhat_error *err);
/* closer_look() in the worker. */
int worker_look_closer(struct worker *worker, int memory_fd, const struct closer_question *question,
		       struct closer_answer *ret, struct dhat_error *err);
