/* allocators: the libraries of Debian, programs linked statically on the spot, and hand-made
 * objects for what must not be taken for an allocator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/dhat_abi.h"
#include "daemon/object/sites/allocators.h"
#include "proto/base/cleanup.h"

#define LIBRARIES "/usr/lib/x86_64-linux-gnu/"
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9 };

DEFINE_CLEANUP_PTR(struct object *, object_free)

/* What was found in one object, with the object that it points into. */
struct found {
	const char *path; /* lent */
	struct object *object;
	struct allocator_site *sites;
	size_t count;
};

static void free_found(struct found *found)
{
	allocators_sites_free(found->sites, found->count);
	object_free(found->object);
}
#define _cleanup_found_ _cleanup_(free_found)

static struct found search_file(const char *path, bool use_exit_probes)
{
	const struct allocator_options options = { .may_fork = true,
						   .use_exit_probes = use_exit_probes };
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct found found = { .path = path };
	struct dhat_error err = { 0 };
	size_t i;

	assert_true(fd >= 0);
	if (allocators_describe(fd, NULL, &found.object, &err) < 0)
		fail_msg("%s: %s", path, err.message);
	assert_int_equal(allocators_find(found.object, path, &options, &found.sites, &found.count),
			 0);
	for (i = 1; i < found.count; i++)
		assert_true(found.sites[i].place_file_offset >
			    found.sites[i - 1].place_file_offset);
	return found;
}

static const struct allocator_site *site_of(const struct found *found, const char *name)
{
	size_t i;

	for (i = 0; i < found->count; i++)
		if (!strcmp(found->sites[i].function.name, name))
			return &found->sites[i];
	return NULL;
}

static const struct allocator_site *must_have(const struct found *found, const char *name,
					      uint8_t role)
{
	const struct allocator_site *site = site_of(found, name);

	if (!site)
		fail_msg("%s is not found", name);
	assert_int_equal(site->function.role, role);
	assert_false(site->is_refused);
	return site;
}

/* Do these bytes begin with what each kernel emulates: push, nop, call, jmp, jcc
 * (arch/x86/kernel/uprobes.c)? Said by their first bytes, and by nobody whom this judges. */
static bool begins_emulated(const uint8_t *code)
{
	if (code[0] == 0x41)
		return (code[1] & 0xf8) == 0x50;
	if (code[0] == 0x0f)
		return code[1] == 0x1f || (code[1] & 0xf0) == 0x80;
	return (code[0] & 0xf8) == 0x50 || (code[0] & 0xf0) == 0x70 || code[0] == 0x90 ||
	       code[0] == 0xe8 || code[0] == 0xe9 || code[0] == 0xeb;
}

/* gcc 16 begins some functions with others (mimalloc 3.6's mi__expand, musl 1.2.6's calloc, and
 * more): then that is said. */
static void expect_stepped(const struct found *found, const struct allocator_site *site)
{
	_cleanup_close_ int fd = open(found->path, O_RDONLY | O_CLOEXEC);
	uint8_t code[4];

	assert_int_equal(pread(fd, code, sizeof(code),
			       (off_t)(site->place_file_offset - site->place.offset)),
			 sizeof(code));
	if (begins_emulated(code) || !*site->place.note)
		fail_msg("%s is single-stepped at +%d: %s", site->function.name,
			 (int)site->place.offset, site->place.note);
}

/* All sites have the allocator's name, and an emulated place, if there can be one. */
static void expect_allocator(const struct found *found, const char *name)
{
	size_t stepped = 0;

	assert_true(found->count > 0);
	for (size_t i = 0; i < found->count; i++) {
		assert_int_equal(strncmp(found->sites[i].allocator, name, strlen(name)), 0);
		if (found->sites[i].place.is_emulated)
			continue;
		expect_stepped(found, &found->sites[i]);
		stepped++;
	}
	if (2 * stepped >= found->count) /* that would be a change of ours */
		fail_msg("%zu of %zu functions are single-stepped", stepped, found->count);
}

static uint64_t vaddr_of(const struct found *found, const char *name)
{
	for (size_t i = 0; i < found->object->symbol_count; i++)
		if (!strcmp(found->object->symbols[i].name, name))
			return found->object->symbols[i].vaddr;
	fail_msg("%s is no symbol", name);
	return 0;
}

static void test_glibc(void **state)
{
	_cleanup_found_ struct found f = search_file("/lib/x86_64-linux-gnu/libc.so.6", false);
	const struct allocator_site *site;
	bool has_memalign;

	expect_allocator(&f, "glibc 2.");
	must_have(&f, "calloc", DHAT_ROLE_CALLOC);
	must_have(&f, "realloc", DHAT_ROLE_REALLOC);
	must_have(&f, "aligned_alloc", DHAT_ROLE_MEMALIGN);
	must_have(&f, "valloc", DHAT_ROLE_MALLOC);
	must_have(&f, "pvalloc", DHAT_ROLE_PVALLOC);
	site = must_have(&f, "malloc", DHAT_ROLE_MALLOC);
	assert_int_equal(site->returns, SITE_RETURNS_PROBE);
	assert_int_equal(site->arg_reg[0], RDI);
	site = must_have(&f, "free", DHAT_ROLE_FREE);
	assert_int_equal(site->returns, SITE_RETURNS_NOTHING);
	site = must_have(&f, "posix_memalign", DHAT_ROLE_POSIX_MEMALIGN);
	assert_int_equal(site->arg_reg[2], RDX);
	/* Aliases once; reallocarray only jumps to realloc. memalign is aligned_alloc up to 2.37.
	 */
	assert_null(site_of(&f, "__libc_malloc"));
	assert_null(site_of(&f, "cfree"));
	assert_null(site_of(&f, "reallocarray"));
	has_memalign = vaddr_of(&f, "memalign") != vaddr_of(&f, "aligned_alloc");
	if (has_memalign)
		must_have(&f, "memalign", DHAT_ROLE_MEMALIGN);
	else
		assert_null(site_of(&f, "memalign"));
	assert_int_equal(f.count, 8 + has_memalign);
}

/* Every function of every allocator can be had by its exits, and each exit is a ret with the result
 * in rax, or a jump to memset or the like with the result in rdi. */
static size_t check_exits(const char *path)
{
	_cleanup_found_ struct found f = search_file(path, true);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t i, k, jumps = 0;
	uint8_t byte;

	for (i = 0; i < f.count; i++) {
		const struct allocator_site *site = &f.sites[i];

		if (site->is_refused)
			fail_msg("%s: %s %s", path, site->function.name, site->place.note);
		if (site->returns == SITE_RETURNS_NOTHING)
			continue;
		assert_int_equal(site->returns, SITE_RETURNS_EXITS);
		assert_true(site->exit_count > 0);
		for (k = 0; k < site->exit_count; k++) {
			assert_true(k == 0 ||
				    site->exits[k].file_offset > site->exits[k - 1].file_offset);
			assert_int_equal(pread(fd, &byte, 1, site->exits[k].file_offset), 1);
			if (site->exits[k].result_reg == RAX) {
				assert_true(byte == 0xc3 || byte == 0xf3);
				continue;
			}
			assert_int_equal(site->exits[k].result_reg, RDI);
			assert_int_equal(byte, 0xe9);
			jumps++;
		}
	}
	return jumps;
}

static void test_exits(void **state)
{
	/* calloc of glibc returns memset's result: once in 2.36, in two places of 2.43 */
	assert_in_range(check_exits("/lib/x86_64-linux-gnu/libc.so.6"), 1, 2);
	check_exits("/usr/lib/x86_64-linux-musl/libc.so");
	check_exits(LIBRARIES "libjemalloc.so.2");
	check_exits(LIBRARIES "libtcmalloc.so.4");
	check_exits(LIBRARIES "libmimalloc.so");
}

/* realloc(NULL, n) of glibc jumps to malloc: its exits are realloc's, too. */
static void test_shared_exits(void **state)
{
	_cleanup_found_ struct found f = search_file("/lib/x86_64-linux-gnu/libc.so.6", true);
	const struct allocator_site *malloc_site = must_have(&f, "malloc", DHAT_ROLE_MALLOC);
	const struct allocator_site *realloc_site = must_have(&f, "realloc", DHAT_ROLE_REALLOC);
	size_t i, k, shared = 0;

	for (i = 0; i < malloc_site->exit_count; i++)
		for (k = 0; k < realloc_site->exit_count; k++)
			shared += realloc_site->exits[k].file_offset ==
				  malloc_site->exits[i].file_offset;
	assert_int_equal(shared, malloc_site->exit_count);
	assert_int_equal(must_have(&f, "free", DHAT_ROLE_FREE)->returns, SITE_RETURNS_NOTHING);
}

static size_t count_exiting(const struct found *f)
{
	size_t count = 0;

	for (size_t i = 0; i < f->count; i++)
		count += f->sites[i].returns == SITE_RETURNS_EXITS;
	return count;
}

/* Where we execute a ret ourselves, exits take the place of a return probe: the function's own
 * ones, for others would pay for those that are shared. */
static void test_exits_are_preferred(void **state)
{
	_cleanup_found_ struct found f = search_file("/lib/x86_64-linux-gnu/libc.so.6", false);
	struct allocator_options options = { .may_fork = true };

	assert_int_equal(allocators_prefer_exits(f.object, &options, f.sites, f.count), 0);
	assert_int_equal(count_exiting(&f), 0);
	options.may_execute = true;
	assert_int_equal(allocators_prefer_exits(f.object, &options, f.sites, f.count), 0);
	assert_true(count_exiting(&f) > 0);
	for (size_t i = 0; i < f.count; i++) {
		const struct allocator_site *site = &f.sites[i];

		for (size_t k = 0; k < site->exit_count; k++) {
			assert_true(site->exits[k].file_offset - site->symbol->file_offset <
				    site->symbol->code_size);
			assert_true(site->exits[k].result_reg == RDI ||
				    site->exits[k].by_us.operation == DHAT_OPERATION_RET);
		}
	}
}

static void test_jemalloc(void **state)
{
	_cleanup_found_ struct found f = search_file(LIBRARIES "libjemalloc.so.2", false);

	expect_allocator(&f, "jemalloc 5.");
	must_have(&f, "malloc", DHAT_ROLE_MALLOC);
	must_have(&f, "mallocx", DHAT_ROLE_MALLOC);
	must_have(&f, "rallocx", DHAT_ROLE_REALLOC);
	must_have(&f, "xallocx", DHAT_ROLE_RESIZE);
	must_have(&f, "dallocx", DHAT_ROLE_FREE);
	must_have(&f, "sdallocx", DHAT_ROLE_FREE);
	must_have(&f, "_ZdlPvm", DHAT_ROLE_FREE);
	/* plain operator delete jumps to free, operator new[] to operator new; from 5.3.1 on they
	 * do the work themselves */
	if (!strcmp(f.object->desc.malloc_version, "jemalloc 5.3.0")) {
		assert_null(site_of(&f, "_ZdlPv"));
		assert_null(site_of(&f, "_Znam"));
	}
	assert_int_equal(must_have(&f, "_Znwm", DHAT_ROLE_MALLOC)->returns, SITE_RETURNS_EXITS);
	assert_int_equal(must_have(&f, "_ZnwmRKSt9nothrow_t", DHAT_ROLE_MALLOC)->returns,
			 SITE_RETURNS_PROBE);
}

static void test_tcmalloc(void **state)
{
	static const char *const paths[] = { LIBRARIES "libtcmalloc.so.4",
					     LIBRARIES "libtcmalloc_minimal.so.4" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_found_ struct found f = search_file(paths[i], false);

		expect_allocator(&f, "tcmalloc (gperftools 2.");
		must_have(&f, "malloc", DHAT_ROLE_MALLOC);
		must_have(&f, "calloc", DHAT_ROLE_CALLOC);
		must_have(&f, "tc_new_nothrow", DHAT_ROLE_MALLOC);
		/* 2.18: C23's name for it comes first */
		if (!site_of(&f, "free_sized"))
			must_have(&f, "tc_free_sized", DHAT_ROLE_FREE);
		/* _Znwm, tc_newarray and tc_new are one function; operator delete is free */
		assert_null(site_of(&f, "_Znwm"));
		assert_null(site_of(&f, "_ZdlPv"));
		assert_int_equal(must_have(&f, "tc_new", DHAT_ROLE_MALLOC)->returns,
				 SITE_RETURNS_EXITS);
		assert_int_equal(must_have(&f, "tc_new_aligned", DHAT_ROLE_MALLOC)->returns,
				 SITE_RETURNS_EXITS);
	}
}

static void test_mimalloc(void **state)
{
	_cleanup_found_ struct found f = search_file(LIBRARIES "libmimalloc.so", false);
	const struct allocator_site *site;
	size_t i;

	expect_allocator(&f, "mimalloc"); /* 3.6 tells no version */
	must_have(&f, "malloc", DHAT_ROLE_MALLOC);
	must_have(&f, "free", DHAT_ROLE_FREE);
	must_have(&f, "mi_heap_realloc", DHAT_ROLE_REALLOC);
	/* the heap comes first: the size is the second argument */
	site = must_have(&f, "mi_heap_malloc", DHAT_ROLE_MALLOC);
	assert_int_equal(site->function.arg[0], 1);
	assert_int_equal(site->arg_reg[0], RSI);
	/* in 3.0 mi_new jumps there */
	site = site_of(&f, "mi_new") ?: must_have(&f, "mi_heap_alloc_new", DHAT_ROLE_MALLOC);
	assert_int_equal(site->returns, SITE_RETURNS_EXITS);
	for (i = 0; i < f.count; i++)
		assert_false(f.sites[i].is_refused);
	assert_null(site_of(&f, "cfree"));
	assert_null(site_of(&f, "realloc"));
}

static void test_musl(void **state)
{
	_cleanup_found_ struct found f = search_file("/usr/lib/x86_64-linux-musl/libc.so", false);

	expect_allocator(&f, "musl");
	must_have(&f, "malloc", DHAT_ROLE_MALLOC);
	must_have(&f, "free", DHAT_ROLE_FREE);
	must_have(&f, "aligned_alloc", DHAT_ROLE_MEMALIGN);
}

static void expect_static(const char *compiler, const char *name)
{
	char directory[] = "/tmp/test_allocators.XXXXXX", path[64], command[256];
	struct found f;
	FILE *cc;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/program", directory);
	snprintf(command, sizeof(command), "%s -O2 -static -x c -o %s -", compiler, path);
	cc = popen(command, "w");
	assert_non_null(cc);
	fputs("#include <stdlib.h>\n"
	      "void *volatile p;\n"
	      "int main(void) { p = malloc(7); p = realloc(p, 70); free(p); return !p; }\n",
	      cc);
	assert_int_equal(pclose(cc), 0);
	f = search_file(path, false);
	check_exits(path);
	assert_true(f.object->desc.is_static && f.object->desc.is_program);
	expect_allocator(&f, name);
	unlink(path);
	rmdir(directory);
	must_have(&f, "malloc", DHAT_ROLE_MALLOC);
	assert_true(site_of(&f, "free") || site_of(&f, "__libc_free"));
	assert_true(site_of(&f, "realloc") || site_of(&f, "__libc_realloc"));
	free_found(&f);
}

static void test_static_programs(void **state)
{
	expect_static("gcc", "glibc");
	expect_static("musl-gcc", "musl");
}

static void test_libraries_without_an_allocator(void **state)
{
	static const char *const paths[] = {
		LIBRARIES "libstdc++.so.6", /* operator new over malloc */
		"/lib64/ld-linux-x86-64.so.2", LIBRARIES "libm.so.6", "/bin/sh", "/proc/self/exe",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_found_ struct found f = search_file(paths[i], false);

		if (f.count)
			fail_msg("%s: %s", paths[i], f.sites[0].function.name);
	}
}

/* ---- hand-made objects -------------------------------------------------------------------- */

static const uint8_t plain_code[] = { 0x55, 0x5d, 0xc3 }; /* push, pop, ret */

/* An object with these functions, 64 bytes apart, all of plain_code. */
static struct object *make_desc(const char *const *names, bool is_exported)
{
	struct object *object = calloc(1, sizeof(*object));
	size_t i;

	assert_non_null(object);
	while (names[object->symbol_count])
		object->symbol_count++;
	object->symbols = calloc(object->symbol_count, sizeof(*object->symbols));
	assert_non_null(object->symbols);
	for (i = 0; i < object->symbol_count; i++)
		object->symbols[i] = (struct object_symbol){
			.name = strdup(names[i]),
			.vaddr = 0x1000 + 64 * i,
			.file_offset = 64 * i,
			.size_bytes = sizeof(plain_code),
			.code = memcpy(malloc(sizeof(plain_code)), plain_code, sizeof(plain_code)),
			.code_size = sizeof(plain_code),
			.is_exported = is_exported,
		};
	return object;
}

static void set_code(struct object *object, size_t i, const uint8_t *code, size_t size)
{
	free(object->symbols[i].code);
	object->symbols[i].code = malloc(size);
	assert_non_null(object->symbols[i].code);
	memcpy(object->symbols[i].code, code, size);
	object->symbols[i].code_size = size;
}

static struct found search(struct object *object)
{
	const struct allocator_options options = { .may_fork = true };
	struct found found = { .object = object };

	assert_int_equal(
		allocators_find(object, "/opt/some/program", &options, &found.sites, &found.count),
		0);
	return found;
}

#define NAMES(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static size_t count_in(const char *const *names, bool is_exported)
{
	_cleanup_found_ struct found f = search(make_desc(names, is_exported));

	return f.count;
}

static void test_false_positives(void **state)
{
	assert_int_equal(count_in(NAMES("mi_free", "mi_malloc"), true), 0);
	assert_int_equal(count_in(NAMES("mi_free"), true), 0);
	assert_int_equal(count_in(NAMES("je_malloc", "je_free"), true), 0);
	assert_int_equal(count_in(NAMES("tc_malloc", "tc_free"), true), 0);
	assert_int_equal(count_in(NAMES("free"), true), 0);
	assert_int_equal(count_in(NAMES("malloc", "free"), false), 0);
	assert_int_equal(count_in(NAMES("malloc", "realloc", "calloc"), false), 0);
	assert_int_equal(count_in(NAMES("_Znwm", "_ZdlPv"), true), 0);
	assert_int_equal(count_in(NAMES("dallocx", "mallocx"), true), 0);
}

static void test_true_positives(void **state)
{
	assert_int_equal(count_in(NAMES("malloc", "free"), true), 2);
	assert_int_equal(count_in(NAMES("malloc", "free", "realloc"), false), 3);
	assert_true(count_in(NAMES("malloc", "__libc_malloc", "free", "__libc_free"), false) >= 2);
	assert_int_equal(count_in(NAMES("je_malloc", "je_free", "je_realloc"), false), 3);
	assert_int_equal(count_in(NAMES("_rjem_mallocx", "_rjem_sdallocx"), false), 2);
	assert_int_equal(count_in(NAMES("tc_malloc", "tc_free", "tc_new"), false), 3);
	assert_int_equal(count_in(NAMES("sn_rust_alloc", "sn_rust_dealloc"), false), 2);
	assert_int_equal(count_in(NAMES("rpmalloc", "rpfree", "rprealloc"), false), 3);
	/* operators that do not call malloc, wherever malloc is provided */
	assert_int_equal(count_in(NAMES("malloc", "free", "_Znwm", "_ZdlPv", "__asan_init"), true),
			 4);
	assert_int_equal(count_in(NAMES("malloc", "free", "_Znwm", "_ZdlPv"), true), 4);
	assert_int_equal(count_in(NAMES("malloc", "free", "realloc", "_Znam", "_ZdaPvm"), false),
			 5);
}

/* A copy of an allocator under a prefix that nobody has told us of. */
static void test_prefixes(void **state)
{
	assert_int_equal(count_in(NAMES("duckdb_je_malloc", "duckdb_je_free", "duckdb_je_sdallocx",
					"duckdb_je_rallocx"),
				  true),
			 4);
	assert_int_equal(count_in(NAMES("x_mi_malloc", "x_mi_free", "x_mi_heap_malloc"), false), 3);
	/* two of them in one object */
	assert_int_equal(count_in(NAMES("a_malloc", "a_free", "a_mallocx", "b_malloc", "b_free",
					"b_mallocx"),
				  true),
			 6);
	/* a pair alone is anybody's, and so is a member without the pair */
	assert_int_equal(count_in(NAMES("g_malloc", "g_free", "g_realloc"), true), 0);
	assert_int_equal(count_in(NAMES("my_mallocx", "your_free"), true), 0);
	assert_int_equal(count_in(NAMES("x_mi_malloc", "y_mi_free", "x_mi_realloc"), true), 0);
}

/* clang's numbered allocation functions, beside the plain ones. */
static void test_tokens(void **state)
{
	_cleanup_found_ struct found f = search(make_desc(
		NAMES("malloc", "free", "__alloc_token_0_malloc", "__alloc_token_12__Znwm",
		      "__alloc_token_calloc", "__alloc_token_0_printf"),
		true));

	must_have(&f, "__alloc_token_0_malloc", DHAT_ROLE_MALLOC);
	must_have(&f, "__alloc_token_12__Znwm", DHAT_ROLE_MALLOC);
	must_have(&f, "__alloc_token_calloc", DHAT_ROLE_CALLOC);
	assert_int_equal(f.count, 5);
}

/* call malloc; ret, at the n-th place of make_desc(): with malloc in the first. */
static void set_call_of_first(struct object *object, size_t n)
{
	uint8_t code[] = { 0xe8, 0, 0, 0, 0, 0xc3 };
	int32_t distance = -64 * (int)n - 5;

	memcpy(code + 1, &distance, 4);
	set_code(object, n, code, sizeof(code));
}

/* As libstdc++'s are in a static program: counted in malloc. */
static void test_operators_over_malloc(void **state)
{
	struct object *object =
		make_desc(NAMES("malloc", "free", "_Znwm", "_Znam", "_ZdlPv"), true);
	_cleanup_found_ struct found f = { 0 };

	set_call_of_first(object, 2);
	/* _Znam: jmp _Znwm */
	set_code(object, 3, (const uint8_t[]){ 0xeb, (uint8_t)(-64 - 2) }, 2);
	f = search(object);
	assert_int_equal(f.count, 2);
	assert_null(site_of(&f, "_Znwm"));
}

/* One way out without malloc (a fast path) is enough to count all of them where they are. */
static void test_operators_beside_malloc(void **state)
{
	struct object *object =
		make_desc(NAMES("malloc", "free", "_Znwm", "_Znam", "_ZdlPv"), true);
	_cleanup_found_ struct found f = { 0 };

	set_call_of_first(object, 2);
	/* _Znam: je over the call of malloc; ret */
	set_code(object, 3, (const uint8_t[]){ 0x74, 5, 0xe8, 0x39, 0xff, 0xff, 0xff, 0xc3 }, 8);
	f = search(object);
	assert_int_equal(f.count, 5);
	must_have(&f, "_Znwm", DHAT_ROLE_MALLOC);
	must_have(&f, "_Znam", DHAT_ROLE_MALLOC);
}

/* ---- what is in no table ------------------------------------------------------------------- */

static void expect_unknown(const struct found *f, const char *name)
{
	const struct allocator_site *site = must_have(f, name, DHAT_ROLE_UNKNOWN);

	assert_true(site->is_unknown);
	assert_int_equal(site->returns, SITE_RETURNS_NOTHING);
	assert_non_null(strstr(site->place.note, "only counted"));
}

static void test_unknown_functions(void **state)
{
	struct object *object =
		make_desc(NAMES("mi_malloc", "mi_free", "mi_realloc", "mi_pheap_malloc",
				"mi_free_later", "mi_malloc_size", "mi_heap_new", "mi_version",
				"mi_forwards_alloc", "mi_over_alloc", "mi_heap_destroy"),
			  true);
	_cleanup_found_ struct found f = { 0 };

	/* jmp mi_malloc; call mi_malloc, ret: followed there */
	set_code(object, 8, (const uint8_t[]){ 0xe9, 0xfb, 0xfd, 0xff, 0xff }, 5);
	set_call_of_first(object, 9);
	f = search(object);
	expect_unknown(&f, "mi_pheap_malloc");
	expect_unknown(&f, "mi_free_later");
	/* known to be a thing that cannot be followed */
	assert_false(must_have(&f, "mi_heap_destroy", DHAT_ROLE_UNKNOWN)->is_unknown);
	assert_int_equal(f.count, 6);
}

static void test_names_of_newer_standards(void **state)
{
	static const char *const like[] = { "free_sized",
					    "malloc_typed",
					    "reallocarr",
					    "reallocf",
					    "aligned_alloc_at_least",
					    "calloc_array",
					    "_ZnwmSt3foo",
					    "_ZdaPvmRK3bar",
					    "smallocx_54eaed1d",
					    "posix_memalign_nothrow" };
	static const char *const unlike[] = { "malloc_trim",   "malloc_usable_size", "freeaddrinfo",
					      "free_list",     "malloc_info",	     "mallocation",
					      "freelocale",    "malloc_default",     "_ZN3newEv",
					      "reallocarrays", "malloc_stats_print", "xmalloc" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(like); i++)
		if (!plain_looks_like(like[i]))
			fail_msg("%s", like[i]);
	for (i = 0; i < ARRAY_SIZE(unlike); i++)
		if (plain_looks_like(unlike[i]))
			fail_msg("%s", unlike[i]);
}

static void test_free_that_calls_free(void **state)
{
	struct object *object = make_desc(NAMES("free", "malloc", "cfree", "free_sized"), true);
	_cleanup_found_ struct found f = { 0 };

	set_call_of_first(object, 2); /* call free; ret */
	f = search(object);
	assert_int_equal(must_have(&f, "cfree", DHAT_ROLE_FREE)->returns, SITE_RETURNS_PROBE);
	assert_int_equal(must_have(&f, "free", DHAT_ROLE_FREE)->returns, SITE_RETURNS_NOTHING);
	assert_int_equal(must_have(&f, "free_sized", DHAT_ROLE_FREE)->returns,
			 SITE_RETURNS_NOTHING);
}

/* ---- what the libraries export -------------------------------------------------------------- */

#define EXPORTS "tests/exports/"
#define MAX_EXPORTS 1200

struct listing {
	char *names[MAX_EXPORTS + 1];
	char roles[MAX_EXPORTS][64], head[256];
	size_t count;
};

static void read_listing(const char *path, struct listing *ret)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char line[512], name[256], role[64];

	assert_non_null(file);
	assert_non_null(fgets(ret->head, sizeof(ret->head), file));
	while (fgets(line, sizeof(line), file)) {
		assert_true(ret->count < MAX_EXPORTS);
		role[0] = '\0';
		assert_true(sscanf(line, "%255s %63[^\n]", name, role) >= 1);
		strcpy(ret->roles[ret->count], role);
		ret->names[ret->count++] = strdup(name);
	}
}

static const char *what_is(const struct found *f, const char *name)
{
	const struct allocator_site *site = site_of(f, name);

	return !site ? "-" : site->is_unknown ? "?" : role_name(site->function.role);
}

/* Each exported name of each version with what we take it for. DHAT_GOLDEN=write writes that down,
 * to be looked through by a person; "?" is a function that somebody has to look up. */
static size_t check_listing(const char *path, bool writes)
{
	struct listing *listing = calloc(1, sizeof(*listing));
	_cleanup_found_ struct found f = { 0 };
	_cleanup_fclose_ FILE *out = NULL;
	size_t probed = 0, unknown = 0;

	assert_non_null(listing);
	read_listing(path, listing);
	f = search(make_desc((const char *const *)listing->names, true));
	if (writes) {
		out = fopen(path, "we");
		assert_non_null(out);
		fputs(listing->head, out);
	}
	for (size_t i = 0; i < listing->count; i++) {
		const char *is = what_is(&f, listing->names[i]);

		probed += strcmp(is, "-") != 0;
		if (out)
			fprintf(out, "%s %s\n", listing->names[i], is);
		else if (strcmp(is, listing->roles[i]) != 0)
			fail_msg("%s: %s is '%s', not '%s'", path, listing->names[i], is,
				 listing->roles[i]);
		if (!strcmp(is, "?")) {
			print_error("%s: nobody has looked up %s\n", path, listing->names[i]);
			unknown++;
		}
	}
	assert_int_equal(unknown, 0);
	for (size_t i = 0; i < listing->count; i++)
		free(listing->names[i]);
	free(listing);
	return probed;
}

static void test_exports(void **state)
{
	bool writes = getenv("DHAT_GOLDEN") && !strcmp(getenv("DHAT_GOLDEN"), "write");
	size_t files = 0, probed = 0;
	glob_t list = { 0 };

	assert_int_equal(glob(EXPORTS "*.txt", 0, NULL, &list), 0);
	for (; files < list.gl_pathc; files++)
		probed += check_listing(list.gl_pathv[files], writes);
	globfree(&list);
	assert_true(files >= 15 && probed > 800);
}

static void test_unknown_allocator_is_named_by_its_file(void **state)
{
	_cleanup_found_ struct found f = search(make_desc(NAMES("malloc", "free"), true));

	assert_string_equal(f.sites[0].allocator, "malloc of program");
}

static void test_loader_has_none(void **state)
{
	struct object *object = make_desc(NAMES("malloc", "free", "realloc"), true);
	_cleanup_found_ struct found f = { 0 };

	strcpy(object->desc.soname, "ld-linux-x86-64.so.2");
	f = search(object);
	assert_int_equal(f.count, 0);
}

static void test_aliases_count_once(void **state)
{
	struct object *object = make_desc(NAMES("__libc_malloc", "malloc", "free"), true);
	_cleanup_found_ struct found f = { 0 };

	object->symbols[0].vaddr = object->symbols[1].vaddr;
	f = search(object);
	assert_int_equal(f.count, 2);
	assert_non_null(site_of(&f, "malloc"));
}

static void test_what_cannot_be_probed_is_told(void **state)
{
	struct object *object = make_desc(NAMES("malloc", "free", "calloc"), true);
	_cleanup_found_ struct found f = { 0 };

	object->symbols[0].is_ifunc = true;
	set_code(object, 1, (const uint8_t[]){ 0x06 }, 1);	 /* no instruction */
	set_code(object, 2, (const uint8_t[]){ 0x0f, 0x05 }, 2); /* syscall */
	f = search(object);
	assert_int_equal(f.count, 3);
	assert_true(f.sites[0].is_refused && f.sites[1].is_refused && f.sites[2].is_refused);
	assert_non_null(strstr(f.sites[0].place.note, "IFUNC"));
	assert_non_null(strstr(f.sites[1].place.note, "no code"));
	assert_non_null(strstr(f.sites[2].place.note, "no place"));
}

static void test_forwarders(void **state)
{
	struct object *object =
		make_desc(NAMES("malloc", "free", "cfree", "free_sized", "valloc"), true);
	_cleanup_found_ struct found f = { 0 };

	/* cfree: jmp free. free_sized: call free; ret. valloc: jmp free, which is no allocation. */
	set_code(object, 2, (const uint8_t[]){ 0xeb, (uint8_t)(-64 - 2) }, 2);
	set_code(object, 3, (const uint8_t[]){ 0xe8, (uint8_t)(-128 - 5), 0xff, 0xff, 0xff, 0xc3 },
		 6);
	set_code(object, 4, (const uint8_t[]){ 0xe9, (uint8_t)(-192 - 5), 0xff, 0xff, 0xff }, 5);
	f = search(object);
	assert_null(site_of(&f, "cfree"));
	assert_non_null(site_of(&f, "free_sized"));
	assert_non_null(site_of(&f, "valloc"));
	assert_int_equal(f.count, 4);
}

/* A header before each block: lea -16(%rdi),%rdi; jmp free. The block that goes on is another, so
 * that both are probed, and the inner free is told from the outer one by its return. */
static void test_a_block_with_a_header_is_not_forwarded(void **state)
{
	struct object *object = make_desc(NAMES("free", "malloc", "cfree", "free_sized"), true);
	_cleanup_found_ struct found f = { 0 };

	set_code(object, 2,
		 (const uint8_t[]){ 0x48, 0x8d, 0x7f, 0xf0, 0xe9, (uint8_t)(-128 - 9), 0xff, 0xff,
				    0xff },
		 9);
	/* free_sized: test %rdi,%rdi; je; mov %rdi,%rsi; jmp free; ret */
	set_code(object, 3,
		 (const uint8_t[]){ 0x48, 0x85, 0xff, 0x74, 8, 0x48, 0x89, 0xfe, 0xe9,
				    (uint8_t)(-192 - 13), 0xff, 0xff, 0xff, 0xc3 },
		 14);
	f = search(object);
	assert_int_equal(must_have(&f, "cfree", DHAT_ROLE_FREE)->returns, SITE_RETURNS_PROBE);
	assert_int_equal(must_have(&f, "free", DHAT_ROLE_FREE)->returns, SITE_RETURNS_NOTHING);
	assert_null(site_of(&f, "free_sized"));
	assert_int_equal(f.count, 3);
}

static void test_forwarding_through_the_plt(void **state)
{
	struct object *object = make_desc(NAMES("malloc", "free", "cfree"), true);
	_cleanup_found_ struct found f = { 0 };

	set_code(object, 2, (const uint8_t[]){ 0xe9, 0, 1, 0, 0 }, 5);
	object->stubs = malloc(sizeof(*object->stubs));
	assert_non_null(object->stubs);
	object->stubs[0] = (struct object_stub){ object->symbols[2].vaddr + 5 + 0x100,
						 object->symbols[1].vaddr };
	object->stub_count = 1;
	f = search(object);
	assert_int_equal(f.count, 2);
	assert_null(site_of(&f, "cfree"));
}

/* A throwing function whose ways out are not known is neither probed at its return nor left out:
 * its calls are counted. */
static void test_unknown_exits(void **state)
{
	struct object *object = make_desc(NAMES("malloc", "free", "_Znwm", "__asan_init"), true);
	_cleanup_found_ struct found f = { 0 };

	const struct allocator_site *site;

	set_code(object, 2, (const uint8_t[]){ 0x55, 0xff, 0xe0 }, 3); /* push; jmp *%rax */
	f = search(object);
	site = site_of(&f, "_Znwm");
	assert_non_null(site);
	assert_int_equal(site->function.role, DHAT_ROLE_UNKNOWN);
	assert_int_equal(site->returns, SITE_RETURNS_NOTHING);
	assert_non_null(strstr(site->place.note, "ways out"));
}

static void test_roles(void **state)
{
	uint8_t role;

	for (role = 1; role < DHAT_ROLE_COUNT; role++) {
		assert_true(role_args(role) <= 3);
		assert_string_not_equal(role_name(role), "unknown");
	}
	assert_false(role_returns(DHAT_ROLE_FREE));
	assert_true(role_returns(DHAT_ROLE_RESIZE));
	assert_int_equal(role_args(DHAT_ROLE_COUNT), 0);
	assert_string_equal(role_name(200), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glibc),
		cmocka_unit_test(test_exits),
		cmocka_unit_test(test_shared_exits),
		cmocka_unit_test(test_exits_are_preferred),
		cmocka_unit_test(test_jemalloc),
		cmocka_unit_test(test_tcmalloc),
		cmocka_unit_test(test_mimalloc),
		cmocka_unit_test(test_musl),
		cmocka_unit_test(test_static_programs),
		cmocka_unit_test(test_libraries_without_an_allocator),
		cmocka_unit_test(test_false_positives),
		cmocka_unit_test(test_true_positives),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_operators_over_malloc),
		cmocka_unit_test(test_operators_beside_malloc),
		cmocka_unit_test(test_unknown_functions),
		cmocka_unit_test(test_names_of_newer_standards),
		cmocka_unit_test(test_free_that_calls_free),
		cmocka_unit_test(test_exports),
		cmocka_unit_test(test_unknown_allocator_is_named_by_its_file),
		cmocka_unit_test(test_loader_has_none),
		cmocka_unit_test(test_aliases_count_once),
		cmocka_unit_test(test_what_cannot_be_probed_is_told),
		cmocka_unit_test(test_forwarders),
		cmocka_unit_test(test_a_block_with_a_header_is_not_forwarded),
		cmocka_unit_test(test_forwarding_through_the_plt),
		cmocka_unit_test(test_unknown_exits),
		cmocka_unit_test(test_roles),
	};

	return cmocka_run_group_tests_name("allocators", tests, NULL, NULL);
}
