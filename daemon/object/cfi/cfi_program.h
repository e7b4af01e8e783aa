#pragma once
/* cfi_program: running the instructions of a CIE and an FDE (DWARF 5, 6.4.2).
 *
 * Pure, and linear in the size of the program: libdw runs an FDE from its start for every address
 * it is asked for, which a long FDE makes quadratic. Only what a row can hold is followed: the CFA
 * and the rules of the frame pointer, the stack pointer and the return address. Expressions are
 * pointed to, not run.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"

enum cfi_how {
	CFI_UNSPECIFIED = 0, /* nothing was said: the ABI decides */
	CFI_UNDEFINED,
	CFI_SAME,
	CFI_AT_CFA,	   /* saved at CFA + offset */
	CFI_CFA_PLUS,	   /* is CFA + offset */
	CFI_REGISTER,	   /* is in another register; of the CFA: reg + offset */
	CFI_AT_EXPRESSION, /* saved where the expression says; never of the CFA */
	CFI_EXPRESSION,	   /* is what the expression says */
};

struct cfi_rule {
	enum cfi_how how;
	uint32_t expression_size;
	int64_t offset;
	union {
		uint64_t reg;
		const uint8_t *expression; /* points into the section */
	};
};

struct cfi_state {
	struct cfi_rule cfa, fp, sp, ra;
};

/* A CFI section as it is in memory now, and where it is at run time. */
struct cfi_section {
	const uint8_t *start;
	uint64_t vaddr;
};

/* What a CIE says to its FDEs. */
struct cfi_cie {
	const struct cfi_section *section;
	uint64_t offset; /* in the section */
	uint64_t code_align;
	int64_t data_align;
	uint64_t ra_reg;
	uint8_t encoding; /* of addresses: DW_EH_PE_… */
	bool has_augmentation_size;
	bool is_signal_frame;
	bool is_usable;
	struct cfi_state initial; /* after its own instructions */
};

/* state holds in [start, end). Return 0 or -errno, which ends the run. */
typedef int (*cfi_emit_fn)(void *data, uint64_t start, uint64_t end, const struct cfi_state *state);

/* Run the instructions of a CIE into cie->initial. -EINVAL: nonsense. */
int cfi_program_begin(struct cfi_cie *cie, const uint8_t *program, size_t size);

/* Run an FDE's instructions and emit its non-empty ranges in order, all within [start, end).
 * -EINVAL: nonsense; what was emitted until then is right, *ret_bad_pc is where it ends.
 * Otherwise 0 or what emit returned. */
int cfi_program_run(const struct cfi_cie *cie, const uint8_t *program, size_t size, uint64_t start,
		    uint64_t end, cfi_emit_fn emit, void *data, uint64_t *ret_bad_pc);

/* An address in one of the encodings of .eh_frame (LSB 10.5.1); the reader is marked bad if it is
 * none that can be known without running the program. is_relative false: the bare number (a size).
 */
uint64_t cfi_read_address(struct bytes *bytes, const struct cfi_section *section, uint8_t encoding,
			  bool is_relative);
