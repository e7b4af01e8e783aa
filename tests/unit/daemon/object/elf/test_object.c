/* object: real libraries against nm, a file without section headers, and broken files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/object/elf/object.h"
#include "proto/base/cleanup.h"

#define LIBRARIES "/usr/lib/x86_64-linux-gnu/"
#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"

DEFINE_CLEANUP_PTR(struct object *, object_free)
#define _cleanup_desc_ _cleanup_(object_free_ptr)

static const char *const malloc_names[] = { "malloc",	      "free",	       "calloc",  "realloc",
					    "posix_memalign", "aligned_alloc", "mallocx", "_Znwm",
					    "pthread_create", "memcpy",	       "strlen",  NULL };

static struct object *describe(int fd, const char *const *names)
{
	struct object *object = NULL;
	struct dhat_error err = { 0 };

	assert_true(fd >= 0);
	if (object_describe(fd, names, NULL, &object, &err) < 0)
		fail_msg("object_describe: %s", err.message);
	return object;
}

static struct object *describe_file(const char *path, const char *const *names)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return describe(fd, names);
}

static const struct object_symbol *find(const struct object *object, const char *name)
{
	size_t i;

	for (i = 0; i < object->symbol_count; i++)
		if (!strcmp(object->symbols[i].name, name))
			return &object->symbols[i];
	return NULL;
}

static bool is_listed(const struct object *object, const char *name, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < object->symbol_count; i++)
		if (object->symbols[i].vaddr == vaddr && !strcmp(object->symbols[i].name, name))
			return true;
	return false;
}

/* Every function that nm finds by one of the names is found, where nm finds it, and no other. */
static void compare_with_nm(const char *path, const char *const *names)
{
	_cleanup_desc_ struct object *object = describe_file(path, names);
	size_t i, named = 0, expected = 0;
	char command[256], line[512], name[256], type;
	unsigned long vaddr;
	FILE *nm;

	snprintf(command, sizeof(command), "nm -D --defined-only %s", path);
	nm = popen(command, "r");
	assert_non_null(nm);
	while (fgets(line, sizeof(line), nm)) {
		if (sscanf(line, "%lx %c %255s", &vaddr, &type, name) != 3 || !strchr("TtWi", type))
			continue;
		name[strcspn(name, "@")] = '\0';
		for (i = 0; names[i]; i++) {
			if (strcmp(names[i], name))
				continue;
			expected++;
			if (!is_listed(object, name, vaddr))
				fail_msg("%s: %s at %lx is missing", path, name, vaddr);
		}
	}
	assert_int_equal(pclose(nm), 0);
	for (i = 0; i < object->symbol_count; i++) {
		if (object->symbols[i].name[0] == '\0')
			continue;
		named++;
		assert_true(object->symbols[i].is_exported);
		assert_true(object->symbols[i].code_size > 0);
	}
	/* nm lists versions of one symbol at one address each; we list it once. */
	assert_true(named > 0 && named <= expected);
}

static void test_real_libraries(void **state)
{
	compare_with_nm(LIBC, malloc_names);
	compare_with_nm(LIBRARIES "libjemalloc.so.2", malloc_names);
	compare_with_nm(LIBRARIES "libtcmalloc.so.4", malloc_names);
	compare_with_nm(LIBRARIES "libmimalloc.so", malloc_names);
	compare_with_nm(LIBRARIES "libstdc++.so.6", malloc_names);
}

static void test_what_a_library_is(void **state)
{
	_cleanup_desc_ struct object *libc = describe_file(LIBC, malloc_names);
	_cleanup_desc_ struct object *jemalloc =
		describe_file(LIBRARIES "libjemalloc.so.2", malloc_names);
	_cleanup_desc_ struct object *tcmalloc =
		describe_file(LIBRARIES "libtcmalloc.so.4", malloc_names);
	const char *version = strchr(libc->desc.libc_version, ' ');

	assert_int_equal(libc->desc.elf_class, ELFCLASS64);
	assert_int_equal(libc->desc.machine, EM_X86_64);
	assert_string_equal(libc->desc.soname, "libc.so.6");
	assert_int_equal(libc->desc.build_id_size, 20);
	assert_non_null(version);
	assert_int_equal(strncmp(libc->desc.libc_version, "glibc ", 6), 0);
	assert_string_equal(version + 1, gnu_get_libc_version());
	assert_true(find(libc, "strlen")->is_ifunc);
	assert_false(find(libc, "malloc")->is_ifunc);
	assert_false(libc->desc.is_static || libc->desc.is_go);
	assert_string_equal(jemalloc->desc.soname, "libjemalloc.so.2");
	assert_int_equal(strncmp(jemalloc->desc.malloc_version, "jemalloc 5.3.", 13), 0);
	assert_int_equal(strncmp(tcmalloc->desc.malloc_version, "gperftools 2.", 13), 0);
	assert_false(jemalloc->desc.is_program);
}

/* memcpy has two versions in glibc, at two addresses. */
static void test_versions_of_one_name(void **state)
{
	_cleanup_desc_ struct object *object = describe_file(LIBC, malloc_names);
	size_t i, n = 0;

	for (i = 0; i < object->symbol_count; i++)
		n += !strcmp(object->symbols[i].name, "memcpy");
	assert_int_equal(n, 2);
}

__attribute__((noinline, used)) static int a_local_function(int x)
{
	return x * 7 + 3;
}

static int first_object(struct dl_phdr_info *info, size_t size, void *base)
{
	*(uint64_t *)base = info->dlpi_addr;
	return 1;
}

static void test_own_symtab(void **state)
{
	static const char *const names[] = { "a_local_function", "main", "nobody_has_this", NULL };
	_cleanup_desc_ struct object *object = describe_file("/proc/self/exe", names);
	const struct object_symbol *s = find(object, "a_local_function");
	uint64_t base = 0, vaddr;

	dl_iterate_phdr(first_object, &base);
	assert_true(object->desc.is_program && object->desc.has_symtab && !object->desc.is_static);
	assert_non_null(s);
	assert_null(find(object, "nobody_has_this"));
	assert_true(s->vaddr + base == (uint64_t)(uintptr_t)a_local_function);
	assert_false(s->is_exported);
	assert_true(s->size_bytes > 0 && s->code_size == s->size_bytes);
	assert_memory_equal(s->code, (void *)(uintptr_t)a_local_function, s->code_size);
	assert_true(object_offset_of_vaddr(object, s->vaddr, &vaddr) && vaddr == s->file_offset);
	assert_false(object_offset_of_vaddr(object, UINT64_MAX, &vaddr));
}

/* Where the function begins is told by its symbol, and by no other's. */
static void test_address_inside_of_a_function(void **state)
{
	_cleanup_desc_ struct object *named = describe_file(LIBC, malloc_names), *object = NULL;
	const struct object_symbol *s = find(named, "malloc");
	char start[32], inside[32], last[32], behind[32];
	const char *const names[] = { start, inside, last, behind, NULL };

	snprintf(start, sizeof(start), "+0x%lx", s->vaddr);
	snprintf(inside, sizeof(inside), "+0x%lx", s->vaddr + 1);
	snprintf(last, sizeof(last), "+0x%lx", s->vaddr + s->size_bytes - 1);
	snprintf(behind, sizeof(behind), "+0x%lx", s->vaddr + s->size_bytes);
	object = describe_file(LIBC, names);
	assert_true(find(object, start)->start_vaddr == s->vaddr);
	assert_true(find(object, inside)->start_vaddr == s->vaddr);
	assert_true(find(object, last)->start_vaddr == s->vaddr);
	assert_true(find(object, behind)->start_vaddr != s->vaddr);
	assert_true(s->start_vaddr == 0); /* asked for by name */
}

static void test_address_instead_of_a_name(void **state)
{
	_cleanup_desc_ struct object *named = describe_file(LIBC, malloc_names), *object = NULL;
	const struct object_symbol *s = find(named, "malloc"), *by_address;
	char name[32];
	const char *const names[] = { name, "+0xffffffffffffffff", "+0x", "+zz", NULL };

	snprintf(name, sizeof(name), "+0x%lx", s->vaddr);
	object = describe_file(LIBC, names);
	by_address = find(object, name);
	assert_non_null(by_address);
	assert_true(by_address->vaddr == s->vaddr && by_address->file_offset == s->file_offset);
	assert_memory_equal(by_address->code, s->code, s->code_size);
	assert_null(find(object, "+0xffffffffffffffff"));
	assert_null(find(object, "+zz"));
}

/* ---- changed files ------------------------------------------------------------------------ */

struct image {
	uint8_t *bytes;
	size_t size;
};

static void free_image(struct image *image)
{
	free(image->bytes);
}

static struct image read_image(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct image image = { 0 };
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	image.size = st.st_size;
	image.bytes = malloc(image.size);
	assert_non_null(image.bytes);
	assert_int_equal(read(fd, image.bytes, image.size), image.size);
	return image;
}

static int image_fd(const void *bytes, size_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	return fd;
}

static void strip_sections(struct image *image)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)image->bytes;

	eh->e_shoff = 0;
	eh->e_shnum = 0;
	eh->e_shstrndx = 0;
}

/* By texts in the read-only data, with section headers and without, and in nobody else's. */
static void test_makers(void **state)
{
	static struct {
		const char *path;
		uint32_t makers;
	} files[] = {
		{ LIBC, 0 },
		{ LIBRARIES "libjemalloc.so.2", 1 << OBJECT_MAKER_JEMALLOC },
		{ LIBRARIES "libmimalloc.so", 1 << OBJECT_MAKER_MIMALLOC },
		{ LIBRARIES "libtcmalloc_minimal.so.4", 1 << OBJECT_MAKER_TCMALLOC },
		{ "/usr/bin/python3", 1 << OBJECT_MAKER_CPYTHON },
		/* this holds object_maker.c */
		{ "/proc/self/exe", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_desc_ struct object *whole = describe_file(files[i].path, NULL);
		_cleanup_desc_ struct object *bare = NULL;
		_cleanup_(free_image) struct image image = read_image(files[i].path);
		_cleanup_close_ int fd = -1;

		strip_sections(&image);
		fd = image_fd(image.bytes, image.size);
		bare = describe(fd, NULL);
		/* from 3.13 on it holds a mimalloc of its own */
		if (files[i].makers == 1 << OBJECT_MAKER_CPYTHON)
			files[i].makers |= whole->desc.makers & 1 << OBJECT_MAKER_MIMALLOC;
		assert_int_equal(whole->desc.makers, files[i].makers);
		assert_int_equal(bare->desc.makers, files[i].makers);
		/* whose functions are none of a runtime's */
		for (size_t k = 0; k < whole->desc.entry_count; k++)
			assert_false(object_maker_is_runtime(whole->desc.entries[k].maker));
	}
}

/* DT_HASH in one, DT_GNU_HASH alone in the others. */
static void test_without_section_headers(void **state)
{
	static const char *const paths[] = { LIBC, LIBRARIES "libjemalloc.so.2",
					     LIBRARIES "libmimalloc.so" };
	size_t p, i;

	for (p = 0; p < ARRAY_SIZE(paths); p++) {
		_cleanup_(free_image) struct image image = read_image(paths[p]);
		_cleanup_desc_ struct object *whole = NULL, *bare = NULL;
		_cleanup_close_ int fd = -1;

		strip_sections(&image);
		fd = image_fd(image.bytes, image.size);
		whole = describe_file(paths[p], malloc_names);
		bare = describe(fd, malloc_names);
		assert_string_equal(bare->desc.soname, whole->desc.soname);
		assert_int_equal(bare->desc.build_id_size, whole->desc.build_id_size);
		assert_int_equal(bare->symbol_count, whole->symbol_count);
		for (i = 0; i < whole->symbol_count; i++)
			assert_true(
				is_listed(bare, whole->symbols[i].name, whole->symbols[i].vaddr));
	}
}

static void survive(const void *bytes, size_t size)
{
	_cleanup_close_ int fd = image_fd(bytes, size);
	_cleanup_desc_ struct object *object = NULL;
	struct dhat_error err = { 0 };
	size_t i;
	int r;

	r = object_describe(fd, malloc_names, NULL, &object, &err);
	if (r < 0) {
		assert_null(object);
		assert_true(err.code != DHAT_EXIT_OK && err.message[0]);
		return;
	}
	for (i = 0; i < object->symbol_count; i++)
		assert_true(object->symbols[i].file_offset + object->symbols[i].code_size <= size);
}

static void test_cut_off_files(void **state)
{
	_cleanup_(free_image) struct image image = read_image(LIBRARIES "libmimalloc.so");
	size_t size;

	for (size = 0; size < image.size; size += size < 1024 ? 7 : 4001)
		survive(image.bytes, size);
	strip_sections(&image);
	for (size = 0; size < image.size; size += size < 1024 ? 7 : 4001)
		survive(image.bytes, size);
}

/* Headers, the dynamic segment and the tables are where a wrong byte hurts. */
static void test_changed_bytes(void **state)
{
	_cleanup_(free_image) struct image image = read_image(LIBRARIES "libmimalloc.so");
	unsigned seed = 20, round, i;
	size_t at;

	for (round = 0; round < 600; round++) {
		uint8_t saved[8];
		size_t where[8];

		if (round == 300)
			strip_sections(&image);
		for (i = 0; i < 8; i++) {
			at = rand_r(&seed) % (i < 4 ? 4096 : image.size);
			if (i == 3) /* section headers are at the end */
				at = image.size - 1 - rand_r(&seed) % 2048;
			where[i] = at;
			saved[i] = image.bytes[at];
			image.bytes[at] = rand_r(&seed) >> 8;
		}
		survive(image.bytes, image.size);
		while (i-- > 0)
			image.bytes[where[i]] = saved[i];
	}
}

static void expect_error(const void *bytes, size_t size, const char *message)
{
	_cleanup_close_ int fd = image_fd(bytes, size);
	struct object *object = NULL;
	struct dhat_error err = { 0 };

	assert_true(object_describe(fd, malloc_names, NULL, &object, &err) < 0);
	assert_null(object);
	assert_int_equal(err.code, DHAT_EXIT_BAD_FILE);
	assert_non_null(strstr(err.message, message));
}

static void test_not_an_elf_file(void **state)
{
	expect_error("", 0, "not an ELF file");
	expect_error("#!/bin/sh\n", 10, "not an ELF file");
	expect_error("!<arch>\n", 8, "not an ELF file");
}

static void test_other_machines(void **state)
{
	_cleanup_desc_ struct object *object = NULL;
	_cleanup_close_ int fd = -1;
	Elf32_Ehdr eh = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(eh),
	};

	fd = image_fd(&eh, sizeof(eh));
	object = describe(fd, malloc_names);
	assert_int_equal(object->desc.elf_class, ELFCLASS32);
	assert_int_equal(object->desc.machine, EM_386);
	assert_int_equal(object->symbol_count, 0);
}

/* A program of one segment, with a dynamic symbol table of `count` times "malloc". */
struct tiny {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	Elf64_Dyn dyn[5];
	uint32_t hash[2];
	char strings[16], data[32];
	uint8_t code[4096];
	Elf64_Sym symbols[2000];
};

static struct tiny *make_tiny(uint32_t count)
{
	struct tiny *t = calloc(1, sizeof(*t));
	uint32_t i;

	assert_non_null(t);
	memcpy(t->eh.e_ident,
	       "\x7f"
	       "ELF\2\1\1",
	       7);
	t->eh.e_type = ET_EXEC;
	t->eh.e_machine = EM_X86_64;
	t->eh.e_version = EV_CURRENT;
	t->eh.e_ehsize = sizeof(t->eh);
	t->eh.e_phoff = offsetof(struct tiny, ph);
	t->eh.e_phentsize = sizeof(Elf64_Phdr);
	t->eh.e_phnum = 2;
	t->ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
				 .p_flags = PF_R | PF_X,
				 .p_filesz = sizeof(*t),
				 .p_memsz = sizeof(*t) };
	t->ph[1] = (Elf64_Phdr){ .p_type = PT_DYNAMIC,
				 .p_offset = offsetof(struct tiny, dyn),
				 .p_filesz = sizeof(t->dyn) };
	t->dyn[0] = (Elf64_Dyn){ DT_SYMTAB, { offsetof(struct tiny, symbols) } };
	t->dyn[1] = (Elf64_Dyn){ DT_STRTAB, { offsetof(struct tiny, strings) } };
	t->dyn[2] = (Elf64_Dyn){ DT_STRSZ, { sizeof(t->strings) } };
	t->dyn[3] = (Elf64_Dyn){ DT_HASH, { offsetof(struct tiny, hash) } };
	t->hash[1] = count;
	strcpy(t->strings + 1, "malloc");
	memset(t->code, 0xc3, sizeof(t->code));
	for (i = 0; i < count; i++)
		t->symbols[i] = (Elf64_Sym){ .st_name = 1,
					     .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
					     .st_shndx = 1,
					     .st_value = offsetof(struct tiny, code) + i };
	return t;
}

static void test_too_many_symbols(void **state)
{
	_cleanup_free_ struct tiny *t = make_tiny(2000);
	_cleanup_desc_ struct object *object = NULL;
	_cleanup_close_ int fd = -1;

	expect_error(t, sizeof(*t), "more than");
	free(t);
	t = make_tiny(3);
	fd = image_fd(t, sizeof(*t));
	object = describe(fd, malloc_names);
	assert_int_equal(object->symbol_count, 3);
	assert_true(object->desc.is_program && object->desc.is_static && !object->desc.is_go);
}

static void test_go(void **state)
{
	_cleanup_free_ struct tiny *t = make_tiny(1);
	_cleanup_desc_ struct object *object = NULL;
	_cleanup_close_ int fd = -1;

	memcpy(t->data, "\xff Go buildinf:", 14);
	t->ph[0].p_flags = PF_R | PF_W;
	fd = image_fd(t, sizeof(*t));
	object = describe(fd, malloc_names);
	assert_true(object->desc.is_go);
}

/* Counts that lie: a hash table of four thousand million chains, string tables out of bounds. */
static void test_lies(void **state)
{
	_cleanup_free_ struct tiny *t = make_tiny(1);

	t->hash[1] = UINT32_MAX;
	survive(t, sizeof(*t));
	t->hash[1] = 1;
	t->dyn[2].d_un.d_val = UINT64_MAX;
	survive(t, sizeof(*t));
	t->dyn[2].d_un.d_val = sizeof(t->strings);
	t->dyn[0].d_un.d_val = UINT64_MAX - 8;
	survive(t, sizeof(*t));
	t->dyn[3].d_tag = DT_GNU_HASH;
	memset(t->hash, 0xff, sizeof(t->hash));
	survive(t, sizeof(*t));
	t->ph[0].p_memsz = UINT64_MAX;
	t->ph[0].p_vaddr = 4096;
	survive(t, sizeof(*t));
	t->eh.e_phnum = UINT16_MAX;
	survive(t, sizeof(*t));
}

static const struct object_sighting *sighting(const struct object *object, const char *name)
{
	const struct object_sighting *found = NULL;
	size_t i;

	for (i = 0; i < object->sighting_count; i++) {
		if (strcmp(object->sightings[i].name, name) != 0)
			continue;
		assert_null(found); /* once, whatever versions and tables it is in */
		found = &object->sightings[i];
	}
	return found;
}

/* Names by how they begin or end: what is asked for by its whole name is a symbol and no sighting.
 */
static void test_patterns(void **state)
{
	static const char *const names[] = { "*allocx", "malloc_*", "mallocx", "*_np", NULL };
	_cleanup_desc_ struct object *je = describe_file(LIBRARIES "libjemalloc.so.2", names);
	_cleanup_desc_ struct object *libc = describe_file(LIBC, names);
	_cleanup_close_ int fd = open(LIBRARIES "libjemalloc.so.2", O_RDONLY | O_CLOEXEC);
	_cleanup_desc_ struct object *again = NULL;

	assert_non_null(find(je, "mallocx"));
	assert_null(sighting(je, "mallocx"));
	assert_true(sighting(je, "sdallocx")->is_public);
	assert_true(sighting(je, "dallocx")->is_public);
	assert_true(sighting(je, "malloc_usable_size")->is_public);
	assert_null(sighting(je, "malloc"));
	assert_null(sighting(je, "free"));
	assert_true(sighting(libc, "pthread_getattr_np")->is_public);
	assert_int_equal(
		object_describe(fd, (const char *const[]){ "free", NULL }, je, &again, NULL), 0);
	assert_non_null(find(again, "free"));
	assert_string_equal(again->desc.malloc_version, je->desc.malloc_version);
	assert_int_equal(again->desc.makers, je->desc.makers);
	assert_int_equal(again->sighting_count, 0);
}

static void __attribute__((noinline, used)) private_function_np(void)
{
	__asm__ volatile("");
}

static void test_private_names(void **state)
{
	static const char *const names[] = { "private_function*", "ma*", NULL };
	_cleanup_desc_ struct object *self = describe_file("/proc/self/exe", names);

	private_function_np();
	assert_false(sighting(self, "private_function_np")->is_public);
	assert_true(sighting(self, "main")->is_public);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_libraries),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_private_names),
		cmocka_unit_test(test_what_a_library_is),
		cmocka_unit_test(test_versions_of_one_name),
		cmocka_unit_test(test_makers),
		cmocka_unit_test(test_own_symtab),
		cmocka_unit_test(test_address_instead_of_a_name),
		cmocka_unit_test(test_address_inside_of_a_function),
		cmocka_unit_test(test_without_section_headers),
		cmocka_unit_test(test_cut_off_files),
		cmocka_unit_test(test_changed_bytes),
		cmocka_unit_test(test_not_an_elf_file),
		cmocka_unit_test(test_other_machines),
		cmocka_unit_test(test_too_many_symbols),
		cmocka_unit_test(test_go),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests_name("object", tests, NULL, NULL);
}
