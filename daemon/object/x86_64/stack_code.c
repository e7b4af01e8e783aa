#include "stack_code.h"

#include <asm/unistd_64.h>

static bool is_reg(const ZydisDecodedOperand *op, ZydisRegister reg)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value == reg;
}

/* Writes the register or a part of it. */
static bool writes(const struct stack_instruction *at, ZydisRegister reg)
{
	const ZydisDecodedOperand *op;
	unsigned int i;

	for (i = 0; i < at->insn.operand_count; i++) {
		op = &at->op[i];
		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
		    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, op->reg.value) ==
			    reg)
			return true;
	}
	return false;
}

bool stack_code_is_based(const ZydisDecodedOperand *op, ZydisRegister base)
{
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.base == base &&
	       op->mem.index == ZYDIS_REGISTER_NONE;
}

/* rsp moves up (a pop) or down (a push). Offsets that no compiler makes end what is known. */
static void move_rsp(struct stack_place *place, int64_t bytes)
{
	int64_t moved = place->cfa_from_rsp - bytes;

	if (!place->has_rsp)
		return;
	if (moved < 8 && place->is_cloned) /* above what it began with: nobody's return address */
		place->is_outermost = true;
	place->has_rsp = moved >= 8 && moved < INT32_MAX / 2;
	place->cfa_from_rsp = place->has_rsp ? (int32_t)moved : 0;
}

static void lose_rbp(struct stack_place *place)
{
	place->has_rbp = false;
	place->cfa_from_rbp = 0;
	if (place->rbp == DHAT_FP_SAME)
		place->rbp = DHAT_FP_UNDEFINED;
}

static void push(struct stack_place *place, const struct stack_instruction *at)
{
	move_rsp(place, -(int64_t)(at->insn.operand_width / 8));
	if (is_reg(&at->op[0], ZYDIS_REGISTER_RBP) && place->rbp == DHAT_FP_SAME &&
	    place->has_rsp && place->cfa_from_rsp % 8 == 0 && place->cfa_from_rsp <= 128 * 8)
		place->rbp = (int8_t)(-place->cfa_from_rsp / 8);
}

/* rbp comes back from where it was saved, or becomes something else. */
static void pop_rbp(struct stack_place *place)
{
	bool is_own = place->has_rsp && place->rbp < 0 && place->rbp * 8 == -place->cfa_from_rsp;

	if (is_own)
		place->rbp = DHAT_FP_SAME;
	place->has_rbp = false;
	place->cfa_from_rbp = 0;
	if (!is_own)
		lose_rbp(place);
}

static void set_rsp_from_rbp(struct stack_place *place, int64_t displacement)
{
	place->has_rsp = place->has_rbp;
	place->cfa_from_rsp = place->has_rbp ? place->cfa_from_rbp : 0;
	move_rsp(place, displacement);
}

static void set_rbp_from_rsp(struct stack_place *place, int64_t displacement)
{
	lose_rbp(place);
	if (!place->has_rsp || displacement < INT32_MIN / 2 || displacement > INT32_MAX / 2)
		return;
	place->has_rbp = true;
	place->cfa_from_rbp = (int32_t)(place->cfa_from_rsp - displacement);
}

/* Anything that writes the two registers and is none of the forms that keep track. */
static void lose_what_is_written(struct stack_place *place, const struct stack_instruction *at)
{
	if (writes(at, ZYDIS_REGISTER_RSP)) {
		place->has_rsp = false;
		place->cfa_from_rsp = 0;
	}
	if (writes(at, ZYDIS_REGISTER_RBP))
		lose_rbp(place);
}

/* rax, for the number of a system call: mov $n,%eax, or xor %eax,%eax and mov $n,%al. */
static void follow_rax(struct stack_place *place, const struct stack_instruction *at)
{
	const ZydisDecodedOperand *op = at->op;
	bool is_imm = op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;

	if (at->insn.mnemonic == ZYDIS_MNEMONIC_CALL || at->insn.mnemonic == ZYDIS_MNEMONIC_SYSCALL)
		place->rax = -1;
	if (!writes(at, ZYDIS_REGISTER_RAX))
		return;
	if (at->insn.mnemonic == ZYDIS_MNEMONIC_XOR && is_reg(&op[0], ZYDIS_REGISTER_EAX) &&
	    is_reg(&op[1], ZYDIS_REGISTER_EAX))
		place->rax = 0;
	else if (at->insn.mnemonic == ZYDIS_MNEMONIC_MOV && is_imm &&
		 (is_reg(&op[0], ZYDIS_REGISTER_EAX) || is_reg(&op[0], ZYDIS_REGISTER_RAX)))
		place->rax = (int32_t)op[1].imm.value.s;
	else if (at->insn.mnemonic == ZYDIS_MNEMONIC_MOV && is_imm && place->rax >= 0 &&
		 is_reg(&op[0], ZYDIS_REGISTER_AL))
		place->rax = (place->rax & ~0xff) | (int32_t)(op[1].imm.value.u & 0xff);
	else
		place->rax = -1;
}

void stack_code_apply(struct stack_place *place, const struct stack_instruction *at)
{
	const ZydisDecodedOperand *op = at->op;
	bool is_imm = op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;

	if (at->insn.mnemonic == ZYDIS_MNEMONIC_SYSCALL &&
	    (place->rax == __NR_clone || place->rax == __NR_clone3))
		place->is_cloned = true;
	follow_rax(place, at);
	switch (at->insn.mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_PUSHFQ:
		push(place, at);
		return;
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_POPFQ:
		if (is_reg(&op[0], ZYDIS_REGISTER_RBP))
			pop_rbp(place);
		if (is_reg(&op[0], ZYDIS_REGISTER_RSP))
			break; /* from elsewhere */
		move_rsp(place, at->insn.operand_width / 8);
		return;
	case ZYDIS_MNEMONIC_LEAVE:
		set_rsp_from_rbp(place, 0);
		pop_rbp(place);
		move_rsp(place, 8);
		return;
	case ZYDIS_MNEMONIC_ADD:
		if (is_reg(&op[0], ZYDIS_REGISTER_RSP) && is_imm)
			return move_rsp(place, op[1].imm.value.s);
		break;
	case ZYDIS_MNEMONIC_SUB:
		if (is_reg(&op[0], ZYDIS_REGISTER_RSP) && is_imm)
			return move_rsp(place, -op[1].imm.value.s);
		break;
	case ZYDIS_MNEMONIC_LEA:
		if (is_reg(&op[0], ZYDIS_REGISTER_RSP) &&
		    stack_code_is_based(&op[1], ZYDIS_REGISTER_RSP))
			return move_rsp(place, op[1].mem.disp.value);
		if (is_reg(&op[0], ZYDIS_REGISTER_RSP) &&
		    stack_code_is_based(&op[1], ZYDIS_REGISTER_RBP))
			return set_rsp_from_rbp(place, op[1].mem.disp.value);
		if (is_reg(&op[0], ZYDIS_REGISTER_RBP) &&
		    stack_code_is_based(&op[1], ZYDIS_REGISTER_RSP))
			return set_rbp_from_rsp(place, op[1].mem.disp.value);
		break;
	case ZYDIS_MNEMONIC_MOV:
		if (is_reg(&op[0], ZYDIS_REGISTER_RSP) && is_reg(&op[1], ZYDIS_REGISTER_RBP))
			return set_rsp_from_rbp(place, 0);
		if (is_reg(&op[0], ZYDIS_REGISTER_RBP) && is_reg(&op[1], ZYDIS_REGISTER_RSP))
			return set_rbp_from_rsp(place, 0);
		break;
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_SYSCALL: /* both come back as they went (psABI 3.2.1) */
	case ZYDIS_MNEMONIC_RET:     /* and this ends the way: follow() looks at where it is */
		return;
	default:
		break;
	}
	lose_what_is_written(place, at);
}
