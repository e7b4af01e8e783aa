/* interned: numbers are dense, in order, and stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/interned.h"

static void test_numbers(void **state)
{
	_cleanup_(interned_deinit) struct interned interned = { 0 };
	char text[16];
	uint32_t number;

	/* past several doublings of both tables; every second text comes twice */
	for (uint32_t i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		assert_int_equal(interned_add(&interned, text, &number), 0);
		assert_int_equal(number, i);
		snprintf(text, sizeof(text), "%u", i / 2);
		assert_int_equal(interned_add(&interned, text, &number), 0);
		assert_int_equal(number, i / 2);
	}
	assert_int_equal(interned.count, 5000);
	assert_string_equal(interned.list[4321], "4321");
	assert_int_equal(interned_add(&interned, "", &number), 0);
	assert_int_equal(number, 5000);
	assert_string_equal(interned.list[number], "");
}

static void test_bytes(void **state)
{
	_cleanup_(interned_deinit) struct interned interned = { 0 };
	static const uint32_t rows[][3] = { { 0, 0, 0 }, { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } };
	uint32_t number;

	for (int round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 4; i++) { /* zeros end nothing */
			assert_int_equal(
				interned_add_bytes(&interned, rows[i], sizeof(rows[i]), &number),
				0);
			assert_int_equal(number, i);
		}
	/* nor is the beginning of a row that row; none at all is one, and what "" is */
	assert_int_equal(interned_add_bytes(&interned, rows[0], 8, &number), 0);
	assert_int_equal(number, 4);
	assert_int_equal(interned_add_bytes(&interned, rows[0], 0, &number), 0);
	assert_int_equal(number, 5);
	assert_int_equal(interned_add(&interned, "", &number), 0);
	assert_int_equal(number, 5);
	assert_memory_equal(interned.list[3], rows[3], sizeof(rows[3]));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_numbers),
					    cmocka_unit_test(test_bytes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
