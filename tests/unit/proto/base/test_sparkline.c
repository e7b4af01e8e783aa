/* sparkline: heights, columns, letters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/sparkline.h"

#define expect(text, columns, is_utf8, ...)                                                        \
	do {                                                                                       \
		const uint64_t values[] = { __VA_ARGS__ };                                         \
		_cleanup_free_ char *line =                                                        \
			dhat_sparkline(values, ARRAY_SIZE(values), columns, is_utf8);              \
                                                                                                   \
		assert_string_equal(line, text);                                                   \
	} while (0)

static void heights_are_shares_of_the_greatest(void **state)
{
	expect("▁▂▃▄▅▆▇█", 80, true, 0, 1, 2, 3, 4, 5, 6, 7);
	expect("_.-=+*%#", 80, false, 0, 1, 2, 3, 4, 5, 6, 7);
	expect("####", 4, false, 5, 5, 5, 5); /* from 0 on: what is level is not low */
	expect("____", 4, false, 0, 0, 0, 0);
	expect("#_", 4, false, UINT64_MAX, 1);
}

static void a_column_has_the_greatest_of_its_values(void **state)
{
	expect("##", 2, false, 1, 9, 9, 0);
	expect("_#_", 3, false, 0, 0, 0, 9, 0, 0, 0); /* 2, 2 and 3 values */
	expect("#", 1, false, 0, 9, 0);
}

static void nothing_is_an_empty_line(void **state)
{
	_cleanup_free_ char *line = dhat_sparkline(NULL, 0, 10, true);
	const uint64_t one = 1;
	_cleanup_free_ char *no_room = dhat_sparkline(&one, 1, 0, true);

	assert_string_equal(line, "");
	assert_string_equal(no_room, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heights_are_shares_of_the_greatest),
		cmocka_unit_test(a_column_has_the_greatest_of_its_values),
		cmocka_unit_test(nothing_is_an_empty_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
