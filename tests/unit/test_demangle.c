#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../daemon/demangle.h"

static void expect(const char *name, const char *wanted)
{
	char *plain = demangle(name);

	if (wanted)
		assert_string_equal(plain ? plain : "(none)", wanted);
	else
		assert_null(plain);
	free(plain);
}

static void test_names_of_each_language(void **state)
{
	expect("_ZN4work4deepILi3EEEvv", "void work::deep<3>()");
	expect("_ZZN1a1bEvENKUlvE_clEv", "a::b()::{lambda()#1}::operator()() const");
	expect("_ZN1a1bEv.part.0", "a::b() [clone .part.0]");
	expect("_ZN1a1bEv.llvm.1234567890", "a::b()");
	expect("_RNvCs1234_7mycrate3foo", "mycrate::foo");
	expect("_ZN3std2rt10lang_start17h0123456789abcdefE", "std::rt::lang_start");
}

static void test_what_is_not_mangled(void **state)
{
	expect("", NULL);
	expect("main", NULL);
	expect("_Z", NULL);
	expect("_R", NULL);
	expect("_start", NULL);
}

/* Found by fuzzing: libiberty hands over NULL for the empty name of a crate. */
static void test_a_crate_without_a_name(void **state)
{
	expect("_RNvC03foo", "::foo");
}

/* Each "S_" or "T_" can stand for all before it: twice as long at every level. */
static void test_a_name_that_unfolds_without_end(void **state)
{
	char name[400] = "_Z1fI";
	int i;

	for (i = 0; i < 30; i++)
		strcat(name, "St4pairI");
	for (i = 0; i < 30; i++) {
		strcat(name, i ? "S_S_E" : "iiE");
	}
	strcat(name, "EvT_");
	free(demangle(name)); /* whatever it is, it ends */
	memset(name, 'S', sizeof(name) - 1);
	memcpy(name, "_Z", 2);
	name[sizeof(name) - 1] = 0;
	expect(name, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_each_language),
		cmocka_unit_test(test_what_is_not_mangled),
		cmocka_unit_test(test_a_crate_without_a_name),
		cmocka_unit_test(test_a_name_that_unfolds_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
