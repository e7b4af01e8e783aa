/* prologue: hand-made functions, one rule each; then the functions of the libc that is installed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/object/machine/flow.h"
#include "daemon/object/machine/probe_place.h"
#include "proto/base/cleanup.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12 };

#define CODE(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define ENDBR64 0xf3, 0x0f, 0x1e, 0xfa
#define NOP5 0x0f, 0x1f, 0x44, 0x00, 0x00
#define TEST_RDI 0x48, 0x85, 0xff
#define MOV_RBX_RDI 0x48, 0x89, 0xfb
#define MOV_RDI_RSI 0x48, 0x89, 0xf7
#define MOV_EBX_EDI 0x89, 0xfb
#define XOR_EDI_EDI 0x31, 0xff
#define SUB_RSP_24 0x48, 0x83, 0xec, 0x18
#define PUSH_RBP 0x55
#define PUSH_R12 0x41, 0x54
#define MOV_RBP_RSP 0x48, 0x89, 0xe5
#define RET 0xc3
#define JE(distance) 0x74, distance
#define JMP(distance) 0xeb, (uint8_t)(distance)

static const struct prologue_options for_free = { .may_fork = true, .arg_mask = 1 };
static const struct prologue_options for_malloc = { .for_return = true,
						    .may_fork = true,
						    .arg_mask = 1 };

static struct prologue_site choose(const uint8_t *code, size_t size,
				   const struct prologue_options *options)
{
	struct prologue_site site;

	assert_int_equal(prologue_choose(code, size, 0x1000, options, &site), 0);
	return site;
}

static void test_push_is_taken_at_once(void **state)
{
	struct prologue_site site = choose(CODE(PUSH_RBP, RET), &for_malloc);

	assert_true(site.offset == 0 && site.is_emulated && site.sp_words == 0);
	assert_true(site.arg_reg[0] == RDI && site.arg_reg[1] == RSI && site.arg_reg[5] == R9);
	assert_int_equal(site.length, 1);
	assert_string_equal(site.instruction, "push %rbp");
	assert_string_equal(site.note, "");
	assert_int_equal(choose(CODE(PUSH_R12, RET), &for_malloc).length, 2);
}

static void test_endbr64_is_stepped_over(void **state)
{
	struct prologue_site site = choose(CODE(ENDBR64, PUSH_RBP, RET), &for_malloc);

	assert_true(site.offset == 4 && site.is_emulated);
}

static void test_compare_and_jump(void **state)
{
	/* glibc's free: test %rdi,%rdi; je */
	struct prologue_site site = choose(CODE(TEST_RDI, JE(1), PUSH_RBP, RET, RET), &for_malloc);

	assert_true(site.offset == 3 && site.is_emulated && site.length == 2);
	/* the six-byte form */
	site = choose(CODE(TEST_RDI, 0x0f, 0x84, 1, 0, 0, 0, PUSH_RBP, RET, RET), &for_malloc);
	assert_true(site.offset == 3 && site.is_emulated && site.length == 6);
}

static void test_jump_and_call(void **state)
{
	assert_int_equal(
		choose(CODE(XOR_EDI_EDI, JMP(0), RET), &(struct prologue_options){ .arg_mask = 2 })
			.offset,
		2);
	assert_int_equal(
		choose(CODE(TEST_RDI, 0xe8, 0, 0, 0, 0, PUSH_RBP, RET), &for_malloc).offset, 3);
	assert_int_equal(choose(CODE(TEST_RDI, 0x90, RET), &for_malloc).offset, 3);
}

/* Somebody comes back to the push: there it would be hit twice. */
static void test_jump_back_into_the_prologue(void **state)
{
	struct prologue_site site =
		choose(CODE(TEST_RDI, PUSH_RBP, JE(3), JMP(-5), RET, RET), &for_malloc);

	assert_int_equal(site.offset, 0);
	assert_false(site.is_emulated);
	assert_non_null(strstr(site.note, "single-stepped"));
	/* The same when only a jump table leads to the jump. */
	site = choose(CODE(TEST_RDI, PUSH_RBP, JE(2), 0xff, 0xe0, RET, JMP(-8), RET), &for_malloc);
	assert_int_equal(site.offset, 0);
	/* A jump behind the site is none of our business. */
	site = choose(CODE(TEST_RDI, PUSH_RBP, TEST_RDI, JE(2), JMP(-7), RET), &for_malloc);
	assert_true(site.offset == 3 && site.is_emulated);
}

static void test_jump_back_to_the_entry(void **state)
{
	struct prologue_site site = choose(CODE(PUSH_RBP, JE(3), 0x5d, JMP(-6), RET), &for_malloc);

	assert_true(site.is_repeated);
	assert_non_null(strstr(site.note, "back to its entry"));
	/* A recursive call is a call. */
	site = choose(CODE(PUSH_RBP, 0xe8, 0xfa, 0xff, 0xff, 0xff, RET), &for_malloc);
	assert_false(site.is_repeated);
}

static void test_too_short(void **state)
{
	struct prologue_site site = choose(CODE(RET), &for_malloc);

	assert_true(site.offset == 0 && !site.is_emulated);
	site = choose(CODE(0x48, 0x89, 0xf8, RET), &for_malloc);
	assert_true(site.offset == 0 && !site.is_emulated);
	assert_non_null(strstr(site.note, "single-stepped"));
}

static void test_five_byte_nop(void **state)
{
	struct prologue_site site = choose(CODE(NOP5, PUSH_RBP, RET), &for_malloc);
	static const struct prologue_options quiet = { .for_return = true, .arg_mask = 1 };

	assert_true(site.offset == 5 && site.is_emulated);
	/* Nothing better: still not the nop, but the stepped instruction behind it. */
	site = choose(CODE(NOP5, TEST_RDI, RET), &for_malloc);
	assert_true(site.offset == 5 && !site.is_emulated);
	/* No place at all, unless nobody forks. */
	assert_int_equal(prologue_choose(CODE(NOP5), 0, &for_malloc, &site), -ENOTSUP);
	assert_int_equal(prologue_choose(CODE(NOP5), 0, &quiet, &site), 0);
	assert_false(site.is_emulated);
}

/* Taken for a nop by the kernel, or refused by it: 41 90 is an xchg; 66 90 before 6.2; branches
 * with 66 or a segment prefix. */
static void test_places_the_kernel_gets_wrong(void **state)
{
	static const struct prologue_options none = { 0 };
	struct prologue_site site;

	assert_int_equal(prologue_choose(CODE(0x41, 0x90), 0, &none, &site), -ENOTSUP);
	assert_int_equal(prologue_choose(CODE(0x66, 0x90), 0, &none, &site), -ENOTSUP);
	assert_int_equal(prologue_choose(CODE(0x3e, 0x74, 0x00), 0, &none, &site), -ENOTSUP);
	assert_int_equal(prologue_choose(CODE(0xf0, 0xff, 0x00), 0, &none, &site), -ENOTSUP);
	assert_int_equal(prologue_choose(CODE(0x0f, 0x05), 0, &none, &site), -ENOTSUP);
	/* endbr64 and "push" with a REX prefix other than 41 are stepped */
	assert_false(choose(CODE(ENDBR64), &none).is_emulated);
	assert_false(choose(CODE(0x40, 0x55), &none).is_emulated);
	assert_false(choose(CODE(0xff, 0x30), &none).is_emulated);
	/* bnd jmp is emulated */
	assert_true(choose(CODE(0xf2, 0xe9, 0, 0, 0, 0), &none).is_emulated);
}

static void test_argument_is_followed(void **state)
{
	/* mov %rdi,%rbx; xor %edi,%edi; je */
	struct prologue_site site = choose(CODE(MOV_RBX_RDI, XOR_EDI_EDI, JE(0), RET), &for_malloc);

	assert_true(site.offset == 5 && site.is_emulated);
	assert_int_equal(site.arg_reg[0], RBX);
	assert_int_equal(site.arg_reg[1], RSI);
	/* Overwritten without a copy: only the places before know it. */
	site = choose(CODE(TEST_RDI, XOR_EDI_EDI, JE(0), RET), &for_malloc);
	assert_true(site.offset == 0 && !site.is_emulated);
	/* A 32-bit copy is none. */
	site = choose(CODE(MOV_EBX_EDI, XOR_EDI_EDI, JE(0), RET), &for_malloc);
	assert_true(site.offset == 0 && !site.is_emulated);
	/* Argument 1 moved into argument 0's register. */
	site = choose(CODE(MOV_RDI_RSI, 0x31, 0xf6, JE(0), RET),
		      &(struct prologue_options){ .arg_mask = 2 });
	assert_true(site.is_emulated && site.arg_reg[1] == RDI);
	assert_int_equal(site.arg_reg[0], PROLOGUE_LOST);
}

static void test_stack_is_followed(void **state)
{
	/* sub $24,%rsp; test; je: not for a return probe, but for a free */
	const uint8_t code[] = { SUB_RSP_24, TEST_RDI, JE(0), RET };
	struct prologue_site site = choose(code, sizeof(code), &for_free);

	assert_true(site.offset == 7 && site.is_emulated && site.sp_words == 3);
	site = choose(code, sizeof(code), &for_malloc);
	assert_true(site.offset == 0 && !site.is_emulated && site.sp_words == 0);
	/* push $imm (stepped) moves rsp by a word, lea -16(%rsp) by two, pop back by one */
	site = choose(CODE(0x6a, 1, JE(0), RET), &for_free);
	assert_true(site.offset == 2 && site.sp_words == 1);
	site = choose(CODE(0x48, 0x8d, 0x64, 0x24, 0xf0, JE(0), RET), &for_free);
	assert_true(site.offset == 5 && site.sp_words == 2);
	site = choose(CODE(SUB_RSP_24, 0x58, JE(0), RET), &for_free);
	assert_true(site.is_emulated && site.sp_words == 2);
	/* Aligned by a mask: nobody knows how far. */
	site = choose(CODE(0x48, 0x83, 0xe4, 0xf0, JE(0), RET), &for_free);
	assert_true(site.offset == 0 && !site.is_emulated);
	/* 256 words do not fit a cookie. */
	site = choose(CODE(0x48, 0x81, 0xec, 0, 8, 0, 0, JE(0), RET), &for_free);
	assert_true(site.offset == 0 && !site.is_emulated);
}

/* gcc 16 makes room first, and moves registers where others pushed them: calloc of musl 1.2.6,
 * mi__expand of mimalloc 3.6. A return probe finds the return address where rsp points, so that its
 * place must come before; nothing there is emulated, and the ways out are no better: the kernel
 * steps `ret', too. */
static void test_room_is_made_first(void **state)
{
	static const uint8_t calloc_code[] = {
		ENDBR64, SUB_RSP_24, 0x4c, 0x89,  0x64, 0x24, 0x10, /* mov %r12,0x10(%rsp) */
		0x48,	 0x85,	     0xf6, JE(0),		    /* test %rsi,%rsi */
		RET,
	};
	static const uint8_t expand_code[] = { ENDBR64, SUB_RSP_24, 0xe8, 0, 1, 0, 0, RET };
	static const struct prologue_options both = { .for_return = true,
						      .may_fork = true,
						      .arg_mask = 3 };
	struct prologue_options alone = both;
	struct prologue_site site = choose(calloc_code, sizeof(calloc_code), &both);

	assert_true(site.offset == 0 && !site.is_emulated && site.sp_words == 0);
	assert_non_null(strstr(site.note, "single-stepped"));
	site = choose(expand_code, sizeof(expand_code), &both);
	assert_true(site.offset == 0 && !site.is_emulated);
	/* who needs no return has a good place, with the arguments and the return address known */
	alone.for_return = false;
	site = choose(calloc_code, sizeof(calloc_code), &alone);
	assert_true(site.offset == 16 && site.is_emulated && site.sp_words == 3);
	assert_true(site.arg_reg[0] == RDI && site.arg_reg[1] == RSI);
	site = choose(expand_code, sizeof(expand_code), &alone);
	assert_true(site.offset == 8 && site.is_emulated && site.sp_words == 3);
}

/* The unwinder starts with the caller's rbp. */
static void test_frame_pointer_ends_the_line(void **state)
{
	struct prologue_site site = choose(CODE(0x6a, 1, MOV_RBP_RSP, JE(0), RET), &for_free);

	assert_true(site.offset == 0 && !site.is_emulated);
}

static void test_nothing_behind_a_branch(void **state)
{
	/* A jump through memory cannot be emulated, and ends the line. */
	struct prologue_site site =
		choose(CODE(0xff, 0x25, 0, 0, 0, 0, PUSH_RBP, RET), &for_malloc);

	assert_true(site.offset == 0 && !site.is_emulated);
}

static void test_bytes_that_are_no_code(void **state)
{
	struct prologue_site site;

	assert_int_equal(prologue_choose(CODE(0x06, 0x07), 0, &for_malloc, &site), -EINVAL);
	assert_int_equal(prologue_choose(NULL, 0, 0, &for_malloc, &site), -EINVAL);
	assert_int_equal(prologue_choose(CODE(0x48), 0, &for_malloc, &site), -EINVAL);
	/* A good start is good enough. */
	assert_int_equal(prologue_choose(CODE(PUSH_RBP, 0x06), 0, &for_malloc, &site), 0);
}

/* Anything at all: an answer, never a crash. Sites always lie inside and have their arguments. */
static void test_random_bytes(void **state)
{
	uint8_t code[96];
	struct prologue_site site;
	struct prologue_exits exits;
	unsigned seed = 1, i, k;

	for (i = 0; i < 20000; i++) {
		for (k = 0; k < sizeof(code); k++)
			code[k] = rand_r(&seed) >> 7;
		k = 1 + rand_r(&seed) % sizeof(code);
		if (prologue_choose(code, k, 0, &for_free, &site) == 0) {
			assert_true(site.offset + site.length <= k);
			assert_true(site.arg_reg[0] < 16);
		}
		if (prologue_find_exits(code, k, 0, NULL, 0, &exits) == 0)
			prologue_exits_deinit(&exits);
	}
}

/* ---- exits -------------------------------------------------------------------------------- */

static void test_exits(void **state)
{
	struct prologue_exits exits;
	const uint64_t dies = 0x1000 + 9 + 0x100;

	/* je over a ret to another ret */
	assert_int_equal(
		prologue_find_exits(CODE(JE(1), RET, PUSH_RBP, 0x5d, RET), 0, NULL, 0, &exits), 0);
	assert_int_equal(exits.ret_count, 2);
	assert_true(exits.rets[0] == 2 && exits.rets[1] == 5);
	assert_int_equal(exits.tail_count, 0);
	prologue_exits_deinit(&exits);
	/* a tail call, and data behind it that is no code */
	assert_int_equal(prologue_find_exits(CODE(JE(5), 0xe9, 0, 1, 0, 0, RET, 0x06), 0x1000, NULL,
					     0, &exits),
			 0);
	assert_int_equal(exits.ret_count, 1);
	assert_int_equal(exits.tail_count, 1);
	assert_true(exits.tails[0].target == 0x1000 + 7 + 0x100 && exits.tails[0].offset == 2 &&
		    !exits.tails[0].is_conditional);
	prologue_exits_deinit(&exits);
	/* behind a call that does not return is other code */
	assert_int_equal(prologue_find_exits(CODE(JE(1), RET, PUSH_RBP, 0xe8, 0, 1, 0, 0, 0x06),
					     0x1000, &dies, 1, &exits),
			 0);
	assert_int_equal(exits.ret_count, 1);
	prologue_exits_deinit(&exits);
}

static void test_exits_that_cannot_be_known(void **state)
{
	struct prologue_exits exits;

	assert_int_equal(prologue_find_exits(CODE(0xff, 0xe0), 0, NULL, 0, &exits), -ENOTSUP);
	assert_int_equal(prologue_find_exits(CODE(0xff, 0x25, 0, 0, 0, 0), 0, NULL, 0, &exits),
			 -ENOTSUP);
	assert_int_equal(prologue_find_exits(CODE(PUSH_RBP), 0, NULL, 0, &exits), -ENOTSUP);
	assert_int_equal(prologue_find_exits(CODE(PUSH_RBP, 0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
						  0, 0, 0, 0, 0),
					     0, NULL, 0, &exits),
			 -ENOTSUP);
	assert_int_equal(prologue_find_exits(CODE(RET), 0, NULL, 0, &exits), 0);
	prologue_exits_deinit(&exits);
}

/* ---- the real thing ----------------------------------------------------------------------- */

/* Sites in libc: emulated as the kernel's opcode tables say, judged by the raw bytes, and with the
 * straight line before them free of anything that writes an argument or moves rsp. */
/* Of the file mapped at addr. */
static void read_code(const char *path, const void *addr, uint8_t *ret, size_t size)
{
	unsigned long start, end, offset, at = (unsigned long)addr;
	FILE *maps = fopen("/proc/self/maps", "re"), *file = fopen(path, "re");
	bool is_read = false;
	char line[512];

	assert_non_null(maps);
	assert_non_null(file);
	while (!is_read && fgets(line, sizeof(line), maps))
		is_read = sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
			  at >= start && at < end && !fseek(file, at - start + offset, SEEK_SET) &&
			  fread(ret, 1, size, file) == size;
	fclose(maps);
	fclose(file);
	assert_true(is_read);
}

/* gcc 16's prologues, jemalloc's: where the kernel emulates nothing, the first that is ours. */
static void test_what_we_execute(void **state)
{
	struct prologue_options options = for_malloc;
	struct prologue_site site;

	options.may_execute = true;
	site = choose(CODE(ENDBR64, TEST_RDI, RET), &options);
	assert_true(site.offset == 0 && !site.is_emulated);
	assert_int_equal(site.by_us.operation, DHAT_OPERATION_NOP);
	assert_int_equal(site.by_us.length, 4);
	assert_string_equal(site.note, "");
	/* what the kernel emulates, further on, costs the same and needs nothing of ours */
	site = choose(CODE(TEST_RDI, PUSH_RBP, RET), &options);
	assert_true(site.offset == 3 && site.is_emulated && !site.by_us.operation);
	/* a program of another tracer's, which may come later, reads the argument, too */
	site = choose(CODE(XOR_EDI_EDI, RET), &options);
	assert_true(site.offset == 0 && !site.by_us.operation);
	site = choose(CODE(XOR_EDI_EDI, RET), &(struct prologue_options){ .may_execute = true });
	assert_int_equal(site.by_us.operation, DHAT_OPERATION_XOR);
	/* somebody's return probe may be there: the kernel writes to where rsp then points */
	site = choose(CODE(SUB_RSP_24, RET), &options);
	assert_true(site.offset == 0 && !site.is_emulated && !site.by_us.operation);
	assert_non_null(strstr(site.note, "single-stepped"));
	options.for_return = false;
	site = choose(CODE(SUB_RSP_24, MOV_RBX_RDI, RET), &options);
	assert_int_equal(site.offset, 4);
	assert_int_equal(site.by_us.operation, DHAT_OPERATION_MOV);
	assert_int_equal(site.sp_words, 3);
	options.may_execute = false;
	assert_int_equal(choose(CODE(TEST_RDI, RET), &options).by_us.operation,
			 DHAT_OPERATION_NONE);
}

static void test_exits_that_we_execute(void **state)
{
	static const uint8_t code[] = { TEST_RDI, RET, RET };
	struct dhat_instruction by_us = { 0 };

	assert_true(prologue_describe_exit(code, sizeof(code), 3, &by_us));
	assert_int_equal(by_us.operation, DHAT_OPERATION_RET);
	assert_int_equal(by_us.length, 1);
	/* a function that is nothing but that: others may want its return */
	assert_false(prologue_describe_exit(code + 3, 2, 0, &by_us));
	assert_false(prologue_describe_exit(code, sizeof(code), sizeof(code), &by_us));
}

static void test_libc(void **state)
{
	static const char *const names[] = { "malloc",	 "free",	   "calloc",
					     "realloc",	 "posix_memalign", "aligned_alloc",
					     "memalign", "valloc",	   "pvalloc",
					     NULL };
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	struct prologue_site site;
	size_t checked = 0;

	assert_non_null(libc);
	for (size_t i = 0; names[i]; i++) {
		const uint8_t *code = dlsym(libc, names[i]), *at;
		const ElfW(Sym) *symbol = NULL;
		uint8_t bytes[4096];
		Dl_info info;

		if (!code || !dladdr1(code, &info, (void **)(uintptr_t)&symbol, RTLD_DL_SYMENT) ||
		    !symbol)
			fail_msg("%s is not in libc", names[i]);
		/* as in the file: in memory another tool's breakpoint may be on it */
		assert_true(symbol->st_size <= sizeof(bytes));
		read_code(info.dli_fname, code, bytes, symbol->st_size);
		site = choose(bytes, symbol->st_size, &for_malloc);
		at = bytes + site.offset;
		if (!site.is_emulated)
			fail_msg("%s is single-stepped at +%lu", names[i], site.offset);
		assert_true((at[0] >= 0x50 && at[0] <= 0x57) || at[0] == 0x41 ||
			    (at[0] >= 0x70 && at[0] <= 0x7f) || at[0] == 0xe9 || at[0] == 0xeb ||
			    (at[0] == 0x0f && at[1] >= 0x80 && at[1] <= 0x8f));
		assert_int_equal(site.sp_words, 0);
		/* where it came, or (libc by gcc 16) where the code before the place has moved it
		 */
		if (site.arg_reg[0] != RDI && !site.offset)
			fail_msg("%s: in register %u at its entry", names[i], site.arg_reg[0]);
		checked++;
	}
	assert_int_equal(checked, 9);
	dlclose(libc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_push_is_taken_at_once),
		cmocka_unit_test(test_endbr64_is_stepped_over),
		cmocka_unit_test(test_compare_and_jump),
		cmocka_unit_test(test_jump_and_call),
		cmocka_unit_test(test_jump_back_into_the_prologue),
		cmocka_unit_test(test_jump_back_to_the_entry),
		cmocka_unit_test(test_too_short),
		cmocka_unit_test(test_five_byte_nop),
		cmocka_unit_test(test_places_the_kernel_gets_wrong),
		cmocka_unit_test(test_argument_is_followed),
		cmocka_unit_test(test_stack_is_followed),
		cmocka_unit_test(test_room_is_made_first),
		cmocka_unit_test(test_frame_pointer_ends_the_line),
		cmocka_unit_test(test_nothing_behind_a_branch),
		cmocka_unit_test(test_bytes_that_are_no_code),
		cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_exits),
		cmocka_unit_test(test_exits_that_cannot_be_known),
		cmocka_unit_test(test_what_we_execute),
		cmocka_unit_test(test_exits_that_we_execute),
		cmocka_unit_test(test_libc),
	};

	return cmocka_run_group_tests_name("prologue", tests, NULL, NULL);
}
