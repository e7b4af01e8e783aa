#pragma once
/* sampled: the blocks that were drawn for the sample, and live. Part of dhat.bpf.c, by records.h.
 *
 * L1: a block is in the set before anybody can be handed it, and until its free has been told: what
 *     is freed and is not in it needs no telling.
 * L2: keeps P3. Whoever is handed an address that is still in the set, sampled or not, ends the
 *     block that was there: its free was missed. So what could not be told stays in the set. The
 *     look-up takes 20 to 50 ns of the 1,500 of a pair (10 frames, 6.18).
 * L3: between a realloc's two halves its old block is not in the set: another thread may be handed
 *     the address meanwhile.
 * Mappings (DHAT_DOMAIN_ANON) are all recorded: they are few and large, and may be cut, and a part
 * of one would be drawn by another probability than the whole.
 */

/* The daemon sets how many there may be; without sampling one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64); /* block_name() */
	__type(value, __u64);
} sampled SEC(".maps");

static __always_inline int is_sampling(void)
{
	return cfg_sample.inverse != 0;
}

static __always_inline int is_in_sample(__u64 addr, __u8 domain)
{
	__u64 name = block_name(addr, domain);

	return bpf_map_lookup_elem(&sampled, &name) != NULL;
}

static __always_inline void leave_sample(__u64 addr, __u8 domain)
{
	__u64 name = block_name(addr, domain);

	if (is_sampling())
		bpf_map_delete_elem(&sampled, &name);
}

/* flags: BPF_ANY, or BPF_NOEXIST: whoever is there stays. 0, or there is no room, which is counted.
 */
static __always_inline int enter_sample(__u64 addr, __u8 domain, __u64 flags)
{
	__u64 name = block_name(addr, domain), nothing = 0;
	long error = bpf_map_update_elem(&sampled, &name, &nothing, flags);

	if (error == 0 || error == -17) /* EEXIST */
		return 0;
	count(DHAT_CTR_SAMPLE_FULL);
	return -1;
}

/* Keeps L2. */
static __always_inline void send_replaced(__u64 addr, __u8 domain)
{
	struct dhat_record_free *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count(DHAT_CTR_DROP_FREE);
		return;
	}
	leave_sample(addr, domain);
	fill_head(&record->head, DHAT_RECORD_REPLACED, domain, sizeof(*record));
	record->time_ns = bpf_ktime_get_ns();
	record->addr = addr;
	record->chunk = 0;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* A block is about to be handed out. 1: it is to be recorded. */
static __always_inline int draw_block(__u64 addr, __u64 size_bytes, __u8 domain)
{
	const struct dhat_sample sample = { cfg_sample.inverse, cfg_sample.always_from };

	if (!is_sampling() || domain == DHAT_DOMAIN_ANON)
		return 1;
	if (dhat_sample_takes(&sample, size_bytes, bpf_get_prandom_u32()))
		return enter_sample(addr, domain, BPF_ANY) == 0;
	if (is_in_sample(addr, domain))
		send_replaced(addr, domain);
	count(DHAT_CTR_UNSAMPLED_ALLOCS);
	return 0;
}

/* A block is about to be given back. 1: that is to be told. */
static __always_inline int is_to_be_told(__u64 addr, __u8 domain)
{
	return !is_sampling() || domain == DHAT_DOMAIN_ANON || is_in_sample(addr, domain) ||
	       tells_all_frees;
}
