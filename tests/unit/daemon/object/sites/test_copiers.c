#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/object/sites/copiers.h"

static struct object look(char *first, char *second)
{
	struct object_sighting sightings[] = { { .name = first }, { .name = second } };
	struct object object = { .sightings = sightings, .sighting_count = 2 };

	copiers_look(&object);
	return object;
}

static void known_ones(void **state)
{
	struct object object = look("je_malloc", "_ZnwmSt11align_val_t");

	assert_int_equal(object.desc.copier, COPIER_NONE);
	object = look("je_malloc", "__bolt_hugify_self_impl");
	assert_int_equal(object.desc.copier, COPIER_DOES);
	assert_string_equal(object.desc.copier_name, "__bolt_hugify_self_impl");
	object = look("_ZN2DB15remapExecutableEv", "x");
	assert_int_equal(object.desc.copier, COPIER_MAY);
	object = look("_ZN4node25MapStaticCodeToLargePagesEv", "x");
	assert_int_equal(object.desc.copier, COPIER_MAY);
	object = look("MapDSOToLargePages", "x");
	assert_int_equal(object.desc.copier, COPIER_MAY);
	object = look("my__bolt_hugify", "Ev");
	assert_int_equal(object.desc.copier, COPIER_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(known_ones) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
