#pragma once
/* encoding: the bytes of the instructions that the kernel side can execute itself
 * (bpf/machine.h, struct dhat_instruction).
 *
 * Pure, and no decoder: what the worker says of an instruction is believed if one of its encodings
 * is what the file has there.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/machine.h"

#define ENCODING_MAX_BYTES 15
/* Ways to write one. */
#define ENCODING_VARIANTS 72

/* Its bytes, written so. 0: it cannot be. */
size_t encoding_make(const struct dhat_instruction *instruction, unsigned variant,
		     uint8_t ret[ENCODING_MAX_BYTES]);
/* Is it what these bytes are, and one that may be executed by us at all? */
bool encoding_is_of(const struct dhat_instruction *instruction, const uint8_t *bytes, size_t size);
/* Does it write to a register? */
bool encoding_writes(const struct dhat_instruction *instruction, uint8_t number);
/* May it be executed by us where all that is not a ret at an exit is? Of several tracers at one
 * place all programs run before the kernel looks where the thread is, and only the first executes
 * the instruction: so that the others read the same, it must not write to what is needed of a
 * place, nor to the frame pointer; and not to the stack pointer, because for a return probe, of
 * somebody else's, too, the kernel writes to where that points when all have run. */
bool encoding_suits(const struct dhat_instruction *instruction, const uint8_t *needed,
		    size_t count);
