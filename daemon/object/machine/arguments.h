#pragma once
/* arguments: what a function hands on when it jumps to another one.
 *
 * Pure. */
#include <stddef.h>
#include <stdint.h>

#include "probe_place.h"

/* code: of a function at vaddr, which jumps out of it to target. ret[n]: which of the arguments it
 * was called with stands where target has its argument n, whatever way leads there; PROLOGUE_LOST:
 * none, or that cannot be told. -ENOMEM is the only failure. */
int arguments_handed_on(const uint8_t *code, size_t size, uint64_t vaddr, uint64_t target,
			uint8_t ret[PROLOGUE_ARGS]);
