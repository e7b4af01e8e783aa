/* "did you mean": what people type, and what they meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/similar.h"

static void test_slips(void **state)
{
	static const char *const names[] = { "stats", "status", "rss",	  "snapshot", "export",
					     "plan",  "attach", "detach", "repair" };
	static const struct {
		const char *typed, *meant;
	} cases[] = {
		{ "stat", "stats" },
		{ "statz", "stats" },
		{ "snap", "snapshot" },
		{ "sanpshot", "snapshot" },
		{ "atach", "attach" },
		{ "attahc", "attach" },
		{ "detatch", "detach" },
		{ "statsu", "stats" },
		{ "exprot", "export" },
		{ "frobnicate", NULL },
		{ "x", NULL },
		{ "", NULL },
		{ "--socket", NULL },
		{ "1234", NULL },
		{ "a word that is longer than any that could be meant here", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_similar similar = { .word = cases[i].typed };

		for (size_t j = 0; j < ARRAY_SIZE(names); j++)
			dhat_similar_consider(&similar, names[j]);
		if (!cases[i].meant)
			assert_null(similar.best);
		else
			assert_string_equal(similar.best ?: "nothing", cases[i].meant);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_slips) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
