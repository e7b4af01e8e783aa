/* mappings: overlaps as mmap and munmap make them, against an array of pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/account/mappings.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct mappings *, mappings_free)

static struct mappings *fresh(void)
{
	struct mappings *mappings = NULL;

	assert_int_equal(mappings_new(&mappings), 0);
	return mappings;
}

static void a_file_keeps_its_number(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = fresh();
	uint32_t first, again, other, device;

	assert_int_equal(mappings_add(mappings, 0x1000, 0x3000, 0, 77, 8, 1, NULL, &first), 0);
	assert_null(mappings_object(mappings, first)->path);
	assert_int_equal(mappings_add(mappings, 0x9000, 0xa000, 0, 78, 8, 1, "/b", &other), 0);
	assert_int_equal(mappings_add(mappings, 0xb000, 0xc000, 0, 77, 8, 2, "/c", &device), 0);
	mappings_remove(mappings, 0, UINT64_MAX);
	assert_int_equal(mappings_count(mappings), 0);
	assert_int_equal(mappings_add(mappings, 0x5000, 0x6000, 0, 77, 8, 1, "/a", &again), 0);
	assert_int_equal(first, again);
	assert_int_not_equal(first, other);
	assert_int_not_equal(first, device);
	assert_string_equal(mappings_object(mappings, first)->path, "/a");
	assert_int_equal(mappings_object(mappings, first)->some_start, 0x1000);
	assert_int_equal(mappings_object_count(mappings), 3);
	/* and its path, whatever it is called later */
	assert_int_equal(mappings_add(mappings, 0x7000, 0x8000, 0, 77, 8, 1, "/a (2)", &again), 0);
	assert_int_equal(first, again);
	assert_string_equal(mappings_object(mappings, first)->path, "/a");
}

static void what_has_no_inode_goes_by_its_path(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = fresh();
	uint32_t vdso, other, again;

	mappings_add(mappings, 0x1000, 0x3000, 0, 0, 0, 0, "[vdso]", &vdso);
	mappings_add(mappings, 0x3000, 0x4000, 0, 0, 0, 0, "[uprobes]", &other);
	mappings_add(mappings, 0x5000, 0x6000, 0, 0, 0, 0, "[vdso]", &again);
	assert_int_equal(vdso, again);
	assert_int_not_equal(vdso, other);
	assert_true(mappings_object(mappings, vdso)->is_vdso);
	assert_false(mappings_object(mappings, other)->is_vdso);
}

static void unmapping_cuts_in_two(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = fresh();
	const struct mapping *high;

	mappings_add(mappings, 0x10000, 0x20000, 0x5000, 1, 1, 1, "/a", NULL);
	assert_int_equal(mappings_remove(mappings, 0x14000, 0x16000), 0);
	assert_int_equal(mappings_count(mappings), 2);
	assert_int_equal(mappings_at(mappings, 0)->end, 0x14000);
	assert_null(mappings_find(mappings, 0x14000));
	assert_null(mappings_find(mappings, 0x15fff));
	high = mappings_find(mappings, 0x16000);
	assert_int_equal(high->file_offset, 0xb000);
	assert_ptr_equal(high, mappings_find(mappings, 0x1ffff));
	assert_null(mappings_find(mappings, 0x20000));
	assert_null(mappings_find(mappings, 0xffff));
}

static void nonsense_and_bounds_are_refused(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = fresh();
	uint32_t object = 99;

	assert_int_equal(mappings_add(mappings, 5, 5, 0, 1, 1, 1, "/a", &object), -EINVAL);
	assert_int_equal(mappings_add(mappings, 6, 5, 0, 1, 1, 1, "/a", &object), -EINVAL);
	assert_int_equal(mappings_remove(mappings, 6, 5), 0);
	assert_int_equal(object, 99);
	for (uint32_t i = 0; i < MAPPINGS_MAX_OBJECTS; i++)
		assert_int_equal(mappings_add(mappings, 0x1000, 0x2000, 0, i + 1, 1, 1, NULL, NULL),
				 0);
	assert_int_equal(mappings_add(mappings, 0x1000, 0x2000, 0, 1, 2, 2, NULL, &object),
			 -ENOSPC);
	assert_int_equal(object, 99);
	assert_null(mappings_find(mappings, 0x1000)); /* the old one is gone all the same */
	assert_int_equal(mappings_add(mappings, 0x1000, 0x2000, 0, 1, 1, 1, NULL, &object), 0);
	assert_int_equal(object, 0);
}

/* ---- random ------------------------------------------------------------------------------- */

enum { PAGES = 64, FILES = 5, STEPS = 200000 };

struct page {
	bool is_mapped;
	uint32_t object;
	uint64_t offset;
};

static void compare(const struct mappings *mappings, const struct page *pages)
{
	uint64_t end = 0;

	for (int i = 0; i < PAGES; i++) {
		const struct mapping *m = mappings_find(mappings, i * 4096 + i);

		assert_int_equal(m != NULL, pages[i].is_mapped);
		if (!m)
			continue;
		assert_int_equal(m->object, pages[i].object);
		assert_int_equal(m->file_offset + (i * 4096 - m->start), pages[i].offset);
	}
	for (size_t i = 0; i < mappings_count(mappings); i++) {
		const struct mapping *m = mappings_at(mappings, i);

		assert_true(m->start >= end && m->end > m->start);
		end = m->end;
	}
}

static void random_maps_equal_an_array_of_pages(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = fresh();
	struct page pages[PAGES] = { 0 };
	unsigned seed = 4;

	for (int step = 0; step < STEPS; step++) {
		int first = rand_r(&seed) % PAGES, file = rand_r(&seed) % FILES;
		int count = 1 + rand_r(&seed) % (1 + rand_r(&seed) % (PAGES - first));
		uint64_t start = first * 4096, offset = rand_r(&seed) % 100 * 4096;
		bool is_add = rand_r(&seed) % 3;
		uint32_t object = 0;

		if (is_add)
			assert_int_equal(mappings_add(mappings, start, start + count * 4096, offset,
						      file + 1, 1, 1, NULL, &object),
					 0);
		else
			assert_int_equal(mappings_remove(mappings, start, start + count * 4096), 0);
		for (int i = 0; i < count; i++)
			pages[first + i] = (struct page){ is_add, object, offset + i * 4096 };
		compare(mappings, pages);
	}
	assert_int_equal(mappings_object_count(mappings), FILES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_keeps_its_number),
		cmocka_unit_test(what_has_no_inode_goes_by_its_path),
		cmocka_unit_test(unmapping_cuts_in_two),
		cmocka_unit_test(nonsense_and_bounds_are_refused),
		cmocka_unit_test(random_maps_equal_an_array_of_pages),
	};

	return cmocka_run_group_tests_name("mappings", tests, NULL, NULL);
}
