#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/proc/breakpoints.h"

#define PAGE 4096
#define TRAMPOLINE 0x7000u

static uint8_t memory[PAGE], file[PAGE];
static struct breakpoint_at at[16];

static bool is_trampoline(const void *context, uint64_t addr)
{
	return addr >= TRAMPOLINE && addr < TRAMPOLINE + PAGE;
}

static int setup(void **state)
{
	for (size_t i = 0; i < PAGE; i++)
		file[i] = memory[i] = i % 0x80;
	return 0;
}

static size_t compare(void)
{
	return breakpoints_compare(memory, file, PAGE, 0x4000, is_trampoline, NULL, at, 16);
}

static void a_byte_among_equal_ones(void **state)
{
	assert_int_equal(compare(), 0);
	memory[0] = memory[100] = memory[PAGE - 1] = 0xcc;
	assert_int_equal(compare(), 3);
	assert_int_equal(at[0].offset, 0);
	assert_int_equal(at[1].offset, 100);
	assert_int_equal(at[2].offset, PAGE - 1);
	assert_int_equal(at[1].kind, BREAKPOINT_TRAP);
}

static void neighbours(void **state)
{
	memory[100] = memory[101] = memory[105] = 0xcc; /* push, push, a longer one, … */
	assert_int_equal(compare(), 3);
}

static void what_the_file_has_itself(void **state)
{
	memset(file + 200, 0xcc, 16); /* padding */
	memset(memory + 200, 0xcc, 16);
	memory[300] = 0x90; /* a patch */
	assert_int_equal(compare(), 0);
}

/* An address with a byte 0xcc that a text relocation, or a hook, has written. */
static void several_bytes_side_by_side(void **state)
{
	const uint8_t address[] = { 0x10, 0xcc, 0xcc, 0x55, 0x55, 0x7f, 0x00, 0x00 };
	const uint8_t jump[] = { 0xe9, 0xcc, 0x01, 0x02, 0x03 };

	memory[500] = 0xcc; /* a real one, not far from them */
	memcpy(memory + 512, address, sizeof(address));
	memcpy(memory + 600, jump, sizeof(jump));
	assert_int_equal(compare(), 1);
	assert_int_equal(at[0].offset, 500);
}

static void put_call(size_t where, uint32_t to)
{
	int32_t distance = to - (0x4000 + where + 5);

	memory[where] = 0xe8;
	memcpy(memory + where + 1, &distance, sizeof(distance));
}

static void a_nop_that_became_a_call(void **state)
{
	const uint8_t nop5[] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
	const uint8_t nop10[] = { 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 };
	const uint8_t lea[] = { 0x48, 0x8d, 0x64, 0x24, 0x80 };

	memcpy(file + 16, nop5, sizeof(nop5));
	put_call(16, TRAMPOLINE + 32);
	memcpy(file + 64, nop10, sizeof(nop10));
	memcpy(memory + 64, lea, sizeof(lea));
	put_call(69, TRAMPOLINE);
	memcpy(file + 128, nop5, sizeof(nop5));
	put_call(128, TRAMPOLINE - 1); /* patched by the program: leads elsewhere */
	memcpy(file + PAGE - 3, nop5, 3);
	memory[PAGE - 3] = 0xe8;
	assert_int_equal(compare(), 2);
	assert_int_equal(at[0].offset, 16);
	assert_int_equal(at[0].kind, BREAKPOINT_CALL);
	assert_int_equal(at[1].offset, 64);
	assert_int_equal(at[1].kind, BREAKPOINT_CALL);
}

static void no_more_than_asked_for(void **state)
{
	for (size_t i = 0; i < 40; i++)
		memory[i * 32] = 0xcc;
	assert_int_equal(compare(), 16);
}

/* Our own code, mapped anew so that it can be written. */
static void of_a_process(void **state)
{
	struct breakpoints found = { 0 };
	char path[] = "/tmp/breakpoints-XXXXXX";
	uint8_t content[3 * PAGE], *code;
	int fd = mkstemp(path);
	size_t count = 0;

	memset(content, 0x50, sizeof(content));
	assert_int_equal(write(fd, content, sizeof(content)), sizeof(content));
	code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, fd, PAGE);
	assert_true(code != MAP_FAILED);
	code[PAGE + 7] = 0xcc;
	assert_int_equal(breakpoints_find(getpid(), &found), 0);
	for (size_t i = 0; i < found.count; i++) {
		const struct breakpoint *b = &found.list[i];

		if (strcmp(b->path, path) != 0)
			continue;
		count++;
		assert_int_equal(b->addr, (uintptr_t)code + PAGE + 7);
		assert_int_equal(b->file_offset, 2 * PAGE + 7);
		assert_int_equal(b->original, 0x50);
		assert_int_equal(b->map_start, (uintptr_t)code);
	}
	assert_int_equal(count, 1);
	assert_false(found.is_cut);
	breakpoints_deinit(&found);
	munmap(code, 2 * PAGE);
	unlink(path);
	close(fd);
	assert_int_equal(breakpoints_find(0x7ffffff0, &found), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_byte_among_equal_ones, setup),
		cmocka_unit_test_setup(neighbours, setup),
		cmocka_unit_test_setup(what_the_file_has_itself, setup),
		cmocka_unit_test_setup(several_bytes_side_by_side, setup),
		cmocka_unit_test_setup(a_nop_that_became_a_call, setup),
		cmocka_unit_test_setup(no_more_than_asked_for, setup),
		cmocka_unit_test(of_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
