#pragma once
/* decode: one instruction of 64-bit code. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <Zydis/Zydis.h>

/* false if it is none. operands may be NULL. */
bool decode(const uint8_t *code, size_t size, ZydisDecodedInstruction *ret,
	    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT]);
/* Nothing comes behind it: it stops the program. */
bool decode_is_dead_end(const ZydisDecodedInstruction *insn);
