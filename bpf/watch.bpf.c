/* watch.bpf: which processes begin, machine-wide: for `dhatd attach --name` and `--cgroup`. */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} begun SEC(".maps");

__u64 lost; /* events that did not fit: look at all processes again */

const volatile __u32 cfg_namespace = 0; /* the inode of dhatd's pid namespace */

static __always_inline void tell(struct task_struct *task)
{
	__u32 pid = number_in(task, cfg_namespace), *record;

	if (!pid) /* a process that dhatd cannot see */
		return;
	record = bpf_ringbuf_reserve(&begun, sizeof(*record), 0);

	if (!record) {
		__sync_fetch_and_add(&lost, 1);
		return;
	}
	*record = pid;
	bpf_ringbuf_submit(record, 0);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(watch_exec, struct task_struct *task)
{
	tell(task);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(watch_fork, struct task_struct *parent, struct task_struct *child)
{
	if (child->tgid != parent->tgid)
		tell(child);
	return 0;
}
