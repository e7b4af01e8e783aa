#pragma once
/* code: the instructions of one function, and which follow which. Pure. */
#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/object/machine/result_sites.h"

#define CODE_MAX_INSTRUCTIONS 4096
#define CODE_NONE UINT32_MAX

enum code_end {
	CODE_GOES_ON,
	CODE_RETURNS,
	CODE_RETURNS_ARGUMENT, /* jumps to a function that returns its first argument */
	CODE_LEAVES,	       /* jumps to a function that is looked after by itself */
	CODE_DIES,
	CODE_IS_LOST, /* goes nobody knows where */
};

struct code_instruction {
	uint64_t vaddr;
	const uint8_t *bytes;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	uint32_t next, target; /* numbers of the instructions that follow; CODE_NONE */
	uint64_t to;	       /* of a direct jump or call */
	uint8_t end;	       /* enum code_end */
	bool is_call, is_direct, returns_argument;
	bool calls_by_itself; /* one of those */
	/* + 1: this is no instruction but one of the two ways out of a conditional jump, gone when
	 * that condition holds (Intel SDM vol. 1, appendix B); 0: it is one */
	uint8_t condition;
};

struct code {
	struct code_instruction *list; /* [0] is the entry */
	uint32_t count;
	bool calls_by_itself; /* some instruction does */
};

/* What can be reached from vaddr on, by direct jumps; behind a call follows what is behind it,
 * unless the source knows that it does not return. -ENOTSUP: too many instructions; -ENOMEM. The
 * caller releases it with code_deinit(). */
int code_follow(const struct code_source *source, uint64_t vaddr, struct code *ret);
/* The same. Of functions called that are not known not to return that is proven, where it can be:
 * they are followed in turn, with the constant that they are handed. */
int code_follow_proven(const struct code_source *source, uint64_t vaddr, struct code *ret);
/* Lets each way out of a conditional jump be a place of its own. -ENOMEM. */
int code_split_jumps(struct code *code);
void code_deinit(struct code *code);
