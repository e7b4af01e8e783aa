#include "collector.h"

#include <errno.h>
#include <sys/uio.h>

#include "bpf/machine.h"
#include "proto/base/array.h"

int collector_init(struct collector *collector, struct heap *heap, struct stacks *stacks,
		   struct mappings *mappings)
{
	*collector = (struct collector){
		.heap = heap,
		.stacks = stacks,
		.mappings = mappings,
	};
	return own_frees_new(&collector->own_frees) ?: newest_init(&collector->newest);
}

void collector_deinit(struct collector *collector)
{
	anon_deinit(&collector->anon);
	collector_news_deinit(&collector->news);
	own_frees_free(collector->own_frees);
	collector->own_frees = NULL;
	newest_deinit(&collector->newest);
}

void collector_news_deinit(struct collector_news *news)
{
	free(news->children);
	*news = (struct collector_news){ 0 };
}

struct collector_news collector_take_news(struct collector *collector)
{
	struct collector_news news = collector->news;

	collector->news = (struct collector_news){ 0 };
	return news;
}

/* glibc's malloc/malloc.c, "malloc_chunk": the low three bits of the size word are flags, of which
 * 2 is IS_MMAPPED. A block may use the first word of the next chunk, save when it is mmapped and
 * its chunk ends with the mapping: from 2.43 on it ends two words before. */
uint64_t collector_chunk_bytes(uint64_t addr, uint64_t chunk)
{
	uint64_t bytes = chunk & ((1ull << DHAT_CHUNK_SIZE_BITS) - 1) & ~7ull;

	if (bytes < 32 || bytes % 16 || bytes >> DHAT_USER_BITS)
		return 0;
	return bytes - (chunk & 2 && (addr - 16 + bytes) % DHAT_PAGE_BYTES == 0 ? 16 : 8);
}

/* Domains may have blocks at the same address: a pool's first is where the pool is. */
static uint64_t block_key(uint8_t domain, uint64_t addr)
{
	return addr | (uint64_t)domain << 56;
}

static int feed_alloc(struct collector *collector, const struct dhat_record_alloc *record)
{
	uint32_t point = stacks_point(collector->stacks, record->stack_id);
	uint8_t name;
	int err;

	heap_thread_seen(collector->heap, record->head.tid, record->time_ns);
	own_frees_other(collector->own_frees, record->head.tid);
	collector->last_time_ns = record->time_ns;
	if (record->head.domain == DHAT_DOMAIN_ANON) {
		name = newest_name_of(&collector->newest, record->head.tid);
		err = anon_map(&collector->anon, collector->heap, record->addr, record->size_bytes,
			       point, record->time_ns);
	} else {
		name = newest_set(&collector->newest, record->head.tid,
				  block_key(record->head.domain, record->addr));
		err = (record->head.is_drawn ? heap_add_block : heap_add_single_block)(
			collector->heap, record->head.domain, record->addr, record->size_bytes,
			point, record->time_ns);
	}
	if (!err)
		heap_note_thread(collector->heap, point, name);
	return err;
}

static int feed_free(struct collector *collector, const struct dhat_record_free *record)
{
	const struct own_free one = {
		.addr = block_key(record->head.domain, record->addr),
		.bytes = collector_chunk_bytes(record->addr, record->chunk),
		.key = record->chunk >> DHAT_CHUNK_SIZE_BITS & ((1u << DHAT_CHUNK_KEY_BITS) - 1),
		.is_linked = record->chunk & DHAT_CHUNK_LINKED,
	};
	uint32_t tid = record->head.tid;
	bool (*remove)(struct heap * heap, uint8_t domain, uint64_t addr, uint64_t chunk_bytes,
		       uint64_t time_ns) = newest_take(&collector->newest, tid, one.addr)
						   ? heap_remove_newest_block
						   : heap_remove_block;

	heap_thread_seen(collector->heap, tid, record->time_ns);
	collector->last_time_ns = record->time_ns;
	if (record->head.domain == DHAT_DOMAIN_ANON)
		return anon_unmap(&collector->anon, collector->heap, record->addr, record->chunk,
				  record->time_ns);
	if (remove(collector->heap, record->head.domain, record->addr, one.bytes,
		   record->time_ns)) {
		own_frees_known(collector->own_frees, tid, one.addr);
	} else if (own_frees_unknown(collector->own_frees, tid, &one)) {
		heap_discount_unknown_frees(collector->heap, 1, one.bytes);
		collector->nested_frees++;
	}
	return 0;
}

/* It may be told between the two halves of its thread's realloc, of what that is handed: no H6. */
static int feed_replaced(struct collector *collector, const struct dhat_record_free *record)
{
	collector->last_time_ns = record->time_ns;
	heap_replace_block(collector->heap, record->head.domain, record->addr, record->time_ns);
	return 0;
}

uint64_t collector_hold_back(const struct collector *collector, struct heap_totals *totals)
{
	struct frees_sum pending = own_frees_pending(collector->own_frees);

	if (totals->unknown_frees < pending.frees)
		return 0; /* none is counted in a sample */
	totals->unknown_frees -= pending.frees;
	totals->unknown_free_bytes -= pending.bytes;
	return pending.frees;
}

static void feed_thread_exit(struct collector *collector, const struct dhat_record_life *record)
{
	uint32_t tid = record->head.tid;
	struct frees_sum end = own_frees_end(collector->own_frees, tid, tid == record->pid);

	heap_discount_unknown_frees(collector->heap, end.frees, end.bytes);
	collector->thread_cache_frees += end.frees;
	newest_forget(&collector->newest, tid);
}

static int feed_realloc_begin(struct collector *collector,
			      const struct dhat_record_realloc_begin *record)
{
	own_frees_other(collector->own_frees, record->head.tid);
	collector->last_time_ns = record->time_ns;
	heap_realloc_begin(collector->heap, record->head.tid, record->head.domain, record->old_addr,
			   collector_chunk_bytes(record->old_addr, record->chunk), record->time_ns);
	return 0;
}

static int feed_realloc_end(struct collector *collector,
			    const struct dhat_record_realloc_end *record)
{
	uint32_t point = stacks_point(collector->stacks, record->stack_id);
	uint8_t name = 0;
	int err;

	if (record->result > DHAT_REALLOC_FREED)
		return -EBADMSG;
	own_frees_other(collector->own_frees, record->head.tid);
	collector->last_time_ns = record->time_ns;
	if (record->result == DHAT_REALLOC_MOVED)
		name = newest_set(&collector->newest, record->head.tid,
				  block_key(record->head.domain, record->new_addr));
	err = (record->head.is_drawn ? heap_realloc_end : heap_realloc_end_single)(
		collector->heap, record->head.tid, record->head.domain, record->old_addr,
		record->new_addr, record->size_bytes, point, record->result, record->time_ns);
	if (err > 0)
		heap_note_thread(collector->heap, point, name);
	return err < 0 ? err : 0;
}

static int feed_stack(struct collector *collector, const struct dhat_record_stack *record)
{
	uint32_t kept = dhat_kept_frames(record->frame_count, record->stop);
	int err;

	if (record->stack_id == 0 || record->frame_count > DHAT_MAX_DEPTH ||
	    record->stop >= DHAT_STOP_COUNT ||
	    record->head.size < sizeof(*record) + kept * sizeof(record->frames[0]))
		return -EBADMSG;
	err = stacks_learn(collector->stacks, record->stack_id, record->epoch,
			   (const uint64_t *)record->frames, record->frame_count, record->stop,
			   record->flags, collector->mappings);
	if (err == 0)
		stacks_note_site(collector->stacks, record->stack_id, record->site);
	return err == -ENOSPC ? 0 : err; /* counted by stacks_refused() */
}

static int feed_map(struct collector *collector, const struct dhat_record_map *record)
{
	int err;

	if (record->start >= record->end)
		return -EBADMSG;
	err = mappings_add(collector->mappings, record->start, record->end, record->file_offset,
			   record->inode, record->dev_major, record->dev_minor, NULL, NULL);
	if (err)
		collector->mappings_refused++;
	collector->news.has_mapped = true;
	return 0;
}

static int feed_change(struct collector *collector, const struct dhat_record_change *record)
{
	collector->news.has_changed = true;
	collector->news.epoch = record->epoch;
	return 0;
}

static int feed_exec(struct collector *collector, const struct dhat_record_life *record)
{
	collector->is_closed = true;
	collector->last_time_ns = record->time_ns;
	collector->news.has_replaced = true;
	return 0;
}

static int feed_fork(struct collector *collector, const struct dhat_record_life *record)
{
	struct collector_news *news = &collector->news;

	int err = array_make_room(&news->children, &news->child_capacity, news->child_count);

	if (err == 0)
		news->children[news->child_count++] =
			(struct collector_child){ record->pid, record->time_ns };
	return err;
}

static void feed_exit(struct collector *collector, const struct dhat_record_life *record)
{
	feed_thread_exit(collector, record);
	collector->news.has_exited = true;
	collector->news.wait_status = record->wait_status & ~DHAT_WAIT_OOM;
	collector->news.is_out_of_memory = record->wait_status & DHAT_WAIT_OOM;
}

static void feed_thread(struct collector *collector, const struct dhat_record_thread *record)
{
	newest_name(&collector->newest, record->named_tid,
		    thread_names_add(&collector->names, record->name), false);
}

void collector_name_thread(struct collector *collector, uint32_t tid,
			   const char name[DHAT_THREAD_CHARS])
{
	newest_name(&collector->newest, tid, thread_names_add(&collector->names, name), true);
}

static int feed_one(struct collector *collector, const struct dhat_record *head)
{
	switch ((enum dhat_record_type)head->type) {
	case DHAT_RECORD_ALLOC:
		return feed_alloc(collector, (const void *)head);
	case DHAT_RECORD_FREE:
		return feed_free(collector, (const void *)head);
	case DHAT_RECORD_REPLACED:
		return feed_replaced(collector, (const void *)head);
	case DHAT_RECORD_REALLOC_BEGIN:
		return feed_realloc_begin(collector, (const void *)head);
	case DHAT_RECORD_REALLOC_END:
		return feed_realloc_end(collector, (const void *)head);
	case DHAT_RECORD_STACK:
		return feed_stack(collector, (const void *)head);
	case DHAT_RECORD_MAP:
		return feed_map(collector, (const void *)head);
	case DHAT_RECORD_CHANGE:
		return feed_change(collector, (const void *)head);
	case DHAT_RECORD_EXEC:
		return feed_exec(collector, (const void *)head);
	case DHAT_RECORD_FORK:
		return feed_fork(collector, (const void *)head);
	case DHAT_RECORD_THREAD_EXIT:
		feed_thread_exit(collector, (const void *)head);
		return 0;
	case DHAT_RECORD_EXIT:
		feed_exit(collector, (const void *)head);
		return 0;
	case DHAT_RECORD_THREAD:
		feed_thread(collector, (const void *)head);
		return 0;
	}
	return -EBADMSG;
}

/* What a record of a type has at least; 0: there is no such type. */
static size_t least_size(uint8_t type)
{
	static const size_t bytes[COLLECTOR_TYPES] = {
		[DHAT_RECORD_ALLOC] = sizeof(struct dhat_record_alloc),
		[DHAT_RECORD_FREE] = sizeof(struct dhat_record_free),
		[DHAT_RECORD_REALLOC_BEGIN] = sizeof(struct dhat_record_realloc_begin),
		[DHAT_RECORD_REALLOC_END] = sizeof(struct dhat_record_realloc_end),
		[DHAT_RECORD_STACK] = sizeof(struct dhat_record_stack),
		[DHAT_RECORD_MAP] = sizeof(struct dhat_record_map),
		[DHAT_RECORD_CHANGE] = sizeof(struct dhat_record_change),
		[DHAT_RECORD_EXEC] = sizeof(struct dhat_record_life),
		[DHAT_RECORD_FORK] = sizeof(struct dhat_record_life),
		[DHAT_RECORD_THREAD_EXIT] = sizeof(struct dhat_record_life),
		[DHAT_RECORD_EXIT] = sizeof(struct dhat_record_life),
		[DHAT_RECORD_THREAD] = sizeof(struct dhat_record_thread),
		[DHAT_RECORD_REPLACED] = sizeof(struct dhat_record_free),
	};

	return type < COLLECTOR_TYPES ? bytes[type] : 0;
}

static bool is_well_formed(const void *record, size_t size)
{
	const struct dhat_record *head = record;
	size_t least;

	if (size < sizeof(*head) || (uintptr_t)record % 8)
		return false;
	least = least_size(head->type);
	return least && head->size >= least && head->size <= size;
}

int collector_feed(struct collector *collector, const void *record, size_t size)
{
	const struct dhat_record *head = record;
	int err;

	if (!is_well_formed(record, size)) {
		collector->malformed++;
		return -EBADMSG;
	}
	if (collector->is_closed) {
		collector->ignored++;
		return 0;
	}
	err = feed_one(collector, head);
	if (err == -EBADMSG)
		collector->malformed++;
	else if (err)
		collector->out_of_memory++;
	else
		collector->records[head->type]++;
	return err;
}

/* ---- many ---- */

/* So many are under way at once: their lines of cache, five or six each, have room in the first
 * level. */
#define GROUP 32
/* Smaller tables are in the second level anyway: 10,000 blocks of 1,000 stacks cost 65 ns an event
 * without prefetching, and 83 with it; 100,000 blocks 100 and 104, a million 224 and 168. */
#define LARGE_BYTES (4u << 20)

static void prefetch_entries(const struct collector *collector, const struct dhat_record *head)
{
	if (head->type == DHAT_RECORD_ALLOC) {
		const struct dhat_record_alloc *alloc = (const void *)head;

		heap_prefetch_block(collector->heap, head->domain, alloc->addr);
		stacks_prefetch(collector->stacks, alloc->stack_id);
	} else if (head->type == DHAT_RECORD_FREE) {
		const struct dhat_record_free *freed = (const void *)head;

		heap_prefetch_block(collector->heap, head->domain, freed->addr);
	} else if (head->type == DHAT_RECORD_REALLOC_BEGIN) {
		const struct dhat_record_realloc_begin *begin = (const void *)head;

		heap_prefetch_block(collector->heap, head->domain, begin->old_addr);
	} else if (head->type == DHAT_RECORD_REALLOC_END) {
		const struct dhat_record_realloc_end *end = (const void *)head;

		heap_prefetch_block(collector->heap, head->domain, end->new_addr);
		stacks_prefetch(collector->stacks, end->stack_id);
	}
}

static void prefetch_points(const struct collector *collector, const struct dhat_record *head)
{
	if (head->type == DHAT_RECORD_ALLOC) {
		const struct dhat_record_alloc *alloc = (const void *)head;

		heap_prefetch_point(collector->heap,
				    stacks_point(collector->stacks, alloc->stack_id));
	} else if (head->type == DHAT_RECORD_FREE) {
		const struct dhat_record_free *freed = (const void *)head;

		heap_prefetch_point_of(collector->heap, head->domain, freed->addr);
	} else if (head->type == DHAT_RECORD_REALLOC_BEGIN) {
		const struct dhat_record_realloc_begin *begin = (const void *)head;

		heap_prefetch_point_of(collector->heap, head->domain, begin->old_addr);
	}
}

static void feed_group(struct collector *collector, const struct iovec *records, size_t count)
{
	const struct dhat_record *sound[GROUP];
	size_t sound_count = 0;

	for (size_t i = 0; i < count; i++) {
		if (!is_well_formed(records[i].iov_base, records[i].iov_len))
			continue;
		sound[sound_count++] = records[i].iov_base;
		prefetch_entries(collector, records[i].iov_base);
	}
	for (size_t i = 0; i < sound_count; i++)
		prefetch_points(collector, sound[i]);
	for (size_t i = 0; i < count; i++)
		collector_feed(collector, records[i].iov_base, records[i].iov_len);
}

void collector_feed_all(struct collector *collector, const struct iovec *records, size_t count)
{
	if (heap_table_bytes(collector->heap) < LARGE_BYTES) {
		for (size_t i = 0; i < count; i++)
			collector_feed(collector, records[i].iov_base, records[i].iov_len);
		return;
	}
	for (size_t i = 0; i < count; i += GROUP)
		feed_group(collector, records + i, count - i < GROUP ? count - i : GROUP);
}
