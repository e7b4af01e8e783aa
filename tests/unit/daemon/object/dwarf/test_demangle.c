/* C++ and Rust names as a person reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/object/dwarf/demangle.h"
#include "proto/base/cleanup.h"

static void test_known_names(void **state)
{
	static const struct {
		const char *mangled, *name;
	} cases[] = {
		{ "_ZN4shop4workEi", "shop::work(int)" },
		{ "_ZN4shop4workEi.cold", "shop::work(int) [clone .cold]" },
		{ "_Z3fooi.constprop.0.isra.0", "foo(int) [clone .constprop.0] [clone .isra.0]" },
		{ "_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()(int) const" },
		{ "_Znwm", "operator new(unsigned long)" },
		{ "_ZNSt6vectorIiSaIiEE9push_backEOi",
		  "std::vector<int, std::allocator<int> >::push_back(int&&)" },
		/* Rust, legacy: without its hash */
		{ "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad" },
		{ "_ZN5alloc7raw_vec19RawVec$LT$T$C$A$GT$14grow_amortized17h492936f6e09956e7E",
		  "alloc::raw_vec::RawVec<T,A>::grow_amortized" },
		{ "_ZN7service6handle28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
		  "service::handle::{{closure}}" },
		{ "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE.llvm.1234567890",
		  "core::fmt::Formatter::pad" },
		/* Rust, v0 */
		{ "_RNvC6_123foo3bar", "123foo::bar" },
		{ "_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar" },
		{ "_RNCNvCs1234_7mycrate4main0B3_", "mycrate::main::{closure#0}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = demangle(cases[i].mangled);

		assert_non_null(name);
		assert_string_equal(name, cases[i].name);
	}
}

static void test_other_names(void **state)
{
	static const char *const names[] = { "",
					     "main",
					     "malloc",
					     "_",
					     "_Z",
					     "_R",
					     "_ZX",
					     "_Zfoo",
					     "_R!",
					     "__libc_start_main",
					     "outer.part.0",
					     "_ZN",
					     "_ZN4shop4work",
					     "$x" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_null(demangle(names[i]));
}

/* Each pair of types refers to the one before it twice: 2^30 parts from a hundred letters. */
static void test_bombs(void **state)
{
	char cxx[512] = "_Z1fSt4pairIiiE", rust[2048] = "_RIC1a";
	size_t used = strlen(cxx);
	clock_t began = clock();
	char *name;

	for (int i = 0; i < 30; i++)
		used += snprintf(cxx + used, sizeof(cxx) - used, "St4pairIS%c_S%c_E",
				 i < 10 ? '0' + i : 'A' + i - 10, i < 10 ? '0' + i : 'A' + i - 10);
	name = demangle(cxx);
	assert_true(!name || strlen(name) < DEMANGLE_MAX_BYTES);
	free(name);
	used = strlen(rust);
	for (int i = 0; i < 60; i++)
		used += snprintf(rust + used, sizeof(rust) - used, "TB%c_B%c_", 'a' + i % 26,
				 'a' + i % 26);
	name = demangle(rust);
	assert_true(!name || strlen(name) < DEMANGLE_MAX_BYTES);
	free(name);
	assert_true((clock() - began) / CLOCKS_PER_SEC < 5);
}

static void test_long_garbage(void **state)
{
	size_t size = 1 << 20;
	_cleanup_free_ char *text = malloc(size);
	static const char letters[] = "IEPNKSTFRZLB0123456789_abci";
	unsigned seed = 1;

	assert_non_null(text);
	for (int round = 0; round < 200; round++) {
		size_t length = round < 199 ? 4096 : size - 1;

		for (size_t i = 2; i < length; i++)
			text[i] = letters[rand_r(&seed) % (sizeof(letters) - 1)];
		text[0] = '_';
		text[1] = round & 1 ? 'Z' : 'R';
		text[length] = '\0';
		free(demangle(text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_names),
		cmocka_unit_test(test_other_names),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_long_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
