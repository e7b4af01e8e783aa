#pragma once
/* cfi_code: rows for functions without call frame information, read out of their instructions.
 *
 * Pure. musl is built without CFI, and so are assembler functions everywhere, and all of some big
 * libraries: a stack that leads through one of them would end there. So from each known function
 * entry on, where the return address is known, all ways through the function are followed, and the
 * stack and the frame pointer with them. Only a function that proves consistent gets rows: two ways
 * to one place agree about the stack, and every return finds the address on top. Code below the
 * address that it began with was not called: the kernel started it on a stack of its own (clone),
 * and it is the outermost frame.
 *
 * Behind a call of what does not return stands other code. Which functions of the ranges do not is
 * found out; of others it is told by `noreturn`, and is believed of a call behind which everything
 * would contradict the rest.
 */
#include <stddef.h>
#include <stdint.h>

#include "bpf/dhat_abi.h"

/* Executable bytes without CFI; ranges are sorted and apart. */
struct cfi_code_range {
	uint64_t start, end; /* link-time addresses */
	const uint8_t *bytes;
};

struct cfi_code {
	const struct cfi_code_range *ranges;
	size_t range_count;
	/* Functions, in any order; those outside of the ranges are left alone. More are found on
	 * the way: called or pointed to by the code that is read. */
	const uint64_t *entries;
	size_t entry_count;
	/* What data point to: functions for the most part. As what code points to, it is taken for
	 * one where functions are aligned, or behind what nothing follows. */
	const uint64_t *pointers;
	size_t pointer_count;
	/* Ascending: functions that do not return, stubs for them, and pointers to them. */
	const uint64_t *noreturn;
	size_t noreturn_count;
	uint64_t outermost;	   /* where the kernel jumps to; 0 if it does not */
	uint64_t max_instructions; /* 0: CFI_CODE_MAX_INSTRUCTIONS */
	uint32_t *ret_unread;	   /* NULL, or: how many functions that left unread */
};

/* What is read of one file, instructions that are read again counted again: some seven seconds
 * (rspack's 43 MB take 13 million, 4.5 s). Beyond it functions are left unread, those that were
 * found last. */
#define CFI_CODE_MAX_INSTRUCTIONS (20u << 20)

struct cfi_code_piece {
	uint64_t start, end;
	struct dhat_row row; /* pc_low is 0 */
};

/* Pieces come in ascending order and do not overlap; the caller frees. */
int cfi_code_read(const struct cfi_code *code, struct cfi_code_piece **ret, size_t *ret_count);
