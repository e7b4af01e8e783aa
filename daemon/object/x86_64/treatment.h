#pragma once
/* treatment: what the kernel does with an instruction that a probe sits on
 * (arch/x86/kernel/uprobes.c, branch_setup_xol_ops and push_setup_xol_ops). */
#include <Zydis/Zydis.h>
#include <stdint.h>

enum treatment {
	TREATMENT_REFUSED,  /* it will not take a probe here, or would get it wrong */
	TREATMENT_STEPPED,  /* executed out of line under single-step */
	TREATMENT_EMULATED, /* done in the trap itself */
};
enum treatment treatment_of(const ZydisDecodedInstruction *insn, const uint8_t *bytes);
