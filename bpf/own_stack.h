#pragma once
/* own_stack: a program's variables stay on the stack of the thread that runs it.
 *
 * From 6.13 on the verifier may put those of programs of this type in memory of the CPU instead
 * ("private stack": a program with 64 bytes of them or more). Uprobe programs run preemptible,
 * though, and unlike kprobe ones without a guard against themselves: two threads that take turns on
 * a CPU write over each other's variables. Where kernels preempt (7.0 and later all do) calls were
 * lost, and 7.3 followed a NULL pointer of another thread's and stopped (tests/kernels,
 * "executed"). A program with a tail call anywhere in it is left alone; one that is never made
 * costs nothing.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

const volatile __u8 cfg_never = 0;

/* One for each program: what is in one must be of one kind. */
#define OWN_STACK(program)                                                                         \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                             \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, __u32);                                                              \
	} program##_none SEC(".maps")

/* Somewhere in the program itself. */
#define KEEP_OWN_STACK(program, context)                                                           \
	do {                                                                                       \
		if (cfg_never)                                                                     \
			bpf_tail_call(context, &program##_none, 0);                                \
	} while (0)
