#pragma once
/* lifecycle: what happens to the target as a process: code mapped and unmapped, exec, fork.
 * Part of dhat.bpf.c.
 */
#include "state.h"
#include "stop.h"

static __always_inline void fill_life(struct dhat_record *head, __u64 *time_ns, __u8 type,
				      __u16 size)
{
	fill_head(head, type, 0, size);
	*time_ns = bpf_ktime_get_ns();
}

static __always_inline int send_map(const struct vm_area_struct *vma, __u64 inode, __u32 dev)
{
	struct dhat_record_map *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count(DHAT_CTR_DROP_LIFE);
		return -1;
	}
	fill_life(&record->head, &record->time_ns, DHAT_RECORD_MAP, sizeof(*record));
	record->start = vma->vm_start;
	record->end = vma->vm_end;
	record->file_offset = vma->vm_pgoff * DHAT_PAGE_BYTES;
	record->inode = inode;
	record->dev_major = dev >> 20;
	record->dev_minor = dev & 0xfffff;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Called at every allocator call: has code been mapped or unmapped since the last? The page that
 * the kernel maps for its probes, when one needs it for the first time, is none of the target's
 * code. */
static __always_inline void notice_change(void)
{
	struct mm_struct *mm = bpf_get_current_task_btf()->mm;
	__u64 pages = mm->exec_vm - (mm->uprobes_state.xol_area ? 1 : 0);
	__u64 before = unwind_control.exec_pages;
	struct dhat_record_change *record;

	if (pages == before ||
	    __sync_val_compare_and_swap(&unwind_control.exec_pages, before, pages) != before)
		return;
	__sync_fetch_and_add(&unwind_control.epoch, 1);
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count(DHAT_CTR_DROP_LIFE);
		return;
	}
	fill_life(&record->head, &record->time_ns, DHAT_RECORD_CHANGE, sizeof(*record));
	record->epoch = unwind_control.epoch;
	record->pad = 0;
	/* until the daemon has looked for new allocators. Before the record: what the daemon does
	 * on it shall undo the stop, not come before it */
	stop();
	bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
}

static __always_inline struct dhat_record_life *begin_life(__u8 type, __u32 pid, __u32 wait_status)
{
	struct dhat_record_life *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count(DHAT_CTR_DROP_LIFE);
		return NULL;
	}
	fill_life(&record->head, &record->time_ns, type, sizeof(*record));
	record->pid = pid;
	record->wait_status = wait_status;
	return record;
}

static __always_inline void send_life(__u8 type, __u32 pid, __u32 wait_status)
{
	struct dhat_record_life *record = begin_life(type, pid, wait_status);

	if (record)
		bpf_ringbuf_submit(record, type == DHAT_RECORD_THREAD_EXIT ? BPF_RB_NO_WAKEUP
									   : BPF_RB_FORCE_WAKEUP);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(dhat_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct dhat_record_life *record;

	if (!is_target() || is_closed)
		return 0;
	record = begin_life(DHAT_RECORD_EXEC, cfg_tgid, 0);
	if (record) {
		/* until the daemon has attached to the new program, of which nothing has run yet;
		 * before the record, as above, and not without: nobody would let it go on */
		stop();
		bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
	}
	if (closes_on_exec)
		is_closed = 1;
	return 0;
}

static __always_inline void send_name(const struct task_struct *task, const char *name)
{
	struct dhat_record_thread *record = NULL;

	/* keeps P3: what is left of the ring is for frees */
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) <= cfg_alloc_mark)
		record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		count(DHAT_CTR_DROP_NAME);
		return;
	}
	fill_head(&record->head, DHAT_RECORD_THREAD, 0, sizeof(*record));
	record->named_tid = task->pid;
	record->pad = 0;
	__builtin_memset(record->name, 0, sizeof(record->name));
	bpf_probe_read_kernel_str(record->name, sizeof(record->name), name);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* Threads that begin before all probes are in place have to be known by then, too. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(dhat_fork, struct task_struct *parent, struct task_struct *child)
{
	if (!is_target())
		return 0;
	if ((__u32)child->tgid == cfg_tgid)
		send_name(child, child->comm);
	else if (!is_closed) /* a process, not a thread */
		send_life(DHAT_RECORD_FORK, number_in(child, cfg_namespace), 0);
	return 0;
}

/* By the thread, or by whoever writes to its file in /proc. */
SEC("tp_btf/task_rename")
int BPF_PROG(dhat_rename, struct task_struct *task, const char *name)
{
	if ((__u32)task->tgid == cfg_tgid)
		send_name(task, name);
	return 0;
}

__u32 has_exited = 0;

/* Probes are in the target's code only as long as the thread that they were placed for has its
 * memory: daemon/kernel/tracer.h. The daemon sets the first and asks for the second. */
__u32 anchor_tid = 0, anchor_has_left = 0;

SEC("tp_btf/sched_process_exit")
int BPF_PROG(dhat_exit, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	int status;

	notice_exit(task);
	if (!is_target())
		return 0;
	if (number_in(task, cfg_namespace) == anchor_tid)
		anchor_has_left = 1;
	if (is_closed)
		return 0;
	/* two threads that end at once may both find that none is left: the first of them says so
	 */
	if (signal->live.counter != 0 || __sync_lock_test_and_set(&has_exited, 1)) {
		send_life(DHAT_RECORD_THREAD_EXIT, cfg_tgid, 0);
		return 0;
	}
	status = signal->group_exit_code;
	status = status ? status : task->exit_code;
	send_life(DHAT_RECORD_EXIT, cfg_tgid, signal->oom_mm ? status | DHAT_WAIT_OOM : status);
	return 0;
}
