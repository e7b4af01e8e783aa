/* What is kept small says what a plain list would; and it is small. */
#include "tests/unit/counted.h"
#include "world.h"

#include "daemon/reach/inside.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

static uint64_t next_number(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* ---- against lists -------------------------------------------------------------------------- */

#define LISTED 5000u

/* Most have a few edges, some none, a few very many: at the bound of what a byte says, too. */
static void edges_are_where_they_are(void **state)
{
	static const uint32_t many[] = { 254, 255, 256, 100000 };
	static uint8_t degrees[LISTED];
	static struct reach_many list[LISTED];
	static uint32_t counts[LISTED];
	struct reach_found found = { .degrees = degrees, .many = list, .block_count = LISTED };
	uint64_t seed = 7;
	uint32_t first = 0;

	(void)state;
	for (uint32_t i = 0; i < LISTED; i++) {
		uint64_t number = next_number(&seed);

		counts[i] = number % 50 == 0 ? many[number / 50 % 4] : number / 50 % 9;
		degrees[i] = counts[i] < REACH_MANY ? counts[i] : REACH_MANY;
		if (counts[i] >= REACH_MANY)
			list[found.many_count++] = (struct reach_many){ i, counts[i] };
	}
	assert_true(found.many_count > 20);
	assert_int_equal(reach_found_index(&found), 0);
	for (uint32_t i = 0; i < LISTED; first += counts[i++]) {
		const struct reach_span edges = reach_edges_of(&found, i);

		assert_int_equal(edges.first, first);
		assert_int_equal(edges.end, first + counts[i]);
		assert_int_equal(reach_has_edges(&found, i), counts[i] != 0);
	}
	free(found.firsts);
}

/* At any distance, of any name, and backwards, as what is in no memory is. */
static void roots_are_where_they_are(void **state)
{
	static struct reach_root roots[LISTED];
	_cleanup_(reach_found_deinit) struct reach_found found = { 0 };
	struct reach_renaming renaming = { 0 };
	struct reach_root_walk walk = { 0 }, again = { 0 };
	struct reach_root root;
	uint64_t seed = 11, addr = 0x1000;

	(void)state;
	for (uint32_t i = 0; i < LISTED; i++) {
		static const uint64_t steps[] = { 8, 8, 8, 16, 0, 255 * 8, 256 * 8, 4, -64ull };
		uint64_t number = next_number(&seed);

		addr += steps[number % 9];
		roots[i] = (struct reach_root){ addr, number >> 40, number / 9 % 50 == 0 };
		assert_int_equal(reach_add_root(&found, addr, roots[i].edge, roots[i].name), 0);
	}
	for (uint32_t i = 0; i < LISTED; i++) {
		assert_true(reach_next_root(&found, &walk, &root));
		assert_memory_equal(&root, &roots[i], sizeof(root));
		roots[i].name = next_number(&seed) % 3;
		assert_int_equal(
			reach_rename_root(&renaming, root.addr, walk.is_first, roots[i].name), 0);
	}
	assert_false(reach_next_root(&found, &walk, &root));
	reach_rename(&found, &renaming);
	for (uint32_t i = 0; i < LISTED; i++) {
		assert_true(reach_next_root(&found, &again, &root));
		assert_memory_equal(&root, &roots[i], sizeof(root));
	}
	assert_false(reach_next_root(&found, &again, &root));
}

/* ---- how small ------------------------------------------------------------------------------ */

#ifdef COUNTED

#define BLOCKS 1000000u
#define BLOCK_BYTES 32u
#define BOUND 12u /* bytes a block, beside the table */
#define BUDGET (1ull << 30)
#define UNCLAIMED (64u << 10) /* has a bound of its own, or is malloc's */
#define HEAP_OF_MANY 0x100000000ull
#define ARRAY 0x200000000ull
#define GLOBAL_ARRAY 0x300000000ull

/* How a process keeps its blocks: what stands at an address. */
struct shape {
	const char *name;
	uint64_t (*word)(uint64_t addr);
	bool has_array; /* a block more, which holds */
};

static uint64_t addr_of(uint64_t i)
{
	return i < BLOCKS ? HEAP_OF_MANY + i * BLOCK_BYTES : 0;
}

static uint64_t in_variable(uint64_t addr)
{
	return addr < GLOBAL_ARRAY ? 0 : addr_of((addr - GLOBAL_ARRAY) / 8);
}

static uint64_t in_array(uint64_t addr)
{
	if (addr >= GLOBAL_ARRAY)
		return addr == GLOBAL_ARRAY ? ARRAY : 0;
	return addr < ARRAY ? 0 : addr_of((addr - ARRAY) / 8);
}

/* A table of hashes: every second block is a node, which has the one behind it for a value. */
static uint64_t in_nodes(uint64_t addr)
{
	uint64_t i = (addr - HEAP_OF_MANY) / BLOCK_BYTES;

	if (addr >= GLOBAL_ARRAY)
		return addr == GLOBAL_ARRAY ? ARRAY : 0;
	if (addr >= ARRAY)
		return addr_of((addr - ARRAY) / 8 * 2);
	return i % 2 == 0 && addr % BLOCK_BYTES == 8 ? addr_of(i + 1) : 0;
}

static uint64_t in_list(uint64_t addr)
{
	if (addr >= ARRAY)
		return addr == GLOBAL_ARRAY ? addr_of(0) : 0;
	return addr % BLOCK_BYTES ? 0 : addr_of((addr - HEAP_OF_MANY) / BLOCK_BYTES + 1);
}

static ssize_t read_shape(void *shape, uint64_t addr, void *buffer, size_t size)
{
	uint64_t *words = buffer;

	for (size_t i = 0; i < size / 8; i++)
		words[i] = ((const struct shape *)shape)->word(addr + 8 * i);
	return size;
}

/* As they come from the worker: no larger than what is in them. */
static void *copy_of(const void *from, size_t size)
{
	void *copy = malloc(size + 1);

	assert_non_null(copy);
	memcpy(copy, from, size);
	return copy;
}

static void scan_shape(const struct shape *shape, struct reach_graph *graph)
{
	static const struct reach_range ranges[] = {
		{ HEAP_OF_MANY, HEAP_OF_MANY + BLOCKS * BLOCK_BYTES, REACH_GAP, 0 },
		{ ARRAY, ARRAY + BLOCKS * 8ull, REACH_GAP, 0 },
		{ GLOBAL_ARRAY, GLOBAL_ARRAY + BLOCKS * 8ull, REACH_GLOBAL, 0 },
	};
	const struct reach_limits limits = { BLOCKS + 1, BLOCKS + 1 };
	const struct reach_places places = reach_places_of(graph->blocks, graph->count);
	const struct reach_source source = { read_shape, without_qualifiers(shape) };
	_cleanup_(reach_found_deinit) struct reach_found found = { 0 };
	struct reach_found *copy = &graph->found;

	assert_int_equal(reach_found_init(&found, graph->count, &limits), 0);
	assert_int_equal(reach_scan(&places, ranges, 3, &source, &limits, &found), 0);
	assert_true(reach_found_is_sound(&found, graph->count));
	*copy = found;
	copy->share.room = graph->room;
	assert_int_equal(room_claim(&copy->share, reach_found_bytes(copy)), 0);
	copy->degrees = copy_of(found.degrees, found.block_count);
	copy->many = copy_of(found.many, found.many_count * sizeof(*found.many));
	copy->edges = copy_of(found.edges, found.edge_count * sizeof(*found.edges));
	copy->root_edges = copy_of(found.root_edges, found.root_count * sizeof(*found.root_edges));
	copy->root_gaps = copy_of(found.root_gaps, found.root_count);
	copy->runs = copy_of(found.runs, found.run_count * sizeof(*found.runs));
	copy->run_room = found.run_count;
	assert_int_equal(reach_found_index(copy), 0);
}

static void look_at_all(struct reach_graph *graph, struct reach_block *blocks)
{
	_cleanup_(reach_mark_deinit) struct reach_mark mark = { 0 };
	_cleanup_free_ struct reach_retained *retained = NULL;
	_cleanup_free_ uint8_t *inside = NULL;
	struct room_share share = { .room = graph->room };
	struct reach_later later;
	uint32_t name, count;

	assert_int_equal(reach_later_begin(&later, blocks, graph->count, graph->room), 0);
	for (uint32_t i = 0; i < graph->count; i++)
		assert_int_equal(reach_later_add(&later, &graph->blocks[i]), 0);
	assert_int_equal(reach_later_end(&later), 0);
	assert_int_equal(reach_graph_compare(graph, blocks, later.young, later.young_count), 0);
	reach_later_deinit(&later);
	for (uint32_t i = 0; i < graph->found.run_count; i++) {
		assert_int_equal(reach_graph_name(graph, "array", graph->found.runs[i].name, &name),
				 0);
		graph->found.runs[i].name = name;
	}
	assert_int_equal(reach_mark(graph, &mark), 0);
	assert_int_equal(mark.reached, graph->count);
	assert_int_equal(room_claim(&share, graph->count / 8 + 1), 0);
	assert_int_equal(reach_from_inside(graph, &mark, &inside), 0);
	assert_int_equal(reach_retained(graph, &mark, &retained, &count), 0);
	room_return_all(&share);
}

static void it_is_small(void **state)
{
	static const struct shape shapes[] = {
		{ "an array of pointers", in_variable, false },
		{ "a block of pointers", in_array, true },
		{ "a hash table", in_nodes, true },
		{ "a list", in_list, false },
	};
	_cleanup_free_ struct reach_block *blocks = calloc(BLOCKS + 1, sizeof(*blocks));

	(void)state;
	assert_non_null(blocks);
	for (uint32_t i = 0; i < BLOCKS; i++)
		blocks[i] = (struct reach_block){ addr_of(i), BLOCK_BYTES, 1, i % 7, 0 };
	blocks[BLOCKS] = (struct reach_block){ ARRAY, BLOCKS * 8ull, 1, 8, 0 };
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct counted_room counted;
		struct reach_graph graph = { .blocks = blocks,
					     .count = BLOCKS + shapes[i].has_array,
					     .room = &counted.room };
		int64_t before = counted_live;

		counted_room_init(&counted, BUDGET);
		scan_shape(&shapes[i], &graph);
		counted_begin(&counted.room); /* the worker's are its own */
		look_at_all(&graph, blocks);
		printf("%s: %.1f bytes a block\n", shapes[i].name,
		       (double)(counted_most - before) / BLOCKS);
		assert_in_range(counted_most - before, BLOCKS, BOUND * BLOCKS);
		assert_in_range(counted_end(), 0, UNCLAIMED);
		assert_in_range(counted.most_claimed, BLOCKS, BOUND * BLOCKS);
		reach_graph_deinit(&graph);
		assert_int_equal(counted_live, before);
		counted_assert_returned(&counted, BUDGET);
	}
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edges_are_where_they_are),
		cmocka_unit_test(roots_are_where_they_are),
#ifdef COUNTED
		cmocka_unit_test(it_is_small),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
