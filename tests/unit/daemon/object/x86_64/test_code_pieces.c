#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/object/x86_64/code_pieces.h"
#include "proto/base/cleanup.h"

static struct code_pieces pieces;
static struct cfi_code_piece *list;
static size_t count;

static int end(void **state)
{
	free(list);
	list = NULL;
	return 0;
}

static void add(uint32_t function, uint32_t reading, uint64_t start, uint64_t stop, int cfa,
		int offset)
{
	struct code_piece piece = {
		.piece = { start, stop, { .cfa = (__u8)cfa, .cfa_offset = offset } },
		.function = function,
		.reading = reading
	};

	assert_int_equal(code_pieces_add(&pieces, piece), 0);
}

static void finish(const uint32_t *last_reading)
{
	assert_int_equal(code_pieces_finish(&pieces, last_reading, &list, &count), 0);
}

static void expect(size_t i, uint64_t start, uint64_t stop, int cfa, int offset)
{
	assert_true(i < count);
	assert_int_equal(list[i].start, start);
	assert_int_equal(list[i].end, stop);
	assert_int_equal(list[i].row.cfa, cfa);
	assert_int_equal(list[i].row.cfa_offset, offset);
}

static void test_neighbours_are_one(void **state)
{
	add(0, 1, 10, 12, DHAT_CFA_SP, 8);
	add(0, 1, 12, 20, DHAT_CFA_SP, 8);
	add(0, 1, 20, 30, DHAT_CFA_SP, 16);
	add(0, 1, 25, 40, DHAT_CFA_SP, 24); /* an instruction inside of another one */
	finish((uint32_t[]){ 1 });
	assert_int_equal(count, 3);
	expect(0, 10, 20, DHAT_CFA_SP, 8);
	expect(1, 20, 25, DHAT_CFA_SP, 16);
	expect(2, 25, 40, DHAT_CFA_SP, 24);
}

static void test_the_last_reading_counts(void **state)
{
	add(1, 1, 10, 20, DHAT_CFA_SP, 8);
	add(0, 2, 50, 60, DHAT_CFA_SP, 8);
	add(1, 3, 10, 15, DHAT_CFA_SP, 16);
	finish((uint32_t[]){ 2, 3 });
	assert_int_equal(count, 2);
	expect(0, 10, 15, DHAT_CFA_SP, 16);
	expect(1, 50, 60, DHAT_CFA_SP, 8);
}

static void test_disagreement_is_left_out(void **state)
{
	add(0, 1, 10, 30, DHAT_CFA_SP, 8);
	add(1, 2, 20, 40, DHAT_CFA_SP, 16);
	add(2, 3, 25, 35, DHAT_CFA_SP, 8); /* up to 30 nobody is believed any more */
	finish((uint32_t[]){ 1, 2, 3 });
	expect(0, 10, 20, DHAT_CFA_SP, 8);
	assert_int_equal(list[1].start >= 30, true);
	assert_int_equal(list[1].row.cfa_offset, 16);
	for (size_t i = 1; i < count; i++)
		assert_true(list[i - 1].end <= list[i].start && list[i].start < list[i].end);
}

/* The outermost code gives way, also where another one begins before what is left of it. */
static void test_the_outermost_gives_way(void **state)
{
	add(0, 1, 10, 30, DHAT_CFA_SP, 8);
	add(1, 2, 15, 32, DHAT_CFA_END, 0);
	add(2, 3, 20, 34, DHAT_CFA_SP, 8);
	add(3, 4, 30, 31, DHAT_CFA_SIGNAL, 0);
	finish((uint32_t[]){ 1, 2, 3, 4 });
	assert_true(count >= 2);
	expect(0, 10, 30, DHAT_CFA_SP, 8);
	for (size_t i = 0; i < count; i++) {
		assert_true(list[i].start < list[i].end);
		assert_true(i == 0 || list[i - 1].end <= list[i].start);
		assert_true(list[i].start >= 31 || list[i].start < 15 ||
			    list[i].row.cfa == DHAT_CFA_SIGNAL);
	}
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_neighbours_are_one),
		TEST(test_the_last_reading_counts),
		TEST(test_disagreement_is_left_out),
		TEST(test_the_outermost_gives_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
