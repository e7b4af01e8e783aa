#include "daemon/object/machine/probe_place.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/object/machine/encoding.h"
#include "decode.h"
#include "emulation.h"
#include "proto/base/cleanup.h"
#include "treatment.h"

/* Longest straight line looked at. The longest prologue of the allocators in Debian 12 has 15
 * instructions before its first branch. */
#define MAX_LINE 64

/* psABI 3.2.3: rdi rsi rdx rcx r8 r9, numbered as in the instruction encoding. */
static const uint8_t abi_args[PROLOGUE_ARGS] = { 7, 6, 2, 1, 8, 9 };
#define REG_RSP 4
#define REG_RBP 5

/* What is known before an instruction. */
struct state {
	uint16_t holders[PROLOGUE_ARGS]; /* bit r: register r holds the argument */
	int64_t rsp_bytes;		 /* rsp at the entry - rsp here */
};

struct step {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	const uint8_t *bytes;
};

/* ---- what an instruction is ---------------------------------------------------------------- */

static bool is_nop5(const struct step *s)
{
	return s->insn.length == 5 && s->insn.mnemonic == ZYDIS_MNEMONIC_NOP;
}

/* ---- what an instruction does to arguments and stack -------------------------------------- */

/* Number of a general-purpose register of any width; -1 for others. */
static int gpr_number(ZydisRegister reg)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (ZydisRegisterGetClass(whole) != ZYDIS_REGCLASS_GPR64)
		return -1;
	return ZydisRegisterGetId(whole);
}

static bool is_gpr64(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_GPR64;
}

static bool is_rsp(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value == ZYDIS_REGISTER_RSP;
}

/* rsp's move by instructions that move it by a known amount; false for all others that write it. */
static bool rsp_move(const struct step *s, int64_t *ret_bytes)
{
	const ZydisDecodedOperand *op = s->operands;

	switch (s->insn.mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
		*ret_bytes = 8;
		return s->insn.operand_width == 64;
	case ZYDIS_MNEMONIC_POP:
		*ret_bytes = -8;
		return s->insn.operand_width == 64 && !is_rsp(&op[0]);
	case ZYDIS_MNEMONIC_SUB:
		*ret_bytes = op[1].imm.value.s;
		return is_rsp(&op[0]) && op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
	case ZYDIS_MNEMONIC_ADD:
		*ret_bytes = -op[1].imm.value.s;
		return is_rsp(&op[0]) && op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
	case ZYDIS_MNEMONIC_LEA:
		*ret_bytes = -op[1].mem.disp.value;
		return is_rsp(&op[0]) && op[1].mem.base == ZYDIS_REGISTER_RSP &&
		       op[1].mem.index == ZYDIS_REGISTER_NONE && s->insn.address_width == 64;
	default:
		return false;
	}
}

static uint16_t written_registers(const struct step *s)
{
	uint16_t written = 0;
	int i, reg;

	for (i = 0; i < s->insn.operand_count; i++) {
		if (s->operands[i].type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    !(s->operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		reg = gpr_number(s->operands[i].reg.value);
		if (reg >= 0 && reg < 16)
			written |= 1u << reg;
	}
	return written;
}

/* The state behind an instruction that is not a branch; false when too little is known then. */
static bool advance(struct state *state, const struct step *s)
{
	uint16_t written = written_registers(s), sources[PROLOGUE_ARGS] = { 0 };
	bool is_copy = s->insn.mnemonic == ZYDIS_MNEMONIC_MOV && is_gpr64(&s->operands[0]) &&
		       is_gpr64(&s->operands[1]);
	int64_t moved = 0;
	int i;

	if (written & 1u << REG_RSP) {
		if (!rsp_move(s, &moved))
			return false;
		state->rsp_bytes += moved;
	}
	if (written & 1u << REG_RBP)
		return false;
	for (i = 0; i < PROLOGUE_ARGS; i++) {
		if (is_copy && state->holders[i] & 1u << gpr_number(s->operands[1].reg.value))
			sources[i] = 1u << gpr_number(s->operands[0].reg.value);
		state->holders[i] = (state->holders[i] & ~written) | sources[i];
	}
	return true;
}

static bool ends_line(const struct step *s)
{
	switch (s->insn.meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
		return true;
	default:
		return s->insn.mnemonic == ZYDIS_MNEMONIC_HLT ||
		       s->insn.mnemonic == ZYDIS_MNEMONIC_UD2;
	}
}

/* ---- the choice --------------------------------------------------------------------------- */

static bool is_usable(const struct state *state, const struct prologue_options *options)
{
	int i;

	if (state->rsp_bytes < 0 || state->rsp_bytes % 8 || state->rsp_bytes / 8 > UINT8_MAX)
		return false;
	if (options->for_return && state->rsp_bytes != 0)
		return false;
	for (i = 0; i < PROLOGUE_ARGS; i++)
		if (options->arg_mask & 1u << i && !state->holders[i])
			return false;
	return true;
}

/* What costs least comes last. */
enum price { PRICE_NONE, PRICE_STEPPED, PRICE_OURS, PRICE_EMULATED };

/* Where an argument is read. */
static uint8_t register_of(const struct state *state, int argument)
{
	if (state->holders[argument] & 1u << abi_args[argument])
		return abi_args[argument];
	return state->holders[argument] ? __builtin_ctz(state->holders[argument]) : PROLOGUE_LOST;
}

static bool may_be_ours(const struct step *s, const struct state *state,
			const struct prologue_options *options, struct dhat_instruction *ret)
{
	uint8_t needed[PROLOGUE_ARGS];
	size_t count = 0;

	for (int i = 0; i < PROLOGUE_ARGS; i++)
		if (options->arg_mask & 1u << i)
			needed[count++] = register_of(state, i);
	return options->may_execute && emulation_describe(&s->insn, s->operands, s->bytes, ret) &&
	       encoding_suits(ret, needed, count);
}

static enum price price_of(const struct step *s, const struct state *state,
			   const struct prologue_options *options, struct dhat_instruction *ret)
{
	*ret = (struct dhat_instruction){ 0 };
	switch (treatment_of(&s->insn, s->bytes)) {
	case TREATMENT_REFUSED:
		return PRICE_NONE;
	case TREATMENT_EMULATED:
		return PRICE_EMULATED;
	case TREATMENT_STEPPED:
		break;
	}
	if (may_be_ours(s, state, options, ret))
		return PRICE_OURS;
	*ret = (struct dhat_instruction){ 0 };
	return PRICE_STEPPED;
}

static void fill_site(const struct step *s, const struct state *state, uint64_t offset,
		      uint64_t vaddr, struct prologue_site *ret)
{
	ZydisFormatter formatter;
	int i;

	*ret = (struct prologue_site){
		.offset = offset,
		.sp_words = state->rsp_bytes / 8,
		.length = s->insn.length,
		.is_emulated = treatment_of(&s->insn, s->bytes) == TREATMENT_EMULATED,
	};
	for (i = 0; i < PROLOGUE_ARGS; i++)
		ret->arg_reg[i] = register_of(state, i);
	if (ZYAN_FAILED(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT)) ||
	    /* 16 digits make a line of `status' too wide */
	    ZYAN_FAILED(ZydisFormatterSetProperty(&formatter,
						  ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
						  ZYDIS_PADDING_DISABLED)) ||
	    ZYAN_FAILED(ZydisFormatterFormatInstruction(
		    &formatter, &s->insn, s->operands, s->insn.operand_count_visible,
		    ret->instruction, sizeof(ret->instruction), vaddr + offset, NULL)))
		snprintf(ret->instruction, sizeof(ret->instruction), "(%u bytes)", s->insn.length);
}

/* Walks the line up to `limit` (exclusive) and takes the first of the cheapest places. */
static bool walk_line(const uint8_t *code, size_t size, uint64_t vaddr, uint64_t limit,
		      const struct prologue_options *options, struct prologue_site *ret)
{
	struct state state = { 0 };
	enum price best = PRICE_NONE, price;
	struct dhat_instruction by_us;
	uint64_t offset = 0;
	struct step s;
	int i;

	for (i = 0; i < PROLOGUE_ARGS; i++)
		state.holders[i] = 1u << abi_args[i];
	for (i = 0; i < MAX_LINE && offset < size && offset < limit; i++) {
		s.bytes = code + offset;
		if (!decode(s.bytes, size - offset, &s.insn, s.operands))
			break;
		price = price_of(&s, &state, options, &by_us);
		if (price > best && is_usable(&state, options) &&
		    !(is_nop5(&s) && options->may_fork)) {
			fill_site(&s, &state, offset, vaddr, ret);
			ret->by_us = by_us;
			best = price;
			if (best == PRICE_EMULATED)
				break;
		}
		if (ends_line(&s) || !advance(&state, &s))
			break;
		offset += s.insn.length;
	}
	return best != PRICE_NONE;
}

static uint64_t lowest(const uint64_t *values, size_t count)
{
	uint64_t low = UINT64_MAX;
	size_t i;

	for (i = 0; i < count; i++)
		if (values[i] < low)
			low = values[i];
	return low;
}

int prologue_choose(const uint8_t *code, size_t size, uint64_t vaddr,
		    const struct prologue_options *options, struct prologue_site *ret)
{
	_cleanup_(flow_deinit) struct flow flow = { 0 };
	ZydisDecodedInstruction first;
	int r;

	if (size == 0 || !decode(code, size, &first, NULL))
		return -EINVAL;
	r = flow_follow(code, size, vaddr, NULL, 0, &flow);
	if (r < 0)
		return r;
	/* Behind a place that is jumped to, a call may come by more than once, or a caller of that
	 * place be taken for one of the function. */
	if (!walk_line(code, size, vaddr, lowest(flow.targets, flow.target_count), options, ret))
		return -ENOTSUP;
	ret->is_repeated = flow.jumps_to_entry;
	if (ret->is_repeated)
		snprintf(ret->note, sizeof(ret->note), "the function jumps back to its entry");
	else if (!ret->is_emulated && !ret->by_us.operation)
		snprintf(ret->note, sizeof(ret->note),
			 "single-stepped: no instruction that the kernel emulates comes in time");
	return 0;
}

/* ---- exits -------------------------------------------------------------------------------- */

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static size_t sort_unique(uint64_t *values, size_t count)
{
	size_t i, kept = 0;

	if (values)
		qsort(values, count, sizeof(*values), compare_u64);
	for (i = 0; i < count; i++)
		if (kept == 0 || values[kept - 1] != values[i])
			values[kept++] = values[i];
	return kept;
}

int prologue_find_exits(const uint8_t *code, size_t size, uint64_t vaddr, const uint64_t *noreturn,
			size_t noreturn_count, struct prologue_exits *ret)
{
	_cleanup_(flow_deinit) struct flow flow = { 0 };
	int r = flow_follow(code, size, vaddr, noreturn, noreturn_count, &flow);

	if (r < 0)
		return r;
	if (flow.has_indirect || flow.has_undecodable || flow.runs_over_end)
		return -ENOTSUP;
	flow.ret_count = sort_unique(flow.rets, flow.ret_count);
	*ret = (struct prologue_exits){
		.rets = take_ptr(flow.rets),
		.ret_count = flow.ret_count,
		.tails = take_ptr(flow.tails),
		.tail_count = flow.tail_count,
	};
	return 0;
}

void prologue_exits_deinit(struct prologue_exits *exits)
{
	free(exits->rets);
	free(exits->tails);
	*exits = (struct prologue_exits){ 0 };
}

bool prologue_describe_exit(const uint8_t *code, size_t size, uint64_t offset,
			    struct dhat_instruction *ret)
{
	struct step s = { .bytes = code + offset };

	return offset > 0 && offset < size && decode(s.bytes, size - offset, &s.insn, s.operands) &&
	       emulation_describe(&s.insn, s.operands, s.bytes, ret) &&
	       ret->operation == DHAT_OPERATION_RET;
}
