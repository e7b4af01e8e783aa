#pragma once
/* prologue: where in a function a probe costs least.
 *
 * Pure: code bytes in, a site out. A uprobe on an instruction that the kernel emulates (push reg,
 * nop, jcc, jmp, call: arch/x86/kernel/uprobes.c, branch_setup_xol_ops and push_setup_xol_ops)
 * costs one trap; on any other it is single-stepped out of line, ten times the price. So we
 * decode the straight line from the entry and take the first emulated instruction at which the
 * arguments and the stack pointer are still known.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/dhat_abi.h"

struct prologue_site {
	uint64_t offset;      /* from the function's entry, bytes */
	uint8_t arg_reg[3];   /* where the first three integer arguments are there (psABI 3.2.3) */
	uint8_t rsp_words;    /* rsp there + 8 * rsp_words = rsp at the entry */
	bool is_emulated;
	uint8_t length;	      /* of the instruction */
	char instruction[64]; /* disassembled */
	char note[96];	      /* why this place, when it is not a good one; else empty */
};

struct prologue_options {
	bool for_return;    /* the site serves a return probe too: rsp must be as at the entry */
	bool may_fork;	    /* never choose a 5-byte nop (optimised on 6.18: forked children crash) */
	uint8_t arg_count;  /* how many arguments must still be known */
};

/* code: the function's bytes from its entry on, as in the file; vaddr its address there (jump
 * targets are judged by it). Falls back to the entry with a note when nothing is emulated; fails
 * (-EINVAL) only if not even one instruction can be decoded. */
int prologue_choose(const uint8_t *code, size_t size, uint64_t vaddr,
		    const struct prologue_options *options, struct prologue_site *ret);

/* All ret instructions of a function, and the tail jumps that leave it, for exit probes. Fails with
 * -ENOTSUP when the function's ways out cannot all be known (an indirect jump, undecodable bytes).
 * *ret: offsets from the entry; the caller frees. */
int prologue_find_exits(const uint8_t *code, size_t size, uint64_t vaddr, uint64_t **ret,
			size_t *ret_count);
