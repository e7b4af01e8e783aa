/* numbers: the number of a task in the initial pid namespace, for a dhatd that is in another. */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

SEC("iter/task")
int tell_number(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	__u32 tgid;

	if (!task)
		return 0;
	tgid = task->tgid;
	bpf_seq_write(context->meta->seq, &tgid, sizeof(tgid));
	return 0;
}
