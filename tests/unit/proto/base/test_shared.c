/* Memory that is lent: it grows, is seen by whoever has the descriptor, and cannot be written by
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/shared.h"

static void test_grows(void **state)
{
	struct shared shared = SHARED_NONE;
	uint32_t *numbers;

	assert_int_equal(shared_make_room(&shared, 1), 0);
	for (uint32_t i = 0; i < 1000000; i++) {
		assert_int_equal(shared_make_room(&shared, (i + 1ul) * sizeof(*numbers)), 0);
		numbers = shared.memory;
		numbers[i] = i;
	}
	for (uint32_t i = 0; i < 1000000; i++)
		assert_int_equal(numbers[i], i);
	shared_deinit(&shared);
	shared_deinit(&shared); /* twice is fine */
}

static void test_is_read_only_to_others(void **state)
{
	struct shared shared = SHARED_NONE;
	uint64_t *ours, *theirs;
	int fd;

	assert_int_equal(shared_make_room(&shared, 4096), 0);
	ours = shared.memory;
	fd = shared_lend(&shared);
	assert_true(fd >= 0);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	theirs = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(theirs, MAP_FAILED);
	assert_int_equal(mprotect(theirs, 4096, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	*ours = 4711;
	assert_int_equal(*theirs, 4711);
	munmap(theirs, 4096);
	close(fd);
	shared_deinit(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_is_read_only_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
