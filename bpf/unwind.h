#pragma once
/* unwind: from the registers at an allocator's return to the addresses of its callers.
 *
 * Walks the tables of bpf/dhat_abi.h. A read of user memory costs 76 ns whatever its size, so a
 * window of the stack is copied once and walked inside the copy; the window moves when a frame
 * leaves it. A pc seen before is found in a memo instead of the tables.
 *
 * Compiles for the kernel and, for tests, as plain C: the includer provides
 *   unwind_control                           a struct unwind_control
 *   unwind_copy(dst, size, addr)             copy user memory; 0 or negative
 *   unwind_memo(index)                       an entry of the memo, or NULL
 *   unwind_mapping(index)                    an entry of both banks, or NULL
 *   unwind_table(slot), unwind_word(t, i)    a table, and a word of it, or NULL
 *   unwind_is_current(pc, inode, bias)       1 if the process maps that file there (inode 0: none)
 *   unwind_is_code(pc)                       is code mapped there? 1, 0, or -1: it cannot be told
 *   unwind_tell_unread(pc)                   code there would have proved a frame, and is not in
 * memory unwind_hidden_return(slot_addr)          the address that a return probe hides, or 0
 *   UNWIND_NOINLINE                          how a function is verified on its own
 */
#include "machine.h"
#include "unwind_types.h"

/* In a loop with two bounds: clang 19 makes the smaller of both one bound, a number of which Linux
 * 6.1's verifier loses sight.
 */
#ifndef barrier_var /* libbpf's, as plain C */
#define barrier_var(var) __asm__ volatile("" : "+r"(var))
#endif

#define UNWIND_MORE 0xffffffffu

/* What a row can also say, once it was looked up; memoised like the others. */
enum {
	UNWIND_ROW_JIT = 32,	  /* code of no file */
	UNWIND_ROW_NO_TABLE = 33, /* a file without a table, or none yet */
	UNWIND_ROW_NO_CODE = 34,  /* nothing that could run */
};

/* A row's own pc is of no use once it was found. Its place in the word says: */
#define UNWIND_PC_BITS 0xffffULL
#define UNWIND_PC_IS_CALLED_FROM 1 /* the instruction that ends there is a call */
#define UNWIND_PC_IS_NO_CALL 2	   /* it is none */

static inline __attribute__((always_inline)) __u64 unwind_mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL; /* 2^64 / golden ratio */
	return hash ^ (hash >> 29);
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* Number of the last mapping in the bank that starts at or below pc. Doubling steps with an
 * unknown start, unrolled: verifiers from 6.8 on follow every path of the usual loop. */
UNWIND_NOINLINE __u32 unwind_find_mapping(__u64 pc, __u32 bank, __u32 count, __u32 zero)
{
	__u32 at = zero;

#pragma clang loop unroll(full)
	for (int shift = 11; shift >= 0; shift--) {
		__u32 next = at + (1u << shift);
		const struct dhat_mapping *mapping;

		if (next >= count)
			continue;
		mapping = unwind_mapping(bank * DHAT_MAX_MAPPINGS + next);
		if (mapping && mapping->start <= pc)
			at = next;
	}
	return at;
}

/* The row of a table that holds at a pc relative to its first page. */
UNWIND_NOINLINE __u64 unwind_find_row(__u32 slot, __u64 pc, __u32 zero)
{
	__u64 *word, first_row, limit;
	__u64 page = pc >> DHAT_TABLE_PAGE_SHIFT;
	__u32 low = pc & 0xffff, page_count, at, end;
	unwind_table_t *table = unwind_table(slot);
	__u64 none = 0; /* DHAT_CFA_NO_RULE */

	if (!table)
		return UNWIND_ROW_NO_TABLE << 16;
	word = unwind_word(table, 0);
	if (!word)
		return none;
	page_count = (__u32)*word;
	if (page >= page_count)
		return none;
	word = unwind_word(table, 1 + page);
	if (!word)
		return none;
	at = (__u32)*word; /* row numbers */
	word = unwind_word(table, 2 + page);
	if (!word)
		return none;
	end = (__u32)*word;
	first_row = page_count + 2;
	limit = end;

	/* the last row below `end` with pc_low <= low, or the one before the page's first */
	at += zero;
	if (at >= limit)
		goto before;
	word = unwind_word(table, first_row + at);
	if (!word)
		return none;
	if ((*word & 0xffff) > low)
		goto before;
#pragma clang loop unroll(full)
	for (int shift = 15; shift >= 0; shift--) {
		__u64 next = (__u64)at + (1u << shift);

		if (next >= limit)
			continue;
		word = unwind_word(table, first_row + next);
		if (word && (*word & 0xffff) <= low)
			at = next;
	}
	word = unwind_word(table, first_row + at);
	return word ? *word : none;
before:
	if (at == 0)
		return none;
	word = unwind_word(table, first_row + at - 1);
	return word ? *word : none;
}

/* Can the instruction whose last byte is at pc be a call? 1, 0, or -1: it cannot be told. */
UNWIND_NOINLINE int unwind_is_call(__u64 pc)
{
	__u64 code = 0;

	return unwind_copy(&code, sizeof(code), pc - 7) ? -1 : machine_ends_in_call(code);
}

/* Where the memo keeps the row of a pc, and what marks it as that pc's, in this state of the
 * mappings. */
static inline __attribute__((always_inline)) struct unwind_memo *unwind_memo_of(__u64 pc)
{
	return unwind_memo(unwind_memo_number(pc));
}

static inline __attribute__((always_inline)) __u64 unwind_tag(__u64 pc, __u32 active, __u32 epoch)
{
	return unwind_mix(pc, ((__u64)active << 32) | epoch);
}

/* The row that holds at pc, as one word (struct dhat_row); cfa may be an UNWIND_ROW_…. The way by
 * the tables: the result goes into the memo. */
UNWIND_NOINLINE __u64 unwind_search_row(__u64 pc, __u32 zero)
{
	const volatile struct unwind_control *control = &unwind_control;
	/* the bank that it names was written before it, and is read after it */
	__u32 active = DHAT_LOAD_ACQUIRE(&control->active), epoch = control->epoch;
	__u32 bank = active & 1, at, kind;
	struct unwind_memo *memo = unwind_memo_of(pc);
	const struct dhat_mapping *mapping;
	__u64 row, bias;
	__u32 slot;
	int is_known, is_code, is_call;

	if (!memo)
		return 0;
	at = unwind_find_mapping(pc, bank, control->count[bank], zero);
	mapping = unwind_mapping(bank * DHAT_MAX_MAPPINGS + at);
	if (!mapping)
		return 0;
	is_known = at < control->count[bank] && pc >= mapping->start && pc < mapping->end;
	if (epoch != control->bank_epoch[bank] &&
	    !unwind_is_current(pc, is_known ? mapping->inode : 0,
			       is_known ? mapping->start - mapping->file_offset : 0)) {
		return UNWIND_ROW_NO_TABLE << 16; /* not kept: the look itself may have failed */
	} else if (!is_known) {
		/* only what is certain is kept: code may be made writable for a moment */
		is_code = unwind_is_code(pc);
		if (is_code <= 0)
			return (is_code ? UNWIND_ROW_JIT : UNWIND_ROW_NO_CODE) << 16;
		row = UNWIND_ROW_JIT << 16;
	} else {
		kind = mapping->kind;
		slot = mapping->table_slot;
		bias = mapping->table_bias;
		row = kind == DHAT_MAPPING_TABLE ? unwind_find_row(slot, pc - bias, zero)
						 : UNWIND_ROW_NO_TABLE << 16;
	}
	DHAT_LOAD_FENCE();
	if (control->active != active) /* the bank may have been rewritten meanwhile */
		return UNWIND_ROW_NO_TABLE << 16;
	row &= ~UNWIND_PC_BITS;
	is_call = unwind_is_call(pc);
	if (is_call >= 0)
		row |= is_call ? UNWIND_PC_IS_CALLED_FROM : UNWIND_PC_IS_NO_CALL;
	*(volatile __u64 *)&memo->row = row;
	*(volatile __u64 *)&memo->check = row ^ unwind_tag(pc, active, epoch);
	return row;
}

static inline __attribute__((always_inline)) __u64 unwind_row(__u64 pc, __u32 zero)
{
	const volatile struct unwind_control *control = &unwind_control;
	struct unwind_memo *memo = unwind_memo_of(pc);
	__u32 active = control->active;
	__u64 row, check;

	if (!memo)
		return 0;
	row = *(volatile __u64 *)&memo->row;
	check = *(volatile __u64 *)&memo->check;
	if ((row ^ unwind_tag(pc, active, control->epoch)) == check)
		return row;
	row = unwind_search_row(pc, zero);
	/* the daemon has just turned to the other bank: what there was to know is in that one */
	return control->active == active ? row : unwind_search_row(pc, zero);
}

/* ---- stack words ----------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void unwind_note(struct unwind_scratch *s, __u64 at,
							      __u64 word)
{
	__u32 number = s->reads.count;

	s->reads.count = number + 1;
	if (number >= UNWIND_READS)
		return;
	s->reads.at[number] = at;
	s->reads.words[number] = word;
}

/* Move the window so that it begins at addr. */
UNWIND_NOINLINE int unwind_slide(struct unwind_scratch *s, __u64 addr)
{
	__u64 size;

	if (!s)
		return -1;
	unwind_note(s, UNWIND_SLID, addr);
	s->window_base = addr;
	s->window_size = sizeof(s->window);
	if (unwind_copy(s->window, sizeof(s->window), addr) == 0)
		return 0;
	/* the top of the stack is near: what is left of this page */
	size = DHAT_PAGE_BYTES - (addr & (DHAT_PAGE_BYTES - 1));
	s->window_size = 0;
	if (size < 8 || size > sizeof(s->window))
		return -1;
	if (unwind_copy(s->window, size, addr) != 0)
		return -1;
	s->window_size = size & ~7ULL;
	return 0;
}

/* Number in the window of the word at addr; out of range if it cannot be read. Callers ask for the
 * lowest word they need first. */
static inline __attribute__((always_inline)) __u64 unwind_index(struct unwind_scratch *s,
								__u64 addr)
{
	if (addr & 7)
		return UNWIND_WINDOW_WORDS;
	if (addr - s->window_base >= s->window_size && unwind_slide(s, addr))
		return UNWIND_WINDOW_WORDS;
	return (addr - s->window_base) >> 3;
}

#define UNWIND_READ(s, addr, value)                                                                \
	({                                                                                         \
		__u64 index_ = unwind_index(s, addr);                                              \
		if (index_ < UNWIND_WINDOW_WORDS) {                                                \
			(value) = (s)->window[index_];                                             \
			unwind_note(s, index_, value);                                             \
		}                                                                                  \
		index_ < UNWIND_WINDOW_WORDS ? 0 : -1;                                             \
	})

/* Does the stack read as it did? The window is moved as it was then. */
UNWIND_NOINLINE int unwind_reads_same(struct unwind_scratch *s, const struct unwind_reads *reads)
{
	__u32 count;

	if (!s || !reads)
		return 0;
	count = reads->count;
	if (count > UNWIND_READS)
		return 0;
	for (__u32 i = 0; i < UNWIND_READS; i++) {
		__u64 at = reads->at[i];

		barrier_var(count); /* two bounds */
		if (i >= count)
			break;
		if (at == UNWIND_SLID) {
			if (unwind_slide(s, reads->words[i]))
				return 0;
		} else if (at >= UNWIND_WINDOW_WORDS || 8 * at >= s->window_size ||
			   s->window[at] != reads->words[i]) {
			return 0;
		}
	}
	return 1;
}

/* ---- one step -------------------------------------------------------------------------------- */

/* Where frame `at` is kept. The mask is for the verifier (6.18), and clang 19 drops one that it
 * knows to do nothing. */
static inline __attribute__((always_inline)) __u64 *unwind_frame(struct unwind_scratch *s, __u32 at)
{
	__u32 slot = dhat_frame_slot(at);

	barrier_var(slot);
	return &s->frames[slot & 127];
}

static inline __attribute__((always_inline)) __u32 unwind_push(struct unwind_scratch *s, __u64 pc)
{
	__u64 frame = pc | (s->is_exact_pc ? DHAT_FRAME_EXACT_PC : 0);
	__u32 at = s->frame_count;
	__u64 *kept;

	if (at >= DHAT_MAX_DEPTH)
		return DHAT_STOP_TOO_DEEP;
	kept = unwind_frame(s, at);
	s->overwritten = *kept;
	*kept = frame;
	s->frame_count = at + 1;
	return UNWIND_MORE;
}

/* Of the frames that are kept, and of how many there were: stacks that differ only in frames left
 * out are one, if these are equally many. */
UNWIND_NOINLINE __u64 unwind_hash(struct unwind_scratch *s)
{
	__u32 kept;
	__u64 hash;

	if (!s)
		return 0;
	kept = dhat_kept_frames(s->frame_count, s->stop);
	hash = s->frame_count;
	for (__u32 i = 0; i < DHAT_MAX_FRAMES; i++) {
		barrier_var(kept); /* two bounds */
		if (i >= kept)
			break;
		hash = unwind_mix(hash, s->frames[i]);
	}
	return hash;
}

/* No frame is taken for bigger when frame pointers tell of it: a stack's usual limit. */
#define UNWIND_MAX_FRAME (8u << 20)

/* For want of a rule: {saved fp, return address} at fp, if the code keeps frame pointers. Whether
 * it does shows at the next step. That it is 0 proves nothing: psABI 3.4.1 asks it
 * of the outermost frame, and code that has other uses for the register may hold 0 in it anywhere.
 */
static inline __attribute__((always_inline)) __u32 unwind_step_fp(struct unwind_scratch *s,
								  __u32 stop)
{
	__u64 fp = s->fp, next_fp = 0, pc = 0;

	if (s->is_fp_lost || fp < s->sp || fp - s->sp > UNWIND_MAX_FRAME ||
	    UNWIND_READ(s, fp, next_fp) || UNWIND_READ(s, fp + 8, pc))
		return stop;
	if (pc < DHAT_PAGE_BYTES || pc >> DHAT_USER_BITS)
		return stop;
	s->guess = UNWIND_GUESS_FP | stop;
	s->sp = fp + 16;
	s->fp = next_fp;
	s->pc = pc;
	s->is_exact_pc = 0;
	return unwind_push(s, pc);
}

/* What was taken for a return address is none: the last frame is not told. */
static inline __attribute__((always_inline)) __u32 unwind_take_back(struct unwind_scratch *s)
{
	__u32 stop = s->guess ? s->guess & 0x3f : DHAT_STOP_BAD_MEMORY;

	if (s->frame_count > 1) {
		s->frame_count--;
		*unwind_frame(s, s->frame_count) = s->overwritten;
	}
	return stop;
}

/* What stands in the place of the return address may be the trampoline that a pending return probe
 * has put there; the kernel knows the real one. 1: that is the frame's now. */
static inline __attribute__((always_inline)) int unwind_unhide(struct unwind_scratch *s)
{
	__u64 hidden = s->is_exact_pc ? 0 : unwind_hidden_return(s->sp - 8);
	__u32 last = s->frame_count - 1;

	if (!hidden || hidden == s->pc)
		return 0;
	s->pc = hidden;
	*unwind_frame(s, last) = hidden;
	s->reads.count = UNWIND_READS + 1; /* the same words may hide another the next time */
	return 1;
}

static inline __attribute__((always_inline)) __u32 unwind_step_signal(struct unwind_scratch *s)
{
	__u64 fp = 0, sp = 0, pc = 0;

	if (UNWIND_READ(s, s->sp + DHAT_SIGNAL_FP, fp) ||
	    UNWIND_READ(s, s->sp + DHAT_SIGNAL_SP, sp) ||
	    UNWIND_READ(s, s->sp + DHAT_SIGNAL_PC, pc))
		return DHAT_STOP_BAD_MEMORY;
	s->fp = fp;
	s->sp = sp;
	s->pc = pc;
	s->is_fp_lost = 0;
	s->is_exact_pc = 1;
	return unwind_push(s, pc);
}

/* What stands as a return address, and no call precedes it, was put there by hand: whoever makes a
 * stack lets it begin so (makecontext(), coroutines), and code begins to run there. If the code at
 * s->pc is such a beginning, its row, and the last frame is that place itself; else 0. */
UNWIND_NOINLINE __u64 unwind_planted(struct unwind_scratch *s)
{
	__u32 last;
	__u64 row;

	if (!s)
		return 0;
	row = unwind_row(s->pc, (__u32)s->zero);
	/* nothing is saved yet: a function's first instruction */
	if (!(row >> 16 & DHAT_CFA_ENDLESS) &&
	    ((row >> 16 & DHAT_CFA_KIND) != DHAT_CFA_SP || row >> 32 != 8 ||
	     (__u8)(row >> 24) != DHAT_FP_SAME))
		return 0;
	last = s->frame_count - 1;
	s->is_exact_pc = 1;
	*unwind_frame(s, last) = s->pc | DHAT_FRAME_EXACT_PC;
	return row;
}

/* A function is smaller; one that begins further before an address is not the one around it. */
#define UNWIND_MAX_FUNCTION (64u << 10)

/* Does the call before s->pc lead into another function than the frame that it would have called?
 * Only where that is sure. */
UNWIND_NOINLINE int unwind_calls_another(struct unwind_scratch *s)
{
	__u64 code = 0, target, callee;

	if (!s || s->frame_count < 2 || unwind_copy(&code, sizeof(code), s->pc - sizeof(code)))
		return 0;
	target = machine_call_target(code, s->pc);
	if (!target)
		return 0;
	callee = *unwind_frame(s, s->frame_count - 2) & ~DHAT_FRAME_EXACT_PC;
	if (callee - target >= UNWIND_MAX_FUNCTION)
		return 1;
	return unwind_copy(&code, sizeof(code), target) == 0 && machine_is_stub(code);
}

/* The frame at s->pc has no caller by the rule of the call before it. That call may belong to the
 * function before, which ends in one that does not return (__stack_chk_fail()), and what stands
 * behind it may have been put there by hand. stop: if that is not so. */
UNWIND_NOINLINE __u32 unwind_began(struct unwind_scratch *s, __u32 stop)
{
	__u64 planted, pc = 0;

	if (!s)
		return DHAT_STOP_NO_SCRATCH;
	if (s->is_exact_pc || !unwind_calls_another(s))
		return stop;
	planted = unwind_planted(s);
	if (!planted)
		return stop;
	if (planted >> 16 & DHAT_CFA_ENDLESS)
		return DHAT_STOP_COMPLETE;
	if (UNWIND_READ(s, s->sp, pc))
		return DHAT_STOP_NO_CALLER;
	if (pc == 0)
		return DHAT_STOP_COMPLETE;
	s->guess =
		UNWIND_GUESS_READ | DHAT_STOP_NO_CALLER; /* to whom it returns has to be proved */
	s->sp += 8;
	s->pc = pc;
	s->is_exact_pc = 0;
	return unwind_push(s, pc);
}

/* From the frame at s->pc to its caller. UNWIND_MORE, or why not (enum dhat_stop). */
UNWIND_NOINLINE __u32 unwind_step(struct unwind_scratch *s)
{
	__u64 word, cfa, pc = 0, fp, at, lookup, planted;
	__s32 offset;
	__s8 rule; /* of fp */
	__u8 kind, guess, is_fp_lost;

	if (!s)
		return DHAT_STOP_NO_SCRATCH;
	lookup = s->is_exact_pc ? s->pc : s->pc - 1;
	word = unwind_row(lookup, (__u32)s->zero);
	kind = (word >> 16) & DHAT_CFA_KIND;
	guess = word >> 16 & DHAT_CFA_READ ? UNWIND_GUESS_READ | DHAT_STOP_NO_RULE : 0;
	/* no table, too: the trampoline's page may be newer than the bank in use */
	if ((kind == UNWIND_ROW_NO_CODE || kind == UNWIND_ROW_JIT || kind == UNWIND_ROW_NO_TABLE) &&
	    unwind_unhide(s))
		return UNWIND_MORE;
	if (kind == UNWIND_ROW_NO_CODE)
		return unwind_take_back(s);
	if (word & UNWIND_PC_IS_NO_CALL && !s->is_exact_pc && s->frame_count > 1 &&
	    kind <= DHAT_CFA_FP_DEREF && kind != DHAT_CFA_SIGNAL && !(s->guess & UNWIND_GUESS_FP)) {
		planted = unwind_planted(s);
		if (planted >> 16 & DHAT_CFA_ENDLESS)
			return DHAT_STOP_COMPLETE;
		if (planted) { /* it may return: to whom has to be proved */
			word = planted | UNWIND_PC_IS_CALLED_FROM;
			kind = DHAT_CFA_SP;
			guess = UNWIND_GUESS_READ | DHAT_STOP_NO_CALLER;
		}
	}
	if (s->guess) {
		/* a compiler's code calls; what makes its own code may do as it likes, and the
		   kernel has put a handler's return address there */
		if (!(word & UNWIND_PC_IS_CALLED_FROM) && kind != UNWIND_ROW_JIT &&
		    kind != DHAT_CFA_SIGNAL) {
			if (!(word & UNWIND_PC_IS_NO_CALL))
				unwind_tell_unread(lookup);
			return unwind_take_back(s);
		}
		if (s->guess & UNWIND_GUESS_FP)
			s->flags |= DHAT_STACK_USED_FP;
		s->guess = 0;
	}
	rule = (__s8)(word >> 24);
	offset = (__s32)(word >> 32);
	fp = s->fp;
	is_fp_lost = s->is_fp_lost;
	if (kind == DHAT_CFA_SP) {
		cfa = s->sp + offset;
	} else if (kind == DHAT_CFA_FP || kind == DHAT_CFA_FP_DEREF) {
		if (s->is_fp_lost)
			return DHAT_STOP_NO_RULE;
		cfa = fp + offset;
		if (kind == DHAT_CFA_FP_DEREF && UNWIND_READ(s, cfa, cfa))
			return DHAT_STOP_BAD_MEMORY;
	} else if (kind == DHAT_CFA_PLT) {
		cfa = s->sp + 8 + ((lookup & 15) >= (__u32)offset ? 8 : 0);
	} else if (kind == DHAT_CFA_SIGNAL) {
		return unwind_step_signal(s);
	} else if (kind == DHAT_CFA_END) {
		return DHAT_STOP_COMPLETE;
	} else if (kind == DHAT_CFA_CHAIN) {
		return unwind_step_fp(s, DHAT_STOP_NO_RULE);
	} else if (kind == UNWIND_ROW_JIT || kind == UNWIND_ROW_NO_TABLE) {
		return unwind_step_fp(s,
				      kind == UNWIND_ROW_JIT ? DHAT_STOP_JIT : DHAT_STOP_NO_TABLE);
	} else {
		return DHAT_STOP_NO_RULE;
	}

	if (cfa <= s->sp) /* a stack that does not grow is no stack */
		return DHAT_STOP_BAD_MEMORY;
	if (rule < 0 || rule == DHAT_FP_AT_FP) {
		at = rule < 0 ? cfa + 8 * (__s64)rule : fp;
		if (UNWIND_READ(s, at, fp))
			return unwind_began(s, DHAT_STOP_BAD_MEMORY);
		is_fp_lost = 0;
	} else if (rule == DHAT_FP_UNDEFINED) {
		is_fp_lost = 1;
	}
	if (UNWIND_READ(s, cfa - 8, pc))
		return unwind_began(s, DHAT_STOP_BAD_MEMORY);
	if (pc == 0) /* where coroutines begin; but a frame pointer may have led anywhere */
		return unwind_began(s, guess == (UNWIND_GUESS_READ | DHAT_STOP_NO_RULE) ||
						       s->flags & DHAT_STACK_USED_FP
					       ? DHAT_STOP_NO_RULE
					       : DHAT_STOP_COMPLETE);
	s->guess = guess;
	s->is_fp_lost = is_fp_lost;
	s->sp = cfa;
	s->fp = fp;
	s->pc = pc;
	s->is_exact_pc = 0;
	return unwind_push(s, pc);
}
