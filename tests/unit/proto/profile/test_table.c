/* Tables: what reads the same is one row, by which frame, and what a filter leaves out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/profile/filter.h"
#include "proto/profile/own_code.h"
#include "proto/profile/rendering.h"
#include "tests/unit/sample.h"

/* ---- own code ------------------------------------------------------------------------------ */

static void test_own_code(void **state)
{
	static const struct {
		const char *function, *object;
		bool is_own;
	} cases[] = {
		{ "login", "/usr/bin/app", true },
		{ "main", "/usr/bin/app", true },
		{ "", "/usr/bin/stripped", true },
		{ "", "/usr/lib/libcrypto.so.3", true },
		{ "SSL_new", "/usr/lib/libssl.so.3", true },
		{ "libc_like", "/usr/lib/libcurl.so.4", true },
		/* the C library, the allocator, the compiler's */
		{ "start_thread", "/usr/lib/x86_64-linux-gnu/libc.so.6", false },
		{ "", "/usr/lib/x86_64-linux-gnu/libc.so.6", false },
		{ "getline", "/lib/libc-2.31.so", false },
		{ "x", "/lib/ld-musl-x86_64.so.1", false },
		{ "_dl_init", "/lib64/ld-linux-x86-64.so.2", false },
		{ "", "/usr/lib/libstdc++.so.6.0.30", false },
		{ "__cxa_allocate_exception", "/usr/lib/libstdc++.so.6.0.30", false },
		{ "je_malloc", "/usr/lib/libjemalloc.so.2", false },
		{ "f", "[vdso]", false },
		/* the library's, compiled into the program */
		{ "operator new(unsigned long)", "/usr/bin/app", false },
		{ "std::vector<int>::push_back(int const&)", "/usr/bin/app", false },
		{ "void std::vector<app::T>::_M_realloc_insert<app::T>(app::T&&)", "/usr/bin/app",
		  false },
		{ "app::T* std::__uninitialized_copy<app::T>(app::T*, app::T*)", "/usr/bin/app",
		  false },
		{ "std::vector<int> app::make<int>(int)", "/usr/bin/app", true },
		{ "alloc::vec::Vec<T,A>::push", "/usr/bin/app", false },
		{ "<alloc::vec::Vec<T> as core::clone::Clone>::clone", "/usr/bin/app", false },
		{ "<app::Session as core::clone::Clone>::clone", "/usr/bin/app", true },
		{ "tokio::runtime::task::core::poll", "/usr/bin/app", false },
		{ "stdlib_of_mine::f", "/usr/bin/app", true },
		/* an allocator of the program's own, as the language asks for one */
		{ "<app::Counting as core::alloc::global::GlobalAlloc>::alloc", "/usr/bin/app",
		  false },
		{ "app::allocator::_::__rust_alloc", "/usr/bin/app", false },
		{ "<app::Arena as core::alloc::Allocator>::allocate", "/usr/bin/app", false },
		{ "<app::Heap<fn() -> u8> as core::alloc::Allocator>::grow", "/usr/bin/app",
		  false },
		{ "<app::Task<<app::A as core::alloc::Allocator>::P> as app::F>::poll",
		  "/usr/bin/app", true },
		{ "app::Task<<app::A as core::alloc::Allocator>::P>::poll", "/usr/bin/app", true },
		/* the C library in a static program */
		{ "__strdup", "/usr/bin/static", false },
		{ "my_strdup_all", "/usr/bin/static", true },
		{ "_start", "/usr/bin/app", false },
		/* malloc by another name */
		{ "xmalloc", "/usr/bin/app", false },
		{ "g_malloc", "/usr/lib/libglib-2.0.so.0", false },
		{ "g_list_append", "/usr/lib/libglib-2.0.so.0", true },
		{ "zmalloc", "/usr/bin/redis-server", false },
		{ "ztrymalloc_usable_internal", "/usr/bin/redis-server", false },
		{ "createObject", "/usr/bin/redis-server", true },
		{ "ngx_alloc", "/usr/sbin/nginx", false },
		{ "ngx_palloc_large", "/usr/sbin/nginx", false },
		{ "ngx_create_pool", "/usr/sbin/nginx", true },
		{ "palloc0", "/usr/lib/postgresql/15/bin/postgres", false },
		{ "repalloc", "/usr/lib/postgresql/15/bin/postgres", false },
		{ "AllocSetAlloc", "/usr/lib/postgresql/15/bin/postgres", false },
		{ "MemoryContextAllocZeroAligned", "/usr/lib/postgresql/15/bin/postgres", false },
		{ "ExecInitNode", "/usr/lib/postgresql/15/bin/postgres", true },
		{ "apr_palloc", "/usr/lib/libapr-1.so.0", false },
		{ "av_mallocz", "/usr/lib/libavutil.so.57", false },
		{ "av_malloc_array", "/usr/lib/libavutil.so.57", false },
		{ "av_frame_alloc", "/usr/lib/libavutil.so.57", true },
		{ "sqlite3MemMalloc", "/usr/lib/libsqlite3.so.0", false },
		{ "sqlite3DbMallocRawNN", "/usr/lib/libsqlite3.so.0", false },
		{ "sqlite3_malloc64", "/usr/lib/libsqlite3.so.0", false },
		{ "CRYPTO_zalloc", "/usr/lib/libcrypto.so.3", false },
		{ "xmlMallocLoc", "/usr/lib/libxml2.so.2", false },
		{ "PyMem_RawMalloc", "/usr/bin/python3", false },
		{ "luaM_malloc_", "/usr/bin/lua", false },
		{ "app::xmalloc(unsigned long)", "/usr/bin/app", false },
		{ "app::Pool<int>::palloc(unsigned long)", "/usr/bin/app", true },
		{ "mallocator_begin", "/usr/bin/app", true },
		{ "use_malloc_twice", "/usr/bin/app", true },
		/* code made at run time */
		{ "", "", false },
		{ "LazyCompile:~f", "", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		Dhat__Location location = DHAT__LOCATION__INIT;
		Dhat__Frame frame = DHAT__FRAME__INIT;

		frame.object = strdup(cases[i].object);
		location.function = strdup(cases[i].function);
		if (dhat_is_own_code(&frame, &location) != cases[i].is_own ||
		    (!*cases[i].function && dhat_is_own_code(&frame, NULL) != cases[i].is_own))
			fail_msg("%s in %s", cases[i].function, cases[i].object);
		free(frame.object);
		free(location.function);
	}
}

/* ---- tables -------------------------------------------------------------------------------- */

static const struct dhat_rendered_point *row(const struct dhat_rendering *table, const char *text)
{
	for (size_t i = 0; i < table->point_count; i++) {
		const struct dhat_rendered_point *point = table->points[i];

		if (strstr(table->lines[point->lines[point->line_count - 1]], text))
			return point;
	}
	fail_msg("no row says %s", text);
	return NULL;
}

/* The sums of all rows are those of the snapshot, however they are put together. */
static void expect_sums(const struct dhat_rendering *table)
{
	uint64_t total = 0, live = 0, blocks = 0, parts = 0;

	for (size_t i = 0; i < table->point_count; i++) {
		total += table->points[i]->total_bytes;
		live += table->points[i]->live_bytes;
		blocks += table->points[i]->live_blocks;
		parts += table->points[i]->part_count;
	}
	assert_int_equal(total, 6013088);
	assert_int_equal(live, 1013158);
	assert_int_equal(blocks, 1010);
	assert_int_equal(parts, SAMPLE_POINTS);
}

static void test_by(void **state)
{
	static const struct {
		enum dhat_by by;
		size_t rows;
		const char *text;
		uint64_t live_bytes, part_count;
	} cases[] = {
		{ DHAT_BY_STACK, 6, "main", 1000000, 1 },
		/* points 0, 2, 3, 4 and, apart because it is no heap, 6; 1 has no name; 5 no stack
		 */
		{ DHAT_BY_LINE, 4, "\tCache::insert(int)\tsrc/cache.cc:12", 1004196, 4 },
		{ DHAT_BY_FUNCTION, 4, "\tCache::insert(int)\tsrc/cache.cc", 1004196, 4 },
		{ DHAT_BY_FILE, 4, "\tsrc/cache.cc\t", 1004196, 4 },
		{ DHAT_BY_OBJECT, 3, "\t/usr/bin/service\t", 1004196, 5 },
	};
	struct dhat_snapshot *snapshot = sample_snapshot();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct dhat_table_options options = { .style.by = cases[i].by };
		struct dhat_rendering *table = NULL;
		const struct dhat_rendered_point *found;

		assert_int_equal(dhat_table_new(snapshot, &options, &table), 0);
		assert_int_equal(table->point_count, cases[i].rows);
		expect_sums(table);
		found = row(table, cases[i].text);
		assert_int_equal(found->live_bytes, cases[i].live_bytes);
		assert_int_equal(found->part_count, cases[i].part_count);
		dhat_rendering_free(table);
	}
	dhat_snapshot_free(snapshot);
}

static void rename_function(struct dhat_snapshot *snapshot, size_t frame, size_t location,
			    const char *to)
{
	char **function = &snapshot->frames[frame]->locations[location]->function;

	free(*function);
	*function = strdup(to);
}

/* Two callers of one wrapper are two rows, and the wrapper is none. */
static void test_a_wrapper_is_no_line(void **state)
{
	const struct dhat_table_options options = { .style.by = DHAT_BY_FUNCTION };
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_rendering *table = NULL;

	rename_function(snapshot, 0, 0, "zmalloc_usable");
	rename_function(snapshot, 4, 0, "zmalloc_usable");
	rename_function(snapshot, 4, 1, "login");
	assert_int_equal(dhat_table_new(snapshot, &options, &table), 0);
	expect_sums(table);
	assert_int_equal(row(table, "\tCache::insert(int)\t")->live_bytes, 1004196);
	assert_int_equal(row(table, "\tlogin\t")->total_bytes, 500);
	for (size_t i = 0; i < table->point_count; i++)
		for (size_t k = 0; k < table->points[i]->line_count; k++)
			assert_null(strstr(table->lines[table->points[i]->lines[k]], "zmalloc"));
	dhat_rendering_free(table);
	dhat_snapshot_free(snapshot);
}

static bool is_own(char *function)
{
	char object[] = "/srv/server", file[] = "";
	Dhat__Frame frame = DHAT__FRAME__INIT;
	Dhat__Location location = DHAT__LOCATION__INIT;

	frame.object = object;
	location.function = function;
	location.file = file;
	return dhat_is_own_code(&frame, &location);
}

static void test_names_of_wrappers(void **state)
{
	static char *const wrappers[] = {
		"zmalloc_usable",
		"sqlite3DbMallocRawNN",
		"apr_pstrdup",
		"zmalloc.part.0",
		"xcalloc.constprop.0.isra.0",
		"pool::palloc(unsigned long)",
		"(anonymous namespace)::my_malloc(unsigned long)",
		"acme::(anonymous namespace)::Pool::zalloc((anonymous namespace)::Size)",
	};
	static char *const own[] = {
		"login",
		"mallocator",
		"free_malloced",
		"login.part.0",
		"(anonymous namespace)::login(int)",
		"login((anonymous namespace)::malloc)",
		"acme::Cache<int>::malloc(int)",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrappers); i++)
		if (is_own(wrappers[i]))
			fail_msg("%s", wrappers[i]);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (!is_own(own[i]))
			fail_msg("%s", own[i]);
}

static void test_depth(void **state)
{
	static const struct {
		size_t depth, rows;
	} cases[] = { { 0, 6 }, { 1, 5 }, { 2, 5 }, { 3, 6 } };
	struct dhat_snapshot *snapshot = sample_snapshot();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct dhat_table_options options = { .depth = cases[i].depth };
		struct dhat_rendering *table = NULL;

		assert_int_equal(dhat_table_new(snapshot, &options, &table), 0);
		expect_sums(table);
		assert_int_equal(table->point_count, cases[i].rows);
		if (cases[i].depth == 1) {
			const struct dhat_rendered_point *found = row(table, "push_back");

			/* points 0 and 4, of three lines each and a note more */
			assert_int_equal(found->part_count, 2);
			assert_int_equal(found->live_bytes, 1004096);
			assert_int_equal(found->hidden_count, 2);
		}
		dhat_rendering_free(table);
	}
	dhat_snapshot_free(snapshot);
}

/* ---- filters ------------------------------------------------------------------------------- */

static void expect_shown(struct dhat_filter *filter, const char *expected)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	bool is_shown[SAMPLE_POINTS];
	char shown[SAMPLE_POINTS + 1] = "";

	assert_int_equal(dhat_filter_apply(filter, snapshot, is_shown), 0);
	for (size_t i = 0; i < SAMPLE_POINTS; i++)
		shown[i] = is_shown[i] ? '0' + i : '-';
	assert_string_equal(shown, expected);
	dhat_snapshot_free(snapshot);
}

static void test_filter(void **state)
{
	struct dhat_filter nothing = { 0 }, only = { 0 }, both = { 0 };

	expect_shown(&nothing, "0123456");
	/* by function, by file, by object */
	dhat_filter_add(&only, DHAT_FILTER_ONLY, "^Cache::*int)$");
	expect_shown(&only, "0-234-6");
	assert_int_equal(only.others.live_bytes, 0);
	assert_int_equal(only.others.total_bytes, 5000000);
	assert_int_equal(only.others.stack_count, 1);
	dhat_filter_add(&both, DHAT_FILTER_ONLY, "cache.cc");
	dhat_filter_add(&both, DHAT_FILTER_EXCLUDE, "^main$");
	dhat_filter_add(&both, DHAT_FILTER_SUPPRESSION, "service");
	expect_shown(&both, "-------");
	/* what two leave out counts at the first: main is in 0, 2, 3 and 6; 4 is left */
	assert_int_equal(both.rules[1].live_bytes, 1000000 + 100 + 8192);
	assert_int_equal(both.rules[1].stack_count, 4);
	assert_int_equal(both.rules[2].live_bytes, 4096);
	assert_int_equal(both.rules[2].live_blocks, 1);
	assert_int_equal(both.others.stack_count, 1);
	dhat_filter_deinit(&only);
	dhat_filter_deinit(&both);
}

/* For a file of others: the points are gone, the totals are not, and a note tells the rest. */
static void test_reduce(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_filter filter = { 0 }, none = { 0 };

	assert_int_equal(dhat_filter_reduce(&none, snapshot), 0);
	assert_int_equal(snapshot->point_count, SAMPLE_POINTS);
	assert_int_equal(snapshot->end->n_notes, 0);
	dhat_filter_add(&filter, DHAT_FILTER_EXCLUDE, "cache.cc");
	assert_int_equal(dhat_filter_reduce(&filter, snapshot), 0);
	/* left: 1, which has no such frame, and what was there before, which has none at all */
	assert_int_equal(snapshot->point_count, 2);
	assert_int_equal(snapshot->points[0]->total_bytes, 5000000);
	assert_true(dhat_point_is_before(snapshot->points[1]));
	assert_int_equal(snapshot->end->totals->live_bytes, 1013158);
	assert_int_equal(snapshot->end->n_notes, 1);
	assert_string_equal(snapshot->end->notes[0],
			    "left out, as asked for: 5 stacks, with 1012388 bytes live in 1004 "
			    "blocks; totals are of the whole process");
	dhat_filter_deinit(&filter);
	dhat_snapshot_free(snapshot);
}

static int read_suppressions(const char *text, struct dhat_filter *filter, struct dhat_error *err)
{
	char path[] = "/tmp/dhat-suppressions-XXXXXX";
	int fd = mkstemp(path), r;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	r = dhat_filter_add_suppressions(filter, path, err);
	unlink(path);
	return r;
}

static void test_suppressions(void **state)
{
	struct dhat_filter filter = { 0 };
	struct dhat_error err = { 0 };

	assert_int_equal(read_suppressions("# known\n\nleak:libfoo*.so\r\n  leak:A::b(int)  \n"
					   "leak:last",
					   &filter, &err),
			 0);
	assert_int_equal(filter.count, 3);
	assert_string_equal(filter.rules[0].pattern, "libfoo*.so");
	assert_string_equal(filter.rules[1].pattern, "A::b(int)");
	assert_string_equal(filter.rules[2].pattern, "last");
	assert_int_equal(filter.rules[2].kind, DHAT_FILTER_SUPPRESSION);
	assert_int_equal(read_suppressions("leak:x\nrace:y\n", &filter, &err), -EINVAL);
	assert_int_equal(err.code, DHAT_EXIT_BAD_FILE);
	assert_non_null(strstr(err.message, ":2: not a suppression"));
	err.code = 0;
	assert_true(dhat_filter_add_suppressions(&filter, "/nowhere/x", &err) < 0);
	assert_int_equal(err.code, DHAT_EXIT_BAD_FILE);
	dhat_filter_deinit(&filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_code),
		cmocka_unit_test(test_by),
		cmocka_unit_test(test_a_wrapper_is_no_line),
		cmocka_unit_test(test_names_of_wrappers),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_reduce),
		cmocka_unit_test(test_suppressions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
