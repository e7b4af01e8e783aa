#pragma once
/* unwind_maps: the maps behind the unwinder, and what unwind.h asks its includer for. Part of
 * dhat.bpf.c.
 */
#include "lifecycle.h"

#define UNWIND_NOINLINE __attribute__((noinline)) /* global: verified once, not at each call */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8); /* the daemon sets 4 for each CPU */
	__type(key, __u32);
	__type(value, struct unwind_scratch);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNWIND_MEMO_SIZE);
	__type(key, __u32);
	__type(value, struct unwind_memo);
} memo SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * DHAT_MAX_MAPPINGS);
	__type(key, __u32);
	__type(value, struct dhat_mapping);
} mappings SEC(".maps");

/* BPF_F_INNER_MAP (5.10): inner arrays of any length. Flags as TABLES_MAP_FLAGS in
 * daemon/lookup/tables.h.
 */
struct table_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, DHAT_MAX_TABLES);
	__type(key, __u32);
	__array(values, struct table_map);
} tables SEC(".maps");

typedef void unwind_table_t;

static __always_inline int unwind_copy(void *dst, __u32 size, __u64 addr)
{
	return bpf_probe_read_user(dst, size, (const void *)addr);
}

/* Written by the daemon, too. */
__u64 unread_pcs[UNWIND_UNREAD] = { 0 };
__u32 has_unread = 0;

static __always_inline void unwind_tell_unread(__u64 pc)
{
	*(volatile __u64 *)&unread_pcs[unwind_unread_number(pc)] = pc;
	*(volatile __u32 *)&has_unread = 1;
}

static __always_inline struct unwind_memo *unwind_memo(__u32 index)
{
	return bpf_map_lookup_elem(&memo, &index);
}

static __always_inline const struct dhat_mapping *unwind_mapping(__u32 index)
{
	return bpf_map_lookup_elem(&mappings, &index);
}

static __always_inline unwind_table_t *unwind_table(__u32 slot)
{
	return bpf_map_lookup_elem(&tables, &slot);
}

static __always_inline __u64 *unwind_word(unwind_table_t *table, __u32 index)
{
	return bpf_map_lookup_elem(table, &index);
}

/* Which mapping was told last in which epoch, by a hash of its place. */
#define TOLD_SIZE 256
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TOLD_SIZE);
	__type(key, __u32);
	__type(value, __u64);
} told_mappings SEC(".maps");

/* Is what the daemon knows of the mapping at pc still so? While it is behind, it is told of each
 * mapping that a stack needs, once an epoch and ahead of that stack: a frame belongs to the mapping
 * of its time, and which of its looks at /proc/PID/maps was in force here the daemon cannot know.
 */
#define VMA_TRIES 8
#define NO_ENTRY (-2) /* -ENOENT: nothing is mapped there */
struct vma_look {
	__u64 inode, bias;
	__u32 epoch;
	int is_same;
};

static __always_inline void tell_mapping(struct vm_area_struct *vma, __u64 inode, __u32 dev,
					 __u32 epoch)
{
	__u64 start = vma->vm_start;
	__u64 tag = (start ^ inode * 0x9e3779b97f4a7c15ULL) + ((__u64)epoch << 48) + epoch;
	__u32 at = (start >> 12 ^ start >> 20) & (TOLD_SIZE - 1);
	volatile __u64 *told = bpf_map_lookup_elem(&told_mappings, &at);

	if (told && *told != tag && send_map(vma, inode, dev) == 0)
		*told = tag;
}

static long look_at_vma(struct task_struct *task, struct vm_area_struct *vma, void *ctx)
{
	struct vma_look *look = ctx;
	struct file *file = vma->vm_file;
	struct inode *inode;
	__u64 number;

	if (!file || !(vma->vm_flags & VM_EXEC)) {
		look->is_same = look->inode == 0;
		return 0;
	}
	inode = file->f_inode;
	number = inode->i_ino;
	look->is_same = number == look->inode &&
			vma->vm_start - (vma->vm_pgoff * DHAT_PAGE_BYTES) == look->bias;
	tell_mapping(vma, number, inode->i_sb->s_dev, look->epoch);
	return 0;
}

static __always_inline int unwind_is_current(__u64 pc, __u64 inode, __u64 bias)
{
	struct vma_look look = { .inode = inode, .bias = bias, .epoch = unwind_control.epoch };
	long error = -1;

	/* refused while another thread changes the mappings: mostly a matter of a microsecond */
	for (int i = 0; i < VMA_TRIES && error && error != NO_ENTRY; i++)
		error = bpf_find_vma(bpf_get_current_task_btf(), pc, look_at_vma, &look, 0);
	return error == 0 && look.is_same;
}

struct code_look {
	int is_code;
};

static long look_for_code(struct task_struct *task, struct vm_area_struct *vma, void *ctx)
{
	struct code_look *look = ctx;

	look->is_code = (vma->vm_flags & VM_EXEC) != 0;
	return 0;
}

static __always_inline int unwind_is_code(__u64 pc)
{
	struct code_look look = {};
	long error = bpf_find_vma(bpf_get_current_task_btf(), pc, look_for_code, &look, 0);

	if (error == NO_ENTRY) /* else somebody else is changing the mappings */
		return 0;
	return error ? -1 : look.is_code;
}

/* The kernel's list of this task's pending return probes: kernel/events/uprobes.c, which also
 * bounds it (MAX_URETPROBE_DEPTH). The list is the task's own and stands still while it is in here.
 */
#define PENDING_MAX 64
UNWIND_NOINLINE __u64 find_pending_return(__u64 slot_addr)
{
	struct uprobe_task *utask = bpf_get_current_task_btf()->utask;
	struct return_instance *at = utask ? utask->return_instances : NULL;

	for (int i = 0; i < PENDING_MAX && at; i++) {
		if (BPF_CORE_READ(at, stack) == slot_addr)
			return BPF_CORE_READ(at, orig_ret_vaddr);
		at = BPF_CORE_READ(at, next);
	}
	return 0;
}

static __always_inline __u64 unwind_hidden_return(__u64 slot_addr)
{
	return find_pending_return(slot_addr);
}

#include "unwind.h" /* the walk itself, over the above */
