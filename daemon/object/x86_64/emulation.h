#pragma once
/* emulation: what an instruction does, for the kernel side to do it (bpf/x86_64_emulate.h). */
#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/machine.h"

/* false: it cannot be done there. A nop of five bytes or ten is left to the kernel, which makes a
 * call of it. */
bool emulation_describe(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
			const uint8_t *bytes, struct dhat_instruction *ret);
