#pragma once
/* kernel: the few kernel types that the BPF side looks into.
 *
 * Only the members used; CO-RE relocates them to the running kernel.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>
/* after bpf_helpers.h */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "machine.h"

#define CORE __attribute__((preserve_access_index))

struct return_instance { /* kernel/events/uprobes.c: a pending return probe */
	unsigned long stack;
	unsigned long orig_ret_vaddr;
	struct return_instance *next;
} CORE;

struct uprobe_task {
	struct return_instance *return_instances;
} CORE;

struct super_block {
	__u32 s_dev; /* 12 bits major, 20 bits minor: include/linux/kdev_t.h */
} CORE;

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
} CORE;

struct file {
	struct inode *f_inode;
} CORE;

struct uprobes_state {
	struct xol_area *xol_area; /* the page of the kernel's for probes; NULL: none yet */
} CORE;

struct mm_struct {
	unsigned long exec_vm; /* executable pages mapped */
	struct uprobes_state uprobes_state;
} CORE;

struct vm_area_struct {
	unsigned long vm_start, vm_end, vm_pgoff, vm_flags;
	struct file *vm_file;
	struct mm_struct *vm_mm;
} CORE;

struct signal_struct {
	struct {
		int counter;
	} live; /* threads that have not begun to exit */
	int group_exit_code;
	struct mm_struct
		*oom_mm; /* set when the kernel kills it for want of memory, and for good */
} CORE;

struct ns_common {
	unsigned int inum; /* as stat(2) has it of /proc/PID/ns/… */
} CORE;

struct pid_namespace {
	struct ns_common ns;
} CORE;

struct upid {
	int nr;
	struct pid_namespace *ns;
} CORE;

struct pid {
	unsigned int level; /* numbers[0 … level] */
	struct upid numbers[1];
} CORE;

struct task_struct {
	int pid, tgid, exit_code;
	/* until the switch to another task is done, which was counted before; a byte from 7.3 on:
	 * libbpf adapts what is read of unsigned fields only */
	unsigned int on_cpu;
	unsigned long nvcsw, nivcsw; /* switches from it: it waits, or its time is over */
	char comm[16];
	struct pid *thread_pid;
	struct signal_struct *signal;
	struct mm_struct *mm;
	struct uprobe_task *utask;
	unsigned long sas_ss_sp, sas_ss_size; /* sigaltstack(2) */
	struct thread_struct thread;
} CORE;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} CORE;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task; /* NULL after the last */
} CORE;

struct linux_binprm;

/* The task's number in a pid namespace; 0: it is not in it. */
#define MAX_PID_NS_LEVEL 32 /* include/linux/pid_namespace.h */
static __always_inline __u32 number_in(struct task_struct *task, __u32 namespace)
{
	struct pid *pid = task->thread_pid;
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid *at = (void *)pid + bpf_core_field_offset(struct pid, numbers);

	for (__u32 i = 0; i <= MAX_PID_NS_LEVEL; i++) {
		barrier_var(level); /* two bounds: see unwind.h */
		if (i > level)
			break;
		if (BPF_CORE_READ(at, ns, ns.inum) == namespace)
			return BPF_CORE_READ(at, nr);
		at = (void *)at + bpf_core_type_size(struct upid);
	}
	return 0;
}

#define VM_EXEC 0x4	   /* include/linux/mm.h */
#define MAP_ANONYMOUS 0x20 /* include/uapi/asm-generic/mman-common.h */
