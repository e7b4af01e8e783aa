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

static __always_inline void fill_stack(struct dhat_record_stack *record, __u64 id, __u32 epoch,
				       __u32 frames, __u32 stop, __u8 flags)
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
}

#define STACK_MAX (sizeof(struct dhat_record_stack) + 8 * (DHAT_MAX_FRAMES + 1))

/* Tell the daemon what a stack id means. In a buffer of few sizes: a reservation's size must be
 * a constant. 0 if it went out. */
#define SEND_STACK(words)                                                                          \
	({                                                                                         \
		struct dhat_record_stack *record_ = bpf_ringbuf_reserve(                           \
			&ring, sizeof(struct dhat_record_stack) + 8 * (words), 0);                 \
		if (record_) {                                                                     \
			fill_stack(record_, id, epoch, frames, s->stop, s->flags);                 \
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

/* The id of the stack above the call that returns to pc, with the caller's sp and fp. Releases s,
 * which may be NULL. */
static __always_inline __u64 take_stack(struct unwind_scratch *s, void *regs, __u64 pc, __u64 sp,
					__u64 fp, __u8 flags)
{
	__u32 epoch = unwind_control.epoch, stop = UNWIND_MORE;
	__u64 id;

	if (!s)
		return 0;
	s->epoch = epoch; /* read once: the id is of it, too */
	s->frame_count = 0;
	s->flags = flags;
	s->is_exact_pc = 0;
	s->is_fp_lost = 0;
	s->guess = 0;
	s->pc = pc;
	s->sp = sp;
	s->fp = fp;
	unwind_push(s, pc);
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
	if (!bpf_map_lookup_elem(&stacks, &id) && send_stack(s, id) == 0 &&
	    bpf_map_update_elem(&stacks, &id, &epoch, BPF_ANY))
		count(DHAT_CTR_STACKS_FULL);
	release_scratch(s);
	return id;
}
