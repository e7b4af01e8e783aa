/* Strings from a target, made fit to be shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"

#define R "\xef\xbf\xbd"

static void test_clean(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "a\tb\nc\x1b[31md\x7f", "a?b?c?[31md?" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\xc2\x9b"
		  "31m",
		  "?31m" }, /* C1: CSI in one character */
		{ "a\xe2\x80\xae"
		  "b",
		  "a?b" }, /* U+202E: what follows is shown from right to left */
		{ "\xe2\x81\xa6\xe2\x81\xa9", "??" },	  /* U+2066, U+2069: isolates */
		{ "\xe2\x80\x8f\xd8\x9c", "??" },	  /* U+200F, U+061C: marks */
		{ "\xe2\x80\xa8\xe2\x80\x8b", "??" },	  /* a line's end; no width */
		{ "\xf3\xa0\x81\x81\xef\xbb\xbf", "??" }, /* a tag; byte order mark */
		{ "\xe2\x80\x90\xe2\x80\xaf\xe2\x81\xb0",
		  "\xe2\x80\x90\xe2\x80\xaf\xe2\x81\xb0" }, /* their neighbours stay */
		{ "\xff", R },
		{ "\xc3", R }, /* cut short */
		{ "\xe2\x82", R R },
		{ "\xc0\x80", R R },		 /* overlong NUL */
		{ "\xe0\x80\x80", R R R },	 /* overlong */
		{ "\xed\xa0\x80", R R R },	 /* a surrogate */
		{ "\xf4\x90\x80\x80", R R R R }, /* beyond U+10FFFF */
		{ "\xf5x", R "x" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *clean = dhat_text_clean(cases[i][0]);

		assert_string_equal(clean, cases[i][1]);
	}
}

static void test_width(void **state)
{
	assert_int_equal(dhat_text_width(""), 0);
	assert_int_equal(dhat_text_width("abc"), 3);
	assert_int_equal(dhat_text_width("\xc3\xa4\xe2\x82\xacx"), 3);
	assert_int_equal(dhat_text_width("\xff\xff"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
