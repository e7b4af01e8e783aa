/* Who holds a row, in words: what dhatd tells by points becomes rows, and chains of rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/profile/holders.h"
#include "tests/unit/built_snapshot.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

/* Two stacks of one line; the nodes and the array that hold them; what is lost. */
static const struct built_stack stacks[] = {
	BUILT(5000, 50, 0, 0, 0, 0, "malloc@libc.so.6", "cache_put@cache.c:31", "get@a.c:1"),
	BUILT(1000, 10, 0, 0, 0, 0, "malloc@libc.so.6", "cache_put@cache.c:31", "put@a.c:2"),
	BUILT(800, 1, 0, 0, 0, 0, "malloc@libc.so.6", "make_buckets@cache.c:9", "main@a.c:3"),
	BUILT(640, 20, 0, 0, 0, 0, "alloc::rc::Rc<T>::new@libc.so.6", "open_session@s.c:7",
	      "main@a.c:4"),
	BUILT_END,
};
enum { GET, PUT, BUCKETS, SESSIONS, POINTS };

struct told {
	struct dhat_snapshot *snapshot;
	struct dhat_rendering *table;
	struct dhat_holders holders;
	Dhat__Holds whole;
	Dhat__HoldsRoot roots[2], *root_list[2];
	Dhat__PointHolds points[POINTS];
	Dhat__HoldsSum sums[16];
	size_t sum_count;
	Dhat__HoldsChain chains[8], *chain_list[8];
	uint32_t links[8][4];
	size_t chain_count;
};

static Dhat__HoldsSum *sum(struct told *told, uint64_t bytes, uint64_t blocks)
{
	Dhat__HoldsSum *sum = &told->sums[told->sum_count++];

	dhat__holds_sum__init(sum);
	sum->bytes = bytes;
	sum->blocks = blocks;
	return sum;
}

/* The chains of a point come one after the other. */
static Dhat__HoldsChain *add_chain(struct told *told, int point, uint64_t bytes, uint64_t blocks,
				   size_t links, ...)
{
	size_t i = told->chain_count++;
	Dhat__HoldsChain *chain = &told->chains[i];
	va_list args;

	dhat__holds_chain__init(chain);
	chain->held = sum(told, bytes, blocks);
	chain->words = blocks;
	chain->root = 1;
	va_start(args, links);
	for (size_t j = 0; j < links; j++)
		told->links[i][j] = va_arg(args, int) + 1;
	va_end(args);
	chain->points = told->links[i];
	chain->n_points = links;
	told->chain_list[i] = chain;
	if (!told->points[point].n_chains++)
		told->points[point].chains = &told->chain_list[i];
	return chain;
}

static void begin(struct told *told)
{
	memset(told, 0, sizeof(*told));
	told->snapshot = built_snapshot(&(struct built_watch){ 0 }, stacks);
	dhat__holds__init(&told->whole);
	for (size_t i = 0; i < 2; i++) {
		dhat__holds_root__init(&told->roots[i]);
		told->root_list[i] = &told->roots[i];
	}
	told->roots[0].name = "global response_cache";
	told->roots[1].name = "the stack of thread main";
	told->whole.roots = told->root_list;
	told->whole.n_roots = 2;
	told->whole.scans = 3;
	told->whole.took_ns = 4000000000;
	for (size_t i = 0; i < POINTS; i++) {
		dhat__point_holds__init(&told->points[i]);
		told->snapshot->points[i]->holds = &told->points[i];
	}
	((Dhat__SnapshotEnd *)without_qualifiers(told->snapshot->end))->holds = &told->whole;
}

static void look(struct told *told)
{
	const struct dhat_table_options options = { .style = { .by = DHAT_BY_LINE } };

	assert_int_equal(dhat_snapshot_finish(told->snapshot, NULL), 0);
	assert_int_equal(dhat_table_new(told->snapshot, &options, &told->table), 0);
	assert_int_equal(dhat_holders_make(told->table, &told->holders), 0);
}

static void end(struct told *told)
{
	dhat_holders_deinit(&told->holders);
	if (told->table)
		dhat_rendering_free(told->table);
	for (size_t i = 0; i < POINTS; i++)
		told->snapshot->points[i]->holds = NULL;
	((Dhat__SnapshotEnd *)without_qualifiers(told->snapshot->end))->holds = NULL;
	dhat_snapshot_free(told->snapshot);
}

static void assert_text(char *text, const char *expected)
{
	assert_string_equal(text, expected);
	free(text);
}

static const struct dhat_holder *holder_of(const struct told *told, int point)
{
	for (size_t i = 0; i < told->holders.count; i++)
		if (told->holders.list[i].point == told->table->point_of[point])
			return &told->holders.list[i];
	fail();
	return NULL;
}

/* What reads alike is one row, and one chain; a row holds itself as a list does. */
static void points_of_a_row_are_put_together(void **state)
{
	struct told told;
	const struct dhat_holder *holder;

	begin(&told);
	told.points[GET].held = sum(&told, 5000, 50);
	add_chain(&told, GET, 5000, 50, 2, PUT, BUCKETS)->words = 5;
	told.points[PUT].held = sum(&told, 1000, 10);
	add_chain(&told, PUT, 900, 9, 1, BUCKETS)->words = 9;
	add_chain(&told, PUT, 100, 1, 0)->root = 2;
	look(&told);
	holder = holder_of(&told, GET);
	assert_ptr_equal(holder, holder_of(&told, PUT));
	assert_int_equal(holder->held.bytes, 6000);
	assert_int_equal(holder->live.blocks, 60);
	assert_int_equal(holder->chain_count, 2);
	assert_int_equal(holder->chains[0].held.blocks, 59);
	assert_text(dhat_holder_chain_text(told.table, &told.holders, holder, &holder->chains[0]),
		    "59 blocks held by one another <- make_buckets (cache.c:9) <- global "
		    "response_cache");
	assert_text(dhat_holder_chain_text(told.table, &told.holders, holder, &holder->chains[1]),
		    "1 block held by the stack of thread main");
	assert_text(dhat_holders_headline(&told.whole),
		    "Nothing is lost: all live blocks are held.");
	end(&told);
}

static void what_is_lost_comes_first(void **state)
{
	struct told told;

	begin(&told);
	told.points[GET].held = sum(&told, 5000, 50);
	told.points[SESSIONS].lost = told.whole.lost = sum(&told, 640, 20);
	told.points[SESSIONS].in_cycles = sum(&told, 320, 10);
	told.points[SESSIONS].under_lost = sum(&told, 288, 9);
	look(&told);
	assert_int_equal(told.holders.lost_count, 1);
	assert_ptr_equal(&told.holders.list[0], holder_of(&told, SESSIONS));
	assert_text(
		dhat_holder_lost_text(&told.holders.list[0]),
		"lost: 10 in cycles, 9 held only by lost blocks, 1 without any pointer to them");
	assert_text(
		dhat_holders_headline(&told.whole),
		"640 B in 20 blocks are lost: in 3 scans over 4.0 s nothing in the process pointed "
		"to them.");
	end(&told);
}

static void all_in_cycles(void **state)
{
	struct told told;

	begin(&told);
	told.points[SESSIONS].lost = sum(&told, 640, 20);
	told.points[SESSIONS].in_cycles = sum(&told, 640, 20);
	look(&told);
	assert_text(dhat_holder_lost_text(holder_of(&told, SESSIONS)),
		    "lost: they hold one another in cycles");
	end(&told);
}

static Dhat__HoldsPlace place(uint64_t at, uint64_t of)
{
	Dhat__HoldsPlace made = DHAT__HOLDS_PLACE__INIT;

	made.is_known = true;
	made.at = at;
	made.of = of;
	return made;
}

static void places_and_types_are_told(void **state)
{
	struct told told;
	const struct dhat_holder *holder;
	Dhat__HoldsPlace in_table = place(48, 1280), next = place(8, 40), into = place(64, 4096);
	Dhat__HoldsPlace *places[] = { &in_table };
	Dhat__HoldsChain *chain;

	begin(&told);
	told.points[SESSIONS].held = sum(&told, 5000, 50);
	told.points[SESSIONS].type = "Session";
	told.points[SESSIONS].from_inside = sum(&told, 1000, 10);
	told.points[SESSIONS].into = &into;
	chain = add_chain(&told, SESSIONS, 5000, 50, 1, BUCKETS);
	chain->words = 1;
	chain->self = &next;
	chain->places = places;
	chain->n_places = 1;
	chain->in_root = "+16";
	told.points[BUCKETS].held = sum(&told, 1280, 1);
	told.points[BUCKETS].type = "Table";
	told.points[GET].held = sum(&told, 100, 10); /* of a row what most of its blocks are */
	told.points[PUT].held = sum(&told, 200, 20);
	told.points[PUT].type = "Entry";
	look(&told);
	assert_string_equal(holder_of(&told, GET)->type, "Entry");
	holder = holder_of(&told, SESSIONS);
	assert_text(dhat_holder_chain_text(told.table, &told.holders, holder, &holder->chains[0]),
		    "held by one another at +8 of 40 <- make_buckets (cache.c:9) [Table] at +48 of "
		    "1,280 <- global response_cache+16");
	assert_text(dhat_holder_inside_text(holder),
		    "10 blocks held only from inside, at +64 of 4,096: a pointer to a part keeps "
		    "the whole block");
	chain->n_places = 2;
	assert_int_equal(dhat_snapshot_finish(told.snapshot, NULL), -EBADMSG);
	chain->n_places = 1;
	end(&told);
}

static void a_type_is_of_most_blocks_or_not_told(void **state)
{
	struct told told;

	for (uint64_t more = 0; more < 2; more++) {
		begin(&told);
		told.points[GET].held = sum(&told, 200, 20);
		told.points[GET].type = "Node";
		told.points[PUT].held = sum(&told, 200, 20 + more);
		told.points[PUT].type = "Entry";
		look(&told);
		assert_string_equal(holder_of(&told, GET)->type, more ? "Entry" : "");
		end(&told);
	}
}

/* Points that read alike are one link, and say where only if they agree. */
static void cycles_read_as_loops(void **state)
{
	struct told told;
	Dhat__HoldsPlace one = place(16, 56), other = place(24, 64);
	Dhat__HoldsPlace *places[][2] = { { &one, &other }, { &other, &other } };
	uint32_t points[][2] = { { GET + 1, SESSIONS + 1 }, { PUT + 1, SESSIONS + 1 } };
	Dhat__HoldsCycle cycles[2], *list[] = { &cycles[0], &cycles[1] };

	begin(&told);
	for (size_t i = 0; i < 2; i++) {
		dhat__holds_cycle__init(&cycles[i]);
		cycles[i].lost = sum(&told, 640, 20);
		cycles[i].points = points[i];
		cycles[i].places = places[i];
		cycles[i].n_points = cycles[i].n_places = cycles[i].length = 2;
	}
	told.whole.cycles = list;
	told.whole.n_cycles = 2;
	look(&told);
	assert_int_equal(told.holders.cycle_count, 1);
	assert_true(dhat_holder_is_in_cycle(holder_of(&told, PUT), told.holders.cycles));
	assert_false(dhat_holder_is_in_cycle(holder_of(&told, BUCKETS), told.holders.cycles));
	assert_text(dhat_holder_cycle_text(told.table, &told.holders, told.holders.cycles),
		    "40 blocks in a cycle: cache_put (cache.c:31) -> open_session (s.c:7) at "
		    "+24 of 64 -> cache_put (cache.c:31)");
	assert_non_null(strstr(dhat_holder_cure(told.table, told.holders.cycles), "Rc::downgrade"));
	points[0][0] = POINTS + 1;
	assert_int_equal(dhat_snapshot_finish(told.snapshot, NULL), -EBADMSG);
	end(&told);
}

/* The most first, however sure; and why most is not known where that is so. */
static void what_is_from_before_is_said(void **state)
{
	struct told told;
	const struct dhat_holder *holder;
	char *headline;

	begin(&told);
	told.points[GET].held = told.whole.held = sum(&told, 100, 1);
	told.points[GET].unknown = told.whole.unknown = sum(&told, 5000, 50);
	add_chain(&told, GET, 100, 1, 0);
	add_chain(&told, GET, 5000, 50, 0)->is_unknown = true;
	told.chains[1].root = 2;
	told.roots[1].name =
		"memory of the heap that dhatd does not know (free, or from before the "
		"attach)";
	told.roots[1].kind = "free memory";
	look(&told);
	holder = holder_of(&told, GET);
	assert_true(holder->chains[0].is_unknown);
	assert_int_equal(holder->chains[1].held.blocks, 1);
	headline = dhat_holders_headline(&told.whole);
	assert_non_null(strstr(headline, "Most hang on memory from before the attach"));
	free(headline);
	told.roots[1].kind = "stack";
	headline = dhat_holders_headline(&told.whole);
	assert_null(strstr(headline, "before the attach"));
	free(headline);
	end(&told);
}

static void one_address(void **state)
{
	struct told told;
	Dhat__HoldsWhy why = DHAT__HOLDS_WHY__INIT;
	Dhat__HoldsStep step = DHAT__HOLDS_STEP__INIT, *steps[] = { &step };
	Dhat__HoldsPlace next = place(8, 40);

	begin(&told);
	told.whole.why = &why;
	why.address = 0x7f0010;
	why.answer = "held";
	why.block = 0x7f0000;
	why.bytes = 1280;
	why.age_ns = 3000000000;
	why.point = SESSIONS + 1;
	why.steps = steps;
	why.n_steps = 1;
	step.block = 0x7e0000;
	step.run = 500;
	step.point = GET + 1;
	step.place = &next;
	look(&told);
	assert_text(dhat_holder_why_text(told.table, &told.holders, &why),
		    "0x7f0010 is at +16 of a block of 1,280 bytes from open_session (s.c:7), 3.0 s "
		    "old. It is held by");
	assert_text(
		dhat_holder_step_text(told.table, &told.holders, &step),
		"0x7e0000 cache_put (cache.c:31) at +8 of 40, and 499 more of these, one behind "
		"the other");
	why.answer = "lost";
	why.n_steps = 0;
	why.address = why.block;
	assert_text(
		dhat_holder_why_text(told.table, &told.holders, &why),
		"0x7f0000 is the beginning of a block of 1,280 bytes from open_session (s.c:7), "
		"3.0 s old. It is lost: in all scans nothing that the process can reach pointed "
		"to it. No block points to it.");
	why.block = 0;
	why.answer = "no block";
	why.place = "global list+8";
	why.is_root = true;
	assert_text(
		dhat_holder_why_text(told.table, &told.holders, &why),
		"0x7f0000 is in no live block: it is in global list+8, and what it points to is "
		"held.");
	why.place = "";
	assert_text(dhat_holder_why_text(told.table, &told.holders, &why),
		    "0x7f0000 is nowhere in the memory of the process.");
	step.point = POINTS + 1;
	why.n_steps = 1;
	assert_int_equal(dhat_snapshot_finish(told.snapshot, NULL), -EBADMSG);
	end(&told);
}

static void weak_pointers_say_that_they_are(void **state)
{
	struct told told;
	const struct dhat_holder *holder;
	Dhat__HoldsChain *chain;

	begin(&told);
	told.points[BUCKETS].held = sum(&told, 800, 1);
	chain = add_chain(&told, BUCKETS, 800, 1, 0);
	chain->is_past_end = true;
	chain->root_words = 1;
	told.points[SESSIONS].unknown = sum(&told, 640, 20);
	chain = add_chain(&told, SESSIONS, 640, 20, 0);
	chain->is_unknown = chain->is_tagged = true;
	chain->root_words = 20;
	look(&told);
	holder = holder_of(&told, BUCKETS);
	assert_text(dhat_holder_chain_text(told.table, &told.holders, holder, &holder->chains[0]),
		    "held by a pointer to where they end: global response_cache (by one word)");
	holder = holder_of(&told, SESSIONS);
	assert_text(dhat_holder_chain_text(told.table, &told.holders, holder, &holder->chains[0]),
		    "unknown, by what looks like a pointer with a tag: global response_cache");
	end(&told);
}

static void refusals_and_withdrawals_are_said(void **state)
{
	char *refusals[] = { "it has an io_uring", "memory is swapped out" };
	struct told told;

	begin(&told);
	told.whole.refusals = refusals;
	told.whole.n_refusals = 2;
	told.whole.unseen = sum(&told, 640, 20);
	told.whole.withdrawn_blocks = 1000;
	assert_text(
		dhat_holders_headline(&told.whole),
		"Nothing is called lost: it has an io_uring; memory is swapped out. Of 640 B in 20 "
		"blocks no holder was seen. 1,000 blocks that an earlier answer called lost were "
		"freed, or seen to be held, since: of their sites nothing is called lost any "
		"more.");
	/* not that all are held, nor that these are new */
	told.whole.n_refusals = 0;
	assert_text(
		dhat_holders_headline(&told.whole),
		"Nothing is called lost, and of 640 B in 20 blocks no holder was seen. 1,000 "
		"blocks that an earlier answer called lost were freed, or seen to be held, since: "
		"of their sites nothing is called lost any more.");
	end(&told);
}

/* A file may say anything. */
static void links_that_are_not_there_are_refused(void **state)
{
	struct told told;
	Dhat__HoldsChain *chain;

	begin(&told);
	chain = add_chain(&told, GET, 100, 1, 1, BUCKETS);
	assert_int_equal(dhat_snapshot_finish(told.snapshot, NULL), 0);
	chain->root = 3;
	assert_int_equal(dhat_snapshot_finish(told.snapshot, NULL), -EBADMSG);
	chain->root = 0;
	told.links[0][0] = POINTS + 1;
	assert_int_equal(dhat_snapshot_finish(told.snapshot, NULL), -EBADMSG);
	told.links[0][0] = 0;
	look(&told);
	assert_text(dhat_holder_chain_text(told.table, &told.holders, holder_of(&told, GET),
					   holder_of(&told, GET)->chains),
		    "1 block held by a block whose stack is not known <- a chain that is longer");
	end(&told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(points_of_a_row_are_put_together),
		cmocka_unit_test(what_is_lost_comes_first),
		cmocka_unit_test(all_in_cycles),
		cmocka_unit_test(places_and_types_are_told),
		cmocka_unit_test(a_type_is_of_most_blocks_or_not_told),
		cmocka_unit_test(cycles_read_as_loops),
		cmocka_unit_test(what_is_from_before_is_said),
		cmocka_unit_test(one_address),
		cmocka_unit_test(weak_pointers_say_that_they_are),
		cmocka_unit_test(refusals_and_withdrawals_are_said),
		cmocka_unit_test(links_that_are_not_there_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
