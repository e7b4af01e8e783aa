/* collector: a small life of a process as records, then records that nobody should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/uio.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/account/collector.h"
#include "proto/base/cleanup.h"
#include "proto/profile/histogram.h"

struct world {
	struct heap *heap;
	struct stacks *stacks;
	struct mappings *mappings;
	struct collector collector;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	assert_int_equal(heap_new(0, &world->heap), 0);
	assert_int_equal(stacks_new(1000, &world->stacks), 0);
	assert_int_equal(mappings_new(&world->mappings), 0);
	assert_int_equal(
		collector_init(&world->collector, world->heap, world->stacks, world->mappings), 0);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	collector_deinit(&world->collector);
	heap_free(world->heap);
	stacks_free(world->stacks);
	mappings_free(world->mappings);
	free(world);
	return 0;
}

static struct heap_totals totals_of(const struct world *world)
{
	struct heap_totals totals;

	heap_totals(world->heap, &totals);
	return totals;
}

/* ---- records ------------------------------------------------------------------------------ */

#define HEAD(t, s, tid_)                                                                           \
	{                                                                                          \
		.type = t, .size = sizeof(struct s), .tid = tid_                                   \
	}
#define feed(r) collector_feed(&world->collector, &(r), sizeof(r))

static int feed_alloc(struct world *world, uint32_t tid, uint64_t addr, uint64_t size,
		      uint64_t stack, uint64_t time)
{
	struct dhat_record_alloc record = { HEAD(DHAT_RECORD_ALLOC, dhat_record_alloc, tid), time,
					    addr, size, stack };

	return feed(record);
}

static int feed_free(struct world *world, uint32_t tid, uint64_t addr, uint64_t chunk,
		     uint64_t time)
{
	struct dhat_record_free record = { HEAD(DHAT_RECORD_FREE, dhat_record_free, tid), time,
					   addr, chunk };

	return feed(record);
}

static int feed_map_alloc(struct world *world, uint32_t tid, uint64_t addr, uint64_t size,
			  uint64_t stack, uint64_t time)
{
	struct dhat_record_alloc record = { HEAD(DHAT_RECORD_ALLOC, dhat_record_alloc, tid), time,
					    addr, size, stack };

	record.head.domain = DHAT_DOMAIN_ANON;
	return feed(record);
}

static int feed_begin(struct world *world, uint32_t tid, uint64_t addr, uint64_t time)
{
	struct dhat_record_realloc_begin record = {
		HEAD(DHAT_RECORD_REALLOC_BEGIN, dhat_record_realloc_begin, tid), time, addr, 0x31
	};

	return feed(record);
}

static int feed_end(struct world *world, uint32_t tid, uint64_t old, uint64_t new, uint64_t size,
		    uint64_t stack, uint32_t result, uint64_t time)
{
	struct dhat_record_realloc_end record = {
		HEAD(DHAT_RECORD_REALLOC_END, dhat_record_realloc_end, tid),
		time,
		old,
		new,
		size,
		stack,
		result,
		0
	};

	return feed(record);
}

static int feed_stack(struct world *world, uint64_t id, uint64_t frame)
{
	struct {
		struct dhat_record_stack stack;
		uint64_t frames[1];
	} record = { .stack = { .head = { .type = DHAT_RECORD_STACK, .size = sizeof(record) },
				.stack_id = id,
				.frame_count = 1 },
		     .frames = { frame } };

	return feed(record);
}

static int feed_map(struct world *world, uint64_t start, uint64_t end, uint64_t inode)
{
	struct dhat_record_map record = { .head = HEAD(DHAT_RECORD_MAP, dhat_record_map, 1),
					  .start = start,
					  .end = end,
					  .inode = inode,
					  .dev_major = 8 };

	return feed(record);
}

static int feed_life(struct world *world, uint8_t type, uint32_t child)
{
	struct dhat_record_life record = { .head = HEAD(type, dhat_record_life, 1),
					   .time_ns = 50,
					   .pid = child };

	return feed(record);
}

static int feed_thread(struct world *world, uint32_t tid, const char *name)
{
	struct dhat_record_thread record = {
		.head = HEAD(DHAT_RECORD_THREAD, dhat_record_thread, 1), .named_tid = tid
	};

	strncpy(record.name, name, sizeof(record.name));
	return feed(record);
}

/* ---- tests -------------------------------------------------------------------------------- */

static void a_small_life(void **state)
{
	struct world *world = *state;
	struct dhat_record_change change = {
		.head = HEAD(DHAT_RECORD_CHANGE, dhat_record_change, 1),
		.epoch = 1,
	};
	struct collector_news news;
	struct stack_view view;

	assert_int_equal(feed_map(world, 0x1000, 0x9000, 5), 0);
	news = collector_take_news(&world->collector);
	assert_true(news.has_mapped && !news.has_changed && !news.has_replaced);
	assert_int_equal(mappings_find(world->mappings, 0x1000)->object, 0);
	assert_int_equal(feed_stack(world, 77, 0x1234), 0);
	assert_int_equal(feed_alloc(world, 1, 0x100, 1000, 77, 10), 0);
	assert_int_equal(feed_alloc(world, 1, 0x200, 500, 0, 11), 0); /* its stack was lost */
	assert_int_equal(feed_begin(world, 1, 0x100, 12), 0);
	assert_int_equal(feed_end(world, 1, 0x100, 0x300, 2000, 77, DHAT_REALLOC_MOVED, 13), 0);
	assert_int_equal(feed_free(world, 2, 0x200, 0, 14), 0);
	assert_int_equal(feed_free(world, 2, 0x900, 0x2001 | 1, 15), 0);
	assert_int_equal(feed(change), 0);
	assert_int_equal(feed_life(world, DHAT_RECORD_FORK, 4711), 0);
	assert_int_equal(feed_life(world, DHAT_RECORD_FORK, 4712), 0);
	/* once: what is taken is no news any more */
	news = collector_take_news(&world->collector);
	assert_true(news.has_changed && !news.has_mapped && !news.has_replaced && !news.has_exited);
	assert_int_equal(news.epoch, 1);
	assert_int_equal(news.child_count, 2);
	assert_int_equal(news.children[0].pid, 4711);
	assert_int_equal(news.children[1].pid, 4712);
	collector_news_deinit(&news);
	news = collector_take_news(&world->collector);
	assert_true(!news.has_changed && !news.has_mapped && news.child_count == 0);

	assert_int_equal(totals_of(world).total_bytes, 3500);
	assert_int_equal(totals_of(world).live_bytes, 2000);
	assert_int_equal(totals_of(world).unknown_frees, 1);
	assert_int_equal(totals_of(world).unknown_free_bytes, 0x2000 - 8);
	assert_int_equal(heap_point_total_blocks(world->heap, STACK_POINT_FIRST), 2);
	assert_int_equal(heap_point_total_blocks(world->heap, STACK_POINT_LOST), 1);
	assert_int_equal(heap_point_total_blocks(world->heap, 900), 0);
	stacks_view(world->stacks, STACK_POINT_FIRST, &view);
	assert_int_equal(view.frames[0].object, 0);
	assert_int_equal(world->collector.records[DHAT_RECORD_ALLOC], 2);
	assert_int_equal(world->collector.records[DHAT_RECORD_FREE], 2);
	assert_int_equal(world->collector.last_time_ns, 15);
	assert_int_equal(world->collector.malformed, 0);
}

static void another_event_of_the_thread_ends_a_realloc_whose_end_is_lost(void **state)
{
	struct world *world = *state;

	feed_alloc(world, 1, 0x100, 1000, 0, 10);
	feed_begin(world, 1, 0x100, 12);
	feed_stack(world, 5, 0x1000); /* the stack of the END comes in between */
	feed_alloc(world, 2, 0x400, 1, 0, 13);
	assert_int_equal(totals_of(world).live_bytes, 1001);
	feed_free(world, 1, 0x400, 0, 14);
	assert_int_equal(totals_of(world).live_bytes, 0);
	assert_int_equal(totals_of(world).unfinished_reallocs, 1);
}

#define KEY(key) ((uint64_t)(key) << DHAT_CHUNK_SIZE_BITS | DHAT_CHUNK_LINKED)

static void what_an_ending_thread_gives_back_is_no_program_s_free(void **state)
{
	struct world *world = *state;
	struct dhat_record_life end = { .head = HEAD(DHAT_RECORD_THREAD_EXIT, dhat_record_life, 2),
					.pid = 1 };
	struct heap_totals shown;

	feed_alloc(world, 2, 0x100, 10, 0, 1);
	feed_free(world, 2, 0x100, 0x21, 2);
	feed_free(world, 2, 0x900, 0x31 | KEY(7), 3); /* unknown, and then the thread goes on */
	feed_alloc(world, 2, 0x200, 10, 0, 4);
	feed_free(world, 2, 0x100, 0x21 | KEY(7), 5);  /* from its cache */
	feed_free(world, 3, 0x700, 0x41 | KEY(7), 6);  /* another thread's, which goes on */
	feed_free(world, 2, 0x300, 0x291 | KEY(1), 7); /* the cache itself */
	assert_int_equal(totals_of(world).unknown_frees, 4);
	shown = totals_of(world);
	assert_int_equal(collector_hold_back(&world->collector, &shown), 3);
	assert_int_equal(shown.unknown_frees, 1);
	assert_int_equal(feed(end), 0);
	assert_int_equal(totals_of(world).unknown_frees, 2);
	assert_int_equal(totals_of(world).unknown_free_bytes, 0x30 - 8 + 0x40 - 8);
	assert_int_equal(world->collector.thread_cache_frees, 2);
	assert_int_equal(totals_of(world).live_bytes, 10);
	assert_int_equal(feed(end), 0);
	assert_int_equal(world->collector.thread_cache_frees, 2);

	/* the end of the process cuts another thread short */
	feed_free(world, 4, 0x800, 0x31 | KEY(7), 8);
	end.head.type = DHAT_RECORD_EXIT;
	end.head.tid = 4;
	assert_int_equal(feed(end), 0);
	assert_int_equal(world->collector.thread_cache_frees, 3);
	/* the first thread gives nothing back: what it freed last was the program's */
	feed_free(world, 1, 0x820, 0x31 | KEY(7), 9);
	end.head.tid = 1;
	assert_int_equal(feed(end), 0);
	assert_int_equal(world->collector.thread_cache_frees, 3);
	assert_int_equal(totals_of(world).unknown_frees, 3);
}

static uint64_t threads_at(const struct world *world, uint64_t stack_id)
{
	return heap_point_threads(world->heap, stacks_point(world->stacks, stack_id));
}

/* Which threads have allocated at a point: by what they were called then. */
static void threads_are_known_by_name(void **state)
{
	struct world *world = *state;
	char there[DHAT_THREAD_CHARS] = "there", other[DHAT_THREAD_CHARS] = "other";

	for (uint64_t id = 1; id <= 4; id++)
		assert_int_equal(feed_stack(world, id, 0x1000 + 16 * id), 0);
	collector_name_thread(&world->collector, 7, there);
	assert_int_equal(feed_thread(world, 8, "begun"), 0);
	collector_name_thread(&world->collector, 8, other); /* it has told already */
	assert_int_equal(feed_alloc(world, 7, 0x100, 8, 1, 10), 0);
	assert_int_equal(threads_at(world, 1), 1 << 1);
	assert_int_equal(feed_alloc(world, 8, 0x200, 8, 2, 11), 0);
	assert_int_equal(threads_at(world, 2), 1 << 2);
	assert_int_equal(feed_thread(world, 8, "renamed"), 0);
	assert_int_equal(feed_alloc(world, 8, 0x300, 8, 2, 12), 0);
	assert_int_equal(threads_at(world, 2), 1 << 2 | 1 << 4);
	assert_string_equal(world->collector.names.names[3], "renamed");
	/* a thread that nobody has named; one that ends; and another with its number */
	assert_int_equal(feed_alloc(world, 9, 0x400, 8, 3, 13), 0);
	assert_int_equal(threads_at(world, 3), 1);
	world->collector.news = (struct collector_news){ 0 };
	newest_forget(&world->collector.newest, 8);
	assert_int_equal(feed_alloc(world, 8, 0x500, 8, 4, 14), 0);
	assert_int_equal(threads_at(world, 4), 1);
	/* a block that is moved stays where it came from */
	assert_int_equal(feed_begin(world, 7, 0x200, 15), 0);
	assert_int_equal(feed_end(world, 7, 0x200, 0x600, 9, 3, DHAT_REALLOC_MOVED, 16), 0);
	assert_int_equal(threads_at(world, 3), 1);
	/* one of which nobody knew is new where it is moved; and so is what a thread maps */
	assert_int_equal(feed_end(world, 7, 0x800, 0x810, 9, 3, DHAT_REALLOC_MOVED, 16), 0);
	assert_int_equal(threads_at(world, 3), 1 | 1 << 1);
	assert_int_equal(feed_map_alloc(world, 7, 0x10000, 4096, 4, 16), 0);
	assert_int_equal(threads_at(world, 4), 1 | 1 << 1);
	/* whose stack is lost */
	assert_int_equal(feed_alloc(world, 7, 0x700, 8, 99, 17), 0);
	assert_int_equal(heap_point_threads(world->heap, STACK_POINT_LOST), 1 << 1);
}

static void after_exec_the_old_profile_is_closed(void **state)
{
	struct world *world = *state;
	struct collector_news news;

	feed_alloc(world, 1, 0x100, 1000, 0, 10);
	assert_int_equal(feed_life(world, DHAT_RECORD_EXEC, 0), 0);
	assert_true(world->collector.is_closed);
	assert_int_equal(feed_alloc(world, 1, 0x200, 5, 0, 60), 0);
	assert_int_equal(feed_life(world, DHAT_RECORD_FORK, 9), 0);
	assert_int_equal(world->collector.ignored, 2);
	news = collector_take_news(&world->collector);
	assert_true(news.has_replaced);
	assert_int_equal(news.child_count, 0);
	assert_int_equal(totals_of(world).live_bytes, 1000);
}

static void chunk_words_tell_usable_bytes(void **state)
{
	assert_int_equal(collector_chunk_bytes(0x7010, 0x21), 24);
	assert_int_equal(collector_chunk_bytes(0x7010, 0x20 | 5), 24);	   /* another arena's */
	assert_int_equal(collector_chunk_bytes(0x7010, 0x21002), 0x20ff0); /* mmapped */
	/* since 2.43; with the head moved up in its mapping for the block to be aligned */
	assert_int_equal(collector_chunk_bytes(0x7010, 0x20ff2), 0x20fe8);
	assert_int_equal(collector_chunk_bytes(0x8000, 0x21012), 0x21000);
	assert_int_equal(collector_chunk_bytes(0x8000, 0x21002), 0x20ff8);
	assert_int_equal(collector_chunk_bytes(0x7010, 0), 0);
	assert_int_equal(collector_chunk_bytes(0x7010, 0x11), 0);
	assert_int_equal(collector_chunk_bytes(0x7010, 0x28), 0);
	assert_int_equal(collector_chunk_bytes(0x7010, 0x21 | KEY(0xffff)), 24);
	assert_int_equal(collector_chunk_bytes(0x7010, UINT64_MAX), 0);
}

/* Each type cut to each size: refused as long as something of it is missing. */
static void short_records_are_malformed(void **state)
{
	static const size_t least[COLLECTOR_TYPES] = { 0,  40, 32, 32, 56, 32, 56,
						       24, 24, 24, 24, 24, 32, 32 };
	struct world *world = *state;
	uint64_t malformed = 0;

	for (int type = 0; type < COLLECTOR_TYPES; type++) {
		for (size_t size = 0; size <= 64; size++) {
			uint64_t words[8] = { 0 };
			struct dhat_record *head = (void *)words;
			int err;

			words[3] = 1; /* an end above the start, a stack id */
			words[2] = type == DHAT_RECORD_STACK;
			words[1] = 1;
			if (type == DHAT_RECORD_MAP)
				words[2] = 0;
			head->type = type;
			head->size = size;
			world->collector.is_closed = false;
			err = collector_feed(&world->collector, words, size);
			if (least[type] == 0 || size < least[type])
				assert_int_equal(err, -EBADMSG);
			else
				assert_int_not_equal(err, -ENOMEM);
			malformed += err == -EBADMSG;
			head->size = size + 8; /* says more than there is */
			world->collector.is_closed = false;
			assert_int_equal(collector_feed(&world->collector, words, size), -EBADMSG);
			malformed++;
		}
	}
	assert_int_equal(world->collector.malformed, malformed);
}

static void impossible_values_are_malformed(void **state)
{
	struct world *world = *state;
	union {
		struct dhat_record_stack stack;
		uint64_t words[4 + DHAT_MAX_FRAMES + 1];
	} record = { .stack = { .head = { .type = DHAT_RECORD_STACK, .size = sizeof(record) },
				.stack_id = 5,
				.frame_count = DHAT_MAX_FRAMES } };

	assert_int_equal(feed(record), 0);
	record.stack.frame_count = DHAT_MAX_DEPTH; /* of which as many were kept */
	record.stack.stack_id = 7;
	assert_int_equal(feed(record), 0);
	record.stack.frame_count = DHAT_MAX_DEPTH + 1;
	record.stack.stack_id = 6;
	assert_int_equal(feed(record), -EBADMSG);
	record.stack.frame_count = 2;
	record.stack.head.size = sizeof(record.stack) + 8;
	assert_int_equal(feed(record), -EBADMSG);
	record.stack.frame_count = 1;
	record.stack.stop = DHAT_STOP_COUNT;
	assert_int_equal(feed(record), -EBADMSG);
	record.stack.stop = 0;
	record.stack.stack_id = 0;
	assert_int_equal(feed(record), -EBADMSG);
	assert_int_equal(feed_end(world, 1, 1, 1, 1, 1, DHAT_REALLOC_FREED + 1, 1), -EBADMSG);
	assert_int_equal(feed_map(world, 0x2000, 0x1000, 3), -EBADMSG);
	assert_false(world->collector.news.has_mapped);
	assert_int_equal(world->collector.malformed, 6);
	assert_int_equal(collector_feed(&world->collector, (char *)&record + 4, 64), -EBADMSG);
}

/* Random bytes behind a plausible head: nothing may crash, and every record is accounted for. */
static void random_bytes_do_no_harm(void **state)
{
	enum { STEPS = 400000 };
	struct world *world = *state;
	uint64_t fed = 0, sum;
	unsigned seed = 99;

	for (int step = 0; step < STEPS; step++) {
		uint64_t words[16];
		struct dhat_record *head = (void *)words;
		size_t size = rand_r(&seed) % (sizeof(words) + 1);

		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			words[i] = rand_r(&seed) % 4
					   ? (uint64_t)rand_r(&seed) % 64
					   : (uint64_t)rand_r(&seed) << (rand_r(&seed) % 40);
		head->type = rand_r(&seed) % (COLLECTOR_TYPES + 2);
		head->size = rand_r(&seed) % 8 ? size : (unsigned)rand_r(&seed) % 65536;
		world->collector.is_closed = false;
		collector_feed(&world->collector, words, size);
		fed++;
	}
	sum = world->collector.malformed + world->collector.out_of_memory;
	for (int type = 0; type < COLLECTOR_TYPES; type++)
		sum += world->collector.records[type];
	assert_int_equal(sum, fed);
	assert_true(world->collector.records[DHAT_RECORD_REALLOC_END] > 1000);
	assert_int_equal(world->collector.out_of_memory, 0);
}

/* A record of any type, well formed or not, of few addresses, stacks and threads. */
static size_t random_record(unsigned *seed, uint64_t words[8])
{
	static const uint8_t sizes[] = { 16, 40, 32, 32, 56, 40, 56, 24 };
	struct dhat_record *head = (void *)words;

	memset(words, 0, 64);
	head->type = (unsigned)rand_r(seed) % 100 < 80 ? 1 + rand_r(seed) % 2 : rand_r(seed) % 6;
	head->size = sizes[head->type];
	head->tid = 1 + rand_r(seed) % 5;
	words[1] = rand_r(seed) % 1000; /* the time, or a stack's id */
	words[2] = 16 + (uint64_t)rand_r(seed) % 4000 * 16;
	if (head->type == DHAT_RECORD_STACK) { /* one frame */
		words[1] = 1 + rand_r(seed) % 300;
		words[2] = 1ull << 32;
		words[4] = 0x1000 + words[1];
	} else if (head->type == DHAT_RECORD_ALLOC) {
		words[3] = rand_r(seed) % 100;
		words[4] = 1 + rand_r(seed) % 300;
	} else if (head->type == DHAT_RECORD_REALLOC_END) {
		words[3] = 16 + (uint64_t)rand_r(seed) % 4000 * 16;
		words[4] = rand_r(seed) % 100;
		words[5] = 1 + rand_r(seed) % 300;
		words[6] = rand_r(seed) % 4;
	}
	return rand_r(seed) % 50 ? head->size : 8 + 8 * (rand_r(seed) % 3);
}

static void compare_worlds(const struct world *a, const struct world *b)
{
	struct heap_totals totals[2];
	struct heap_point *points[2];
	uint32_t counts[2];

	assert_int_equal(heap_copy(a->heap, &totals[0], &points[0], &counts[0]), 0);
	assert_int_equal(heap_copy(b->heap, &totals[1], &points[1], &counts[1]), 0);
	assert_memory_equal(&totals[0], &totals[1], sizeof(totals[0]));
	assert_int_equal(counts[0], counts[1]);
	assert_memory_equal(points[0], points[1], counts[0] * sizeof(*points[0]));
	assert_memory_equal(a->collector.records, b->collector.records,
			    sizeof(a->collector.records));
	assert_int_equal(a->collector.malformed, b->collector.malformed);
	assert_int_equal(stacks_count(a->stacks), stacks_count(b->stacks));
	free(points[0]);
	free(points[1]);
}

/* In groups of any size the same comes out; and the tables are large, so that these are used. */
static void groups_equal_one_by_one(void **state)
{
	enum { ROUNDS = 2000, MOST = 200 };
	void *other;
	struct world *single = *state, *grouped;
	unsigned seed = 20261129;

	assert_int_equal(setup(&other), 0);
	grouped = other;
	for (uint64_t i = 0; i < 200000; i++) {
		heap_add_block(single->heap, 3, i, 1, 0, 1);
		heap_add_block(grouped->heap, 3, i, 1, 0, 1);
	}
	assert_true(heap_table_bytes(grouped->heap) > 6 << 20);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t words[MOST][8];
		struct iovec vector[MOST];
		size_t count = rand_r(&seed) % MOST;

		for (size_t i = 0; i < count; i++) {
			vector[i] = (struct iovec){ words[i], random_record(&seed, words[i]) };
			collector_feed(&single->collector, words[i], vector[i].iov_len);
		}
		collector_feed_all(&grouped->collector, vector, count);
	}
	compare_worlds(single, grouped);
	assert_true(single->collector.malformed > 1000);
	assert_true(single->collector.records[DHAT_RECORD_REALLOC_END] > 1000);
	assert_int_equal(stacks_count(single->stacks), STACK_POINT_FIRST + 300);
	teardown(&other);
}

/* H10: its own thread frees it, at once, and before it allocates anything else. */
static void what_is_temporary(void **state)
{
	struct world *world = *state;
	uint32_t point;

	assert_int_equal(feed_stack(world, 77, 0x1234), 0);
	point = stacks_point(world->stacks, 77);
#define EXPECT(number) assert_int_equal(heap_point_temporary_blocks(world->heap, point), number)
	EXPECT(0);
	feed_alloc(world, 1, 0x100, 10, 77, 10);
	feed_alloc(world, 2, 0x200, 10, 77, 11); /* of another thread */
	feed_free(world, 1, 0x100, 0, 12);
	EXPECT(1);
	feed_free(world, 1, 0x200, 0, 13); /* by another thread */
	EXPECT(1);
	feed_alloc(world, 1, 0x100, 10, 77, 20);
	feed_alloc(world, 1, 0x200, 10, 77, 21);
	feed_free(world, 1, 0x100, 0, 22); /* there was one in between */
	EXPECT(1);
	feed_free(world, 1, 0x200, 0, 23); /* but none after this one */
	EXPECT(2);
	/* a second and less */
	feed_alloc(world, 1, 0x100, 10, 77, 30);
	feed_free(world, 1, 0x100, 0, 30 + DHAT_TEMPORARY_NS);
	EXPECT(2);
	feed_alloc(world, 1, 0x100, 10, 77, 30);
	feed_free(world, 1, 0x100, 0, 29 + DHAT_TEMPORARY_NS);
	EXPECT(3);
	/* a reallocation hands out a block, which stays at its point */
	feed_alloc(world, 1, 0x100, 10, 77, 40);
	feed_alloc(world, 1, 0x200, 10, 0, 41);
	feed_begin(world, 1, 0x100, 42);
	feed_end(world, 1, 0x100, 0x300, 20, 0, DHAT_REALLOC_MOVED, 43);
	feed_free(world, 1, 0x200, 0, 44);
	EXPECT(3);
	feed_free(world, 1, 0x300, 0, 45);
	EXPECT(4);
	/* the same address elsewhere is another block */
	feed_alloc(world, 1, 0x100, 10, 77, 50);
	collector_feed(&world->collector,
		       &(struct dhat_record_free){ { .type = DHAT_RECORD_FREE,
						     .domain = 1,
						     .size = sizeof(struct dhat_record_free),
						     .tid = 1 },
						   51,
						   0x100,
						   0 },
		       sizeof(struct dhat_record_free));
	EXPECT(4);
	feed_free(world, 1, 0x100, 0, 52);
	EXPECT(5);
	assert_int_equal(totals_of(world).live_blocks, 0);
#undef EXPECT
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_small_life, setup, teardown),
		cmocka_unit_test_setup_teardown(
			another_event_of_the_thread_ends_a_realloc_whose_end_is_lost, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			what_an_ending_thread_gives_back_is_no_program_s_free, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_temporary, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_are_known_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(after_exec_the_old_profile_is_closed, setup,
						teardown),
		cmocka_unit_test(chunk_words_tell_usable_bytes),
		cmocka_unit_test_setup_teardown(short_records_are_malformed, setup, teardown),
		cmocka_unit_test_setup_teardown(impossible_values_are_malformed, setup, teardown),
		cmocka_unit_test_setup_teardown(random_bytes_do_no_harm, setup, teardown),
		cmocka_unit_test_setup_teardown(groups_equal_one_by_one, setup, teardown),
	};

	return cmocka_run_group_tests_name("collector", tests, NULL, NULL);
}
