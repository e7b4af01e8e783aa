/* A process whose memory is an enemy's, and a table of blocks that was copied while they came and
 * went: whatever it says, each block has one answer, sums are what they are sums of, and lists end.
 *
 * Input: how many blocks, then four bytes each (where, how large, which site, when born), then
 * words of memory: one byte that says what to point to, or eight that are a word.
 */
#include <errno.h>
#include <string.h>

#include "daemon/holds/losses.h"
#include "daemon/holds/pointer_places.h"
#include "daemon/reach/later.h"
#include "daemon/reach/retained.h"
#include "fuzz.h"
#include "proto/base/cleanup.h"

#define MEMORY 0x10000ull
#define MEMORY_BYTES 8192u
#define MAX_BLOCKS 64u
#define SITES 8u

static uint64_t memory[MEMORY_BYTES / 8];

static ssize_t read_memory(void *context, uint64_t addr, void *buffer, size_t size)
{
	if (addr < MEMORY || addr >= MEMORY + MEMORY_BYTES)
		return -EIO;
	size = size < MEMORY + MEMORY_BYTES - addr ? size : MEMORY + MEMORY_BYTES - addr;
	memcpy(buffer, (const char *)memory + (addr - MEMORY), size);
	return size;
}

static size_t take_blocks(const uint8_t **data, size_t *size, struct reach_block *blocks)
{
	size_t count = *size ? **data % MAX_BLOCKS : 0, i = 0;

	*data += *size != 0;
	*size -= *size != 0;
	for (; i < count && *size >= 4; i++, *data += 4, *size -= 4)
		blocks[i] = (struct reach_block){ .addr = MEMORY + (*data)[0] * 24ull,
						  .size_bytes = (*data)[1],
						  .birth_ns = (*data)[3],
						  .point = (*data)[2] % SITES };
	return i;
}

static void fill_memory(const uint8_t *data, size_t size)
{
	memset(memory, 0, sizeof(memory));
	for (size_t i = 0; i < sizeof(memory) / 8 && size; i++) {
		if (*data < 250) {
			memory[i] = *data ? MEMORY + *data * 24ull + (*data % 3) : 0;
			data++;
			size--;
		} else if (size >= 9) {
			memcpy(&memory[i], data + 1, 8);
			data += 9;
			size -= 9;
		} else {
			return;
		}
	}
}

static void name_roots(struct reach_graph *graph)
{
	static const char *const names[REACH_CLASSES] = { "a", "b", "c", "d", "e", "f", "g",
							  "h", "i", "j", "k", "l", "m" };

	for (uint32_t i = 0; i < graph->found.run_count; i++) {
		struct reach_root_run *run = &graph->found.runs[i];

		FUZZ_CHECK(reach_graph_name(graph, names[run->name], run->name, &run->name) == 0);
	}
}

/* Chains count each block that is reached once; ways lead to a root. */
static void check_mark(const struct reach_graph *graph, const struct reach_mark *mark)
{
	uint64_t told = 0, reached = 0;

	for (uint32_t i = 1; i < mark->chain_count; i++) {
		FUZZ_CHECK(mark->chains[i].parent < i);
		told += mark->chains[i].blocks;
	}
	for (uint32_t i = 0; i < graph->count; i++) {
		uint32_t at = i, steps = 0;

		reached += mark->chains_of[i] && !(graph->blocks[i].flags & REACH_BLOCK_UNCOUNTED);
		for (; mark->ways[at]; at = mark->ways[at] - 1)
			FUZZ_CHECK(++steps <= graph->count);
	}
	FUZZ_CHECK(told == reached && mark->reached <= graph->count);
}

static void check_losses(const struct reach_graph *graph, struct reach_mark *mark,
			 struct reach_block *blocks, struct losses *losses)
{
	size_t candidates = candidates_begin(graph, mark, blocks);

	FUZZ_CHECK(losses_find(graph, mark, blocks, true, NULL, losses) == 0);
	FUZZ_CHECK(losses->count == candidates);
	for (uint32_t i = 0; i < graph->count; i++)
		FUZZ_CHECK(!reach_lost_kind(&blocks[i]) ||
			   (!mark->chains_of[i] && blocks[i].flags & REACH_BLOCK_CANDIDATE));
	for (uint32_t i = 0; i < losses->cycle_count; i++) {
		const struct reach_cycle *cycle = &losses->cycles[i];

		FUZZ_CHECK(cycle->link_count && cycle->blocks &&
			   cycle->length >= cycle->link_count);
		for (uint32_t j = 0; j < cycle->link_count; j++)
			FUZZ_CHECK(graph->blocks[cycle->holders[j]].point == cycle->sites[j]);
	}
}

static void check_places(const struct reach_graph *graph, const struct reach_mark *mark,
			 const struct losses *losses)
{
	const struct reach_source source = { read_memory, NULL };
	const struct closer_span image = { MEMORY, MEMORY + 256 };
	struct pointer_places places = { 0 };
	struct closer_question question = { .images = &image, .image_count = 1 };
	struct closer_answer answer = { 0 };
	uint8_t *inside = NULL;

	FUZZ_CHECK(reach_from_inside(graph, mark, &inside) == 0);
	FUZZ_CHECK(pointer_places_choose(graph, mark, inside, losses->cycles, losses->cycle_count,
					 &places) == 0);
	question.pairs = places.pairs;
	question.pair_count = places.pair_count;
	question.heads = places.heads;
	question.head_count = places.head_count;
	FUZZ_CHECK(closer_look(&question, &source, &answer) == 0);
	for (uint32_t i = 0; i < answer.pair_count; i++)
		FUZZ_CHECK(answer.places[i].at == CLOSER_NOWHERE ||
			   (answer.places[i].at < places.pairs[i].holder_bytes &&
			    answer.places[i].into <= places.pairs[i].target_bytes));
	for (uint32_t i = 0; i < answer.head_count; i++)
		for (size_t j = 0; j < CLOSER_WORDS; j++)
			FUZZ_CHECK(!answer.heads[i].words[j] ||
				   closer_leads_to_image(&question, answer.heads[i].words[j]));
	pointer_places_take(&places, &answer);
	closer_answer_deinit(&answer);
	pointer_places_deinit(&places);
	free(inside);
}

static void look(struct reach_graph *graph, struct reach_block *blocks,
		 const struct reach_block *after, size_t after_count)
{
	struct reach_mark mark = { 0 };
	struct losses losses = { 0 };
	struct reach_retained *retained = NULL;
	uint32_t retained_count = 0;
	int r;

	struct reach_later later;

	FUZZ_CHECK(reach_later_begin(&later, blocks, graph->count, graph->room) == 0);
	for (size_t i = 0; i < after_count; i++)
		FUZZ_CHECK(reach_later_add(&later, &after[i]) == 0);
	FUZZ_CHECK(reach_later_end(&later) == 0 && later.young_count <= after_count);
	FUZZ_CHECK(reach_graph_compare(graph, blocks, later.young, later.young_count) == 0);
	reach_later_deinit(&later);
	name_roots(graph);
	FUZZ_CHECK(reach_mark_ways(graph, &mark) == 0);
	check_mark(graph, &mark);
	check_losses(graph, &mark, blocks, &losses);
	check_places(graph, &mark, &losses);
	r = reach_retained(graph, &mark, &retained, &retained_count);
	FUZZ_CHECK(r == 0 || r == -E2BIG);
	for (uint32_t i = 0; i < retained_count; i++)
		FUZZ_CHECK(retained[i].bytes >= retained[i].own_bytes &&
			   retained[i].under < retained_count);
	free(retained);
	losses_deinit(&losses);
	reach_mark_deinit(&mark);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct reach_source source = { read_memory, NULL };
	const struct reach_limits limits = { 4096, 4096 };
	const struct reach_range ranges[] = {
		{ MEMORY, MEMORY + 1024, REACH_GLOBAL, 0 },
		{ MEMORY + 1024, MEMORY + 6144, REACH_GAP, 0 },
		{ MEMORY + 6144, MEMORY + 6656, REACH_MAPPING, 0 },
		{ MEMORY + 6656, MEMORY + 7168, REACH_MAPPING,
		  1 }, /* code of a compiler at run time */
		{ MEMORY + 7168, MEMORY + MEMORY_BYTES, REACH_BELOW, 0 },
	};
	struct reach_block blocks[MAX_BLOCKS], after[MAX_BLOCKS];
	struct reach_places places;
	struct reach_graph graph = { 0 };
	size_t count = take_blocks(&data, &size, blocks), after_count;

	after_count = take_blocks(&data, &size, after);
	fill_memory(data, size);
	reach_sort(blocks, &count);
	places = reach_places_of(blocks, count);
	graph.blocks = blocks;
	graph.count = count;
	FUZZ_CHECK(reach_found_init(&graph.found, count, &limits) == 0);
	FUZZ_CHECK(reach_scan(&places, ranges, ARRAY_SIZE(ranges), &source, &limits,
			      &graph.found) == 0);
	FUZZ_CHECK(reach_found_is_sound(&graph.found, count));
	FUZZ_CHECK(reach_found_index(&graph.found) == 0);
	look(&graph, blocks, after, after_count);
	reach_graph_deinit(&graph);
	return 0;
}
