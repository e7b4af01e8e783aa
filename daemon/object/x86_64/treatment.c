#include "treatment.h"

#include <stdbool.h>

/* 26, 2e, 36, 3e and f0: is_prefix_bad() in the kernel. */
static bool has_refused_prefix(const ZydisDecodedInstruction *insn)
{
	int i;

	for (i = 0; i < insn->raw.prefix_count; i++) {
		switch (insn->raw.prefixes[i].value) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0xf0:
			return true;
		}
	}
	return false;
}

static bool is_branch_opcode(const ZydisDecodedInstruction *insn)
{
	if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return insn->opcode >= 0x80 && insn->opcode <= 0x8f;
	return insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	       (insn->opcode == 0xe8 || insn->opcode == 0xe9 || insn->opcode == 0xeb ||
		(insn->opcode >= 0x70 && insn->opcode <= 0x7f));
}

/* The same answer for every kernel from 6.1 to 6.18, where they differ the worse one:
 * - branches with a 66 prefix are refused by all; of the others we know only "bnd" (f2) in use;
 * - 90: before 6.2 "66 90" was refused; with REX.B it is an xchg that the kernel takes for a nop;
 * - 0f 1f /0 (long nops): stepped before 6.17; endbr64 (f3 0f 1e fa) is no nop anywhere. */
enum treatment treatment_of(const ZydisDecodedInstruction *insn, const uint8_t *bytes)
{
	bool is_plain = insn->raw.prefix_count == 0;

	if (has_refused_prefix(insn) || insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    insn->meta.category == ZYDIS_CATEGORY_SYSCALL ||
	    insn->meta.category == ZYDIS_CATEGORY_INTERRUPT ||
	    insn->meta.category == ZYDIS_CATEGORY_SYSTEM)
		return TREATMENT_REFUSED;
	if (is_branch_opcode(insn)) {
		if (is_plain || (insn->raw.prefix_count == 1 && bytes[0] == 0xf2))
			return TREATMENT_EMULATED;
		return TREATMENT_REFUSED;
	}
	if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return TREATMENT_STEPPED;
	if (insn->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return TREATMENT_REFUSED;
	if (insn->opcode == 0x90)
		return is_plain ? TREATMENT_EMULATED : TREATMENT_REFUSED;
	if (insn->opcode >= 0x50 && insn->opcode <= 0x57 &&
	    (insn->length == 1 || (insn->length == 2 && bytes[0] == 0x41)))
		return TREATMENT_EMULATED;
	return TREATMENT_STEPPED;
}
