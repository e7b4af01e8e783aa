/* What stays a candidate, what is said by sites, and what an earlier answer has to take back. */
#include "daemon/holds/summary.h"
#include "tests/unit/daemon/reach/world.h"

#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct holds *, holds_unref)
DEFINE_CLEANUP_PTR(struct holds_book *, holds_book_free)

enum { SITE_HELD = 1, SITE_LOST = 2, SITE_PAIR = 3, SITE_VALUE = 4 };

/* A list of three under a global, each with a value; a pair that is lost; one that is alone. */
static struct world *make(void)
{
	struct world *world = world_new(16);
	uint64_t pair[2];

	for (uint64_t i = 0; i < 3; i++) {
		uint64_t node = world_block(world, 0x100 + 0x100 * i, 48, SITE_HELD);
		uint64_t value = world_block(world, 0x180 + 0x100 * i, 20, SITE_VALUE);

		world_set(world, node, i < 2 ? node + 0x100 : 0);
		world_set(world, node + 8, value);
	}
	world_set(world, GLOBALS, HEAP + 0x100);
	world_block(world, 0x1000, 100, SITE_LOST);
	pair[0] = world_block(world, 0x2000, 32, SITE_PAIR);
	pair[1] = world_block(world, 0x2100, 32, SITE_PAIR);
	world_set(world, pair[0], pair[1]);
	world_set(world, pair[1], pair[0]);
	return world;
}

static void look_again(struct world *world)
{
	reach_mark_deinit(&world->mark);
	reach_graph_deinit(&world->graph);
	world_look(world);
}

static const struct holds_site *site_of(const struct holds *holds, uint32_t point)
{
	for (uint32_t i = 0; i < holds->site_count; i++)
		if (holds->sites[i].point == point)
			return &holds->sites[i];
	fail_msg("no site %u", point);
	return NULL;
}

static size_t find_candidates(struct world *world)
{
	return candidates_begin(&world->graph, &world->mark, world->blocks);
}

static size_t keep_candidates(struct world *world)
{
	return candidates_keep(&world->graph, &world->mark, world->blocks);
}

static struct holds *sum_up(struct world *world, bool may_be_lost, const struct book_watch *watch)
{
	struct holds *holds = calloc(1, sizeof(*holds));
	_cleanup_(losses_deinit) struct losses losses = { 0 };

	assert_non_null(holds);
	assert_int_equal(losses_find(&world->graph, &world->mark, world->blocks, may_be_lost, watch,
				     &losses),
			 0);
	assert_int_equal(summary_make(&world->graph, &world->mark, &losses, watch, NULL, holds), 0);
	return holds;
}

static void sums_and_chains_by_site(void **state)
{
	struct world *world = make();
	_cleanup_(holds_unref_ptr) struct holds *holds = NULL;
	const struct holds_site *site;
	const struct holds_chain *chain;

	world_look(world);
	assert_int_equal(find_candidates(world), 3);
	holds = sum_up(world, true, NULL);
	assert_int_equal(holds->held.bytes, 3 * 48 + 3 * 20);
	assert_int_equal(holds->lost.bytes, 164);
	assert_int_equal(holds->unknown.blocks + holds->unseen.blocks, 0);
	site = site_of(holds, SITE_PAIR);
	assert_int_equal(site->in_cycles.blocks, 2);
	assert_int_equal(site->lost.bytes, 64);
	site = site_of(holds, SITE_LOST);
	assert_int_equal(site->lost.blocks, 1);
	assert_int_equal(site->in_cycles.blocks + site->under.blocks, 0);
	site = site_of(holds, SITE_VALUE);
	assert_int_equal(site->chain_count, 1);
	chain = &holds->chains[site->first_chain];
	assert_int_equal(chain->link_count, 1);
	assert_int_equal(holds->links[chain->first_link].point, SITE_HELD);
	assert_int_equal(chain->entries, 3);
	assert_int_equal(chain->root_words, 1);
	assert_string_equal(holds->roots[chain->root].name, "global");
	assert_int_equal(site_of(holds, SITE_HELD)->retained.bytes, 3 * 68);
	world_free(world);
}

/* What is asked for is counted; the rest holds, all the same. */
static void only_what_is_young_is_counted(void **state)
{
	struct world *world = make();
	_cleanup_(holds_unref_ptr) struct holds *holds = NULL;

	world_look(world);
	assert_int_equal(find_candidates(world), 3);
	for (size_t i = 0; i < world->count; i++)
		if (world->blocks[i].point == SITE_HELD || world->blocks[i].addr == HEAP + 0x2100)
			world->blocks[i].flags |= REACH_BLOCK_UNASKED;
	reach_mark_deinit(&world->mark);
	assert_int_equal(reach_mark(&world->graph, &world->mark), 0);
	holds = sum_up(world, true, NULL);
	assert_int_equal(holds->held.bytes, 3 * 20);
	assert_int_equal(holds->lost.bytes, 132);
	assert_int_equal(site_of(holds, SITE_PAIR)->in_cycles.blocks, 1);
	assert_int_equal(holds->cycles[0].lost.blocks, 1);
	assert_int_equal(holds->chains[site_of(holds, SITE_VALUE)->first_chain].held.blocks, 3);
	world_free(world);
}

/* ---- where pointers stand ------------------------------------------------------------------- */

static void look_closer(struct world *world, struct pointer_places *places, const uint8_t *inside,
			const struct losses *losses)
{
	const struct reach_source source = { world_read, world };
	const struct closer_span image = { GLOBALS + 0x800, GLOBALS + 0x900 };
	struct closer_question question = { .images = &image, .image_count = 1 };
	struct closer_answer answer = { 0 };

	assert_int_equal(pointer_places_choose(&world->graph, &world->mark, inside, losses->cycles,
					       losses->cycle_count, places),
			 0);
	question.pairs = places->pairs;
	question.pair_count = places->pair_count;
	question.heads = places->heads;
	question.head_count = places->head_count;
	assert_int_equal(closer_look(&question, &source, &answer), 0);
	pointer_places_take(places, &answer);
	closer_answer_deinit(&answer);
}

static void most_of_a_few_say_where_pointers_stand(void **state)
{
	struct world *world = make();
	_cleanup_(losses_deinit) struct losses losses = { 0 };
	_cleanup_(pointer_places_deinit) struct pointer_places places = { 0 };
	_cleanup_free_ uint8_t *inside = NULL;
	const struct chain_places *node, *value;

	for (uint64_t i = 0; i < 3; i++)
		world_set(world, HEAP + 0x180 + 0x100 * i, GLOBALS + 0x810); /* what it is */
	world_look(world);
	assert_int_equal(find_candidates(world), 3);
	assert_int_equal(
		losses_find(&world->graph, &world->mark, world->blocks, true, NULL, &losses), 0);
	assert_int_equal(reach_from_inside(&world->graph, &world->mark, &inside), 0);
	look_closer(world, &places, inside, &losses);
	value = pointer_places_of_chain(&places,
					world_chain(world, HEAP + 0x180) - world->mark.chains);
	node = pointer_places_of_chain(&places,
				       world_chain(world, HEAP + 0x100) - world->mark.chains);
	assert_true(value->holder.is_known);
	assert_int_equal(value->holder.at, 8);
	assert_int_equal(value->holder.bytes, 48);
	assert_false(node->holder.is_known);
	assert_true(node->self.is_known);
	assert_int_equal(node->self.at, 0);
	assert_int_equal(node->in_root, GLOBALS);
	assert_int_equal(pointer_places_of_site(&places, SITE_VALUE)->words[0], GLOBALS + 0x810);
	assert_int_equal(pointer_places_of_site(&places, SITE_HELD)->words[0], 0);
	assert_true(places.cycles[0].is_known);
	assert_int_equal(places.cycles[0].at, 0);
	assert_int_equal(places.cycles[0].bytes, 32);
	world_free(world);
}

/* An array holds at each of its places: there is no one that could be said. */
static void where_they_differ_nothing_is_said(void **state)
{
	struct world *world = world_new(16);
	_cleanup_(losses_deinit) struct losses losses = { 0 };
	_cleanup_(pointer_places_deinit) struct pointer_places places = { 0 };
	_cleanup_free_ uint8_t *inside = NULL;
	const struct chain_places *element;
	uint64_t array = world_block(world, 0x1000, 64, 1);

	for (uint64_t i = 0; i < 8; i++) {
		uint64_t block = world_block(world, 0x100 * i, 48, 2);

		world_set(world, array + 8 * i, block + 40);
	}
	world_set(world, GLOBALS + 16, array);
	world_look(world);
	assert_int_equal(reach_from_inside(&world->graph, &world->mark, &inside), 0);
	look_closer(world, &places, inside, &losses);
	element = pointer_places_of_chain(&places, world_chain(world, HEAP) - world->mark.chains);
	assert_false(element->holder.is_known);
	assert_int_equal(element->holder.bytes, 64);
	assert_int_equal(
		reach_is_from_inside(inside, reach_find(world->blocks, world->count, HEAP)), 1);
	assert_int_equal(
		reach_is_from_inside(inside, reach_find(world->blocks, world->count, array)), 0);
	assert_true(pointer_places_of_site(&places, 2)->inside.is_known);
	assert_int_equal(pointer_places_of_site(&places, 2)->inside.at, 40);
	world_free(world);
}

/* ---- types ---------------------------------------------------------------------------------- */

static void assert_type(char *type, const char *expected)
{
	if (expected)
		assert_string_equal(type, expected);
	else
		assert_null(type);
	free(type);
}

static void names_of_tables_name_types(void **state)
{
	assert_type(types_of_variable("vtable for Session"), "Session");
	assert_type(types_of_variable("vtable for std::_Sp_counted_ptr_inplace<app::Peer<int, "
				      "char>, std::allocator<void>, (__gnu_cxx::_Lock_policy)2>"),
		    "app::Peer<int, char>");
	assert_type(types_of_variable("socket_ops"), "socket_ops");
	assert_type(types_of_variable("environ"), NULL);
	assert_type(types_of_function("core::ptr::drop_in_place<alloc::vec::Vec<u8>>"),
		    "alloc::vec::Vec<u8>");
	assert_type(types_of_function("core::ptr::drop_in_place::<fn(u8) -> u8>"), "fn(u8) -> u8");
	assert_type(types_of_function("tokio::runtime::task::raw::poll"), "Tokio task");
	assert_type(types_of_function("tokio::runtime::task::raw::poll<app::serve::{async_fn#0}, "
				      "alloc::sync::Arc<Handle>>"),
		    "Tokio task app::serve::{async_fn#0}");
	assert_type(
		types_of_function("tokio::runtime::task::raw::poll::<core::future::from_generator::"
				  "GenFuture<app::serve::{closure#0}>, Handle>"),
		"Tokio task app::serve::{closure#0}");
	assert_type(types_of_function("<app::Timer as core::future::Future>::poll"), "app::Timer");
	assert_type(types_of_function("<broken"), NULL);
	assert_type(types_of_function("main"), NULL);
}

/* Where something speaks against it the same blocks are not lost, and not held either. */
static void without_lost_they_are_unseen(void **state)
{
	struct world *world = make();
	_cleanup_(holds_unref_ptr) struct holds *holds = NULL;

	world_look(world);
	holds = sum_up(world, false, NULL);
	assert_int_equal(holds->lost.blocks, 0);
	assert_int_equal(holds->unseen.bytes, 164);
	assert_int_equal(site_of(holds, SITE_LOST)->unseen.blocks, 1);
	world_free(world);
}

static void candidates_go_when_reached_or_freed(void **state)
{
	struct world *world = make();
	size_t at;

	world_look(world);
	assert_int_equal(find_candidates(world), 3);
	look_again(world);
	assert_int_equal(keep_candidates(world), 3);
	world_set(world, STACK, HEAP + 0x1000); /* left over on a stack: that is enough here */
	look_again(world);
	assert_int_equal(keep_candidates(world), 2);
	at = reach_find(world->blocks, world->count, HEAP + 0x2000);
	world->blocks[at].flags |= REACH_BLOCK_GONE;
	world->after[at].birth_ns = 9; /* freed, and another one at its place */
	assert_int_equal(keep_candidates(world), 1);
	assert_true(world->blocks[at + 1].flags & REACH_BLOCK_CANDIDATE);
	assert_false(world->blocks[at].flags & REACH_BLOCK_CANDIDATE);
	world_free(world);
}

static void a_lost_block_that_is_freed_discredits_its_site(void **state)
{
	struct world *world = make();
	_cleanup_(holds_book_free_ptr) struct holds_book *book = NULL;
	_cleanup_(holds_unref_ptr) struct holds *holds = NULL;
	struct book_watch *watch = NULL, *other = NULL;

	world_look(world);
	assert_int_equal(holds_book_new(&book), 0);
	assert_int_equal(holds_book_open(book, 100, 1, &watch), 0);
	assert_int_equal(find_candidates(world), 3);
	assert_int_equal(book_say(watch, &world->graph), 0);
	assert_int_equal(holds_book_open(book, 100, 1, &other), -EBUSY);
	holds_book_close(book, watch, NULL);
	assert_int_equal(holds_book_open(book, 100, 2, &other),
			 0); /* another watch knows nothing */
	assert_int_equal(holds_book_open(book, 100, 1, &watch), 0);

	world_set(world, STACK, HEAP + 0x1000); /* proves nothing */
	world_set(world, POOL, HEAP + 0x2008);	/* that does */
	look_again(world);
	assert_int_equal(book_check(watch, &world->graph, &world->mark), 0);
	assert_int_equal(book_withdrawn(watch, SITE_LOST), 0);
	assert_int_equal(book_withdrawn(watch, SITE_PAIR), 2);
	assert_int_equal(book_withdrawn(other, SITE_PAIR), 0);
	world_set(world, POOL, 0);
	world_set(world, STACK, 0);
	look_again(world);
	assert_int_equal(find_candidates(world), 3);
	holds = sum_up(world, true, watch);
	assert_int_equal(site_of(holds, SITE_LOST)->lost.blocks, 1);
	assert_int_equal(site_of(holds, SITE_PAIR)->lost.blocks, 0);
	assert_int_equal(site_of(holds, SITE_PAIR)->unseen.blocks, 2);
	assert_int_equal(site_of(holds, SITE_PAIR)->withdrawn, 2);
	holds_book_close(book, watch, NULL);
	holds_book_close(book, other, NULL);
	world_free(world);
}

/* An answer stays with its watch until the next one, or until there is too much of them. */
static void the_last_answer_is_kept(void **state)
{
	_cleanup_(holds_book_free_ptr) struct holds_book *book = NULL;
	struct holds *small = calloc(1, sizeof(*small)), *large = calloc(1, sizeof(*large));
	struct book_watch *watch = NULL;
	struct holds *last;

	atomic_init(&small->references, 1);
	atomic_init(&large->references, 1);
	large->chain_room = BOOK_MAX_KEPT_BYTES / sizeof(*large->chains);
	assert_int_equal(holds_book_new(&book), 0);
	assert_null(holds_book_last(book, 100, 1));
	assert_int_equal(holds_book_open(book, 100, 1, &watch), 0);
	assert_null(holds_book_last(book, 100, 1));
	holds_book_close(book, watch, small);
	last = holds_book_last(book, 100, 1);
	assert_ptr_equal(last, small);
	holds_unref(last);
	assert_null(holds_book_last(book, 100, 2)); /* another process of that number */
	assert_int_equal(holds_book_open(book, 100, 1, &watch), 0);
	holds_book_close(book, watch, NULL); /* a look that failed takes nothing away */
	last = holds_book_last(book, 100, 1);
	assert_ptr_equal(last, small);
	holds_unref(last);
	assert_int_equal(holds_book_open(book, 200, 1, &watch), 0);
	holds_book_close(book, watch, large);
	assert_null(holds_book_last(book, 100, 1)); /* the older one went for it */
	assert_null(holds_book_last(book, 200, 1)); /* and it is too large by itself */
	holds_unref(small);
	holds_unref(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_and_chains_by_site),
		cmocka_unit_test(only_what_is_young_is_counted),
		cmocka_unit_test(most_of_a_few_say_where_pointers_stand),
		cmocka_unit_test(where_they_differ_nothing_is_said),
		cmocka_unit_test(names_of_tables_name_types),
		cmocka_unit_test(without_lost_they_are_unseen),
		cmocka_unit_test(candidates_go_when_reached_or_freed),
		cmocka_unit_test(a_lost_block_that_is_freed_discredits_its_site),
		cmocka_unit_test(the_last_answer_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
