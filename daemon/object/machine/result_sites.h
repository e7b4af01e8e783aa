#pragma once
/* result_sites: where in a function that hands out blocks the block and its size are both known.
 *
 * Pure. An allocation is seen at its entry (the size) and its return (the address): two traps, and
 * the second one is what may harm. But inside there often is an instruction that the kernel
 * emulates, passed by each call that takes this way out, at which a register already holds what
 * will be returned and another one still holds the size. A probe there alone tells all. For each
 * call of the function, with the sites that are found:
 * - a call that returns a block passes exactly one result site, before anybody else can be given
 * the block;
 * - it passes no other call before that, or it has passed a begin before the first: what the
 * functions called do with allocators themselves is part of this call, and is told by the state
 * that the begin makes;
 * - a call that has passed a begin and returns no block passes a result site, at which the address
 * is 0, or an end. What cannot be proven so has none.
 *
 * A place may be one way out of a conditional jump: then it is passed when its condition holds.
 * Where only some ways can be proven, usually the short ones, and the caller allows it, the others
 * pass exactly one entry instead, before any call: there all is as at the function's own, so that
 * the call can be seen by its return as others are. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/machine.h"

#define RESULT_SITES_MAX 48    /* of a function; more would cost more than they save */
#define RESULT_SIZE_SAVED 0xff /* the begin of this call has seen the size */
#define RESULT_ALWAYS 0

enum result_kind {
	RESULT_HERE,  /* the block, or 0, is in address_reg */
	RESULT_BEGIN, /* a call of another function, the first on some way: the size is in size_reg
		       */
	RESULT_END,   /* nothing will be returned */
	RESULT_ENTRY, /* the size is in size_reg, the return address at sp; nothing is known of the
			 rest */
};

struct result_site {
	uint64_t vaddr;
	uint8_t kind; /* enum result_kind */
	uint8_t byte; /* the first of the instruction */
	/* registers, numbered as in the instruction encoding */
	uint8_t address_reg, size_reg;
	uint8_t condition;   /* RESULT_ALWAYS, or the machine's number of one, + 1 */
	uint8_t sp_words;    /* sp there + 8 * sp_words = sp at the entry */
	uint8_t frame_words; /* 0: the frame pointer is the caller's; n: that is saved at sp there +
				8 * (n - 1) */
	bool is_emulated;    /* by the kernel; else by us, if there is an instruction */
	struct dhat_instruction by_us;
	char instruction[64]; /* disassembled */
};

struct result_sites {
	struct result_site *list; /* by address */
	size_t count;
};

/* What is known of a file's code. */
struct code_source {
	/* The code at an address, as much as there is up to some KiB; lives as long as the source.
	 * false: there is none. */
	bool (*fetch)(void *context, uint64_t vaddr, const uint8_t **ret_code, size_t *ret_size);
	void *context;
	/* Addresses that are jumped to or called; each list in any order. */
	const uint64_t *noreturn;
	const uint64_t *by_itself;	  /* functions that are probed by themselves */
	const uint64_t *returns_argument; /* … that return their first argument: memset */
	size_t noreturn_count, by_itself_count, returns_argument_count;
	/* Does anybody jump or call into these instructions from elsewhere, but to the first one of
	 * the function? vaddrs: ascending. Then they are not passed by its calls alone. May be
	 * NULL: nobody does. */
	bool (*is_shared)(void *context, const uint64_t *vaddrs, size_t count, uint64_t entry);
};

enum result_size { RESULT_SIZE_ARGUMENT, RESULT_SIZE_PRODUCT /* of the first two arguments */ };

struct result_question {
	uint64_t vaddr; /* of the function */
	enum result_size size;
	uint8_t argument;  /* which holds the size */
	bool with_entries; /* may its return be probed? */
	bool may_execute;  /* programs of ours may execute instructions: bpf/places.h */
};

#define RESULT_WHY 96
/* -ENOTSUP: no such sites; why says what is in the way, for people. -ENOMEM. The caller frees
 * ret->list. */
int result_sites_find(const struct code_source *source, const struct result_question *question,
		      struct result_sites *ret, char why[RESULT_WHY]);
