#pragma once
/* probe_place: where in a function a probe costs least.
 *
 * Pure: code bytes in, a site out. A uprobe on an instruction that the kernel emulates costs one
 * trap; on any other it is single-stepped out of line, ten times the price, unless the kernel lets
 * us execute it. So we decode the straight line from the entry and take the first emulated
 * instruction at which the arguments and the stack pointer are still known, else the first one that
 * can be ours.
 *
 * At a site, for each call of the function, exactly once: the arguments asked for are in arg_reg,
 * the stack pointer is sp_words below the entry's, and the frame pointer is the caller's still (the
 * unwinder starts there).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/dhat_abi.h"
#include "flow.h"

#define PROLOGUE_ARGS 6	   /* integer arguments in registers, at most */
#define PROLOGUE_LOST 0xff /* in arg_reg: in no register any more */

struct prologue_site {
	uint64_t offset;		/* from the function's entry, bytes */
	uint8_t arg_reg[PROLOGUE_ARGS]; /* where the integer arguments are there, as dhat_cookie has
					   it */
	uint8_t sp_words;		/* sp there + 8 * sp_words = sp at the entry */
	bool is_emulated;		/* by the kernel; else by us, if there is an instruction */
	struct dhat_instruction by_us;
	bool is_repeated;     /* the function jumps back to its entry: several hits a call */
	uint8_t length;	      /* of the instruction */
	char instruction[64]; /* disassembled */
	char note[96];	      /* why this place, when it is not a good one; else empty */
};

struct prologue_options {
	bool for_return;  /* the site serves a return probe too: sp must be as at the entry */
	bool may_execute; /* programs of ours may execute instructions: bpf/places.h */
	bool may_fork;	  /* never choose a 5-byte nop (optimised on 6.18: forked children crash) */
	uint8_t arg_mask; /* bit n: argument n must still be known */
};

/* code: the function's bytes from its entry on, as in the file; vaddr its address there (jump
 * targets are judged by it). Falls back to the first instruction that can be probed, normally the
 * entry, with a note, when nothing is emulated. -EINVAL: not even one instruction can be decoded.
 * -ENOTSUP: no place where a probe would be safe. */
int prologue_choose(const uint8_t *code, size_t size, uint64_t vaddr,
		    const struct prologue_options *options, struct prologue_site *ret);

/* The ways out of a function, for exit probes. At a return, sp points at the return address. A tail
 * jump leaves for code outside of [0, size): another function, or a cold part of this one; its
 * rets are this one's, too. */
struct prologue_exits {
	uint64_t *rets; /* offsets from the entry, ascending */
	size_t ret_count;
	struct flow_tail *tails; /* in no order */
	size_t tail_count;
};

/* Fails with -ENOTSUP when the ways out cannot all be known: a jump through a register or memory,
 * undecodable bytes, code that runs over the end. noreturn: addresses of functions that do not
 * return. The caller releases with _deinit. */
int prologue_find_exits(const uint8_t *code, size_t size, uint64_t vaddr, const uint64_t *noreturn,
			size_t noreturn_count, struct prologue_exits *ret);
void prologue_exits_deinit(struct prologue_exits *exits);
/* What programs of ours have to do at one of the rets, which is not at the function's entry; false:
 * that is nothing that they can. */
bool prologue_describe_exit(const uint8_t *code, size_t size, uint64_t offset,
			    struct dhat_instruction *ret);
