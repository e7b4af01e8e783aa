#pragma once
/* state: what the programs of one target share: settings, counters, the ring. Part of dhat.bpf.c.
 */
#include "kernel.h"

#include "dhat_abi.h"
#include "dhat_sample.h"
#include "unwind_types.h"

const volatile __u32 cfg_tgid = 0;	/* the target, in the initial pid namespace */
const volatile __u32 cfg_namespace = 0; /* the inode of dhatd's pid namespace */
const volatile __u32 cfg_scratch_count = 8;
/* How many bytes may lie in the ring before new stacks, and then allocations, give way; and from
 * where on the daemon is woken: daemon/kernel/tracer.c. */
const volatile __u64 cfg_stack_mark = 0, cfg_alloc_mark = 0, cfg_wake_mark = 0;

const volatile __u8 cfg_stacks = DHAT_STACKS_TABLES;

/* Written by the daemon while probes run. */
/* --sample; all 0: every block is recorded. It may begin while calls are under way, and never ends:
 * always_from is written first. */
volatile struct dhat_sample sample = {};
volatile __u8 is_closed = 1; /* count nothing: not all probes are in place, or the end */
volatile __u8 closes_on_exec = 1;
/* sampled, while blocks from before are listed, or are made known here: of which addresses
 * something was heard since is to be known, be they in the sample or not */
volatile __u8 tells_all_frees = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[DHAT_CTR_COUNT]);
} counters SEC(".maps");

/* Written by the daemon, but for `epoch` and `exec_pages`. */
struct unwind_control unwind_control = {};

static __always_inline void count(__u32 counter)
{
	__u32 zero = 0;
	__u64 *all = bpf_map_lookup_elem(&counters, &zero);

	if (all && counter < DHAT_CTR_COUNT)
		__sync_fetch_and_add(&all[counter],
				     1); /* preemptible: a plain add could lose one */
}

static __always_inline int is_target(void)
{
	return bpf_get_current_pid_tgid() >> 32 == cfg_tgid;
}

static __always_inline void fill_head(struct dhat_record *head, __u8 type, __u8 domain, __u16 size)
{
	head->type = type;
	head->domain = domain;
	head->is_drawn = 0;
	head->size = size;
	head->tid = (__u32)bpf_get_current_pid_tgid();
}
