#pragma once
/* target: one profiled process: its probes, its ring, its heap.
 *
 * Three threads meet here. The collector thread drains the rings (target_drain). The mapper thread
 * looks after mappings, tables and allocators that appear later (target_map_work). Request threads
 * take copies. A target's mutex guards heap, stacks and mappings; the collector holds it for a
 * batch at a time, so that a copy waits for milliseconds and the ring never waits for symbols.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/census.h"
#include "daemon/account/heap.h"
#include "daemon/account/lifetimes.h"
#include "daemon/account/mappings.h"
#include "daemon/account/moments.h"
#include "daemon/account/pins.h"
#include "daemon/account/stack.h"
#include "daemon/account/thread_names.h"
#include "daemon/proc/container.h"
#include "daemon/proc/status.h"
#include "daemon/proc/unit.h"
#include "daemon/source/price.h"
#include "daemon/source/probed.h"
#include "daemon/source/uprobes.h"
#include "proto/base/error.h"
#include "proto/base/program.h"
#include "proto/profile/verdict.h"

struct target;
struct tables;
struct unwinding;
struct worker;

struct target_options {
	/* a power of two, whole pages; 0: TARGET_RING_BYTES, or what fits in max_memory_bytes */
	uint32_t ring_bytes;
	const char *link; /* NULL or "": the best there is; "session", "multi", "perf" */
	enum uprobes_sites sites;
	char **custom;	  /* NULL-terminated; see AttachOptions.custom; may be NULL */
	bool is_followed; /* what `custom` names may be missing: it was named for another */
	bool follow_fork, follow_exec, anonymous_memory, skip_inventory;
	bool with_lifetimes;   /* heap_keep_lifetimes() */
	uint64_t sample_bytes; /* bpf/dhat_sample.h; 0: every block is recorded */
	bool no_return_probes; /* see the ends of calls by probes on their exits only */
	/* 0: TARGET_MAX_MEMORY_BYTES. All that is held for the target: blocks, stacks and their
	 * figures, what an inventory needs, copies for those who ask, the ring and what else the
	 * kernel holds, and its unwind tables (in full, though targets share them). What is too
	 * little for the ring is refused. Beyond it blocks and stacks are refused, which the
	 * verdict tells, and tables, which ends stacks; one copy can always be had, a second at the
	 * same time perhaps not. */
	uint64_t max_memory_bytes;
	uint32_t watch;	 /* a number of whoever asks for it; a child's is its parent's */
	bool from_start; /* stopped before its first instruction: `dhatd run` */
};
#define TARGET_RING_BYTES (16u << 20)
#define TARGET_MAX_MEMORY_BYTES (2ull << 30)
#define TARGET_MAX_STACKS (1u << 20)

enum target_state {
	TARGET_ATTACHED,
	TARGET_DETACHED,
	TARGET_EXITED,	 /* by itself: exit status in state_detail */
	TARGET_KILLED,	 /* by a signal: which, in state_detail */
	TARGET_REPLACED, /* exec */
};
const char *target_state_name(enum target_state state);

/* Who the target is; filled at attach and kept after its end. */
struct target_identity {
	pid_t pid;			 /* as dhatd sees it */
	pid_t ns_pids[PROC_NS_PIDS_MAX]; /* as status.h has them */
	size_t ns_pid_count;
	uid_t uid;
	char *command;	      /* arguments separated by spaces */
	char *executable;     /* as the target sees it; with " (deleted)" if its file has gone */
	dev_t device;	      /* of the executable, whatever it is called by now; … */
	ino_t inode;	      /* … 0: not known */
	uint64_t start_ticks; /* /proc/PID/stat field 22: tells a pid used again */
	struct container container;
	char unit[UNIT_CHARS]; /* of systemd; "": of none */
};

struct target_counter {
	const char *name, *meaning; /* static */
	uint64_t value;
	bool is_loss;
};

/* An object of the target, as needed to name frames. */
struct target_object {
	char *path; /* as the target sees it; may be "" */
	int fd;	    /* readable, or -1 when it could not be opened; outlives the target */
	bool is_vdso;
	uint8_t build_id[64];
	size_t build_id_size;
};

struct target_point {
	struct heap_point heap;
	float lows[HISTORY_POINT_SLOTS]; /* heap_point_history() */
	uint64_t lifetimes_us;		 /* up to the copy's time */
	uint64_t mean_age_us;		 /* of live blocks */
	uint64_t temporary_blocks;
	struct heap_sampled sampled;	/* of a sample; else all 0 */
	uint64_t threads;		/* heap_point_threads() */
	uint32_t id;			/* as moments and the census know it */
	uint32_t first_frame;		/* index in frames */
	uint32_t frame_count, left_out; /* as in struct stack_view */
	uint32_t number;		/* of a copy for a viewer, from 1 on; else 0 */
	uint8_t stop, flags;		/* enum dhat_stop, DHAT_STACK_… */
	uint16_t site;			/* of probed.probes; STACK_NO_SITE: not known */
	bool is_before,
		is_lost; /* no stack: allocated before the attach; there was no room for it */
};

/* What a viewer, who looks again and again, was told last: of which watch, up to which generation
 * of the heap (heap_next_generation()), and of how many stacks. */
struct target_view {
	uint64_t observed_since_unix_ns;
	uint32_t generation, known_points;
	bool with_marks; /* asked for: what was allocated since each mark, too */
};

/* What is held for a target, against --max-memory; memory.c. */
struct target_memory {
	uint64_t limit_bytes;
	/* taken, or kept for one copy; the next three sum up to it */
	uint64_t used_bytes;
	uint64_t accounts_bytes; /* blocks, stacks, figures, and the room for the copy */
	uint64_t kernel_bytes;	 /* the ring, maps, programs; 0 after the end */
	uint64_t table_bytes;	 /* unwind tables, in full; other targets may use them, too */
	uint64_t copy_bytes; /* of the copies that there are just now, and target_claim_room() */
};

/* What was done to make watching cheaper, and why. */
enum target_step_kind { TARGET_STEP_SAMPLED, TARGET_STEP_DETACHED };
#define TARGET_STEPS_MOST 2 /* none is ever taken back */
struct target_step {
	enum target_step_kind kind;
	uint64_t unix_ns, ns; /* ns: CLOCK_MONOTONIC */
	uint64_t sample_bytes;
	char reason[256];
};
struct target_steps {
	struct target_step list[TARGET_STEPS_MOST];
	size_t count;
};

/* A self-contained copy of everything a profile says; nothing in it points into the target. */
struct target_copy {
	struct target_identity identity;
	enum target_state state;
	char state_detail[64];
	bool from_start, follows_fork;
	struct sample sample; /* all 0: every block was recorded */
	struct target_steps steps;
	bool is_listing; /* blocks from before the attach are just being added to what is live */
	uint64_t child_count; /* processes it has forked, followed or not */
	uint64_t observed_since_unix_ns, observed_since_ns,
		end_ns; /* CLOCK_MONOTONIC but the first */
	struct heap_totals totals;
	struct heap_history history; /* up to the copy's time */
	struct target_point *points; /* those with a total or something live */
	uint32_t point_count;
	struct target_view view; /* of a copy for a viewer; else zeroed */
	uint64_t peak_number;	 /* heap_peak_number() */
	uint32_t seen_points;	 /* the first so many are known: no frames, texts */
	bool is_changes;	 /* points are those that are new or have changed since */
	struct moments *moments; /* moments_copy() */
	struct census *census;	 /* NULL: it was not asked for, or there was no room */
	struct lifetimes lifetimes;
	uint64_t older_ns; /* of the census */
	struct pins *pins; /* NULL: it was not asked for, or a note says why not */
	uint32_t pin_points;
	bool skips_before;     /* those from before the attach are not listed, by wish */
	bool knows_all_blocks; /* those from before the attach, too: the rest is free memory */
	struct stack_frame *frames;
	uint32_t frame_count;
	struct target_object *objects;
	uint32_t object_count;
	struct probed probed;
	struct thread_names names; /* of points' threads */
	struct target_counter *counters;
	size_t counter_count;
	enum dhat_verdict verdict;
	char **reasons;		  /* why it is not exact; NULL-terminated */
	uint64_t uncounted_bytes; /* known to be other allocators' */
	char **notes;		  /* NULL-terminated */
	/* for status only */
	double allocs_per_second, frees_per_second;
	/* of a core, over the last second or so: what watching costs the target, by the number of
	 * calls and their price, at most what it uses; what it uses; < 0: not known */
	double cost_percent, cpu_percent;
	struct price price;
	uint64_t ring_bytes, ring_used_bytes, table_bytes, code_bytes;
	bool links_are_pinned; /* see tracer_is_pinned(); false after the end */
	uint32_t tables_ready, tables_pending;
	struct target_memory memory;
	struct target *target; /* a reference: it bounds the memory of its copies */
	uint64_t bytes;	       /* of points and frames */
};

/* What a target asks of those who serve all targets. Called with no lock of the target held. */
struct target_hooks {
	void (*wants_mapper)(void *context, struct target *target); /* see target_map_work() */
	void (*wants_look)(void *context, struct target *target); /* see target_look_after_code() */
	void (*wants_weighing)(void *context, struct target *target); /* see target_weigh() */
	void (*wants_trial)(void *context, struct target *target);    /* see target_try_hidden() */
	/* there_ns: CLOCK_MONOTONIC, when the number was the child's */
	void (*forked)(void *context, struct target *target, pid_t child, uint64_t there_ns);
	void (*replaced)(void *context, struct target *target); /* exec: its profile is closed */
	/* a program that was started for us has all it was linked to, and goes on when this
	 * returns; NULL: nobody wants to know */
	void (*begins)(void *context, pid_t pid);
	void *begins_context;
	/* what a person should know at once; text may hold anything: a target's names are in it */
	void (*told)(void *context, struct target *target, const char *text);
	void *context;
};

struct target_services { /* borrowed; outlive the target */
	struct worker *worker;
	struct tables *tables;
	struct target_hooks hooks;
};

/* Attach to a running process. On return the probes are in place. Blocks for as long as preflight
 * checks and probe placement need (a second at most). */
int target_attach(pid_t pid, const struct target_options *options,
		  const struct target_services *services, struct target **ret,
		  struct dhat_error *err);
struct target *target_ref(struct target *target);
void target_unref(struct target *target); /* the last one detaches and frees */

/* Remove all probes; what is still in the ring is counted. Idempotent. The profile stays. */
void target_detach(struct target *target);

pid_t target_pid(const struct target *target);
/* When its process began: status.h. */
uint64_t target_start_ticks(const struct target *target);
/* As target_options has it, or it was set since. */
uint32_t target_watch(const struct target *target);
void target_set_watch(struct target *target, uint32_t watch);
#define TARGET_NO_WATCH UINT32_MAX /* nobody asks for it any more: it may be attached to again */
/* What it is called in a list: program.h. */
void target_name(const struct target *target, char ret[DHAT_PROGRAM_CHARS]);
bool target_follows_exec(const struct target *target);
/* Is it attached to, and held by a debugger? That may have found our breakpoints where it put its
 * own, and would write them back after our probes have gone: the process would die of them. */
struct ptracer;
bool target_is_debugged(struct target *target, struct ptracer *ret);
/* Options with which a child, or the program after an exec, is attached to. What they point to is
 * the forerunner's. */
void target_follow_options(const struct target *target, pid_t pid, struct target_options *ret);
/* A profile of it that was taken after its end, or after a detach, is in a file. Any thread. */
void target_set_kept(struct target *target);
bool target_is_kept(const struct target *target);
/* Of a target of which all blocks have been recorded, record a sample from now on
 * (bpf/dhat_sample.h). What was counted until then stays exact, and so do its live blocks until
 * they are freed. There is no way back. Errors: it is sampled already, blocks from before are still
 * being listed, it is not watched any more, --max-memory has no room. reason: a sentence that the
 * profile tells. Any thread; takes some ten ms, and a third of a second for ten million live
 * blocks. */
int target_sample(struct target *target, uint64_t sample_bytes, const char *reason,
		  struct dhat_error *err);
/* Once a second, of all: what the kernel knows of live blocks from before the sample is brought up
 * to date when half of them have gone. */
void target_look_after_sample(struct target *target);
/* It was detached from by its watcher. */
void target_note_detached(struct target *target, const char *reason);
/* What its profile shall tell, too. Any thread. */
void target_add_note(struct target *target, const char *text);
/* A child, or the program after an exec, could not be attached to: a note of the forerunner's. */
void target_note_not_followed(struct target *forerunner, pid_t pid, const struct dhat_error *why);
/* Has the process ended? A child of ours (`dhatd run`) is reaped by that. */
bool target_has_exited(struct target *target);
/* wait(2) status of a process that has ended, if it is known. */
bool target_wait_status(struct target *target, int *ret);
enum target_state target_state_of(struct target *target);

/* For the collector thread: take at most max records from the ring; *ret: how many there were.
 * false: somebody works on the target just now, nothing was done, and nobody was waited for. */
bool target_try_drain(struct target *target, size_t max, size_t *ret);
int target_ring_fd(const struct target *target);
/* Readable when the process has ended; -1 when it cannot be watched so. */
int target_pidfd(const struct target *target);
/* The target is about to end, or to be detached: looking for its code and building its tables stops
 * as soon as it can. Waits for nothing. */
void target_begin_end(struct target *target);
/* The process has ended: take the last records, close the profile. May take as long as the kernel
 * needs to remove probes. */
void target_finish(struct target *target);
/* Once a second: brings rates up to date; another time when somebody works on the target. */
void target_tick(struct target *target);

/* Add the blocks from before the attach, once, while the collector thread drains the ring. A note
 * of the target says how it went. Takes 10 ms, and about a second for a million blocks. */
void target_take_inventory(struct target *target);

/* For the mapper thread: bring mappings, tables and probes up to date. May take seconds. */
void target_map_work(struct target *target);

/* For the mapper thread: whose the anonymous memory is, as a finding or a note of the target. May
 * take a tenth of a second. */
void target_weigh(struct target *target);
/* For a mapper thread: are there allocators in its files without names, which it has shown no use
 * of yet? What their code does is tried; what is proven is probed from then on. May take a second,
 * and some more with perf links; is cut short when the target ends or maps code. */
void target_try_hidden(struct target *target);
/* For the mapper thread, once a second, and for each copy: are our breakpoints in place, and the
 * mappings that they are in? wants_mapper follows if something is to be mended. May wait for the
 * target's own work on its mappings. */
void target_look_after_code(struct target *target);

/* For the mapper thread, once a second, and for each copy: what of the process is resident goes
 * into the timeline. Reads a file of /proc. */
void target_look_at_memory(struct target *target);

/* What is looked at again and again, at hardly any cost: nothing is waited for, and no events are
 * fetched first, so that figures are up to some ten ms old, counts up to a second. */
struct target_glance {
	enum target_state state;
	bool is_out_of_memory; /* the kernel has killed it for that */
	uint64_t live_bytes;
	bool is_listing; /* … to which the blocks from before the attach are just added */
	/* of blocks from before that were never listed: what was freed since, ever, as the
	 * allocator told it, or else at the mean size of those that are live */
	uint64_t freed_before_bytes;
	uint64_t failed;    /* allocations, ever */
	uint64_t rss_bytes; /* of the process; 0: it has ended */
	/* of a percent of a core: what watching costs it, as cost_percent; and what of that is for
	 * walks and records of allocations, which are spared when these are not drawn */
	double cost_hundredths, walk_hundredths;
	double alloc_bytes; /* a recorded allocation has, on the average, of late; 0: none was */
	bool is_sampled;
};
void target_glance(struct target *target, struct target_glance *ret);

/* with_points false: for `status`; no frames, points or objects. Drains the ring up to now first,
 * so that what the target did before the call is in the copy. */
int target_copy(struct target *target, bool with_points, struct target_copy **ret,
		struct dhat_error *err); /* -EBUSY: see max_memory_bytes */
/* For a viewer: all stacks by their numbers, used or not, or, if `seen` is of this watch, those
 * that are new, and the figures (no frames) of those that have changed since. */
int target_copy_view(struct target *target, const struct target_view *seen,
		     struct target_copy **ret, struct dhat_error *err);
/* With points, and with ages, sizes and lifetimes of blocks: how many are of older_ns and more (0:
 * is not asked). The target's events go on meanwhile; 10^7 blocks take 0.3 s. Where there is no
 * room for that it is as if it had not been asked for. with_pages: and with
 * what is in memory (pins.h), which takes another second; where that cannot be, a note says why;
 * of one that is attached to no more there is nothing to say. */
int target_copy_with_ages(struct target *target, uint64_t older_ns, bool with_pages,
			  struct target_copy **ret, struct dhat_error *err);
void target_copy_free(struct target_copy *copy);

/* From now on what is allocated is also kept since this moment; name: dhat_is_mark_name(). Drains
 * the ring up to now first. Errors: the name is taken, there are MOMENTS_MAX, the profile is
 * closed. */
int target_mark(struct target *target, const char *name, struct dhat_error *err);
int target_unmark(struct target *target, const char *name, struct dhat_error *err);

/* All live blocks, as heap_visit_blocks(); is_before: from before the attach. The target's events
 * wait meanwhile: no file is read by visit. */
void target_visit_blocks(struct target *target,
			 void (*visit)(void *context, const struct block *block, bool is_before),
			 void *context);
/* Are those from before the attach still being listed? */
bool target_is_taking_inventory(struct target *target);
/* The same after a drain of the ring, in pieces, between which events go on: what comes, goes or is
 * moved meanwhile may be visited or not, or, moved, twice. rest (may be NULL) is called behind each
 * piece, when the target is not locked; what is not 0 ends the walk, and is returned. */
int target_walk_blocks(struct target *target,
		       void (*visit)(void *context, const struct block *block),
		       int (*rest)(void *context), void *context);

/* By what its stacks can be walked: unwinding.h. */
int target_unwinding(struct target *target, struct unwinding *ret);

/* Room for what is made of a copy of blocks, beyond the copy that has room kept (max_memory_bytes),
 * which can be had all the same: false, there is none; *ret_left (may be NULL): how much there was.
 * To be given back. */
bool target_claim_room(struct target *target, uint64_t bytes, uint64_t *ret_left);
void target_return_room(struct target *target, uint64_t bytes);
