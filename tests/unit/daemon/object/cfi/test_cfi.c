#include <dlfcn.h>
#include <dwarf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/object/cfi/cfi.h"
#include "proto/base/cleanup.h"
#include "tests/unit/elf_writer.h"
#include "tests/unit/memory_file.h"
#include "tests/unit/table_find.h"

#define CODE (WRITER_BASE + 0x20000)
#define MAX_ROWS 100000

static struct writer w; /* too big for a stack */

static size_t begin(const char *augmentation)
{
	memset(&w, 0, sizeof(w));
	return put_cie(&w, augmentation, DW_EH_PE_pcrel | DW_EH_PE_sdata4);
}

static int build(const void *bytes, size_t size, uint32_t max_rows, struct cfi_table **ret,
		 struct dhat_error *err)
{
	_cleanup_close_ int fd = memory_file(bytes, size);

	assert_true(fd >= 0);
	return cfi_build(fd, max_rows, ret, err);
}

static struct cfi_table *finish(uint32_t max_rows, int expected)
{
	struct cfi_table *table = NULL;
	struct dhat_error err = {};

	put(&w, 0, 4); /* the end of .eh_frame */
	put_elf(&w);
	assert_int_equal(build(w.image, w.image_size, max_rows, &table, &err), expected);
	assert_int_equal(err.code != DHAT_EXIT_OK, expected != 0);
	return table;
}

static void expect(const struct cfi_table *table, uint64_t vaddr, enum dhat_cfa cfa, int rbp,
		   int offset)
{
	const struct dhat_row *row = cfi_table_find(table, vaddr);

	if (!row)
		fail_msg("no row at %#lx", (long)vaddr);
	if (row->cfa != cfa || row->fp != rbp || row->cfa_offset != offset)
		fail_msg("at %#lx: %d %d %+d, not %d %d %+d", (long)vaddr, row->cfa, row->fp,
			 row->cfa_offset, cfa, rbp, offset);
}

#define FDE(start, size, ...)                                                                      \
	put_fde(&w, cie, start, size, (uint8_t[]){ __VA_ARGS__ },                                  \
		sizeof((uint8_t[]){ __VA_ARGS__ }))

/* push rbp; mov rsp,rbp; …; remembered; leave; ret; restored */
static void test_frame_pointer_function(void **state)
{
	size_t cie = begin("zR");
	struct cfi_table *table;

	FDE(CODE, 100, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2,
	    DW_CFA_advance_loc | 3, DW_CFA_def_cfa_register, 6, DW_CFA_advance_loc1, 60,
	    DW_CFA_remember_state, DW_CFA_def_cfa, 7, 8, DW_CFA_restore | 6, DW_CFA_advance_loc | 1,
	    DW_CFA_restore_state, DW_CFA_GNU_args_size, 0x80, 1);
	table = finish(MAX_ROWS, 0);
	assert_null(cfi_table_find(table, (CODE & ~0xffffull) - 1));
	expect(table, CODE, DHAT_CFA_SP, DHAT_FP_SAME, 8);
	expect(table, CODE + 1, DHAT_CFA_SP, -2, 16);
	expect(table, CODE + 3, DHAT_CFA_SP, -2, 16);
	expect(table, CODE + 4, DHAT_CFA_FP, -2, 16);
	expect(table, CODE + 63, DHAT_CFA_FP, -2, 16);
	expect(table, CODE + 64, DHAT_CFA_SP, DHAT_FP_SAME, 8);
	expect(table, CODE + 65, DHAT_CFA_FP, -2, 16);
	expect(table, CODE + 99, DHAT_CFA_FP, -2, 16);
	expect(table, CODE + 100, DHAT_CFA_NO_RULE, 0, 0);
	assert_int_equal(table->row_count, 6);
	assert_int_equal(table->code_bytes, 100);
	assert_int_equal(table->code_bytes_by_cfa[DHAT_CFA_SP], 5);
	assert_int_equal(table->code_bytes_by_cfa[DHAT_CFA_FP], 95);
	assert_int_equal(table->unrepresentable_bytes, 0);
	cfi_table_free(table);
}

static void test_every_kind_of_row(void **state)
{
	static const uint8_t plt[] = { DW_CFA_def_cfa_expression,
				       11,
				       DW_OP_breg7,
				       8,
				       DW_OP_breg16,
				       0,
				       DW_OP_lit15,
				       DW_OP_and,
				       DW_OP_lit11,
				       DW_OP_ge,
				       DW_OP_lit3,
				       DW_OP_shl,
				       DW_OP_plus };
	size_t cie = begin("zR");
	struct cfi_table *table;

	put_fde(&w, cie, CODE, 16, plt, sizeof(plt));
	FDE(CODE + 0x100, 16, DW_CFA_undefined, 16);
	FDE(CODE + 0x200, 16, DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78, DW_OP_deref,
	    DW_CFA_expression, 6, 2, DW_OP_breg6, 0);
	FDE(CODE + 0x300, 16, DW_CFA_def_cfa_offset, 0x80, 0x80, 0x80, 0x01); /* 2 MiB */
	FDE(CODE + 0x400, 16, DW_CFA_offset_extended, 6, 0x80, 0x01);	      /* 128 slots */
	FDE(CODE + 0x500, 16, DW_CFA_undefined, 6);
	FDE(CODE + 0x600, 16, DW_CFA_def_cfa_sf, 7, 0x7e); /* -2 * -8 */
	FDE(CODE + 0x700, 16, DW_CFA_same_value, 6, DW_CFA_offset | 3, 5);
	table = finish(MAX_ROWS, 0);
	expect(table, CODE + 15, DHAT_CFA_PLT, 0, 11);
	expect(table, CODE + 16, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x100, DHAT_CFA_END, 0, 0);
	expect(table, CODE + 0x200, DHAT_CFA_FP_DEREF, DHAT_FP_AT_FP, -8);
	expect(table, CODE + 0x300, DHAT_CFA_SP, 0, 2 << 20);
	expect(table, CODE + 0x400, DHAT_CFA_SP, -128, 8);
	expect(table, CODE + 0x500, DHAT_CFA_SP, DHAT_FP_UNDEFINED, 8);
	expect(table, CODE + 0x600, DHAT_CFA_SP, 0, 16);
	expect(table, CODE + 0x700, DHAT_CFA_SP, 0, 8);
	assert_int_equal(table->unrepresentable_bytes, 0);
	cfi_table_free(table);
}

static void test_what_does_not_fit(void **state)
{
	size_t cie = begin("zR");
	struct cfi_table *table;

	FDE(CODE, 16, DW_CFA_def_cfa_register, 10);
	FDE(CODE + 0x100, 16, DW_CFA_offset | 16, 2);	/* return address at CFA - 16 */
	FDE(CODE + 0x200, 16, DW_CFA_val_offset, 7, 1); /* rsp is not the CFA */
	FDE(CODE + 0x300, 16, DW_CFA_register, 16, 3);	/* return address in rbx */
	FDE(CODE + 0x400, 16, DW_CFA_def_cfa_expression, 2, DW_OP_breg7, 8);
	FDE(CODE + 0x500, 16, DW_CFA_def_cfa_offset, 0x80, 0x80, 0x80, 0x80, 0x08); /* 2 GiB */
	FDE(CODE + 0x600, 16, DW_CFA_offset_extended, 6, 0x81, 0x01);		    /* 129 slots */
	FDE(CODE + 0x700, 16, DW_CFA_register, 6, 3);				    /* rbp in rbx */
	FDE(CODE + 0x800, 16, DW_CFA_expression, 6, 2, DW_OP_breg6, 8);
	table = finish(MAX_ROWS, 0);
	expect(table, CODE, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x100, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x200, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x300, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x400, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x500, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x600, DHAT_CFA_SP, DHAT_FP_UNDEFINED, 8);
	expect(table, CODE + 0x700, DHAT_CFA_SP, DHAT_FP_UNDEFINED, 8);
	expect(table, CODE + 0x800, DHAT_CFA_SP, DHAT_FP_UNDEFINED, 8);
	assert_int_equal(table->unrepresentable_bytes, 9 * 16);
	cfi_table_free(table);
}

static void test_signal_frame(void **state)
{
	static const uint8_t program[] = {
		DW_CFA_def_cfa_expression,
		4,
		DW_OP_breg7,
		0xa0,
		0x01,
		DW_OP_deref, /* 160 */
		DW_CFA_expression,
		6,
		3,
		DW_OP_breg7,
		0xf8,
		0x00, /* 120 */
		DW_CFA_expression,
		16,
		3,
		DW_OP_breg7,
		0xa8,
		0x01, /* 168 */
	};
	size_t cie = begin("zRS");
	struct cfi_table *table;

	put_fde(&w, cie, CODE, 10, program, sizeof(program));
	FDE(CODE + 0x100, 16, DW_CFA_nop); /* interrupted, but not by a signal of this kernel */
	table = finish(MAX_ROWS, 0);
	expect(table, CODE, DHAT_CFA_SIGNAL, 0, 0);
	expect(table, CODE + 0x100, DHAT_CFA_NO_RULE, 0, 0);
	assert_int_equal(table->unrepresentable_bytes, 16);
	cfi_table_free(table);
}

static void test_neighbours_merge_and_gaps_show(void **state)
{
	size_t cie = begin("zR");
	struct cfi_table *table;

	FDE(CODE + 32, 16, DW_CFA_nop); /* unsorted */
	FDE(CODE, 16, DW_CFA_advance_loc | 4, DW_CFA_def_cfa_offset, 8);
	FDE(CODE + 16, 8, DW_CFA_nop);
	FDE(CODE + 24, 0, DW_CFA_def_cfa_offset, 64); /* of no length */
	table = finish(MAX_ROWS, 0);
	assert_int_equal(table->row_count, 4); /* rsp+8, gap, rsp+8, end */
	expect(table, CODE + 23, DHAT_CFA_SP, 0, 8);
	expect(table, CODE + 24, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 31, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 32, DHAT_CFA_SP, 0, 8);
	cfi_table_free(table);
}

static void test_overlapping_fdes(void **state)
{
	size_t cie = begin("zR");
	struct cfi_table *table;

	FDE(CODE, 100, DW_CFA_def_cfa_offset, 16);
	FDE(CODE + 20, 10, DW_CFA_def_cfa_offset, 24);
	FDE(CODE + 20, 50, DW_CFA_def_cfa_offset, 32); /* the first one at a place holds */
	table = finish(MAX_ROWS, 0);
	expect(table, CODE + 19, DHAT_CFA_SP, 0, 16);
	expect(table, CODE + 20, DHAT_CFA_SP, 0, 24);
	expect(table, CODE + 29, DHAT_CFA_SP, 0, 24);
	expect(table, CODE + 30, DHAT_CFA_NO_RULE, 0, 0);
	assert_int_equal(table->code_bytes, 30);
	cfi_table_free(table);
}

static void test_pages(void **state)
{
	uint64_t page = (CODE + 0x10000) & ~0xffffull;
	size_t cie = begin("zR");
	struct cfi_table *table;

	FDE(page - 8, 16, DW_CFA_nop);			   /* over a page's edge */
	FDE(page + 0x50000, 8, DW_CFA_def_cfa_offset, 16); /* pages without a row before it */
	FDE(page + 0x6fff8, 8, DW_CFA_def_cfa_offset, 24); /* ends with its page */
	table = finish(MAX_ROWS, 0);
	assert_int_equal(table->first_page_vaddr, page - 0x10000);
	expect(table, page - 8, DHAT_CFA_SP, 0, 8);
	expect(table, page, DHAT_CFA_SP, 0, 8);
	expect(table, page + 7, DHAT_CFA_SP, 0, 8);
	expect(table, page + 8, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, page + 0x4ffff, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, page + 0x50000, DHAT_CFA_SP, 0, 16);
	expect(table, page + 0x6ffff, DHAT_CFA_SP, 0, 24);
	expect(table, page + 0x70000, DHAT_CFA_NO_RULE, 0, 0);
	assert_null(cfi_table_find(table, page + 0x80000));
	assert_null(cfi_table_find(table, UINT64_MAX));
	assert_null(cfi_table_find(table, page - 9));
	cfi_table_free(table);
}

static void test_broken_programs(void **state)
{
	size_t cie = begin("zR");
	struct cfi_table *table;
	uint8_t remembers[100];

	memset(remembers, DW_CFA_remember_state, sizeof(remembers));
	FDE(CODE, 16, DW_CFA_advance_loc | 4, DW_CFA_restore_state); /* nothing remembered */
	FDE(CODE + 0x100, 16, DW_CFA_advance_loc | 4, 0x3e);	     /* no such instruction */
	FDE(CODE + 0x200, 16, DW_CFA_advance_loc4, 0xff, 0xff, 0xff, 0xff, 0x3e);
	FDE(CODE + 0x300, 16, DW_CFA_advance_loc | 8, DW_CFA_def_cfa_expression, 0x7f);
	put_fde(&w, cie, CODE + 0x400, 16, remembers, sizeof(remembers));
	FDE(CODE + 0x500, 16, DW_CFA_def_cfa_expression, 1, DW_OP_breg7, DW_CFA_def_cfa_offset, 8);
	FDE(CODE + 0x600, 16, DW_CFA_def_cfa, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	    0x80, 0x80, 0x80, 1);
	FDE(CODE + 0x700, 16, DW_CFA_nop);
	table = finish(MAX_ROWS, 0);
	expect(table, CODE + 3, DHAT_CFA_SP, 0, 8); /* right up to the nonsense */
	expect(table, CODE + 4, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x103, DHAT_CFA_SP, 0, 8);
	expect(table, CODE + 0x104, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x20f, DHAT_CFA_SP, 0, 8); /* past the end before the nonsense */
	expect(table, CODE + 0x307, DHAT_CFA_SP, 0, 8);
	expect(table, CODE + 0x308, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x400, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x500, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x600, DHAT_CFA_NO_RULE, 0, 0);
	expect(table, CODE + 0x70f, DHAT_CFA_SP, 0, 8);
	cfi_table_free(table);
}

static void test_set_loc(void **state)
{
	size_t cie = begin("zR"), field;
	struct cfi_table *table;
	uint32_t distance;

	field = w.size +
		18; /* behind length, CIE distance, start, size, augmentation size, opcode */
	distance = (uint32_t)(CODE + 32 - (WRITER_BASE + WRITER_CFI_OFFSET + field));
	FDE(CODE, 64, DW_CFA_set_loc, (uint8_t)distance, (uint8_t)(distance >> 8),
	    (uint8_t)(distance >> 16), (uint8_t)(distance >> 24), DW_CFA_def_cfa_offset, 16);
	table = finish(MAX_ROWS, 0);
	expect(table, CODE + 31, DHAT_CFA_SP, 0, 8);
	expect(table, CODE + 32, DHAT_CFA_SP, 0, 16);
	cfi_table_free(table);
}

static void test_code_outside_of_segments_is_left_out(void **state)
{
	size_t cie = begin("zR");
	struct cfi_table *table;

	FDE(0x1000, 64, DW_CFA_nop);
	FDE(CODE, 64, DW_CFA_nop);
	FDE(WRITER_BASE + (16 << 20) - 8, 64, DW_CFA_nop); /* sticks out */
	table = finish(MAX_ROWS, 0);
	assert_int_equal(table->code_bytes, 64 + 8);
	cfi_table_free(table);
}

static void test_bounds(void **state)
{
	size_t cie = begin("zR"), i;
	struct cfi_table *table;

	for (i = 0; i < 100; i++)
		FDE(CODE + i * 32, 16, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16);
	table = finish(300, 0); /* three rows each */
	assert_int_equal(table->row_count, 300);
	cfi_table_free(table);
	w.size -= 4;
	finish(299, -E2BIG);
	w.size -= 4;
	finish(99, -E2BIG);
}

static void test_objects_without_rules(void **state)
{
	struct cfi_table *table = NULL;
	struct dhat_error err = {};
	size_t cie = begin("zR");
	int fd;

	finish(MAX_ROWS, -ENODATA);
	cie = begin("zRQ"); /* a letter nobody knows */
	FDE(CODE, 16, DW_CFA_nop);
	finish(MAX_ROWS, -ENODATA);
	assert_int_equal(build("no ELF", 6, MAX_ROWS, &table, &err), -EBADMSG);
	w.image[EI_CLASS] = ELFCLASS32;
	err = (struct dhat_error){};
	assert_int_equal(build(w.image, w.image_size, MAX_ROWS, &table, &err), -ENOTSUP);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	err = (struct dhat_error){};
	assert_int_equal(cfi_build(fd, MAX_ROWS, &table, &err), -EBADMSG);
	close(fd);
	assert_null(table);
}

/* Every way of cutting a good file short is an answer, not a crash. */
static void test_truncated_files(void **state)
{
	size_t cie = begin("zR"), size;
	struct cfi_table *table;
	unsigned int tables = 0;

	FDE(CODE, 100, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2);
	cfi_table_free(finish(MAX_ROWS, 0));
	for (size = 0; size <= w.image_size; size++) {
		table = NULL;
		tables += build(w.image, size, MAX_ROWS, &table, NULL) == 0;
		cfi_table_free(table);
	}
	assert_in_range(tables, 1, 64);
}

static void test_real_libc(void **state)
{
	_cleanup_close_ int fd = -1;
	struct cfi_table *table = NULL;

	fd = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(cfi_build(fd, MAX_ROWS, &table, NULL), 0);
	assert_in_range(table->row_count, 10000, 100000);
	assert_true(table->code_bytes_by_cfa[DHAT_CFA_SIGNAL] > 0);
	assert_true(table->code_bytes_by_cfa[DHAT_CFA_END] > 0);
	assert_true(table->unrepresentable_bytes * 100 < table->code_bytes);
	cfi_table_free(table);
}

/* A context's outermost return address: __start_context(), which is in no symbol table. */
static uint64_t start_of_context(void)
{
	static uint64_t words[512];
	ucontext_t context;

	getcontext(&context);
	context.uc_stack.ss_sp = words;
	context.uc_stack.ss_size = sizeof(words);
	context.uc_link = NULL;
	makecontext(&context, abort, 0);
	return *(uint64_t *)context.uc_mcontext.gregs[REG_RSP];
}

/* That functions never return is told with their rows, and not of those that do. */
static void test_endless(void **state)
{
	_cleanup_close_ int fd = -1;
	struct cfi_table *table = NULL;
	const struct dhat_row *row;
	uint64_t start = start_of_context(), base;
	Dl_info info;

	assert_true(dladdr((void *)start, &info)); /* NOLINT(performance-no-int-to-ptr) */
	base = (uintptr_t)info.dli_fbase;
	fd = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
	assert_int_equal(cfi_build(fd, 16 << 20, &table, NULL), 0);
	row = cfi_table_find(table, start - base);
	assert_int_equal(row->cfa, DHAT_CFA_SP | DHAT_CFA_ENDLESS);
	assert_int_equal(row->cfa_offset, 8);
	row = cfi_table_find(table, start - base + 0x10);
	assert_true(row->cfa & DHAT_CFA_ENDLESS);
	row = cfi_table_find(table, (uintptr_t)l64a - base); /* no sanitizer stands before it */
	assert_int_equal(row->cfa, DHAT_CFA_SP);
	row = cfi_table_find(table, (uintptr_t)makecontext - base + 4);
	assert_false(row->cfa & DHAT_CFA_ENDLESS);
	cfi_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_frame_pointer_function),
		cmocka_unit_test(test_every_kind_of_row),
		cmocka_unit_test(test_what_does_not_fit),
		cmocka_unit_test(test_signal_frame),
		cmocka_unit_test(test_neighbours_merge_and_gaps_show),
		cmocka_unit_test(test_overlapping_fdes),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_broken_programs),
		cmocka_unit_test(test_set_loc),
		cmocka_unit_test(test_code_outside_of_segments_is_left_out),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_objects_without_rules),
		cmocka_unit_test(test_truncated_files),
		cmocka_unit_test(test_real_libc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
