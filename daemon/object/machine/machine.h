#pragma once
/* machine: what a machine is called, and what its registers and relocations are.
 *
 * The headers of this folder are what the rest of dhatd knows of machines. A folder beside it
 * implements them for one; what the kernel side takes for granted of it is in bpf/machine.h.
 */
#include <stdint.h>

struct machine {
	const char *name; /* for people */
	uint16_t elf;	  /* EM_… */
	uint32_t audit;	  /* AUDIT_ARCH_…: of seccomp filters */
	uint8_t longest_instruction_bytes;
	/* as unwind rules number them */
	uint8_t dwarf_fp, dwarf_sp, dwarf_ra;
	/* as struct dhat_cookie does */
	uint8_t result_register, first_argument_register;
	/* Types of relocations: a slot for a function, or for anything, gets the address of a
	 * symbol; a word gets the base added; … or what a function returns, which chooses at run
	 * time. */
	uint32_t relocation_function, relocation_symbol, relocation_base, relocation_chosen;
};

extern const struct machine this_machine;

/* Does nothing. Its first instruction is one that the kernel emulates when a probe is on it, as are
 * those that probes are put on (probe_place.h). */
void machine_emulated_function(void);
/* Returns its argument; or one more, where a program of ours writes registers (bpf/selftest.bpf.c).
 */
int machine_answering_function(int argument);
