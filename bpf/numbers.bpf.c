/* numbers: the number of a task in the initial pid namespace, for a dhatd that is in another. */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} CORE;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task; /* NULL after the last */
} CORE;

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
