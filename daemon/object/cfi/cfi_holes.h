#pragma once
/* cfi_holes: the code of an ELF file that its call frame information leaves out: what its
 * instructions tell (cfi_code.h), and where they do not, whether it keeps frame pointers
 * (frame_code.h).
 *
 * Of a file with more than 4 MiB of it only what does not keep them is read, and of that as much as
 * CFI_CODE_MAX_INSTRUCTIONS allow.
 */
#include <libelf.h>

#include "daemon/object/machine/cfi_code.h"

struct cfi_span {
	uint64_t start, end; /* link-time addresses */
};

/* covered: what has CFI, ascending by start; spans may overlap. entry: the ELF entry point, 0 if
 * nothing enters there. Instructions are read only if there is an entry, a function
 * symbol or a pointer to code outside of covered. *ret as of cfi_code_read();
 * *ret_unread: the functions that its budget left unread. */
int cfi_holes_read(Elf *elf, const struct cfi_span *covered, size_t covered_count, uint64_t entry,
		   struct cfi_code_piece **ret, size_t *ret_count, uint32_t *ret_unread);
