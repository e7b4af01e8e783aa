#pragma once
/* cfi_endless: functions that never return.
 *
 * Whoever makes a stack by hand (makecontext(), a coroutine library) puts the address of such a
 * function where a return address would be: it is where the stack begins, and nobody called it. The
 * walk tells such an address by the instruction before it, which is no call; that the code there
 * does not return proves that there is no caller to be looked for (bpf/unwind.h).
 */
#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CFI_ENDLESS_TEXTS 64 /* sections of code; others are not looked at */

struct cfi_texts {
	struct {
		uint64_t vaddr, size;
		const uint8_t *bytes; /* of the Elf */
	} list[CFI_ENDLESS_TEXTS];
	size_t count;
};

void cfi_texts_find(Elf *elf, struct cfi_texts *ret);
/* Is every way through the function at [start, end) an endless one? false, too, where that cannot
 * be told: a jump out of it, or through a register. Cheap for nearly all: those with a ret. */
bool cfi_is_endless(const struct cfi_texts *texts, uint64_t start, uint64_t end);
