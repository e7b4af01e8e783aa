#pragma once
/* flow: which instructions of a function can be reached from its entry, and where they jump.
 *
 * Pure. Follows direct jumps from the entry on, so it needs no size of the function and does not
 * mistake data between functions for code. The work is bounded: each byte is decoded once.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_MAX_BYTES 65536

struct flow_tail {
	uint64_t target; /* address */
	uint64_t offset; /* of the jump */
	bool is_conditional;
};

struct flow {
	uint64_t *rets; /* offsets of returns, in no order */
	size_t ret_count;
	uint64_t *targets; /* offsets in (0, size) that a jump or a call leads to, in no order */
	size_t target_count;
	struct flow_tail *tails; /* jumps out of the code */
	size_t tail_count;
	uint64_t *calls; /* addresses called, but those in targets */
	size_t call_count;
	size_t instruction_count; /* all that can be reached */
	bool jumps_to_entry;	  /* a jump, not a call: the function starts over */
	bool has_indirect;    /* jumps through a register or memory: there is more than we see */
	bool has_undecodable; /* reached bytes that are no instruction */
	bool runs_over_end;   /* reached the end of the bytes other than behind a call */
};

/* noreturn: addresses of functions that do not return: behind a call of one is other code. code
 * beyond FLOW_MAX_BYTES is not looked at. The caller releases with flow_deinit(). */
int flow_follow(const uint8_t *code, size_t size, uint64_t vaddr, const uint64_t *noreturn,
		size_t noreturn_count, struct flow *ret);
void flow_deinit(struct flow *flow);

/* Is every way from the first byte on an endless one? false, too, where that cannot be told: a jump
 * out of these bytes, or through a register. */
bool flow_is_endless(const uint8_t *code, size_t size, uint64_t vaddr);
/* By a glance at the bytes: may it be? They have nothing that looks like a return, or end as such
 * functions do. */
bool flow_may_be_endless(const uint8_t *code, size_t size);
