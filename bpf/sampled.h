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
 * L4: a sample may begin when all blocks have been recorded until then (daemon/target/sampling.c).
 *     Those that live are too many for the set: each has its bit (dhat_block_bit()), and what has
 *     one counts as being in the set. That it may be another's bit costs a record of which the
 *     daemon knows nothing. A realloc that fails puts its old block into the set itself, however
 *     it was known.
 * Mappings (DHAT_DOMAIN_ANON) are all recorded: they are few and large, and may be cut, and a part
 * of one would be drawn by another probability than the whole.
 */

/* Both are made, and of any size, when a sample begins; until then there are none. */
struct sampled_set {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64); /* block_name() */
	__type(value, __u64);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct sampled_set);
} sampled SEC(".maps");

struct recorded_bits {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct recorded_bits);
} recorded SEC(".maps");

/* Written by the daemon before `recorded` is there. */
volatile __u32 recorded_shift = 0;

static __always_inline int is_sampling(void)
{
	return sample.inverse != 0;
}

/* L4 */
static __always_inline int was_recorded(__u64 name)
{
	void *bits;
	__u64 *word;
	__u32 zero = 0, bit, number;

	bits = bpf_map_lookup_elem(&recorded, &zero);
	if (!bits)
		return 0;
	bit = dhat_block_bit(name, recorded_shift & 63);
	number = bit >> 6;
	word = bpf_map_lookup_elem(bits, &number);
	return word && *word >> (bit & 63) & 1;
}

static __always_inline int is_in_sample(__u64 addr, __u8 domain)
{
	__u64 name = block_name(addr, domain);
	__u32 zero = 0;
	void *set = bpf_map_lookup_elem(&sampled, &zero);

	return (set && bpf_map_lookup_elem(set, &name)) || was_recorded(name);
}

static __always_inline void leave_sample(__u64 addr, __u8 domain)
{
	__u64 name = block_name(addr, domain);
	__u32 zero = 0;
	void *set;

	if (!is_sampling())
		return;
	set = bpf_map_lookup_elem(&sampled, &zero);
	if (set)
		bpf_map_delete_elem(set, &name);
}

/* flags: BPF_ANY, or BPF_NOEXIST: whoever is there stays. 0, or there is no room, which is counted.
 */
static __always_inline int enter_sample(__u64 addr, __u8 domain, __u64 flags)
{
	__u64 name = block_name(addr, domain), nothing = 0;
	__u32 zero = 0;
	void *set = bpf_map_lookup_elem(&sampled, &zero);
	long error = set ? bpf_map_update_elem(set, &name, &nothing, flags) : -1;

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

/* A block is about to be handed out. What is decided here is told with it: a sample may begin at
 * any moment, and then each block is counted by the rule that it was decided by. */
enum { DRAW_NOT, DRAW_ALL, DRAW_DRAWN };

static __always_inline int draw_block(__u64 addr, __u64 size_bytes, __u8 domain)
{
	struct dhat_sample law;

	law.inverse = sample.inverse;
	law.always_from = sample.always_from;
	if (!law.inverse || domain == DHAT_DOMAIN_ANON)
		return DRAW_ALL;
	if (dhat_sample_takes(&law, size_bytes, bpf_get_prandom_u32()))
		return enter_sample(addr, domain, BPF_ANY) ? DRAW_NOT : DRAW_DRAWN;
	if (is_in_sample(addr, domain))
		send_replaced(addr, domain);
	count(DHAT_CTR_UNSAMPLED_ALLOCS);
	return DRAW_NOT;
}

/* A block is about to be given back. 1: that is to be told. tells_all_frees is set before a sample
 * begins. */
static __always_inline int is_to_be_told(__u64 addr, __u8 domain)
{
	return !is_sampling() || domain == DHAT_DOMAIN_ANON || tells_all_frees ||
	       is_in_sample(addr, domain);
}
