/* Does a file have what was told of it? Of an instruction that we would execute, all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "daemon/object/sites/site.h"
#include "proto/base/cleanup.h"
#include "tests/unit/memory_file.h"

/* push %rbx; test %rdi,%rdi; ret */
static const uint8_t code[] = { 0x53, 0x48, 0x85, 0xff, 0xc3 };
static struct site_exit ret = { 4, 0, 0xc3, { .operation = DHAT_OPERATION_RET, .length = 1 } };
static const struct dhat_instruction test_rdi = {
	.operation = DHAT_OPERATION_TEST,
	.length = 3,
	.width = 3,
	.to = 7,
	.from = 7,
	.base = DHAT_ADDRESS_NONE,
	.index = DHAT_ADDRESS_NONE,
};

static bool is_of(const struct site *site)
{
	struct site list[] = { *site };
	const struct sites sites = { list, 1 };
	_cleanup_close_ int fd = memory_file(code, sizeof(code));

	return sites_are_of(&sites, fd);
}

static void test_what_we_execute_is_there(void **state)
{
	struct site site = {
		.file_offset = 1, .byte = 0x48, .by_us = test_rdi, .exits = &ret, .exit_count = 1
	};

	ret.by_us.base = ret.by_us.index = DHAT_ADDRESS_NONE;
	assert_true(is_of(&site));
	/* the first byte alone is no proof: another register, another operation, another length */
	site.by_us.to = 6;
	assert_false(is_of(&site));
	site.by_us = test_rdi;
	site.by_us.operation = DHAT_OPERATION_CMP;
	assert_false(is_of(&site));
	site.by_us = test_rdi;
	site.by_us.length = 4;
	assert_false(is_of(&site));
	site.by_us.length = 200;
	assert_false(is_of(&site));
	site.by_us = (struct dhat_instruction){ 0 };
	assert_true(is_of(&site));
	ret.by_us.operation = DHAT_OPERATION_NOP;
	assert_false(is_of(&site));
	ret.by_us.operation = DHAT_OPERATION_RET;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_we_execute_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
