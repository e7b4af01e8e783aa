#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/object/sites/copiers.h"

static struct object_desc look(char *first, char *second)
{
	struct object_sighting sightings[] = { { .name = first }, { .name = second } };
	struct object_desc desc = { .sightings = sightings, .sighting_count = 2 };

	copiers_look(&desc);
	return desc;
}

static void known_ones(void **state)
{
	struct object_desc desc = look("je_malloc", "_ZnwmSt11align_val_t");

	assert_int_equal(copiers_kind(&desc), COPIER_NONE);
	desc = look("je_malloc", "__bolt_hugify_self_impl");
	assert_int_equal(copiers_kind(&desc), COPIER_DOES);
	assert_string_equal(desc.copier, "__bolt_hugify_self_impl");
	desc = look("_ZN2DB15remapExecutableEv", "x");
	assert_int_equal(copiers_kind(&desc), COPIER_MAY);
	desc = look("_ZN4node25MapStaticCodeToLargePagesEv", "x");
	assert_int_equal(copiers_kind(&desc), COPIER_MAY);
	desc = look("MapDSOToLargePages", "x");
	assert_int_equal(copiers_kind(&desc), COPIER_MAY);
	desc = look("my__bolt_hugify", "Ev");
	assert_int_equal(copiers_kind(&desc), COPIER_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(known_ones) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
