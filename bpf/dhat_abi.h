#pragma once
/* dhat_abi: what the kernel side and the daemon agree on.
 *
 * With dhat_sample.h the only header that both include. Fixed-width types, padding written out,
 * sizes asserted. The records say what happened to a block, not how it was noticed: uprobes are one
 * source of them, and others may follow.
 */
#include <linux/types.h>

#include "machine.h"

/* ---- records in the ring ------------------------------------------------------------------ */

enum dhat_record_type {
	DHAT_RECORD_ALLOC = 1,	   /* a block was handed out */
	DHAT_RECORD_FREE,	   /* a block is about to be given back */
	DHAT_RECORD_REALLOC_BEGIN, /* the old block is about to be resized */
	DHAT_RECORD_REALLOC_END,   /* what became of it */
	DHAT_RECORD_STACK,	   /* the frames of a stack id seen for the first time */
	DHAT_RECORD_MAP,	   /* a stack led through a mapping that the daemon does not know */
	DHAT_RECORD_CHANGE,	   /* code was mapped or unmapped: look again */
	DHAT_RECORD_EXEC,	   /* the target replaced its program */
	DHAT_RECORD_FORK,	   /* the target made a child process */
	DHAT_RECORD_THREAD_EXIT,   /* a thread ends, others of the target go on */
	DHAT_RECORD_EXIT,	   /* a thread ends, and with it the target */
	DHAT_RECORD_THREAD,	   /* what a thread is called, from now on */
	DHAT_RECORD_REPLACED,	   /* sampled: a block's address was handed out anew, unrecorded */
};

struct dhat_record {
	__u8 type;	 /* enum dhat_record_type */
	__u8 domain : 4; /* address space of blocks: 0 = the process's allocators, 1… = custom ones
			  */
	__u8 is_drawn : 1; /* ALLOC, REALLOC_END: the block was drawn for the sample; otherwise all
			    * blocks were recorded when it was handed out */
	__u16 size;	   /* of the whole record, in bytes */
	__u32 tid;	   /* thread, as the initial pid namespace numbers it */
};

/* The domain of anonymous mappings: ranges, which may be cut. A FREE in it says where the range
 * begins and, in chunk, how long it is; it is sent when the memory has gone, with the time from
 * before: of mappings that came after that time it says nothing. */
#define DHAT_DOMAIN_ANON 15 /* the highest: a cookie has four bits for it */

/* time_ns in all records: CLOCK_MONOTONIC. */
struct dhat_record_alloc {
	struct dhat_record head;
	__u64 time_ns;
	__u64 addr;
	__u64 size_bytes; /* as asked for */
	__u64 stack_id;	  /* 0: the stack could not be sent */
};

struct dhat_record_free { /* FREE, REPLACED */
	struct dhat_record head;
	__u64 time_ns;
	__u64 addr;
	__u64 chunk; /* see below; DHAT_DOMAIN_ANON: the length in bytes */
};

struct dhat_record_realloc_begin {
	struct dhat_record head;
	__u64 time_ns;
	__u64 old_addr; /* never 0 */
	__u64 chunk;	/* as in dhat_record_free, of the old block */
};

/* What glibc's memory tells of a block, in one word; 0: not read, or nothing sensible. The word
 * before it is its chunk's size and 3 flag bits. A block in a thread's cache (struct tcache_entry)
 * has two words of its own: the next in the list, since 2.32 mangled by where it stands
 * (PROTECT_PTR), and a mark against being freed twice. What the first says is one bit here (user
 * data look like a mangled pointer only by chance), the second a hash, never 0 but for 0. */
#define DHAT_CHUNK_SIZE_BITS 48
#define DHAT_CHUNK_KEY_BITS 15
#define DHAT_CHUNK_LINKED (1ULL << 63)

static inline __u64 dhat_chunk_key(__u64 mark)
{
	__u64 hash = mark * 0x9e3779b97f4a7c15ULL >>
		     (64 - DHAT_CHUNK_KEY_BITS); /* 2^64 / golden ratio */

	return mark && !hash ? 1 : hash;
}

static inline __u64 dhat_chunk(__u64 addr, __u64 size, __u64 next, __u64 mark)
{
	if (size >> DHAT_CHUNK_SIZE_BITS)
		return 0;
	next ^= addr >> 12;
	if (next == 0 || ((next ^ addr) >> 32 == 0 && (next & 15) == 0))
		size |= DHAT_CHUNK_LINKED;
	return size | dhat_chunk_key(mark) << DHAT_CHUNK_SIZE_BITS;
}

enum dhat_realloc_result {
	DHAT_REALLOC_MOVED = 0,	 /* new_addr holds size_bytes; it may equal old_addr */
	DHAT_REALLOC_FAILED = 1, /* the old block is alive as before */
	DHAT_REALLOC_FREED = 2,	 /* size 0: the old block is gone, nothing was handed out */
};

struct dhat_record_realloc_end {
	struct dhat_record head;
	__u64 time_ns;
	__u64 old_addr; /* 0: realloc(NULL, n), which has no BEGIN and is sent as ALLOC instead */
	__u64 new_addr;
	__u64 size_bytes;
	__u64 stack_id;
	__u32 result; /* enum dhat_realloc_result */
	__u32 site;   /* of the cookie */
};

/* Why a stack ends where it ends. */
enum dhat_stop {
	DHAT_STOP_COMPLETE = 0,	  /* reached the end that the rules or the ABI mark */
	DHAT_STOP_NO_TABLE = 1,	  /* code of a file whose table is not (yet) there */
	DHAT_STOP_NO_RULE = 2,	  /* the table says that this place cannot be described */
	DHAT_STOP_BAD_MEMORY = 3, /* a stack word could not be read, or the stack ran backwards */
	DHAT_STOP_TOO_DEEP = 4,	  /* DHAT_MAX_DEPTH reached */
	DHAT_STOP_JIT = 5,	  /* code of no file, and frame pointers led nowhere */
	DHAT_STOP_NO_SCRATCH = 6, /* no scratch memory was free: the caller only */
	DHAT_STOP_NO_CALLER = 7,  /* at a function that nobody called, but that may return */
	DHAT_STOP_COUNT
};

/* Where stacks come from. All but the first are there to measure the first by (make bench). */
enum dhat_stacks {
	DHAT_STACKS_TABLES = 0,
	DHAT_STACKS_KERNEL = 1, /* bpf_get_stack: frame pointers */
	DHAT_STACKS_NONE = 2,	/* the caller only */
};

/* Of a stack at most so many frames are kept: of a deeper one the innermost, and the outermost. */
#define DHAT_MAX_FRAMES 127
#define DHAT_OUTER_FRAMES 64 /* a power of 2 */
#define DHAT_INNER_FRAMES (DHAT_MAX_FRAMES - DHAT_OUTER_FRAMES)
/* So many frames are walked: 15 ns each. Of a still deeper stack the innermost are kept. */
#define DHAT_MAX_DEPTH 2048

/* Where frame `at` of a stack lies among the kept ones: the outer ones go round in a ring. */
static inline __u32 dhat_frame_slot(__u32 at)
{
	if (at < DHAT_INNER_FRAMES)
		return at;
	return DHAT_INNER_FRAMES + ((at - DHAT_INNER_FRAMES) & (DHAT_OUTER_FRAMES - 1));
}

/* How many frames of a stack are kept. */
static inline __u32 dhat_kept_frames(__u32 frame_count, __u8 stop)
{
	if (frame_count <= DHAT_MAX_FRAMES)
		return frame_count;
	return stop == DHAT_STOP_TOO_DEEP ? DHAT_INNER_FRAMES : DHAT_MAX_FRAMES;
}

/* A frame is the return address as it stood on the stack. With this bit it is an interrupted
 * place (below a signal frame) and is looked up as it is; without it, at address - 1. */
#define DHAT_FRAME_EXACT_PC (1ULL << 63)

/* flags of a stack */
#define DHAT_STACK_USED_FP 1 /* at least one step was by frame pointer, for want of a rule */
#define DHAT_STACK_ANON 2    /* of a mapping, not of a block: DHAT_DOMAIN_ANON */

struct dhat_record_stack {
	struct dhat_record head;
	__u64 stack_id;	   /* hash of the kept frames, frame_count, stop, flags, epoch; never 0 */
	__u32 epoch;	   /* counts changes of code mappings: same addresses, other meaning */
	__u16 frame_count; /* as walked; dhat_kept_frames() of them follow */
	__u8 stop;	   /* enum dhat_stop */
	__u8 flags;
	__u16 site; /* of the cookie: the function by which it was seen first */
	__u16 pad[3];
	__u64 frames[]; /* innermost first, at dhat_frame_slot(); [0] is the allocator's caller */
};

struct dhat_record_map {
	struct dhat_record head;
	__u64 time_ns;
	__u64 start;
	__u64 end;
	__u64 file_offset; /* bytes */
	__u64 inode;
	__u32 dev_major;
	__u32 dev_minor;
};

struct dhat_record_change {
	struct dhat_record head;
	__u64 time_ns;
	__u32 epoch; /* the epoch that begins with it */
	__u32 pad;
};

struct dhat_record_life { /* EXEC, FORK, THREAD_EXIT, EXIT */
	struct dhat_record head;
	__u64 time_ns;
	__u32 pid; /* FORK: the child, as dhatd's pid namespace numbers it; the others: the target,
		    * whose first thread's tid it is */
	__u32 wait_status; /* EXIT: as wait(2) tells it, and DHAT_WAIT_… */
};
#define DHAT_WAIT_OOM (1u << 16) /* the kernel has killed it for want of memory */

/* Sent at a thread's beginning, with what it has of its parent, and when it is called anew; by any
 * thread, and before anything that it allocates under that name. */
#define DHAT_THREAD_CHARS 16 /* TASK_COMM_LEN */
struct dhat_record_thread {
	struct dhat_record head;
	__u32 named_tid; /* as head.tid */
	__u32 pad;
	char name[DHAT_THREAD_CHARS]; /* may hold anything, and end without a 0 */
};

_Static_assert(sizeof(struct dhat_record) == 8, "record head");
_Static_assert(sizeof(struct dhat_record_alloc) == 40, "alloc");
_Static_assert(sizeof(struct dhat_record_free) == 32, "free");
_Static_assert(sizeof(struct dhat_record_realloc_begin) == 32, "realloc begin");
_Static_assert(sizeof(struct dhat_record_realloc_end) == 56, "realloc end");
_Static_assert(sizeof(struct dhat_record_stack) == 32, "stack");
_Static_assert(sizeof(struct dhat_record_map) == 56, "map");
_Static_assert(sizeof(struct dhat_record_change) == 24, "change");
_Static_assert(sizeof(struct dhat_record_life) == 24, "life");
_Static_assert(sizeof(struct dhat_record_thread) == 32, "thread");

/* ---- counters ----------------------------------------------------------------------------- */

/* Each way out of the kernel side bumps exactly one of these. Names, meanings and whether a
 * count makes a profile inexact: daemon/account/verdict.c, in the same order. */
enum dhat_counter {
	DHAT_CTR_ALLOCS,	/* ALLOC records sent */
	DHAT_CTR_FREES,		/* FREE records sent */
	DHAT_CTR_REALLOCS,	/* REALLOC_END records sent */
	DHAT_CTR_FREE_NULL,	/* free(NULL): nothing to do */
	DHAT_CTR_FAILED,	/* allocations that failed in the target */
	DHAT_CTR_NESTED,	/* calls inside an outer allocator call: not counted on purpose */
	DHAT_CTR_ABANDONED,	/* an outer call that never returned (longjmp, exception) */
	DHAT_CTR_UNPAIRED,	/* a return whose entry was before the attach */
	DHAT_CTR_FOREIGN,	/* another process hit a probe (kernel filter let it through) */
	DHAT_CTR_NO_STATE,	/* no per-thread state to be had: a call went uncounted */
	DHAT_CTR_SHED_ALLOC,	/* allocations given up because the ring was nearly full */
	DHAT_CTR_DROP_ALLOC,	/* allocations lost: ring full */
	DHAT_CTR_DROP_FREE,	/* frees lost: ring full */
	DHAT_CTR_DROP_REALLOC,	/* realloc records lost: ring full */
	DHAT_CTR_DROP_STACK,	/* stacks lost: ring full; their allocations are counted */
	DHAT_CTR_DROP_LIFE,	/* map, change, exec or fork records lost: ring full */
	DHAT_CTR_DROP_NAME,	/* threads' names lost: ring full */
	DHAT_CTR_UNKNOWN_CALLS, /* of functions that hand out or take nobody knows what */
	DHAT_CTR_ARENA_RESETS,	/* all blocks of an arena taken at once: see DHAT_ROLE_CONTROL */
	DHAT_CTR_UNSIZED,	/* strings handed out whose end was not found: of size 0 */
	DHAT_CTR_UNSAMPLED_ALLOCS, /* handed out, and not drawn for the sample */
	DHAT_CTR_UNSAMPLED_FREES,  /* of blocks that are not in it */
	DHAT_CTR_SAMPLE_FULL,	   /* drawn, and given up: the set of sampled blocks was full */
	DHAT_CTR_STACKS,	   /* stacks sent */
	DHAT_CTR_STACKS_FULL,	   /* stack table full: sent again each time, still exact */
	DHAT_CTR_USED_FP,	   /* stacks with a frame-pointer step for want of a rule */
	DHAT_CTR_SHORTENED,	   /* stacks of more than DHAT_MAX_FRAMES: the middle is not kept */
	DHAT_CTR_STOP_FIRST,	   /* + enum dhat_stop: how many stacks ended so */
	DHAT_CTR_COUNT = DHAT_CTR_STOP_FIRST + DHAT_STOP_COUNT,
};

/* ---- probes ------------------------------------------------------------------------------- */

/* What a probed function does. Argument numbers of custom allocators travel in the cookie. */
enum dhat_role {
	DHAT_ROLE_MALLOC = 1,	  /* p = f(size) */
	DHAT_ROLE_CALLOC,	  /* p = f(count, size) */
	DHAT_ROLE_REALLOC,	  /* p = f(old, size) */
	DHAT_ROLE_REALLOCARRAY,	  /* p = f(old, count, size) */
	DHAT_ROLE_FREE,		  /* f(old) */
	DHAT_ROLE_POSIX_MEMALIGN, /* error = f(&p, align, size) */
	DHAT_ROLE_MEMALIGN,	  /* p = f(align, size); also aligned_alloc */
	DHAT_ROLE_PVALLOC,	  /* p = f(size), size rounded up to whole pages */
	DHAT_ROLE_RESIZE,	  /* n = f(old, size): in place; resized to size when n >= size */
	DHAT_ROLE_REALLOCF,	  /* p = f(old, size): frees old when it fails */
	DHAT_ROLE_REALLOCARR, /* error = f(&p, count, size): p is the old block, then the new one */
	/* blocks of which no argument tells the size: it is that of the string in them, with its
	   end */
	DHAT_ROLE_STRDUP,   /* p = f() */
	DHAT_ROLE_REALPATH, /* p = f(buffer): a new string if buffer is 0, else none */
	DHAT_ROLE_DUPENV,   /* error = f(&p): p may be 0, then there is none */
	DHAT_ROLE_UNKNOWN,  /* f(): what it does cannot be followed; its outermost calls are counted
			     */
	DHAT_ROLE_CONTROL,  /* f(name): "arena.7.reset" and "arena.7.destroy" are counted */
	/* anonymous memory that is not an allocator's (--anonymous); domain DHAT_DOMAIN_ANON */
	DHAT_ROLE_MMAP,	  /* p = f(size, flags) */
	DHAT_ROLE_MUNMAP, /* f(p, size) */
	DHAT_ROLE_MREMAP, /* p = f(old, old size, new size) */
	DHAT_ROLE_SBRK,	  /* old end = f(increment) */
	DHAT_ROLE_COUNT,
	DHAT_ROLE_PLACE = 63, /* the cookie is that of a place: below */
};

enum dhat_phase {
	DHAT_PHASE_ENTRY = 0,
	DHAT_PHASE_RETURN = 1, /* a return probe, or a session's second half */
	DHAT_PHASE_EXIT =
		2, /* a probe on a ret instruction: the return address is still on the stack */
	DHAT_PHASE_RESULT = 3, /* where a block and its size are known: below */
};

/* At a result site arg_reg has: where the block is, or DHAT_RESULT_NONE (the call will return
 * nothing); where its size is, or DHAT_RESULT_SAVED (the ENTRY of this call, which has
 * is_by_result, has seen it); and where the caller's frame pointer is: 0 in its register, n saved
 * at the stack pointer + 8 * (n - 1). role says when that is so: DHAT_RESULT_ALWAYS, or the number
 * of the machine's condition, + 1, of a conditional jump that is about to be executed. */
#define DHAT_RESULT_ALWAYS 0
#define DHAT_RESULT_NONE 0xff
#define DHAT_RESULT_SAVED 0xff

/* The cookie of a probe site. Registers are numbered as in the instruction encoding: see
 * regs_numbered(). */
struct dhat_cookie {
	__u8 role : 6;	       /* enum dhat_role; at a result site, see above */
	__u8 phase : 2;	       /* enum dhat_phase */
	__u8 is_by_exit : 1;   /* its return is seen by exit probes */
	__u8 has_header : 1;   /* glibc: the word before a block tells its size */
	__u8 is_nesting : 1;   /* a free that calls another one: its return is awaited */
	__u8 is_by_result : 1; /* its end is seen at a result site */
	__u8 domain : 4;       /* see struct dhat_record */
	__u8 arg_reg[3];       /* where argument 0, 1, 2 of the role is at the site; at an exit, [0]
				* is where the result is */
	__u8 sp_words; /* stack pointer at the site + 8 * sp_words = that at the function's entry */
	__u16 site;    /* number of the function among the probed ones of the target */
};
_Static_assert(sizeof(struct dhat_cookie) == 8, "a cookie is one word");
_Static_assert(DHAT_ROLE_COUNT <= DHAT_ROLE_PLACE && DHAT_DOMAIN_ANON < 16,
	       "what fits into a cookie");

union dhat_cookie_word {
	struct dhat_cookie parts;
	__u64 word;
};

/* A probe whose instruction we execute ourselves (bpf/places.h): its cookie has DHAT_ROLE_PLACE,
 * and in its upper half the number of one of these. */
struct dhat_place {
	__u64 cookie;		  /* struct dhat_cookie */
	__u64 inode, file_offset; /* of the instruction; bytes */
	__u64 known;		  /* the kernel side's: where it was last, and in which epoch */
	struct dhat_instruction instruction;
	__u32 pad;
};
_Static_assert(sizeof(struct dhat_place) == 56, "nothing in between");
#define DHAT_MAX_PLACES 2048 /* of a target; what comes then is stepped by the kernel */

static inline __u64 dhat_place_cookie(__u32 number)
{
	return (__u64)number << 32 | DHAT_ROLE_PLACE;
}

/* ---- unwind tables ------------------------------------------------------------------------ */

/* How to find the canonical frame address (DWARF 5, 6.4.1: the caller's sp before the call), by the
 * stack pointer sp, the frame pointer fp and the pc. */
enum dhat_cfa {
	DHAT_CFA_NO_RULE = 0,  /* nothing describes this place, or it cannot be held in a row */
	DHAT_CFA_SP = 1,       /* sp + cfa_offset */
	DHAT_CFA_FP = 2,       /* fp + cfa_offset */
	DHAT_CFA_PLT = 3,      /* sp + 8 + (((pc & 15) >= cfa_offset) << 3): lazy binding stubs */
	DHAT_CFA_SIGNAL = 4,   /* sp points at a ucontext: all registers are in it */
	DHAT_CFA_END = 5,      /* the return address is undefined: the outermost frame */
	DHAT_CFA_FP_DEREF = 6, /* *(fp + cfa_offset): stack realigned through a saved pointer */
	DHAT_CFA_CHAIN = 7,    /* no rule, in code that keeps frame pointers: to be tried */
};

/* Beside enum dhat_cfa: the rule was read out of instructions, not told by the compiler. What it
 * leads to has to be proved (bpf/unwind.h). */
#define DHAT_CFA_READ 0x40
/* The code there never returns: where nobody called it, the stack begins. */
#define DHAT_CFA_ENDLESS 0x80
#define DHAT_CFA_KIND 0x3f /* enum dhat_cfa alone */

/* fp of the caller. */
#define DHAT_FP_SAME 0 /* as in this frame */
/* -128 … -1: saved at CFA + 8 * fp */
#define DHAT_FP_AT_FP 1	    /* saved at *fp (frames with a realigned stack) */
#define DHAT_FP_UNDEFINED 2 /* lost; a caller that needs it cannot be described */

/* A row holds from its pc to the next row's. The return address is at CFA - 8 always; objects
 * that say otherwise get DHAT_CFA_NO_RULE there. */
struct dhat_row {
	__u16 pc_low;	  /* low 16 bits of the pc, relative to the table's first page */
	__u8 cfa;	  /* enum dhat_cfa, and DHAT_CFA_READ, DHAT_CFA_ENDLESS */
	__s8 fp;	  /* DHAT_FP_… or a negative slot number */
	__s32 cfa_offset; /* bytes; the biased pc threshold for DHAT_CFA_PLT */
};
_Static_assert(sizeof(struct dhat_row) == 8, "a row is one word");

/* A table is an array of 8-byte words:
 *   [0]                  u32 page_count, u32 row_count
 *   [1 … page_count + 1] u64: number of the first row whose pc is in that 64 KiB page or later
 *   [page_count + 2 …]   row_count rows, sorted by pc
 * A pc below the first row of its page belongs to the row before. A pc before row 0 has no rule. */
#define DHAT_TABLE_PAGE_SHIFT 16
struct dhat_table_head {
	__u32 page_count;
	__u32 row_count;
};

/* What the kernel side knows of an executable mapping. */
enum dhat_mapping_kind {
	DHAT_MAPPING_PENDING = 0, /* a file whose table is being built */
	DHAT_MAPPING_TABLE = 1,
	DHAT_MAPPING_NO_TABLE = 2, /* a file that has no usable table */
};

struct dhat_mapping {
	__u64 start;
	__u64 end;
	__u64 file_offset; /* of start, bytes */
	__u64 inode;
	__u64 table_bias; /* pc - table_bias = pc relative to the table's first page */
	__u32 table_slot; /* index in the outer map */
	__u32 kind;	  /* enum dhat_mapping_kind */
};

#define DHAT_MAX_MAPPINGS 4096 /* executable file mappings of one target */
#define DHAT_MAX_TABLES 2048   /* objects with a table in one target */
