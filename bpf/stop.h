#pragma once
/* stop: `dhatd run` stops its program (SIGSTOP), and lets it go on.
 *
 * Keeps P1: a dhatd that dies lets it go on, too (daemon/target/guard.h), and from then on nobody
 * stops it. Its exit is seen before anybody can know of it: its files are closed, and its parent is
 * told, later in the kernel's do_exit(). What was about to stop then takes its own stop back.
 */
#include "kernel.h"

#define SIGCONT 18
#define SIGSTOP 19

const volatile __u32 cfg_daemon = 0; /* dhatd, in the initial pid namespace */
volatile __u8 may_stop = 0;	     /* the daemon sets it */

static __always_inline void stop(void)
{
	if (!may_stop)
		return;
	bpf_send_signal(SIGSTOP);
	if (!may_stop)
		bpf_send_signal(SIGCONT);
}

/* A task exits. */
static __always_inline void notice_exit(const struct task_struct *task)
{
	if ((__u32)task->tgid == cfg_daemon && task->signal->live.counter == 0)
		may_stop = 0;
}
