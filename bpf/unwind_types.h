#pragma once
/* unwind_types: what the unwinder works on; see unwind.h. */
#include "dhat_abi.h"

/* The mappings lie in two banks of DHAT_MAX_MAPPINGS, sorted by start. The daemon fills the bank
 * that is not in use, then sets `active`. A reader that finds `active` changed after its search may
 * have read a half-written bank and forgets the result.
 *
 * `epoch` counts changes of the target's code mappings, noticed at each allocator call by the
 * kernel's own sum of executable pages (mm_struct.exec_vm, without the page that the kernel maps
 * for its probes). U1: no rule of a mapping that is gone is used: while the bank in use is of an
 * older epoch, a mapping counts only after a look at the process's real one. (What is left: code
 * unmapped and other code of exactly the same size mapped in its place with no allocator call of
 * the process between. glibc's dlopen and dlclose make some.)
 */
struct unwind_control {
	__u32 active;	     /* generation << 1 | bank */
	__u32 count[2];	     /* mappings in each bank */
	__u32 bank_epoch[2]; /* the epoch that each bank knows of */
	__u32 epoch;	     /* written by the kernel side */
	__u64 exec_pages;    /* of code, when `epoch` began; kernel side */
};

/* Row found for a pc. Two words, so that one torn by two writers shows: check is made from all. */
struct unwind_memo {
	__u64 row;
	__u64 check;
};
#define UNWIND_MEMO_SIZE 16384
static inline __u32 unwind_memo_number(__u64 pc)
{
	return (pc ^ (pc >> 14)) & (UNWIND_MEMO_SIZE - 1);
}

/* Places where code could not be read (see unwind_tell_unread()), one of each few pages. U3: a page
 * of code that a process has inherited, or was mapped for it before, and that nothing of it has
 * touched, is not in its page table, and a program may not wait for it. The daemon reads it, which
 * puts it there, and takes the row out of the memo. */
#define UNWIND_UNREAD 16
static inline __u32 unwind_unread_number(__u64 pc)
{
	return pc / DHAT_PAGE_BYTES % UNWIND_UNREAD;
}

#define UNWIND_WINDOW_WORDS 512 /* 4 KiB: 105 ns to copy; 8 bytes cost 76 */

#define UNWIND_GUESS_FP 0x80   /* found by frame pointer, for want of a rule */
#define UNWIND_GUESS_READ 0x40 /* by a rule read out of instructions */

/* What a walk has read of a stack, in its order: the words, and their numbers in the window; or
 * UNWIND_SLID, and the address that the window began at from there on. */
#define UNWIND_READS 192    /* some 90 frames: two words of most */
#define UNWIND_FEW_READS 96 /* so many are copied where that is enough */
#define UNWIND_SLID 0xffff
struct unwind_reads {
	__u32 count; /* more than UNWIND_READS: the rest is not kept */
	__u16 at[UNWIND_READS];
	__u64 words[UNWIND_READS];
};

/* A walk that ended at a thread's start, and what it found. U2: what a walk does depends on nothing
 * but where it begins, the words that it reads, and the rows of its time (`active`, `epoch`). So
 * where all of these are as they were, the stack is, too. One for each of the last stacks, by a
 * hash of where they begin. */
#define UNWIND_TRAILS 1024
struct unwind_trail {
	__u64 busy;	     /* claimed by a running program */
	__u64 pc, sp, fp;    /* where it begins */
	__u64 window_base;   /* of what was copied before; 0: nothing was */
	__u64 stack_id;	     /* known to the daemon; 0: there is none */
	__u32 active, epoch; /* see struct unwind_control */
	__u32 flags;	     /* DHAT_STACK_… it was asked with */
	struct unwind_reads reads;
};

struct unwind_scratch {
	__u64 busy; /* claimed by a running program */
	__u64 zero; /* always 0; the verifier cannot know, so that searches need no path a value */
	__u64 pc, sp, fp;
	__u64 window_base; /* address of window[0]; multiple of 8 */
	__u64 window_size; /* valid bytes */
	__u32 frame_count; /* walked */
	__u32 stop;
	__u8 flags; /* DHAT_STACK_… */
	__u8 is_exact_pc;
	__u8 is_fp_lost;
	__u8 guess; /* the last frame is to be proved: UNWIND_GUESS_…, and the stop if it is not */
	__u32 epoch;			   /* that the stack is told under */
	__u32 site;			   /* of the call */
	__u64 overwritten;		   /* by the last frame */
	__u64 frames[DHAT_MAX_FRAMES + 1]; /* the kept ones: dhat_frame_slot() */
	struct unwind_reads reads;
	__u64 window[UNWIND_WINDOW_WORDS];
};
