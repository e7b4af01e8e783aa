#pragma once
/* thread_state: what a thread of a process has that is in no memory of it: a record of
 * threads.bpf.c. */
#include <linux/types.h>

#include "machine.h"

struct dhat_thread_state {
	__u64 words[DHAT_REGISTER_WORDS];	/* struct pt_regs, as it entered the kernel last */
	__u64 signal_stack, signal_stack_bytes; /* sigaltstack(2); 0: none */
	__u64 local_base; /* somewhere in its thread-local memory; 0: it has none */
	__u64 switches;	  /* how often a processor has turned from it to another task */
	char name[16];
	__u32 tid;	  /* in the initial pid namespace */
	__u32 is_running; /* a processor has it. Of two looks, a while apart, that find it on none,
			     and as many switches: it has not run meanwhile */
};
