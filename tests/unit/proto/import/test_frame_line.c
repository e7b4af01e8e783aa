/* Lines of DHAT JSON's frame table, as Valgrind, dhat-rs and dhatctl write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/import/frame_line.h"
#include "proto/profile/frame_text.h"

struct expected {
	const char *line;
	uint64_t address;
	const char *function, *file; /* NULL: it has no location */
	uint32_t source_line, column;
	const char *object;
	uint64_t object_vaddr;
};

typedef int (*reader)(const char *line, Dhat__Frame *frame);

static Dhat__Frame *read_by(reader read, const char *line)
{
	Dhat__Frame *frame = malloc(sizeof(*frame));

	assert_non_null(frame);
	dhat__frame__init(frame);
	assert_int_equal(read(line, frame), 0);
	return frame;
}

static Dhat__Frame *read_line(const char *line)
{
	return read_by(dhat_frame_line_read, line);
}

static void assert_frame(reader read, const struct expected *expected)
{
	Dhat__Frame *frame = read_by(read, expected->line);

	assert_int_equal(frame->address, expected->address);
	assert_string_equal(frame->object, expected->object);
	assert_int_equal(frame->object_vaddr, expected->object_vaddr);
	assert_int_equal(frame->n_locations, expected->function != NULL);
	if (expected->function) {
		const Dhat__Location *location = frame->locations[0];

		assert_string_equal(location->function, expected->function);
		assert_string_equal(location->file, expected->file);
		assert_int_equal(location->line, expected->source_line);
		assert_int_equal(location->column, expected->column);
	}
	dhat__frame__free_unpacked(frame, NULL);
}

static void test_forms(void **state)
{
	static const struct expected cases[] = {
		/* Valgrind 3.19 */
		{ "0x109153: mk (leak.c:2)", 0x109153, "mk", "leak.c", 2, 0, "", 0 },
		{ "0x48417B4: malloc (in /usr/libexec/vgpreload.so)", 0x48417b4, "malloc", "", 0, 0,
		  "/usr/libexec/vgpreload.so", 0 },
		{ "0x10A: ???", 0x10a, "???", "", 0, 0, "", 0 },
		{ "0x10A: ??? (in /usr/lib/x)", 0x10a, "???", "", 0, 0, "/usr/lib/x", 0 },
		{ "0x10A: main (leak.c)", 0x10a, "main", "leak.c", 0, 0, "", 0 },
		/* dhat-rs 0.3 */
		{ "0x55d: <alloc::vec::Vec<T,A> as core::ops::Drop>::drop (src/alloc/mod.rs:170:9)",
		  0x55d, "<alloc::vec::Vec<T,A> as core::ops::Drop>::drop", "src/alloc/mod.rs", 170,
		  9, "", 0 },
		/* dhatctl */
		{ "0xAB: f(int) (src/a.cc:12:0)", 0xab, "f(int)", "src/a.cc", 12, 0, "", 0 },
		{ "0xAB: ??? (a.c:3:1)", 0xab, "", "a.c", 3, 1, "", 0 },
		{ "0xAB: ??? (in /usr/bin/s+0xabc2)", 0xab, NULL, NULL, 0, 0, "/usr/bin/s",
		  0xabc2 },
		{ "0xAB: ??? (in no file)", 0xab, NULL, NULL, 0, 0, "", 0 },
		/* parentheses in names and paths */
		{ "0x1: h (in /usr/lib/x (deleted))", 1, "h", "", 0, 0, "/usr/lib/x (deleted)", 0 },
		{ "0x1: ??? (in /x (deleted)+0x12)", 1, NULL, NULL, 0, 0, "/x (deleted)", 0x12 },
		{ "0x1: h (in /x+0x12)", 1, "h", "", 0, 0, "/x+0x12", 0 },
		{ "0x1: (anonymous namespace)::f (a b (1)/c.cc:7)", 1, "(anonymous namespace)::f",
		  "a b (1)/c.cc", 7, 0, "", 0 },
		{ "0x1: operator() (int) (a.cc:7:2)", 1, "operator() (int)", "a.cc", 7, 2, "", 0 },
		{ "0x1: f (a) b.c:7)", 1, "f", "a) b.c", 7, 0, "", 0 },
		{ "0x1: main (C:\\x.c:7)", 1, "main", "C:\\x.c", 7, 0, "", 0 },
		{ "0x1: h (in /x\u00a0(1)\u00a0(2))", 1, "h", "", 0, 0, "/x (1) (2)", 0 },
		{ "0x1: f (a\u00a0(1)/c\u00a0.cc:7)", 1, "f", "a (1)/c\u00a0.cc", 7, 0, "", 0 },
		/* of no known form */
		{ "f (a.c:1)", 0, "f (a.c:1)", "", 0, 0, "", 0 },
		{ "0x1 f", 0, "0x1 f", "", 0, 0, "", 0 },
		{ "0x11111111111111111: f", 0, "0x11111111111111111: f", "", 0, 0, "", 0 },
		{ "0x1: ", 1, "", "", 0, 0, "", 0 },
		{ "0x1: ()", 1, "()", "", 0, 0, "", 0 },
		{ "0x1:  ()", 1, " ()", "", 0, 0, "", 0 },
		{ "0x1: f ()", 1, "f", "", 0, 0, "", 0 },
		{ "0x1: f (:7)", 1, "f", ":7", 0, 0, "", 0 },
		{ "0x1: f (a:12345678901)", 1, "f", "a:12345678901", 0, 0, "", 0 },
		{ "0x1: f)", 1, "f)", "", 0, 0, "", 0 },
		{ "", 0, "", "", 0, 0, "", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_frame(dhat_frame_line_read, &cases[i]);
}

/* Of JSON lines: without an address. */
static void test_texts(void **state)
{
	static const struct expected cases[] = {
		{ "mk (leak.c:2)", 0, "mk", "leak.c", 2, 0, "", 0 },
		{ "f(int) (src/a (1).cc:12)", 0, "f(int)", "src/a (1).cc", 12, 0, "", 0 },
		{ "h (/usr/lib/x (deleted))", 0, "h", "", 0, 0, "/usr/lib/x (deleted)", 0 },
		{ "h ([vdso])", 0, "h", "", 0, 0, "[vdso]", 0 },
		{ "libc.so.6+0x12a4", 0, NULL, NULL, 0, 0, "libc.so.6", 0x12a4 },
		{ "jitted", 0, "jitted", "", 0, 0, "", 0 },
		{ "call(void (*)(int))", 0, "call(void (*)(int))", "", 0, 0, "", 0 },
		{ "(anonymous namespace)::f", 0, "(anonymous namespace)::f", "", 0, 0, "", 0 },
		{ "operator+(x, y)", 0, "operator+(x, y)", "", 0, 0, "", 0 },
		{ "f ()", 0, "f ()", "", 0, 0, "", 0 },
		{ "()", 0, "()", "", 0, 0, "", 0 },
		{ "", 0, "", "", 0, 0, "", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_frame(dhat_frame_text_read, &cases[i]);
}

/* What dhatctl has written is written the same again. */
static void test_there_and_back(void **state)
{
	static const char *const lines[] = {
		"0x55550000ABC0: std::vector<int>::push_back(int const&) (/usr/v.h:1281:4)",
		"0x55550000ABC1: main (in /usr/bin/service)",
		"0x55550000ABC2: ??? (in /usr/bin/service+0xabc2)",
		"0x55550000ABC3: ??? (in no file)",
		"0x55550000ABC4: ??? (src/a.c:4:0)",
		"0x55550000ABC5: h (in /usr/lib/x\u00a0(deleted))",
		"0x55550000ABC6: ??? (in /x\u00a0(1)\u00a0(2)+0x12)",
		"0x55550000ABC7: f (a b\u00a0(1)/c.cc:7:1)",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		Dhat__Frame *frame = read_line(lines[i]);
		_cleanup_free_ char *text =
			dhat_frame_text(frame, frame->n_locations ? frame->locations[0] : NULL);

		assert_string_equal(text, lines[i]);
		dhat__frame__free_unpacked(frame, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
