#pragma once
/* values: what registers and stack slots of a function hold, at each of its instructions.
 *
 * Pure. A function's instructions are followed from its entry through all that it jumps to, and
 * what is known of values is carried along each way until nothing changes any more; where ways
 * meet, what differs is no longer known. Only what is certain is told: the caller's arguments and
 * frame pointer, their product, addresses of the frame itself, zero. The work is bounded
 * (CODE_MAX_INSTRUCTIONS).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "code.h"

#define VALUES_REGISTERS 16
#define VALUES_SLOTS 48 /* words of the frame, below the return address */

enum value_kind {
	VALUE_UNKNOWN = 0,
	VALUE_ARGUMENT, /* number: which, 0 … 5 (psABI 3.2.3) */
	VALUE_PRODUCT,	/* of the first two arguments, cut to 64 bits */
	VALUE_FRAME,	/* the caller's frame pointer */
	VALUE_STACK,	/* rsp at the entry, plus number */
	VALUE_ZERO,
	VALUE_CONSTANT, /* number, not 0, in 32 bits without a sign */
	VALUE_MARKED,	/* what register `number` held where the question began: values_from() */
};

struct value {
	uint8_t kind; /* enum value_kind */
	int32_t number;
};

/* What is known before an instruction. */
struct values {
	struct value reg[VALUES_REGISTERS]; /* numbered as in the instruction encoding */
	struct value slot[VALUES_SLOTS];    /* [n]: the word at rsp of the entry - 8 * (n + 1) */
	struct value tested;	 /* what the zero flag tells of: it is set if this is 0 */
	uint8_t tested_register; /* + 1: that still holds it; 0: none */
	uint16_t zeros;		 /* bit n: the marked value of register n is 0 */
	uint64_t pushed;	 /* bit n: slot n was written by a push: nobody has its address */
	bool is_shared;		 /* others have an address of the frame */
	bool is_reached;
};

/* What is known before each instruction of what the function was called with; first_argument: a
 * constant, or unknown. ret has room for code->count. -ENOMEM is the only failure. */
int values_at_entry(const struct code *code, struct value first_argument, struct values *ret);
/* Of all that is reached, is it known where it leads? */
bool values_are_followed(const struct code *code, const struct values *values);
/* … and the stack pointer? */
bool values_have_stack(const struct code *code, const struct values *values);
/* Is what is known now at an instruction with which a way ends still worth going on? Less may be
 * known later, never more. */
typedef bool (*values_hope)(const struct code_instruction *at, const struct values *values);
/* From instruction `start` on, of which `before` is known: each register but those of known
 * addresses is marked there, and followed. -ECANCELED: there was no hope; ret is of no use. */
int values_from(const struct code *code, uint32_t start, const struct values *before,
		values_hope hope, struct values *ret);
/* Behind an instruction that goes on, or at a return or jump, with what it has done. */
void values_apply(const struct code_instruction *at, struct values *values);

/* rsp there, from what it was at the entry, in bytes (0 or less). */
int32_t values_stack(const struct values *values);
