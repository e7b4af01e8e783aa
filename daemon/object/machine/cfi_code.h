#pragma once
/* cfi_code: rows for functions without call frame information, read out of their instructions.
 *
 * Pure. musl is built without CFI, and so are assembler functions everywhere: a stack that leads
 * through one of them would end there. So from each known function entry on, where the return
 * address is known, all ways through the function are followed, and the stack and the frame pointer
 * with them. Only a function that proves consistent gets rows: two ways to one place agree about
 * the stack, and every return finds the address on top. Code below the address that it began with
 * was not called: the kernel started it on a stack of its own (clone), and it is the outermost
 * frame.
 */
#include <stddef.h>
#include <stdint.h>

#include "bpf/dhat_abi.h"

/* Executable bytes without CFI; ranges are sorted and apart. Beyond CFI_CODE_MAX_BYTES in all,
 * nothing is done. */
struct cfi_code_range {
	uint64_t start, end; /* link-time addresses */
	const uint8_t *bytes;
};
#define CFI_CODE_MAX_BYTES (4u << 20) /* two seconds of reading */

struct cfi_code_piece {
	uint64_t start, end;
	struct dhat_row row; /* pc_low is 0 */
};

/* entries: functions, in any order; those outside of the ranges are left alone. More are found on
 * the way: called or pointed to by the code that is read. outermost: where the kernel jumps to, 0
 * if it does not. Pieces come in ascending order and do not overlap; the caller frees. */
int cfi_code_read(const struct cfi_code_range *ranges, size_t range_count, const uint64_t *entries,
		  size_t entry_count, uint64_t outermost, struct cfi_code_piece **ret,
		  size_t *ret_count);
