#pragma once
/* tracer: the kernel side of one target: its BPF object, maps, probes and ring.
 *
 * Destroying it removes everything from the kernel, and so does the death of dhatd (P1), at any
 * moment: see holder.h.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/dhat_abi.h"
#include "proto/base/error.h"
#include "ring.h"
#include "uprobe.h"

struct tracer;

#define TRACER_MAX_STACKS (1u << 20)
#define TRACER_STACK_BYTES 80	      /* of the kernel's, each: measured on 6.18 */
#define TRACER_STACKS_TO_FORGET 50000 /* 4 MB of those: see tracer_forget_old_stacks() */

struct tracer_options {
	pid_t pid;	     /* as dhatd sees it */
	uint32_t ring_bytes; /* a power of two, whole pages */
	/* that the kernel knows to have been sent, a power of two up to TRACER_MAX_STACKS; one that
	 * it has no room to know is sent each time; 0: that many */
	uint32_t max_stacks;
	enum uprobe_kind kind;
	bool closes_on_exec;
	uint64_t sample_bytes; /* bpf/dhat_sample.h; 0: every block is recorded */
	bool writes_registers; /* may the programs? features_write_registers() */
};

/* Sampled blocks that live, of one target: at 512 KiB those of 128 GiB. One that is drawn beyond is
 * given up, and counted (DHAT_CTR_SAMPLE_FULL). Empty they take 4 MiB of the kernel's, and
 * TRACER_SAMPLED_BYTES more for each. */
#define TRACER_MAX_SAMPLED (1u << 18)
#define TRACER_SAMPLED_BYTES 80

/* Load and verify the programs. Nothing is counted before tracer_open_gate(). */
int tracer_new(const struct tracer_options *options, struct tracer **ret, struct dhat_error *err);
/* Removes the probes; what is in the ring is lost: drain it before. */
void tracer_free(struct tracer *tracer);

/* Probe the sites of one file; path as in uprobe_attach(). Instructions that come with a site are
 * executed by our programs, if those may write registers; of more than DHAT_MAX_PLACES the rest is
 * the kernel's. */
int tracer_attach(struct tracer *tracer, const char *path, const struct uprobe_site *sites,
		  size_t count, struct dhat_error *err);
/* From here on, and no longer, calls are counted: all probes of a moment begin and end together. */
void tracer_open_gate(struct tracer *tracer);
void tracer_close_gate(struct tracer *tracer);
/* With a sample: shall frees of all blocks be told, and not only of those that are in it? Off at
 * first. */
void tracer_set_tells_all_frees(struct tracer *tracer, bool tells);
/* A block of domain 0 from before is in the sample from now on, if it is not already: its free is
 * told. -ENOSPC: there are TRACER_MAX_SAMPLED. */
int tracer_add_sampled(struct tracer *tracer, uint64_t addr);
/* Record a sample from now on, of a target of which all blocks have been. prepare: all that can
 * fail. When begin returns, what was still decided by the old rule is in the ring; and frees of all
 * blocks are told, until the caller ends that: once tracer_set_recorded() has those that were
 * recorded until then, and live. */
int tracer_prepare_sample(struct tracer *tracer);
void tracer_begin_sample(struct tracer *tracer, uint64_t sample_bytes);
/* bits: dhat_block_bit() of the names (tracer_block_name()) of all such blocks, and maybe of
 * others; 2^(64 - shift) of them, from then on; 64 at least, in words. The first time, and then as
 * many, or NULL: there are none any more. Returns when every call goes by them. */
int tracer_set_recorded(struct tracer *tracer, const uint64_t *bits, uint32_t shift);
uint64_t tracer_block_name(uint8_t domain, uint64_t addr);
/* The kernel keeps a probe in a process's code as long as the thread it was made for lives, and no
 * longer: when that has left (main may, others go on), perf events are not handed over any more,
 * and the breakpoints of the other kinds go when anybody removes a probe of his own from the same
 * place, and do not come in what is mapped later. So all probes hang on a thread that lives, the
 * anchor; when it leaves, on another one. */
/* Is there code that would have proved a frame, and could not be read? Reading it puts its pages
 * into the target's page table, as running it would: memory of the file's, which nobody is charged
 * with. May wait for a disk. */
bool tracer_has_unread(const struct tracer *tracer);
void tracer_read_unread(struct tracer *tracer);

bool tracer_has_lost_anchor(struct tracer *tracer); /* until another one is found */
/* Look for another one if it does not live. Any thread. -ESRCH when none lives. */
int tracer_find_anchor(struct tracer *tracer, struct dhat_error *err);
/* How often calls were missed because of that: with perf events always, with the other kinds when
 * somebody removed a probe of his own meanwhile. (Not told apart: that he does so in the
 * milliseconds between the look at the code and the hanging.) */
uint32_t tracer_anchor_gaps(const struct tracer *tracer);
/* Remove the probes; ring and counters stay. When it returns no program of ours writes a record any
 * more, and our breakpoints are out of the code; but a kernel that is very busy is not waited for
 * without end: see footprint_wait(). */
void tracer_detach(struct tracer *tracer);
/* Are the links the kernel's to let go, should we be killed? See holder.h. */
bool tracer_is_pinned(const struct tracer *tracer);

/* Shall SIGSTOP come when the target has mapped code, and when it executes another program? Who
 * hears of that looks, and sends SIGCONT. */
void tracer_set_stops_on_change(struct tracer *tracer, bool stops);

/* Memory of the kernel's that it takes, by the sizes of its maps and programs: the ring is a part
 * of it, the tables to unwind by, which are shared, are not. TRACER_STACK_BYTES more for each
 * stack. */
uint64_t tracer_bytes(const struct tracer *tracer);
struct ring *tracer_ring(struct tracer *tracer);
int tracer_ring_fd(const struct tracer *tracer);
/* Sums over all CPUs. */
int tracer_counters(const struct tracer *tracer, uint64_t ret[DHAT_CTR_COUNT]);
/* Runs that the kernel itself refused (bpf_prog_info.recursion_misses): each is a lost event. */
uint64_t tracer_misses(const struct tracer *tracer);

/* How often the target's code mappings have changed, as far as the kernel side has noticed. */
uint32_t tracer_epoch(const struct tracer *tracer);
/* So many bytes are mapped executable in the mappings that were set; 0: not known. Until another
 * sum is met, no change is noticed. Without it the first allocator call counts as one. Does nothing
 * once the kernel side has noticed a sum itself. */
void tracer_set_executable_bytes(struct tracer *tracer, uint64_t bytes);
/* Make these the mappings that stacks are unwound by; sorted by start, at most DHAT_MAX_MAPPINGS
 * (more are cut off). epoch: what tracer_epoch() said before they were looked up. */
void tracer_set_mappings(struct tracer *tracer, const struct dhat_mapping *mappings, size_t count,
			 uint32_t epoch);
/* A stack's id is of its epoch, and is never met again after it. Once many have gathered, those of
 * past epochs are removed from the kernel's table of stacks that were sent. */
void tracer_forget_old_stacks(struct tracer *tracer);
/* Put a table's map in a slot (0 … DHAT_MAX_TABLES - 1); map_fd -1 empties it. */
int tracer_set_table(struct tracer *tracer, uint32_t slot, int map_fd);
