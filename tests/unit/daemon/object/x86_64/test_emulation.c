/* What the kernel side makes of an instruction (bpf/x86_64_emulate.h) beside what the processor
 * makes of it: each form with random registers, numbers, addresses and flags. EMULATION_INPUTS says
 * with how many of each; `make test-emulation` tries a million. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/ptrace.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int read_memory(void *to, unsigned bytes, uint64_t from);
static bool may_return = true;
#define EMULATE_READ(to, bytes, from) read_memory(to, bytes, from)
#define EMULATE_MAY_RETURN() may_return
#include "bpf/x86_64_emulate.h"

#include "daemon/object/machine/encoding.h"
#include "daemon/object/x86_64/decode.h"
#include "daemon/object/x86_64/emulation.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

/* ---- the processor -------------------------------------------------------------------------- */

/* Registers as popped and pushed, lowest address first. */
struct image {
	uint64_t flags, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};

extern struct image native_in, native_out;
extern uint64_t native_sp_in, native_sp_out, native_code;
extern char native_back[];
void native_run(void);

/* All registers are set, the stack pointer last, and the code jumped to; it comes back by a jump.
 */
__asm__(".text\n"
	"native_run:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	"
	"push %r15\n"
	"	mov %rsp, native_own_sp(%rip)\n"
	"	lea native_in(%rip), %rsp\n"
	"	popfq\n	pop %rax\n	pop %rcx\n	pop %rdx\n	pop %rbx\n	pop %rbp\n"
	"	pop %rsi\n	pop %rdi\n	pop %r8\n	pop %r9\n	pop %r10\n	"
	"pop %r11\n"
	"	pop %r12\n	pop %r13\n	pop %r14\n	pop %r15\n"
	"	mov native_sp_in(%rip), %rsp\n"
	"	jmp *native_code(%rip)\n"
	"native_back:\n"
	"	mov %rsp, native_sp_out(%rip)\n"
	"	lea native_out_end(%rip), %rsp\n"
	"	push %r15\n	push %r14\n	push %r13\n	push %r12\n	push %r11\n	"
	"push %r10\n"
	"	push %r9\n	push %r8\n	push %rdi\n	push %rsi\n	push %rbp\n	"
	"push %rbx\n"
	"	push %rdx\n	push %rcx\n	push %rax\n	pushfq\n"
	"	cld\n"
	"	mov native_own_sp(%rip), %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	"
	"pop %rbx\n"
	"	ret\n"
	".bss\n"
	"	.balign 16\n"
	"native_in:	.skip 128\n"
	"native_out:	.skip 128\n"
	"native_out_end:	.skip 8\n"
	"native_own_sp:	.skip 8\n"
	"native_sp_in:	.skip 8\n"
	"native_sp_out:	.skip 8\n"
	"native_code:	.skip 8\n"
	".text\n");

/* Below 2 GiB, so that addresses may be absolute ones: code, and behind it what is read. */
#define PAGE 4096
#define DATA_BYTES PAGE
static uint8_t *code, *data;

static int read_memory(void *to, unsigned bytes, uint64_t from)
{
	if (from < (uintptr_t)data || from - (uintptr_t)data > DATA_BYTES - bytes)
		return -1;
	memcpy(to, data + (from - (uintptr_t)data), bytes);
	return 0;
}

static void place_code(const uint8_t *bytes, size_t size)
{
	/* jmp *0(%rip), and where to */
	static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 };
	uint64_t back = (uintptr_t)native_back;

	memcpy(code, bytes, size);
	memcpy(code + size, jump, sizeof(jump));
	memcpy(code + size + sizeof(jump), &back, sizeof(back));
}

static void run_native(const struct pt_regs *in, struct pt_regs *ret)
{
	native_in = (struct image){ in->eflags, in->rax, in->rcx, in->rdx, in->rbx, in->rbp,
				    in->rsi,	in->rdi, in->r8,  in->r9,  in->r10, in->r11,
				    in->r12,	in->r13, in->r14, in->r15 };
	native_sp_in = in->rsp;
	native_code = in->rip;
	native_run();
	*ret = (struct pt_regs){
		.eflags = native_out.flags,
		.rax = native_out.rax,
		.rcx = native_out.rcx,
		.rdx = native_out.rdx,
		.rbx = native_out.rbx,
		.rbp = native_out.rbp,
		.rsi = native_out.rsi,
		.rdi = native_out.rdi,
		.r8 = native_out.r8,
		.r9 = native_out.r9,
		.r10 = native_out.r10,
		.r11 = native_out.r11,
		.r12 = native_out.r12,
		.r13 = native_out.r13,
		.r14 = native_out.r14,
		.r15 = native_out.r15,
		.rsp = native_sp_out,
	};
}

/* ---- chance --------------------------------------------------------------------------------- */

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t chance(void) /* xorshift64* */
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dULL;
}

static uint64_t below(uint64_t end)
{
	return (chance() >> 33) % end;
}

/* Any, and often one at which something changes. */
static uint64_t number(void)
{
	static const uint64_t edges[] = { 0,	      1,	 0x7f,	     0x80,	 0xff,
					  0x7fff,     0x8000,	 0xffff,     0x7fffffff, 0x80000000,
					  0xffffffff, INT64_MAX, 1ULL << 63, UINT64_MAX };
	uint64_t kind = chance() >> 61;

	if (kind < 3)
		return edges[below(ARRAY_SIZE(edges))] + below(3) - 1;
	return kind == 3 ? chance() >> below(64) : chance();
}

/* ---- forms ---------------------------------------------------------------------------------- */

enum operand { REGISTER = 0, IMMEDIATE = DHAT_OPERAND_IMMEDIATE, MEMORY = DHAT_OPERAND_MEMORY };

struct form {
	uint8_t operation, width, from_width;
	enum operand to, from;
	uint8_t condition;
};

static bool has_memory(const struct form *form)
{
	return form->to == MEMORY || form->from == MEMORY;
}

/* Registers and numbers for a form; of memory more than a byte only at the stack pointer: what else
 * is refused. */
static struct dhat_instruction draw(const struct form *form)
{
	struct dhat_instruction in = {
		.operation = form->operation,
		.width = form->width,
		.from_width = form->from_width,
		.to = form->to == REGISTER ? below(16) : form->to,
		.from = form->from == REGISTER ? below(16) : form->from,
		.condition = form->condition,
		.base = DHAT_ADDRESS_NONE,
		.index = DHAT_ADDRESS_NONE,
	};
	bool is_wide =
		form->operation != DHAT_OPERATION_LEA &&
		(form->operation == DHAT_OPERATION_MOVZX || form->operation == DHAT_OPERATION_MOVSX
			 ? form->from_width
			 : form->width) > 0;

	if (form->from == IMMEDIATE) {
		in.immediate = number();
		if (form->width == 0 || below(3) == 0)
			in.immediate = (int32_t)((uint32_t)in.immediate << 24) >> 24;
		else if (form->width == 1)
			in.immediate = (int16_t)in.immediate;
	}
	if (!has_memory(form))
		return in;
	in.base = is_wide ? 4 : below(18);
	if (in.base != DHAT_ADDRESS_PC && below(2)) {
		do
			in.index = below(16);
		while (in.index == 4 || in.index == in.base);
		in.scale = below(4);
	}
	in.displacement = (int32_t)below(1u << 20) - (1 << 19);
	if (below(3) == 0)
		in.displacement = 0;
	else if (below(2))
		in.displacement = (int32_t)below(256) - 128;
	return in;
}

/* One of its encodings, by chance. 0: it has none. */
static size_t encode(struct dhat_instruction *in, uint8_t bytes[ENCODING_MAX_BYTES])
{
	unsigned first = below(ENCODING_VARIANTS), step = below(2) ? 5 : 7; /* all are met */

	in->length = 0;
	for (unsigned i = 0; i < ENCODING_VARIANTS && !in->length; i++)
		in->length = encoding_make(in, (first + i * step) % ENCODING_VARIANTS, bytes);
	return in->length;
}

/* The address lands in the data: by its base or its index, or by its displacement. */
static void aim(const struct dhat_instruction *in, struct pt_regs *regs)
{
	uint64_t target = (uintptr_t)data + 8 + below(DATA_BYTES - 16), index = 0;

	if (in->base < DHAT_ADDRESS_NONE) {
		if (in->index < DHAT_ADDRESS_NONE)
			index = emulate_get(regs, in->index) << in->scale;
		emulate_set(regs, in->base, target - index - in->displacement);
	} else if (in->index < DHAT_ADDRESS_NONE) { /* a multiple of the scale, near to it */
		emulate_set(regs, in->index, (int64_t)(target - in->displacement) >> in->scale);
	}
}

static void aim_displacement(struct dhat_instruction *in)
{
	uint64_t target = (uintptr_t)data + ENCODING_MAX_BYTES + below(DATA_BYTES - 64);

	if (in->base == DHAT_ADDRESS_PC) /* of the next instruction, whose place is not known yet */
		in->displacement = target - (uintptr_t)code - ENCODING_MAX_BYTES;
	else if (in->base == DHAT_ADDRESS_NONE && in->index == DHAT_ADDRESS_NONE)
		in->displacement = target;
}

static void fill(struct pt_regs *regs)
{
	for (uint8_t i = 0; i < 16; i++)
		emulate_set(regs, i, number());
	/* one for all that the processor lets a thread set at will */
	regs->eflags = 0x202 | (chance() & (EMULATE_ARITHMETIC | 1 << 10));
}

/* What is compared: adjust is left undefined by and, or, xor, test. */
static uint64_t defined_flags(const struct dhat_instruction *in)
{
	switch (in->operation) {
	case DHAT_OPERATION_AND:
	case DHAT_OPERATION_OR:
	case DHAT_OPERATION_XOR:
	case DHAT_OPERATION_TEST:
		return ~EMULATE_ADJUST;
	default:
		return ~0ULL;
	}
}

static void show(const char *what, const struct pt_regs *regs)
{
	print_error("%s: flags %lx", what, regs->eflags);
	for (uint8_t i = 0; i < 16; i++)
		print_error(" %d:%llx", i, emulate_get(without_qualifiers(regs), i));
	print_error("\n");
}

static void compare(const struct dhat_instruction *in, const uint8_t *bytes,
		    const struct pt_regs *before, const struct pt_regs *ours,
		    const struct pt_regs *native, uint64_t expected_pc)
{
	uint64_t mask = defined_flags(in);
	struct pt_regs a = *ours, b = *native;

	a.eflags &= mask;
	b.eflags &= mask;
	a.rip = b.rip = 0;
	if (ours->rip == expected_pc && !memcmp(&a, &b, sizeof(a)))
		return;
	for (int i = 0; i < in->length; i++)
		print_error("%02x ", bytes[i]);
	print_error("goes on at %lx, expected %lx\n", ours->rip, expected_pc);
	show("before", before);
	show("ours  ", ours);
	show("native", native);
	fail();
}

static unsigned long inputs(void)
{
	const char *text = getenv("EMULATION_INPUTS");

	return text ? strtoul(text, NULL, 10) : 10000;
}

#define INPUTS_OF_ONE 100 /* instruction; writing a new one costs more than running it */

static void try_instruction(const struct form *form)
{
	struct dhat_instruction in = draw(form), decoded;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	uint8_t bytes[ENCODING_MAX_BYTES];
	ZydisDecodedInstruction insn;
	uint64_t target = (uintptr_t)native_back;

	if (has_memory(form))
		aim_displacement(&in);
	assert_int_not_equal(encode(&in, bytes), 0);
	/* the decoder says the same, and what it says is what these bytes are */
	assert_true(decode(bytes, in.length, &insn, operands));
	if (!emulation_describe(&insn, operands, bytes, &decoded)) {
		print_error("not described: operation %d, width %d, bytes", in.operation, in.width);
		for (int i = 0; i < in.length; i++)
			print_error(" %02x", bytes[i]);
		fail();
	}
	place_code(bytes, in.length);
	for (int i = 0; i < INPUTS_OF_ONE; i++) {
		struct pt_regs before, ours, native;

		fill(&before);
		before.rip = (uintptr_t)code;
		if (has_memory(form))
			aim(&in, &before);
		if (form->operation == DHAT_OPERATION_RET)
			before.rsp = (uintptr_t)data + below(DATA_BYTES - 8);
		if (form->operation == DHAT_OPERATION_RET)
			memcpy(data + (before.rsp - (uintptr_t)data), &target, sizeof(target));
		ours = before;
		assert_int_equal(emulate(&ours, &decoded), 1);
		run_native(&before, &native);
		/* what the kernel's ABI has besides is nobody's */
		ours.orig_rax = ours.cs = ours.ss = 0;
		compare(&decoded, bytes, &before, &ours, &native,
			form->operation == DHAT_OPERATION_RET ? target : before.rip + in.length);
	}
}

static void try_form(const struct form *form)
{
	unsigned long count = inputs() / INPUTS_OF_ONE;

	for (unsigned long i = 0; i < count; i++)
		try_instruction(form);
}

static int set_up(void **state)
{
	code = mmap(NULL, PAGE + DATA_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (code == MAP_FAILED)
		return -1;
	data = code + PAGE;
	for (size_t i = 0; i < DATA_BYTES; i++)
		data[i] = chance() >> 56;
	return 0;
}

/* ---- each form ------------------------------------------------------------------------------ */

static void test_two_operands(void **state)
{
	for (int operation = DHAT_OPERATION_MOV; operation <= DHAT_OPERATION_TEST; operation++)
		for (uint8_t width = 0; width <= 3; width++) {
			struct form form = { operation, width, 0, REGISTER, REGISTER, 0 };

			if (operation == DHAT_OPERATION_LEA)
				continue;
			try_form(&form);
			form.from = IMMEDIATE;
			try_form(&form);
			if (operation != DHAT_OPERATION_TEST) {
				form.from = MEMORY;
				try_form(&form);
			}
			if (operation < DHAT_OPERATION_CMP)
				continue;
			form.to = MEMORY;
			form.from = REGISTER;
			try_form(&form);
			form.from = IMMEDIATE;
			try_form(&form);
		}
}

static void test_lea(void **state)
{
	for (uint8_t width = 2; width <= 3; width++)
		try_form(&(struct form){ DHAT_OPERATION_LEA, width, 0, REGISTER, MEMORY, 0 });
}

static void test_widening(void **state)
{
	for (uint8_t from_width = 0; from_width <= 2; from_width++)
		for (uint8_t width = from_width + 1; width <= 3; width++)
			for (int i = 0; i < 4; i++) {
				struct form form = { i & 1 ? DHAT_OPERATION_MOVSX
							   : DHAT_OPERATION_MOVZX,
						     width,
						     from_width,
						     REGISTER,
						     i & 2 ? MEMORY : REGISTER,
						     0 };

				/* of 32 bits there is one, to 64, with their sign */
				if (from_width == 2 && !(i & 1))
					continue;
				try_form(&form);
			}
}

static void test_conditions(void **state)
{
	for (uint8_t condition = 0; condition < 16; condition++) {
		try_form(&(struct form){ DHAT_OPERATION_SET, 0, 0, REGISTER, REGISTER, condition });
		for (uint8_t width = 1; width <= 3; width++) {
			struct form form = {
				DHAT_OPERATION_CMOV, width, 0, REGISTER, REGISTER, condition
			};

			try_form(&form);
			form.from = MEMORY;
			try_form(&form);
		}
	}
}

static void test_stack(void **state)
{
	try_form(&(struct form){ DHAT_OPERATION_RET, 2, 0, REGISTER, REGISTER, 0 });
}

/* ---- what is left alone --------------------------------------------------------------------- */

static bool describe(const uint8_t *bytes, size_t size, struct dhat_instruction *ret)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;

	assert_true(decode(bytes, size, &insn, operands));
	assert_int_equal(insn.length, size);
	return emulation_describe(&insn, operands, bytes, ret);
}

static const struct {
	const char *name;
	uint8_t bytes[ENCODING_MAX_BYTES], size;
} refused[] = {
	{ "mov %rax,(%rdi): a store", { 0x48, 0x89, 0x07 }, 3 },
	{ "add %eax,(%rsp): a store", { 0x01, 0x04, 0x24 }, 3 },
	{ "mov (%rdi),%rax: may be torn", { 0x48, 0x8b, 0x07 }, 3 },
	{ "cmpl $0,(%rip): may be torn", { 0x83, 0x3d, 0, 0, 0, 0, 0 }, 7 },
	{ "mov %fs:0x10,%rax", { 0x64, 0x48, 0x8b, 0x04, 0x25, 0x10, 0, 0, 0 }, 9 },
	{ "mov %ah,%al", { 0x88, 0xe0 }, 2 },
	{ "test %ah,%ah", { 0x84, 0xe4 }, 2 },
	{ "movabs", { 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8 }, 10 },
	{ "mov (%edi),%al: 32-bit address", { 0x67, 0x8a, 0x07 }, 3 },
	{ "ret $8", { 0xc2, 0x08, 0x00 }, 3 },
	{ "lock cmpxchg", { 0xf0, 0x48, 0x0f, 0xb1, 0x0f }, 5 },
	{ "adc %rcx,%rax", { 0x48, 0x11, 0xc8 }, 3 },
	{ "push %rbx: the kernel's", { 0x53 }, 1 },
	{ "je: the kernel's", { 0x74, 0x05 }, 2 },
	{ "call: the kernel's", { 0xe8, 0, 0, 0, 0 }, 5 },
	{ "movaps", { 0x0f, 0x28, 0xc1 }, 3 },
	{ "nopl 0(%rax,%rax,1): the kernel makes a call of it", { 0x0f, 0x1f, 0x44, 0, 0 }, 5 },
	{ "nopw of ten bytes: the same", { 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 }, 10 },
	{ "syscall", { 0x0f, 0x05 }, 2 },
	{ "pop %rbx", { 0x5b }, 1 },
	{ "leave", { 0xc9 }, 1 },
	{ "mov %cs,%eax", { 0x8c, 0xc8 }, 2 },
};

static void test_what_is_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct dhat_instruction in;

		if (describe(refused[i].bytes, refused[i].size, &in)) {
			print_error("%s\n", refused[i].name);
			fail();
		}
	}
}

static const struct {
	uint8_t operation, bytes[ENCODING_MAX_BYTES], size;
} taken[] = {
	{ DHAT_OPERATION_NOP, { 0xf3, 0x0f, 0x1e, 0xfa }, 4 }, /* endbr64 */
	{ DHAT_OPERATION_NOP, { 0x66, 0x90 }, 2 },
	{ DHAT_OPERATION_NOP, { 0x0f, 0x1f, 0x00 }, 3 },
	{ DHAT_OPERATION_NOP, { 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 }, 6 },
	{ DHAT_OPERATION_NOP, { 0x0f, 0x1f, 0x80, 0, 0, 0, 0 }, 7 },
	{ DHAT_OPERATION_RET, { 0xf3, 0xc3 }, 2 },
	{ DHAT_OPERATION_TEST, { 0x48, 0x85, 0xff }, 3 },
	{ DHAT_OPERATION_CMP, { 0x80, 0x3d, 1, 0, 0, 0, 2 }, 7 },    /* cmpb $2, 1(%rip) */
	{ DHAT_OPERATION_MOV, { 0x48, 0x8b, 0x44, 0x24, 0x08 }, 5 }, /* mov 8(%rsp),%rax */
};

static void test_what_is_taken(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		struct dhat_instruction in = { 0 };

		assert_true(describe(taken[i].bytes, taken[i].size, &in));
		assert_int_equal(in.operation, taken[i].operation);
		assert_int_equal(in.length, taken[i].size);
	}
}

/* No word of the worker's is believed that the file does not say, too. */
static void test_other_bytes_are_other_instructions(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		struct dhat_instruction in = { 0 };

		assert_true(describe(taken[i].bytes, taken[i].size, &in));
		for (size_t k = 0; k < taken[i].size * 8u; k++) {
			uint8_t bytes[ENCODING_MAX_BYTES];
			struct dhat_instruction other = { 0 };

			memcpy(bytes, taken[i].bytes, sizeof(bytes));
			bytes[k / 8] ^= 1 << k % 8;
			if (!encoding_is_of(&in, bytes, taken[i].size))
				continue;
			/* another way to write it, then */
			assert_true(describe(bytes, taken[i].size, &other));
			assert_memory_equal(&other, &in, sizeof(in));
		}
		in.to ^= 16;
		assert_true(in.operation == DHAT_OPERATION_NOP ||
			    in.operation == DHAT_OPERATION_RET ||
			    !encoding_is_of(&in, taken[i].bytes, taken[i].size));
		in.to ^= 16;
		in.length++;
		assert_false(encoding_is_of(&in, taken[i].bytes, taken[i].size));
	}
}

static void assert_untouched(const uint8_t *bytes, size_t size, struct pt_regs *regs)
{
	const struct pt_regs before = *regs;
	struct dhat_instruction in;

	assert_true(describe(bytes, size, &in));
	assert_int_equal(emulate(regs, &in), 0);
	assert_memory_equal(regs, &before, sizeof(before));
}

/* A fault costs time, never truth: the kernel steps, and the processor says what it says. */
static void test_what_cannot_be_read_touches_nothing(void **state)
{
	static const uint8_t ret[] = { 0xc3 }, pop_like[] = { 0x48, 0x8b, 0x04, 0x24 },
			     cmpb[] = { 0x80, 0x3f, 0x00 };
	struct pt_regs regs = { .rsp = 8, .rbp = 16, .rdi = ~0UL, .rip = 0x1000 };

	assert_untouched(ret, sizeof(ret), &regs);
	assert_untouched(pop_like, sizeof(pop_like), &regs);
	assert_untouched(cmpb, sizeof(cmpb), &regs);
}

/* Under a shadow stack; to where no code can be; while a debugger steps; where alignment counts. */
static void test_returns_that_are_the_processors(void **state)
{
	static const uint8_t ret[] = { 0xc3 }, test[] = { 0x48, 0x85, 0xff };
	struct pt_regs regs = { .rsp = (uintptr_t)data, .rip = 0x1000 };
	struct dhat_instruction in;
	uint64_t target = 1ULL << 47;

	memcpy(data, &target, sizeof(target));
	assert_untouched(ret, sizeof(ret), &regs);
	target = (1ULL << 47) - 1;
	memcpy(data, &target, sizeof(target));
	may_return = false;
	assert_untouched(ret, sizeof(ret), &regs);
	may_return = true;
	regs.eflags = EMULATE_TRAP;
	assert_untouched(test, sizeof(test), &regs);
	regs.eflags = EMULATE_ALIGNMENT;
	assert_untouched(test, sizeof(test), &regs);
	regs.eflags = 0;
	assert_true(describe(ret, sizeof(ret), &in));
	assert_int_equal(emulate(&regs, &in), 1);
	assert_int_equal(regs.rip, target);
}

/* Others read the same at a place, before and after. */
static void test_what_suits_a_place(void **state)
{
	static const uint8_t needed[] = { 7, 0 }; /* rdi, rax */
	static const struct {
		uint8_t bytes[4], size;
		bool suits;
	} cases[] = {
		{ { 0xc3 }, 1, false },
		{ { 0x48, 0x83, 0xec, 0x18 }, 4, false }, /* sub $24,%rsp */
		{ { 0x48, 0x89, 0xec }, 3, false },	  /* mov %rbp,%rsp */
		{ { 0x48, 0x89, 0xe5 }, 3, false },	  /* mov %rsp,%rbp */
		{ { 0x31, 0xff }, 2, false },		  /* xor %edi,%edi */
		{ { 0x0f, 0x94, 0xc0 }, 3, false },	  /* sete %al */
		{ { 0x48, 0x83, 0xfc, 0x18 }, 4, true },  /* cmp $24,%rsp */
		{ { 0x48, 0x85, 0xff }, 3, true },	  /* test %rdi,%rdi */
		{ { 0x48, 0x89, 0xfb }, 3, true },	  /* mov %rdi,%rbx */
		{ { 0xf3, 0x0f, 0x1e, 0xfa }, 4, true },  /* endbr64 */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_instruction in;

		assert_true(describe(cases[i].bytes, cases[i].size, &in));
		assert_int_equal(encoding_suits(&in, needed, ARRAY_SIZE(needed)), cases[i].suits);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_operands),
		cmocka_unit_test(test_lea),
		cmocka_unit_test(test_widening),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_stack),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_what_is_taken),
		cmocka_unit_test(test_other_bytes_are_other_instructions),
		cmocka_unit_test(test_what_cannot_be_read_touches_nothing),
		cmocka_unit_test(test_returns_that_are_the_processors),
		cmocka_unit_test(test_what_suits_a_place),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
