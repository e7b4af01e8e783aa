/* ending: a process stops where it ends, so that it can be looked at before its memory goes. */
#include "stop.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 cfg_tgid = 0;
__u32 has_come = 0; /* read by the daemon */

/* At libc's _Exit(), behind all that is done at exit. SIGSTOP: all of its threads stand still, the
 * one that asked before its next instruction. Once: what goes on ends. */
SEC("uprobe")
int stop_at_end(struct pt_regs *regs)
{
	if (bpf_get_current_pid_tgid() >> 32 != cfg_tgid || __sync_lock_test_and_set(&has_come, 1))
		return 0;
	stop();
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(notice_daemon, struct task_struct *task)
{
	notice_exit(task);
	return 0;
}
