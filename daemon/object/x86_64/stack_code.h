#pragma once
/* stack_code: what one instruction does to what is known of the stack.
 *
 * Pure. Only what compilers do with rsp and rbp is kept track of; whatever else writes them makes
 * them unknown.
 */
#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/dhat_abi.h"

/* What is known of the stack before an instruction. Outermost is what the kernel started on a stack
 * of its own: the child of clone() and clone3() (man 2 clone), if it goes where nobody has called
 * from. Code that takes its return address off the stack without such a call, as V8's builtins do
 * to put arguments below it, has a caller: nothing is known of where it is. */
struct stack_place {
	int32_t cfa_from_rsp, cfa_from_rbp; /* CFA - register */
	int8_t rbp;			    /* of the caller: as in struct dhat_row */
	uint8_t length;			    /* of the instruction */
	bool has_rsp : 1, has_rbp : 1;	    /* the CFA can be told from it */
	bool is_cloned : 1;		    /* a system call that makes a thread was passed */
	bool is_outermost : 1;
	int32_t rax; /* the constant in it, on a straight line; -1: not known */
};

struct stack_instruction {
	uint64_t addr, next;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* The stack behind the instruction, given the one before it. A call comes back as it went; where a
 * way ends (ret, jmp, hlt) is the caller's to see. */
void stack_code_apply(struct stack_place *place, const struct stack_instruction *at);
/* [base + displacement], nothing else: of lea. */
bool stack_code_is_based(const ZydisDecodedOperand *op, ZydisRegister base);
