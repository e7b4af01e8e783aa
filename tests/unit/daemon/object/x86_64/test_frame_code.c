#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/object/machine/frame_code.h"

static uint8_t code[FRAME_CODE_BLOCK_BYTES];
static size_t used;

static int begin(void **state)
{
	memset(code, 0x90, sizeof(code));
	used = 0;
	return 0;
}

static void put(size_t count, const uint8_t *bytes, size_t size)
{
	while (count--) {
		memcpy(code + used, bytes, size);
		used += size;
	}
}
#define PUT(count, ...) put(count, (uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

static void test_functions_with_frames(void **state)
{
	PUT(100, 0x55, 0x48, 0x89, 0xe5, 0x90, 0x5d, 0xc3);	  /* push, mov …; pop; ret */
	PUT(100, 0x55, 0x48, 0x8b, 0xec, 0x90, 0xc9, 0xc3, 0x90); /* leave; ret */
	PUT(300, 0x31, 0xc0, 0xc3); /* leaf functions need none: not counted */
	assert_int_equal(frame_code_judge(code, sizeof(code)), FRAME_CODE_KEPT);
}

static void test_functions_without(void **state)
{
	PUT(100, 0x53, 0x90, 0x5b, 0xc3);				/* push rbx; pop rbx; ret */
	PUT(100, 0x48, 0x83, 0xec, 0x08, 0x48, 0x83, 0xc4, 0x08, 0xc3); /* sub; add; ret */
	PUT(6, 0x55, 0x48, 0x89, 0xe5, 0x90, 0xc9, 0xc3); /* a few whose stack grows */
	assert_int_equal(frame_code_judge(code, sizeof(code)), FRAME_CODE_NOT_KEPT);
}

static void test_where_it_turns(void **state)
{
	PUT(10, 0x55, 0x48, 0x89, 0xe5);
	PUT(500, 0x5d, 0xc3); /* a function may have many ends */
	PUT(9, 0x5b, 0xc3);
	assert_int_equal(frame_code_judge(code, sizeof(code)), FRAME_CODE_KEPT);
	PUT(1, 0x5b, 0xc3);
	assert_int_equal(frame_code_judge(code, sizeof(code)), FRAME_CODE_NOT_KEPT);
}

/* The middle of a long function, or data. */
static void test_nothing_to_go_by(void **state)
{
	assert_int_equal(frame_code_judge(code, sizeof(code)), FRAME_CODE_UNKNOWN);
	memset(code, 0xc3, sizeof(code));
	assert_int_equal(frame_code_judge(code, sizeof(code)), FRAME_CODE_UNKNOWN);
	assert_int_equal(frame_code_judge(code, 0), FRAME_CODE_UNKNOWN);
	assert_int_equal(frame_code_judge((const uint8_t *)"\x55\x48\x89", 3), FRAME_CODE_UNKNOWN);
	assert_int_equal(frame_code_judge((const uint8_t *)"\x55\x48\x89\xe5", 4), FRAME_CODE_KEPT);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_functions_with_frames),
		TEST(test_functions_without),
		TEST(test_where_it_turns),
		TEST(test_nothing_to_go_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
