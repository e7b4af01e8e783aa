/* collector: lives of programs that are made up, record by record as the kernel side tells them,
 * against a model that is too simple to be wrong: it keeps all blocks in an array and adds
 * everything up anew.
 *
 * Threads interleave; reallocs have their two halves with other threads between; addresses are used
 * again; code is mapped over other code, and stacks mean what is mapped at their time; threads end
 * and give their caches back. With losses, frees and ends of reallocs go missing, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/account/collector.h"

#define SLOTS 96 /* addresses that blocks can have, in two domains */
#define THREADS 6
#define PLACES 8   /* of code */
#define FILES 5	   /* that can be mapped there */
#define STACKS 256 /* that are known in one epoch */
#define POINTS 4096
#define EVENTS 6000
#define LIVES 60
#define CODE 0x400000
#define KEY ((uint64_t)77 << DHAT_CHUNK_SIZE_BITS | DHAT_CHUNK_LINKED)
#define CACHE (0x291 | (uint64_t)5 << DHAT_CHUNK_SIZE_BITS)

/* ---- the model ---------------------------------------------------------------------------- */

struct model_block {
	bool is_live;  /* in our books */
	bool is_held;  /* the program may free it */
	bool is_taken; /* nobody is given it: held, or about to be */
	uint64_t size, birth;
	uint32_t point;
};

struct point { /* as struct heap_point */
	uint64_t total_bytes, total_blocks, max_bytes, max_blocks, peak_bytes, peak_blocks;
	uint64_t live_bytes, live_blocks, dead_ns, first_ns, last_ns;
};

struct frame {
	uint64_t addr, file_offset;
	uint32_t object;
};

struct meaning { /* of a point */
	struct frame frames[4];
	uint32_t count;
	uint8_t stop;
};

struct thread {
	uint32_t tid;
	int freed; /* the slot of the known block that it freed last, and nothing since; -1: none */
	bool is_resizing, old_is_known; /* between the halves */
	bool is_lost, is_dangling;	/* the second will not, did not come */
	int old_slot, new_slot;		/* -1: none */
	uint64_t old_addr, old_bytes;
	struct model_block old;
	enum dhat_realloc_result result;
};

struct life {
	uint64_t random, time, next_stack_id;
	bool has_losses;
	struct model_block blocks[SLOTS];
	struct thread threads[THREADS];
	uint32_t next_tid, epoch;
	struct {
		uint64_t file_offset;
		int file; /* -1: nothing is mapped */
	} places[PLACES];
	int object_of_file[FILES], object_count; /* in the order in which they were met */
	struct {
		uint64_t id;
		uint32_t point;
	} stacks[STACKS];
	int stack_count;
	struct meaning meanings[POINTS];
	struct point points[POINTS];
	uint32_t point_count;
	struct heap_totals totals;
	uint64_t nested, given_back, lost_frees, lost_ends;

	struct heap *heap;
	struct stacks *known_stacks;
	struct mappings *mappings;
	struct collector collector;
};

static uint32_t below(struct life *life, uint32_t limit)
{
	life->random = life->random * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
	return (life->random >> 33) % limit;
}

static uint64_t addr_of(int slot)
{
	return 0x10000 + (uint64_t)(slot / 2) * 0x100;
}

static uint8_t domain_of(int slot)
{
	return slot % 2;
}

/* Everything that lives, added up anew. */
static void note(struct life *life, bool is_allocation, uint32_t point)
{
	struct heap_totals *totals = &life->totals;

	totals->live_bytes = totals->live_blocks = 0;
	for (uint32_t i = 0; i < life->point_count; i++)
		life->points[i].live_bytes = life->points[i].live_blocks = 0;
	for (int i = 0; i < SLOTS + THREADS; i++) {
		const struct thread *thread = i < SLOTS ? NULL : &life->threads[i - SLOTS];
		const struct model_block *block = thread ? &thread->old : &life->blocks[i];

		if (thread ? !thread->is_resizing || !thread->old_is_known : !block->is_live)
			continue;
		totals->live_bytes += block->size;
		totals->live_blocks++;
		life->points[block->point].live_bytes += block->size;
		life->points[block->point].live_blocks++;
	}
	if (!is_allocation)
		return;
	if (life->points[point].live_bytes >= life->points[point].max_bytes) {
		life->points[point].max_bytes = life->points[point].live_bytes;
		life->points[point].max_blocks = life->points[point].live_blocks;
	}
	if (totals->live_bytes < totals->peak_bytes)
		return;
	totals->peak_bytes = totals->live_bytes;
	totals->peak_blocks = totals->live_blocks;
	totals->peak_time_ns = life->time;
	for (uint32_t i = 0; i < life->point_count; i++) {
		life->points[i].peak_bytes = life->points[i].live_bytes;
		life->points[i].peak_blocks = life->points[i].live_blocks;
	}
}

static void die(struct life *life, struct model_block *block)
{
	life->points[block->point].dead_ns += life->time - block->birth;
	block->is_live = false;
}

static void be_born(struct life *life, int slot, uint64_t size, uint32_t at, uint64_t birth)
{
	struct point *point = &life->points[at];
	struct model_block *block = &life->blocks[slot];

	size = size ? size : 1;
	life->totals.total_bytes += size;
	life->totals.total_blocks++;
	point->total_bytes += size;
	if (point->total_blocks++ == 0)
		point->first_ns = life->time;
	point->last_ns = life->time;
	if (block->is_live) { /* its free was lost */
		life->totals.seen_twice++;
		die(life, block);
	}
	*block = (struct model_block){ true, true, true, size, birth, at };
	note(life, true, at);
}

static void count_unknown(struct life *life, uint64_t bytes)
{
	life->totals.unknown_frees++;
	life->totals.unknown_free_bytes += bytes;
}

/* The thread does something, and the end of its realloc has not come. */
static void give_up(struct life *life, struct thread *thread)
{
	if (!thread->is_resizing)
		return;
	life->totals.unfinished_reallocs++;
	if (thread->old_is_known)
		die(life, &thread->old);
	else
		count_unknown(life, thread->old_bytes);
	thread->is_resizing = false;
	note(life, false, 0);
}

/* ---- records ------------------------------------------------------------------------------ */

#define HEAD(t, s, d, tid_)                                                                        \
	{                                                                                          \
		.type = t, .domain = d, .size = sizeof(struct s), .tid = tid_                      \
	}
#define feed(r) assert_int_equal(collector_feed(&life->collector, &(r), sizeof(r)), 0)

static void map_something(struct life *life)
{
	int place = below(life, PLACES), file = below(life, FILES);
	uint64_t offset = (uint64_t)below(life, 3) * 0x1000;
	struct dhat_record_map map = {
		.head = HEAD(DHAT_RECORD_MAP, dhat_record_map, 0, life->threads[0].tid),
		.time_ns = life->time,
		.start = CODE + place * 0x1000,
		.end = CODE + (place + 1) * 0x1000,
		.file_offset = offset,
		.inode = 100 + file,
		.dev_major = 8,
	};
	struct dhat_record_change change = {
		.head = HEAD(DHAT_RECORD_CHANGE, dhat_record_change, 0, life->threads[0].tid),
		.time_ns = life->time,
		.epoch = ++life->epoch,
	};

	feed(change);
	feed(map);
	life->places[place].file = file;
	life->places[place].file_offset = offset;
	if (life->object_of_file[file] < 0)
		life->object_of_file[file] = life->object_count++;
	life->stack_count = 0; /* the same frames have another id from now on */
}

static uint32_t point_of(struct life *life, const struct meaning *meaning)
{
	for (uint32_t i = STACK_POINT_FIRST; i < life->point_count; i++)
		if (!memcmp(&life->meanings[i], meaning, sizeof(*meaning)))
			return i;
	assert_true(life->point_count < POINTS);
	life->meanings[life->point_count] = *meaning;
	return life->point_count++;
}

/* A stack that was never sent in this epoch. */
static void send_stack(struct life *life, uint32_t tid)
{
	struct {
		struct dhat_record_stack stack;
		uint64_t frames[4];
	} record = { .stack = { .head = HEAD(DHAT_RECORD_STACK, dhat_record_stack, 0, tid),
				.stack_id = life->next_stack_id++,
				.epoch = life->epoch,
				.frame_count = 1 + below(life, 4),
				.stop = below(life, 8) ? 0 : DHAT_STOP_JIT } };
	struct meaning meaning;

	memset(&meaning, 0, sizeof(meaning)); /* compared as bytes */
	meaning.count = record.stack.frame_count;
	meaning.stop = record.stack.stop;
	for (uint32_t i = 0; i < meaning.count; i++) {
		bool is_exact = below(life, 8) == 0;
		uint64_t addr = CODE + below(life, PLACES + 1) * 0x1000 + below(life, 3) * 8;
		uint64_t at = is_exact ? addr : addr - 1;
		uint64_t place = at < CODE ? PLACES : (at - CODE) >> 12;
		struct frame *frame = &meaning.frames[i];

		record.frames[i] = addr | (is_exact ? DHAT_FRAME_EXACT_PC : 0);
		frame->addr =
			is_exact ? addr << 1 | 1 : addr << 1; /* with the bit, to tell them apart */
		frame->object = MAPPINGS_NO_OBJECT;
		if (place < PLACES && life->places[place].file >= 0) {
			frame->object = life->object_of_file[life->places[place].file];
			frame->file_offset =
				addr - (CODE + place * 0x1000) + life->places[place].file_offset;
			frame->addr = is_exact; /* wherever it is mapped */
		}
	}
	record.stack.head.size = sizeof(record);
	feed(record);
	life->stacks[life->stack_count].id = record.stack.stack_id;
	life->stacks[life->stack_count++].point = point_of(life, &meaning);
}

/* A stack to allocate at: an old one, a new one, or one that was lost. */
static uint64_t choose_stack(struct life *life, uint32_t tid, uint32_t *ret_point)
{
	int i;

	*ret_point = STACK_POINT_LOST;
	if (below(life, 40) == 0)
		return below(life, 2) ? 0 : 0xdead0000 + below(life, 100);
	if (life->stack_count == 0 || (life->stack_count < STACKS && below(life, 10) == 0))
		send_stack(life, tid);
	i = below(life, life->stack_count);
	*ret_point = life->stacks[i].point;
	return life->stacks[i].id;
}

/* One that the program holds, or one that nobody has; -1: there is none. */
static int choose_slot(struct life *life, bool is_held)
{
	int first = below(life, SLOTS);

	for (int i = 0; i < SLOTS; i++) {
		int slot = (first + i) % SLOTS;
		const struct model_block *block = &life->blocks[slot];

		if (is_held ? block->is_held : !block->is_taken)
			return slot;
	}
	return -1;
}

static uint64_t choose_size(struct life *life)
{
	return below(life, 20) == 0 ? 0 : below(life, 4096);
}

static void allocate(struct life *life, struct thread *thread)
{
	int slot = choose_slot(life, false);
	struct dhat_record_alloc record;
	uint64_t stack_id;
	uint32_t point;

	if (slot < 0)
		return;
	stack_id = choose_stack(life, thread->tid, &point);
	record = (struct dhat_record_alloc){
		HEAD(DHAT_RECORD_ALLOC, dhat_record_alloc, domain_of(slot), thread->tid),
		life->time, addr_of(slot), choose_size(life), stack_id
	};
	give_up(life, thread);
	thread->freed = -1;
	be_born(life, slot, record.size_bytes, point, life->time);
	feed(record);
}

static void feed_free(struct life *life, uint32_t tid, uint8_t domain, uint64_t addr,
		      uint64_t chunk)
{
	struct dhat_record_free record = { HEAD(DHAT_RECORD_FREE, dhat_record_free, domain, tid),
					   life->time, addr, chunk };

	feed(record);
}

static void release(struct life *life, struct thread *thread)
{
	int slot = choose_slot(life, true);
	struct model_block *block;
	bool was_known;

	if (slot < 0)
		return;
	block = &life->blocks[slot];
	block->is_taken = block->is_held = false;
	if (life->has_losses && below(life, 10) == 0) {
		life->lost_frees++;
		return;
	}
	give_up(life, thread);
	was_known = block->is_live;
	if (was_known) {
		die(life, block);
	} else if (thread->freed == slot) { /* taken for the same free once more */
		life->nested++;
	} else { /* closed before: the end of its realloc was lost */
		count_unknown(life, 0x20 - 8);
	}
	note(life, false, 0);
	thread->freed = was_known ? slot : -1;
	feed_free(life, thread->tid, domain_of(slot), addr_of(slot), 0x21);
	if (!was_known || below(life, 10))
		return;
	feed_free(life, thread->tid, domain_of(slot), addr_of(slot), 0x21); /* inside this one */
	thread->freed = -1;
	life->nested++;
}

/* Of a block from before the observation. */
static void release_unknown(struct life *life, struct thread *thread)
{
	give_up(life, thread);
	thread->freed = -1;
	feed_free(life, thread->tid, 0, 0x900000 + below(life, 1000) * 16, 0x31);
	count_unknown(life, 0x30 - 8);
}

static void begin_resize(struct life *life, struct thread *thread)
{
	static const enum dhat_realloc_result results[] = { DHAT_REALLOC_MOVED, DHAT_REALLOC_MOVED,
							    DHAT_REALLOC_MOVED, DHAT_REALLOC_FAILED,
							    DHAT_REALLOC_FREED };
	int slot = below(life, 10) ? choose_slot(life, true) : -1;
	struct dhat_record_realloc_begin record = {
		HEAD(DHAT_RECORD_REALLOC_BEGIN, dhat_record_realloc_begin,
		     slot < 0 ? 0 : domain_of(slot), thread->tid),
		life->time, slot < 0 ? 0x900000 + below(life, 1000) * 16 : addr_of(slot), 0x41
	};

	give_up(life, thread);
	*thread = (struct thread){
		.tid = thread->tid,
		.freed = -1,
		.is_resizing = true,
		.is_lost = life->has_losses && below(life, 10) == 0,
		.old_slot = slot,
		.new_slot = -1,
		.old_addr = record.old_addr,
		.old_bytes = 0x40 - 8,
		.result = results[below(life, 5)],
	};
	if (slot >= 0) {
		struct model_block *block = &life->blocks[slot];

		thread->old_is_known = block->is_live;
		thread->old = *block;
		block->is_live = block->is_held = false;
		/* a block that stays where it is is nobody else's meanwhile */
		if (thread->result == DHAT_REALLOC_MOVED && below(life, 2))
			thread->new_slot = slot;
		else if (thread->result != DHAT_REALLOC_FAILED)
			block->is_taken = false;
	}
	if (thread->result == DHAT_REALLOC_MOVED && thread->new_slot < 0) {
		int to = choose_slot(life, false);

		/* in the domain that it was in */
		if (to >= 0 && domain_of(to) == record.head.domain)
			thread->new_slot = to;
		else
			thread->result = DHAT_REALLOC_FAILED;
		if (thread->result == DHAT_REALLOC_FAILED && slot >= 0)
			life->blocks[slot].is_taken = true;
		else if (thread->new_slot >= 0)
			life->blocks[thread->new_slot].is_taken = true;
	}
	feed(record);
}

static void end_resize(struct life *life, struct thread *thread)
{
	uint32_t point = STACK_POINT_LOST;
	uint64_t stack_id = 0;
	struct dhat_record_realloc_end record;
	struct model_block *old = &thread->old;

	if (thread->is_lost) {
		life->lost_ends++;
		thread->is_dangling = true; /* until something else is heard of it */
		if (thread->result == DHAT_REALLOC_FAILED && thread->old_slot >= 0)
			life->blocks[thread->old_slot].is_held = true;
		else if (thread->new_slot >= 0)
			life->blocks[thread->new_slot].is_held = true;
		return;
	}
	if (thread->result == DHAT_REALLOC_MOVED)
		stack_id = choose_stack(life, thread->tid, &point);
	record = (struct dhat_record_realloc_end){
		HEAD(DHAT_RECORD_REALLOC_END, dhat_record_realloc_end,
		     thread->old_slot < 0 ? 0 : domain_of(thread->old_slot), thread->tid),
		life->time,
		thread->old_addr,
		thread->new_slot < 0 ? 0 : addr_of(thread->new_slot),
		thread->result == DHAT_REALLOC_FREED ? 0 : choose_size(life),
		stack_id,
		thread->result,
		0
	};
	thread->is_resizing = false;
	if (thread->result == DHAT_REALLOC_FAILED) {
		if (thread->old_is_known)
			life->blocks[thread->old_slot] = *old;
		else if (thread->old_slot >= 0)
			life->blocks[thread->old_slot].is_held = true;
	} else if (thread->result == DHAT_REALLOC_FREED) {
		if (thread->old_is_known)
			die(life, old);
		else
			count_unknown(life, thread->old_bytes);
	} else if (thread->old_is_known) { /* it goes on, at the point where it was born */
		be_born(life, thread->new_slot, record.size_bytes, old->point, old->birth);
	} else {
		count_unknown(life, thread->old_bytes);
		be_born(life, thread->new_slot, record.size_bytes, point, life->time);
	}
	note(life, false, 0);
	feed(record);
}

/* With its cache: blocks that are free, and the cache itself. Another takes its place. */
static void end_thread(struct life *life, struct thread *thread)
{
	struct dhat_record_life end = {
		.head = HEAD(DHAT_RECORD_THREAD_EXIT, dhat_record_life, 0, thread->tid),
		.time_ns = life->time,
		.pid = 1,
	};
	uint32_t cached = below(life, 4);

	give_up(life, thread);
	for (uint32_t i = 0; i < cached; i++)
		feed_free(life, thread->tid, 0, 0x800000 + below(life, 1000) * 16, 0x31 | KEY);
	feed_free(life, thread->tid, 0, 0x880000 + thread->tid * 0x300, CACHE);
	feed(end);
	life->given_back += cached + 1;
	*thread = (struct thread){ .tid = life->next_tid++, .freed = -1 };
}

static void step(struct life *life)
{
	struct thread *thread = &life->threads[below(life, THREADS)];
	uint32_t what = below(life, 1000);

	life->time += below(life, 1000);
	if (thread->is_resizing && !thread->is_dangling) {
		if (below(life, 3) == 0)
			end_resize(life, thread);
		return;
	}
	if (what < 8)
		map_something(life);
	else if (what < 20)
		end_thread(life, thread);
	else if (what < 50)
		release_unknown(life, thread);
	else if (what < 200)
		begin_resize(life, thread);
	else if (what < 620)
		allocate(life, thread);
	else
		release(life, thread);
}

/* ---- comparison --------------------------------------------------------------------------- */

static void compare_points(const struct life *life)
{
	struct heap_totals totals;
	struct heap_point *points = NULL;
	uint32_t count = 0;

	assert_int_equal(heap_copy(life->heap, &totals, &points, &count), 0);
#define SAME(field) assert_int_equal(totals.field, life->totals.field)
	SAME(total_bytes);
	SAME(total_blocks);
	SAME(live_bytes);
	SAME(live_blocks);
	SAME(peak_bytes);
	SAME(peak_blocks);
	SAME(peak_time_ns);
	SAME(seen_twice);
	SAME(unknown_frees);
	SAME(unknown_free_bytes);
	SAME(unfinished_reallocs);
	SAME(blocks_refused);
#undef SAME
	for (uint32_t i = 0; i < life->point_count; i++) {
		static const struct heap_point none;
		const struct heap_point *point = i < count ? &points[i] : &none;
		const struct point *want = &life->points[i];

#define SAME(field) assert_int_equal(point->field, want->field)
		SAME(total_bytes);
		SAME(total_blocks);
		SAME(max_bytes);
		SAME(max_blocks);
		SAME(peak_bytes);
		SAME(peak_blocks);
		SAME(live_bytes);
		SAME(live_blocks);
		SAME(first_ns);
		SAME(last_ns);
#undef SAME
		assert_int_equal((uint64_t)point->dead_lifetimes_ns, want->dead_ns);
	}
	free(points);
}

static void compare_meanings(const struct life *life)
{
	assert_int_equal(stacks_count(life->known_stacks), life->point_count);
	for (uint32_t i = STACK_POINT_FIRST; i < life->point_count; i++) {
		const struct meaning *want = &life->meanings[i];
		struct stack_view view;

		stacks_view(life->known_stacks, i, &view);
		assert_int_equal(view.frame_count, want->count);
		assert_int_equal(view.stop, want->stop);
		for (uint32_t k = 0; k < want->count; k++) {
			assert_int_equal(view.frames[k].object, want->frames[k].object);
			assert_int_equal(view.frames[k].is_exact_pc, want->frames[k].addr & 1);
			if (want->frames[k].object == MAPPINGS_NO_OBJECT)
				assert_int_equal(view.frames[k].addr, want->frames[k].addr >> 1);
			else
				assert_int_equal(view.frames[k].file_offset,
						 want->frames[k].file_offset);
		}
	}
}

static struct life *life_new(uint64_t seed, bool has_losses)
{
	struct life *life = calloc(1, sizeof(*life));

	assert_non_null(life);
	life->random = seed;
	life->time = life->next_stack_id = 1000;
	life->has_losses = has_losses;
	life->point_count = STACK_POINT_FIRST;
	life->next_tid = 2;
	for (int i = 0; i < THREADS; i++)
		life->threads[i] = (struct thread){ .tid = life->next_tid++, .freed = -1 };
	for (int i = 0; i < PLACES; i++)
		life->places[i].file = -1;
	for (int i = 0; i < FILES; i++)
		life->object_of_file[i] = -1;
	assert_int_equal(heap_new(0, &life->heap), 0);
	assert_int_equal(stacks_new(POINTS, &life->known_stacks), 0);
	assert_int_equal(mappings_new(&life->mappings), 0);
	assert_int_equal(
		collector_init(&life->collector, life->heap, life->known_stacks, life->mappings),
		0);
	return life;
}

static void life_free(struct life *life)
{
	collector_deinit(&life->collector);
	heap_free(life->heap);
	stacks_free(life->known_stacks);
	mappings_free(life->mappings);
	free(life);
}

static void live(bool has_losses)
{
	uint64_t twice = 0, unfinished = 0, nested = 0, given_back = 0, points = 0;

	for (uint64_t seed = 1; seed <= LIVES; seed++) {
		struct life *life = life_new(seed, has_losses);

		for (int i = 0; i < EVENTS; i++) {
			step(life);
			if (i % 97 == 0)
				compare_points(life);
		}
		compare_points(life);
		compare_meanings(life);
		assert_int_equal(life->collector.malformed, 0);
		assert_int_equal(life->collector.out_of_memory, 0);
		assert_int_equal(life->collector.nested_frees, life->nested);
		assert_int_equal(life->collector.thread_cache_frees, life->given_back);
		twice += life->totals.seen_twice;
		unfinished += life->totals.unfinished_reallocs;
		nested += life->nested;
		given_back += life->given_back;
		points += life->point_count;
		life_free(life);
	}
	/* the lives were rich */
	assert_true(nested > 100 && given_back > 100 && points > 20 * LIVES);
	assert_int_equal(has_losses, twice > 100);
	assert_int_equal(has_losses, unfinished > 100);
}

static void without_losses(void **state)
{
	live(false);
}

static void with_losses(void **state)
{
	live(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_losses),
		cmocka_unit_test(with_losses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
