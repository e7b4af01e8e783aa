/* Names of functions as tables show them: nothing is cut inside, the function's own name stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/profile/function_name.h"

#define STRING "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >"

static void expect_all(char *(*shorten)(const char *), const char *const (*cases)[2], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *shorter = shorten(cases[i][0]);

		assert_string_equal(shorter, cases[i][1]);
	}
}

/* What is a default and says nothing goes, wherever it stands. */
static void test_defaults(void **state)
{
	static const char *const cases[][2] = {
		{ "main", "main" },
		{ "", "" },
		{ "f(" STRING ")", "f(std::string)" },
		{ STRING "::_M_assign(" STRING " const&)", "std::string::_M_assign(…)" },
		{ "std::vector<int, std::allocator<int> >::resize(unsigned long)",
		  "std::vector<int>::resize(unsigned long)" },
		{ "std::vector<int, std::allocator<int>>::resize(unsigned long)",
		  "std::vector<int>::resize(unsigned long)" },
		{ "std::vector<std::vector<X, std::allocator<X> >, "
		  "std::allocator<std::vector<X, std::allocator<X> > > >::f()",
		  "std::vector<std::vector<X>>::f()" },
		/* several in a row; where it is no argument of a template it stays */
		{ "std::map<int, X, std::less<int>, std::allocator<std::pair<int const, X> > "
		  ">::f()",
		  "std::map<int, X>::f()" },
		{ "g(std::less<int>)", "g(std::less<int>)" },
		{ "std::__cxx11::list<int, my::alloc>::f()", "std::list<int, my::alloc>::f()" },
		/* brackets that do not match */
		{ "f<int, std::allocator<", "f<int, std::allocator<" },
		{ "f<int, std::allocator<x", "f<int, std::allocator<x" },
		{ "f)int(", "f)int(" },
		{ "f(int", "f(int" },
		{ "f<(int>)", "f<(int>)" },
		{ "alloc::vec::Vec<T,A>::push", "alloc::vec::Vec<T,A>::push" },
	};

	expect_all(dhat_short_name, cases, ARRAY_SIZE(cases));
}

/* Long lists collapse, the return type of a template goes, each name stays whole. */
static void test_collapsed(void **state)
{
	static const char *const cases[][2] = {
		{ "std::pair<std::__detail::_Node_iterator<std::pair<" STRING
		  " const, int>, false, "
		  "true>, bool> std::_Hashtable<" STRING ", std::pair<" STRING
		  " const, int> >::emplace<" STRING " const&, int&>(" STRING " const&, int&)",
		  "std::_Hashtable<…>::emplace<…>(…)" },
		{ "void f<int>(int)", "f<int>(int)" },
		{ "unsigned long const* a::b<int>::f<char>()", "a::b<int>::f<char>()" },
		{ "Cache::insert(int) const", "Cache::insert(int) const" },
		{ "A::f(std::map<int, int> const&, void (*)(int)) const", "A::f(…) const" },
		{ "(anonymous namespace)::a_long_name::f(int)",
		  "(anonymous namespace)::a_long_name::f(int)" },
		{ "f(unsigned long, unsigned long)::{lambda(int)#1}::operator()(int) const",
		  "f(…)::{lambda(int)#1}::operator()(int) const" },
		{ "f(int)::{lambda(std::map<a, b> const&)#1}::operator()(std::map<a, bcd>&) const",
		  "f(int)::{lambda(…)#1}::operator()(…) const" },
		{ "shop::work::{lambda at line 12}::operator()",
		  "shop::work::{lambda at line 12}::operator()" },
		/* operators have brackets of their own, and conversions blanks */
		{ "std::ostream& std::operator<< <std::char_traits<char> >(std::ostream&, char "
		  "const*)",
		  "std::operator<< <…>(…)" },
		{ "bool operator< <int>(A<int> const&, A<int> const&)", "operator< <int>(…)" },
		{ "A::operator->() const", "A::operator->() const" },
		{ "A<long_enough::to_go, b>::operator()<int>(int)", "A<…>::operator()<int>(int)" },
		{ "a::operator>><int>(x)", "a::operator>><int>(x)" },
		{ "A::operator std::vector<int>() const", "A::operator std::vector<int>() const" },
		{ "operator new(unsigned long)", "operator new(unsigned long)" },
		{ "operator new[](unsigned long, std::nothrow_t const&)", "operator new[](…)" },
		{ "A::operator bool() const", "A::operator bool() const" },
		{ "my_operator<some::argument, some::other>::f()", "my_operator<…>::f()" },
		/* expressions in arguments */
		{ "std::enable_if<((sizeof (int))>(4)), void>::type f<4>(int)", "f<4>(int)" },
		{ "g<(((sizeof (long))<(4))), a_name::long_enough>::f()", "g<…>::f()" },
		{ "std::function<void (std::vector<int>)>::f() const",
		  "std::function<…>::f() const" },
		{ "f(int) [clone .part.0]", "f(int) [clone .part.0]" },
		{ "f(unsigned long, int*) [clone .cold]", "f(…) [clone .cold]" },
		{ "foo.part.0", "foo.part.0" },
		/* Rust: `<T as Trait>` is a name, no list; v0 has `::<…>` */
		{ "<alloc::vec::Vec<app::Session> as core::clone::Clone>::clone",
		  "<alloc::vec::Vec<app::Session> as core::clone::Clone>::clone" },
		{ "<alloc::vec::Vec<app::session::Session> as core::clone::Clone>::clone",
		  "<alloc::vec::Vec<…> as core::clone::Clone>::clone" },
		{ "core::ptr::drop_in_place::<alloc::string::String>",
		  "core::ptr::drop_in_place::<…>" },
		{ "app::serve::{closure#0}::{closure#1}", "app::serve::{closure#0}::{closure#1}" },
		{ "app::<impl core::fmt::Debug for app::Session>::fmt",
		  "app::<impl core::fmt::Debug for app::Session>::fmt" },
		{ "main.(*Server).handle", "main.(*Server).handle" },
	};

	expect_all(dhat_short_name, cases, ARRAY_SIZE(cases));
}

static void test_narrow(void **state)
{
	static const struct {
		const char *name;
		size_t columns;
		const char *expected;
	} cases[] = {
		{ "f()", 1, "f()" },
		{ "f(int)", 6, "f(int)" },
		{ "f(int)", 5, "f(…)" },
		{ "shop::Cache<int>::insert(int) const", 35,
		  "shop::Cache<int>::insert(int) const" },
		{ "shop::Cache<int>::insert(int) const", 33, "shop::Cache<int>::insert(…) const" },
		{ "shop::Cache<int>::insert(int) const", 31, "shop::Cache<…>::insert(…) const" },
		{ "shop::Cache<int>::insert(int) const", 30, "…::Cache<…>::insert(…) const" },
		{ "shop::Cache<int>::insert(int) const", 20, "…::insert(…) const" },
		/* narrower than the name itself: it stays */
		{ "shop::Cache<int>::insert(int) const", 4, "…::insert(…) const" },
		{ "a_function_of_c_with_a_long_name", 10, "a_function_of_c_with_a_long_name" },
		{ "f(int)::{lambda(int)#1}::operator()(int) const", 12,
		  "f(…)::{lambda(…)#1}::operator()(…) const" },
		{ "shop::work::run::{closure#0}::{closure#1}", 12,
		  "…::run::{closure#0}::{closure#1}" },
		{ "f<(int>)", 3, "f<(int>)" },
		/* "…::" takes no less than what would go */
		{ "::work", 4, "::work" },
		{ "a::work", 4, "a::work" },
		{ "ab::work", 4, "…::work" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *fitting = dhat_fitting_name(cases[i].name, cases[i].columns);

		assert_string_equal(fitting, cases[i].expected);
	}
}

/* N1 for each width: whatever is between brackets and "…" is a word of the name. */
static void test_no_word_is_ever_cut(void **state)
{
	static const char name[] =
		"std::pair<int, bool> acme::orders::pricing::v2::PriceCache<std::tuple<int, long>, "
		"std::vector<std::string> >::get<acme::orders::handle(int)::{lambda()#1}>(acme::"
		"orders::handle(int)::{lambda()#1}&&) const";
	_cleanup_free_ char *shorter = dhat_short_name(name);

	assert_string_equal(shorter, "acme::orders::pricing::v2::PriceCache<…>::get<…>(…) const");
	for (size_t columns = 0; columns < 200; columns++) {
		_cleanup_free_ char *fitting = dhat_fitting_name(shorter, columns);
		_cleanup_free_ char *words = strdup(fitting);
		char *rest = words, *word;

		assert_non_null(strstr(fitting, "get<…>(…) const"));
		assert_true(dhat_text_width(fitting) <= columns ||
			    !strcmp(fitting, "…::get<…>(…) const"));
		while ((word = strsep(&rest, ":<>() …"))) {
			const char *found = strstr(name, word);

			if (!*word)
				continue;
			assert_non_null(found);
			assert_true(found == name || strchr(":<>() ,", found[-1]));
			assert_true(strchr(":<>() ,", found[strlen(word)]));
		}
	}
}

/* Deep nesting and long names cost neither stack nor sense. */
static void test_hostile(void **state)
{
	char *name = malloc(200002);

	memset(name, '<', 100000);
	memset(name + 100000, '>', 100000);
	name[0] = 'f';
	name[200000] = 0;
	_cleanup_free_ char *shorter = dhat_short_name(name),
			    *fitting = dhat_fitting_name(name, 10);

	assert_string_equal(shorter, name);
	assert_string_equal(fitting, name);
	for (int i = 0; i < 200000; i += 4)
		memcpy(name + i, "a::(", 4);
	_cleanup_free_ char *odd = dhat_fitting_name(name, 10);

	assert_string_equal(odd, name);
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_collapsed),
		cmocka_unit_test(test_narrow),	 cmocka_unit_test(test_no_word_is_ever_cut),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
