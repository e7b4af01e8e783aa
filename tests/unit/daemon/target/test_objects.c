/* Which objects a process has mapped, and where: from texts of /proc/PID/maps, without a process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/lookup/tables.h"
#include "daemon/target/objects.h"

struct world {
	struct mappings *mappings;
	struct objects objects;
};

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){ 0 };
	objects_init(&world.objects);
	*state = &world;
	return mappings_new(&world.mappings);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	objects_deinit(&world->objects, NULL);
	mappings_free(world->mappings);
	return 0;
}

static void look(struct world *world, const char *text)
{
	struct procmaps maps = { 0 };

	assert_int_equal(procmaps_parse(text, strlen(text), &maps, NULL), 0);
	assert_int_equal(objects_look(&world->objects, world->mappings, &maps), 0);
	procmaps_deinit(&maps);
}

/* A program and a library that is mapped twice; data, a heap and code of no file are no objects. */
static const char two[] = "400000-401000 r--p 00000000 08:01 11 /bin/program\n"
			  "401000-403000 r-xp 00001000 08:01 11 /bin/program\n"
			  "600000-700000 rw-p 00000000 00:00 0 [heap]\n"
			  "7f0000000000-7f0000004000 r-xp 00002000 08:01 22 /lib/lib.so\n"
			  "7f0000010000-7f0000014000 r-xp 00002000 08:01 22 /lib/lib.so\n"
			  "7f0000020000-7f0000021000 r-xp 00000000 00:00 0 \n"
			  "7fff00000000-7fff00002000 r-xp 00000000 00:00 0 [vdso]\n";

static void test_what_is_mapped_has_a_number_and_keeps_it(void **state)
{
	struct world *world = *state;

	look(world, two);
	assert_int_equal(world->objects.count, 3);
	assert_int_equal(world->objects.seen_count, 4);
	assert_int_equal(objects_at(&world->objects, 0)->inode, 11);
	assert_int_equal(objects_at(&world->objects, 1)->inode, 22);
	assert_true(objects_at(&world->objects, 2)->is_vdso);
	assert_false(objects_at(&world->objects, 1)->was_tried);
	/* unmapped, it is still known, beside what came for it */
	look(world, "401000-403000 r-xp 00001000 08:01 11 /bin/program\n"
		    "7f0000000000-7f0000004000 r-xp 00000000 08:01 33 /lib/other.so\n");
	assert_int_equal(world->objects.count, 4);
	assert_true(objects_is_mapped(&world->objects, 0));
	assert_false(objects_is_mapped(&world->objects, 1));
	assert_int_equal(objects_at(&world->objects, 3)->inode, 33);
}

static void test_each_place_of_an_offset_is_found(void **state)
{
	struct world *world = *state;
	struct mapping mapping;
	size_t position = 0;
	uint64_t addr = 0;

	look(world, two);
	assert_true(objects_next_place(&world->objects, 1, 0x2010, &position, &mapping, &addr));
	assert_int_equal(addr, 0x7f0000000010);
	assert_true(objects_next_place(&world->objects, 1, 0x2010, &position, &mapping, &addr));
	assert_int_equal(addr, 0x7f0000010010);
	assert_int_equal(mapping.end, 0x7f0000014000);
	assert_false(objects_next_place(&world->objects, 1, 0x2010, &position, &mapping, &addr));
	/* the last byte of a mapping, and the first behind it */
	position = 0;
	assert_true(objects_next_place(&world->objects, 0, 0x2fff, &position, &mapping, &addr));
	assert_int_equal(addr, 0x402fff);
	position = 0;
	assert_false(objects_next_place(&world->objects, 0, 0x3000, &position, &mapping, &addr));
}

static void test_the_kernel_is_told_what_waits_for_a_table(void **state)
{
	struct world *world = *state;
	struct dhat_mapping *list = NULL;
	struct objects_sum sum;
	size_t count = 0;

	look(world, two);
	objects_set_table(&world->objects, 1, NULL, "no rules");
	assert_int_equal(objects_list(&world->objects, &list, &count), 0);
	assert_int_equal(count, 4);
	assert_int_equal(list[0].kind, DHAT_MAPPING_PENDING);
	assert_int_equal(list[0].start, 0x401000);
	assert_int_equal(list[0].inode, 11);
	assert_int_equal(list[1].kind, DHAT_MAPPING_NO_TABLE);
	assert_int_equal(list[2].kind, DHAT_MAPPING_NO_TABLE);
	assert_int_equal(list[3].kind, DHAT_MAPPING_PENDING);
	free(list);
	objects_sum(&world->objects, &sum); /* until it was told, it walks as before */
	assert_int_equal(sum.tables_pending, 3);
	objects_told(&world->objects);
	objects_sum(&world->objects, &sum);
	assert_int_equal(sum.tables_pending, 2);
	assert_int_equal(sum.tables_ready, 0);
	assert_string_equal(objects_at(&world->objects, 1)->failure, "no rules");
}

static void test_mappings_become_what_is_there(void **state)
{
	struct world *world = *state;
	struct procmaps maps = { 0 };

	mappings_add(world->mappings, 0x100000, 0x200000, 0, 44, 8, 1, "/gone", NULL);
	assert_int_equal(procmaps_parse(two, strlen(two), &maps, NULL), 0);
	objects_sync(world->mappings, &maps);
	procmaps_deinit(&maps);
	assert_null(mappings_find(world->mappings, 0x100000));
	assert_int_equal(mappings_count(world->mappings), 4);
	assert_int_equal(mappings_find(world->mappings, 0x401010)->file_offset, 0x1000);
}

static void test_what_nobody_looked_at_has_no_file(void **state)
{
	struct world *world = *state;
	struct objects_file file;
	char name[8];

	look(world, two);
	objects_file(&world->objects, 0, &file);
	assert_int_equal(file.fd, -1);
	objects_file(&world->objects, 99, &file); /* numbered by a record just now */
	assert_int_equal(file.fd, -1);
	assert_int_equal(file.build_id_size, 0);
	objects_name(&world->objects, 99, name, sizeof(name));
	assert_string_equal(name, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		T(test_what_is_mapped_has_a_number_and_keeps_it),
		T(test_each_place_of_an_offset_is_found),
		T(test_the_kernel_is_told_what_waits_for_a_table),
		T(test_mappings_become_what_is_there),
		T(test_what_nobody_looked_at_has_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
