/* What a look takes is claimed before, step by step; without room for a step it is refused, and all
 * is given back; what stays after an answer is little. */
#include "daemon/holds/find_words.h"
#include "daemon/holds/layout.h"
#include "daemon/holds/mapping_room.h"
#include "daemon/holds/summary.h"
#include "daemon/reach/renew.h"
#include "tests/unit/counted.h"
#include "tests/unit/daemon/reach/world.h"

#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

DEFINE_CLEANUP_PTR(struct holds *, holds_unref)
DEFINE_CLEANUP_PTR(struct holds_book *, holds_book_free)

#define BUDGET (1ull << 30)

/* ---- step by step --------------------------------------------------------------------------- */

#define LISTED 20000u
#define PAIRS 20000u

/* A list with values; pairs that are lost; and, since the table was made, as many others. */
static struct world *make(void)
{
	struct world *world = world_new(LISTED + 2 * PAIRS);

	for (uint64_t i = 0; i < LISTED; i++) {
		uint64_t node = world_block(world, 32 * i, 32, 1 + i % 100);

		world_set(world, node, i + 1 < LISTED ? node + 32 : 0);
	}
	world_set(world, GLOBALS, HEAP);
	for (uint64_t i = 0; i < PAIRS; i++) {
		uint64_t one = world_block(world, 32ul * LISTED + 64 * i, 32, 200 + i % 50);
		uint64_t other = world_block(world, 32ul * LISTED + 64 * i + 32, 32, 300);

		world_set(world, one, other);
		world_set(world, other, one);
	}
	for (uint64_t i = 0; i < PAGE / 8; i++)
		world_set(world, POOL + 8 * i, HEAP + 32 * i);
	return world;
}

struct looking {
	struct world *world;
	struct counted_room counted;
	struct reach_later later;
	struct losses losses;
	struct pointer_places places;
	uint8_t *inside;
	struct holds *holds;
};

static int scan_world(void *world_, const struct reach_limits *limits, struct reach_found *ret,
		      struct dhat_error *err)
{
	struct world *world = world_;
	struct reach_found *found = &world->graph.found;
	int r = world_scan_within(world, limits);

	(void)err;
	if (r) {
		reach_found_deinit(found);
		return r;
	}
	found->root_room = found->gap_room = found->root_count;
	found->run_room = found->run_count;
	*ret = *found;
	*found = (struct reach_found){ 0 };
	return 0;
}

static int find_all(struct looking *looking)
{
	struct world *world = looking->world;
	const struct find_words_asking asking = {
		.room = &looking->counted.room,
		.blocks = world->blocks,
		.block_count = world->count,
		.ranges = world_ranges,
		.range_count = ARRAY_SIZE(world_ranges),
		.scan = scan_world,
		.context = world,
	};
	struct reach_found found = { 0 };
	int r = find_words(&asking, &found, NULL);

	world->graph.room = &looking->counted.room;
	world->graph.found = found;
	return r;
}

static int add_registers(struct looking *looking)
{
	return reach_reserve_roots(&looking->world->graph.found, 1000);
}

static int meet(struct looking *looking)
{
	struct world *world = looking->world;
	int r = reach_later_begin(&looking->later, world->blocks, world->count,
				  &looking->counted.room);

	for (size_t i = 0; i < world->count && r == 0; i++) {
		struct reach_block block = world->blocks[i];

		block.birth_ns += i >= LISTED; /* what is at their places now */
		r = reach_later_add(&looking->later, &block);
	}
	if (r == 0)
		r = reach_later_end(&looking->later);
	for (size_t i = 0; i < world->count; i++)
		world->blocks[i].flags = 0; /* for the steps behind: nothing has changed */
	return r;
}

static int compare(struct looking *looking)
{
	struct world *world = looking->world;

	return reach_graph_compare(&world->graph, world->blocks, looking->later.young,
				   looking->later.young_count);
}

static int name_roots(struct reach_graph *graph)
{
	int r = 0;

	for (uint32_t i = 0; i < graph->found.run_count && r == 0; i++) {
		uint32_t number, class = graph->found.runs[i].name;
		char text[32];

		snprintf(text, sizeof(text), "class %u", class);
		r = reach_graph_name(graph, text, class, &number);
		if (r == 0)
			graph->found.runs[i].name = number;
	}
	return r;
}

static int name(struct looking *looking)
{
	return name_roots(&looking->world->graph);
}

static int mark(struct looking *looking)
{
	return reach_mark_ways(&looking->world->graph, &looking->world->mark);
}

static int find_losses(struct looking *looking)
{
	struct world *world = looking->world;

	candidates_begin(&world->graph, &world->mark, world->blocks);
	return losses_find(&world->graph, &world->mark, world->blocks, true, NULL,
			   &looking->losses);
}

static int choose_places(struct looking *looking)
{
	return pointer_places_choose(&looking->world->graph, &looking->world->mark, looking->inside,
				     looking->losses.cycles, looking->losses.cycle_count,
				     &looking->places);
}

static int sum_up(struct looking *looking)
{
	return summary_make(&looking->world->graph, &looking->world->mark, &looking->losses, NULL,
			    NULL, looking->holds);
}

typedef int (*step)(struct looking *looking);
static const struct {
	const char *name;
	step take;
} steps[] = {
	{ "words", find_all },	   { "registers", add_registers },
	{ "young blocks", meet },  { "what has come", compare },
	{ "names", name },	   { "marks", mark },
	{ "losses", find_losses }, { "places", choose_places },
	{ "sums", sum_up },
};

static struct looking *begin(uint64_t bytes)
{
	struct looking *looking = calloc(1, sizeof(*looking));

	assert_non_null(looking);
	looking->world = make();
	looking->holds = calloc(1, sizeof(*looking->holds));
	looking->inside = calloc(1, looking->world->room / 8 + 1);
	assert_non_null(looking->holds);
	assert_non_null(looking->inside);
	atomic_init(&looking->holds->references, 1);
	counted_room_init(&looking->counted, bytes);
	return looking;
}

/* All is given back, whatever was done. */
static void end(struct looking *looking, uint64_t bytes)
{
	room_return_all(&looking->holds->share);
	holds_unref(looking->holds);
	pointer_places_deinit(&looking->places);
	losses_deinit(&looking->losses);
	reach_later_deinit(&looking->later);
	world_free(looking->world);
	free(looking->inside);
	counted_assert_returned(&looking->counted, bytes);
	free(looking);
}

/* All before it, with as much room as they want; then it, with so much beside. */
static int take_step(size_t number, uint64_t beside, uint64_t *ret_needed)
{
	struct looking *looking = begin(BUDGET);
	struct counted_room *counted = &looking->counted;
	uint64_t claimed, taken;
	int r;

	for (size_t i = 0; i < number; i++)
		assert_int_equal(steps[i].take(looking), 0);
	claimed = counted->room.claimed_bytes;
	counted->most_claimed = claimed;
	taken = counted->left > beside ? counted->left - beside : 0;
	counted->left -= taken;
	r = steps[number].take(looking);
	if (ret_needed)
		*ret_needed = counted->most_claimed - claimed;
	if (r == -ENOSPC) {
		assert_true(counted->room.needed_bytes > counted->room.most_bytes);
		assert_true(counted->room.most_bytes <= claimed + beside);
	}
	counted->left += taken;
	end(looking, BUDGET);
	return r;
}

/* Of words there may be as many as there is room for, so that one is looked for. */
static uint64_t least_for_words(void)
{
	uint64_t low = 0, high = BUDGET;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (take_step(0, middle, NULL) == 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void each_step_is_refused_without_room(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		uint64_t needed;

		assert_int_equal(take_step(i, BUDGET / 2, &needed), 0);
		if (i == 0)
			needed = least_for_words();
		printf("%s: %.1f bytes a block\n", steps[i].name,
		       (double)needed / (LISTED + 2 * PAIRS));
		if (steps[i].take == compare)
			assert_in_range(needed, 0, BUDGET); /* a run of roots or two */
		else
			assert_in_range(needed, 1, BUDGET);
		assert_int_equal(take_step(i, needed, NULL), 0);
		assert_int_equal(take_step(i, needed - 1, NULL), -ENOSPC);
		assert_int_equal(take_step(i, 0, NULL), -ENOSPC);
	}
}

/* ---- very many lost blocks ------------------------------------------------------------------ */

#define LOST 1000000u
#define LOST_BYTES 32u
#define LOST_AT 0x100000000ull
#define SITE_MANY 1u
#define SITE_SOME 2u
#define SITE_FEW 3u
#define FEW 3u /* blocks of it; of SITE_SOME a thousand times as many */

/* A variable holds the first so many, a list; of the others each two hold one another. */
static uint32_t held_blocks;
#define VARIABLE_AT 0x1000ull

static uint64_t word_at(uint64_t addr)
{
	uint64_t held_end = LOST_AT + (uint64_t)held_blocks * LOST_BYTES;

	if (addr < LOST_AT)
		return held_blocks && addr == VARIABLE_AT ? LOST_AT : 0;
	if (addr % LOST_BYTES)
		return 0;
	if (addr >= held_end)
		return addr ^ LOST_BYTES;
	return addr + LOST_BYTES < held_end ? addr + LOST_BYTES : 0;
}

static ssize_t read_pairs(void *context, uint64_t addr, void *buffer, size_t size)
{
	uint64_t *words = buffer;

	(void)context;
	for (size_t i = 0; i < size / 8; i++, addr += 8)
		words[i] = word_at(addr);
	return size;
}

static uint32_t site_of_lost(uint32_t i)
{
	return i % (LOST / FEW) == 7	      ? SITE_FEW
	       : i % (LOST / FEW / 1000) == 5 ? SITE_SOME
					      : SITE_MANY;
}

static struct reach_block *make_lost(struct room_share *share)
{
	struct reach_block *blocks;

	assert_int_equal(room_claim(share, (LOST + 1ul) * sizeof(*blocks)), 0);
	blocks = calloc(LOST + 1, sizeof(*blocks));
	assert_non_null(blocks);
	for (uint32_t i = 0; i < LOST; i++)
		blocks[i] = (struct reach_block){ LOST_AT + i * LOST_BYTES, LOST_BYTES, 1,
						  site_of_lost(i), 0 };
	return blocks;
}

static const struct reach_range lost_ranges[] = {
	{ VARIABLE_AT, VARIABLE_AT + PAGE, REACH_GLOBAL, 0 },
	{ LOST_AT, LOST_AT + LOST *LOST_BYTES, REACH_GAP, 0 },
};

static int scan_lost(void *graph_, const struct reach_limits *limits, struct reach_found *ret,
		     struct dhat_error *err)
{
	const struct reach_graph *graph = graph_;
	const struct reach_places places = reach_places_of(graph->blocks, graph->count);
	const struct reach_source source = { read_pairs, NULL };
	struct reach_limits few = *limits;
	int r;

	(void)err;
	few.max_edges = few.max_edges < LOST ? few.max_edges : LOST; /* which there are */
	few.max_roots = 1;
	assert_int_equal(reach_found_init(ret, graph->count, &few), 0);
	r = reach_scan(&places, lost_ranges, ARRAY_SIZE(lost_ranges), &source, &few, ret);
	assert_int_equal(r, 0);
	return reach_found_index(ret);
}

static void scan_all_lost(struct reach_graph *graph)
{
	const struct find_words_asking asking = {
		.room = graph->room,
		.blocks = graph->blocks,
		.block_count = graph->count,
		.ranges = lost_ranges,
		.range_count = ARRAY_SIZE(lost_ranges),
		.scan = scan_lost,
		.context = graph,
	};
	struct reach_found found = { 0 };

	assert_int_equal(find_words(&asking, &found, NULL), 0);
	graph->found = found;
}

/* As a look does, up to what it says. */
static void answer_lost(struct reach_graph *graph, struct book_watch *watch, struct holds **ret)
{
	struct reach_block *blocks = without_qualifiers(graph->blocks);
	_cleanup_(reach_mark_deinit) struct reach_mark marked = { 0 };
	_cleanup_(losses_deinit) struct losses losses = { 0 };
	struct holds *holds = calloc(1, sizeof(*holds));

	assert_non_null(holds);
	atomic_init(&holds->references, 1);
	assert_int_equal(reach_mark(graph, &marked), 0);
	assert_int_equal(candidates_begin(graph, &marked, blocks), LOST);
	assert_int_equal(losses_find(graph, &marked, blocks, true, watch, &losses), 0);
	assert_int_equal(summary_make(graph, &marked, &losses, watch, NULL, holds), 0);
	assert_int_equal(holds->lost.blocks, LOST);
	assert_int_equal(book_say(watch, graph), 0);
	room_return_all(&holds->share);
	*ret = holds;
}

/* The blocks of one site, for what was said of them to be checked: now they are held. */
static void hold_site(struct reach_graph *graph, struct book_watch *watch, uint32_t site)
{
	_cleanup_(reach_mark_deinit) struct reach_mark marked = { 0 };
	struct reach_block *blocks = without_qualifiers(graph->blocks);

	for (uint32_t i = 0; i < graph->count; i++)
		if (blocks[i].point == site)
			blocks[i].flags |= REACH_BLOCK_SHARED; /* is a root itself */
	assert_int_equal(reach_mark(graph, &marked), 0);
	assert_int_equal(book_check(watch, graph, &marked), 0);
}

#define STAYS (BOOK_MAX_SAID * sizeof(struct candidate) + (64u << 10))
#define BYTES_A_LOST_BLOCK 38u /* with the table */

static void what_stays_after_an_answer_is_little(void **state)
{
	_cleanup_(holds_book_free_ptr) struct holds_book *book = NULL;
	_cleanup_(holds_unref_ptr) struct holds *holds = NULL;
	struct counted_room counted;
	struct reach_graph graph = { .count = LOST };
	struct room_share table = { .room = &counted.room };
	struct book_watch *watch = NULL;
	struct reach_block *blocks;

	(void)state;
	counted_room_init(&counted, BUDGET);
	graph.room = &counted.room;
	assert_int_equal(holds_book_new(&book), 0);
	assert_int_equal(holds_book_open(book, 100, 1, &watch), 0);
#ifdef COUNTED
	int64_t before = counted_live;

	counted_begin(&counted.room);
#endif
	graph.blocks = blocks = make_lost(&table);
	scan_all_lost(&graph);
	counted.most_claimed =
		counted.room.claimed_bytes; /* words that there might have been are not */
	answer_lost(&graph, watch, &holds);
	printf("%.1f bytes a lost block, with the table\n", (double)counted.most_claimed / LOST);
	assert_in_range(counted.most_claimed, 24 * LOST, BYTES_A_LOST_BLOCK * LOST);
	reach_graph_deinit(&graph);
	free(blocks);
	room_return_all(&table);
	counted_assert_returned(&counted, BUDGET);
	holds_book_close(book, watch, holds);
#ifdef COUNTED
	/* … and a piece of what is said of it is kept while it is said */
	assert_in_range(counted_end(), 0, STAYS);
	assert_in_range(counted_live - before, BOOK_MAX_SAID / 2 * sizeof(struct candidate), STAYS);
#endif
}

/* ---- step by step, by how many are lost ----------------------------------------------------- */

#define BESIDE_THE_TABLE                                                                           \
	14u /* bytes a block, at most, of blocks that one pointer each leads to                    \
	     */

/* Of a step: the most that was claimed at one time, and what stays, beside the table. */
static void say_step(struct counted_room *counted, const char *name)
{
	double most = (double)counted->most_claimed / LOST - sizeof(struct reach_block);

	printf("  %-20s %5.2f at most, %5.2f behind it\n", name, most,
	       (double)counted->room.claimed_bytes / LOST - sizeof(struct reach_block));
	assert_true(most < BESIDE_THE_TABLE);
	counted->most_claimed = counted->room.claimed_bytes;
}

/* All that a look does with a table of a million, once it is read. */
static void look_step_by_step(struct reach_graph *graph, struct counted_room *counted)
{
	struct reach_block *blocks = without_qualifiers(graph->blocks);
	_cleanup_(reach_mark_deinit) struct reach_mark marked = { 0 };
	_cleanup_(losses_deinit) struct losses losses = { 0 };
	_cleanup_(holds_unref_ptr) struct holds *holds = calloc(1, sizeof(*holds));
	struct reach_later later;

	assert_non_null(holds);
	atomic_init(&holds->references, 1);
	scan_all_lost(graph);
	counted->most_claimed = counted->room.claimed_bytes; /* words that might have been */
	say_step(counted, "reading words");
	assert_int_equal(reach_later_begin(&later, blocks, graph->count, graph->room), 0);
	for (uint32_t i = 0; i < graph->count; i++)
		assert_int_equal(reach_later_add(&later, &blocks[i]), 0);
	assert_int_equal(reach_later_end(&later), 0);
	reach_later_deinit(&later);
	say_step(counted, "what has come since");
	assert_int_equal(name_roots(graph), 0);
	assert_int_equal(reach_mark(graph, &marked), 0);
	say_step(counted, "following pointers");
	assert_int_equal(candidates_begin(graph, &marked, blocks), LOST - held_blocks);
	assert_int_equal(losses_find(graph, &marked, blocks, true, NULL, &losses), 0);
	assert_int_equal(losses.count, LOST - held_blocks);
	say_step(counted, "lost ones' cycles");
	assert_int_equal(summary_make(graph, &marked, &losses, NULL, NULL, holds), 0);
	say_step(counted, "sums");
	assert_int_equal(holds->held.blocks, held_blocks);
	assert_int_equal(holds->lost.blocks, LOST - held_blocks);
	room_return_all(&holds->share);
}

/* The table of the next scan is made out of the one before, with nothing beside but its index. */
static void renew_table(struct reach_graph *graph, struct counted_room *counted)
{
	struct reach_block *blocks = without_qualifiers(graph->blocks);
	struct reach_renewal renewal = { .blocks = blocks,
					 .count = graph->count,
					 .room = &counted->room };
	size_t candidates = 0;

	assert_int_equal(reach_renew_begin(&renewal), 0);
	for (uint32_t i = 0; i < graph->count; i++) {
		struct reach_block block = blocks[i];

		assert_int_equal(reach_renew_add(&renewal, &block), 0);
	}
	assert_int_equal(reach_renew_end(&renewal), 0);
	say_step(counted, "the next one's table");
	for (uint32_t i = 0; i < graph->count; i++)
		candidates += (blocks[i].flags & REACH_BLOCK_CANDIDATE) != 0;
	assert_int_equal(candidates, LOST - held_blocks);
}

static void lost_ones_take_little_more_than_others(void **state)
{
	static const char *const cases[] = { "all are held", "half of them are lost",
					     "all are lost" };
	struct reach_graph graph = { 0 };
	struct counted_room counted;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct room_share table = { .room = &counted.room };
		struct reach_block *blocks;

		counted_room_init(&counted, BUDGET);
		held_blocks = LOST - i * (LOST / 2);
		printf("%s: bytes a block beside the table\n", cases[i]);
		blocks = make_lost(&table);
		graph = (struct reach_graph){ .blocks = blocks,
					      .count = LOST,
					      .room = &counted.room };
#ifdef COUNTED
		counted_begin(&counted.room);
#endif
		counted.most_claimed = counted.room.claimed_bytes;
		look_step_by_step(&graph, &counted);
		reach_graph_deinit(&graph);
		counted.most_claimed = counted.room.claimed_bytes;
		graph = (struct reach_graph){ .blocks = blocks, .count = LOST };
		renew_table(&graph, &counted);
#ifdef COUNTED
		assert_in_range(counted_end(), 0, 64u << 10); /* no more was taken than claimed */
#endif
		free(blocks);
		room_return_all(&table);
		counted_assert_returned(&counted, BUDGET);
	}
	held_blocks = 0;
}

/* ---- mappings ------------------------------------------------------------------------------- */

#define MAPPINGS 8000u

/* Each second page may not be written to, so that each is a mapping. */
static void *make_mappings(void)
{
	char *pages = mmap(NULL, MAPPINGS * 4096ul, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(pages != MAP_FAILED);
	for (size_t i = 0; i < MAPPINGS; i += 2)
		assert_int_equal(mprotect(pages + 4096 * i, 4096, PROT_READ), 0);
	return pages;
}

static void read_own_mappings(void)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	_cleanup_(smaps_deinit) struct smaps smaps = { 0 };
	_cleanup_(layout_deinit) struct layout layout = { 0 };
	_cleanup_fclose_ FILE *file = fopen("/proc/self/smaps", "r");
	const struct layout_facts facts = { .maps = &maps, .smaps = &smaps };

	assert_non_null(file);
	assert_int_equal(procmaps_read(getpid(), &maps), 0);
	assert_int_equal(smaps_parse(file, &smaps), 0);
	assert_int_equal(layout_make(&facts, &layout), 0);
	assert_in_range(layout.count, MAPPINGS, 2 * MAPPINGS);
}

static void mappings_are_claimed_before_they_are_read(void **state)
{
	struct counted_room counted;
	struct room_share share = { .room = &counted.room };
	void *pages = make_mappings();

	(void)state;
	counted_room_init(&counted, MAPPINGS * 100ul);
	assert_int_equal(mapping_room_claim(getpid(), &share), -ENOSPC);
	counted_assert_returned(&counted, MAPPINGS * 100ul);
	counted_room_init(&counted, BUDGET);
#ifdef COUNTED
	counted_begin(&counted.room);
#endif
	assert_int_equal(mapping_room_claim(getpid(), &share), 0);
	read_own_mappings();
	room_return_all(&share);
#ifdef COUNTED
	assert_in_range(counted_end(), 0, 64u << 10);
#endif
	counted_assert_returned(&counted, BUDGET);
	munmap(pages, MAPPINGS * 4096ul);
}

/* Of a site with few blocks all are looked after, of the others as many as of each other. */
static void of_very_many_some_of_each_site_are_looked_after(void **state)
{
	_cleanup_(holds_book_free_ptr) struct holds_book *book = NULL;
	_cleanup_(holds_unref_ptr) struct holds *holds = NULL;
	struct counted_room counted;
	struct reach_graph graph = { .count = LOST };
	struct room_share table = { 0 };
	struct book_watch *watch = NULL;
	struct reach_block *blocks = make_lost(&table);
	uint64_t few, some;

	(void)state;
	counted_room_init(&counted, BUDGET);
	graph.blocks = blocks;
	graph.room = &counted.room;
	assert_int_equal(holds_book_new(&book), 0);
	assert_int_equal(holds_book_open(book, 100, 1, &watch), 0);
	scan_all_lost(&graph);
	answer_lost(&graph, watch, &holds);
	hold_site(&graph, watch, SITE_FEW);
	few = book_withdrawn(watch, SITE_FEW);
	assert_int_equal(few, FEW);
	hold_site(&graph, watch, SITE_SOME);
	some = book_withdrawn(watch, SITE_SOME);
	assert_in_range(some, 1000 * FEW, 1001 * FEW);
	hold_site(&graph, watch, SITE_MANY);
	assert_in_range(book_all_withdrawn(watch), BOOK_MAX_SAID - 3, BOOK_MAX_SAID);
	reach_graph_deinit(&graph);
	free(blocks);
	holds_book_close(book, watch, NULL);
	counted_assert_returned(&counted, BUDGET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_step_is_refused_without_room),
		cmocka_unit_test(what_stays_after_an_answer_is_little),
		cmocka_unit_test(lost_ones_take_little_more_than_others),
		cmocka_unit_test(mappings_are_claimed_before_they_are_read),
		cmocka_unit_test(of_very_many_some_of_each_site_are_looked_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
