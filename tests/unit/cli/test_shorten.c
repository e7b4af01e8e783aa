/* C++ names as people say them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/shorten.h"
#include "proto/base/cleanup.h"

#define STRING "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >"

static void test_shorten(void **state)
{
	static const char *const cases[][2] = {
		{ "main", "main" },
		{ "", "" },
		{ "f(" STRING " const&)", "f(std::string const&)" },
		{ STRING "::_M_assign(" STRING " const&)",
		  "std::string::_M_assign(std::string const&)" },
		{ "std::vector<int, std::allocator<int> >::resize(unsigned long)",
		  "std::vector<int>::resize(unsigned long)" },
		{ "std::vector<int, std::allocator<int>>::resize(unsigned long)",
		  "std::vector<int>::resize(unsigned long)" },
		{ "std::vector<std::vector<int, std::allocator<int> >, "
		  "std::allocator<std::vector<int, std::allocator<int> > > >::f()",
		  "std::vector<std::vector<int>>::f()" },
		/* several in a row; where it is no argument of a template it stays */
		{ "std::map<int, X, std::less<int>, std::allocator<std::pair<int const, X> > "
		  ">::f()",
		  "std::map<int, X>::f()" },
		{ "g(int, std::allocator<int> const&)", "g(int, std::allocator<int> const&)" },
		{ "std::allocator_traits<std::allocator<int> >::allocate(std::allocator<int>&)",
		  "std::allocator_traits<std::allocator<int> >::allocate(std::allocator<int>&)" },
		{ "std::__cxx11::list<int, my::allocator>::f()",
		  "std::list<int, my::allocator>::f()" },
		/* brackets that do not match */
		{ "f<int, std::allocator<", "f<int, std::allocator<" },
		{ "f<int, std::allocator<x", "f<int, std::allocator<x" },
		{ "alloc::vec::Vec<T,A>::push", "alloc::vec::Vec<T,A>::push" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *shorter = shorten_function(cases[i][0]);

		assert_string_equal(shorter, cases[i][1]);
	}
}

static void test_arguments(void **state)
{
	static const char *const cases[][2] = {
		{ "main", "main" },
		{ "f()", "f()" },
		{ "f(int)", "f(…)" },
		{ "A::f(std::map<int, int> const&, void (*)(int)) const", "A::f(…) const" },
		{ "A::operator()(int)", "A::operator()(…)" },
		{ "f(int)::{lambda(int)#1}::operator()(int) const",
		  "f(int)::{lambda(int)#1}::operator()(…) const" },
		{ "f(int)::{lambda(int)#1}", "f(int)::{lambda(int)#1}" },
		{ "f(int", "f(int" },
		{ "f)int(", "f)int(" },
		{ "core::ops::FnOnce::call_once", "core::ops::FnOnce::call_once" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *shorter = shorten_arguments(cases[i][0]);

		assert_string_equal(shorter, cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shorten),
		cmocka_unit_test(test_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
