#pragma once
/* records: what is told of an allocator's calls. Part of dhat.bpf.c. */
#include "state.h"

struct call {	  /* an allocator call on its way, of one thread */
	__u64 sp; /* at its entry: names the call */
	__u64 size_bytes;
	__u64 old_addr; /* realloc */
	__u64 begun_ns; /* of those that give mappings back */
	union {
		__u64 old_bytes; /* mremap, munmap */
		__u64 result_at; /* posix_memalign and its like: where the result will be stored */
	};
	__u64 return_pc; /* of a call that is seen by exit probes: is it still on its way? */
	__u8 is_active;
	__u8 role;
	__u8 domain;
	__u8 is_by_exit;
	__u8 is_by_result : 1;
	__u8 has_header : 1; /* see struct dhat_cookie */
	__u8 is_told : 1;    /* what becomes of a realloc's old block is told: sampled.h */
	__u8 is_drawn : 1;   /* see struct dhat_record */
	__u16 site;	     /* the function */
	__u16 entrants;	     /* where it is counted while it is active */
};

static __always_inline __u64 wake_flags(__u64 used)
{
	return used > cfg_wake_mark ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline __u64 block_name(__u64 addr, __u8 domain)
{
	return addr | (__u64)domain << DHAT_USER_BITS;
}

#include "sampled.h"

/* Blocks that were told of, and nothing since: one for each of the last, by a hash of its address.
 * Of their frees the daemon needs to know nothing more, and a look at a block's header costs 140
 * ns. */
#define RECENT_BLOCKS 16384

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RECENT_BLOCKS);
	__type(key, __u32);
	__type(value, __u64);
} recent SEC(".maps");

static __always_inline volatile __u64 *recent_place(__u64 name)
{
	__u32 key = (name * 0x9e3779b97f4a7c15ULL >> 40) & (RECENT_BLOCKS - 1);

	return bpf_map_lookup_elem(&recent, &key);
}

/* Where no header is looked at, nobody would forget it again. */
static __always_inline void remember_block(__u64 addr, const struct call *call)
{
	__u64 name = block_name(addr, call->domain);
	volatile __u64 *place;

	if (!call->has_header || is_sampling())
		return;
	place = recent_place(name);
	if (place)
		*place = name;
}

/* 1: it was one, and is none from now on. That another block's may be lost here does no harm. */
static __always_inline int forget_block(__u64 addr, __u8 domain)
{
	__u64 name = block_name(addr, domain);
	volatile __u64 *place = recent_place(name);

	if (!place || *place != name)
		return 0;
	*place = 0;
	return 1;
}

static __always_inline void send_alloc(const struct call *call, __u64 addr, __u64 stack_id,
				       __u64 time_ns, __u64 flags)
{
	struct dhat_record_alloc *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count(DHAT_CTR_DROP_ALLOC);
		return;
	}
	fill_head(&record->head, DHAT_RECORD_ALLOC, call->domain, sizeof(*record));
	record->head.is_drawn = call->is_drawn;
	record->time_ns = time_ns;
	record->addr = addr;
	record->size_bytes = call->size_bytes;
	record->stack_id = stack_id;
	bpf_ringbuf_submit(record, flags);
	remember_block(addr, call);
	count(DHAT_CTR_ALLOCS);
}

/* Frees wake the daemon as well, but asking costs: one in so many asks, by its address. */
#define FREES_TO_ASK 16
static __always_inline __u64 free_flags(__u64 addr)
{
	if (addr * 0x9e3779b97f4a7c15ULL >> 32 & (FREES_TO_ASK - 1)) /* 2^64 / golden ratio */
		return BPF_RB_NO_WAKEUP;
	return wake_flags(bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA));
}

static __always_inline __u64 whole_pages(__u64 bytes)
{
	return (bytes + DHAT_PAGE_BYTES - 1) & ~(DHAT_PAGE_BYTES - 1ULL);
}

/* A range of anonymous memory was given back, and the call for that began at begun_ns: who had it
 * before has lost it. Another thread may have been given it, and have told, before this is told. */
static __always_inline void send_unmap(__u64 addr, __u64 size_bytes, __u64 begun_ns, __u64 flags)
{
	struct dhat_record_free *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count(DHAT_CTR_DROP_FREE);
		return;
	}
	fill_head(&record->head, DHAT_RECORD_FREE, DHAT_DOMAIN_ANON, sizeof(*record));
	record->time_ns = begun_ns;
	record->addr = addr;
	record->chunk = whole_pages(size_bytes);
	bpf_ringbuf_submit(record, flags);
	count(DHAT_CTR_FREES);
}

/* The header of a block; 0: it has none, or the block is known. One read: three words cost what one
 * does, and glibc has no smaller block. */
static __always_inline __u64 read_chunk(__u64 addr, union dhat_cookie_word cookie)
{
	__u64 words[3];

	if (is_sampling() || !cookie.parts.has_header || forget_block(addr, cookie.parts.domain) ||
	    bpf_probe_read_user(words, sizeof(words), (void *)(addr - 8)))
		return 0;
	return dhat_chunk(addr, words[0], words[1], words[2]);
}

static __always_inline void send_free(__u64 addr, union dhat_cookie_word cookie, __u64 flags)
{
	__u64 chunk = read_chunk(addr, cookie);
	struct dhat_record_free *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) { /* one that is sampled stays so: whoever is handed the address closes it */
		count(DHAT_CTR_DROP_FREE);
		return;
	}
	leave_sample(addr, cookie.parts.domain);
	fill_head(&record->head, DHAT_RECORD_FREE, cookie.parts.domain, sizeof(*record));
	record->time_ns = bpf_ktime_get_ns();
	record->addr = addr;
	record->chunk = chunk;
	bpf_ringbuf_submit(record, flags);
	count(DHAT_CTR_FREES);
}

static __always_inline void send_realloc_begin(__u64 addr, union dhat_cookie_word cookie)
{
	__u64 chunk = read_chunk(addr, cookie);
	struct dhat_record_realloc_begin *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	leave_sample(addr, cookie.parts.domain);
	if (!record) {
		count(DHAT_CTR_DROP_REALLOC);
		return;
	}
	fill_head(&record->head, DHAT_RECORD_REALLOC_BEGIN, cookie.parts.domain, sizeof(*record));
	record->time_ns = bpf_ktime_get_ns();
	record->old_addr = addr;
	record->chunk = chunk;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* 0: it went out. */
static __always_inline int send_realloc_end(const struct call *call, __u64 addr, __u64 stack_id,
					    __u64 time_ns, __u32 result, __u64 flags)
{
	struct dhat_record_realloc_end *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count(DHAT_CTR_DROP_REALLOC);
		return -1;
	}
	fill_head(&record->head, DHAT_RECORD_REALLOC_END, call->domain, sizeof(*record));
	record->head.is_drawn = addr && call->is_drawn;
	record->time_ns = time_ns;
	record->old_addr = call->old_addr;
	record->new_addr = addr;
	record->size_bytes = call->size_bytes;
	record->stack_id = stack_id;
	record->result = result;
	record->site = call->site;
	bpf_ringbuf_submit(record, flags);
	if (addr)
		remember_block(addr, call);
	count(DHAT_CTR_REALLOCS);
	return 0;
}
