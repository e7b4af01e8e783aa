/* Numbers of threads' names: whole ones, patterns, and what has no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "daemon/account/thread_names.h"

static uint8_t add(struct thread_names *names, const char *text)
{
	char name[DHAT_THREAD_CHARS] = "";

	memcpy(name, text, strnlen(text, sizeof(name))); /* one of 16 characters has no end */
	return thread_names_add(names, name);
}

static void a_name_keeps_its_number(void **state)
{
	struct thread_names names = { 0 };

	assert_int_equal(add(&names, ""), 0);
	assert_int_equal(add(&names, "main"), 1);
	assert_int_equal(add(&names, "worker-1"), 2);
	assert_int_equal(add(&names, "main"), 1);
	assert_int_equal(add(&names, "worker-2"), 3);
	assert_int_equal(add(&names, "sixteen-letters!"), 4);
	assert_string_equal(names.names[3], "sixteen-letters");
	assert_int_equal(names.count, 4);
}

static void a_large_pool_is_a_pattern(void **state)
{
	struct thread_names names = { 0 };
	char name[DHAT_THREAD_CHARS];

	for (int i = 1; i <= 1000; i++) {
		snprintf(name, sizeof(name), "worker-%d/x", i);
		assert_int_equal(add(&names, name),
				 i <= THREAD_NAMES_ALIKE ? i : THREAD_NAMES_ALIKE + 1);
	}
	assert_string_equal(names.names[THREAD_NAMES_ALIKE], "worker-*/x");
	assert_int_equal(add(&names, "worker-7/x"), 7);
	assert_int_equal(add(&names, "worker-/x"), THREAD_NAMES_ALIKE + 2);
	assert_int_equal(add(&names, "99"), THREAD_NAMES_ALIKE + 3);
}

static void there_is_an_end(void **state)
{
	struct thread_names names = { 0 };

	for (int i = 0; i < 100; i++) {
		const char name[] = { 'a' + i / 10, 'a' + i % 10, '\0' };

		assert_int_equal(add(&names, name), i < THREAD_NAMES_MOST ? i + 1 : 0);
	}
	assert_int_equal(names.count, THREAD_NAMES_MOST);
	assert_int_equal(add(&names, "ab"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_keeps_its_number),
		cmocka_unit_test(a_large_pool_is_a_pattern),
		cmocka_unit_test(there_is_an_end),
	};

	return cmocka_run_group_tests_name("thread_names", tests, NULL, NULL);
}
