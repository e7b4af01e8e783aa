/* Sizes, counts, durations. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/units.h"

static void test_parse_size(void **state)
{
	uint64_t size = 7;

	static const struct {
		const char *text;
		uint64_t size;
	} good[] = {
		{ "0", 0 },
		{ "4096", 4096 },
		{ "64K", 65536 },
		{ "16M", 16 << 20 },
		{ "16MiB", 16 << 20 },
		{ "2g", 2ull << 30 },
		{ "1T", 1ull << 40 },
		{ "5B", 5 },
		{ "3kb", 3072 },
		{ "18446744073709551615", UINT64_MAX },
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(dhat_parse_size(good[i].text, &size), 0);
		assert_int_equal(size, good[i].size);
	}
	static const char *const bad[] = { "", " 1", "-1", "+1", "M", "1X", "1MM", "1.5M", "0x10" };
	size = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(dhat_parse_size(bad[i], &size), -EINVAL);
	assert_int_equal(dhat_parse_size("18446744073709551616", &size), -ERANGE);
	assert_int_equal(dhat_parse_size("99999999T", &size), -ERANGE);
	assert_int_equal(size, 7);
}

static void test_parse_duration(void **state)
{
	static const char *const bad[] = { "", "0", "0s", "s", "1.5s", "-1s", "1 s", "1ms", "1S" };
	const uint64_t second = 1000000000;
	uint64_t ns = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(dhat_parse_duration(bad[i], &ns), -EINVAL);
	assert_int_equal(dhat_parse_duration("99999999999s", &ns), -ERANGE);
	assert_int_equal(ns, 7);
	assert_int_equal(dhat_parse_duration("90", &ns), 0);
	assert_int_equal(ns, 90 * second);
	assert_int_equal(dhat_parse_duration("5m", &ns), 0);
	assert_int_equal(ns, 300 * second);
	assert_int_equal(dhat_parse_duration("1d", &ns), 0);
	assert_int_equal(ns, 86400 * second);
}

static void test_parse_pid(void **state)
{
	static const char *const bad[] = {
		"0", "-1", "", "1a", " 1", "4194305", "99999999999999999999"
	};
	uint32_t pid = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(dhat_parse_pid(bad[i], &pid) < 0);
	assert_int_equal(pid, 7);
	assert_int_equal(dhat_parse_pid("4194304", &pid), 0);
	assert_int_equal(pid, 4194304);
}

static void test_format(void **state)
{
	char text[DHAT_UNIT_CHARS];

	assert_string_equal(dhat_format_size(0, text), "0 B");
	assert_string_equal(dhat_format_size(1023, text), "1023 B");
	assert_string_equal(dhat_format_size(1024, text), "1.0 KiB");
	assert_string_equal(dhat_format_size(1536, text), "1.5 KiB");
	assert_string_equal(dhat_format_size(102400, text), "100 KiB");
	assert_string_equal(dhat_format_size(1048575, text), "1.0 MiB");
	assert_string_equal(dhat_format_size(UINT64_MAX, text), "16.0 EiB");
	assert_string_equal(dhat_format_count(0, text), "0");
	assert_string_equal(dhat_format_count(999, text), "999");
	assert_string_equal(dhat_format_count(1000, text), "1,000");
	assert_string_equal(dhat_format_count(UINT64_MAX, text), "18,446,744,073,709,551,615");
	assert_string_equal(dhat_format_duration(999, text), "999 ns");
	assert_string_equal(dhat_format_duration(850000, text), "850 us");
	assert_string_equal(dhat_format_duration(12300000, text), "12.3 ms");
	assert_string_equal(dhat_format_duration(4200000000, text), "4.2 s");
	assert_string_equal(dhat_format_duration(200 * 1000000000ull, text), "3 min 20 s");
	assert_string_equal(dhat_format_duration(7500 * 1000000000ull, text), "2 h 5 min");
	assert_string_equal(dhat_format_duration(273600 * 1000000000ull, text), "3 d 4 h");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_size),
		cmocka_unit_test(test_parse_duration),
		cmocka_unit_test(test_parse_pid),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
