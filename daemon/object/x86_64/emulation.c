#include "emulation.h"

#include "daemon/object/machine/encoding.h"
#include "proto/base/cleanup.h"

/* ---- operands ------------------------------------------------------------------------------ */

/* Of any width, but none of the upper bytes; -1. */
static int register_of(ZydisRegister reg)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
		if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
			return -1;
		return ZydisRegisterGetId(
			ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return ZydisRegisterGetId(
			ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
	default:
		return -1;
	}
}

static int width_of(unsigned bits)
{
	return bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : bits == 64 ? 3 : -1;
}

static bool describe_memory(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *op,
			    struct dhat_instruction *ret)
{
	int base = op->mem.base == ZYDIS_REGISTER_NONE	? DHAT_ADDRESS_NONE
		   : op->mem.base == ZYDIS_REGISTER_RIP ? DHAT_ADDRESS_PC
							: register_of(op->mem.base);
	int index = op->mem.index == ZYDIS_REGISTER_NONE ? DHAT_ADDRESS_NONE
							 : register_of(op->mem.index);

	if (base < 0 || index < 0 || insn->address_width != 64 ||
	    op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS)
		return false;
	ret->base = base;
	ret->index = index;
	ret->scale = op->mem.scale == 2 ? 1 : op->mem.scale == 4 ? 2 : op->mem.scale == 8 ? 3 : 0;
	ret->displacement = op->mem.disp.value;
	return true;
}

/* The last bits of a number, taken for one with a sign. */
static int32_t with_sign(int64_t number, unsigned bits)
{
	unsigned others = bits < 32 ? 32 - bits : 0;

	return (int32_t)((uint32_t)number << others) >> others;
}

/* As `to` or `from`; -1. */
static int operand_of(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *op,
		      struct dhat_instruction *ret)
{
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		return register_of(op->reg.value);
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return describe_memory(insn, op, ret) ? DHAT_OPERAND_MEMORY : -1;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		/* without a sign it is told so; as wide as the operation it means the same */
		ret->immediate = with_sign(op->imm.value.s, insn->operand_width);
		return DHAT_OPERAND_IMMEDIATE;
	default:
		return -1;
	}
}

/* ---- instructions -------------------------------------------------------------------------- */

static const struct {
	ZydisMnemonic mnemonic;
	uint8_t operation, condition;
} operations[] = {
	{ ZYDIS_MNEMONIC_NOP, DHAT_OPERATION_NOP, 0 },
	{ ZYDIS_MNEMONIC_ENDBR64, DHAT_OPERATION_NOP, 0 },
	{ ZYDIS_MNEMONIC_MOV, DHAT_OPERATION_MOV, 0 },
	{ ZYDIS_MNEMONIC_LEA, DHAT_OPERATION_LEA, 0 },
	{ ZYDIS_MNEMONIC_ADD, DHAT_OPERATION_ADD, 0 },
	{ ZYDIS_MNEMONIC_SUB, DHAT_OPERATION_SUB, 0 },
	{ ZYDIS_MNEMONIC_AND, DHAT_OPERATION_AND, 0 },
	{ ZYDIS_MNEMONIC_OR, DHAT_OPERATION_OR, 0 },
	{ ZYDIS_MNEMONIC_XOR, DHAT_OPERATION_XOR, 0 },
	{ ZYDIS_MNEMONIC_CMP, DHAT_OPERATION_CMP, 0 },
	{ ZYDIS_MNEMONIC_TEST, DHAT_OPERATION_TEST, 0 },
	{ ZYDIS_MNEMONIC_MOVZX, DHAT_OPERATION_MOVZX, 0 },
	{ ZYDIS_MNEMONIC_MOVSX, DHAT_OPERATION_MOVSX, 0 },
	{ ZYDIS_MNEMONIC_MOVSXD, DHAT_OPERATION_MOVSX, 0 },
	{ ZYDIS_MNEMONIC_RET, DHAT_OPERATION_RET, 0 },
#define CONDITION(number, name)                                                                    \
	{ ZYDIS_MNEMONIC_CMOV##name, DHAT_OPERATION_CMOV, number },                                \
	{                                                                                          \
		ZYDIS_MNEMONIC_SET##name, DHAT_OPERATION_SET, number                               \
	}
	CONDITION(0, O),
	CONDITION(1, NO),
	CONDITION(2, B),
	CONDITION(3, NB),
	CONDITION(4, Z),
	CONDITION(5, NZ),
	CONDITION(6, BE),
	CONDITION(7, NBE),
	CONDITION(8, S),
	CONDITION(9, NS),
	CONDITION(10, P),
	CONDITION(11, NP),
	CONDITION(12, L),
	CONDITION(13, NL),
	CONDITION(14, LE),
	CONDITION(15, NLE),
#undef CONDITION
};

static bool describe_operation(const ZydisDecodedInstruction *insn, struct dhat_instruction *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (operations[i].mnemonic == insn->mnemonic) {
			ret->operation = operations[i].operation;
			ret->condition = operations[i].condition;
			return true;
		}
	return false;
}

static bool describe_operands(const ZydisDecodedInstruction *insn,
			      const ZydisDecodedOperand *operands, struct dhat_instruction *ret)
{
	int to, from, width, from_width;

	if (ret->operation == DHAT_OPERATION_NOP)
		return insn->length != 5 && insn->length != 10;
	if (ret->operation == DHAT_OPERATION_RET)
		return insn->operand_count_visible == 0;
	to = operand_of(insn, &operands[0], ret);
	from = ret->operation == DHAT_OPERATION_SET ? 0 : operand_of(insn, &operands[1], ret);
	width = width_of(operands[0].size);
	from_width =
		ret->operation == DHAT_OPERATION_MOVZX || ret->operation == DHAT_OPERATION_MOVSX
			? width_of(operands[1].size)
			: 0;
	if (to < 0 || from < 0 || width < 0 || from_width < 0)
		return false;
	ret->to = to;
	ret->from = from;
	ret->width = width;
	ret->from_width = from_width;
	return true;
}

bool emulation_describe(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
			const uint8_t *bytes, struct dhat_instruction *ret)
{
	struct dhat_instruction described = {
		.length = insn->length,
		.base = DHAT_ADDRESS_NONE,
		.index = DHAT_ADDRESS_NONE,
	};

	if (insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    insn->attributes & ZYDIS_ATTRIB_HAS_LOCK || !describe_operation(insn, &described) ||
	    !describe_operands(insn, operands, &described))
		return false;
	/* what the daemon will hold against the file */
	if (!encoding_is_of(&described, bytes, insn->length))
		return false;
	*ret = described;
	return true;
}
