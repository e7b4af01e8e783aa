#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/object/sites/copiers.h"

static enum copier find(char *first, char *second, const char **function)
{
	struct object_sighting sightings[] = { { .name = first }, { .name = second } };
	const struct object_desc desc = { .sightings = sightings, .sighting_count = 2 };

	*function = NULL;
	return copiers_find(&desc, function);
}

static void known_ones(void **state)
{
	const char *function;

	assert_int_equal(find("je_malloc", "_ZnwmSt11align_val_t", &function), COPIER_NONE);
	assert_null(function);
	assert_int_equal(find("je_malloc", "__bolt_hugify_self_impl", &function), COPIER_DOES);
	assert_string_equal(function, "__bolt_hugify_self_impl");
	assert_int_equal(find("_ZN2DB15remapExecutableEv", "x", &function), COPIER_MAY);
	assert_int_equal(find("_ZN4node25MapStaticCodeToLargePagesEv", "x", &function), COPIER_MAY);
	assert_int_equal(find("MapDSOToLargePages", "x", &function), COPIER_MAY);
	assert_int_equal(find("my__bolt_hugify", "Ev", &function), COPIER_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(known_ones) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
