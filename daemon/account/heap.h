#pragma once
/* heap: live blocks and per-point totals of one target.
 *
 * Pure: no I/O, no clock, no BPF. Not thread-safe: its owner locks.
 * The rules are Valgrind DHAT's (its bugs apart):
 * H1: a point's live bytes and blocks are the sums over its live blocks, always.
 * H2: an address seen twice without a free means that a free was lost: the old block is closed
 *     and counted in `seen_twice`, never kept as a leak. For a block of an inventory it means that
 *     it was taken when being freed or allocated: `existing_replaced`.
 * H3: t-gmax is the highest live_bytes; among equals the latest. O(1) an event: the heap has a
 *     peak number, each point the number of the peak that its peak values are of.
 * H4: realloc adds one block and its full new size to the totals; live changes by the
 *     difference; the block stays with its first point and keeps its birth.
 * H5: a block of size 0 counts as 1 byte.
 * H6: a realloc whose END is lost closes its block as soon as its thread does anything else: the
 *     block has most likely moved, and would stay as a leak that is none.
 * H7: realloc of a block from before the observation ends it there and makes a new one: it has no
 *     first stack to stay with, and its growth must show where it happens.
 * H8: the history (history.h) is as of the events; a point's low is not touched by a realloc that
 *     makes a block larger.
 * H9: no sum wraps, whatever a custom allocator's argument holds. A size that no block can have, or
 *     with which more would be live, or would have been allocated, than there is room for
 *     (HEAP_*_MOST), counts as 1 byte, and in `impossible_sizes`.
 * H10: a block is temporary if its thread frees it before it is handed another one, or a
 *     reallocated one, and within DHAT_TEMPORARY_NS of its birth. (A block that a thread hands to
 *     another to be freed is none.)
 * H12: of a sample (sample.h) blocks and bytes are what the sampled blocks stand for, and so is all
 *     that follows from them. Who tells us knows which blocks are in it: a free of another one is
 *     told only while an inventory is taken, and is no unknown one. H4 cannot be: the first stack
 *     of a block that was not sampled is not known, so a realloc ends one block and makes another,
 *     drawn by its new size, at its own stack. H10 cannot be, either: what a thread was handed
 *     meanwhile is not known, and nothing is called temporary.
 *     It may begin later (heap_begin_sample()): a block that was recorded when all were stands for
 *     itself alone, to its end, and so do mappings, which all are always. What a block stands for
 *     is decided by who tells of it, and not by when: the two rules overlap for a moment.
 *     The peak is the highest *estimate*, and so is a little too high by chance where the heap lies
 *     flat for long: proto/profile/estimate.h.
 * Keys: a block is (domain, address); see struct dhat_record.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block.h"
#include "heap_point.h"
#include "history.h"
#include "sample.h"

struct heap;

/* As much as a process has addresses for (47 bits); some times that, for blocks within others
 * and memory that is mapped twice; and half of what a signed number holds. */
#define HEAP_SIZE_MOST (1ull << 47)
#define HEAP_LIVE_MOST (1ull << 50)
#define HEAP_TOTAL_MOST (1ull << 62)

struct heap_totals {
	uint64_t total_bytes, total_blocks;
	uint64_t live_bytes, live_blocks;
	uint64_t peak_bytes, peak_blocks, peak_time_ns;
	uint64_t seen_twice;	      /* H2 */
	uint64_t existing_replaced;   /* blocks of an inventory whose address came again: H2 */
	uint64_t unknown_frees;	      /* frees of addresses that are no known block */
	uint64_t unknown_free_bytes;  /* their bytes, where known */
	uint64_t unfinished_reallocs; /* H6 */
	uint64_t impossible_sizes;    /* H9 */
	uint64_t closed_blocks;	      /* no longer live: freed, moved by realloc, or by H2 or H6 */
	struct heap_sampled sampled;  /* H12 */
	uint64_t blocks_refused; /* allocations not tracked: max_blocks reached, or no memory */
};

/* max_blocks: bound of the block table; an allocation beyond it is counted in blocks_refused, in
 * the totals and in its point's totals, but not in live figures; its free will be an unknown one.
 * 0: no bound. */
int heap_new(uint64_t max_blocks, struct heap **ret);
/* Before anything else is called: what comes is a sample, by so many bytes (DHAT_SAMPLE_…). */
void heap_sample(struct heap *heap, uint64_t sample_bytes);
const struct sample *heap_sample_of(const struct heap *heap);
/* From now on what comes is a sample, but for what is told by heap_…_single(); what has come until
 * now was not. O(points). -EALREADY: it is one. -EBUSY: a census, or an inventory, is under way.
 * -ENOSPC, -ENOMEM: there is no room; nothing has changed then. */
int heap_begin_sample(struct heap *heap, uint64_t sample_bytes);
/* Of a sample: how many live blocks stand for themselves alone. */
uint64_t heap_single_blocks(const struct heap *heap);
/* What it has and takes is budget's. Where there is none left, blocks are refused as by max_blocks;
 * what a point has no room for is charged to point 0; the addresses of an inventory (see below)
 * overflow, at a quarter of all at the latest. A point counts HEAP_POINT_WEIGHT times, for the room
 * that a copy of it needs. */
struct budget;
int heap_charge(struct heap *heap, struct budget *budget);
void heap_free(struct heap *heap);

/* point: any id; the point table grows to hold it (ids are dense: see stack.h). -ENOMEM when it
 * cannot; nothing has changed then, and the caller counts the event as lost. */
int heap_add_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t size_bytes,
		   uint32_t point, uint64_t time_ns);
/* H12: the same of a block that was handed out when all were recorded; so of a heap that is no
 * sample no other. */
int heap_add_single_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t size_bytes,
			  uint32_t point, uint64_t time_ns);
/* chunk_bytes: usable size as the allocator tells, 0 if not known; used for unknown blocks only.
 * false: the block is unknown, and is counted so. */
bool heap_remove_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t chunk_bytes,
		       uint64_t time_ns);
/* The same of the block that its thread was handed last: H10. */
bool heap_remove_newest_block(struct heap *heap, uint8_t domain, uint64_t addr,
			      uint64_t chunk_bytes, uint64_t time_ns);
/* H12: the address was handed out again, without a free in between. One that is not known is
 * nothing. */
void heap_replace_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t time_ns);
/* A block from before the observation: live from time_ns on, part of no total but `live` and the
 * point's live figures (and so of peaks), not of total_bytes. -EEXIST: the address is known.
 * -ENOSPC, -ENOMEM: the bound, or no memory. */
int heap_add_existing_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t size_bytes,
			    uint32_t point, uint64_t time_ns);

/* A part of a block is freed: it leaves as if it had never ended, and what is left of it comes by
 * the other call, with its birth. false: it is unknown; it is not counted. */
bool heap_cut_block(struct heap *heap, uint8_t domain, uint64_t addr);
int heap_add_rest(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t size_bytes,
		  uint32_t point, uint64_t birth_ns, uint64_t time_ns);

/* An inventory of the blocks from before (inventory.h) is taken while events come in, and is older
 * than they are when it is added. So between begin and end the heap remembers which addresses were
 * freed: an address that an event has told about is refused with -EEXIST, live or not.
 * begin: -EALREADY if one is under way. add, beside the errors above: -EINVAL without begin;
 * -ENOBUFS: too many addresses were freed to remember them (max_blocks, or no memory); the
 * inventory cannot be used then. */
int heap_begin_inventory(struct heap *heap);
int heap_add_inventory_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t size_bytes,
			     uint32_t point, uint64_t time_ns);
void heap_end_inventory(struct heap *heap);

/* So many unknown frees turned out to be an allocator's own: not of blocks from before, nor missed.
 */
void heap_discount_unknown_frees(struct heap *heap, uint64_t frees, uint64_t bytes);

/* Two phases (design: another thread may be given the old address before realloc returns). Between
 * them the block is found under its thread, not under its address, and stays live. */
void heap_realloc_begin(struct heap *heap, uint32_t tid, uint8_t domain, uint64_t old_addr,
			uint64_t chunk_bytes, uint64_t time_ns);
/* result: enum dhat_realloc_result. point is used when the old block is unknown (from before the
 * observation: it counts as an unknown free, and the new one as an allocation of `point`), and
 * for H7. Returns 1 then, else 0. Errors as heap_add_block(). */
int heap_realloc_end(struct heap *heap, uint32_t tid, uint8_t domain, uint64_t old_addr,
		     uint64_t new_addr, uint64_t size_bytes, uint32_t point, uint32_t result,
		     uint64_t time_ns);

/* H12: as heap_add_single_block(). */
int heap_realloc_end_single(struct heap *heap, uint32_t tid, uint8_t domain, uint64_t old_addr,
			    uint64_t new_addr, uint64_t size_bytes, uint32_t point, uint32_t result,
			    uint64_t time_ns);

/* The thread does something that is no END: see H6. To be called before such an event is added. */
void heap_thread_seen(struct heap *heap, uint32_t tid, uint64_t time_ns);

/* From now on, what is allocated and lives is also kept since this moment (moments.h): by births,
 * which reallocations keep (H4), so that a block counts with the size that it has, or not at all.
 * Blocks from before the observation never count. Errors as of moments_add() and
 * moments_remove(). */
struct moments;
int heap_mark(struct heap *heap, const char *name, uint64_t now_ns);
int heap_unmark(struct heap *heap, const char *name);
const struct moments *heap_moments(const struct heap *heap);
/* How long the blocks had lived that were freed since the first mark, as long as there is any: it
 * is another line of the cache for each, with 100,000 stacks up to a fifth of what an event takes.
 * Or since heap_keep_lifetimes(), to the end. */
struct lifetimes;
void heap_keep_lifetimes(struct heap *heap, uint64_t now_ns);
const struct lifetimes *heap_lifetimes(const struct heap *heap);

/* Count the blocks that live now (census.h), piece by piece, while other calls come in between:
 * begin (-EALREADY: one is under way), then step until it returns no 1. 0: all are counted; < 0:
 * failed. The census stays where it is meanwhile. A piece is of at most so many leaves of the
 * table, with some 700 blocks each. */
struct census;
int heap_begin_census(struct heap *heap, struct census *census, uint64_t now_ns);
int heap_step_census(struct heap *heap, size_t leaves);

/* Of an event that will come soon: bring near what it needs. First the block's place; then, when
 * that has come, the totals of its point. Changes nothing. It pays when the tables are larger than
 * what the caches of a core hold. */
uint64_t heap_table_bytes(const struct heap *heap);
void heap_prefetch_block(const struct heap *heap, uint8_t domain, uint64_t addr);
void heap_prefetch_point(const struct heap *heap, uint32_t point);
void heap_prefetch_point_of(const struct heap *heap, uint8_t domain, uint64_t addr);

void heap_totals(const struct heap *heap, struct heap_totals *ret);
/* All live blocks, in no order; O(blocks), some 30 ns each. */
void heap_visit_blocks(const struct heap *heap,
		       void (*visit)(void *context, const struct block *block), void *context);
/* In pieces, between which events go on: the blocks of some leaves of the table (some 700 each)
 * from a place on, 0 at first; returns where to go on, 0 at the end. A block that is live all the
 * time, and is not moved by realloc, is visited once. */
uint64_t heap_visit_blocks_from(const struct heap *heap, uint64_t place, size_t leaves,
				void (*visit)(void *context, const struct block *block),
				void *context);
/* Blocks that were ever allocated at a point; 0 for one that was never used. */
uint64_t heap_point_total_blocks(const struct heap *heap, uint32_t point);
/* Of the copy that heap_copy() has made just before. */
struct heap_sampled heap_point_sampled(const struct heap *heap, uint32_t point);
/* Blocks that are kept, whatever they stand for. */
uint64_t heap_kept_blocks(const struct heap *heap);
/* H11: a thread that is called so (thread_names.h) has allocated at a point, which was given to the
 * call before this one. The sums of a point are not told apart by it: which of its threads have
 * which blocks would cost each block as many bits. Number 0: a name that is not known. */
void heap_note_thread(struct heap *heap, uint32_t point, uint8_t name);
/* A bit for each number. */
uint64_t heap_point_threads(const struct heap *heap, uint32_t point);
/* Those of them that were temporary (H10). */
uint64_t heap_point_temporary_blocks(const struct heap *heap, uint32_t point);

/* Time goes on without events: to be called before what is below is asked for, and with each
 * reading of resident memory (0: there is none). Keeps H8. */
void heap_pass_time(struct heap *heap, uint64_t now_ns, uint64_t rss_bytes);
struct heap_history {
	uint64_t start_ns, slot_ns; /* of the timeline, from its first slot on */
	uint32_t slot_count;	    /* the last one is not over; 0: nothing has happened yet */
	uint64_t point_slot_ns;	    /* of points' histories, which begin at the same time */
	uint32_t point_slot_count;  /* the last one is not over, either */
	struct history_slot slots[HISTORY_SLOTS];
};
void heap_copy_history(const struct heap *heap, struct heap_history *ret);
/* The least that was live in each of point_slot_count slots. point: of heap_copy(), which nothing
 * has happened since. */
void heap_point_history(const struct heap *heap, uint32_t id, const struct heap_point *point,
			float ret[HISTORY_POINT_SLOTS]);

/* A consistent copy for a snapshot; O(points). peak_* of every point are those of t-gmax. The
 * caller frees *ret_points with free(). */
int heap_copy(const struct heap *heap, struct heap_totals *ret_totals,
	      struct heap_point **ret_points, uint32_t *ret_count);
/* For who looks again and again: the number of the generation that ends with this call. A point has
 * changed since an earlier call if heap_point_changed() is greater than what that call returned.
 * One that has not has the live figures that it had, and at the peak either what it had, if
 * heap_peak_number() is what it was, or those. UINT32_MAX: the numbers are used up; each point may
 * have changed from now on. An event costs nothing of this until the first call. */
uint32_t heap_next_generation(struct heap *heap);
uint32_t heap_point_changed(const struct heap *heap, uint32_t point);
uint64_t heap_peak_number(const struct heap *heap);
