#include "values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

enum { RAX = 0, RCX, RDX, RBX, RSP, RBP, RSI, RDI };
/* psABI 3.2.3: rdi rsi rdx rcx r8 r9 */
static const uint8_t abi_args[] = { RDI, RSI, RDX, RCX, 8, 9 };
/* psABI 3.2.1: what a call may change */
static const uint8_t scratch_registers[] = { RAX, RCX, RDX, RSI, RDI, 8, 9, 10, 11 };

/* ---- one instruction ----------------------------------------------------------------------- */

static const struct value unknown;

static struct value value_of(enum value_kind kind, int32_t number)
{
	return (struct value){ kind, number };
}

static bool is_same(struct value a, struct value b)
{
	return a.kind == b.kind && a.number == b.number;
}

static struct value constant(int64_t number)
{
	if (number == 0)
		return value_of(VALUE_ZERO, 0);
	return number > 0 && number <= INT32_MAX ? value_of(VALUE_CONSTANT, number) : unknown;
}

static bool is_constant(struct value value)
{
	return value.kind == VALUE_ZERO || value.kind == VALUE_CONSTANT;
}

int32_t values_stack(const struct values *values)
{
	return values->reg[RSP].number;
}

/* Number of a general register of any width, -1 for others; high-byte registers are their whole's.
 */
static int register_number(ZydisRegister reg)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (ZydisRegisterGetClass(whole) != ZYDIS_REGCLASS_GPR64)
		return -1;
	return ZydisRegisterGetId(whole);
}

static int whole_register(const ZydisDecodedOperand *op)
{
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    ZydisRegisterGetClass(op->reg.value) != ZYDIS_REGCLASS_GPR64)
		return -1;
	return ZydisRegisterGetId(op->reg.value);
}

/* Of its lower half; a write of that clears the upper one. */
static int half_register(const ZydisDecodedOperand *op)
{
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    ZydisRegisterGetClass(op->reg.value) != ZYDIS_REGCLASS_GPR32)
		return -1;
	return register_number(op->reg.value);
}

/* The address of a memory operand, if it lies in the frame: rsp of the entry plus *ret. */
static bool frame_address(const struct values *values, const ZydisDecodedOperand *op, int64_t *ret)
{
	int base = op->mem.base == ZYDIS_REGISTER_NONE ? -1 : register_number(op->mem.base);

	if (base < 0 || op->mem.segment == ZYDIS_REGISTER_FS ||
	    op->mem.segment == ZYDIS_REGISTER_GS || values->reg[base].kind != VALUE_STACK)
		return false;
	*ret = values->reg[base].number + op->mem.disp.value;
	return op->mem.index == ZYDIS_REGISTER_NONE;
}

/* The slot that is exactly the word there. */
static struct value *slot_at(struct values *values, int64_t address)
{
	int64_t number = -address / 8;

	if (address % 8 || number < 1 || number > VALUES_SLOTS)
		return NULL;
	return &values->slot[number - 1];
}

/* A write of `bytes` there, of whatever. */
static void spoil(struct values *values, int64_t address, int64_t bytes)
{
	for (int i = 0; i < VALUES_SLOTS; i++) {
		int64_t slot = -8 * (i + 1);

		if (slot < address + bytes && address < slot + 8)
			values->slot[i] = unknown;
	}
}

static void spoil_all(struct values *values)
{
	memset(values->slot, 0, sizeof(values->slot));
}

/* Somebody has written somewhere: into the frame, if he knows where it is. */
static void distrust(struct values *values)
{
	for (int i = 0; values->is_shared && i < VALUES_SLOTS; i++)
		if (!(values->pushed & 1ull << i))
			values->slot[i] = unknown;
}

static struct value source_value(struct values *values, const ZydisDecodedOperand *op)
{
	const struct value *slot;
	int reg = whole_register(op);
	int64_t address;

	if (reg >= 0)
		return values->reg[reg];
	if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->size == 64 &&
	    frame_address(values, op, &address)) {
		slot = slot_at(values, address);
		return slot ? *slot : unknown;
	}
	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return constant(op->imm.value.s);
	if (half_register(op) >= 0 && is_constant(values->reg[half_register(op)]))
		return values->reg[half_register(op)];
	return unknown;
}

static void write_flags(const struct code_instruction *at, struct values *values)
{
	const ZydisDecodedOperand *a = &at->op[0], *b = &at->op[1];
	int reg = whole_register(a);

	if (reg < 0 && half_register(a) >= 0 && is_constant(values->reg[half_register(a)]))
		reg = half_register(a);
	if (reg >= 0 && ((at->insn.mnemonic == ZYDIS_MNEMONIC_TEST && b->type == a->type &&
			  b->reg.value == a->reg.value) ||
			 (at->insn.mnemonic == ZYDIS_MNEMONIC_CMP &&
			  b->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && b->imm.value.u == 0))) {
		values->tested = values->reg[reg];
		values->tested_register = reg + 1;
	} else if (at->insn.cpu_flags &&
		   (at->insn.cpu_flags->modified || at->insn.cpu_flags->set_0 ||
		    at->insn.cpu_flags->set_1 || at->insn.cpu_flags->undefined)) {
		values->tested = unknown;
		values->tested_register = 0;
	}
}

/* What is written by operands, hidden ones included, and is not known better. */
static void forget_written(const struct code_instruction *at, struct values *values)
{
	int64_t address;

	for (int i = 0; i < at->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &at->op[i];

		if (!(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			int reg = register_number(op->reg.value);

			if (reg >= 0)
				values->reg[reg] = unknown;
			if (reg >= 0 && values->tested_register == reg + 1)
				values->tested_register = 0;
		} else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			if (frame_address(values, op, &address))
				spoil(values, address, op->size ? op->size / 8 : 64);
			else if (op->mem.base != ZYDIS_REGISTER_NONE &&
				 register_number(op->mem.base) >= 0 &&
				 values->reg[register_number(op->mem.base)].kind == VALUE_STACK)
				spoil_all(values); /* an indexed place of the frame */
			else
				distrust(values);
		}
	}
}

static void push(struct values *values, struct value value)
{
	struct value *slot;

	if (values->reg[RSP].kind != VALUE_STACK) {
		spoil_all(values);
		return;
	}
	values->reg[RSP].number -= 8;
	slot = slot_at(values, values->reg[RSP].number);
	if (slot) {
		*slot = value;
		values->pushed |= 1ull << (slot - values->slot);
	}
}

static struct value pop(struct values *values)
{
	const struct value *slot;

	if (values->reg[RSP].kind != VALUE_STACK)
		return unknown;
	slot = slot_at(values, values->reg[RSP].number);
	values->reg[RSP].number += 8;
	return slot ? *slot : unknown;
}

static void apply_call(const struct code_instruction *at, struct values *values)
{
	struct value argument = values->reg[RDI];

	for (size_t i = 0; i < ARRAY_SIZE(scratch_registers); i++)
		values->reg[scratch_registers[i]] = unknown;
	values->tested = unknown;
	values->tested_register = 0;
	distrust(values);
	/* what lies below the stack pointer is the callee's */
	if (values->reg[RSP].kind != VALUE_STACK)
		spoil_all(values);
	for (int i = 0; i < VALUES_SLOTS; i++)
		if (-8 * (i + 1) < values->reg[RSP].number)
			values->slot[i] = unknown;
	if (at->returns_argument)
		values->reg[RAX] = argument;
}

static void apply_and(const struct code_instruction *at, struct values *values)
{
	struct value a = source_value(values, &at->op[0]), b = source_value(values, &at->op[1]);
	int reg = whole_register(&at->op[0]) >= 0 ? whole_register(&at->op[0])
						  : half_register(&at->op[0]);

	forget_written(at, values);
	if (reg >= 0 && is_constant(a) && is_constant(b))
		values->reg[reg] = constant(a.number & b.number);
}

static bool is_product(struct value a, struct value b)
{
	return a.kind == VALUE_ARGUMENT && b.kind == VALUE_ARGUMENT && a.number + b.number == 1 &&
	       a.number != b.number;
}

static void apply_mov(const struct code_instruction *at, struct values *values)
{
	struct value value = source_value(values, &at->op[1]);
	int reg = whole_register(&at->op[0]);
	struct value *slot;
	int64_t address;

	if (reg < 0 && is_constant(value))
		reg = half_register(&at->op[0]);
	forget_written(at, values);
	if (reg >= 0) {
		values->reg[reg] = value;
	} else if (at->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY && at->op[0].size == 64 &&
		   frame_address(values, &at->op[0], &address)) {
		slot = slot_at(values, address);
		if (slot) {
			*slot = value;
			values->pushed &= ~(1ull << (slot - values->slot));
		}
	}
}

static void apply_lea(const struct code_instruction *at, struct values *values)
{
	int reg = whole_register(&at->op[0]);
	int64_t address;
	bool is_frame = frame_address(values, &at->op[1], &address);

	forget_written(at, values);
	if (reg >= 0 && is_frame)
		values->reg[reg] = value_of(VALUE_STACK, address);
}

/* add, sub, and: of the stack pointer by a constant */
static bool apply_stack_move(const struct code_instruction *at, struct values *values)
{
	int reg = whole_register(&at->op[0]);
	int64_t by = at->op[1].imm.value.s;

	if (reg < 0 || values->reg[reg].kind != VALUE_STACK ||
	    at->op[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return false;
	write_flags(at, values);
	values->reg[reg].number += at->insn.mnemonic == ZYDIS_MNEMONIC_ADD ? by : -by;
	return true;
}

static void apply_other(const struct code_instruction *at, struct values *values)
{
	bool is_zeroing = (at->insn.mnemonic == ZYDIS_MNEMONIC_XOR ||
			   at->insn.mnemonic == ZYDIS_MNEMONIC_SUB) &&
			  at->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			  at->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			  at->op[0].reg.value == at->op[1].reg.value && at->op[0].size >= 32;

	forget_written(at, values);
	if (is_zeroing && register_number(at->op[0].reg.value) >= 0)
		values->reg[register_number(at->op[0].reg.value)] = value_of(VALUE_ZERO, 0);
}

static void apply_multiply(const struct code_instruction *at, struct values *values)
{
	bool is_short =
		at->insn.mnemonic == ZYDIS_MNEMONIC_IMUL && at->insn.operand_count_visible == 2;
	struct value a = is_short ? source_value(values, &at->op[0]) : values->reg[RAX];
	struct value b = source_value(values, &at->op[is_short ? 1 : 0]);
	int to = is_short ? whole_register(&at->op[0]) : RAX;
	bool is_wide = at->op[0].size == 64 && at->insn.operand_count_visible <= 2;

	forget_written(at, values);
	if (is_wide && to >= 0 && is_product(a, b))
		values->reg[to] = value_of(VALUE_PRODUCT, 0);
}

void values_apply(const struct code_instruction *at, struct values *values)
{
	struct value value;
	int reg;

	if (at->is_call) {
		apply_call(at, values);
		return;
	}
	write_flags(at, values);
	switch (at->insn.mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
		value = source_value(values, &at->op[0]);
		if (at->insn.operand_width == 64)
			push(values, value);
		else
			values->reg[RSP] = unknown;
		return;
	case ZYDIS_MNEMONIC_POP:
		reg = whole_register(&at->op[0]);
		value = pop(values);
		if (reg >= 0)
			values->reg[reg] = value;
		else if (at->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
			spoil_all(values);
		if (values->tested_register == reg + 1)
			values->tested_register = 0;
		return;
	case ZYDIS_MNEMONIC_LEAVE:
		values->reg[RSP] = values->reg[RBP];
		values->reg[RBP] = values->reg[RSP].kind == VALUE_STACK ? pop(values) : unknown;
		return;
	case ZYDIS_MNEMONIC_MOV:
		apply_mov(at, values);
		return;
	case ZYDIS_MNEMONIC_LEA:
		apply_lea(at, values);
		return;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
		if (!apply_stack_move(at, values))
			apply_other(at, values);
		return;
	case ZYDIS_MNEMONIC_AND:
		apply_and(at, values);
		return;
	case ZYDIS_MNEMONIC_MUL:
	case ZYDIS_MNEMONIC_IMUL:
		apply_multiply(at, values);
		return;
	case ZYDIS_MNEMONIC_RET:
		return;
	default:
		apply_other(at, values);
	}
}

/* ---- all of them --------------------------------------------------------------------------- */

/* An address of the frame that is kept or handed on: whoever has it may write to any slot above it.
 */
static bool hands_on_frame(const struct code_instruction *at, const struct values *before)
{
	int reg;

	switch (at->insn.mnemonic) {
	case ZYDIS_MNEMONIC_LEA:
		reg = whole_register(&at->op[0]);
		return reg != RSP && reg != RBP && at->op[1].mem.base != ZYDIS_REGISTER_NONE &&
		       register_number(at->op[1].mem.base) >= 0 &&
		       before->reg[register_number(at->op[1].mem.base)].kind == VALUE_STACK;
	case ZYDIS_MNEMONIC_MOV:
		reg = whole_register(&at->op[1]);
		if (reg < 0 || before->reg[reg].kind != VALUE_STACK)
			return false;
		return whole_register(&at->op[0]) != RBP && whole_register(&at->op[0]) != RSP;
	default:
		return false;
	}
}

/* What both say; true: something was given up. */
static bool join(struct values *into, const struct values *other)
{
	bool has_changed = false;

	if (!into->is_reached) {
		*into = *other;
		return true;
	}
	for (int i = 0; i < VALUES_REGISTERS; i++) {
		if (into->reg[i].kind && !is_same(into->reg[i], other->reg[i])) {
			into->reg[i] = unknown;
			has_changed = true;
		}
	}
	for (int i = 0; i < VALUES_SLOTS; i++) {
		if (into->slot[i].kind && !is_same(into->slot[i], other->slot[i])) {
			into->slot[i] = unknown;
			has_changed = true;
		}
	}
	if (into->tested.kind && !is_same(into->tested, other->tested)) {
		into->tested = unknown;
		has_changed = true;
	}
	if (into->tested_register && into->tested_register != other->tested_register) {
		into->tested_register = 0;
		has_changed = true;
	}
	if (into->pushed & ~other->pushed) {
		into->pushed &= other->pushed;
		has_changed = true;
	}
	if (other->is_shared && !into->is_shared) {
		into->is_shared = true;
		has_changed = true;
	}
	if (into->zeros & ~other->zeros) {
		into->zeros &= other->zeros;
		has_changed = true;
	}
	return has_changed;
}

/* je and jne tell on each side whether what was tested is 0. false: nobody goes that way. */
static bool learn(const struct code_instruction *at, bool is_taken, struct values *values)
{
	bool is_zero;

	if (at->condition ||
	    (at->insn.mnemonic != ZYDIS_MNEMONIC_JZ && at->insn.mnemonic != ZYDIS_MNEMONIC_JNZ))
		return true;
	is_zero = (at->insn.mnemonic == ZYDIS_MNEMONIC_JZ) == is_taken;
	if (is_zero && values->tested.kind == VALUE_MARKED)
		values->zeros |= 1u << values->tested.number;
	if (is_constant(values->tested))
		return is_zero == (values->tested.kind == VALUE_ZERO);
	return true;
}

struct spreader {
	const struct code *code;
	struct values *at;
	uint32_t *work;
	uint8_t *is_waiting;
	uint32_t count;
};

static void reach(struct spreader *s, uint32_t number, const struct values *values)
{
	if (number == CODE_NONE || !join(&s->at[number], values) || s->is_waiting[number])
		return;
	s->is_waiting[number] = 1;
	s->work[s->count++] = number;
}

bool values_are_followed(const struct code *code, const struct values *values)
{
	for (uint32_t i = 0; i < code->count; i++)
		if (values[i].is_reached && code->list[i].end == CODE_IS_LOST)
			return false;
	return true;
}

bool values_have_stack(const struct code *code, const struct values *values)
{
	for (uint32_t i = 0; i < code->count; i++)
		if (values[i].is_reached &&
		    (values[i].reg[RSP].kind != VALUE_STACK || values[i].reg[RSP].number > 0))
			return false;
	return true;
}

static int spread(const struct code *code, uint32_t start, const struct values *first,
		  values_hope hope, struct values *ret)
{
	_cleanup_free_ uint32_t *work = calloc(code->count, sizeof(*work));
	_cleanup_free_ uint8_t *is_waiting = calloc(code->count, 1);
	struct spreader s = { code, ret, work, is_waiting, 0 };

	if (!work || !is_waiting)
		return -ENOMEM;
	for (uint32_t i = 0; i < code->count; i++) /* the rest is written when it is reached */
		ret[i].is_reached = false;
	reach(&s, start, first);
	while (s.count) {
		uint32_t number = s.work[--s.count];
		const struct code_instruction *at = &code->list[number];
		struct values behind = s.at[number], taken;

		s.is_waiting[number] = 0;
		if (at->end != CODE_GOES_ON && hope && !hope(at, &behind))
			return -ECANCELED;
		if (at->end != CODE_GOES_ON)
			continue;
		if (hands_on_frame(at, &behind))
			behind.is_shared = true;
		if (!at->condition)
			values_apply(at, &behind);
		taken = behind;
		if (learn(at, false, &behind))
			reach(&s, at->next, &behind);
		if (learn(at, true, &taken))
			reach(&s, at->target, &taken);
	}
	return 0;
}

int values_at_entry(const struct code *code, struct value first_argument, struct values *ret)
{
	struct values first = { .is_reached = true };

	for (size_t i = 0; i < ARRAY_SIZE(abi_args); i++)
		first.reg[abi_args[i]] = value_of(VALUE_ARGUMENT, i);
	if (first_argument.kind)
		first.reg[RDI] = first_argument;
	first.reg[RBP] = value_of(VALUE_FRAME, 0);
	first.reg[RSP] = value_of(VALUE_STACK, 0);
	return spread(code, 0, &first, NULL, ret);
}

int values_from(const struct code *code, uint32_t start, const struct values *before,
		values_hope hope, struct values *ret)
{
	struct values first = *before;

	for (int i = 0; i < VALUES_REGISTERS; i++)
		if (first.reg[i].kind != VALUE_STACK)
			first.reg[i] = value_of(VALUE_MARKED, i);
	first.zeros = 0;
	first.tested = unknown;
	if (first.tested_register)
		first.tested = first.reg[first.tested_register - 1];
	return spread(code, start, &first, hope, ret);
}
