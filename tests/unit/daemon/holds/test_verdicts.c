/* What stays a candidate, what is said by sites, and what an earlier answer has to take back. */
#include "daemon/holds/summary.h"
#include "tests/unit/daemon/reach/world.h"

#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct holds *, holds_free)
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

static struct holds *sum_up(const struct world *world, const struct candidates *lost,
			    const struct book_watch *watch)
{
	struct holds *holds = calloc(1, sizeof(*holds));

	assert_non_null(holds);
	assert_int_equal(summary_make(&world->graph, &world->mark, lost, watch, holds), 0);
	return holds;
}

static void sums_and_chains_by_site(void **state)
{
	struct world *world = make();
	_cleanup_(candidates_deinit) struct candidates lost = { 0 };
	_cleanup_(holds_free_ptr) struct holds *holds = NULL;
	const struct holds_site *site;
	const struct holds_chain *chain;

	world_look(world);
	assert_int_equal(candidates_begin(&lost, &world->graph, &world->mark), 0);
	assert_int_equal(lost.count, 3);
	holds = sum_up(world, &lost, NULL);
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
	assert_int_equal(holds->links[chain->first_link], SITE_HELD);
	assert_int_equal(chain->entries, 3);
	assert_int_equal(chain->root_words, 1);
	assert_string_equal(holds->roots[chain->root].name, "global");
	assert_int_equal(site_of(holds, SITE_HELD)->retained.bytes, 3 * 68);
	world_free(world);
}

/* Where something speaks against it the same blocks are not lost, and not held either. */
static void without_lost_they_are_unseen(void **state)
{
	struct world *world = make();
	_cleanup_(holds_free_ptr) struct holds *holds = NULL;

	world_look(world);
	holds = sum_up(world, NULL, NULL);
	assert_int_equal(holds->lost.blocks, 0);
	assert_int_equal(holds->unseen.bytes, 164);
	assert_int_equal(site_of(holds, SITE_LOST)->unseen.blocks, 1);
	world_free(world);
}

static void candidates_go_when_reached_or_freed(void **state)
{
	struct world *world = make();
	_cleanup_(candidates_deinit) struct candidates lost = { 0 };
	size_t at;

	world_look(world);
	assert_int_equal(candidates_begin(&lost, &world->graph, &world->mark), 0);
	look_again(world);
	assert_int_equal(candidates_keep(&lost, &world->graph, &world->mark, false, NULL, NULL), 0);
	world_set(world, STACK, HEAP + 0x1000); /* left over on a stack: that is enough here */
	look_again(world);
	assert_int_equal(candidates_keep(&lost, &world->graph, &world->mark, false, NULL, NULL), 1);
	at = reach_find(world->blocks, world->count, HEAP + 0x2000);
	world->blocks[at].birth_ns = 9; /* freed, and another one at its place */
	look_again(world);
	assert_int_equal(candidates_keep(&lost, &world->graph, &world->mark, false, NULL, NULL), 1);
	assert_int_equal(lost.count, 1);
	assert_true(candidates_have(&lost, &world->blocks[at + 1]));
	assert_false(candidates_have(&lost, &world->blocks[at]));
	world_free(world);
}

static void a_lost_block_that_is_freed_discredits_its_site(void **state)
{
	struct world *world = make();
	_cleanup_(holds_book_free_ptr) struct holds_book *book = NULL;
	_cleanup_(candidates_deinit) struct candidates lost = { 0 }, again = { 0 };
	_cleanup_(holds_free_ptr) struct holds *holds = NULL;
	struct book_watch *watch = NULL, *other = NULL;

	world_look(world);
	assert_int_equal(holds_book_new(&book), 0);
	assert_int_equal(holds_book_open(book, 100, 1, &watch), 0);
	assert_int_equal(candidates_begin(&lost, &world->graph, &world->mark), 0);
	book_say(watch, &lost);
	assert_int_equal(holds_book_open(book, 100, 1, &other), -EBUSY);
	holds_book_close(book, watch);
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
	assert_int_equal(candidates_begin(&again, &world->graph, &world->mark), 0);
	holds = sum_up(world, &again, watch);
	assert_int_equal(site_of(holds, SITE_LOST)->lost.blocks, 1);
	assert_int_equal(site_of(holds, SITE_PAIR)->lost.blocks, 0);
	assert_int_equal(site_of(holds, SITE_PAIR)->unseen.blocks, 2);
	assert_int_equal(site_of(holds, SITE_PAIR)->withdrawn, 2);
	holds_book_close(book, watch);
	holds_book_close(book, other);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_and_chains_by_site),
		cmocka_unit_test(without_lost_they_are_unseen),
		cmocka_unit_test(candidates_go_when_reached_or_freed),
		cmocka_unit_test(a_lost_block_that_is_freed_discredits_its_site),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
