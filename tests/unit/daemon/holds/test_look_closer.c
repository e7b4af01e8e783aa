/* look_closer: what is not in memory is not looked into, and does not come there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/holds/look_closer.h"
#include "daemon/proc/pagemap.h"
#include "daemon/worker/worker.h"
#include "daemon/worker/worker_main.h"
#include "proto/base/cleanup.h"

#define PAGES 4

DEFINE_CLEANUP_PTR(struct worker *, worker_free)

static int add_pages(void *pages, const struct pagemap_run *run)
{
	*(uint64_t *)pages += run->count;
	return 0;
}

static uint64_t pages_in_memory(const void *at)
{
	uint64_t start = (uintptr_t)at, pages = 0;
	struct pagemap pagemap = PAGEMAP_CLOSED;

	assert_int_equal(pagemap_open(getpid(), &pagemap), 0);
	assert_int_equal(
		pagemap_scan(&pagemap, start, start + PAGES * PAGEMAP_PAGE, add_pages, &pages), 0);
	pagemap_deinit(&pagemap);
	return pages;
}

static void test_only_at_what_is_there(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	uint64_t *memory = mmap(NULL, PAGES * PAGEMAP_PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t start = (uintptr_t)memory, target = start + 4096;
	const struct closer_pair pairs[] = {
		{ start, 4096, target, 64 },
		{ start, PAGES * PAGEMAP_PAGE, target, 64 }, /* three pages were never touched */
	};
	const struct closer_span heads[] = {
		{ start, start + 4096 },
		{ start + 2 * PAGEMAP_PAGE, start + 3 * PAGEMAP_PAGE },
	};
	const struct closer_span image = { start, start + 64 };
	const struct closer_question question = {
		.pairs = pairs,
		.heads = heads,
		.images = &image,
		.pair_count = ARRAY_SIZE(pairs),
		.head_count = ARRAY_SIZE(heads),
		.image_count = 1,
	};
	struct closer_answer answer = { 0 };
	struct look_closer_at at = { .pid = getpid() };

	assert_ptr_not_equal(memory, MAP_FAILED);
	madvise(memory, PAGES * PAGEMAP_PAGE, MADV_NOHUGEPAGE);
	memory[0] = start + 8; /* into the image */
	memory[5] = target;
	assert_int_equal(worker_new(NULL, &worker, NULL), 0);
	at.worker = worker;
	assert_int_equal(look_closer(&at, &question, &answer), 0);
	assert_int_equal(answer.places[0].at, 40);
	assert_int_equal(answer.places[1].at, CLOSER_NOWHERE);
	assert_int_equal(answer.heads[0].words[0], start + 8);
	assert_int_equal(answer.heads[1].words[0], 0);
	assert_int_equal(pages_in_memory(memory), 1);
	closer_answer_deinit(&answer);
	munmap(memory, PAGES * PAGEMAP_PAGE);
}

static void test_nobody(void **state)
{
	const struct closer_question question = { 0 };
	struct closer_answer answer = { 0 };

	assert_true(look_closer(&(struct look_closer_at){ .pid = INT32_MAX }, &question, &answer) <
		    0);
}

/* Somebody else's scan takes minutes, and who asked has left. */
static void test_nobody_waits(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	const struct closer_question question = { 0 };
	const atomic_bool stop = true;
	struct closer_answer answer = { 0 };
	struct look_closer_at at = { .pid = getpid(), .stop = &stop };

	assert_int_equal(worker_new(NULL, &worker, NULL), 0);
	assert_int_equal(worker_take_scans(worker, NULL, false), 0);
	at.worker = worker;
	assert_int_equal(look_closer(&at, &question, &answer), -ECANCELED);
	worker_give_scans(worker);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_at_what_is_there),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_nobody_waits),
	};

	if (argc > 1 && !strcmp(argv[1], WORKER_ARGUMENT))
		return worker_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
