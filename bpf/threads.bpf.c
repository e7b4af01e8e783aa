/* threads: the registers of each thread of a process, looked at without stopping it. */
#include "kernel.h"
#include "thread_state.h"

char LICENSE[] SEC("license") = "GPL";

SEC("iter/task")
int tell_thread(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	struct dhat_thread_state state = { 0 };
	long regs;

	if (!task)
		return 0;
	state.switches = task->nvcsw + task->nivcsw;
	/* a kernel for one processor only does not say */
	state.is_running = !bpf_core_field_exists(task->on_cpu) || task->on_cpu;
	regs = bpf_task_pt_regs(task);
	bpf_probe_read_kernel(state.words, sizeof(state.words), (void *)regs);
	state.signal_stack = task->sas_ss_sp;
	state.signal_stack_bytes = task->sas_ss_size;
	state.local_base = thread_local_base(&task->thread);
	bpf_probe_read_kernel(state.name, sizeof(state.name), task->comm);
	state.tid = task->pid;
	bpf_seq_write(context->meta->seq, &state, sizeof(state));
	return 0;
}
