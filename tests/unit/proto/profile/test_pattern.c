/* Which names a pattern of --filter or a suppression means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/profile/pattern.h"

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool matches;
	} cases[] = {
		{ "login", "login", true },
		{ "login", "shop::login(int)", true },
		{ "login", "logi", false },
		{ "^login", "login(int)", true },
		{ "^login", "shop::login", false },
		{ "login$", "shop::login", true },
		{ "login$", "shop::login(int)", false },
		{ "^login$", "login", true },
		{ "^login$", "login2", false },
		{ "shop*login", "shop::user::login()", true },
		{ "shop*login", "login::shop", false },
		{ "^shop*login$", "shop::login::login", true },
		{ "a*b*c", "xxaxxbxxcxx", true },
		{ "a*b*c$", "xxabcbxxc", true },
		{ "a*b*c$", "abcb", false },
		{ "*", "", true },
		{ "^*$", "anything", true },
		{ "", "anything", true },
		{ "^$", "", true },
		{ "^$", "x", false },
		/* nothing of a regular expression */
		{ "operator()(int)", "A::operator()(int) const", true },
		{ "std::map<int>", "std::map<int>::f", true },
		{ "lib.so", "libxso", false },
		{ "a$b", "a$b", true },
		{ "a^b", "a^b", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (dhat_pattern_matches(cases[i].pattern, cases[i].name) != cases[i].matches)
			fail_msg("%s and %s", cases[i].pattern, cases[i].name);
}

/* Many stars cost no more than their number times the name's length. */
static void test_stars(void **state)
{
	char pattern[2001], name[100001];

	for (int i = 0; i < 2000; i += 2)
		memcpy(pattern + i, "a*", 2);
	pattern[1999] = 'b';
	pattern[2000] = 0;
	memset(name, 'a', 100000);
	name[100000] = 0;
	assert_false(dhat_pattern_matches(pattern, name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_stars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
