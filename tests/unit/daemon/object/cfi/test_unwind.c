#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/object/cfi/cfi_rows.h"
#include "proto/base/cleanup.h"
#include "tests/unit/table_find.h"
#include "tests/unit/unwind_host.h"

/* A program of our own: code at CODE, a stack of STACK_BYTES at STACK. */
#define BIAS 0x555500000000
#define LINK 0x20000 /* link-time address of the first function */
#define CODE (BIAS + LINK)
#define STACK 0x7ffd00000000
#define STACK_BYTES 131072

static uint8_t stack[STACK_BYTES];
static struct cfi_rows *rows;
static struct cfi_table *table;

/* What stands in all code: by default bytes that are the end of a call anywhere. */
static uint8_t code_byte;
static bool code_is_untouched;	  /* not in the page table */
static const uint8_t *call_bytes; /* at its end, else NULL */
static size_t call_size;
static uint64_t called; /* these stand there */
static const uint8_t *called_bytes;
static uint64_t planted; /* what stands before this one is no call */

static int host_copy(void *dst, uint32_t size, uint64_t addr)
{
	if (addr >= CODE - 0x2000 && addr < CODE + 0x1000000) {
		if (code_is_untouched)
			return -1;
		memset(dst, addr + size == planted ? 0x90 : code_byte, size);
		if (call_bytes)
			memset(dst, 0x90, size);
		if (called && addr == called)
			memcpy(dst, called_bytes, size);
		else if (call_bytes)
			memcpy((uint8_t *)dst + size - call_size, call_bytes, call_size);
		return 0;
	}
	if (addr < STACK || addr - STACK > STACK_BYTES || size > STACK_BYTES - (addr - STACK))
		return -1;
	memcpy(dst, stack + (addr - STACK), size);
	return 0;
}

static void put(uint64_t offset, uint64_t value)
{
	memcpy(stack + offset, &value, 8);
}

static int begin(void **state)
{
	memset(stack, 0, sizeof(stack));
	code_byte = 0xe8;
	planted = called = 0;
	call_bytes = NULL;
	host_reset();
	return cfi_rows_new(LINK, 10000, &rows);
}

static int end(void **state)
{
	cfi_rows_free(rows);
	cfi_table_free(table);
	rows = NULL;
	table = NULL;
	return 0;
}

/* U2 for the walk that has just ended, and began so: the stack reads as it did, and whatever word
 * of it is another, either that shows or the walk is the same. */
static void check_reads(uint64_t pc, uint64_t sp, uint64_t fp)
{
	const struct unwind_reads reads = host_scratch.reads;
	const uint64_t hash = host_hash;
	size_t noticed = 0;

	assert_in_range(reads.count, 1, UNWIND_READS);
	for (size_t at = 0; at < STACK_BYTES; at += 8) {
		bool is_same;

		host_scratch.window_size = 0;
		assert_true(unwind_reads_same(&host_scratch, &reads));
		stack[at] ^= 8;
		host_scratch.window_size = 0;
		is_same = unwind_reads_same(&host_scratch, &reads);
		noticed += !is_same;
		if (is_same) {
			assert_int_equal(host_unwind(pc, sp, fp, false), DHAT_STOP_COMPLETE);
			assert_int_equal(host_hash, hash);
		}
		stack[at] ^= 8;
	}
	assert_in_range(noticed, 1, reads.count);
}

/* Code at CODE + offset: what its frames look like. */
static void code(uint32_t offset, uint32_t size, enum dhat_cfa cfa, int rbp, int cfa_offset)
{
	struct dhat_row row = { .cfa = cfa, .fp = (__s8)rbp, .cfa_offset = cfa_offset };

	assert_int_equal(cfi_rows_add(rows, LINK + offset, LINK + offset + size, row, true), 0);
}

static void mapped(void)
{
	assert_int_equal(cfi_rows_finish(rows, &table), 0);
	host_map(CODE - 0x1000, CODE + 0x1000000, BIAS, table);
}

static void expect_frames(const uint64_t *frames, uint32_t count)
{
	uint32_t i;

	assert_int_equal(host_scratch.frame_count, count);
	for (i = 0; i < count; i++)
		assert_int_equal(host_scratch.frames[i], frames[i]);
}
#define EXPECT(...)                                                                                \
	expect_frames((uint64_t[]){ __VA_ARGS__ }, ARRAY_SIZE(((uint64_t[]){ __VA_ARGS__ })))

static void test_frames_by_rsp(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, 0, 32);
	code(0x100, 0x100, DHAT_CFA_SP, -3, 48);
	code(0x200, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(0x100 + 24, CODE + 0x150);
	put(0x120 + 40, CODE + 0x250);
	put(0x120 + 24, 0xabcdef);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 7, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x150, CODE + 0x250);
	assert_int_equal(host_scratch.fp, 0xabcdef);
	assert_int_equal(host_scratch.sp, STACK + 0x150);
	assert_int_equal(host_scratch.flags, 0);
	check_reads(CODE + 0x50, STACK + 0x100, 7);
}

static void test_frames_by_rbp(void **state)
{
	code(0, 0x100, DHAT_CFA_FP, -2, 16);
	code(0x100, 0x100, DHAT_CFA_SP, 0, 8); /* keeps rbp */
	code(0x200, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(0x200, STACK + 0x400); /* saved rbp, return address */
	put(0x208, CODE + 0x150);
	put(0x210, CODE + 0x20);
	put(0x400, 0);
	put(0x408, CODE + 0x201);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, STACK + 0x200, false),
			 DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x150, CODE + 0x20, CODE + 0x201);
	check_reads(CODE + 0x50, STACK + 0x100, STACK + 0x200);
}

/* lea 8(%rsp),%r10; and $-32,%rsp; push -8(%r10); push %rbp; mov %rsp,%rbp; push %r10 */
static void test_realigned_stack(void **state)
{
	code(0, 0x100, DHAT_CFA_FP_DEREF, DHAT_FP_AT_FP, -8);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(0x200, 0x1234);	   /* *rbp: rbp of the caller */
	put(0x1f8, STACK + 0x250); /* r10: CFA */
	put(0x248, CODE + 0x180);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, STACK + 0x200, false),
			 DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x180);
	assert_int_equal(host_scratch.fp, 0x1234);
	check_reads(CODE + 0x50, STACK + 0x100, STACK + 0x200);
}

static void test_lazy_binding_stub(void **state)
{
	code(0, 0x100, DHAT_CFA_PLT, 0, 11);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(0x100, CODE + 0x110);
	put(0x108, CODE + 0x120);
	assert_int_equal(host_unwind(CODE + 0x4a, STACK + 0x100, 0, true), DHAT_STOP_COMPLETE);
	EXPECT((CODE + 0x4a) | DHAT_FRAME_EXACT_PC, CODE + 0x110);
	assert_int_equal(host_unwind(CODE + 0x4b, STACK + 0x100, 0, true), DHAT_STOP_COMPLETE);
	EXPECT((CODE + 0x4b) | DHAT_FRAME_EXACT_PC, CODE + 0x120);
}

/* The interrupted place is looked up as it is: here it is the first byte of its function, where
 * the byte before belongs to code without a rule. */
static void test_signal_frame(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	code(0x100, 0x10, DHAT_CFA_SIGNAL, 0, 0);
	code(0x200, 0x100, DHAT_CFA_FP, -2, 16);
	code(0x300, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(0x108, CODE + 0x101);
	put(0x110 + 120, STACK + 0x900);
	put(0x110 + 160, STACK + 0x800);
	put(0x110 + 168, CODE + 0x200);
	put(0x908, CODE + 0x310);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x101, (CODE + 0x200) | DHAT_FRAME_EXACT_PC, CODE + 0x310);
	check_reads(CODE + 0x50, STACK + 0x100, 0);
}

/* A call as the last instruction: the return address is the next function's first byte. */
static void test_call_of_what_never_returns(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	code(0x100, 0x100, DHAT_CFA_SP, 0, 64);
	code(0x200, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(0x108, CODE + 0x210);
	put(0x138, CODE + 0x220);
	assert_int_equal(host_unwind(CODE + 0x100, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x100, CODE + 0x210);
}

/* Frames of 3,000 bytes through a window of 4,096. */
static void test_window_slides(void **state)
{
	uint64_t sp = 0x100, frames[64];
	uint32_t count = 0;

	code(0, 0x100, DHAT_CFA_SP, -300 / 8, 3000);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	frames[count++] = CODE + 0x50;
	while (sp + 3000 < STACK_BYTES - 100) {
		sp += 3000;
		put(sp - 8, CODE + count);
		put(sp - 296, count);
		frames[count] = CODE + count;
		count++;
	}
	put(sp - 8, CODE + 0x180);
	frames[count - 1] = CODE + 0x180;
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	expect_frames(frames, count);
	assert_int_equal(host_scratch.fp, count - 1);
	/* two words a frame, and where the window moved to */
	assert_in_range(host_scratch.reads.count, 2 * (count - 1) + 1, 3 * (count - 1));
	host_scratch.window_size = 0;
	assert_true(unwind_reads_same(&host_scratch, &host_scratch.reads));
}

/* So many frames that each save two words, and one whose caller is the outermost. */
static void walk_deep(uint32_t depth)
{
	code(0, 0x100, DHAT_CFA_SP, -2, 32);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	for (uint32_t i = 1; i <= depth; i++) {
		put(0x100 + 32 * i - 8, i < depth ? CODE + 0x60 : CODE + 0x180);
		put(0x100 + 32 * i - 16, i);
	}
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	assert_int_equal(host_scratch.frame_count, depth + 1);
}

/* 80 frames are common: they are remembered with room to spare. */
static void test_a_deep_stack_is_known_again(void **state)
{
	walk_deep(90);
	check_reads(CODE + 0x50, STACK + 0x100, 0);
}

static void test_a_deeper_stack_than_is_kept_is_never_the_same(void **state)
{
	walk_deep(110);
	assert_true(host_scratch.reads.count > UNWIND_READS);
	host_scratch.window_size = 0;
	assert_false(unwind_reads_same(&host_scratch, &host_scratch.reads));
}

static void test_a_short_stack_through_two_windows(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, -300 / 8, 3000);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(0x100 + 3000 - 8, CODE + 0x60);
	put(0x100 + 6000 - 8, CODE + 0x180);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x60, CODE + 0x180);
	check_reads(CODE + 0x50, STACK + 0x100, 0);
}

/* The last page of a stack is less than a window. */
static void test_top_of_the_stack(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(STACK_BYTES - 24, CODE + 0x50);
	put(STACK_BYTES - 8, CODE + 0x150);
	assert_int_equal(host_unwind(CODE + 0x10, STACK + STACK_BYTES - 32, 0, false),
			 DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x10, CODE + 0x50, CODE + 0x150);
	put(STACK_BYTES - 8, CODE + 0x60); /* and on, past its end */
	assert_int_equal(host_unwind(CODE + 0x10, STACK + STACK_BYTES - 32, 0, false),
			 DHAT_STOP_BAD_MEMORY);
	EXPECT(CODE + 0x10, CODE + 0x50, CODE + 0x60);
}

static void test_bad_memory(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	code(0x100, 0x100, DHAT_CFA_FP, -2, 16);
	code(0x200, 0x10, DHAT_CFA_SIGNAL, 0, 0);
	code(0x300, 0x10, DHAT_CFA_FP_DEREF, 0, 0);
	mapped();
	assert_int_equal(host_unwind(CODE + 0x10, 0x1000, 0, false), DHAT_STOP_BAD_MEMORY);
	assert_int_equal(host_unwind(CODE + 0x10, STACK + 0x101, 0, false), DHAT_STOP_BAD_MEMORY);
	assert_int_equal(host_unwind(CODE + 0x10, UINT64_MAX - 7, 0, false), DHAT_STOP_BAD_MEMORY);
	assert_int_equal(host_unwind(CODE + 0x110, STACK, UINT64_MAX - 15, false),
			 DHAT_STOP_BAD_MEMORY);
	assert_int_equal(host_unwind(CODE + 0x201, 0x1000, 0, false), DHAT_STOP_BAD_MEMORY);
	assert_int_equal(host_unwind(CODE + 0x301, STACK, 0x1000, false), DHAT_STOP_BAD_MEMORY);
	EXPECT(CODE + 0x301);
}

/* A caller's frame lies above; what does not get there would go round for ever. */
static void test_running_backwards(void **state)
{
	code(0, 0x100, DHAT_CFA_FP, -2, 16);
	code(0x100, 0x100, DHAT_CFA_SP, 0, -16);
	code(0x200, 0x100, DHAT_CFA_SP, 0, 0);
	mapped();
	put(0x200, STACK + 0x200); /* rbp points at itself */
	put(0x208, CODE + 0x50);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, STACK + 0x200, false),
			 DHAT_STOP_BAD_MEMORY);
	EXPECT(CODE + 0x50, CODE + 0x50);
	put(0x1e8, CODE + 0x150);
	assert_int_equal(host_unwind(CODE + 0x150, STACK + 0x200, 0, false), DHAT_STOP_BAD_MEMORY);
	put(0x1f8, CODE + 0x250);
	assert_int_equal(host_unwind(CODE + 0x250, STACK + 0x200, 0, false), DHAT_STOP_BAD_MEMORY);
}

static void test_a_return_address_of_zero_is_the_end(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	mapped();
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50);
}

/* A stack of `depth` frames, each of another function, then its end. */
static void deep_stack(uint32_t depth)
{
	for (uint32_t i = 1; i < depth; i++)
		put(32ul * i - 8, CODE + 16ul * i + 8);
	put(32ul * depth - 8, 0);
}

/* Of a deep stack both ends are kept, each frame in its place, and how many there were. */
static void test_recursion(void **state)
{
	const uint32_t depths[] = { 1, 62, 63, 64, 126, 127, 128, 190, 191, 192, 1000, 2047, 2048 };
	uint64_t hashes[ARRAY_SIZE(depths)];

	code(0, 16 * DHAT_MAX_DEPTH, DHAT_CFA_SP, 0, 32);
	mapped();
	for (uint32_t i = 0; i < ARRAY_SIZE(depths); i++) {
		uint32_t depth = depths[i], kept = depth < 127 ? depth : 127;

		deep_stack(depth);
		assert_int_equal(host_unwind(CODE + 8, STACK, 0, false), DHAT_STOP_COMPLETE);
		assert_int_equal(host_scratch.frame_count, depth);
		assert_int_equal(dhat_kept_frames(depth, DHAT_STOP_COMPLETE), kept);
		for (uint32_t at = 0; at < depth; at++) {
			if (at < 63 || at + 64 >= depth)
				assert_int_equal(host_scratch.frames[dhat_frame_slot(at)],
						 CODE + 16ul * at + 8);
		}
		hashes[i] = host_hash;
		for (uint32_t j = 0; j < i; j++)
			assert_int_not_equal(hashes[i], hashes[j]);
	}
	/* the middle is not looked at: equally deep, it is the same stack */
	put(32 * 1000 - 8, CODE + 8);
	assert_int_equal(host_unwind(CODE + 8, STACK, 0, false), DHAT_STOP_COMPLETE);
	assert_int_equal(host_hash, hashes[ARRAY_SIZE(depths) - 1]);
	put(32 * 2000 - 8, CODE + 8);
	assert_int_equal(host_unwind(CODE + 8, STACK, 0, false), DHAT_STOP_COMPLETE);
	assert_int_not_equal(host_hash, hashes[ARRAY_SIZE(depths) - 1]);
	/* deeper than anybody walks: the innermost, whatever is outside */
	put(32 * 2048 - 8, CODE + 8);
	assert_int_equal(host_unwind(CODE + 8, STACK, 0, false), DHAT_STOP_TOO_DEEP);
	assert_int_equal(host_scratch.frame_count, DHAT_MAX_DEPTH);
	assert_int_equal(dhat_kept_frames(DHAT_MAX_DEPTH, DHAT_STOP_TOO_DEEP), 63);
	hashes[0] = host_hash;
	put(32 * 1990 - 8, CODE + 24);
	assert_int_equal(host_unwind(CODE + 8, STACK, 0, false), DHAT_STOP_TOO_DEEP);
	assert_int_equal(host_hash, hashes[0]);
}

static void test_places_without_a_rule(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, DHAT_FP_UNDEFINED, 16);
	code(0x100, 0x100, DHAT_CFA_FP, -2, 16);
	code(0x200, 0x100, DHAT_CFA_SP, -2, 16); /* has saved another rbp */
	code(0x300, 0x100, DHAT_CFA_NO_RULE, 0, 0);
	code(0x400, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	assert_int_equal(host_unwind(CODE + 0x310, STACK + 0x100, 0, false), DHAT_STOP_NO_RULE);
	EXPECT(CODE + 0x310);
	assert_int_equal(host_unwind(CODE, STACK + 0x100, 0, false), DHAT_STOP_NO_RULE);
	assert_int_equal(host_unwind(CODE + 0xfff000, STACK, 0, false), DHAT_STOP_NO_RULE);
	/* rbp is lost here, and the caller is found by it */
	put(0x108, CODE + 0x150);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, STACK + 0x400, false),
			 DHAT_STOP_NO_RULE);
	EXPECT(CODE + 0x50, CODE + 0x150);
	/* or the caller does not need it, and its caller gets his own */
	put(0x108, CODE + 0x250);
	put(0x110, STACK + 0x800);
	put(0x118, CODE + 0x150);
	put(0x808, CODE + 0x450);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, STACK + 0x400, false),
			 DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x250, CODE + 0x150, CODE + 0x450);
}

/* Where frame pointers are kept they are taken for a rule; elsewhere they are not. */
static void test_frame_pointers_for_want_of_a_rule(void **state)
{
	code(0, 0x100, DHAT_CFA_CHAIN | DHAT_CFA_READ, 0, 0);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(0x200, STACK + 0x300);
	put(0x208, CODE + 0x80);
	put(0x300, 77);
	put(0x308, CODE + 0x150);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, STACK + 0x200, false),
			 DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x80, CODE + 0x150);
	assert_int_equal(host_scratch.flags, DHAT_STACK_USED_FP);
	put(0x300, 0); /* no end, but at the entry point or in a clone's child */
	put(0x308, 0);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, STACK + 0x200, false),
			 DHAT_STOP_NO_RULE);
	EXPECT(CODE + 0x50, CODE + 0x80);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_NO_RULE);
	EXPECT(CODE + 0x50);
	assert_int_equal(host_scratch.flags, 0);
}

#define JIT 0x100000000 /* code of no file, below all mappings */

static void test_jit_code_by_frame_pointer(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(0x108, JIT + 0x10);
	put(0x400, STACK + 0x500);
	put(0x408, JIT + 0x20);
	put(0x500, 0);
	put(0x508, CODE + 0x150);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, STACK + 0x400, false),
			 DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, JIT + 0x10, JIT + 0x20, CODE + 0x150);
	assert_int_equal(host_scratch.flags, DHAT_STACK_USED_FP);
	/* no frame pointers there: rbp is any number */
	assert_int_equal(host_unwind(JIT + 0x10, STACK + 0x200, STACK + 0x100, false),
			 DHAT_STOP_JIT); /* below sp */
	put(0x408, 12);			 /* no code there */
	assert_int_equal(host_unwind(JIT + 0x10, STACK + 0x200, STACK + 0x400, false),
			 DHAT_STOP_JIT);
	EXPECT(JIT + 0x10);
	assert_int_equal(host_unwind(JIT + 0x10, STACK + 0x200, 0x123456, false), DHAT_STOP_JIT);
	/* 0 in rbp is just a number, at the end of a chain, too; so is a return address of 0 there
	 */
	assert_int_equal(host_unwind(JIT + 0x10, STACK + 0x200, 0, false), DHAT_STOP_JIT);
	put(0x400, 0);
	put(0x408, JIT + 0x20);
	assert_int_equal(host_unwind(JIT + 0x10, STACK + 0x200, STACK + 0x400, false),
			 DHAT_STOP_JIT);
	EXPECT(JIT + 0x10, JIT + 0x20);
	put(0x400, STACK + 0x500);
	put(0x508, 0);
	assert_int_equal(host_unwind(JIT + 0x10, STACK + 0x200, STACK + 0x400, false),
			 DHAT_STOP_JIT);
	EXPECT(JIT + 0x10, JIT + 0x20);
}

/* A step for want of a rule is taken back if it led to no place that somebody called from. */
static void test_a_guess_is_proved(void **state)
{
	uint64_t hash;

	code(0, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	host_map(0x7f0000000000, 0x7f0000001000, 0, NULL);
	put(0x408, CODE + 0x50);
	assert_int_equal(host_unwind(0x7f0000000500, STACK + 0x100, 1, false), DHAT_STOP_NO_TABLE);
	hash = unwind_hash(&host_scratch);
	code_byte = 0x90; /* no call there */
	host_reset();
	host_map(CODE - 0x1000, CODE + 0x1000000, BIAS, table);
	host_map(0x7f0000000000, 0x7f0000001000, 0, NULL);
	assert_int_equal(host_unwind(0x7f0000000500, STACK + 0x100, STACK + 0x400, false),
			 DHAT_STOP_NO_TABLE);
	EXPECT(0x7f0000000500);
	assert_int_equal(host_scratch.flags, 0);
	assert_int_equal(unwind_hash(&host_scratch), hash);
	assert_int_equal(host_unread, 0);
	/* where it cannot be read, it is told: the row is kept until it was */
	code_is_untouched = true;
	host_reset();
	host_map(CODE - 0x1000, CODE + 0x1000000, BIAS, table);
	host_map(0x7f0000000000, 0x7f0000001000, 0, NULL);
	assert_int_equal(host_unwind(0x7f0000000500, STACK + 0x100, STACK + 0x400, false),
			 DHAT_STOP_NO_TABLE);
	assert_int_equal(host_unread, CODE + 0x50 - 1);
	code_is_untouched = false;
	code_byte = 0xe8;
	host_memo[unwind_memo_number(host_unread)] = (struct unwind_memo){ 0 };
	host_unwind(0x7f0000000500, STACK + 0x100, STACK + 0x400, false);
	EXPECT(0x7f0000000500, CODE + 0x50);
	code_byte = 0x90;
	/* the interpreter of Java makes its own return addresses */
	put(0x408, JIT + 0x50);
	assert_int_equal(host_unwind(0x7f0000000500, STACK + 0x100, STACK + 0x400, false),
			 DHAT_STOP_JIT);
	EXPECT(0x7f0000000500, JIT + 0x50);
	assert_int_equal(host_scratch.flags, DHAT_STACK_USED_FP);
	/* but not where no code is; it is not known if nobody can look now */
	host_is_code = -1;
	put(0x408, JIT + 0x60);
	assert_int_equal(host_unwind(0x7f0000000500, STACK + 0x100, STACK + 0x400, false),
			 DHAT_STOP_JIT);
	EXPECT(0x7f0000000500, JIT + 0x60);
	host_is_code = 0;
	assert_int_equal(host_unwind(0x7f0000000500, STACK + 0x100, STACK + 0x400, false),
			 DHAT_STOP_NO_TABLE);
	EXPECT(0x7f0000000500);
	/* nor is a frame taken for endless */
	put(0x408, CODE + 0x50);
	code_byte = 0xe8;
	assert_int_equal(
		host_unwind(0x7f0000000600, STACK + 0x100 - UNWIND_MAX_FRAME, STACK + 0x408, false),
		DHAT_STOP_NO_TABLE);
}

/* So is what a rule leads to that was read out of instructions: a return address of 0 is none, and
 * neither is what nobody called from, but for the return from a signal handler. */
static void test_a_rule_from_code_is_proved(void **state)
{
	code(0, 0x100, DHAT_CFA_SP | DHAT_CFA_READ, 0, 16);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	code(0x200, 0x10, DHAT_CFA_SIGNAL | DHAT_CFA_READ, 0, 0);
	mapped();
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_NO_RULE);
	EXPECT(CODE + 0x50);
	put(0x108, CODE + 0x150);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x150);
	assert_int_equal(host_scratch.flags, 0);
	host_reset();
	host_map(CODE - 0x1000, CODE + 0x1000000, BIAS, table);
	code_byte = 0x90;
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_NO_RULE);
	EXPECT(CODE + 0x50);
	put(0x108, CODE + 0x201);
	put(0x110 + 160, STACK + 0x800);
	put(0x110 + 168, CODE + 0x150);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x201, (CODE + 0x150) | DHAT_FRAME_EXACT_PC);
}

/* A rule that was wrong: no frame is made of what is no code. */
static void test_no_frame_without_code(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	mapped();
	put(0x108, 10);
	host_is_code = 0;
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_BAD_MEMORY);
	EXPECT(CODE + 0x50);
	assert_int_equal(host_unwind(JIT, STACK + 0x100, 0, false), DHAT_STOP_BAD_MEMORY);
	EXPECT(JIT);
}

/* What no call precedes was put there by hand: it is the frame, not the function before it, and the
 * stack begins there if it never returns, or returns to 0. */
static void test_a_planted_return_address(void **state)
{
	static const uint8_t indirect[] = { 0xff, 0xd0 };

	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	code(0x100, 0x10, DHAT_CFA_SP | DHAT_CFA_ENDLESS, 0, 8);
	code(0x200, 0x10, DHAT_CFA_SP, 0, 8); /* a function begins */
	code(0x210, 0x10, DHAT_CFA_SP, 0, 16);
	mapped();
	planted = CODE + 0x100;
	put(0x108, planted);
	put(0x110, CODE + 0x50); /* rubbish */
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, planted | DHAT_FRAME_EXACT_PC);
	/* the same behind a call, which may lead anywhere: as ever */
	call_bytes = indirect;
	call_size = sizeof(indirect);
	host_reset();
	host_map(CODE - 0x1000, CODE + 0x1000000, BIAS, table);
	planted = 0;
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x100);
	call_bytes = NULL;
	/* one that returns to nowhere, to 0, and to a caller */
	planted = CODE + 0x200;
	put(0x108, planted);
	put(0x110, 0x1234567);
	host_is_code = 0;
	host_reset();
	host_is_code = 0;
	host_map(CODE - 0x1000, CODE + 0x1000000, BIAS, table);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_NO_CALLER);
	EXPECT(CODE + 0x50, planted | DHAT_FRAME_EXACT_PC);
	put(0x110, 0);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, planted | DHAT_FRAME_EXACT_PC);
	put(0x110, CODE + 0x60);
	put(0x120, 0);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, planted | DHAT_FRAME_EXACT_PC, CODE + 0x60);
	/* in the middle of a function nothing begins */
	planted = CODE + 0x210;
	put(0x108, planted);
	put(0x110, 0);
	host_reset();
	host_map(CODE - 0x1000, CODE + 0x1000000, BIAS, table);
	host_unwind(CODE + 0x50, STACK + 0x100, 0, false);
	assert_int_equal(host_scratch.frames[1], planted);
}

/* ends_in_call(), at its end a call to the function that follows in `call_bytes`; a function begins
 * behind it; and what stands above is the stack's end. */
static enum dhat_stop behind_a_call(uint64_t target, const uint8_t *at_target)
{
	const uint64_t pc = CODE + 0x100;
	static uint8_t call[5] = { 0xe8 };
	int32_t distance = (int32_t)(target - pc);

	memcpy(call + 1, &distance, sizeof(distance));
	call_bytes = call;
	call_size = sizeof(call);
	called = at_target ? target : 0;
	called_bytes = at_target;
	host_reset();
	host_map(CODE - 0x1000, CODE + 0x1000000, BIAS, table);
	put(0x108, pc);
	return host_unwind(CODE + 0x5050, STACK + 0x100, 0, false);
}

/* A call stands before it, which belongs to the function before: where it leads proves that. What
 * is not proved stays as the rule of that function has it. */
static void test_a_planted_return_address_behind_a_call(void **state)
{
	static const uint8_t stub[8] = { 0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0 };
	static const uint8_t function[8] = { 0xf3, 0x0f, 0x1e, 0xfa, 0x55 };
	const uint64_t frame = CODE + 0x5050, begun = (CODE + 0x100) | DHAT_FRAME_EXACT_PC;

	code(0, 0x100, DHAT_CFA_SP, 0, 32); /* ends in the call */
	code(0x100, 0x10, DHAT_CFA_SP, 0, 8);
	code(0x5000, 0x100, DHAT_CFA_SP, 0, 16);
	code(0x6000, 0x100, DHAT_CFA_SP, 0, 16);
	mapped();
	/* to a function further on than the frame, or far before it */
	assert_int_equal(behind_a_call(CODE + 0x6000, function), DHAT_STOP_COMPLETE);
	EXPECT(frame, begun);
	assert_int_equal(behind_a_call(CODE + 0x5050 - 0x10000, function), DHAT_STOP_COMPLETE);
	EXPECT(frame, begun);
	/* to a linkage table's stub close before it; to what may well be the function around it */
	assert_int_equal(behind_a_call(CODE + 0x5000, stub), DHAT_STOP_COMPLETE);
	EXPECT(frame, begun);
	assert_int_equal(behind_a_call(CODE + 0x5000, function), DHAT_STOP_COMPLETE);
	EXPECT(frame, CODE + 0x100);
	/* it has a caller by that rule: a real call, wherever it leads */
	put(0x110 + 24, CODE + 0x6050);
	assert_int_equal(behind_a_call(CODE + 0x6000, function), DHAT_STOP_COMPLETE);
	EXPECT(frame, CODE + 0x100, CODE + 0x6050);
	/* that rule leads beyond the stack */
	put(0x110 + 24, 0);
	memmove(stack + STACK_BYTES - 16, &(uint64_t){ CODE + 0x100 }, 8);
	put(STACK_BYTES - 8, 0);
	assert_int_equal(host_unwind(frame, STACK + STACK_BYTES - 24, 0, false),
			 DHAT_STOP_COMPLETE);
	EXPECT(frame, begun);
}

/* Each form of a call, and what only looks like one. */
static void test_calls_are_recognised(void **state)
{
	static const struct {
		uint8_t size, bytes[8];
		bool is_call;
	} cases[] = {
		{ 5, { 0xe8, 1, 2, 3, 4 }, true },	       /* call 4030206 */
		{ 2, { 0xff, 0xd0 }, true },		       /* call *%rax */
		{ 3, { 0x41, 0xff, 0xd7 }, true },	       /* call *%r15 */
		{ 2, { 0xff, 0x10 }, true },		       /* call *(%rax) */
		{ 3, { 0xff, 0x50, 0x18 }, true },	       /* call *24(%rax) */
		{ 4, { 0x41, 0xff, 0x55, 0x60 }, true },       /* call *96(%r13) */
		{ 3, { 0xff, 0x14, 0xc8 }, true },	       /* call *(%rax,%rcx,8) */
		{ 4, { 0xff, 0x54, 0x24, 0x10 }, true },       /* call *16(%rsp) */
		{ 6, { 0xff, 0x90, 0, 1, 0, 0 }, true },       /* call *256(%rax) */
		{ 7, { 0x41, 0xff, 0x95, 0, 1, 0, 0 }, true }, /* call *256(%r13) */
		{ 6, { 0xff, 0x15, 1, 2, 3, 4 }, true },       /* call *4030201(%rip) */
		{ 7, { 0xff, 0x94, 0x24, 0, 1, 0, 0 }, true }, /* call *256(%rsp) */
		{ 7, { 0xff, 0x14, 0xc5, 0, 1, 0, 0 }, true }, /* call *256(,%rax,8) */
		{ 5, { 0xe9, 1, 2, 3, 4 }, false },	       /* jmp 4030206 */
		{ 2, { 0xff, 0xe0 }, false },		       /* jmp *%rax */
		{ 2, { 0xff, 0xc0 }, false },		       /* inc %eax */
		{ 3, { 0xff, 0x70, 0x18 }, false },	       /* push 24(%rax) */
		{ 6, { 0xff, 0x25, 1, 2, 3, 4 }, false },      /* jmp *4030201(%rip) */
		{ 1, { 0xc3 }, false },			       /* ret */
		{ 5, { 0x48, 0x89, 0xe5, 0x31, 0xc0 }, false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		call_bytes = cases[i].bytes;
		call_size = cases[i].size;
		if ((unwind_is_call(CODE + 0x100) > 0) != cases[i].is_call)
			fail_msg("case %zu", i);
	}
	call_bytes = NULL;
}

static void test_file_without_a_table(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	host_map(0x7f0000000000, 0x7f0000001000, 0, NULL);
	put(0x408, CODE + 0x150);
	assert_int_equal(host_unwind(0x7f0000000500, STACK + 0x100, STACK + 0x400, false),
			 DHAT_STOP_COMPLETE);
	EXPECT(0x7f0000000500, CODE + 0x150);
	assert_int_equal(host_scratch.flags, DHAT_STACK_USED_FP);
	assert_int_equal(host_unwind(0x7f0000000500, STACK + 0x100, 1, false), DHAT_STOP_NO_TABLE);
	assert_int_equal(host_scratch.flags, 0);
	/* the code used rbp for something else, and an old return address was there: what ends
	 * behind that by a return address of 0 is not whole, as it would be without the guess */
	put(0x408, CODE + 0x50);
	put(0x418, 0);
	assert_int_equal(host_unwind(0x7f0000000500, STACK + 0x100, STACK + 0x400, false),
			 DHAT_STOP_NO_RULE);
	EXPECT(0x7f0000000500, CODE + 0x50);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x410, 0, false), DHAT_STOP_COMPLETE);
	host_mappings[1].kind = DHAT_MAPPING_PENDING;
	unwind_control.active += 2; /* as after every change */
	assert_int_equal(host_unwind(0x7f0000000500, STACK + 0x100, 1, false), DHAT_STOP_NO_TABLE);
}

/* A return probe that waits has put its trampoline where a return address was. */
static void test_pending_return_probe(void **state)
{
	uint64_t trampoline = 0x7fffffffe000;

	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	code(0x100, 0x100, DHAT_CFA_SP, 0, 32);
	code(0x200, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	host_hidden_slot = STACK + 0x108;
	host_hidden_return = CODE + 0x150;
	put(0x108, trampoline);
	put(0x128, CODE + 0x250);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 0, false), DHAT_STOP_COMPLETE);
	EXPECT(CODE + 0x50, CODE + 0x150, CODE + 0x250);
	/* the trampoline hides another address the next time, and no word of the stack tells */
	assert_false(unwind_reads_same(&host_scratch, &host_scratch.reads));
}

/* Once code was mapped or unmapped, a mapping counts only if the process still has it. */
static void test_past_epoch(void **state)
{
	code(0, 0x100, DHAT_CFA_SP, 0, 16);
	code(0x100, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	put(0x108, CODE + 0x150);
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 1, false), DHAT_STOP_COMPLETE);
	unwind_control.epoch++;
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 1, false), DHAT_STOP_COMPLETE);
	unwind_control.epoch++;
	host_is_current = false;
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 1, false), DHAT_STOP_NO_TABLE);
	unwind_control.bank_epoch[0] = unwind_control.epoch;
	unwind_control.active += 2;
	assert_int_equal(host_unwind(CODE + 0x50, STACK + 0x100, 1, false), DHAT_STOP_COMPLETE);
}

static void test_the_other_bank(void **state)
{
	code(0, 0x100, DHAT_CFA_END, 0, 0);
	mapped();
	assert_int_equal(host_unwind(CODE + 0x50, STACK, 1, false), DHAT_STOP_COMPLETE);
	unwind_control.active = 3; /* bank 1, which has no mappings */
	assert_int_equal(host_unwind(CODE + 0x50, STACK, 1, false), DHAT_STOP_JIT);
	host_mappings[DHAT_MAX_MAPPINGS] = host_mappings[0];
	unwind_control.count[1] = 1;
	unwind_control.active = 5;
	assert_int_equal(host_unwind(CODE + 0x50, STACK, 1, false), DHAT_STOP_COMPLETE);
}

static void test_every_mapping_is_found(void **state)
{
	uint32_t i;

	for (i = 0; i < DHAT_MAX_MAPPINGS; i++) {
		host_mappings[i].start = 0x10000 + i * 0x3000ull;
		host_mappings[i].end = host_mappings[i].start + 0x1000;
	}
	for (i = 0; i < DHAT_MAX_MAPPINGS; i++) {
		assert_int_equal(
			unwind_find_mapping(host_mappings[i].start, 0, DHAT_MAX_MAPPINGS, 0), i);
		assert_int_equal(unwind_find_mapping(host_mappings[i].end, 0, DHAT_MAX_MAPPINGS, 0),
				 i);
		assert_int_equal(unwind_find_mapping(host_mappings[i].start, 0, i + 1, 0), i);
	}
}

/* The kernel side's search and cfi_table_find() agree, all over a real library. */
static void test_rows_of_libc(void **state)
{
	_cleanup_close_ int fd = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC);
	const struct dhat_row *row;
	struct dhat_row none = {};
	uint64_t pc, found, expected;

	assert_int_equal(cfi_build(fd, 1 << 20, &table, NULL), 0);
	host_tables[0] = table;
	for (pc = 0; pc < 0x200000; pc += 3) {
		row = cfi_table_find(table, table->first_page_vaddr + pc) ?: &none;
		found = unwind_find_row(0, pc, 0);
		memcpy(&expected, row, sizeof(expected));
		if ((found >> 16) << 16 != (expected >> 16) << 16)
			fail_msg("at %#lx: %#lx", (long)pc, (long)found);
	}
	assert_int_equal(unwind_find_row(0, UINT64_MAX, 0), 0);
}

/* Tables are made by a process that reads hostile files: any words are survived. */
static void test_random_words_as_a_table(void **state)
{
	uint64_t words[64], pc;
	struct cfi_table noise = { .words = words, .word_count = 64 };
	unsigned int round, i;

	srandom(1);
	host_tables[0] = &noise;
	for (round = 0; round < 20000; round++) {
		for (i = 0; i < 64; i++)
			words[i] =
				((uint64_t)random() << 33 ^ (uint64_t)random()) >> (random() % 64);
		noise.word_count = (uint32_t)random() % 65;
		pc = (uint64_t)random() >> (random() % 32);
		unwind_find_row(0, pc, 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_frames_by_rsp),
		TEST(test_frames_by_rbp),
		TEST(test_realigned_stack),
		TEST(test_lazy_binding_stub),
		TEST(test_signal_frame),
		TEST(test_call_of_what_never_returns),
		TEST(test_window_slides),
		TEST(test_a_deep_stack_is_known_again),
		TEST(test_a_deeper_stack_than_is_kept_is_never_the_same),
		TEST(test_a_short_stack_through_two_windows),
		TEST(test_top_of_the_stack),
		TEST(test_bad_memory),
		TEST(test_running_backwards),
		TEST(test_a_return_address_of_zero_is_the_end),
		TEST(test_recursion),
		TEST(test_places_without_a_rule),
		TEST(test_frame_pointers_for_want_of_a_rule),
		TEST(test_jit_code_by_frame_pointer),
		TEST(test_a_guess_is_proved),
		TEST(test_a_rule_from_code_is_proved),
		TEST(test_no_frame_without_code),
		TEST(test_calls_are_recognised),
		TEST(test_a_planted_return_address),
		TEST(test_a_planted_return_address_behind_a_call),
		TEST(test_file_without_a_table),
		TEST(test_pending_return_probe),
		TEST(test_past_epoch),
		TEST(test_the_other_bank),
		TEST(test_every_mapping_is_found),
		TEST(test_rows_of_libc),
		TEST(test_random_words_as_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
