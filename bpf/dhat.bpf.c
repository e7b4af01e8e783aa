/* dhat.bpf: the kernel side of one target.
 *
 * A call of an allocator function is seen at its entry and at its return. Only the outermost call
 * of a thread counts. Frees are sent at entry (another thread may be given the block before free
 * returns), allocations at return, realloc at both. The stack is taken at the return, where the
 * callee-saved registers are the caller's again, and starts with the caller.
 *
 * Programs run preemptible: nothing per-CPU is ours, so the state is per task and the scratch
 * memory is claimed.
 */
#include "kernel.h"

#include "dhat_abi.h"

char LICENSE[] SEC("license") = "GPL";

/* ---- settings and shared state ---------------------------------------------------------------- */

const volatile __u32 cfg_tgid = 0;	/* the target, in the initial pid namespace */
const volatile __u32 cfg_namespace = 0; /* the inode of dhatd's pid namespace */
const volatile __u32 cfg_scratch_count = 8;
/* How many bytes may lie in the ring before new stacks, and then allocations, give way; and from
 * where on the daemon is woken: daemon/kernel/tracer.c. */
const volatile __u64 cfg_stack_mark = 0, cfg_alloc_mark = 0, cfg_wake_mark = 0;

const volatile __u8 cfg_stacks = DHAT_STACKS_TABLES;

/* Written by the daemon while probes run. */
volatile __u8 is_closed = 1;	    /* count nothing: not all probes are in place, or the end */
volatile __u8 closes_on_exec = 1;
volatile __u8 stops_on_change = 0;  /* `dhatd run`: stop the target when it has mapped code */

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

/* Stacks that were sent, and the epoch of each: the daemon removes those of old ones. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} stacks SEC(".maps");

struct call { /* an allocator call on its way, of one thread */
	__u64 sp;	  /* at its entry: names the call */
	__u64 size_bytes;
	__u64 old_addr;	  /* realloc */
	union {
		__u64 old_bytes; /* mremap */
		__u64 result_at; /* posix_memalign and its like: where the result will be stored */
	};
	__u64 return_pc;  /* of a call that is seen by exit probes: is it still on its way? */
	__u8 is_active;
	__u8 role;
	__u8 domain;
	__u8 is_by_exit;
	__u8 pad;
	__u8 frees;	  /* since this thread asked how full the ring is */
	__u16 site;	  /* the function */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

static __always_inline void count(__u32 counter)
{
	__u32 zero = 0;
	__u64 *all = bpf_map_lookup_elem(&counters, &zero);

	if (all && counter < DHAT_CTR_COUNT)
		__sync_fetch_and_add(&all[counter], 1); /* preemptible: a plain add could lose one */
}

static __always_inline int is_target(void)
{
	return bpf_get_current_pid_tgid() >> 32 == cfg_tgid;
}

/* ---- mappings and stacks ------------------------------------------------------------------------------------ */

static __always_inline void fill_head(struct dhat_record *head, __u8 type, __u8 domain, __u16 size)
{
	head->type = type;
	head->domain = domain;
	head->size = size;
	head->tid = (__u32)bpf_get_current_pid_tgid();
}

#include "unwind_types.h"

/* Written by the daemon, but for `epoch` and `exec_pages`. */
struct unwind_control unwind_control = {};

#include "lifecycle.h"
/* uses what lifecycle.h defines */
#include "unwind_maps.h"
/* uses what unwind_maps.h defines */
#include "unwind.h"

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
	record->head.size = sizeof(*record) + frames * 8;
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
	__u32 frames, epoch;
	int error;

	if (!s)
		return -1;
	epoch = s->epoch;
	frames = s->frame_count;
	if (frames > DHAT_MAX_FRAMES)
		return -1;
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > cfg_stack_mark)
		error = -1;
	else if (frames <= 16)
		error = SEND_STACK(16);
	else if (frames <= 48)
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
	__u64 hash = 0;

	if (bytes < 8)
		return DHAT_STOP_BAD_MEMORY;
	s->frame_count = (__u64)bytes / 8;
	for (__u32 i = 0; i < DHAT_MAX_FRAMES && i < s->frame_count; i++)
		hash = unwind_mix(hash, s->frames[i]);
	s->hash = hash;
	return DHAT_STOP_COMPLETE;
}

static __always_inline __u32 walk_by_tables(struct unwind_scratch *s)
{
	__u32 stop = UNWIND_MORE;

	/* a step pushes one frame, or mends the last one once */
	for (int i = 0; i < 2 * DHAT_MAX_FRAMES; i++) {
		stop = unwind_step(s);
		if (stop != UNWIND_MORE)
			break;
	}
	return stop;
}

/* The id of the stack above the call that has just returned to pc, with the caller's sp and bp. */
static __always_inline __u64 take_stack(void *regs, __u64 pc, __u64 sp, __u64 bp, __u8 flags)
{
	struct unwind_scratch *s = claim_scratch();
	__u64 id;
	__u32 epoch = unwind_control.epoch, stop = UNWIND_MORE;

	if (!s) {
		count(DHAT_CTR_STOP_FIRST + DHAT_STOP_NO_SCRATCH);
		return 0;
	}
	s->epoch = epoch; /* read once: the id is of it, too */
	s->hash = 0;
	s->frame_count = 0;
	s->flags = flags;
	s->is_exact_pc = 0;
	s->is_bp_lost = 0;
	s->pc = pc;
	s->sp = sp;
	s->bp = bp;
	s->window_size = 0;
	unwind_push(s, pc);
	if (cfg_stacks == DHAT_STACKS_TABLES)
		stop = walk_by_tables(s);
	else if (cfg_stacks == DHAT_STACKS_KERNEL)
		stop = walk_by_kernel(s, regs);
	if (stop >= DHAT_STOP_COUNT)
		stop = DHAT_STOP_TOO_DEEP;
	s->stop = stop;
	count(DHAT_CTR_STOP_FIRST + stop);
	if (s->flags & DHAT_STACK_USED_FP)
		count(DHAT_CTR_USED_FP);
	id = unwind_mix(unwind_mix(s->hash, stop | ((__u64)s->flags << 8)), epoch);
	if (id == 0)
		id = 1;
	if (!bpf_map_lookup_elem(&stacks, &id) && send_stack(s, id) == 0 &&
	    bpf_map_update_elem(&stacks, &id, &epoch, BPF_ANY))
		count(DHAT_CTR_STACKS_FULL);
	release_scratch(s);
	return id;
}

/* ---- records ----------------------------------------------------------------------------------- */

static __always_inline __u64 wake_flags(__u64 used)
{
	return used > cfg_wake_mark ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
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
	record->time_ns = time_ns;
	record->addr = addr;
	record->size_bytes = call->size_bytes;
	record->stack_id = stack_id;
	bpf_ringbuf_submit(record, flags);
	count(DHAT_CTR_ALLOCS);
}

/* Frees wake the daemon as well, but asking costs: each thread asks once in so many. */
#define FREES_TO_ASK 16
static __always_inline __u64 free_flags(struct call *call)
{
	if (++call->frees < FREES_TO_ASK)
		return BPF_RB_NO_WAKEUP;
	call->frees = 0;
	return wake_flags(bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA));
}

static __always_inline __u64 whole_pages(__u64 bytes)
{
	return (bytes + DHAT_PAGE_BYTES - 1) & ~(DHAT_PAGE_BYTES - 1ULL);
}

/* A range of anonymous memory is given back. */
static __always_inline void send_unmap(__u64 addr, __u64 size_bytes, __u64 flags)
{
	struct dhat_record_free *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count(DHAT_CTR_DROP_FREE);
		return;
	}
	fill_head(&record->head, DHAT_RECORD_FREE, DHAT_DOMAIN_ANON, sizeof(*record));
	record->time_ns = bpf_ktime_get_ns();
	record->addr = addr;
	record->chunk = whole_pages(size_bytes);
	bpf_ringbuf_submit(record, flags);
	count(DHAT_CTR_FREES);
}

/* One read: three words cost what one does, and glibc has no smaller block. */
static __always_inline __u64 read_chunk(__u64 addr, union dhat_cookie_word cookie)
{
	__u64 words[3];

	if (!cookie.parts.has_header ||
	    bpf_probe_read_user(words, sizeof(words), (void *)(addr - 8)))
		return 0;
	return dhat_chunk(addr, words[0], words[1], words[2]);
}

static __always_inline void send_free(__u64 addr, union dhat_cookie_word cookie, __u64 flags)
{
	__u64 chunk = read_chunk(addr, cookie);
	struct dhat_record_free *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count(DHAT_CTR_DROP_FREE);
		return;
	}
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

static __always_inline void send_realloc_end(const struct call *call, __u64 addr, __u64 stack_id,
					     __u64 time_ns, __u64 flags)
{
	struct dhat_record_realloc_end *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	if (!record) {
		count(DHAT_CTR_DROP_REALLOC);
		return;
	}
	fill_head(&record->head, DHAT_RECORD_REALLOC_END, call->domain, sizeof(*record));
	record->time_ns = time_ns;
	record->old_addr = call->old_addr;
	record->new_addr = addr;
	record->size_bytes = call->size_bytes;
	record->stack_id = stack_id;
	if (addr)
		record->result = DHAT_REALLOC_MOVED;
	else
		record->result = call->size_bytes && call->role != DHAT_ROLE_REALLOCF ?
					 DHAT_REALLOC_FAILED : DHAT_REALLOC_FREED;
	record->site = call->site;
	bpf_ringbuf_submit(record, flags);
	count(DHAT_CTR_REALLOCS);
}

/* ---- calls ------------------------------------------------------------------------------------- */

/* Any register by its number. The context may only be read at constant offsets; the first three
 * arguments' usual places are, the rest goes through a helper. */
static __always_inline __u64 reg(struct pt_regs *regs, __u8 number)
{
	/* offsets in struct pt_regs, in words: rax rcx rdx rbx rsp rbp rsi rdi | r8 … r15 */
	const __u64 low = 0x0e0d0413050c0b0aULL, high = 0x0001020306070809ULL;
	__u64 value;

	/* each load with its own barrier, or clang merges them into one from a computed place */
	if (number == 7) {
		value = regs->rdi;
		barrier_var(value);
	} else if (number == 6) {
		value = regs->rsi;
		barrier_var(value);
	} else if (number == 2) {
		value = regs->rdx;
		barrier_var(value);
	} else {
		__u8 shift = (number & 7) * 8;
		__u64 word = ((number < 8 ? low : high) >> shift) & 31;

		value = 0;
		bpf_probe_read_kernel(&value, sizeof(value), (void *)regs + word * 8);
	}
	return value;
}

static __always_inline int is_resizing(__u8 role)
{
	return role == DHAT_ROLE_REALLOC || role == DHAT_ROLE_REALLOCARRAY ||
	       role == DHAT_ROLE_RESIZE || role == DHAT_ROLE_REALLOCARR ||
	       role == DHAT_ROLE_REALLOCF;
}

static __always_inline int is_string(__u8 role)
{
	return role == DHAT_ROLE_STRDUP || role == DHAT_ROLE_REALPATH || role == DHAT_ROLE_DUPENV;
}

/* Is the call still to return? Return probes are on the kernel's list until then; without one (exit
 * probes) the return address stays where it was. */
static __always_inline int is_on_its_way(const struct call *call)
{
	__u64 pc = 0;

	if (!call->is_by_exit)
		return find_pending_return(call->sp) != 0;
	if (bpf_probe_read_user(&pc, sizeof(pc), (void *)call->sp))
		return 0;
	/* another tracer's return probe may have put its trampoline there meanwhile */
	return pc == call->return_pc || find_pending_return(call->sp) == call->return_pc;
}

/* Bytes of the string at addr with the 0 at its end; 0: that was not found. */
#define STRING_CHUNK (8 * UNWIND_WINDOW_WORDS)
#define STRING_CHUNKS 256 /* a MiB: no text that is copied by name is longer */

UNWIND_NOINLINE int string_bytes(__u64 addr)
{
	struct unwind_scratch *s = claim_scratch();
	__u32 bytes = 0;

	if (!s)
		return 0;
	for (int i = 0; i < STRING_CHUNKS; i++) {
		long n = bpf_probe_read_user_str(s->window, STRING_CHUNK, (void *)(addr + bytes));

		if (n < STRING_CHUNK) {
			bytes = n > 0 ? bytes + n : 0;
			break;
		}
		bytes += STRING_CHUNK - 1; /* cut; or the 0 was the last, then it is read again */
		if (i == STRING_CHUNKS - 1)
			bytes = 0;
	}
	release_scratch(s);
	return bytes;
}

static __always_inline __u64 read_pointer(__u64 at)
{
	__u64 value = 0;

	bpf_probe_read_user(&value, sizeof(value), (void *)at);
	return value;
}

static __always_inline int is_on_signal_stack(__u64 sp)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return sp - task->sas_ss_sp <= task->sas_ss_size; /* size 0: there is none */
}

/* Was the call at sp made from inside the one that is active? A longjmp or an exception may have left
 * that one without a return: the kernel knows the returns that are pending. */
static __always_inline int is_inside(const struct call *call, __u64 sp, __u16 site)
{
	int is_apart = is_on_signal_stack(sp);

	if (is_apart != is_on_signal_stack(call->sp)) {
		/* the stack of signal handlers may lie above the other as well as below. From a handler
		 * one comes back by leaving it */
		if (!is_apart)
			return 0;
	} else if (sp > call->sp || (sp == call->sp && site == call->site)) {
		return 0; /* lower on the stack, or in the same place by a tail call */
	}
	return is_on_its_way(call);
}

/* count * size, or what no allocator has: a product that wraps to 0 must not look like a free. */
static __always_inline __u64 product(__u64 count, __u64 size)
{
	return count && size > (1ULL << DHAT_USER_BITS) / count ? ~0ULL : count * size;
}

/* At the entry. 1: a return is to be awaited. */
static __always_inline int enter(struct pt_regs *regs, union dhat_cookie_word cookie)
{
	__u8 role = cookie.parts.role;
	__u64 sp = regs->rsp + 8 * (__u64)cookie.parts.rsp_words;
	__u64 arg0 = reg(regs, cookie.parts.arg_reg[0]), arg1, arg2;
	struct call *call;

	if (role == DHAT_ROLE_FREE && arg0 == 0) {
		count(DHAT_CTR_FREE_NULL);
		return 0;
	}
	call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call) {
		count(DHAT_CTR_NO_STATE);
		if (role == DHAT_ROLE_FREE) /* keeps P3: rather a free too many than one too few */
			send_free(arg0, cookie, BPF_RB_NO_WAKEUP);
		return 0;
	}
	if (call->is_active) {
		if (is_inside(call, sp, cookie.parts.site)) {
			count(DHAT_CTR_NESTED);
			return 0;
		}
		count(DHAT_CTR_ABANDONED);
		call->is_active = 0;
	}
	if (role == DHAT_ROLE_UNKNOWN) {
		count(DHAT_CTR_UNKNOWN_CALLS);
		return 0;
	}
	if (role == DHAT_ROLE_FREE) {
		send_free(arg0, cookie, free_flags(call));
		if (!cookie.parts.is_nesting)
			return 0;
	}
	if (role == DHAT_ROLE_REALPATH && arg0)
		return 0;
	arg1 = reg(regs, cookie.parts.arg_reg[1]);
	if (role == DHAT_ROLE_MUNMAP) {
		/* what the kernel refuses, changes nothing (EINVAL) */
		if (arg0 % DHAT_PAGE_BYTES == 0 && arg1 && !(arg0 >> DHAT_USER_BITS) &&
		    !(arg1 >> DHAT_USER_BITS))
			send_unmap(arg0, arg1, free_flags(call));
		return 0;
	}
	if (role == DHAT_ROLE_MMAP && !(arg1 & MAP_ANONYMOUS))
		return 0;
	arg2 = reg(regs, cookie.parts.arg_reg[2]);
	call->old_addr = 0;
	switch (role) {
	case DHAT_ROLE_CALLOC:
		call->size_bytes = arg0 * arg1; /* overflows only when the call fails */
		break;
	case DHAT_ROLE_REALLOC:
	case DHAT_ROLE_REALLOCF:
	case DHAT_ROLE_RESIZE:
		call->old_addr = arg0;
		call->size_bytes = arg1;
		break;
	case DHAT_ROLE_REALLOCARRAY:
		call->old_addr = arg0;
		call->size_bytes = product(arg1, arg2);
		break;
	case DHAT_ROLE_REALLOCARR:
		call->old_addr = read_pointer(arg0);
		call->result_at = arg0;
		call->size_bytes = product(arg1, arg2);
		break;
	case DHAT_ROLE_POSIX_MEMALIGN:
	case DHAT_ROLE_DUPENV:
		call->result_at = arg0;
		call->size_bytes = arg2;
		break;
	case DHAT_ROLE_MEMALIGN:
		call->size_bytes = arg1;
		break;
	case DHAT_ROLE_PVALLOC:
	case DHAT_ROLE_MMAP:
		call->size_bytes = whole_pages(arg0);
		break;
	case DHAT_ROLE_MREMAP:
		call->old_addr = arg0;
		call->old_bytes = arg1;
		call->size_bytes = whole_pages(arg2);
		break;
	default:
		call->size_bytes = arg0;
	}
	call->role = role;
	call->domain = cookie.parts.domain;
	call->is_by_exit = cookie.parts.is_by_exit;
	call->site = cookie.parts.site;
	call->sp = sp;
	if (call->is_by_exit)
		bpf_probe_read_user(&call->return_pc, sizeof(call->return_pc), (void *)sp);
	call->is_active = 1;
	if (is_resizing(role) && call->old_addr)
		send_realloc_begin(call->old_addr, cookie);
	return 1;
}

/* What a call for anonymous memory has handed out: its address, or 0 for nothing. */
static __always_inline __u64 leave_mapping(struct call *call, __u64 result)
{
	if (result == ~0ULL) /* MAP_FAILED; sbrk says the same */
		return 0;
	if (call->role == DHAT_ROLE_MREMAP)
		send_unmap(call->old_addr, call->old_bytes, BPF_RB_NO_WAKEUP);
	if (call->role == DHAT_ROLE_SBRK && (__s64)call->size_bytes <= 0) {
		if (call->size_bytes)
			send_unmap(result + call->size_bytes, -call->size_bytes, BPF_RB_NO_WAKEUP);
		return 0;
	}
	return result;
}

/* At the return: pc, sp and bp are the caller's. */
static __always_inline int leave(void *regs, __u64 result, __u64 pc, __u64 sp, __u64 bp)
{
	struct call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL, 0);
	__u64 addr = result, stack_id, now, used, flags;
	int is_realloc;

	if (!call || !call->is_active) {
		/* not that of an inner function whose tail call's return was the same */
		if (!call || sp - 8 != call->sp)
			count(DHAT_CTR_UNPAIRED);
		return 0;
	}
	if (sp - 8 != call->sp) /* an inner call's return */
		return 0;
	call->is_active = 0;
	if (call->role == DHAT_ROLE_FREE)
		return 0;
	if (call->role == DHAT_ROLE_POSIX_MEMALIGN || call->role == DHAT_ROLE_DUPENV ||
	    call->role == DHAT_ROLE_REALLOCARR)
		addr = (__u32)result == 0 ? read_pointer(call->result_at) : 0;
	if (call->role == DHAT_ROLE_RESIZE)
		addr = result >= call->size_bytes ? call->old_addr : 0;
	is_realloc = is_resizing(call->role) && call->old_addr;
	now = bpf_ktime_get_ns();
	if (call->domain == DHAT_DOMAIN_ANON)
		addr = leave_mapping(call, result);
	if (!addr && (call->role == DHAT_ROLE_SBRK ||
		      (call->role == DHAT_ROLE_DUPENV && (__u32)result == 0)))
		return 0;
	if (addr && is_string(call->role)) {
		call->size_bytes = string_bytes(addr);
		if (!call->size_bytes)
			count(DHAT_CTR_UNSIZED);
	}
	used = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	flags = wake_flags(used);
	if (!addr) {
		if (is_realloc)
			send_realloc_end(call, 0, 0, now, flags);
		if (!is_realloc || call->size_bytes)
			count(DHAT_CTR_FAILED);
		return 0;
	}
	/* Keeps P3: what hands out gives way to what takes back. Of a realloc the BEGIN was sent,
	 * which closes the old block when no END comes. Before the stack: it would be walked in vain. */
	if (used > cfg_alloc_mark) {
		count(is_realloc ? DHAT_CTR_DROP_REALLOC : DHAT_CTR_SHED_ALLOC);
		return 0;
	}
	stack_id = take_stack(regs, pc, sp, bp, call->domain == DHAT_DOMAIN_ANON ? DHAT_STACK_ANON : 0);
	if (is_realloc)
		send_realloc_end(call, addr, stack_id, now, flags);
	else
		send_alloc(call, addr, stack_id, now, flags);
	return 0;
}

/* ---- programs ---------------------------------------------------------------------------------- */

static __always_inline int is_ours(void)
{
	if (is_closed)
		return 0;
	if (!is_target()) {
		count(DHAT_CTR_FOREIGN);
		return 0;
	}
	notice_change();
	return 1;
}

/* At an exit probe the return address is still on the stack, unless the return probe of a function
 * called in the same place by a tail call hides it. Other functions may share the ret instruction:
 * only a call that waits for one is ended by it. */
static __always_inline int leave_by_exit(struct pt_regs *regs, union dhat_cookie_word cookie)
{
	struct call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL, 0);
	__u64 pc, result = regs->rax, argument = regs->rdi;

	if (!call || !call->is_active || !call->is_by_exit || call->sp != regs->rsp)
		return 0;
	/* each load by itself: see reg() */
	barrier_var(result);
	barrier_var(argument);
	if (cookie.parts.arg_reg[0]) /* a jump to memset and its like, which return it */
		result = argument;
	pc = find_pending_return(regs->rsp);
	if (!pc && bpf_probe_read_user(&pc, sizeof(pc), (void *)regs->rsp))
		return 0;
	return leave(regs, result, pc, regs->rsp + 8, regs->rbp);
}

SEC("uprobe")
int dhat_entry(struct pt_regs *regs)
{
	union dhat_cookie_word cookie = { .word = bpf_get_attach_cookie(regs) };

	if (!is_ours())
		return 0;
	if (cookie.parts.phase == DHAT_PHASE_EXIT)
		leave_by_exit(regs, cookie);
	else
		enter(regs, cookie);
	return 0;
}

SEC("uretprobe")
int dhat_return(struct pt_regs *regs)
{
	if (!is_ours())
		return 0;
	return leave(regs, regs->rax, regs->rip, regs->rsp, regs->rbp);
}

/* Its probes keep breakpoints where they are: daemon/kernel/tracer.h. 0: the event is of no interest. */
SEC("uprobe")
int dhat_anchor(struct pt_regs *regs)
{
	return 0;
}

/* In the second half the function's address is the site's, and rip is the caller's already. (There is
 * a kfunc to ask, but its prototype has changed: 7.3 refuses the one of 6.13.) */
static __always_inline int is_session_return(struct pt_regs *regs)
{
	return bpf_get_func_ip(regs) != regs->rip;
}

/* Both halves in one link (kernel >= 6.13). 1 from the entry: no return wanted. */
SEC("uprobe")
int dhat_session(struct pt_regs *regs)
{
	union dhat_cookie_word cookie;

	if (!is_ours())
		return 1;
	if (is_session_return(regs))
		return leave(regs, regs->rax, regs->rip, regs->rsp, regs->rbp);
	cookie.word = bpf_get_attach_cookie(regs);
	if (cookie.parts.phase == DHAT_PHASE_EXIT)
		return 1 | leave_by_exit(regs, cookie);
	/* with exit probes the return address must stay as it is: that is why there are any */
	return !enter(regs, cookie) || cookie.parts.is_by_exit;
}
