/* What is probed of sites, in which order, with which cookies, and what people see of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/source/price.h"
#include "daemon/source/probed.h"
#include "daemon/source/uprobes.h"
#include "proto/base/cleanup.h"

static struct site_exit malloc_exits[] = {
	{ 0x140, 0, 0xc3, { .operation = DHAT_OPERATION_RET, .length = 1 } },
	{ 0x190, 0, 0xc3, { .operation = DHAT_OPERATION_RET, .length = 1 } },
};
static struct site_exit calloc_exits[] = {
	{ 0x190, 7, 0xe9, { 0 } },
	{ 0x240, 0, 0xc3, { .operation = DHAT_OPERATION_RET, .length = 1 } },
};

static struct site list[] = {
	{ .function = "malloc",
	  .allocator = "glibc 2.36",
	  .role = DHAT_ROLE_MALLOC,
	  .has_header = true,
	  .returns = SITE_RETURNS_EXITS,
	  .function_vaddr = 0x400100,
	  .vaddr = 0x400104,
	  .file_offset = 0x104,
	  .sp_words = 2,
	  .arg_reg = { 7 },
	  .is_emulated = true,
	  .instruction = "push %r12",
	  .exits = malloc_exits,
	  .exit_count = 2 },
	{ .function = "calloc",
	  .allocator = "glibc 2.36",
	  .role = DHAT_ROLE_CALLOC,
	  .returns = SITE_RETURNS_EXITS,
	  .file_offset = 0x200,
	  .exits = calloc_exits,
	  .exit_count = 2 },
	{ .function = "valloc", .role = DHAT_ROLE_MALLOC, .is_refused = true, .note = "an IFUNC" },
	{ .function = "realloc",
	  .role = DHAT_ROLE_REALLOC,
	  .returns = SITE_RETURNS_PROBE,
	  .file_offset = 0x300 },
	{ .function = "free",
	  .role = DHAT_ROLE_FREE,
	  .file_offset = 0x400,
	  .by_us = { .operation = DHAT_OPERATION_TEST, .length = 3 } },
	{ .function = "cfree",
	  .role = DHAT_ROLE_FREE,
	  .returns = SITE_RETURNS_PROBE,
	  .file_offset = 0x500 },
};
static const struct sites sites = { list, ARRAY_SIZE(list) };

static struct dhat_cookie cookie_at(const struct uprobe_site *places, size_t count, uint64_t offset)
{
	union dhat_cookie_word word = { 0 };
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		if (places[i].file_offset == offset) {
			word.word = places[i].cookie;
			found++;
		}
	assert_int_equal(found, 1);
	return word.parts;
}

static void test_places(void **state)
{
	_cleanup_free_ struct uprobe_site *places = NULL;
	struct dhat_cookie cookie;
	size_t count = 0;

	assert_int_equal(uprobes_place(&sites, 3, 100, &places, &count), 0);
	/* five entries, of four exits the common one once, and nothing of what is refused */
	assert_int_equal(count, 8);
	/* what was allocated by then must not look as if it leaked */
	for (size_t i = 0; i < count; i++)
		assert_int_equal(places[i].file_offset >= 0x400, i < 2);
	cookie = cookie_at(places, count, 0x104);
	assert_int_equal(cookie.role, DHAT_ROLE_MALLOC);
	assert_int_equal(cookie.phase, DHAT_PHASE_ENTRY);
	assert_int_equal(cookie.domain, 3);
	assert_int_equal(cookie.site, 100);
	assert_int_equal(cookie.sp_words, 2);
	assert_int_equal(cookie.arg_reg[0], 7);
	assert_true(cookie.has_header && cookie.is_by_exit && !cookie.is_nesting);
	cookie = cookie_at(places, count, 0x240);
	assert_int_equal(cookie.phase, DHAT_PHASE_EXIT);
	assert_int_equal(cookie.site, 101);
	/* numbers are those of the list that people see, where what is refused has one */
	cookie = cookie_at(places, count, 0x300);
	assert_int_equal(cookie.site, 103);
	assert_false(cookie.is_by_exit);
	assert_false(cookie_at(places, count, 0x400).is_nesting);
	assert_true(cookie_at(places, count, 0x500).is_nesting);
	/* what we execute there comes along */
	for (size_t i = 0; i < count; i++)
		assert_int_equal(places[i].instruction.operation,
				 places[i].file_offset == 0x400 ? DHAT_OPERATION_TEST
				 : places[i].file_offset == 0x140 ||
						 places[i].file_offset == 0x190 ||
						 places[i].file_offset == 0x240
					 ? DHAT_OPERATION_RET
					 : DHAT_OPERATION_NONE);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(places[i].wants_return,
				 places[i].file_offset == 0x300 || places[i].file_offset == 0x500);
}

/* Of what is handed out at a result site a header is known, too: its free need not read it. */
static void test_result_sites(void **state)
{
	static struct site_result results[] = { { .kind = SITE_RESULT_HERE,
						  .file_offset = 0x110 } };
	static struct site site = { .function = "malloc",
				    .role = DHAT_ROLE_MALLOC,
				    .returns = SITE_RETURNS_RESULTS,
				    .has_header = true,
				    .results = results,
				    .result_count = ARRAY_SIZE(results) };
	const struct sites one = { &site, 1 };
	_cleanup_free_ struct uprobe_site *places = NULL;
	size_t count = 0;

	assert_int_equal(uprobes_place(&one, 0, 7, &places, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(cookie_at(places, count, 0x110).phase, DHAT_PHASE_RESULT);
	assert_true(cookie_at(places, count, 0x110).has_header);
	site.has_header = false;
	free(take_ptr(places));
	assert_int_equal(uprobes_place(&one, 0, 7, &places, &count), 0);
	assert_false(cookie_at(places, count, 0x110).has_header);
}

/* An entry that is deeper in a function awaits a return; one way out of a jump does not. */
static void test_ways(void **state)
{
	static struct site_result results[] = {
		{ .kind = SITE_RESULT_HERE,
		  .file_offset = 0x110,
		  .address_reg = 2,
		  .size_reg = 7,
		  .condition = 6 },
		{ .kind = SITE_RESULT_ENTRY, .file_offset = 0x120, .size_reg = 6 },
	};
	static struct site site = { .function = "malloc",
				    .role = DHAT_ROLE_MALLOC,
				    .returns = SITE_RETURNS_RESULTS,
				    .results = results,
				    .result_count = ARRAY_SIZE(results) };
	const struct sites one = { &site, 1 };
	_cleanup_free_ struct uprobe_site *places = NULL;
	struct dhat_cookie cookie;
	size_t count = 0;

	assert_int_equal(uprobes_place(&one, 0, 7, &places, &count), 0);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(places[i].wants_return, places[i].file_offset == 0x120);
	cookie = cookie_at(places, count, 0x110);
	assert_true(cookie.phase == DHAT_PHASE_RESULT && cookie.role == 6);
	assert_true(cookie.arg_reg[0] == 2 && cookie.arg_reg[1] == 7);
	cookie = cookie_at(places, count, 0x120);
	assert_true(cookie.phase == DHAT_PHASE_ENTRY && cookie.role == DHAT_ROLE_MALLOC);
	assert_true(!cookie.is_by_result && !cookie.is_by_exit);
	assert_int_equal(cookie.arg_reg[0], 6);
}

static void test_what_people_see(void **state)
{
	static struct site other = { .function = "give", .allocator = "custom" };
	const struct sites custom = { &other, 1 };
	_cleanup_(probed_deinit) struct probed probed = { 0 }, copy = { 0 };
	_cleanup_free_ char *names = NULL;

	assert_int_equal(probed_add(&probed, &sites, "/lib/libc.so.6", UPROBE_SESSION), 0);
	assert_int_equal(probed_add(&probed, &custom, "/opt/app", UPROBE_PERF), 0);
	assert_int_equal(probed_add(&probed, &custom, "/opt/plugin.so", UPROBE_KINDS), 0);
	assert_int_equal(probed_copy(&probed, &copy), 0);
	assert_int_equal(copy.probe_count, 8);
	assert_string_equal(copy.probes[0].function, "malloc");
	assert_string_equal(copy.probes[0].object_path, "/lib/libc.so.6");
	assert_string_equal(copy.probes[0].instruction, "push %r12");
	assert_string_equal(copy.probes[0].returns_by, "exit probes");
	assert_string_equal(copy.probes[0].link, "session");
	assert_true(copy.probes[0].site_vaddr == 0x400104 && copy.probes[0].file_offset == 0x104);
	assert_string_equal(copy.probes[2].returns_by, "not probed");
	assert_string_equal(copy.probes[2].note, "an IFUNC");
	assert_string_equal(copy.probes[3].returns_by, "session");
	assert_string_equal(copy.probes[4].returns_by, "");
	assert_string_equal(copy.probes[6].link, "perf");
	assert_string_equal(copy.probes[7].link, "");
	assert_int_equal(copy.allocator_count, 3);
	assert_true(copy.allocators[0].is_glibc && !copy.allocators[1].is_glibc);
	assert_string_equal(copy.allocators[2].path, "/opt/plugin.so");
	names = probed_names(&copy);
	assert_string_equal(names, "glibc 2.36, custom");
}

/* One trap for a free, another for the return of what has no one place; ten where it is stepped. */
static void test_price(void **state)
{
	_cleanup_(probed_deinit) struct probed probed = { 0 };
	struct price price;

	assert_int_equal(probed_add(&probed, &sites, "/lib/libc.so.6", UPROBE_SESSION), 0);
	assert_int_equal(probed_traps(&probed, DHAT_ROLE_MALLOC), 2);
	assert_int_equal(probed_traps(&probed, DHAT_ROLE_REALLOC), PROBED_STEPPED + 1);
	assert_int_equal(probed_traps(&probed, DHAT_ROLE_FREE), 1); /* it is ours */
	assert_int_equal(probed_traps(&probed, DHAT_ROLE_MMAP), 0);
	price_of(&probed, 1000, &price);
	assert_true(price.alloc_ns == 1000 * (2 * PRICE_TRAP + PRICE_WALK));
	assert_true(price.free_ns == 1000 * PRICE_TRAP);
	assert_true(price.other_ns == 1000 * PRICE_TRAP);
	price = (struct price){ .alloc_ns = 3000, .free_ns = 1000, .other_ns = 500 };
	assert_true(price_percent(&price, &(struct price_rates){ 1e4, 2e4, 4e4, 0 }) ==
		    7); /* of a core */
	assert_true(price_mean_ns(&price) == 2000);
	list[0].returns = SITE_RETURNS_RESULTS;
	probed_deinit(&probed);
	assert_int_equal(probed_add(&probed, &sites, "/lib/libc.so.6", UPROBE_SESSION), 0);
	assert_int_equal(probed_traps(&probed, DHAT_ROLE_MALLOC), 1);
	list[0].returns = SITE_RETURNS_EXITS;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places), cmocka_unit_test(test_result_sites),
		cmocka_unit_test(test_ways),   cmocka_unit_test(test_what_people_see),
		cmocka_unit_test(test_price),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
