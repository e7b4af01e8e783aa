#pragma once
/* stacks: the stack of an allocation: taken, numbered, and told once. Part of dhat.bpf.c. */
#include "unwind_maps.h"

/* Stacks that were sent, and the epoch of each: the daemon removes those of old ones. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} stacks SEC(".maps");

static __always_inline struct unwind_scratch *claim_scratch(void)
{
	__u32 first = bpf_get_smp_processor_id() * 4;

	for (__u32 i = 0; i < 4; i++) {
		__u32 key = (first + i) % cfg_scratch_count;
		struct unwind_scratch *s = bpf_map_lookup_elem(&scratch, &key);

		if (s && __sync_val_compare_and_swap(&s->busy, 0, 1) == 0)
			return s;
	}
	return NULL;
}

static __always_inline void release_scratch(struct unwind_scratch *s)
{
	*(volatile __u64 *)&s->busy = 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNWIND_TRAILS);
	__type(key, __u32);
	__type(value, struct unwind_trail);
} trails SEC(".maps");

/* That of stacks which begin so, for the caller alone; NULL: another program has it just now. */
static __always_inline struct unwind_trail *claim_trail(__u64 pc, __u64 sp)
{
	__u32 key = (unwind_mix(pc, sp) >> 20) & (UNWIND_TRAILS - 1);
	struct unwind_trail *trail = bpf_map_lookup_elem(&trails, &key);

	return trail && __sync_val_compare_and_swap(&trail->busy, 0, 1) == 0 ? trail : NULL;
}

static __always_inline void release_trail(struct unwind_trail *trail)
{
	if (trail)
		*(volatile __u64 *)&trail->busy = 0;
}

static __always_inline void keep_reads(struct unwind_trail *trail, const struct unwind_scratch *s)
{
	if (s->reads.count <= UNWIND_FEW_READS)
		bpf_probe_read_kernel(&trail->reads,
				      offsetof(struct unwind_reads, words[UNWIND_FEW_READS]),
				      &s->reads);
	else
		bpf_probe_read_kernel(&trail->reads, sizeof(trail->reads), &s->reads);
}

static __always_inline void fill_stack(struct dhat_record_stack *record, __u64 id, __u32 epoch,
				       __u32 frames, __u32 stop, __u8 flags, __u32 site)
{
	record->head.type = DHAT_RECORD_STACK;
	record->head.domain = 0;
	record->head.size = sizeof(*record) + dhat_kept_frames(frames, stop) * 8;
	record->head.tid = (__u32)bpf_get_current_pid_tgid();
	record->stack_id = id;
	record->epoch = epoch;
	record->frame_count = frames;
	record->stop = stop;
	record->flags = flags;
	record->site = site;
	record->pad[0] = record->pad[1] = record->pad[2] = 0;
}

#define STACK_MAX (sizeof(struct dhat_record_stack) + 8 * (DHAT_MAX_FRAMES + 1))

/* Tell the daemon what a stack id means. In a buffer of few sizes: a reservation's size must be
 * a constant. 0 if it went out. */
#define SEND_STACK(words)                                                                          \
	({                                                                                         \
		struct dhat_record_stack *record_ = bpf_ringbuf_reserve(                           \
			&ring, sizeof(struct dhat_record_stack) + 8 * (words), 0);                 \
		if (record_) {                                                                     \
			fill_stack(record_, id, epoch, frames, s->stop, s->flags, s->site);        \
			bpf_probe_read_kernel(record_->frames, 8 * (words), s->frames);            \
			bpf_ringbuf_submit(record_, BPF_RB_NO_WAKEUP);                             \
		}                                                                                  \
		record_ ? 0 : -1;                                                                  \
	})

UNWIND_NOINLINE int send_stack(struct unwind_scratch *s, __u64 id)
{
	__u32 frames, kept, epoch;
	int error;

	if (!s)
		return -1;
	epoch = s->epoch;
	frames = s->frame_count;
	kept = dhat_kept_frames(frames, s->stop);
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > cfg_stack_mark)
		error = -1;
	else if (kept <= 16)
		error = SEND_STACK(16);
	else if (kept <= 48)
		error = SEND_STACK(48);
	else
		error = SEND_STACK(128);
	count(error ? DHAT_CTR_DROP_STACK : DHAT_CTR_STACKS);
	return error;
}

/* The kernel's own walk by frame pointers, for comparison. */
static __always_inline __u32 walk_by_kernel(struct unwind_scratch *s, void *regs)
{
	long bytes = bpf_get_stack(regs, s->frames, 8 * DHAT_MAX_FRAMES, BPF_F_USER_STACK);

	if (bytes < 8)
		return DHAT_STOP_BAD_MEMORY;
	s->frame_count = (__u64)bytes / 8;
	return DHAT_STOP_COMPLETE;
}

/* A part of a walk, verified on its own: a loop of all its steps is too much for verifiers. */
#define WALK_PART 128
UNWIND_NOINLINE __u32 walk_part(struct unwind_scratch *s)
{
	__u32 stop = UNWIND_MORE;

	for (int i = 0; i < WALK_PART && stop == UNWIND_MORE; i++)
		stop = unwind_step(s);
	return stop;
}

static __always_inline __u32 walk_by_tables(struct unwind_scratch *s)
{
	__u32 stop = UNWIND_MORE;

	/* a step pushes one frame, or mends the last one once */
	for (int i = 0; i < 2 * DHAT_MAX_DEPTH / WALK_PART && stop == UNWIND_MORE; i++)
		stop = walk_part(s);
	return stop;
}

/* Scratch memory for a stack, of which nothing was read yet; NULL: none is free, which is counted.
 */
static __always_inline struct unwind_scratch *begin_stack(void)
{
	struct unwind_scratch *s = claim_scratch();

	if (s)
		s->window_size = 0;
	else
		count(DHAT_CTR_STOP_FIRST + DHAT_STOP_NO_SCRATCH);
	return s;
}

/* The stack that begins at s->pc, s->sp and s->fp, by a walk. Its id; 0 in *ret_is_known: the
 * daemon may not know it. */
static __always_inline __u64 walk_stack(struct unwind_scratch *s, void *regs, __u32 epoch,
					int *ret_is_known)
{
	__u32 stop = UNWIND_MORE;
	__u64 id;

	unwind_push(s, s->pc);
	if (cfg_stacks == DHAT_STACKS_TABLES)
		stop = walk_by_tables(s);
	else if (cfg_stacks == DHAT_STACKS_KERNEL)
		stop = walk_by_kernel(s, regs);
	/* clang 21 and later see that unwind_step() returns nothing else and would drop the check,
	   which verifiers want: to them a global function returns any number */
	barrier_var(stop);
	if (stop >= DHAT_STOP_COUNT)
		stop = DHAT_STOP_TOO_DEEP;
	s->stop = stop;
	count(DHAT_CTR_STOP_FIRST + stop);
	if (s->flags & DHAT_STACK_USED_FP)
		count(DHAT_CTR_USED_FP);
	if (s->frame_count > DHAT_MAX_FRAMES)
		count(DHAT_CTR_SHORTENED);
	id = unwind_mix(unwind_mix(unwind_hash(s), stop | ((__u64)s->flags << 8)), epoch);
	if (id == 0)
		id = 1;
	*ret_is_known = 1;
	if (!bpf_map_lookup_elem(&stacks, &id)) {
		*ret_is_known = 0;
		if (send_stack(s, id) == 0 && bpf_map_update_elem(&stacks, &id, &epoch, BPF_ANY))
			count(DHAT_CTR_STACKS_FULL);
	}
	return id;
}

/* The id of the stack above the call that returns to pc, with the caller's sp and fp; site: of the
 * call. Releases s, which may be NULL. */
static __always_inline __u64 take_stack(struct unwind_scratch *s, void *regs, __u64 pc, __u64 sp,
					__u64 fp, __u8 flags, __u16 site)
{
	__u32 epoch = unwind_control.epoch, active;
	struct unwind_trail *trail;
	__u64 id, window_base;
	int is_known;

	if (!s)
		return 0;
	active = *(volatile __u32 *)&unwind_control.active;
	window_base = s->window_size ? s->window_base : 0;
	trail = claim_trail(pc, sp);
	if (trail && trail->stack_id && trail->pc == pc && trail->sp == sp && trail->fp == fp &&
	    trail->window_base == window_base && trail->active == active && trail->epoch == epoch &&
	    trail->flags == flags && unwind_reads_same(s, &trail->reads)) {
		id = trail->stack_id;
		count(DHAT_CTR_STOP_FIRST + DHAT_STOP_COMPLETE);
		release_trail(trail);
		release_scratch(s);
		return id;
	}
	s->reads.count = 0;
	s->epoch = epoch; /* read once: the id is of it, too */
	s->site = site;
	s->frame_count = 0;
	s->flags = flags;
	s->is_exact_pc = 0;
	s->is_fp_lost = 0;
	s->guess = 0;
	s->pc = pc;
	s->sp = sp;
	s->fp = fp;
	id = walk_stack(s, regs, epoch, &is_known);
	if (trail) {
		trail->stack_id = 0;
		if (is_known && cfg_stacks == DHAT_STACKS_TABLES && s->stop == DHAT_STOP_COMPLETE &&
		    s->flags == flags && s->frame_count <= DHAT_MAX_FRAMES &&
		    s->reads.count <= UNWIND_READS &&
		    *(volatile __u32 *)&unwind_control.active == active) {
			trail->pc = pc;
			trail->sp = sp;
			trail->fp = fp;
			trail->window_base = window_base;
			trail->active = active;
			trail->epoch = epoch;
			trail->flags = flags;
			keep_reads(trail, s);
			trail->stack_id = id;
		}
		release_trail(trail);
	}
	release_scratch(s);
	return id;
}
