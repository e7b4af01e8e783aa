#pragma once
/* cfi_holes: the code of an ELF file that its call frame information leaves out, and what its
 * instructions tell (cfi_code.h).
 */
#include <libelf.h>

#include "daemon/object/machine/cfi_code.h"

struct cfi_span {
	uint64_t start, end; /* link-time addresses */
};

/* covered: what has CFI, ascending by start; spans may overlap. entry: the ELF entry point, 0 if
 * nothing enters there. Nothing is read where there is neither an entry nor a function symbol
 * outside of covered. *ret as of cfi_code_read(). */
int cfi_holes_read(Elf *elf, const struct cfi_span *covered, size_t covered_count, uint64_t entry,
		   struct cfi_code_piece **ret, size_t *ret_count);
