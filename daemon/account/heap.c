#include "heap_private.h"

#include <errno.h>
#include <stdlib.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/census.h"
#include "proto/base/budget.h"
#include "proto/base/cleanup.h"
#include "proto/base/index.h"
#include "proto/profile/histogram.h"

void heap_free(struct heap *heap)
{
	if (!heap)
		return;
	blocks_deinit(&heap->blocks);
	points_deinit(&heap->points);
	moments_deinit(&heap->moments);
	lifetimes_deinit(&heap->lifetimes);
	pendings_deinit(&heap->pendings);
	gone_end(&heap->gone);
	free(heap);
}
DEFINE_CLEANUP_PTR(struct heap *, heap_free)

int heap_new(uint64_t max_blocks, struct heap **ret)
{
	_cleanup_(heap_free_ptr) struct heap *heap = calloc(1, sizeof(*heap));
	int err;

	if (!heap)
		return -ENOMEM;
	err = blocks_init(&heap->blocks, max_blocks);
	if (!err)
		err = pendings_init(&heap->pendings);
	if (err)
		return err;
	*ret = take_ptr(heap);
	return 0;
}

void heap_sample(struct heap *heap, uint64_t sample_bytes)
{
	heap->sample = sample_of(sample_bytes);
	heap->points.is_sampled = sample_bytes != 0;
	heap->moments.has_parts = sample_bytes != 0;
}

const struct sample *heap_sample_of(const struct heap *heap)
{
	return &heap->sample;
}

int heap_charge(struct heap *heap, struct budget *budget)
{
	gone_charge(&heap->gone, budget);
	blocks_charge(&heap->blocks, budget);
	index_charge(heap->pendings.by_tid, budget);
	moments_charge(&heap->moments, budget);
	lifetimes_charge(&heap->lifetimes, budget);
	return points_charge(&heap->points, budget);
}

/* ---- samples ------------------------------------------------------------------------------ */

/* What a block counts as. */
static inline struct sample_weight weigh(const struct heap *heap, const struct block *block)
{
	if (!is_sampled(heap))
		return (struct sample_weight){ .bytes = block->size_bytes, .blocks = 1 };
	if (block->is_single)
		return sample_weigh_single(block->size_bytes);
	return sample_weigh(&heap->sample, block->size_bytes);
}

/* Of a block that comes by the rule of now; mappings are all recorded. */
static inline bool is_single_now(const struct heap *heap, uint8_t domain)
{
	return !is_sampled(heap) || domain == DHAT_DOMAIN_ANON;
}

static void add_total_sampled(struct heap_sampled *sampled, const struct sample_weight *weight)
{
	sampled->total_seen += weight->seen;
	sampled->total_error += weight->error;
	sampled->total_single += weight->single;
}

static void add_live_sampled(struct heap_sampled *sampled, const struct sample_weight *weight)
{
	sampled->live_seen += weight->seen;
	sampled->live_error += weight->error;
	sampled->live_single += weight->single;
}

static void take_live_sampled(struct heap_sampled *sampled, const struct sample_weight *weight)
{
	sampled->live_seen -= weight->seen;
	sampled->live_error -= weight->error;
	sampled->live_single -= weight->single;
}

/* ---- history ------------------------------------------------------------------------------ */

__attribute__((noinline, cold)) static void advance(struct heap *heap, uint64_t time_ns)
{
	struct history_figures now = heap_figures(heap);

	history_advance(&heap->history, &now, time_ns);
}

/* Before an event changes anything. Keeps H8. */
static inline void pass_time(struct heap *heap, uint64_t time_ns)
{
	if (history_is_due(&heap->history, time_ns))
		advance(heap, time_ns);
}

void heap_pass_time(struct heap *heap, uint64_t now_ns, uint64_t rss_bytes)
{
	pass_time(heap, now_ns);
	if (rss_bytes)
		heap->history.rss_bytes = rss_bytes;
}

/* ---- blocks ------------------------------------------------------------------------------- */

/* After live bytes have grown, or might have. */
static inline void note_peaks(struct heap *heap, struct heap_point *point, uint64_t time_ns)
{
	struct heap_totals *totals = &heap->totals;

	if (point->live_bytes >= point->max_bytes) {
		point->max_bytes = point->live_bytes;
		point->max_blocks = point->live_blocks;
	}
	if (totals->live_bytes > heap->history.most_bytes)
		heap->history.most_bytes = totals->live_bytes;
	if (totals->live_bytes >= totals->peak_bytes) {
		totals->peak_bytes = totals->live_bytes;
		totals->peak_blocks = totals->live_blocks;
		totals->peak_time_ns = time_ns;
		totals->sampled.peak_seen = totals->sampled.live_seen;
		totals->sampled.peak_error = totals->sampled.live_error;
		totals->sampled.peak_single = totals->sampled.live_single;
		heap->points.peak_number++;
	}
}

static inline void count_total(struct heap *heap, uint32_t id, struct heap_point *point,
			       const struct sample_weight *weight, uint64_t time_ns)
{
	bool is_first = !point->total_blocks;

	heap->totals.total_bytes += weight->bytes;
	heap->totals.total_blocks += weight->blocks;
	point->total_bytes += weight->bytes;
	point->total_blocks += weight->blocks;
	if (is_first)
		point->first_ns = time_ns;
	point->last_ns = time_ns;
	if (time_ns > heap->latest_ns)
		heap->latest_ns = time_ns;
	if (is_sampled(heap)) {
		add_total_sampled(&heap->totals.sampled, weight);
		add_total_sampled(points_sampled_at(&heap->points, id), weight);
	}
}

static inline void open_block(struct heap *heap, struct heap_point *point,
			      const struct block *block)
{
	const struct sample_weight weight = weigh(heap, block);

	points_begin_change(&heap->points, block->point, point, heap->history.point_slot);
	heap->totals.live_bytes += weight.bytes;
	heap->totals.live_blocks += weight.blocks;
	point->live_bytes += weight.bytes;
	point->live_blocks += weight.blocks;
	point->live_births_ns += (unsigned __int128)block->birth_ns * weight.blocks;
	if (!block->was_before)
		moments_count(&heap->moments, block->point, block->birth_ns, (int64_t)weight.bytes,
			      (int64_t)weight.blocks);
	if (is_sampled(heap)) {
		heap->single_blocks += block->is_single;
		add_live_sampled(&heap->totals.sampled, &weight);
		add_live_sampled(points_sampled_at(&heap->points, block->point), &weight);
	}
}

/* A block is out of the sums, for good or until it is somewhere else. */
static struct heap_point *lift_block(struct heap *heap, const struct block *block)
{
	const struct sample_weight weight = weigh(heap, block);
	struct heap_point *point = points_at(&heap->points, block->point);

	points_begin_change(&heap->points, block->point, point, heap->history.point_slot);
	heap->totals.live_bytes -= weight.bytes;
	heap->totals.live_blocks -= weight.blocks;
	heap->totals.closed_blocks += weight.blocks;
	point->live_bytes -= weight.bytes;
	point->live_blocks -= weight.blocks;
	point->live_births_ns -= (unsigned __int128)block->birth_ns * weight.blocks;
	if (!block->was_before)
		moments_count(&heap->moments, block->point, block->birth_ns, -(int64_t)weight.bytes,
			      -(int64_t)weight.blocks);
	if (is_sampled(heap)) {
		heap->single_blocks -= block->is_single;
		take_live_sampled(&heap->totals.sampled, &weight);
		take_live_sampled(points_sampled_at(&heap->points, block->point), &weight);
	}
	return point;
}

/* A block with which sums are done; in whole numbers. */
static uint64_t stands_for(const struct heap *heap, const struct block *block)
{
	return is_sampled(heap) ? sample_whole_by(weigh(heap, block).blocks, block->addr) : 1;
}

static inline void close_block(struct heap *heap, const struct block *block, uint64_t time_ns)
{
	struct heap_point *point = lift_block(heap, block);
	uint64_t lifetime_ns = time_ns > block->birth_ns ? time_ns - block->birth_ns : 0;
	uint16_t brief = history_brief(lifetime_ns);

	point->dead_lifetimes_ns += (unsigned __int128)lifetime_ns * weigh(heap, block).blocks;
	if (point->longest_freed < brief)
		point->longest_freed = brief;
	points_note_low(point);
	if (heap->lifetimes.since_ns)
		lifetimes_count(&heap->lifetimes, block->point, lifetime_ns,
				stands_for(heap, block));
}

/* An address comes that is taken. Keeps H2. Rare, and so out of the way of those that come new. */
__attribute__((noinline, cold)) static void
count_replaced(struct heap *heap, const struct block *old, uint64_t time_ns)
{
	if (old->was_before)
		heap->totals.existing_replaced++;
	else
		heap->totals.seen_twice++;
	close_block(heap, old, time_ns);
}

/* Put a block under its address, closing whatever is there. */
static inline int place_block(struct heap *heap, uint64_t max_blocks, const struct block *block,
			      uint64_t time_ns)
{
	struct block old;
	int replaced = blocks_put(&heap->blocks, max_blocks, block, &old);

	if (replaced <= 0)
		return replaced;
	count_replaced(heap, &old, time_ns);
	return 0;
}

__attribute__((noinline, cold)) static uint64_t refuse_size(struct heap *heap, uint64_t size_bytes)
{
	heap->totals.impossible_sizes += size_bytes != 0;
	return 1;
}

/* Keeps H5 and H9. */
static inline uint64_t counted_size(struct heap *heap, uint64_t size_bytes)
{
	const struct heap_totals *totals = &heap->totals;

	if (size_bytes - 1 >= HEAP_SIZE_MOST || totals->live_bytes + size_bytes > HEAP_LIVE_MOST ||
	    totals->total_bytes + size_bytes > HEAP_TOTAL_MOST)
		return refuse_size(heap, size_bytes);
	return size_bytes;
}

static inline int add_block(struct heap *heap, struct block *block)
{
	uint64_t time_ns = block->birth_ns;
	struct heap_point *point;
	struct sample_weight weight;
	int err = points_get(&heap->points, &block->point, &point);

	if (err)
		return err;
	pass_time(heap, time_ns);
	block->size_bytes = counted_size(heap, block->size_bytes);
	weight = weigh(heap, block);
	count_total(heap, block->point, point, &weight, time_ns);
	points_note_change(&heap->points, block->point); /* live or not */
	err = place_block(heap, heap->blocks.max_count, block, time_ns);
	if (err) {
		heap->totals.blocks_refused++;
		return 0;
	}
	open_block(heap, point, block);
	note_peaks(heap, point, time_ns);
	return 0;
}

int heap_add_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t size_bytes,
		   uint32_t point, uint64_t time_ns)
{
	return add_block(heap, &(struct block){ .addr = addr,
						.size_bytes = size_bytes,
						.birth_ns = time_ns,
						.point = point,
						.domain = domain,
						.is_single = is_single_now(heap, domain) });
}

int heap_add_single_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t size_bytes,
			  uint32_t point, uint64_t time_ns)
{
	return add_block(heap, &(struct block){ .addr = addr,
						.size_bytes = size_bytes,
						.birth_ns = time_ns,
						.point = point,
						.domain = domain,
						.is_single = true });
}

static void count_unknown_free(struct heap *heap, uint64_t chunk_bytes)
{
	if (is_sampled(heap))
		return; /* H12 */
	heap->totals.unknown_frees++;
	heap->totals.unknown_free_bytes += chunk_bytes;
}

/* During an inventory: what it says of this address will be out of date. */
static inline void note_gone(struct heap *heap, uint8_t domain, uint64_t addr)
{
	gone_note(&heap->gone, heap->blocks.max_count, domain, addr);
}

void heap_discount_unknown_frees(struct heap *heap, uint64_t frees, uint64_t bytes)
{
	if (is_sampled(heap))
		return; /* none was counted */
	heap->totals.unknown_frees -= frees;
	heap->totals.unknown_free_bytes -= bytes;
}

static inline bool remove_block(struct heap *heap, uint8_t domain, uint64_t addr,
				uint64_t chunk_bytes, bool is_newest, uint64_t time_ns)
{
	struct block block;

	pass_time(heap, time_ns);
	note_gone(heap, domain, addr);
	if (!blocks_take(&heap->blocks, domain, addr, &block)) {
		count_unknown_free(heap, chunk_bytes);
		return false;
	}
	close_block(heap, &block, time_ns);
	if (is_newest && !is_sampled(heap) && time_ns < block.birth_ns + DHAT_TEMPORARY_NS)
		points_note_temporary(&heap->points, block.point);
	return true;
}

bool heap_remove_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t chunk_bytes,
		       uint64_t time_ns)
{
	return remove_block(heap, domain, addr, chunk_bytes, false, time_ns);
}

bool heap_remove_newest_block(struct heap *heap, uint8_t domain, uint64_t addr,
			      uint64_t chunk_bytes, uint64_t time_ns)
{
	return remove_block(heap, domain, addr, chunk_bytes, true, time_ns);
}

void heap_replace_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t time_ns)
{
	struct block block;

	pass_time(heap, time_ns);
	note_gone(heap, domain, addr);
	if (blocks_take(&heap->blocks, domain, addr, &block))
		count_replaced(heap, &block, time_ns);
}

/* A block that is part of no total. */
static int add_uncounted(struct heap *heap, struct block *block, uint64_t time_ns)
{
	struct heap_point *point;
	int err = points_get(&heap->points, &block->point, &point);

	if (err)
		return err;
	if (blocks_find(&heap->blocks, block->domain, block->addr))
		return -EEXIST;
	pass_time(heap, time_ns);
	err = place_block(heap, heap->blocks.max_count, block, time_ns);
	if (err)
		return err;
	open_block(heap, point, block);
	note_peaks(heap, point, time_ns);
	return 0;
}

bool heap_cut_block(struct heap *heap, uint8_t domain, uint64_t addr)
{
	struct block block;

	if (!blocks_take(&heap->blocks, domain, addr, &block))
		return false;
	lift_block(heap, &block);
	return true;
}

int heap_add_existing_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t size_bytes,
			    uint32_t point, uint64_t time_ns)
{
	struct block block = { .addr = addr,
			       .size_bytes = counted_size(heap, size_bytes),
			       .birth_ns = time_ns,
			       .point = point,
			       .domain = domain,
			       .was_before = true,
			       .is_single = is_single_now(heap, domain) };

	return add_uncounted(heap, &block, time_ns);
}

int heap_add_rest(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t size_bytes,
		  uint32_t point, uint64_t birth_ns, uint64_t time_ns)
{
	struct block block = { .addr = addr,
			       .size_bytes = size_bytes,
			       .birth_ns = birth_ns,
			       .point = point,
			       .domain = domain,
			       .is_single = is_single_now(heap, domain) };
	int err = add_uncounted(heap, &block, time_ns);

	if (!err)
		points_note_low(points_at(&heap->points, block.point));
	return err;
}

int heap_begin_inventory(struct heap *heap)
{
	return gone_begin(&heap->gone);
}

int heap_add_inventory_block(struct heap *heap, uint8_t domain, uint64_t addr, uint64_t size_bytes,
			     uint32_t point, uint64_t time_ns)
{
	int err = gone_ask(&heap->gone, domain, addr);

	if (err)
		return err;
	return heap_add_existing_block(heap, domain, addr, size_bytes, point, time_ns);
}

void heap_end_inventory(struct heap *heap)
{
	gone_end(&heap->gone);
}

void heap_note_thread(struct heap *heap, uint32_t point, uint8_t name)
{
	points_note_thread(&heap->points, point, name);
}

/* ---- realloc ------------------------------------------------------------------------------ */

static inline bool take_pending(struct heap *heap, uint32_t tid, struct pending *ret)
{
	if (!pendings_take(&heap->pendings, tid, ret))
		return false;
	if (ret->is_known)
		heap->blocks.away--;
	return true;
}

/* Keeps H6. */
static void pending_give_up(struct heap *heap, const struct pending *pending, uint64_t time_ns)
{
	pass_time(heap, time_ns);
	heap->totals.unfinished_reallocs++;
	if (pending->is_known)
		close_block(heap, &pending->block, time_ns);
	else
		count_unknown_free(heap, pending->block.size_bytes);
}

void heap_thread_seen(struct heap *heap, uint32_t tid, uint64_t time_ns)
{
	struct pending pending;

	if (take_pending(heap, tid, &pending))
		pending_give_up(heap, &pending, time_ns);
}

void heap_realloc_begin(struct heap *heap, uint32_t tid, uint8_t domain, uint64_t old_addr,
			uint64_t chunk_bytes, uint64_t time_ns)
{
	struct pending *pending;

	heap_thread_seen(heap, tid, time_ns);
	note_gone(heap, domain, old_addr);
	pending = pendings_add(&heap->pendings, tid);
	if (!pending)
		return; /* no memory: the block stays under its address, where END looks, too */
	pending->is_known = blocks_take(&heap->blocks, domain, old_addr, &pending->block);
	if (pending->is_known)
		heap->blocks.away++;
	else
		pending->block = (struct block){ .addr = old_addr,
						 .domain = domain,
						 .size_bytes = chunk_bytes };
}

/* The old block of an END: from its BEGIN, or, when that was lost, from under its address. */
static void find_old_block(struct heap *heap, uint32_t tid, uint8_t domain, uint64_t old_addr,
			   uint64_t time_ns, struct pending *ret)
{
	if (take_pending(heap, tid, ret)) {
		if (ret->block.addr == old_addr && ret->block.domain == domain)
			return;
		pending_give_up(heap, ret, time_ns); /* an END and a BEGIN were lost in between */
	}
	ret->is_known = blocks_take(&heap->blocks, domain, old_addr, &ret->block);
	if (!ret->is_known)
		ret->block.size_bytes = 0;
}

/* H4: the block keeps its point and its birth. */
static void move_block(struct heap *heap, const struct block *old, uint64_t new_addr,
		       uint64_t size_bytes, uint64_t time_ns)
{
	struct heap_point *point = points_at(&heap->points, old->point);
	struct sample_weight weight;
	struct block block = *old;

	block.addr = new_addr;
	lift_block(heap, old); /* no lifetime yet: it goes on */
	block.size_bytes = counted_size(heap, size_bytes);
	weight = weigh(heap, &block);
	count_total(heap, block.point, point, &weight, time_ns);
	if (place_block(heap, heap->blocks.max_count, &block, time_ns) < 0) {
		heap->totals.blocks_refused++;
		points_note_low(point);
		return;
	}
	open_block(heap, point, &block);
	points_note_low(point);
	note_peaks(heap, point, time_ns);
}

static void keep_block(struct heap *heap, const struct block *block, uint64_t time_ns)
{
	if (place_block(heap, 0, block, time_ns) < 0) { /* it was within the bound */
		heap->totals.blocks_refused++;
		close_block(heap, block, time_ns);
	}
}

static inline int end_realloc(struct heap *heap, uint32_t tid, uint8_t domain, uint64_t old_addr,
			      uint64_t new_addr, uint64_t size_bytes, uint32_t point,
			      uint32_t result, bool is_single, uint64_t time_ns)
{
	struct heap_point *unused;
	struct pending old;
	int err = points_get(&heap->points, &point, &unused);

	/* asked first, so that nothing has changed on failure */
	if (err)
		return err;
	pass_time(heap, time_ns);
	find_old_block(heap, tid, domain, old_addr, time_ns, &old);
	if (result == DHAT_REALLOC_FAILED) {
		if (old.is_known)
			keep_block(heap, &old.block, time_ns);
		else /* it is there as before */
			gone_forget(&heap->gone, domain, old_addr);
		return 0;
	}
	note_gone(heap, domain, old_addr); /* its BEGIN may have been lost */
	/* (one that was drawn is followed by none that was not) */
	if (result == DHAT_REALLOC_MOVED && old.is_known && !old.block.was_before && is_single &&
	    old.block.is_single) {
		move_block(heap, &old.block, new_addr, size_bytes, time_ns);
		return 0;
	}
	if (old.is_known)
		close_block(heap, &old.block, time_ns);
	else if (old_addr != 0)
		count_unknown_free(heap, old.block.size_bytes);
	if (result != DHAT_REALLOC_MOVED)
		return 0;
	/* H7, H12 */
	err = is_single ? heap_add_single_block(heap, domain, new_addr, size_bytes, point, time_ns)
			: heap_add_block(heap, domain, new_addr, size_bytes, point, time_ns);
	return err ? err : 1;
}

int heap_realloc_end(struct heap *heap, uint32_t tid, uint8_t domain, uint64_t old_addr,
		     uint64_t new_addr, uint64_t size_bytes, uint32_t point, uint32_t result,
		     uint64_t time_ns)
{
	return end_realloc(heap, tid, domain, old_addr, new_addr, size_bytes, point, result,
			   is_single_now(heap, domain), time_ns);
}

int heap_realloc_end_single(struct heap *heap, uint32_t tid, uint8_t domain, uint64_t old_addr,
			    uint64_t new_addr, uint64_t size_bytes, uint32_t point, uint32_t result,
			    uint64_t time_ns)
{
	return end_realloc(heap, tid, domain, old_addr, new_addr, size_bytes, point, result, true,
			   time_ns);
}

/* ---- a sample that begins later ------------------------------------------------------------ */

int heap_begin_sample(struct heap *heap, uint64_t sample_bytes)
{
	struct heap_totals *totals = &heap->totals;
	int err;

	if (is_sampled(heap))
		return -EALREADY;
	if (heap->blocks.census || gone_is_kept(&heap->gone))
		return -EBUSY;
	err = points_begin_sample(&heap->points);
	if (err)
		return err;
	heap->sample = sample_of(sample_bytes);
	moments_begin_parts(&heap->moments);
	heap->single_blocks = heap_kept_blocks(heap);
	totals->total_blocks *= SAMPLE_BLOCK;
	totals->live_blocks *= SAMPLE_BLOCK;
	totals->peak_blocks *= SAMPLE_BLOCK;
	totals->closed_blocks *= SAMPLE_BLOCK;
	totals->sampled = (struct heap_sampled){
		.total_seen = totals->total_bytes,
		.peak_seen = totals->peak_bytes,
		.live_seen = totals->live_bytes,
		.total_single = totals->total_bytes,
		.peak_single = totals->peak_bytes,
		.live_single = totals->live_bytes,
	};
	return 0;
}

/* ---- moments ------------------------------------------------------------------------------ */

int heap_mark(struct heap *heap, const char *name, uint64_t now_ns)
{
	/* what was recorded may carry a time some ns after now */
	if (now_ns <= heap->latest_ns)
		now_ns = heap->latest_ns + 1;
	heap->latest_ns = now_ns; /* keeps M3; moments ascend */
	if (!heap->lifetimes.since_ns)
		heap->lifetimes.since_ns = now_ns;
	return moments_add(&heap->moments, name, now_ns);
}

int heap_unmark(struct heap *heap, const char *name)
{
	int err = moments_remove(&heap->moments, name);

	if (!heap->moments.count && !heap->keeps_lifetimes)
		lifetimes_reset(&heap->lifetimes);
	return err;
}

const struct moments *heap_moments(const struct heap *heap)
{
	return &heap->moments;
}

void heap_keep_lifetimes(struct heap *heap, uint64_t now_ns)
{
	heap->keeps_lifetimes = true;
	heap->lifetimes.since_ns = now_ns;
}

const struct lifetimes *heap_lifetimes(const struct heap *heap)
{
	return &heap->lifetimes;
}

/* ---- a census ----------------------------------------------------------------------------- */

static void count_pending(void *heap, const struct pending *pending)
{
	if (pending->is_known)
		census_count(((struct heap *)heap)->blocks.census, &pending->block);
}

int heap_begin_census(struct heap *heap, struct census *census, uint64_t now_ns)
{
	if (heap->blocks.census)
		return -EALREADY;
	heap->latest_ns = now_ns > heap->latest_ns ? now_ns : heap->latest_ns + 1;
	census->time_ns = heap->latest_ns;
	census->sample = heap->sample;
	heap->blocks.census = census;
	pendings_visit(&heap->pendings, count_pending, heap);
	return 0;
}

int heap_step_census(struct heap *heap, size_t leaves)
{
	return blocks_step_census(&heap->blocks, leaves);
}

/* ---- what comes soon ---------------------------------------------------------------------- */

uint64_t heap_table_bytes(const struct heap *heap)
{
	return blocks_bytes(&heap->blocks) + points_bytes(&heap->points);
}

void heap_prefetch_block(const struct heap *heap, uint8_t domain, uint64_t addr)
{
	blocks_prefetch(&heap->blocks, domain, addr);
}

void heap_prefetch_point(const struct heap *heap, uint32_t point)
{
	points_prefetch(&heap->points, point);
	moments_prefetch(&heap->moments, point, UINT64_MAX);
}

void heap_prefetch_point_of(const struct heap *heap, uint8_t domain, uint64_t addr)
{
	const struct index_entry *entry = blocks_find(&heap->blocks, domain, addr);

	if (!entry)
		return;
	points_prefetch(&heap->points, entry->point);
	moments_prefetch(&heap->moments, entry->point, blocks_entry_birth(entry));
	lifetimes_prefetch(&heap->lifetimes, entry->point);
}

uint32_t heap_next_generation(struct heap *heap)
{
	return points_next_generation(&heap->points);
}
