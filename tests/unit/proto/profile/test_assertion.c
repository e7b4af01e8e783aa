/* Conditions of a build: what is one, what each means, and where a text goes wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/profile/assertion.h"

static struct dhat_assertion parsed(const char *text)
{
	struct dhat_assertion_fault fault = { 0 };
	struct dhat_assertion assertion = { 0 };

	if (dhat_assertion_parse(text, &assertion, &fault))
		fail_msg("%s: at %zu: %s", text, fault.at, fault.message);
	return assertion;
}

static void test_subjects(void **state)
{
	static const struct {
		const char *text, *pattern;
		enum dhat_metric metric;
		bool is_growth;
	} cases[] = {
		{ "live.bytes == 0", NULL, DHAT_LIVE_BYTES, false },
		{ "live.blocks==0", NULL, DHAT_LIVE_BLOCKS, false },
		{ "  peak.bytes<1", NULL, DHAT_PEAK_BYTES, false },
		{ "peak.blocks < 1\t", NULL, DHAT_PEAK_BLOCKS, false },
		{ "total.bytes > 1", NULL, DHAT_TOTAL_BYTES, false },
		{ "total.blocks >= 1", NULL, DHAT_TOTAL_BLOCKS, false },
		{ "growth == 0", NULL, DHAT_LIVE_BYTES, true },
		{ "growth.bytes == 0", NULL, DHAT_LIVE_BYTES, true },
		{ "growth.blocks == 0", NULL, DHAT_LIVE_BLOCKS, true },
		{ "stack(/parse_/).live.bytes == 0", "parse_", DHAT_LIVE_BYTES, false },
		{ "stack ( /^src/parse.c$/) . growth == 0", "^src/parse.c$", DHAT_LIVE_BYTES,
		  true },
		{ "stack(/operator new(unsigned long)/).live.blocks == 0",
		  "operator new(unsigned long)", DHAT_LIVE_BLOCKS, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_assertion assertion = parsed(cases[i].text);

		assert_string_equal(assertion.text, cases[i].text);
		assert_int_equal(assertion.metric, cases[i].metric);
		assert_int_equal(assertion.is_growth, cases[i].is_growth);
		assert_int_equal(!assertion.pattern, !cases[i].pattern);
		if (cases[i].pattern)
			assert_string_equal(assertion.pattern, cases[i].pattern);
		dhat_assertion_deinit(&assertion);
	}
}

/* A1 */
static void test_amounts(void **state)
{
	static const struct {
		const char *text;
		uint64_t amount, numerator, denominator;
	} cases[] = {
		{ "0", 0, 0, 1 },
		{ "1000", 1000, 0, 1 },
		{ "64MiB", 64u << 20, 0, 1 },
		{ "64 MiB", 64u << 20, 0, 1 },
		{ "64M", 64u << 20, 0, 1 },
		{ "64k", 64u << 10, 0, 1 },
		{ "64kb", 64u << 10, 0, 1 },
		{ "3B", 3, 0, 1 },
		{ "2T", UINT64_C(2) << 40, 0, 1 },
		{ "1.5MiB", 1572864, 0, 1 },
		{ "0.25 KiB", 256, 0, 1 },
		{ "1.000000", 1, 0, 1 },
		{ "18446744073709551615", UINT64_MAX, 0, 1 },
		{ "baseline", 0, 1, 1 },
		{ "baseline * 1.05", 0, 105, 100 },
		{ "baseline*2", 0, 2, 1 },
		{ "baseline + 64 KiB", 65536, 1, 1 },
		{ "baseline * 0.5 + 1", 1, 5, 10 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = NULL;
		struct dhat_assertion assertion;

		assert_true(asprintf(&text, "live.bytes <= %s", cases[i].text) > 0);
		assertion = parsed(text);
		assert_int_equal(assertion.amount, cases[i].amount);
		assert_int_equal(assertion.numerator, cases[i].numerator);
		assert_int_equal(assertion.denominator, cases[i].denominator);
		assert_int_equal(dhat_assertion_needs_baseline(&assertion),
				 cases[i].numerator != 0);
		dhat_assertion_deinit(&assertion);
	}
}

static void test_holds(void **state)
{
	static const struct {
		const char *text;
		uint64_t now, baseline;
		bool holds;
	} cases[] = {
		{ "live.bytes == 0", 0, 0, true },
		{ "live.bytes == 0", 1, 0, false },
		{ "live.bytes != 0", 1, 0, true },
		{ "peak.bytes < 64MiB", (64u << 20) - 1, 0, true },
		{ "peak.bytes < 64MiB", 64u << 20, 0, false },
		{ "total.blocks <= 1000", 1000, 0, true },
		{ "total.blocks <= 1000", 1001, 0, false },
		{ "total.blocks >= 10", 9, 0, false },
		{ "total.blocks > 10", 11, 0, true },
		/* nothing is rounded: 1.05 of 10 is 10.5 */
		{ "total.blocks <= baseline * 1.05", 10, 10, true },
		{ "total.blocks <= baseline * 1.05", 11, 10, false },
		{ "total.blocks <= baseline * 1.05", 105, 100, true },
		{ "total.blocks < baseline * 1.05", 105, 100, false },
		{ "total.blocks == baseline * 1.05", 105, 100, true },
		{ "live.bytes <= baseline", UINT64_MAX, UINT64_MAX, true },
		{ "live.bytes <= baseline * 0.999999", UINT64_MAX, UINT64_MAX, false },
		{ "live.bytes <= baseline * 1.05 + 10", 20, 10, true },
		{ "live.bytes <= baseline * 1.05 + 10", 21, 10, false },
		{ "growth == 0", 7, 7, true },
		{ "growth == 0", 8, 7, false },
		{ "growth == 0", 6, 7, false },
		{ "growth <= 0", 6, 7, true },
		{ "growth < 1k", 1024, 0, false },
		{ "growth <= 1k", UINT64_MAX, UINT64_MAX - 1024, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_assertion assertion = parsed(cases[i].text);

		if (dhat_assertion_holds(&assertion, cases[i].now, cases[i].baseline) !=
		    cases[i].holds)
			fail_msg("%s: case %zu", cases[i].text, i);
		dhat_assertion_deinit(&assertion);
	}
}

static void test_faults(void **state)
{
	/* the marks stand below what is wrong */
	static const struct {
		const char *text, *marks, *message;
	} cases[] = {
		{ "", "^", "a figure is missing" },
		{ "live.byts == 0", "^^^^^^^^^", "did you mean live.bytes?" },
		{ "live-bytes == 0", "^^^^^^^^^^", "did you mean live.bytes?" },
		{ "grwth == 0", "^^^^^", "did you mean growth?" },
		{ "temperature == 0", "^^^^^^^^^^^", "no such figure: there are" },
		{ "stak(/x/).growth == 0", "^^^^", "did you mean stack?" },
		{ "stack(x).growth == 0", "      ^", "stack(/PATTERN/)" },
		{ "stack(/x).growth", "       ^^^^^^^^^", "no end" },
		{ "stack(//).growth == 0", "       ^", "matches everything" },
		{ "stack(/x/) == 0", "           ^", "which figure?" },
		{ "stack(/x/).lve.bytes == 0", "           ^^^^^^^^^", "live.bytes?" },
		{ "live.bytes", "          ^", "a comparison is missing" },
		{ "live.bytes = 0", "           ^", "did you mean ==?" },
		{ "live.bytes =< 0", "           ^^", "did you mean <=?" },
		{ "live.bytes ==", "             ^", "compared with what?" },
		{ "live.bytes == zero", "              ^^^^", "a number or the word baseline" },
		{ "live.bytes == basline", "              ^^^^^^^", "did you mean baseline?" },
		{ "live.bytes == -1", "              ^^", "a number or the word baseline" },
		{ "live.bytes == 5 XB", "                ^^", "no such unit" },
		{ "live.bytes == 5 5", "                ^", "nothing more" },
		{ "live.blocks == 5k", "                ^", "blocks are counted without a unit" },
		{ "live.bytes == 0.3k", "              ^^^^", "no whole number of bytes" },
		{ "live.blocks == 0.5", "               ^^^", "no whole number of blocks" },
		{ "live.bytes == 99999999999999999999", "              ^^^^^^^^^^^^^^^^^^^^",
		  "too many digits" },
		{ "live.bytes == 1.2345678", "              ^^^^^^^^^", "too many digits" },
		{ "live.bytes == 99999999T", "              ^^^^^^^^^", "more than 64 bits" },
		{ "live.bytes == baseline * x", "                         ^",
		  "a number is expected" },
		{ "live.bytes == baseline * 9999999999999",
		  "                         ^^^^^^^^^^^^^", "too large a factor" },
		{ "growth <= baseline * 2", "          ^^^^^^^^", "against the baseline already" },
		{ "live.bytes == 0 and growth == 0", "                ^^^^^^^^^^^^^^^",
		  "two conditions are two assertions" },
		/* columns are characters, not bytes */
		{ "stack(/\xc3\xa4\xc3\xb6/).lve == 0", "            ^^^", "no such figure" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_assertion_fault fault = { 0 };
		struct dhat_assertion assertion = { 0 };
		_cleanup_free_ char *caret = NULL;
		size_t length = strlen(cases[i].marks);

		assert_int_equal(dhat_assertion_parse(cases[i].text, &assertion, &fault), -EINVAL);
		caret = dhat_assertion_caret(cases[i].text, &fault, 0);
		assert_non_null(caret);
		if (strncmp(caret, cases[i].marks, length) || caret[length] != ' ' ||
		    !strstr(caret, cases[i].message))
			fail_msg("%s\n%s\n%s … %s", cases[i].text, caret, cases[i].marks,
				 cases[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_subjects),
		cmocka_unit_test(test_amounts),
		cmocka_unit_test(test_holds),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
