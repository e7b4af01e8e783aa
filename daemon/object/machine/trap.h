#pragma once
/* trap: what uprobes and debuggers make of an instruction in memory. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What they put over the first byte of one. */
extern const uint8_t trap_byte;

/* Has a call taken the place of an instruction that kernels make one of, instead of a trap? Both
 * have size bytes, memory is at addr. The bytes that it stands over, and where to it leads: it is
 * an uprobe's only if that is the kernel's trampoline. 0: no such call. */
size_t trap_call(const uint8_t *memory, const uint8_t *file, size_t size, uint64_t addr,
		 uint64_t *ret_target);
