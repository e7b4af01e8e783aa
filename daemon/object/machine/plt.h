#pragma once
/* plt: the stubs by which an object calls functions of others.
 *
 * Pure. By bytes and not by a decoder: linkers write a handful of forms, and what looks like none
 * of them is no stub.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Address of the slot that a stub jumps through, 0 if the code at vaddr is no stub. */
uint64_t plt_slot(const uint8_t *code, size_t size, uint64_t vaddr);

/* Is the DWARF expression what linkers write as the CFA of lazy binding stubs: one word more on the
 * stack from some byte of each stub on? That byte. */
bool plt_is_cfa(const uint8_t *expression, size_t size, int32_t *ret_threshold);
