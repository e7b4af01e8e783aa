#pragma once
/* x86_64: what the kernel side takes for granted of the machine, for the kernel and for plain C. */

#define DHAT_PAGE_BYTES 4096
/* Addresses of user space lie below 2^47 (Documentation/arch/x86/x86_64/mm.rst); with five levels
 * of page tables, too, unless a program asks for more. */
#define DHAT_USER_BITS 47

/* struct rt_sigframe's ucontext (arch/x86/include/uapi/asm/sigcontext.h): rbp, rsp and rip lie at
 * 40 + 8 * {10, 15, 16} from its start, which is where rsp is when the handler has returned. */
#define DHAT_SIGNAL_FP 120
#define DHAT_SIGNAL_SP 160
#define DHAT_SIGNAL_PC 168

/* What a function may keep below its stack pointer (System V ABI for x86-64, 3.2.2). */
#define DHAT_RED_ZONE_BYTES 128
/* struct pt_regs in words, and which of them the walk of a stack begins with. */
#define DHAT_REGISTER_WORDS 21
#define DHAT_REGISTER_FP 4
#define DHAT_REGISTER_PC 16
#define DHAT_REGISTER_SP 19

/* Between loads that must keep their order. The processor keeps it (Intel SDM vol. 3, 9.2.2), so
 * only the compiler has to be told. (BPF has an instruction for other machines from 6.15 on.) */
#define DHAT_LOAD_FENCE() __asm__ volatile("" : : : "memory")

/* A load before all later ones. */
#define DHAT_LOAD_ACQUIRE(place)                                                                   \
	({                                                                                         \
		__typeof__(*(place)) value_ = *(const volatile __typeof__(*(place)) *)(place);     \
		DHAT_LOAD_FENCE();                                                                 \
		value_;                                                                            \
	})

/* ---- code --------------------------------------------------------------------------------------
 */

/* Can what the eight bytes end in, the last one on top, be a call? Its forms (Intel SDM, vol. 2,
 * CALL): e8 and an offset; ff /2 with a register, or with memory and its displacement. Prefixes
 * come before. 1, 0, or -1: it cannot be told. */
static inline __attribute__((always_inline)) int machine_ends_in_call(unsigned long long code)
{
#define CODE_BYTE(from_end) ((unsigned char)(code >> (64 - 8 * (from_end))))
	/* the byte behind ff, if that is so many before the end */
	unsigned char at2 = CODE_BYTE(1), at3 = CODE_BYTE(2), at4 = CODE_BYTE(3);
	unsigned char at6 = CODE_BYTE(5), at7 = CODE_BYTE(6);

	if (CODE_BYTE(5) == 0xe8)
		return 1;
	if (CODE_BYTE(2) == 0xff &&
	    ((at2 & 0xf8) == 0xd0 || ((at2 & 0xf8) == 0x10 && at2 != 0x14 && at2 != 0x15)))
		return 1; /* *%reg, *(%reg) */
	if (CODE_BYTE(3) == 0xff && (((at3 & 0xf8) == 0x50 && at3 != 0x54) || at3 == 0x14))
		return 1; /* *d8(%reg), *(%reg,%reg) */
	if (CODE_BYTE(4) == 0xff && at4 == 0x54)
		return 1; /* *d8(%reg,%reg) */
	if (CODE_BYTE(6) == 0xff && (((at6 & 0xf8) == 0x90 && at6 != 0x94) || at6 == 0x15))
		return 1; /* *d32(%reg), *d32(%rip) */
	if (CODE_BYTE(7) == 0xff && (at7 == 0x94 || at7 == 0x14))
		return 1; /* *d32(%reg,%reg), *d32(,%reg) */
	/* somebody's breakpoint may stand on one; they also fill the space between functions */
	return CODE_BYTE(5) == 0xcc && CODE_BYTE(1) != 0xcc ? -1 : 0;
#undef CODE_BYTE
}

/* Where a direct call leads that these eight bytes end in, with pc behind it; 0: it cannot be told.
 */
static inline __attribute__((always_inline)) unsigned long long
machine_call_target(unsigned long long code, unsigned long long pc)
{
	return (code >> 24 & 0xff) == 0xe8 ? pc + (int)(code >> 32) : 0;
}

/* Does a function that begins with these eight bytes only lead to another, of a linkage table?
 * jmp *d32(%rip), with endbr64 and bnd before it or not (psABI, 5.2 and 13.2). */
static inline __attribute__((always_inline)) int machine_is_stub(unsigned long long code)
{
	if ((unsigned int)code == 0xfa1e0ff3)
		code >>= 32;
	if ((code & 0xff) == 0xf2)
		code >>= 8;
	return (code & 0xffff) == 0x25ff;
}

/* ---- conditions --------------------------------------------------------------------------------
 */

/* Does a condition hold with these flags (rflags)? Its number is the low four bits of a conditional
 * jump's opcode (Intel SDM vol. 1, appendix B): each second one is the contrary of the one before.
 */
static inline __attribute__((always_inline)) int machine_holds(unsigned long long flags,
							       unsigned char condition)
{
	int carry = flags & 1, parity = flags >> 2 & 1, zero = flags >> 6 & 1,
	    sign = flags >> 7 & 1, overflow = flags >> 11 & 1, is_so;

	switch (condition >> 1) {
	case 0:
		is_so = overflow;
		break;
	case 1:
		is_so = carry;
		break;
	case 2:
		is_so = zero;
		break;
	case 3:
		is_so = carry | zero;
		break;
	case 4:
		is_so = sign;
		break;
	case 5:
		is_so = parity;
		break;
	case 6:
		is_so = sign ^ overflow;
		break;
	default:
		is_so = zero | (sign ^ overflow);
	}
	return is_so != (condition & 1);
}

/* ---- instructions that we execute ourselves: x86_64_emulate.h
 * ------------------------------------
 */

enum dhat_operation {
	DHAT_OPERATION_NONE, /* not for us */
	DHAT_OPERATION_NOP,  /* and endbr64 */
	DHAT_OPERATION_MOV,
	DHAT_OPERATION_LEA,
	DHAT_OPERATION_ADD,
	DHAT_OPERATION_SUB,
	DHAT_OPERATION_AND,
	DHAT_OPERATION_OR,
	DHAT_OPERATION_XOR,
	DHAT_OPERATION_CMP, /* operand `to` is only read, here and in the next */
	DHAT_OPERATION_TEST,
	DHAT_OPERATION_MOVZX,
	DHAT_OPERATION_MOVSX, /* movsxd, too */
	DHAT_OPERATION_CMOV,
	DHAT_OPERATION_SET,
	DHAT_OPERATION_RET,
	DHAT_OPERATIONS
};

/* Registers are numbered as in the instruction encoding. Of one of 8 bits its lowest are meant. */
#define DHAT_OPERAND_IMMEDIATE 16
#define DHAT_OPERAND_MEMORY 17
#define DHAT_ADDRESS_NONE 16
#define DHAT_ADDRESS_PC 17 /* as base: of the next instruction */

struct dhat_instruction {
	unsigned char operation;  /* enum dhat_operation */
	unsigned char length;	  /* bytes */
	unsigned char width;	  /* of the operation: 1 << width bytes, 0 … 3 */
	unsigned char from_width; /* of `from`, where that is another one: movzx, movsx */
	unsigned char to;	  /* register; cmp and test: or DHAT_OPERAND_MEMORY */
	unsigned char from;	  /* register or DHAT_OPERAND_… */
	unsigned char condition;  /* of cmov and set: see machine_holds() */
	/* The memory operand, and what lea computes: base + (index << scale) + displacement. */
	unsigned char base, index, scale;
	unsigned char pad[2];
	int displacement;
	int immediate; /* its sign is extended */
};

/* ---- registers, in uprobe programs ------------------------------------------------------------
 */

#ifdef __bpf__
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

/* ABI between the kernel and uprobe programs (arch/x86/include/asm/ptrace.h), so written out whole.
 */
struct pt_regs {
	unsigned long r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	unsigned long orig_rax, rip, cs, eflags, rsp, ss;
};

/* Of struct task_struct: where the thread's local memory is, and what it has the processor do. */
struct thread_struct {
	unsigned long fsbase;
	unsigned long features; /* from 6.6 on: ARCH_SHSTK_… of asm/prctl.h */
} __attribute__((preserve_access_index));
#define thread_local_base(thread) ((thread)->fsbase)

/* A second stack of return addresses, which only the processor can pop. */
#define thread_has_shadow_stack(task)                                                              \
	(bpf_core_field_exists((task)->thread.features) && (task)->thread.features & 1)

#define regs_pc(regs) ((regs)->rip)
#define regs_sp(regs) ((regs)->rsp)
#define regs_fp(regs) ((regs)->rbp)
#define regs_result(regs) ((regs)->rax)
#define regs_first_argument(regs) ((regs)->rdi)

/* machine_answering_function() of daemon/object/machine/machine.h: its argument is its result, by
 * an instruction of two bytes; here, one more. */
static __always_inline void regs_answer(struct pt_regs *regs)
{
	regs->rax = regs->rdi + 1;
	regs->rip += 2;
}

static __always_inline int regs_hold(struct pt_regs *regs, __u8 condition)
{
	__u64 flags = regs->eflags;

	barrier_var(flags); /* see regs_numbered() */
	return machine_holds(flags, condition);
}

/* Any register by its number. The context may only be read at constant offsets; usual places of
 * arguments and results are, the rest goes through a helper. */
static __always_inline __u64 regs_numbered(struct pt_regs *regs, __u8 number)
{
	/* offsets in struct pt_regs, in words: rax rcx rdx rbx rsp rbp rsi rdi | r8 … r15 */
	const __u64 low = 0x0e0d0413050c0b0aULL, high = 0x0001020306070809ULL;
	__u64 value;

	/* each load with its own barrier, or clang merges them into one from a computed place */
	if (number == 7) {
		value = regs->rdi;
		barrier_var(value);
	} else if (number == 6) {
		value = regs->rsi;
		barrier_var(value);
	} else if (number == 2) {
		value = regs->rdx;
		barrier_var(value);
	} else if (number == 0) {
		value = regs->rax;
		barrier_var(value);
	} else if (number == 3) {
		value = regs->rbx;
		barrier_var(value);
	} else {
		__u8 shift = (number & 7) * 8;
		__u64 word = ((number < 8 ? low : high) >> shift) & 31;

		value = 0;
		bpf_probe_read_kernel(&value, sizeof(value), (void *)regs + word * 8);
	}
	return value;
}
#endif
