/* A heap that does not add up at one look is looked at again: how often, and what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/inventory/settled.h"
#include "proto/base/cleanup.h"
#include "tests/unit/fake_heap.h"

DEFINE_CLEANUP_PTR(struct inventory *, inventory_free)

struct reading { /* one that a test makes up */
	int error;
	bool is_complete, is_damaged;
	uint64_t unseen_bytes;
	uint64_t cpu_ns;
};

struct script {
	struct reading readings[SETTLED_READINGS];
	unsigned taken;
	uint64_t cpu_ns, paused_ns;
	void (*meanwhile)(void); /* in each pause */
};

static int take_scripted(void *context, struct inventory **ret, struct dhat_error *err)
{
	struct script *script = context;
	const struct reading *reading;

	assert_in_range(script->taken, 0, SETTLED_READINGS - 1);
	reading = &script->readings[script->taken++];
	script->cpu_ns += reading->cpu_ns;
	if (reading->error)
		return dhat_error_set(err, -reading->error, DHAT_EXIT_FAILED, "reading %u failed",
				      script->taken);
	*ret = calloc(1, sizeof(**ret));
	assert_non_null(*ret);
	(*ret)->is_complete = reading->is_complete;
	(*ret)->is_damaged = reading->is_damaged;
	(*ret)->unseen_bytes = reading->unseen_bytes;
	(*ret)->count = script->taken;
	return 0;
}

static void pause_scripted(void *context, uint64_t ns)
{
	struct script *script = context;

	script->paused_ns += ns;
	if (script->meanwhile)
		script->meanwhile();
}

static uint64_t cpu_scripted(void *context)
{
	return ((struct script *)context)->cpu_ns;
}

static int settle(struct script *script, bool is_awaited, struct inventory **ret,
		  struct dhat_error *err)
{
	const struct inventory_taker taker = {
		.take = take_scripted,
		.pause = pause_scripted,
		.cpu_ns = cpu_scripted,
		.is_awaited = is_awaited,
		.context = script,
	};

	return inventory_settle(&taker, ret, err);
}

/* How many readings there were, and which of them is the answer. */
static void check(struct script script, unsigned readings, size_t which)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	struct dhat_error err = { 0 };

	assert_int_equal(settle(&script, true, &inventory, &err), 0);
	assert_int_equal(script.taken, readings);
	assert_int_equal(inventory->count, which);
	assert_int_equal(err.code, DHAT_EXIT_OK);
}

static void one_that_adds_up_is_enough(void **state)
{
	check((struct script){ .readings = { { .is_complete = true } } }, 1, 1);
}

/* Nothing that was not seen, and still not whole: a list was longer than it had been, say. */
static void whatever_it_lacks_it_is_read_again(void **state)
{
	check((struct script){ .readings = { { .unseen_bytes = 0 },
					     { .unseen_bytes = 4096 },
					     { .is_complete = true } } },
	      3, 3);
}

static void the_least_lacking_is_kept(void **state)
{
	struct script script = { .readings = { { .unseen_bytes = 8192 },
					       { .unseen_bytes = 16 },
					       { .unseen_bytes = 4096 },
					       { .unseen_bytes = 4096 } } };

	check(script, SETTLED_READINGS, 2);
}

static void what_is_damaged_twice_is_so_for_good(void **state)
{
	const struct reading damaged = { .is_damaged = true, .unseen_bytes = 4096 };

	check((struct script){ .readings = { damaged, damaged } }, 2, 2);
	/* a thread had no CPU, in the middle of a call */
	check(
		(struct script){
			.readings = { damaged, { .unseen_bytes = 16 }, { .is_complete = true } } },
		3, 3);
}

/* By CPU time: what others have had of it meanwhile does not count. */
static void what_is_dear_is_read_once(void **state)
{
	check((struct script){ .readings = { { .unseen_bytes = 1,
					       .cpu_ns = SETTLED_CHEAP_NS + 1 } } },
	      1, 1);
	check((struct script){ .readings = { { .unseen_bytes = 1, .cpu_ns = SETTLED_CHEAP_NS },
					     { .is_complete = true } } },
	      2, 2);
}

/* Half made it looks like none: the cache of the first thread comes after the first chunk. */
static void a_heap_that_looks_unlike_one(void **state)
{
	struct script script = { .readings = { { .error = -ENOENT }, { .is_complete = true } } };
	struct inventory *none = NULL;
	struct dhat_error err = { 0 };

	check(script, 2, 2);
	script.taken = 0;
	assert_int_equal(settle(&script, false, &none, &err), -ENOENT); /* there is no glibc */
	assert_int_equal(script.taken, 1);
	assert_string_equal(err.message, "reading 1 failed");
	/* for good */
	script = (struct script){ 0 };
	for (int i = 0; i < SETTLED_READINGS; i++)
		script.readings[i].error = -ENOENT;
	err = (struct dhat_error){ 0 };
	assert_int_equal(settle(&script, true, &none, &err), -ENOENT);
	assert_int_equal(script.taken, SETTLED_READINGS);
	assert_in_range(script.paused_ns, SETTLED_FIRST_PAUSE_NS, 1000000000);
	assert_null(none);
}

static void one_that_ends_meanwhile(void **state)
{
	struct script script = { .readings = { { .unseen_bytes = 1 }, { .error = -ESRCH } } };
	struct inventory *none = NULL;
	struct dhat_error err = { 0 };

	assert_int_equal(settle(&script, true, &none, &err), -ESRCH);
	assert_null(none);
	assert_string_equal(err.message, "reading 2 failed");
}

/* ---- one that is born while it is looked at ---------------------------------------------- */

static struct fake_heap fake;

static int take_fake(void *context, struct inventory **ret, struct dhat_error *err)
{
	((struct script *)context)->taken++;
	return fake_heap_take(&fake, 1000, NULL, ret);
}

static void come_into_maps(void)
{
	static int pauses;

	fake.is_unborn_in_maps = pauses++ == 0;
}

static void born_behind_the_back_of_maps(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	struct script script = { .meanwhile = come_into_maps };
	struct inventory_taker taker = {
		.take = take_fake,
		.pause = pause_scripted,
		.cpu_ns = cpu_scripted,
		.context = &script,
	};

	fake_heap_build(&fake);
	assert_int_equal(inventory_settle(&taker, &inventory, NULL), 0);
	assert_int_equal(script.taken, 2); /* the first has found nothing of it */
	assert_true(inventory->is_complete);
	assert_int_equal(inventory->count, FAKE_BLOCKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_adds_up_is_enough),
		cmocka_unit_test(whatever_it_lacks_it_is_read_again),
		cmocka_unit_test(the_least_lacking_is_kept),
		cmocka_unit_test(what_is_damaged_twice_is_so_for_good),
		cmocka_unit_test(what_is_dear_is_read_once),
		cmocka_unit_test(a_heap_that_looks_unlike_one),
		cmocka_unit_test(one_that_ends_meanwhile),
		cmocka_unit_test(born_behind_the_back_of_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
