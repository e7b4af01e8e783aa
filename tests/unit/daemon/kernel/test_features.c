#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/kernel/features.h"

static void test_what_worked_is_begun_with(void **state)
{
	assert_int_equal(features_first_kind(), UPROBE_SESSION);
	features_kind_works(UPROBE_PERF);
	assert_int_equal(features_first_kind(), UPROBE_PERF);
	features_kind_works(UPROBE_SESSION);
}

/* Whatever this kernel says of a kind, and whoever asks: a reason, and the same when asked again.
 */
static void test_each_kind_has_an_answer(void **state)
{
	for (int kind = 0; kind < UPROBE_KINDS; kind++) {
		struct dhat_error first = { 0 }, second = { 0 };
		int error = features_links(kind, &first);

		assert_int_equal(features_links(kind, &second), error);
		assert_int_equal(first.code, second.code);
		assert_string_equal(first.message, second.message);
		if (error)
			assert_true(first.code == DHAT_EXIT_NOT_PERMITTED ||
				    first.code == DHAT_EXIT_UNSUPPORTED);
		else
			assert_int_equal(first.message[0], '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_worked_is_begun_with),
		cmocka_unit_test(test_each_kind_has_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
