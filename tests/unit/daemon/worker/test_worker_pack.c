/* worker_pack: a description comes out as it went in, and shortened bytes are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/object/sites/allocators.h"
#include "daemon/worker/worker_pack.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct object_desc *, object_desc_free)
#define _cleanup_desc_ _cleanup_(object_desc_free_ptr)

static struct object_desc *describe(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct object_desc *desc = NULL;
	struct dhat_error err = { 0 };

	assert_true(fd >= 0);
	assert_int_equal(allocators_describe(fd, NULL, &desc, &err), 0);
	return desc;
}

static void compare(const struct object_desc *a, const struct object_desc *b)
{
	size_t i;

	assert_int_equal(a->elf_class, b->elf_class);
	assert_int_equal(a->machine, b->machine);
	assert_true(a->is_program == b->is_program && a->is_static == b->is_static &&
		    a->has_symtab == b->has_symtab && a->is_go == b->is_go);
	assert_int_equal(a->makers, b->makers);
	assert_int_equal(a->entry_count, b->entry_count);
	assert_memory_equal(a->entries, b->entries, sizeof(a->entries));
	assert_int_equal(a->build_id_size, b->build_id_size);
	assert_memory_equal(a->build_id, b->build_id, sizeof(a->build_id));
	assert_string_equal(a->soname, b->soname);
	assert_string_equal(a->libc_version, b->libc_version);
	assert_string_equal(a->malloc_version, b->malloc_version);
	assert_string_equal(a->copier, b->copier);
	assert_int_equal(a->segment_count, b->segment_count);
	for (i = 0; i < a->segment_count; i++)
		assert_memory_equal(&a->segments[i], &b->segments[i], sizeof(a->segments[i]));
	assert_int_equal(a->symbol_count, b->symbol_count);
	for (i = 0; i < a->symbol_count; i++) {
		const struct object_symbol *x = &a->symbols[i], *y = &b->symbols[i];

		assert_string_equal(x->name, y->name);
		assert_true(x->vaddr == y->vaddr && x->size_bytes == y->size_bytes &&
			    x->file_offset == y->file_offset && x->is_ifunc == y->is_ifunc &&
			    x->is_exported == y->is_exported);
		assert_int_equal(x->code_size, y->code_size);
		assert_memory_equal(x->code, y->code, x->code_size);
	}
	assert_int_equal(a->stub_count, b->stub_count);
	for (i = 0; i < a->stub_count; i++)
		assert_memory_equal(&a->stubs[i], &b->stubs[i], sizeof(a->stubs[i]));
	assert_int_equal(a->noreturn_count, b->noreturn_count);
	for (i = 0; i < a->noreturn_count; i++)
		assert_true(a->noreturn[i] == b->noreturn[i]);
}

static void test_description(void **state)
{
	static const char *const paths[] = { "/lib/x86_64-linux-gnu/libc.so.6",
					     "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4",
					     "/proc/self/exe" };
	size_t p, size;

	for (p = 0; p < ARRAY_SIZE(paths); p++) {
		_cleanup_desc_ struct object_desc *before = describe(paths[p]), *after = NULL;
		struct wire_writer writer = { 0 };
		struct wire_reader reader;

		pack_put_desc(&writer, before);
		assert_false(writer.is_failed);
		reader = (struct wire_reader){ .data = writer.data, .size = writer.size };
		assert_int_equal(pack_get_desc(&reader, &after), 0);
		compare(before, after);
		for (size = 0; size < writer.size; size += 1 + size / 50) {
			struct object_desc *none = NULL;

			reader = (struct wire_reader){ .data = writer.data, .size = size };
			assert_true(pack_get_desc(&reader, &none) < 0);
			assert_null(none);
		}
		wire_writer_deinit(&writer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_description) };

	return cmocka_run_group_tests_name("worker_pack", tests, NULL, NULL);
}
