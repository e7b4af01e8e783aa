/* arguments: what a function hands on when it jumps to another one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/object/machine/arguments.h"

#define HERE 0x1000
#define THERE 0x2000
#define LOST PROLOGUE_LOST

/* jmp THERE, as the last of `before` bytes and five. */
#define JUMP(before)                                                                               \
	0xe9, (uint8_t)(THERE - HERE - (before)-5), (uint8_t)((THERE - HERE - (before)-5) >> 8),   \
		0, 0

static void expect(const uint8_t *code, size_t size, const uint8_t want[3])
{
	uint8_t got[PROLOGUE_ARGS];

	assert_int_equal(arguments_handed_on(code, size, HERE, THERE, got), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(got[i], want[i]);
}
#define EXPECT(first, second, third, ...)                                                          \
	expect((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }),         \
	       (const uint8_t[]){ first, second, third })

static void as_they_came(void **state)
{
	EXPECT(0, 1, 2, JUMP(0));
	EXPECT(0, 1, 2, 0x55, 0x5d, JUMP(2)); /* push %rbp; pop %rbp */
}

static void moved(void **state)
{
	EXPECT(1, 1, 2, 0x48, 0x89, 0xf7, JUMP(3));		/* mov %rsi,%rdi */
	EXPECT(0, LOST, 2, 0x31, 0xf6, JUMP(2));		/* xor %esi,%esi */
	EXPECT(1, 0, 2, 0x57, 0x48, 0x89, 0xf7, 0x5e, JUMP(5)); /* push %rdi; mov; pop %rsi */
}

static void another_value(void **state)
{
	EXPECT(LOST, 1, 2, 0x48, 0x8d, 0x7f, 0xf0, JUMP(4)); /* lea -16(%rdi),%rdi */
	EXPECT(LOST, 1, 2, 0x48, 0x83, 0xef, 0x10, JUMP(4)); /* sub $16,%rdi */
	EXPECT(LOST, 1, 2, 0x48, 0x8b, 0x7f, 0xf8, JUMP(4)); /* mov -8(%rdi),%rdi */
	EXPECT(LOST, 1, 2, 0x89, 0xff, JUMP(2));	     /* mov %edi,%edi */
}

/* On one of two ways: test %rsi,%rsi; je +4; sub $16,%rdi; jmp. */
static void where_ways_meet(void **state)
{
	EXPECT(LOST, 1, 2, 0x48, 0x85, 0xf6, 0x74, 4, 0x48, 0x83, 0xef, 0x10, JUMP(9));
}

static void where_nobody_jumps(void **state)
{
	EXPECT(LOST, LOST, LOST, 0xc3);
	EXPECT(LOST, LOST, LOST, 0xff, 0xe7); /* jmp *%rdi */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_they_came),	      cmocka_unit_test(moved),
		cmocka_unit_test(another_value),      cmocka_unit_test(where_ways_meet),
		cmocka_unit_test(where_nobody_jumps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
