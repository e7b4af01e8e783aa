#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/proc/code.h"

#define PAGE 4096

static uint8_t file[PAGE], memory[PAGE];
static struct code_pattern pattern; /* of offset 100 */

static int setup(void **state)
{
	for (size_t i = 0; i < PAGE; i++)
		file[i] = memory[i] = i % 0xc0;
	memcpy(pattern.bytes, file + 100 - CODE_BEFORE, CODE_BYTES);
	return 0;
}

static enum code_state compare(void)
{
	return code_compare(&pattern, memory + 100 - CODE_BEFORE);
}

static void states(void **state)
{
	assert_int_equal(compare(), CODE_AS_FILE);
	memory[100] = 0xcc;
	assert_int_equal(compare(), CODE_TRAPPED);
	memory[105] = 0xcc; /* the next probe */
	assert_int_equal(compare(), CODE_TRAPPED);
	memory[100] = 0xe9; /* a hook's jump */
	assert_int_equal(compare(), CODE_PATCHED);
	memory[100] = file[100];
	assert_int_equal(compare(), CODE_AS_FILE);
	memory[99] = 0x90;
	assert_int_equal(compare(), CODE_PATCHED);
	memory[99] = file[99];
	memory[100 - CODE_BEFORE - 1] = memory[100 + CODE_BYTES - CODE_BEFORE] = 0x90; /* beyond */
	assert_int_equal(compare(), CODE_AS_FILE);
}

/* Two places: pattern, and one that is nowhere. */
static size_t find(const uint8_t *bytes, size_t size, size_t from)
{
	struct code_pattern patterns[] = { { { 0 } }, pattern };
	size_t which = 7, at;

	memset(patterns[0].bytes, 0x90, CODE_BYTES);
	at = code_find_trapped_copy(patterns, 2, bytes, size, from, &which);
	assert_int_equal(which, at < size ? 1 : 7);
	return at;
}

static void copies(void **state)
{
	uint8_t *copy = calloc(1, 3 * PAGE), *tight;

	assert_int_equal(find(copy, 3 * PAGE, 0), 3 * PAGE);
	memcpy(copy + PAGE, file, PAGE); /* without a breakpoint: harmless */
	assert_int_equal(find(copy, 3 * PAGE, 0), 3 * PAGE);
	copy[PAGE + 100] = 0xcc;
	assert_int_equal(find(copy, 3 * PAGE, 0), PAGE + 100);
	memcpy(copy + 2 * PAGE, file, PAGE);
	copy[2 * PAGE + 100] = copy[2 * PAGE + 105] = 0xcc;
	assert_int_equal(find(copy, 3 * PAGE, PAGE + 101), 2 * PAGE + 100);
	copy[PAGE + 101] ^= 1; /* no copy of it */
	assert_int_equal(find(copy, 3 * PAGE, 0), 2 * PAGE + 100);
	tight = copy + 2 * PAGE + 100 - CODE_BEFORE; /* at the very borders */
	assert_int_equal(find(tight, CODE_BYTES, 0), CODE_BEFORE);
	assert_int_equal(find(tight, CODE_BYTES - 1, 0), CODE_BYTES - 1);
	free(copy);
}

/* Padding of int3 is no copy of anything. */
static void padding(void **state)
{
	uint8_t all[PAGE];

	memset(all, 0xcc, sizeof(all));
	assert_int_equal(find(all, sizeof(all), 0), sizeof(all));
}

/* One byte is written, and only into what is a copy still. */
static void mending(void **state)
{
	uint8_t *copy =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t addr = (uintptr_t)copy + 100;

	memcpy(copy, file, PAGE);
	assert_int_equal(code_mend(getpid(), addr, &pattern), -ENOENT);
	copy[100] = 0xcc;
	mprotect(copy, PAGE, PROT_READ | PROT_EXEC);
	assert_int_equal(code_mend(getpid(), addr, &pattern), 0);
	assert_memory_equal(copy, file, PAGE);
	mprotect(copy, PAGE, PROT_READ | PROT_WRITE);
	copy[100] = 0xcc;
	copy[103] ^= 1;
	assert_int_equal(code_mend(getpid(), addr, &pattern), -ENOENT);
	assert_int_equal(copy[100], 0xcc);
	munmap(copy, PAGE);
}

static void of_a_process(void **state)
{
	char path[] = "/tmp/code-XXXXXX";
	int fd = mkstemp(path);
	struct code_pattern found;
	struct code *code = NULL;
	uint8_t *mapped;

	assert_int_equal(write(fd, file, PAGE), PAGE);
	assert_int_equal(code_read_pattern(fd, 100, &found), 0);
	assert_memory_equal(found.bytes, pattern.bytes, CODE_BYTES);
	assert_int_equal(code_read_pattern(fd, 3, &found), -EIO);
	assert_int_equal(code_read_pattern(fd, PAGE + 100, &found), -EIO);
	mapped = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_int_equal(code_open(getpid(), &code), 0);
	assert_int_equal(code_look(code, (uintptr_t)mapped + 100, &pattern), CODE_AS_FILE);
	mapped[100] = 0xcc;
	assert_int_equal(code_look(code, (uintptr_t)mapped + 100, &pattern), CODE_TRAPPED);
	mapped[90] = 0x90;
	assert_int_equal(code_look(code, (uintptr_t)mapped + 100, &pattern), CODE_PATCHED);
	assert_int_equal(madvise(mapped, PAGE, MADV_DONTNEED), 0);
	assert_int_equal(code_look(code, (uintptr_t)mapped + 100, &pattern), CODE_AS_FILE);
	assert_true(code_is_mapped(code, (uintptr_t)mapped, (uintptr_t)mapped + PAGE));
	assert_true(mmap(mapped, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		    mapped);
	assert_false(code_is_mapped(code, (uintptr_t)mapped, (uintptr_t)mapped + PAGE));
	code_close(code);
	munmap(mapped, PAGE);
	unlink(path);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(states, setup),	     cmocka_unit_test_setup(copies, setup),
		cmocka_unit_test_setup(padding, setup),	     cmocka_unit_test_setup(mending, setup),
		cmocka_unit_test_setup(of_a_process, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
