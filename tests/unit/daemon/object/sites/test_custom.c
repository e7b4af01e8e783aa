/* custom: what a person may write, and what is said of what they may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/object/sites/custom_sites.h"

#include "proto/base/qualifiers.h"

static struct customs *read_one(const char *text)
{
	char *texts[] = { without_qualifiers(text), NULL };
	struct customs *customs = NULL;
	struct dhat_error err = { 0 };

	assert_int_equal(customs_new(texts, &customs, &err), 0);
	assert_int_equal(customs->count, 1);
	return customs;
}

static void check(const char *text, const char *binary, const char *symbol, uint8_t role,
		  uint8_t first, uint8_t second, uint8_t third)
{
	struct customs *customs = read_one(text);
	const struct custom *custom = &customs->list[0];

	assert_string_equal(custom->binary, binary);
	assert_string_equal(custom->symbol, symbol);
	assert_ptr_equal(custom->function.name, custom->symbol);
	assert_int_equal(custom->function.role, role);
	assert_int_equal(custom->function.arg[0], first);
	assert_int_equal(custom->function.arg[1], second);
	assert_int_equal(custom->function.arg[2], third);
	customs_free(customs);
}

static void test_every_role(void **state)
{
	check("alloc:app:take(size=arg1)", "app", "take", DHAT_ROLE_MALLOC, 0, 0, 0);
	check("alloc:app:take(size=arg6)", "app", "take", DHAT_ROLE_MALLOC, 5, 0, 0);
	check("alloc:app:take(count=arg2,size=arg3)", "app", "take", DHAT_ROLE_CALLOC, 1, 2, 0);
	check("alloc:app:take(size=arg3,count=arg2)", "app", "take", DHAT_ROLE_CALLOC, 1, 2, 0);
	check("free:app:give(ptr=arg2)", "app", "give", DHAT_ROLE_FREE, 1, 0, 0);
	check("realloc:app:change(ptr=arg1,size=arg2)", "app", "change", DHAT_ROLE_REALLOC, 0, 1,
	      0);
	check("realloc:app:change(ptr=arg2,count=arg3,size=arg4)", "app", "change",
	      DHAT_ROLE_REALLOCARRAY, 1, 2, 3);
}

static void test_places(void **state)
{
	check("free:app+0x1234(ptr=arg1)", "app", "+0x1234", DHAT_ROLE_FREE, 0, 0, 0);
	check("free:/opt/x y/app+0xdeadBEEF(ptr=arg1)", "/opt/x y/app", "+0xdeadBEEF",
	      DHAT_ROLE_FREE, 0, 0, 0);
	check("free:libc++.so.1:give(ptr=arg1)", "libc++.so.1", "give", DHAT_ROLE_FREE, 0, 0, 0);
	check("free:a:b:give(ptr=arg1)", "a:b", "give", DHAT_ROLE_FREE, 0, 0, 0);
	check("alloc:app:_ZN4pool4takeEm(size=arg2)", "app", "_ZN4pool4takeEm", DHAT_ROLE_MALLOC, 1,
	      0, 0);
}

static void test_what_cannot_be_read(void **state)
{
	static const char *const texts[] = {
		"",
		"alloc",
		"alloc:",
		"alloc:app",
		"alloc:app:",
		"alloc:app:take",
		"alloc:app:take(",
		"alloc:app:take()",
		"alloc:app:take(size=arg1",
		"alloc:app:take(size=arg1) ",
		"alloc:app:take(size=arg0)",
		"alloc:app:take(size=arg7)",
		"alloc:app:take(size=arg10)",
		"alloc:app:take(size=1)",
		"alloc:app:take(size=arg1,size=arg2)",
		"alloc:app:take(size=arg1,)",
		"alloc:app:take(ptr=arg1)",
		"alloc:app:take(ptr=arg1,size=arg2)",
		"alloc:app:take(count=arg1)",
		"alloc::take(size=arg1)",
		"alloc:app+1234(size=arg1)",
		"alloc:app+0x(size=arg1)",
		"alloc:app+0x12g4(size=arg1)",
		"alloc:app+0x0x12(size=arg1)",
		"alloc:+0x1234(size=arg1)",
		"free:app:give(size=arg1)",
		"free:app:give(ptr=arg1,size=arg2)",
		"realloc:app:change(size=arg1)",
		"realloc:app:change(ptr=arg1)",
		"delete:app:give(ptr=arg1)",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char *list[] = { without_qualifiers(texts[i]), NULL };
		struct customs *customs = NULL;
		struct dhat_error err = { 0 };

		assert_int_equal(customs_new(list, &customs, &err), -EINVAL);
		assert_null(customs);
		assert_int_equal(err.code, DHAT_EXIT_USAGE);
		assert_non_null(strstr(err.message, texts[i]));
	}
}

static void test_none_is_fine(void **state)
{
	char *empty[] = { NULL };
	struct customs *customs = NULL;

	assert_int_equal(customs_new(NULL, &customs, NULL), 0);
	assert_int_equal(customs->count, 0);
	customs_free(customs);
	assert_int_equal(customs_new(empty, &customs, NULL), 0);
	customs_free(customs);
	customs_free(NULL);
}

static void test_which_binary(void **state)
{
	struct customs *by_name = read_one("free:app:give(ptr=arg1)");
	struct customs *by_path = read_one("free:/opt/app:give(ptr=arg1)");

	assert_true(custom_is_in(&by_name->list[0], "/opt/app"));
	assert_true(custom_is_in(&by_name->list[0], "app"));
	assert_false(custom_is_in(&by_name->list[0], "/opt/apps"));
	assert_false(custom_is_in(&by_name->list[0], "/app/other"));
	assert_true(custom_is_in(&by_path->list[0], "/opt/app"));
	assert_false(custom_is_in(&by_path->list[0], "/usr/opt/app"));
	customs_free(by_name);
	customs_free(by_path);
}

/* push %rbx; mov %rdi,%rbx; pop %rbx; ret */
static uint8_t code[] = { 0x53, 0x48, 0x89, 0xfb, 0x5b, 0xc3 };

static void test_sites(void **state)
{
	struct object_symbol symbols[] = { {
		.name = "take",
		.vaddr = 0x1000,
		.size_bytes = sizeof(code),
		.file_offset = 0x500,
		.code = code,
		.code_size = sizeof(code),
	} };
	struct object object = { .symbols = symbols, .symbol_count = 1 };
	const struct allocator_options options = { .may_fork = true };
	struct customs *right = read_one("alloc:app:take(size=arg2)");
	struct customs *mistyped = read_one("alloc:app:tkae(size=arg2)");
	struct allocator_site *sites = NULL;
	struct dhat_error err = { 0 };
	size_t count = 7;

	assert_int_equal(customs_find(right, &object, "/opt/other", &options, &sites, &count, &err),
			 0);
	assert_int_equal(count, 0);
	allocators_sites_free(sites, count);

	assert_int_equal(customs_find(right, &object, "/opt/app", &options, &sites, &count, &err),
			 0);
	assert_int_equal(count, 1);
	assert_int_equal(sites[0].place_file_offset, 0x500);
	assert_true(sites[0].place.is_emulated);
	assert_int_equal(sites[0].arg_reg[0], 6); /* rsi */
	assert_int_equal(sites[0].returns, SITE_RETURNS_EXITS);
	assert_string_equal(sites[0].allocator, "custom");
	allocators_sites_free(sites, count);

	assert_int_equal(
		customs_find(mistyped, &object, "/opt/app", &options, &sites, &count, &err),
		-ENOENT);
	assert_non_null(strstr(err.message, "tkae"));
	customs_free(right);
	customs_free(mistyped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_role),	    cmocka_unit_test(test_places),
		cmocka_unit_test(test_what_cannot_be_read), cmocka_unit_test(test_none_is_fine),
		cmocka_unit_test(test_which_binary),	    cmocka_unit_test(test_sites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
