#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/object/machine/cfi_code.h"
#include "proto/base/cleanup.h"

#define CODE 0x401000
#define SIZE 256

static uint8_t code[SIZE];
static struct cfi_code_piece *pieces;
static size_t piece_count;
static uint64_t noreturn[4];
static size_t noreturn_count;
static uint64_t max_instructions;
static uint32_t unread;
static const uint64_t *pointers;
static size_t pointer_count;

static int begin(void **state)
{
	memset(code, 0xcc, sizeof(code)); /* int3 */
	noreturn_count = pointer_count = max_instructions = unread = 0;
	return 0;
}

static int end(void **state)
{
	free(pieces);
	pieces = NULL;
	return 0;
}

#define PUT(at, ...)                                                                               \
	memcpy(code + (at), (uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

/* Functions at `offset`s from CODE; -1 ends the list. */
static void read_code(uint64_t outermost, ...)
{
	struct cfi_code_range range = { CODE, CODE + SIZE, code };
	uint64_t entries[16];
	struct cfi_code all = { .ranges = &range,
				.range_count = 1,
				.entries = entries,
				.pointers = pointers,
				.pointer_count = pointer_count,
				.noreturn = noreturn,
				.noreturn_count = noreturn_count,
				.outermost = outermost,
				.max_instructions = max_instructions,
				.ret_unread = &unread };
	va_list args;
	int offset;

	va_start(args, outermost);
	while ((offset = va_arg(args, int)) >= 0)
		entries[all.entry_count++] = CODE + (uint64_t)offset;
	va_end(args);
	assert_int_equal(cfi_code_read(&all, &pieces, &piece_count), 0);
}

static void expect(int offset, enum dhat_cfa cfa, int cfa_offset, int rbp)
{
	size_t i;

	for (i = 0; i < piece_count; i++) {
		if (CODE + (uint64_t)offset < pieces[i].start ||
		    CODE + (uint64_t)offset >= pieces[i].end)
			continue;
		if ((pieces[i].row.cfa & DHAT_CFA_KIND) != cfa ||
		    pieces[i].row.cfa_offset != cfa_offset || pieces[i].row.fp != rbp)
			fail_msg("at %d: %d %+d %d", offset, pieces[i].row.cfa,
				 pieces[i].row.cfa_offset, pieces[i].row.fp);
		return;
	}
	if (cfa != DHAT_CFA_NO_RULE)
		fail_msg("nothing at %d", offset);
}

static bool is_endless(int offset)
{
	for (size_t i = 0; i < piece_count; i++) {
		if (CODE + (uint64_t)offset >= pieces[i].start &&
		    CODE + (uint64_t)offset < pieces[i].end)
			return pieces[i].row.cfa & DHAT_CFA_ENDLESS;
	}
	return false;
}

static void test_pushes_and_pops(void **state)
{
	PUT(0, 0x41, 0x54, 0x55, 0x53, 0x48, 0x83, 0xec, 0x20, /* push r12, rbp, rbx; sub 32,rsp */
	    0x31, 0xed,					       /* xor ebp,ebp */
	    0x48, 0x83, 0xc4, 0x20, 0x5b, 0x5d, 0x41, 0x5c, 0xc3);
	read_code(0, 0, -1);
	expect(0, DHAT_CFA_SP, 8, 0);
	expect(2, DHAT_CFA_SP, 16, 0);
	expect(3, DHAT_CFA_SP, 24, -3);
	expect(8, DHAT_CFA_SP, 64, -3);
	expect(10, DHAT_CFA_SP, 64, -3); /* rbp is in use, and saved */
	expect(14, DHAT_CFA_SP, 32, -3);
	expect(15, DHAT_CFA_SP, 24, -3);
	expect(16, DHAT_CFA_SP, 16, 0);
	expect(18, DHAT_CFA_SP, 8, 0);
	expect(19, DHAT_CFA_NO_RULE, 0, 0);
}

static void test_frame_pointer_and_realigned_stack(void **state)
{
	PUT(0, 0x55, 0x48, 0x89, 0xe5,	  /* push rbp; mov rsp,rbp */
	    0x48, 0x83, 0xe4, 0xe0,	  /* and -32,rsp */
	    0x48, 0x83, 0xec, 0x40, 0x90, /* sub 64,rsp; nop */
	    0xc9, 0xc3);		  /* leave; ret */
	read_code(0, 0, -1);
	expect(1, DHAT_CFA_SP, 16, -2);
	expect(4, DHAT_CFA_FP, 16, -2);
	expect(8, DHAT_CFA_FP, 16, -2);
	expect(12, DHAT_CFA_FP, 16, -2);
	expect(14, DHAT_CFA_SP, 8, 0);
}

/* A loop, and two ways to one ret. */
static void test_branches(void **state)
{
	PUT(0, 0x53, 0x85, 0xff, 0x74, 0x04, /* push rbx; test; je 9 */
	    0xff, 0xcf, 0x75, 0xfc,	     /* dec edi; jne 5 */
	    0x5b, 0xc3);
	read_code(0, 0, -1);
	expect(5, DHAT_CFA_SP, 16, 0);
	expect(9, DHAT_CFA_SP, 16, 0);
	expect(10, DHAT_CFA_SP, 8, 0);
}

/* Ways that disagree, or a ret that would not find its address: no rows at all. */
static void test_inconsistent_functions(void **state)
{
	PUT(0, 0x85, 0xff, 0x74, 0x01, 0x53, 0x90, 0xc3); /* test; je 5; push rbx; nop; ret */
	PUT(32, 0x53, 0xc3);				  /* push rbx; ret */
	PUT(64, 0x53, 0x06, 0x5b, 0xc3);		  /* push rbx; no instruction */
	PUT(96, 0xc3);
	read_code(0, 0, 32, 64, 96, -1);
	expect(0, DHAT_CFA_NO_RULE, 0, 0);
	expect(32, DHAT_CFA_NO_RULE, 0, 0);
	expect(64, DHAT_CFA_NO_RULE, 0, 0);
	expect(96, DHAT_CFA_SP, 8, 0);
	assert_int_equal(piece_count, 1);
}

/* 0 calls 32, which calls 64, which does not return; behind the calls is other code. */
static void test_functions_that_do_not_return(void **state)
{
	PUT(0, 0x53, 0xe8, 26, 0, 0, 0);		    /* push rbx; call 32 */
	PUT(6, 0x41, 0x54, 0x41, 0x5c, 0xc3);		    /* a function: push r12; pop; ret */
	PUT(32, 0x48, 0x83, 0xec, 0x08, 0xe8, 23, 0, 0, 0); /* sub 8,rsp; call 64 */
	PUT(64, 0xb8, 60, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7); /* mov 60,eax; syscall; jmp 64 */
	read_code(0, 0, 6, -1);
	expect(1, DHAT_CFA_SP, 16, 0);
	expect(6, DHAT_CFA_SP, 8, 0);
	expect(8, DHAT_CFA_SP, 16, 0);
	expect(32, DHAT_CFA_SP, 8, 0); /* found by the call */
	expect(36, DHAT_CFA_SP, 16, 0);
	expect(41, DHAT_CFA_NO_RULE, 0, 0);
	expect(69, DHAT_CFA_SP, 8, 0);
	assert_true(is_endless(64)); /* where a stack may begin */
	assert_false(is_endless(0) || is_endless(6) || is_endless(69));
}

/* 64 is only pointed to, as a thread's start is. It does not return and so does not save rbp, which
 * one of two ways changes. */
static void test_pointed_to(void **state)
{
	PUT(0, 0x48, 0x8d, 0x05, 57, 0, 0, 0, 0xc3);	  /* lea 64(rip),rax; ret */
	PUT(64, 0x53, 0x85, 0xff, 0x74, 0x02, 0x31, 0xed, /* push rbx; test; je 71; xor ebp,ebp */
	    0xff, 0xd0, 0xeb, 0xfc);			  /* 71: call *rax; jmp 71 */
	read_code(0, 0, -1);
	expect(69, DHAT_CFA_SP, 16, 0);
	expect(71, DHAT_CFA_SP, 16, DHAT_FP_UNDEFINED);
}

/* clone: the child begins on a stack that nobody called from. */
static void test_clone(void **state)
{
	PUT(0, 0x31, 0xc0, 0xb0, 56,		/* xor eax,eax; mov 56,al */
	    0x0f, 0x05, 0x85, 0xc0, 0x75, 0x06, /* syscall; test; jne 16 */
	    0x31, 0xed, 0x5f, 0xff, 0xd0, 0xf4, /* xor ebp,ebp; pop rdi; call *rax; hlt */
	    0xc3);
	PUT(64, 0xb8, 0xb3, 1, 0, 0,		/* mov 435,eax (clone3) */
	    0x0f, 0x05, 0x85, 0xc0, 0x75, 0x06, /* syscall; test; jne 81 */
	    0x31, 0xed, 0x5f, 0xff, 0xd2, 0xf4, /* xor ebp,ebp; pop rdi; call *rdx; hlt */
	    0xc3);
	read_code(0, 0, 64, -1);
	expect(0, DHAT_CFA_SP, 8, 0);
	expect(12, DHAT_CFA_SP, 8, DHAT_FP_UNDEFINED);
	expect(13, DHAT_CFA_END, 0, 0);
	expect(14, DHAT_CFA_END, 0, 0);
	expect(16, DHAT_CFA_SP, 8, 0);
	expect(78, DHAT_CFA_END, 0, 0);
	expect(81, DHAT_CFA_SP, 8, 0);
}

/* Whoever takes its return address off the stack has one, unless it has made a thread just now: any
 * other system call before makes no difference, nor does a number that is not certain. Nothing is
 * known of the stack until it is set up by rbp again. */
static void test_return_address_is_moved(void **state)
{
	PUT(0, 0x58, 0x6a, 0x05, 0x50,		       /* pop rax; push 5; push rax */
	    0x55, 0x48, 0x89, 0xe5,		       /* push rbp; mov rsp,rbp */
	    0xff, 0xd1, 0xc9, 0xc2, 0x08, 0x00);       /* call *rcx; leave; ret 8 */
	PUT(32, 0xb8, 57, 0, 0, 0, 0x0f, 0x05,	       /* mov 57,eax (fork); syscall */
	    0x5a, 0xff, 0xd1, 0x52, 0xc3);	       /* pop rdx; call *rcx; push rdx; ret */
	PUT(64, 0xb8, 56, 0, 0, 0, 0xff, 0xd1,	       /* mov 56,eax; call *rcx (changes rax) */
	    0x0f, 0x05, 0x5a, 0xff, 0xd1, 0x52, 0xc3); /* syscall; pop rdx; call *rcx; … */
	PUT(96, 0xb8, 56, 0, 0, 0, 0x85, 0xff,	       /* mov 56,eax; test */
	    0x74, 0x02, 0xb0, 0x01,		       /* je 107; mov 1,al */
	    0x0f, 0x05, 0x5a, 0xff, 0xd1, 0xf4);       /* 107: syscall; pop rdx; call *rcx; hlt */
	read_code(0, 0, 32, 64, 96, -1);
	expect(0, DHAT_CFA_SP, 8, 0);
	expect(1, DHAT_CFA_NO_RULE, 0, 0);
	expect(9, DHAT_CFA_NO_RULE, 0, 0);
	expect(39, DHAT_CFA_SP, 8, 0);
	expect(41, DHAT_CFA_NO_RULE, 0, 0);
	expect(73, DHAT_CFA_SP, 8, 0);
	expect(75, DHAT_CFA_NO_RULE, 0, 0);
	expect(109, DHAT_CFA_SP, 8, 0);
	expect(111, DHAT_CFA_NO_RULE, 0, 0);
}

/* The entry point is the outermost frame, also where it says that it is a function (musl 1.2.6). */
static void test_entry_point(void **state)
{
	PUT(0, 0x31, 0xed, 0x48, 0x83, 0xe4, 0xf0, 0xe8, 20, 0, 0, 0); /* _start; call 31 */
	PUT(31, 0xf4);						       /* hlt */
	read_code(CODE, 0, 31, -1);
	expect(0, DHAT_CFA_END, 0, 0);
	expect(6, DHAT_CFA_END, 0, 0);
	expect(10, DHAT_CFA_END, 0, 0);
	expect(31, DHAT_CFA_SP, 8, 0);
}

/* One function goes on at the beginning of another with something on the stack below its return
 * address: what the other one says of itself holds. */
static void test_jump_with_arguments_pushed(void **state)
{
	PUT(0, 0x6a, 0x01, 0x6a, 0x02, 0x6a, 0x03, 0xeb, 24);	 /* push 1; 2; 3; jmp 32 */
	PUT(32, 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd0, 0xc9, 0xc3); /* a frame; call *rax */
	read_code(0, 0, 32, -1);
	expect(6, DHAT_CFA_SP, 32, 0);
	expect(32, DHAT_CFA_SP, 8, 0);
	expect(37, DHAT_CFA_FP, 16, -2);
}

/* Where two ways disagree about rsp, rbp tells. */
static void test_rbp_outlives_rsp(void **state)
{
	PUT(0, 0x55, 0x48, 0x89, 0xe5, 0x85, 0xff, /* push rbp; mov rsp,rbp; test */
	    0x74, 0x01, 0x50, 0xff, 0xd0,	   /* je 9; push rax; 9: call *rax */
	    0xc9, 0xc3);			   /* leave; ret */
	read_code(0, 0, -1);
	expect(9, DHAT_CFA_FP, 16, -2);
	expect(11, DHAT_CFA_FP, 16, -2);
	expect(12, DHAT_CFA_SP, 8, 0);
}

/* What does not return is told, by its address, that of a stub, or that of a pointer to it. */
static void test_calls_of_what_is_known_not_to_return(void **state)
{
	noreturn[noreturn_count++] = CODE + 0x100a;
	noreturn[noreturn_count++] = CODE + 0x2010;
	PUT(0, 0x53, 0xe8, 4, 0x10, 0, 0, 0x90, 0x90, 0xc3);	 /* push rbx; call 100a; … */
	PUT(32, 0x53, 0xff, 0x15, 0xe9, 0x1f, 0, 0, 0x90, 0xc3); /* push rbx; call *2010(rip); … */
	PUT(64, 0x53, 0xe8, 0x26, 0, 0, 0, 0x90, 0xc3);		 /* push rbx; call 108; … */
	PUT(108, 0xe9, 0x99, 0x0f, 0, 0);			 /* jmp 100a */
	PUT(128, 0x53, 0xe8, 0x86, 0x1f, 0, 0, 0x5b, 0xc3);	 /* push rbx; call 200c; pop; ret */
	read_code(0, 0, 32, 64, 128, -1);
	expect(1, DHAT_CFA_SP, 16, 0);
	expect(6, DHAT_CFA_NO_RULE, 0, 0);
	expect(33, DHAT_CFA_SP, 16, 0);
	expect(39, DHAT_CFA_NO_RULE, 0, 0);
	expect(65, DHAT_CFA_SP, 16, 0);
	expect(70, DHAT_CFA_NO_RULE, 0, 0);
	expect(134, DHAT_CFA_SP, 16, 0);
	expect(135, DHAT_CFA_SP, 8, 0);
}

/* A call behind which nothing fits does not return: glib's g_malloc(), with an abort() that nobody
 * told of, and a function whose beginning nobody knows. */
static void test_calls_that_cannot_return(void **state)
{
	PUT(0, 0x85, 0xff, 0x74, 0x13,	    /* test edi,edi; je 23 */
	    0x53, 0xe8, 0, 0x10, 0, 0,	    /* push rbx; call outside */
	    0x85, 0xc0, 0x74, 0x02,	    /* test eax,eax; je 16 */
	    0x5b, 0xc3,			    /* pop rbx; ret */
	    0x90, 0x90,			    /* 16: */
	    0xe8, 0, 0x20, 0, 0,	    /* call outside (abort) */
	    0x31, 0xc0, 0xc3);		    /* 23: xor eax,eax; ret */
	PUT(64, 0x53, 0xe8, 0, 0x10, 0, 0); /* push rbx; call outside */
	PUT(70, 0x50, 0xe8, 0, 0x10, 0, 0,  /* nobody's function: push rax; call outside */
	    0x31, 0xc0, 0x58, 0xc3);	    /* xor eax,eax; pop rax; ret */
	read_code(0, 0, 64, -1);
	expect(4, DHAT_CFA_SP, 8, 0);
	expect(10, DHAT_CFA_SP, 16, 0);
	expect(18, DHAT_CFA_SP, 16, 0);
	expect(23, DHAT_CFA_SP, 8, 0);
	expect(25, DHAT_CFA_SP, 8, 0);
	expect(65, DHAT_CFA_SP, 16, 0);
	expect(70, DHAT_CFA_NO_RULE, 0, 0);
}

/* What a jump by a table leads to is between, with the stack of the jump; the next function, of
 * which nobody knows, does not fit: it calls with rsp off by 8, and its ret finds another word. */
static void test_jump_by_a_table(void **state)
{
	PUT(0, 0x53, 0x83, 0xff, 0x03, 0x77, 0x1a,	    /* push rbx; cmp 3,edi; ja 32 */
	    0xff, 0xe0,					    /* jmp *rax */
	    0xe8, 0, 0x10, 0, 0, 0xeb, 17,		    /* 8: call outside; jmp 32 */
	    0x90,					    /* padding */
	    0x52, 0x52, 0xff, 0xd0, 0x5a, 0x5a, 0x5b, 0xc3, /* 16: push, push; call *rax; … */
	    0x0f, 0x0b);				    /* ud2 */
	PUT(32, 0x5b, 0xc3);				    /* pop rbx; ret */
	PUT(48, 0x51, 0xff, 0xd0, 0x59, 0xc3);		    /* push rcx; call; pop rcx; ret */
	PUT(64, 0x31, 0xc0, 0xc3);			    /* xor eax,eax; ret */
	read_code(0, 0, -1);
	expect(7, DHAT_CFA_SP, 16, 0);
	expect(8, DHAT_CFA_SP, 16, 0);
	expect(13, DHAT_CFA_SP, 16, 0);
	expect(18, DHAT_CFA_SP, 32, 0);
	expect(23, DHAT_CFA_SP, 8, 0);
	expect(24, DHAT_CFA_SP, 16, 0);
	expect(32, DHAT_CFA_SP, 16, 0);
	expect(48, DHAT_CFA_NO_RULE, 0, 0);
	expect(49, DHAT_CFA_NO_RULE, 0, 0);
	expect(64, DHAT_CFA_NO_RULE, 0, 0);
}

/* Two functions share code, and disagree about it: it is nobody's. */
static void test_shared_code(void **state)
{
	PUT(0, 0x53, 0xeb, 31);		       /* push rbx; jmp 34 */
	PUT(32, 0x51, 0x52, 0x5a, 0x59, 0xc3); /* push; push; 34: pop; pop; ret */
	PUT(64, 0x53, 0xeb, 31);	       /* push rbx; jmp 98 */
	PUT(96, 0x51, 0x90, 0x5a, 0xc3);       /* push; nop; 98: pop; ret */
	read_code(0, 0, 32, 64, 96, -1);
	expect(1, DHAT_CFA_SP, 16, 0);
	expect(33, DHAT_CFA_SP, 16, 0);
	expect(34, DHAT_CFA_NO_RULE, 0, 0);
	expect(35, DHAT_CFA_NO_RULE, 0, 0);
	expect(98, DHAT_CFA_SP, 16, 0);
	expect(99, DHAT_CFA_SP, 8, 0);
}

/* What data point to begins behind what nothing follows, if it is not aligned. */
static void test_pointers_in_data(void **state)
{
	static const uint64_t list[] = {
		CODE, CODE + 6, CODE + 11, CODE + 16, CODE + 22, CODE + 33
	};

	pointers = list;
	pointer_count = ARRAY_SIZE(list);
	PUT(0, 0x53, 0x5b, 0xc3, 0x51, 0x59, 0xc3,  /* push rbx; pop; ret; push rcx; pop; ret */
	    0x52, 0x5a, 0xeb, 0x00,		    /* 6: push rdx; pop; jmp 10 */
	    0xc3, 0x56, 0x5e, 0x31, 0xc0, 0xc3);    /* 10: ret; 11: push rsi; … */
	PUT(16, 0x56, 0x31, 0xc0, 0x31, 0xd2, 0x5e, /* 16: push; xor; xor; pop rsi */
	    0x57, 0x5f, 0xc3);			    /* 22: (no beginning) push; pop; ret */
	PUT(32, 0x53, 0x57, 0x5f, 0x5b, 0xc3);	    /* 33: inside of something */
	read_code(0, -1);
	expect(1, DHAT_CFA_SP, 16, 0);
	expect(3, DHAT_CFA_NO_RULE, 0, 0);
	expect(7, DHAT_CFA_SP, 16, 0);
	expect(12, DHAT_CFA_SP, 16, 0);
	expect(17, DHAT_CFA_SP, 16, 0);
	expect(23, DHAT_CFA_SP, 16, 0);
	expect(33, DHAT_CFA_NO_RULE, 0, 0);
}

/* V8 asks for its pc so, and nothing begins there. */
static void test_pc_is_no_pointer(void **state)
{
	PUT(0, 0x53, 0x48, 0x8d, 0x05, 0, 0, 0, 0, /* push rbx; lea 0(rip),rax */
	    0xff, 0xd1, 0x5b, 0xc3);		   /* call *rcx; pop rbx; ret */
	memmove(code + 1, code, 12);		   /* so that it is not aligned */
	code[0] = 0x90;
	read_code(0, 0, -1);
	expect(9, DHAT_CFA_SP, 16, 0);
	expect(11, DHAT_CFA_SP, 16, 0);
	expect(12, DHAT_CFA_SP, 8, 0);
}

static void test_budget(void **state)
{
	max_instructions = 3;
	PUT(0, 0x53, 0x90, 0x5b, 0xc3);
	PUT(32, 0x53, 0x90, 0x5b, 0xc3);
	read_code(0, 0, 32, -1);
	expect(1, DHAT_CFA_SP, 16, 0);
	expect(32, DHAT_CFA_NO_RULE, 0, 0);
	assert_int_equal(unread, 1); /* which is told */
	max_instructions = 100;
	unread = 0;
	free(pieces);
	read_code(0, 0, 32, -1);
	expect(32, DHAT_CFA_SP, 8, 0);
	assert_int_equal(unread, 0);
}

static void test_signal_return(void **state)
{
	PUT(0, 0x48, 0x8d, 0x05, 57, 0, 0, 0, 0xc3); /* lea 64(rip),rax; ret */
	PUT(64, 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05);
	read_code(0, 0, -1);
	expect(63, DHAT_CFA_SIGNAL, 0, 0); /* where its return address, less one, is looked up */
	expect(64, DHAT_CFA_SIGNAL, 0, 0);
	expect(72, DHAT_CFA_SIGNAL, 0, 0);
}

static void test_ranges(void **state)
{
	struct cfi_code_range ranges[] = { { CODE, CODE + 16, code },
					   { CODE + 32, CODE + 48, code + 32 } };
	uint64_t entries[] = { 0, CODE - 1, CODE, CODE + 20, CODE + 48, UINT64_MAX };
	struct cfi_code all = { .ranges = ranges,
				.range_count = 2,
				.entries = entries,
				.entry_count = ARRAY_SIZE(entries) };

	PUT(0, 0x53, 0xe8, 10, 0, 0, 0, 0xe8, 20, 0, 0, 0, /* push; call 16 (not ours); call 31 */
	    0x5b, 0xeb, 18);				   /* pop; jmp 32 */
	PUT(32, 0xc3);
	assert_int_equal(cfi_code_read(&all, &pieces, &piece_count), 0);
	expect(11, DHAT_CFA_SP, 16, 0);
	expect(12, DHAT_CFA_SP, 8, 0);
	expect(32, DHAT_CFA_SP, 8, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pushes_and_pops),
		TEST(test_frame_pointer_and_realigned_stack),
		TEST(test_branches),
		TEST(test_inconsistent_functions),
		TEST(test_functions_that_do_not_return),
		TEST(test_pointed_to),
		TEST(test_clone),
		TEST(test_return_address_is_moved),
		TEST(test_entry_point),
		TEST(test_jump_with_arguments_pushed),
		TEST(test_rbp_outlives_rsp),
		TEST(test_calls_of_what_is_known_not_to_return),
		TEST(test_calls_that_cannot_return),
		TEST(test_jump_by_a_table),
		TEST(test_shared_code),
		TEST(test_pointers_in_data),
		TEST(test_pc_is_no_pointer),
		TEST(test_budget),
		TEST(test_signal_return),
		TEST(test_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
