/* remote: only what exists is read, and reading ends when it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "daemon/proc/remote.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct remote *, remote_free)

#define BASE 0x10000ull
#define PAGES 40

/* PAGES pages from BASE on, of which each third does not exist; each byte is its page's number. */
struct memory {
	int reads;
	uint64_t bytes_read;
	bool is_closed;
};

static bool exists(uint64_t page)
{
	return page < PAGES && page % 3 != 2;
}

static ssize_t read_memory(void *context, uint64_t addr, void *buffer, size_t size)
{
	struct memory *memory = context;
	uint8_t *bytes = buffer;

	memory->reads++;
	memory->bytes_read += size;
	for (size_t i = 0; i < size; i++) {
		uint64_t page = (addr + i - BASE) / REMOTE_PAGE;

		assert_true(exists(page)); /* R2 */
		bytes[i] = page;
	}
	return size;
}

static ssize_t tell_pages(void *context, uint64_t addr, bool *are_there, size_t count)
{
	assert_int_equal(addr % REMOTE_PAGE, 0);
	for (size_t i = 0; i < count; i++)
		are_there[i] = exists((addr - BASE) / REMOTE_PAGE + i);
	return count;
}

static void close_memory(void *context)
{
	((struct memory *)context)->is_closed = true;
}

static struct remote *open_memory(struct memory *memory)
{
	const struct remote_source source = {
		.read = read_memory,
		.pages = tell_pages,
		.close = close_memory,
		.context = memory,
	};
	struct remote *remote = NULL;

	assert_int_equal(remote_new(&source, &remote), 0);
	return remote;
}

static void only_pages_that_exist_are_read(void **state)
{
	struct memory memory = { 0 };
	_cleanup_(remote_free_ptr) struct remote *remote = open_memory(&memory);
	uint8_t bytes[4 * REMOTE_PAGE];

	assert_int_equal(remote_read(remote, BASE + REMOTE_PAGE - 4, bytes, 8), 0);
	assert_memory_equal(bytes, "\0\0\0\0\1\1\1\1", 8);
	assert_int_equal(remote_read(remote, BASE + 2 * REMOTE_PAGE - 4, bytes, 8), -EFAULT);
	assert_int_equal(remote_read(remote, BASE - 8, bytes, 8), -EFAULT);
	assert_int_equal(remote_read(remote, UINT64_MAX - 3, bytes, 8), -EFAULT);
	assert_int_equal(
		remote_read_some(remote, BASE + 3 * REMOTE_PAGE + 10, bytes, sizeof(bytes)),
		2 * REMOTE_PAGE - 10);
	assert_int_equal(remote_read_some(remote, BASE + 2 * REMOTE_PAGE, bytes, 8), 0);
	memset(bytes, 0xee, sizeof(bytes));
	remote_read_sparse(remote, BASE + REMOTE_PAGE + 1, bytes, 3 * REMOTE_PAGE);
	for (size_t i = 0; i < 3 * REMOTE_PAGE; i++) {
		uint64_t page = (REMOTE_PAGE + 1 + i) / REMOTE_PAGE;

		assert_int_equal(bytes[i], exists(page) ? page : 0);
	}
	assert_int_equal(bytes[3 * REMOTE_PAGE], 0xee);
	assert_int_equal(remote_next_page(remote, BASE + 2 * REMOTE_PAGE, UINT64_MAX),
			 BASE + 3 * REMOTE_PAGE);
	assert_int_equal(remote_next_page(remote, BASE + 2 * REMOTE_PAGE, BASE + 3 * REMOTE_PAGE),
			 BASE + 3 * REMOTE_PAGE);
	assert_int_equal(
		remote_next_page(remote, BASE + PAGES * REMOTE_PAGE, BASE + 2000 * REMOTE_PAGE),
		BASE + 2000 * REMOTE_PAGE);
}

static void a_window_is_read_once(void **state)
{
	struct memory memory = { 0 };
	_cleanup_(remote_free_ptr) struct remote *remote = open_memory(&memory);
	const uint8_t *at;
	int moved;

	at = remote_window(remote, BASE, 16, &moved);
	assert_non_null(at);
	assert_true(moved);
	at = remote_window(remote, BASE + 2 * REMOTE_PAGE - 16, 16, &moved);
	assert_non_null(at);
	assert_false(moved);
	assert_int_equal(*at, 1);
	assert_int_equal(memory.reads, 1);
	assert_null(remote_window(remote, BASE + 2 * REMOTE_PAGE - 8, 16, &moved));
	remote_forget_window(remote);
	assert_non_null(remote_window(remote, BASE + 16, 16, &moved));
	assert_true(moved);
}

static void everything_fails_once_it_is_to_stop(void **state)
{
	struct memory memory = { 0 };
	_cleanup_(remote_free_ptr) struct remote *remote = open_memory(&memory);
	atomic_bool stop = false;
	uint8_t bytes[8];
	int moved;

	remote_limit(remote, &stop, 0);
	assert_int_equal(remote_read(remote, BASE, bytes, 8), 0);
	atomic_store(&stop, true);
	assert_int_equal(remote_error(remote), 0); /* nobody has asked yet */
	assert_int_equal(remote_read(remote, BASE, bytes, 8), -ECANCELED);
	assert_int_equal(remote_error(remote), -ECANCELED);
	assert_int_equal(remote_read_some(remote, BASE, bytes, 8), 0);
	assert_null(remote_window(remote, BASE, 8, &moved));
	assert_int_equal(remote_next_page(remote, BASE, BASE + REMOTE_PAGE), BASE + REMOTE_PAGE);
	atomic_store(&stop, false);
	assert_int_equal(remote_error(remote), -ECANCELED); /* it stays */
}

static void the_deadline_ends_it(void **state)
{
	struct memory memory = { 0 };
	_cleanup_(remote_free_ptr) struct remote *remote = open_memory(&memory);
	uint8_t bytes[8];

	remote_limit(remote, NULL, 1); /* long ago */
	assert_int_equal(remote_read(remote, BASE, bytes, 8), -ETIMEDOUT);
	assert_int_equal(remote_error(remote), -ETIMEDOUT);
	assert_int_equal(memory.reads, 0);
}

static void the_source_is_closed(void **state)
{
	struct memory memory = { 0 };

	remote_free(open_memory(&memory));
	assert_true(memory.is_closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_pages_that_exist_are_read),
		cmocka_unit_test(a_window_is_read_once),
		cmocka_unit_test(everything_fails_once_it_is_to_stop),
		cmocka_unit_test(the_deadline_ends_it),
		cmocka_unit_test(the_source_is_closed),
	};

	return cmocka_run_group_tests_name("remote", tests, NULL, NULL);
}
