#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/object/jit/jit_names.h"
#include "proto/base/cleanup.h"
#include "tests/unit/memory_file.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

/* What an address is called by the file; NULL: nothing. */
static const char *name_at(const void *bytes, size_t size, const struct jit_query *query)
{
	static char text[3 * JIT_MAX_NAME_BYTES];
	_cleanup_close_ int fd = memory_file(bytes, size);
	_cleanup_(names_free_ptr) struct names *names = NULL;

	assert_true(fd >= 0);
	assert_int_equal(jit_name(fd, query, 1, &names, NULL), 0);
	if (!names->frames[0].location_count)
		return NULL;
	snprintf(text, sizeof(text), "%s",
		 names->texts.list[names->locations[names->frames[0].first_location].function]);
	return text;
}

static const char *name_in(const void *bytes, size_t size, uint64_t addr, bool is_exact)
{
	const struct jit_query query = { { addr, is_exact }, 100, 200 };

	return name_at(bytes, size, &query);
}

#define REUSED " (its address was used again)"
#define MAP(text, addr) name_in(text, strlen(text), addr, true)

static void test_map(void **state)
{
	static const char text[] = "1000 10 first\n"
				   "2000 20 second with blanks\r\n"
				   "0x3000 0x30 third\n"
				   "1008 4 newer\n"
				   "\n"
				   "rubbish\n"
				   "4000 fourth\n"
				   "5000 10\n"
				   "10000000000000000 10 too long\n"
				   "ffffffffffffff00 200 beyond the end\n"
				   "1000 10 unfinished";

	assert_string_equal(MAP(text, 0x1000), "first");
	assert_string_equal(MAP(text, 0x1007), "first");
	assert_string_equal(MAP(text, 0x1008), "newer or first" REUSED);
	assert_string_equal(MAP(text, 0x100c), "first");
	assert_null(MAP(text, 0x1010));
	assert_null(MAP(text, 0xfff));
	assert_string_equal(MAP(text, 0x2010), "second with blanks");
	assert_string_equal(MAP(text, 0x302f), "third");
	assert_null(MAP(text, 0x4000));
	assert_null(MAP(text, 0x5000));
	assert_string_equal(MAP(text, UINT64_MAX), "beyond the end");
	assert_null(MAP(text, 0));
	/* a return address is looked up at the call before it */
	assert_string_equal(name_in(text, strlen(text), 0x1010, false), "first");
	assert_null(name_in(text, strlen(text), 0x1000, false));
	assert_null(name_in(text, strlen(text), 0, false));
	assert_null(MAP("", 0x1000));
}

/* Nothing says when: what a place was called at any time, once each. */
static void test_map_used_again(void **state)
{
	static const char text[] = "1000 10 first\n"
				   "1000 10 second\n"
				   "1000 8 third\n"
				   "1008 8 second\n"
				   "2000 10 same\n"
				   "2000 10 same\n";

	assert_string_equal(MAP(text, 0x1000), "third or second or others" REUSED);
	assert_string_equal(MAP(text, 0x1008), "second or first" REUSED);
	assert_string_equal(MAP(text, 0x2000), "same");
}

/* Lines of more than a buffer holds, and names that are cut. */
static void test_long_lines(void **state)
{
	size_t size = 3 << 20;
	_cleanup_free_ char *text = malloc(size + 1);
	const char *name;

	memset(text, 'x', size);
	text[size] = '\0';
	memcpy(text, "1000 10 ", 8);
	memcpy(text + size - 31, "\n2000 10 second\n3000 10 third\n\n", 31);
	name = MAP(text, 0x1000);
	assert_non_null(name);
	assert_int_equal(strlen(name), JIT_MAX_NAME_BYTES - 1 + strlen("…"));
	assert_string_equal(name + JIT_MAX_NAME_BYTES - 3, "xx…");
	assert_string_equal(MAP(text, 0x2000), "second");
	assert_string_equal(MAP(text, 0x3001), "third");
	/* not within a character */
	memcpy(text + 8 + JIT_MAX_NAME_BYTES - 1, "\xc3\xa4", 2);
	name = MAP(text, 0x1000);
	assert_string_equal(name + JIT_MAX_NAME_BYTES - 3, "xx…");
}

/* Many places, asked for in any order, and entries that cover all of them: bounded work. */
static void test_many(void **state)
{
	enum { COUNT = 5000, LINES = 50000 };
	_cleanup_free_ struct jit_query *queries = calloc(COUNT, sizeof(*queries));
	_cleanup_free_ char *text = malloc(LINES * 32);
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_close_ int fd = -1;
	size_t size = 0;

	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t at = i * 7919u % COUNT;

		queries[i] = (struct jit_query){ .place = { 0x100000 + 16ul * at, true } };
		size += (size_t)sprintf(text + size, "%x 10 f%u\n", 0x100000 + 16 * at, at);
	}
	fd = memory_file(text, size);
	assert_int_equal(jit_name(fd, queries, COUNT, &names, NULL), 0);
	for (uint32_t i = 0; i < COUNT; i++) {
		const struct name_frame *frame = &names->frames[i];
		char expected[16];

		snprintf(expected, sizeof(expected), "f%u", i * 7919u % COUNT);
		assert_int_equal(frame->location_count, 1);
		assert_string_equal(
			names->texts.list[names->locations[frame->first_location].function],
			expected);
	}
	close(fd);
	names_free(names);
	names = NULL;
	size = 0;
	for (uint32_t i = 0; i < LINES; i++)
		size += (size_t)sprintf(text + size, "0 ffffffffffffffff all%u\n", i);
	fd = memory_file(text, size);
	assert_int_equal(jit_name(fd, queries, COUNT, &names, NULL), 0);
	assert_int_equal(names->frames[0].location_count, 1);
}

struct dump {
	uint8_t bytes[4096];
	size_t size;
};

static void put(struct dump *dump, const void *data, size_t size)
{
	memcpy(dump->bytes + dump->size, data, size);
	dump->size += size;
}

static uint64_t now; /* of the records that follow */

static void put_move(struct dump *dump, uint64_t to, uint64_t size, uint64_t index)
{
	const struct {
		uint32_t id, total_size;
		uint64_t timestamp;
		uint32_t pid, tid;
		uint64_t vma, old_addr, new_addr, size, index;
	} move = { 1, sizeof(move), now, 1, 1, to, 0, to, size, index };

	put(dump, &move, sizeof(move));
}

static uint64_t next_index;

static void put_record(struct dump *dump, uint32_t id, uint64_t addr, uint64_t size,
		       const char *name, uint32_t total_size)
{
	const struct {
		uint32_t id, total_size;
		uint64_t timestamp;
		uint32_t pid, tid;
		uint64_t vma, addr, size, index;
	} load = { id,		total_size ?: 56 + (uint32_t)strlen(name) + 1 + 8,
		   now,		1,
		   1,		addr,
		   addr,	size,
		   next_index++ };

	put(dump, &load, sizeof(load));
	put(dump, name, strlen(name) + 1);
	put(dump, "12345678", 8); /* the code */
}

static void begin(struct dump *dump)
{
	const uint32_t head[] = { 0x4a695444, 1, 40, 62, 0, 1, 0, 0, 0, 0 };

	dump->size = 0;
	next_index = 0;
	now = 1;
	put(dump, head, sizeof(head));
}

#define DUMP(addr) name_in(dump.bytes, dump.size, addr, true)

static void test_dump(void **state)
{
	struct dump dump;

	begin(&dump);
	put_record(&dump, 0, 0x1000, 16, "gone", 0);
	put_record(&dump, 2, 0x1000, 16, "lines", 0);
	put_record(&dump, 0, 0x1000, 16, "first", 0);
	put_record(&dump, 0, 0x2000, 16, "second", 0);
	put_record(&dump, 3, 0, 0, "end", 0);
	put_record(&dump, 0, 0x3000, 16, "behind the end", 0);
	assert_string_equal(DUMP(0x100f), "first");
	assert_string_equal(DUMP(0x2000), "second");
	assert_null(DUMP(0x2010));
	assert_null(DUMP(0x3000));
	/* cut off anywhere */
	for (; dump.size; dump.size--)
		DUMP(0x2000);
	/* sizes that make no sense */
	begin(&dump);
	put_record(&dump, 0, 0x1000, 16, "first", 0);
	put_record(&dump, 0, 0x2000, 16, "no progress", 8);
	assert_string_equal(DUMP(0x1000), "first");
	assert_null(DUMP(0x2000));
	begin(&dump);
	put_record(&dump, 0, 0x1000, 16, "beyond the file", 0xfffffff0);
	put_record(&dump, 0, 0x2000, 16, "second", 0);
	assert_string_equal(DUMP(0x1000), "beyond the file");
	assert_null(DUMP(0x2000));
}

static void test_moved_code(void **state)
{
	struct dump dump;

	begin(&dump);
	put_record(&dump, 0, 0x1000, 16, "first", 0);  /* 0 */
	put_record(&dump, 0, 0x2000, 16, "second", 0); /* 1 */
	put_move(&dump, 0x3000, 16, 1);
	put_move(&dump, 0x4000, 16, 1); /* and on */
	put_move(&dump, 0x5000, 16, 0);
	put_record(&dump, 0, 0x5000, 8, "in its place", 0);
	put_move(&dump, 0x1000, 8, 1); /* over the other's first half */
	put_move(&dump, 0x6000, 16, 7);
	assert_string_equal(DUMP(0x3008), "second");
	assert_string_equal(DUMP(0x400f), "second");
	assert_null(DUMP(0x4010));
	assert_string_equal(DUMP(0x5000), "in its place");
	assert_string_equal(DUMP(0x5008), "first");
	assert_string_equal(DUMP(0x1000), "second");
	assert_string_equal(DUMP(0x1008), "first");
	assert_null(DUMP(0x6000));
	/* a number that is given again later was another's before */
	next_index = 7;
	put_record(&dump, 0, 0x7000, 16, "too late", 0);
	assert_null(DUMP(0x6000));
	for (; dump.size; dump.size--)
		DUMP(0x3000);
}

static const char *name_between(const struct dump *dump, uint64_t first_ns, uint64_t last_ns)
{
	const struct jit_query query = { { 0x1000, true }, first_ns, last_ns };

	return name_at(dump->bytes, dump->size, &query);
}

/* The name that a place had while it was on stacks. */
static void test_times(void **state)
{
	struct dump dump;
	uint64_t flag = 1;

	begin(&dump);
	now = 100;
	put_record(&dump, 0, 0x1000, 16, "first", 0);
	now = 200;
	put_record(&dump, 0, 0x1000, 16, "second", 0);
	put_record(&dump, 0, 0x2000, 16, "elsewhere", 0);
	now = 300;
	put_move(&dump, 0x1000, 16, 2);
	now = 400;
	put_move(&dump, 0x1000, 16, 7);
	assert_string_equal(name_between(&dump, 10, 20), "first"); /* its maker was late */
	assert_string_equal(name_between(&dump, 10, 150), "first");
	assert_string_equal(name_between(&dump, 100, 199), "first");
	assert_string_equal(name_between(&dump, 200, 200), "second");
	assert_string_equal(name_between(&dump, 250, 299), "second");
	assert_string_equal(name_between(&dump, 150, 250), "second or first" REUSED);
	assert_string_equal(name_between(&dump, 310, 399), "elsewhere");
	assert_string_equal(name_between(&dump, 250, 399), "elsewhere or second" REUSED);
	assert_string_equal(name_between(&dump, 150, 310), "elsewhere or second or others" REUSED);
	assert_string_equal(name_between(&dump, 310, 400), "unnamed code or elsewhere" REUSED);
	assert_null(name_between(&dump, 400, 500));
	/* the processor's times say nothing to us */
	memcpy(dump.bytes + 32, &flag, sizeof(flag));
	assert_string_equal(name_between(&dump, 100, 199),
			    "unnamed code or elsewhere or others" REUSED);
}

static void test_long_name_in_a_dump(void **state)
{
	static char name[JIT_MAX_NAME_BYTES + 10];
	struct dump dump;

	memset(name, 'x', sizeof(name) - 1);
	begin(&dump);
	put_record(&dump, 0, 0x1000, 16, name, 0);
	put_record(&dump, 0, 0x2000, 16, "second", 0);
	assert_string_equal(DUMP(0x1000) + JIT_MAX_NAME_BYTES - 3, "xx…");
	assert_string_equal(DUMP(0x2000), "second");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),	   cmocka_unit_test(test_map_used_again),
		cmocka_unit_test(test_long_lines), cmocka_unit_test(test_many),
		cmocka_unit_test(test_dump),	   cmocka_unit_test(test_moved_code),
		cmocka_unit_test(test_times),	   cmocka_unit_test(test_long_name_in_a_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
