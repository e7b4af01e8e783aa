#include "collector.h"

#include <errno.h>

void collector_init(struct collector *collector, struct heap *heap, struct stacks *stacks,
		    struct mappings *mappings, const struct collector_callbacks *on)
{
	*collector = (struct collector){
		.heap = heap,
		.stacks = stacks,
		.mappings = mappings,
	};
	if (on)
		collector->on = *on;
}

void collector_deinit(struct collector *collector)
{
	anon_deinit(&collector->anon);
	index_free(collector->unknown_frees_by_tid);
	collector->unknown_frees_by_tid = NULL;
}

void collector_go_on(struct collector *collector, struct heap *heap, struct stacks *stacks,
		     struct mappings *mappings)
{
	collector->heap = heap;
	collector->stacks = stacks;
	collector->mappings = mappings;
	collector->is_closed = false;
}

/* glibc's malloc/malloc.c, "malloc_chunk": the low three bits of the size word are flags, of which
 * 2 is IS_MMAPPED. A block may use the first word of the next chunk, save when it is mmapped. */
uint64_t collector_chunk_bytes(uint64_t chunk_size)
{
	uint64_t bytes = chunk_size & ~7ull;

	if (bytes < 32 || bytes % 16 || bytes >> 47)
		return 0;
	return bytes - (chunk_size & 2 ? 16 : 8);
}

/* An ending thread of glibc gives back what its cache (tcache) held: blocks that the program has
 * freed before, and the cache itself. These are frees of unknown blocks and the last that is heard
 * of the thread. So a thread's unknown frees in a row are remembered until something else comes:
 * the entry's value counts them, its time_ns their bytes. */
static void remember_unknown_free(struct collector *collector, uint32_t tid, uint64_t bytes)
{
	struct index_entry *entry;

	if (!collector->unknown_frees_by_tid && index_new(&collector->unknown_frees_by_tid))
		return;
	if (index_claim(collector->unknown_frees_by_tid, 0, tid, &entry) < 0)
		return;
	entry->value++;
	entry->time_ns += bytes;
}

static void forget_unknown_frees(struct collector *collector, uint32_t tid)
{
	if (collector->unknown_frees_by_tid && index_count(collector->unknown_frees_by_tid))
		index_remove(collector->unknown_frees_by_tid, 0, tid, NULL);
}

static int feed_alloc(struct collector *collector, const struct dhat_record_alloc *record)
{
	heap_thread_seen(collector->heap, record->head.tid, record->time_ns);
	forget_unknown_frees(collector, record->head.tid);
	collector->last_time_ns = record->time_ns;
	if (record->head.domain == DHAT_DOMAIN_ANON)
		return anon_map(&collector->anon, collector->heap, record->addr, record->size_bytes,
				stacks_point(collector->stacks, record->stack_id), record->time_ns);
	return heap_add_block(collector->heap, record->head.domain, record->addr,
			      record->size_bytes, stacks_point(collector->stacks, record->stack_id),
			      record->time_ns);
}

static int feed_free(struct collector *collector, const struct dhat_record_free *record)
{
	uint64_t bytes = collector_chunk_bytes(record->chunk_size);

	heap_thread_seen(collector->heap, record->head.tid, record->time_ns);
	collector->last_time_ns = record->time_ns;
	if (record->head.domain == DHAT_DOMAIN_ANON)
		return record->chunk_size
			       ? anon_unmap(&collector->anon, collector->heap, record->addr,
					    record->chunk_size, record->time_ns)
			       : 0;
	if (heap_remove_block(collector->heap, record->head.domain, record->addr, bytes,
			      record->time_ns))
		forget_unknown_frees(collector, record->head.tid);
	else
		remember_unknown_free(collector, record->head.tid, bytes);
	return 0;
}

static int feed_thread_exit(struct collector *collector, const struct dhat_record_life *record)
{
	struct index_entry frees;

	if (collector->unknown_frees_by_tid &&
	    index_remove(collector->unknown_frees_by_tid, 0, record->head.tid, &frees)) {
		heap_discount_unknown_frees(collector->heap, frees.value, frees.time_ns);
		collector->thread_cache_frees += frees.value;
	}
	return 0;
}

static int feed_realloc_begin(struct collector *collector,
			      const struct dhat_record_realloc_begin *record)
{
	forget_unknown_frees(collector, record->head.tid);
	collector->last_time_ns = record->time_ns;
	heap_realloc_begin(collector->heap, record->head.tid, record->head.domain, record->old_addr,
			   collector_chunk_bytes(record->chunk_size), record->time_ns);
	return 0;
}

static int feed_realloc_end(struct collector *collector,
			    const struct dhat_record_realloc_end *record)
{
	uint32_t point = stacks_point(collector->stacks, record->stack_id);

	if (record->result > DHAT_REALLOC_FREED)
		return -EBADMSG;
	forget_unknown_frees(collector, record->head.tid);
	collector->last_time_ns = record->time_ns;
	return heap_realloc_end(collector->heap, record->head.tid, record->head.domain,
				record->old_addr, record->new_addr, record->size_bytes, point,
				record->result, record->time_ns);
}

static int feed_stack(struct collector *collector, const struct dhat_record_stack *record)
{
	int err;

	if (record->stack_id == 0 || record->frame_count > DHAT_MAX_FRAMES ||
	    record->stop >= DHAT_STOP_COUNT ||
	    record->head.size < sizeof(*record) + record->frame_count * sizeof(record->frames[0]))
		return -EBADMSG;
	err = stacks_learn(collector->stacks, record->stack_id, record->epoch,
			   (const uint64_t *)record->frames, record->frame_count, record->stop,
			   record->flags, collector->mappings);
	return err == -ENOSPC ? 0 : err; /* counted by stacks_refused() */
}

static int feed_map(struct collector *collector, const struct dhat_record_map *record)
{
	uint32_t object = MAPPINGS_NO_OBJECT;
	int err;

	if (record->start >= record->end)
		return -EBADMSG;
	err = mappings_add(collector->mappings, record->start, record->end, record->file_offset,
			   record->inode, record->dev_major, record->dev_minor, NULL, &object);
	if (err)
		collector->mappings_refused++;
	if (collector->on.map)
		collector->on.map(record, object, collector->on.ctx);
	return 0;
}

static int feed_change(struct collector *collector, const struct dhat_record_change *record)
{
	if (collector->on.change)
		collector->on.change(record, collector->on.ctx);
	return 0;
}

static int feed_exec(struct collector *collector, const struct dhat_record_life *record)
{
	collector->is_closed = true; /* first: the callback may decide to go on */
	collector->last_time_ns = record->time_ns;
	if (collector->on.exec)
		collector->on.exec(record, collector->on.ctx);
	return 0;
}

static int feed_fork(struct collector *collector, const struct dhat_record_life *record)
{
	if (collector->on.fork)
		collector->on.fork(record, collector->on.ctx);
	return 0;
}

static int feed_one(struct collector *collector, const struct dhat_record *head)
{
	switch ((enum dhat_record_type)head->type) {
	case DHAT_RECORD_ALLOC:
		return feed_alloc(collector, (const void *)head);
	case DHAT_RECORD_FREE:
		return feed_free(collector, (const void *)head);
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
		return feed_thread_exit(collector, (const void *)head);
	case DHAT_RECORD_EXIT:
		if (collector->on.exit)
			collector->on.exit((const void *)head, collector->on.ctx);
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
