#pragma once
/* places: probes at which we execute the instruction ourselves, where the kernel lets us: it then
 * neither emulates nor single-steps it. Part of dhat.bpf.c.
 */
#include "unwind_maps.h"

/* to: a word. That the size has a bound is lost to 7.3's verifier where it was shifted. */
static __always_inline long read_up_to_word(void *to, __u64 bytes, __u64 from)
{
	barrier_var(bytes);
	return bytes > sizeof(__u64) ? -1 : bpf_probe_read_user(to, bytes, (const void *)from);
}

#define EMULATE_READ(to, bytes, from) read_up_to_word(to, bytes, from)
#define EMULATE_MAY_RETURN() (!thread_has_shadow_stack(bpf_get_current_task_btf()))
#include "machine_emulate.h"

/* A constant for the verifier: where it is 0, which is wherever programs may not write registers,
 * all of this is taken out of them. */
const volatile __u8 cfg_writes_registers = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* the daemon sets DHAT_MAX_PLACES, where there are any */
	__type(key, __u32);
	__type(value, struct dhat_place);
} places SEC(".maps");

/* The place that a probe's cookie stands for; NULL: it is one itself. */
static __always_inline struct dhat_place *find_place(union dhat_cookie_word cookie)
{
	__u32 number = cookie.word >> 32;

	if (!cfg_writes_registers || cookie.parts.role != DHAT_ROLE_PLACE)
		return NULL;
	return bpf_map_lookup_elem(&places, &number);
}

static __always_inline union dhat_cookie_word find_cookie(struct pt_regs *regs)
{
	union dhat_cookie_word cookie = { .word = bpf_get_attach_cookie(regs) };
	struct dhat_place *place = find_place(cookie);

	if (place)
		cookie.word = place->cookie;
	return cookie;
}

/* Is the place at pc? … */
struct place_look {
	__u64 pc, inode, file_offset;
	int is_there;
};

static long look_at_place(struct task_struct *task, struct vm_area_struct *vma, void *ctx)
{
	struct place_look *look = ctx;
	struct file *file = vma->vm_file;

	if (file)
		look->is_there = file->f_inode->i_ino == look->inode &&
				 vma->vm_pgoff * DHAT_PAGE_BYTES + (look->pc - vma->vm_start) ==
					 look->file_offset;
	return 0;
}

/* … by what the daemon knows of the process's mappings, if that is of now; no lock is asked for. */
static __always_inline int is_where_mapped(const struct dhat_place *place, __u64 pc)
{
	const volatile struct unwind_control *control = &unwind_control;
	__u32 active = control->active, bank = active & 1, at;
	const struct dhat_mapping *mapping;
	int is_there;

	if (control->bank_epoch[bank] != control->epoch)
		return 0;
	at = unwind_find_mapping(pc, bank, control->count[bank], 0);
	mapping = unwind_mapping(bank * DHAT_MAX_MAPPINGS + at);
	is_there = mapping && at < control->count[bank] && pc >= mapping->start &&
		   pc < mapping->end && mapping->inode == place->inode &&
		   mapping->file_offset + (pc - mapping->start) == place->file_offset;
	DHAT_LOAD_FENCE();
	return is_there &&
	       control->active == active; /* else it may have been rewritten meanwhile */
}

/* … by the process itself. */
static __always_inline int is_where_process_has_it(const struct dhat_place *place, __u64 pc)
{
	struct place_look look = { .pc = pc,
				   .inode = place->inode,
				   .file_offset = place->file_offset };
	long error = -1;

	/* refused while another thread changes the mappings */
	for (int i = 0; i < VMA_TRIES && error && error != NO_ENTRY; i++)
		error = bpf_find_vma(bpf_get_current_task_btf(), pc, look_at_place, &look, 0);
	return error == 0 && look.is_there;
}

/* Does the thread stand at the place still? All programs of a probe run before the kernel looks
 * where the thread is: another one, of another dhatd, may have executed the instruction already,
 * and a ret may have led anywhere. Looked up once in each epoch: U1 of unwind_types.h. */
static __always_inline int is_at(struct dhat_place *place, __u64 pc)
{
	__u64 tag = pc << 16 | (unwind_control.epoch & 0xffff);

	if (*(volatile __u64 *)&place->known == tag)
		return 1;
	if (!is_where_mapped(place, pc) && !is_where_process_has_it(place, pc))
		return 0;
	*(volatile __u64 *)&place->known = tag;
	return 1;
}

/* Not with what is known of the place already: 6.1 has 512 bytes for the variables of all functions
 * that are called at a time, and no more than some are left. */
static __noinline int execute_at_place(struct pt_regs *regs)
{
	struct dhat_place *place =
		find_place((union dhat_cookie_word){ .word = bpf_get_attach_cookie(regs) });
	__u64 pc = regs_pc(regs);

	barrier_var(pc); /* see regs_numbered() */
	return place && is_target() && is_at(place, pc) && emulate(regs, &place->instruction);
}

/* The last thing at a probe. Where it is not done, the kernel does it. */
static __always_inline void execute(struct pt_regs *regs)
{
	if (cfg_writes_registers)
		execute_at_place(regs);
}
