#pragma once
/* cfi: from an object's .eh_frame (or .debug_frame) to rows that the kernel side can walk by.
 *
 * The file is hostile; this runs inside the worker process (worker.h). libdw finds the entries
 * (dwarf_next_cfi), cfi_program.h runs them, cfi_rows.h makes rows of bpf/dhat_abi.h of the result.
 * .eh_frame goes first, .debug_frame fills in what it leaves out, and functions that neither
 * describes are read instruction by instruction (cfi_code.h). Adjacent rows with equal rules are
 * merged; what is left between them gets DHAT_CFA_NO_RULE rows.
 */
#include <stddef.h>
#include <stdint.h>

#include "cfi_table.h"
#include "proto/base/error.h"

/* Builds the table of an ELF file. max_rows bounds memory (-E2BIG beyond it). -ENODATA: no CFI.
 * fd stays the caller's; the caller frees with cfi_table_free(). */
int cfi_build(int fd, uint32_t max_rows, struct cfi_table **ret, struct dhat_error *err);
/* Where functions begin: starts[i] becomes the start of the entry (FDE) that holds vaddrs[i], if
 * that is nearer to it than what starts[i] is. -ENODATA: no CFI. */
int cfi_find_starts(int fd, const uint64_t *vaddrs, size_t count, uint64_t *starts);
