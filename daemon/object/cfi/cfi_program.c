#include "cfi_program.h"

#include <dwarf.h>
#include <errno.h>

#include "daemon/object/machine/machine.h"

/* GCC nests remember_state two or three deep; this bounds a hostile program. */
#define MAX_REMEMBERED 64

struct run {
	const struct cfi_cie *cie;
	struct bytes bytes;
	struct cfi_state state;
	struct cfi_state *remembered; /* MAX_REMEMBERED, not initialised: a run is short */
	unsigned int remembered_count;
	bool is_initial; /* in a CIE: there is nothing to restore from, and no address */
	uint64_t pc, end;
	cfi_emit_fn emit;
	void *data;
};

uint64_t cfi_read_address(struct bytes *bytes, const struct cfi_section *section, uint8_t encoding,
			  bool is_relative)
{
	uint64_t field_vaddr = section->vaddr + (uint64_t)(bytes->at - section->start);
	uint64_t value;

	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		value = bytes_read(bytes, 8);
		break;
	case DW_EH_PE_uleb128:
		value = bytes_read_uleb(bytes);
		break;
	case DW_EH_PE_sleb128:
		value = (uint64_t)bytes_read_sleb(bytes);
		break;
	case DW_EH_PE_udata2:
		value = bytes_read(bytes, 2);
		break;
	case DW_EH_PE_udata4:
		value = bytes_read(bytes, 4);
		break;
	case DW_EH_PE_sdata2:
		value = (uint64_t)bytes_read_signed(bytes, 2);
		break;
	case DW_EH_PE_sdata4:
		value = (uint64_t)bytes_read_signed(bytes, 4);
		break;
	default:
		bytes_fail(bytes);
		return 0;
	}
	if (!is_relative)
		return value;
	switch (encoding & 0xf0) {
	case DW_EH_PE_absptr:
		return value;
	case DW_EH_PE_pcrel:
		return value + field_vaddr;
	default: /* relative to text, data or function, aligned, indirect: no
		    compiler writes them */
		bytes_fail(bytes);
		return 0;
	}
}

static struct cfi_rule *tracked_rule(struct cfi_state *state, const struct cfi_cie *cie,
				     uint64_t reg)
{
	if (reg == cie->ra_reg)
		return &state->ra;
	if (reg == this_machine.dwarf_fp)
		return &state->fp;
	if (reg == this_machine.dwarf_sp)
		return &state->sp;
	return NULL;
}

static void set_rule(struct run *run, uint64_t reg, enum cfi_how how, int64_t offset)
{
	struct cfi_rule *rule = tracked_rule(&run->state, run->cie, reg);

	if (rule)
		*rule = (struct cfi_rule){ .how = how, .offset = offset };
}

static void restore_rule(struct run *run, uint64_t reg)
{
	struct cfi_rule *rule = tracked_rule(&run->state, run->cie, reg);
	struct cfi_state initial;

	if (run->is_initial) {
		bytes_fail(&run->bytes);
		return;
	}
	initial = run->cie->initial;
	if (rule)
		*rule = *tracked_rule(&initial, run->cie, reg);
}

/* An offset in units of the data alignment; wraps like libdw's, without undefined behaviour. */
static int64_t scaled(const struct run *run, uint64_t factor)
{
	return (int64_t)(factor * (uint64_t)run->cie->data_align);
}

static struct cfi_rule read_expression(struct run *run, enum cfi_how how)
{
	uint64_t size = bytes_read_uleb(&run->bytes);
	struct cfi_rule rule = { .how = how, .expression = run->bytes.at };

	if (size > UINT32_MAX)
		bytes_fail(&run->bytes);
	bytes_skip(&run->bytes, size);
	rule.expression_size = run->bytes.is_bad ? 0 : (uint32_t)size;
	return rule;
}

static void set_expression(struct run *run, enum cfi_how how)
{
	uint64_t reg = bytes_read_uleb(&run->bytes);
	struct cfi_rule *rule = tracked_rule(&run->state, run->cie, reg);
	struct cfi_rule value = read_expression(run, how);

	if (rule)
		*rule = value;
}

static void define_cfa(struct run *run, uint64_t reg, int64_t offset)
{
	run->state.cfa = (struct cfi_rule){ .how = CFI_REGISTER, .reg = reg, .offset = offset };
}

/* The instructions that change half of a CFA rule make sense only where one of that form is. */
static struct cfi_rule *register_cfa(struct run *run)
{
	if (run->state.cfa.how != CFI_REGISTER)
		bytes_fail(&run->bytes);
	return &run->state.cfa;
}

static int move_to(struct run *run, uint64_t pc)
{
	uint64_t from = run->pc;

	if (run->is_initial || pc < from) {
		bytes_fail(&run->bytes);
		return 0;
	}
	if (pc > run->end)
		pc = run->end;
	run->pc = pc;
	if (pc == from || run->bytes.is_bad)
		return 0;
	return run->emit(run->data, from, pc, &run->state);
}

static int advance(struct run *run, uint64_t delta)
{
	uint64_t distance;

	if (run->bytes.is_bad)
		return 0;
	if (__builtin_mul_overflow(delta, run->cie->code_align, &distance) ||
	    distance > run->end - run->pc)
		distance = run->end - run->pc;
	return move_to(run, run->pc + distance);
}

static void remember(struct run *run)
{
	if (run->remembered_count == MAX_REMEMBERED)
		bytes_fail(&run->bytes);
	else
		run->remembered[run->remembered_count++] = run->state;
}

static void recall(struct run *run)
{
	if (run->remembered_count == 0)
		bytes_fail(&run->bytes);
	else
		run->state = run->remembered[--run->remembered_count];
}

static void run_cfa_op(struct run *run, uint8_t op)
{
	struct bytes *bytes = &run->bytes;
	uint64_t reg;

	switch (op) {
	case DW_CFA_def_cfa:
		reg = bytes_read_uleb(bytes);
		define_cfa(run, reg, (int64_t)bytes_read_uleb(bytes));
		return;
	case DW_CFA_def_cfa_sf:
		reg = bytes_read_uleb(bytes);
		define_cfa(run, reg, scaled(run, (uint64_t)bytes_read_sleb(bytes)));
		return;
	case DW_CFA_def_cfa_register:
		register_cfa(run)->reg = bytes_read_uleb(bytes);
		return;
	case DW_CFA_def_cfa_offset:
		register_cfa(run)->offset = (int64_t)bytes_read_uleb(bytes);
		return;
	case DW_CFA_def_cfa_offset_sf:
		register_cfa(run)->offset = scaled(run, (uint64_t)bytes_read_sleb(bytes));
		return;
	case DW_CFA_def_cfa_expression:
		run->state.cfa = read_expression(run, CFI_EXPRESSION);
		return;
	default:
		bytes_fail(bytes);
	}
}

static void run_register_op(struct run *run, uint8_t op)
{
	struct bytes *bytes = &run->bytes;
	uint64_t reg = bytes_read_uleb(bytes);

	switch (op) {
	case DW_CFA_offset_extended:
		set_rule(run, reg, CFI_AT_CFA, scaled(run, bytes_read_uleb(bytes)));
		return;
	case DW_CFA_offset_extended_sf:
		set_rule(run, reg, CFI_AT_CFA, scaled(run, (uint64_t)bytes_read_sleb(bytes)));
		return;
	case DW_CFA_GNU_negative_offset_extended:
		set_rule(run, reg, CFI_AT_CFA, scaled(run, -bytes_read_uleb(bytes)));
		return;
	case DW_CFA_val_offset:
		set_rule(run, reg, CFI_CFA_PLUS, scaled(run, bytes_read_uleb(bytes)));
		return;
	case DW_CFA_val_offset_sf:
		set_rule(run, reg, CFI_CFA_PLUS, scaled(run, (uint64_t)bytes_read_sleb(bytes)));
		return;
	case DW_CFA_restore_extended:
		restore_rule(run, reg);
		return;
	case DW_CFA_undefined:
		set_rule(run, reg, CFI_UNDEFINED, 0);
		return;
	case DW_CFA_same_value:
		set_rule(run, reg, CFI_SAME, 0);
		return;
	case DW_CFA_register:
		bytes_read_uleb(bytes);
		set_rule(run, reg, CFI_REGISTER, 0);
		return;
	default:
		bytes_fail(bytes);
	}
}

static int run_one(struct run *run)
{
	struct bytes *bytes = &run->bytes;
	uint8_t op = (uint8_t)bytes_read(bytes, 1);

	switch (op & 0xc0) { /* three instructions carry an operand in the low six bits */
	case DW_CFA_advance_loc:
		return advance(run, op & 0x3f);
	case DW_CFA_offset:
		set_rule(run, op & 0x3f, CFI_AT_CFA, scaled(run, bytes_read_uleb(bytes)));
		return 0;
	case DW_CFA_restore:
		restore_rule(run, op & 0x3f);
		return 0;
	}
	switch (op) {
	case DW_CFA_nop:
		return 0;
	case DW_CFA_set_loc:
		return move_to(
			run, cfi_read_address(bytes, run->cie->section, run->cie->encoding, true));
	case DW_CFA_advance_loc1:
		return advance(run, bytes_read(bytes, 1));
	case DW_CFA_advance_loc2:
		return advance(run, bytes_read(bytes, 2));
	case DW_CFA_advance_loc4:
		return advance(run, bytes_read(bytes, 4));
	case DW_CFA_remember_state:
		remember(run);
		return 0;
	case DW_CFA_restore_state:
		recall(run);
		return 0;
	case DW_CFA_expression:
		set_expression(run, CFI_AT_EXPRESSION);
		return 0;
	case DW_CFA_val_expression:
		set_expression(run, CFI_EXPRESSION);
		return 0;
	case DW_CFA_GNU_args_size: /* for exception handling only */
		bytes_read_uleb(bytes);
		return 0;
	case DW_CFA_def_cfa:
	case DW_CFA_def_cfa_sf:
	case DW_CFA_def_cfa_register:
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_offset_sf:
	case DW_CFA_def_cfa_expression:
		run_cfa_op(run, op);
		return 0;
	default:
		run_register_op(run, op);
		return 0;
	}
}

int cfi_program_begin(struct cfi_cie *cie, const uint8_t *program, size_t size)
{
	struct cfi_state remembered[MAX_REMEMBERED];
	struct run run = {
		.cie = cie,
		.bytes = bytes_of(program, size),
		.remembered = remembered,
		.is_initial = true,
	};

	while (bytes_left(&run.bytes))
		run_one(&run); /* emits nothing: a CIE has no addresses */
	if (run.bytes.is_bad)
		return -EINVAL;
	cie->initial = run.state;
	return 0;
}

int cfi_program_run(const struct cfi_cie *cie, const uint8_t *program, size_t size, uint64_t start,
		    uint64_t end, cfi_emit_fn emit, void *data, uint64_t *ret_bad_pc)
{
	struct cfi_state remembered[MAX_REMEMBERED];
	struct run run = {
		.cie = cie,
		.bytes = bytes_of(program, size),
		.remembered = remembered,
		.state = cie->initial,
		.pc = start,
		.end = end,
		.emit = emit,
		.data = data,
	};
	int r;

	while (bytes_left(&run.bytes) && run.pc < end) {
		r = run_one(&run);
		if (r < 0)
			return r;
	}
	if (run.bytes.is_bad) {
		*ret_bad_pc = run.pc;
		return -EINVAL;
	}
	return move_to(&run, end);
}
