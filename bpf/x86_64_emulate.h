#pragma once
/* x86_64_emulate: executes an instruction in the place of the processor, for the thread that a
 * probe has stopped at it.
 *
 * Kernels from 6.19 on let uprobe programs write registers, and neither emulate nor single-step the
 * instruction if a program has moved pc. That costs what the kernel's own emulation costs, a tenth
 * of a single step. The description of the instruction comes from the worker's decoder, and is
 * checked against the file's bytes (daemon/object/machine/encoding.h): nothing is decoded here.
 *
 * All or nothing: 0, and nothing was touched, where it is not certain what the processor would do;
 * then the kernel goes on as it always has, which costs time and no truth. So no stores, nothing
 * that is locked, no code segments; and where the thread is being single-stepped, or alignment is
 * checked, nothing at all.
 *
 * Whoever includes it in plain C (the property test) defines struct pt_regs as the kernel's ABI has
 * it (asm/ptrace.h), EMULATE_READ(to, bytes, from), 0 when all was read, and EMULATE_MAY_RETURN().
 */
#include "x86_64.h"

#define EMULATE_INLINE static inline __attribute__((always_inline))

/* rflags */
#define EMULATE_CARRY (1ULL << 0)
#define EMULATE_PARITY (1ULL << 2)
#define EMULATE_ADJUST (1ULL << 4)
#define EMULATE_ZERO (1ULL << 6)
#define EMULATE_SIGN (1ULL << 7)
#define EMULATE_TRAP (1ULL << 8)
#define EMULATE_OVERFLOW (1ULL << 11)
#define EMULATE_ALIGNMENT (1ULL << 18)
#define EMULATE_ARITHMETIC                                                                         \
	(EMULATE_CARRY | EMULATE_PARITY | EMULATE_ADJUST | EMULATE_ZERO | EMULATE_SIGN |           \
	 EMULATE_OVERFLOW)

#define EMULATE_RSP 4

/* ---- registers ------------------------------------------------------------------------------
 */

/* The context may only be touched at constant offsets, and a compiler makes one access of several;
 * so each is written out by itself. */
#ifdef __bpf__
#define EMULATE_LOAD(regs, name, value)                                                            \
	__asm__ volatile("%0 = *(u64 *)(%1 + %2)"                                                  \
			 : "=r"(value)                                                             \
			 : "r"(regs), "i"(__builtin_offsetof(struct pt_regs, name)))
#define EMULATE_STORE(regs, name, value)                                                           \
	__asm__ volatile("*(u64 *)(%0 + %1) = %2"                                                  \
			 :                                                                         \
			 : "r"(regs), "i"(__builtin_offsetof(struct pt_regs, name)), "r"(value)    \
			 : "memory")
#else
#define EMULATE_LOAD(regs, name, value) ((value) = (regs)->name)
#define EMULATE_STORE(regs, name, value) ((regs)->name = (value))
#endif

#define EMULATE_EACH_REGISTER(do)                                                                  \
	do                                                                                         \
	(0, rax) do(1, rcx) do(2, rdx) do(3, rbx) do(4, rsp) do(5, rbp) do(6, rsi) do(7, rdi) do(  \
		8, r8) do(9, r9) do(10, r10) do(11, r11) do(12, r12) do(13, r13) do(14,            \
										    r14) do(15,    \
											    r15)

EMULATE_INLINE unsigned long long emulate_get(struct pt_regs *regs, unsigned char number)
{
	unsigned long long value = 0;

	switch (number) {
#define EMULATE_CASE(number, name)                                                                 \
	case number:                                                                               \
		EMULATE_LOAD(regs, name, value);                                                   \
		break;
		EMULATE_EACH_REGISTER(EMULATE_CASE)
#undef EMULATE_CASE
	}
	return value;
}

EMULATE_INLINE void emulate_set(struct pt_regs *regs, unsigned char number,
				unsigned long long value)
{
	switch (number) {
#define EMULATE_CASE(number, name)                                                                 \
	case number:                                                                               \
		EMULATE_STORE(regs, name, value);                                                  \
		break;
		EMULATE_EACH_REGISTER(EMULATE_CASE)
#undef EMULATE_CASE
	}
}

/* ---- values ---------------------------------------------------------------------------------
 */

EMULATE_INLINE unsigned long long emulate_mask(unsigned char width)
{
	return ~0ULL >> (64 - (8 << (width & 3)));
}

EMULATE_INLINE unsigned long long
emulate_address(struct pt_regs *regs, const struct dhat_instruction *in, unsigned long long next)
{
	unsigned long long address = in->displacement;

	if (in->base == DHAT_ADDRESS_PC)
		address += next;
	else if (in->base < DHAT_ADDRESS_NONE)
		address += emulate_get(regs, in->base);
	if (in->index < DHAT_ADDRESS_NONE)
		address += emulate_get(regs, in->index) << (in->scale & 3);
	return address;
}

/* Zero, sign and parity of a result; `more` of the rest. */
EMULATE_INLINE unsigned long long emulate_flags(unsigned long long flags, unsigned long long result,
						unsigned char width, unsigned long long more)
{
	unsigned long long odd = result & 0xff;

	odd ^= odd >> 4;
	odd ^= odd >> 2;
	odd ^= odd >> 1;
	flags = (flags & ~EMULATE_ARITHMETIC) | more;
	if (!(odd & 1))
		flags |= EMULATE_PARITY;
	if (!result)
		flags |= EMULATE_ZERO;
	if (result >> ((8 << (width & 3)) - 1) & 1)
		flags |= EMULATE_SIGN;
	return flags;
}

/* What add, and sub, cmp, do to the flags besides: carries is what came out of each bit, borrows
 * the same. */
EMULATE_INLINE unsigned long long emulate_carries(unsigned long long carries,
						  unsigned long long overflows, unsigned char width)
{
	unsigned long long flags = 0;
	int last = (8 << (width & 3)) - 1;

	if (carries >> last & 1)
		flags |= EMULATE_CARRY;
	if (carries >> 3 & 1)
		flags |= EMULATE_ADJUST;
	if (overflows >> last & 1)
		flags |= EMULATE_OVERFLOW;
	return flags;
}

/* The operations that change flags; true: the result is written. */
EMULATE_INLINE int emulate_compute(unsigned char operation, unsigned char width,
				   unsigned long long a, unsigned long long b,
				   unsigned long long *flags, unsigned long long *result)
{
	unsigned long long r, more = 0;

	switch (operation) {
	case DHAT_OPERATION_ADD:
		r = a + b;
		more = emulate_carries((a & b) | ((a | b) & ~r), (a ^ r) & (b ^ r), width);
		break;
	case DHAT_OPERATION_SUB:
	case DHAT_OPERATION_CMP:
		r = a - b;
		more = emulate_carries((~a & b) | ((~a | b) & r), (a ^ b) & (a ^ r), width);
		break;
	case DHAT_OPERATION_OR:
		r = a | b;
		break;
	case DHAT_OPERATION_XOR:
		r = a ^ b;
		break;
	default: /* and, test */
		r = a & b;
	}
	r &= emulate_mask(width);
	*flags = emulate_flags(*flags, r, width, more);
	*result = r;
	return operation != DHAT_OPERATION_CMP && operation != DHAT_OPERATION_TEST;
}

/* ---- instructions ---------------------------------------------------------------------------
 */

/* A write of 32 bits clears the others; one of 8 or 16 leaves them. */
EMULATE_INLINE void emulate_write(struct pt_regs *regs, unsigned char number, unsigned char width,
				  unsigned long long value)
{
	unsigned long long mask = emulate_mask(width);

	value &= mask;
	if (width < 2)
		value |= emulate_get(regs, number) & ~mask;
	emulate_set(regs, number, value);
}

EMULATE_INLINE int emulate_return(struct pt_regs *regs)
{
	unsigned long long at = emulate_get(regs, EMULATE_RSP), word = 0;

	if (!EMULATE_MAY_RETURN() || EMULATE_READ(&word, sizeof(word), at))
		return 0;
	/* the processor would not go there: it tells the thread so at the ret */
	if (word >> DHAT_USER_BITS)
		return 0;
	at += sizeof(word);
	EMULATE_STORE(regs, rsp, at);
	EMULATE_STORE(regs, rip, word);
	return 1;
}

EMULATE_INLINE int emulate_plain(struct pt_regs *regs, const struct dhat_instruction *in,
				 unsigned long long flags, unsigned long long next)
{
	unsigned char operation = in->operation, width = in->width & 3;
	unsigned char from_width =
		operation == DHAT_OPERATION_MOVZX || operation == DHAT_OPERATION_MOVSX
			? in->from_width & 3
			: width;
	unsigned long long a, b, result, memory = 0, address = 0;
	int is_written = 1;

	if (operation == DHAT_OPERATION_LEA || in->from == DHAT_OPERAND_MEMORY ||
	    in->to == DHAT_OPERAND_MEMORY)
		address = emulate_address(regs, in, next);
	if (operation != DHAT_OPERATION_LEA &&
	    (in->from == DHAT_OPERAND_MEMORY || in->to == DHAT_OPERAND_MEMORY) &&
	    EMULATE_READ(&memory, 1u << from_width, address))
		return 0;
	a = in->to == DHAT_OPERAND_MEMORY ? memory : emulate_get(regs, in->to);
	b = in->from == DHAT_OPERAND_MEMORY	 ? memory
	    : in->from == DHAT_OPERAND_IMMEDIATE ? (unsigned long long)in->immediate
						 : emulate_get(regs, in->from);
	a &= emulate_mask(width);
	b &= emulate_mask(from_width);
	switch (operation) {
	case DHAT_OPERATION_MOV:
	case DHAT_OPERATION_MOVZX:
		result = b;
		break;
	case DHAT_OPERATION_MOVSX:
		result = (unsigned long long)((long long)(b << (64 - (8 << from_width))) >>
					      (64 - (8 << from_width)));
		break;
	case DHAT_OPERATION_LEA:
		result = address;
		break;
	case DHAT_OPERATION_CMOV:
		result = machine_holds(flags, in->condition) ? b : a;
		break;
	case DHAT_OPERATION_SET:
		result = machine_holds(flags, in->condition);
		break;
	default:
		is_written = emulate_compute(operation, width, a, b, &flags, &result);
		EMULATE_STORE(regs, eflags, flags);
	}
	if (is_written)
		emulate_write(regs, in->to, width, result);
	EMULATE_STORE(regs, rip, next);
	return 1;
}

/* The thread has executed it: 1. */
EMULATE_INLINE int emulate(struct pt_regs *regs, const struct dhat_instruction *in)
{
	unsigned long long flags, next;

	EMULATE_LOAD(regs, eflags, flags);
	EMULATE_LOAD(regs, rip, next);
	next += in->length;
	if (flags & (EMULATE_TRAP | EMULATE_ALIGNMENT))
		return 0;
	switch (in->operation) {
	case DHAT_OPERATION_NONE:
		return 0;
	case DHAT_OPERATION_NOP:
		EMULATE_STORE(regs, rip, next);
		return 1;
	case DHAT_OPERATION_RET:
		return emulate_return(regs);
	default:
		return in->operation < DHAT_OPERATIONS && emulate_plain(regs, in, flags, next);
	}
}
