#pragma once
/* allocator_calls: an allocator's call, from its entry to its return. Part of dhat.bpf.c.
 *
 * Only the outermost call of a thread counts. Frees are sent at entry (another thread may be given
 * the block before free returns), allocations at return, realloc at both. The stack is taken at
 * the return, where the callee-saved registers are the caller's again, and starts with the caller.
 * At a result site, where an allocator has the block in hand, hand_out() sends what a return would.
 */
#include "records.h"
#include "stacks.h"

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

/* How many calls are active in threads whose number ends so. Where none is, as nearly always, what
 * a thread has in its storage need not be looked up, which costs more. A thread that ends in a call
 * is counted for good: others look up in vain then. */
#define ENTRANTS 1024
struct {
	__u32 count;
	__u32 pad[15]; /* a cache line each */
} entrants[ENTRANTS] = {};

static __always_inline __u32 entrants_number(void)
{
	return (__u32)bpf_get_current_pid_tgid() & (ENTRANTS - 1);
}

static __always_inline int may_be_inside_a_call(void)
{
	return *(volatile __u32 *)&entrants[entrants_number()].count != 0;
}

/* A thread's number is another one after an exec; what was counted is taken back where it was. */
static __always_inline void begin_call(struct call *call)
{
	call->entrants = entrants_number();
	__sync_fetch_and_add(&entrants[call->entrants & (ENTRANTS - 1)].count, 1);
	call->is_active = 1;
}

static __always_inline void end_call(struct call *call)
{
	if (call->is_active)
		__sync_fetch_and_add(&entrants[call->entrants & (ENTRANTS - 1)].count, -1);
	call->is_active = 0;
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

/* Was the call at sp made from inside the one that is active? A longjmp or an exception may have
 * left that one without a return: the kernel knows the returns that are pending. */
static __always_inline int is_inside(const struct call *call, __u64 sp, __u16 site)
{
	int is_apart = is_on_signal_stack(sp);

	if (is_apart != is_on_signal_stack(call->sp)) {
		/* the stack of signal handlers may lie above the other as well as below. From a
		 * handler one comes back by leaving it */
		if (!is_apart)
			return 0;
	} else if (sp > call->sp || (sp == call->sp && site == call->site)) {
		return 0; /* lower on the stack, or in the same place by a tail call */
	}
	return is_on_its_way(call);
}

/* The active call will not be seen to end. One that is seen at a result site has handed out nothing
 * yet (and passes several beginnings, perhaps). */
static __always_inline void give_up(struct call *call)
{
	if (!call->is_by_result)
		count(DHAT_CTR_ABANDONED);
	end_call(call);
}

/* count * size, or what no allocator has: a product that wraps to 0 must not look like a free. */
static __always_inline __u64 product(__u64 count, __u64 size)
{
	return count && size > (1ULL << DHAT_USER_BITS) / count ? ~0ULL : count * size;
}

/* mallctl("arena.N.reset"), or destroy, of jemalloc: no other name there has such a third part. */
static __always_inline int resets_arena(__u64 name_at)
{
	enum { HEAD = 6, DIGITS = 4 }; /* MALLOCX_ARENA_LIMIT: 4,095 */
	char name[HEAD + DIGITS + 4] = {};

	/* a shorter one is read to its end; one that cannot be read is none */
	if (bpf_probe_read_user_str(name, sizeof(name), (void *)name_at) < 0 || name[0] != 'a' ||
	    name[1] != 'r' || name[2] != 'e' || name[3] != 'n' || name[4] != 'a' || name[5] != '.')
		return 0;
#pragma unroll
	for (int i = HEAD + 1; i <= HEAD + DIGITS; i++)
		if (name[i] == '.' && (name[i + 1] == 'r' || name[i + 1] == 'd') &&
		    name[i + 2] == 'e' && name[i + 3] == 's')
			return 1;
	return 0;
}

/* A realloc has begun. */
static __always_inline void begin_realloc(struct call *call, union dhat_cookie_word cookie)
{
	call->is_told = is_to_be_told(call->old_addr, call->domain);
	if (call->is_told)
		send_realloc_begin(call->old_addr, cookie);
}

/* The old block of a realloc is known to the daemon, or might be. */
static __always_inline int has_told_old(const struct call *call)
{
	return is_resizing(call->role) && call->old_addr && call->is_told;
}

/* Without a new block: it failed, or there is none of which more is told. */
static __always_inline void end_realloc(const struct call *call, __u64 time_ns, __u32 result,
					__u64 flags)
{
	if (is_sampling() && result == DHAT_REALLOC_FAILED &&
	    enter_sample(call->old_addr, call->domain, BPF_ANY)) /* keeps L4 */
		result = DHAT_REALLOC_FREED;
	/* keeps L2 */
	if (send_realloc_end(call, 0, 0, time_ns, result, flags) && is_sampling())
		enter_sample(call->old_addr, call->domain, BPF_NOEXIST);
}

/* At the entry. 1: a return is to be awaited. */
static __always_inline int enter(struct pt_regs *regs, union dhat_cookie_word cookie)
{
	__u8 role = cookie.parts.role;
	__u64 sp = regs_sp(regs) + 8 * (__u64)cookie.parts.sp_words;
	__u64 arg0 = regs_numbered(regs, cookie.parts.arg_reg[0]), arg1, arg2;
	int is_plain_free = role == DHAT_ROLE_FREE && !cookie.parts.is_nesting, is_told = 1;
	struct call *call;

	if (role == DHAT_ROLE_FREE && arg0 == 0) {
		count(DHAT_CTR_FREE_NULL);
		return 0;
	}
	if (role == DHAT_ROLE_CONTROL) {
		if (resets_arena(arg0))
			count(DHAT_CTR_ARENA_RESETS);
		return 0;
	}
	if (role == DHAT_ROLE_FREE && !is_to_be_told(arg0, cookie.parts.domain)) {
		count(DHAT_CTR_UNSAMPLED_FREES);
		if (is_plain_free)
			return 0;
		is_told = 0;
	}
	if (is_plain_free && !may_be_inside_a_call()) {
		send_free(arg0, cookie, free_flags(arg0));
		return 0;
	}
	/* a thread that has never been inside of a call has nothing to remember for a free */
	call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL,
				    is_plain_free ? 0 : BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call && is_plain_free) {
		send_free(arg0, cookie, free_flags(arg0));
		return 0;
	}
	if (!call) {
		count(DHAT_CTR_NO_STATE);
		if (role == DHAT_ROLE_FREE &&
		    is_told) /* keeps P3: rather a free too many than one too few */
			send_free(arg0, cookie, BPF_RB_NO_WAKEUP);
		return 0;
	}
	if (call->is_active) {
		if (is_inside(call, sp, cookie.parts.site)) {
			count(DHAT_CTR_NESTED);
			return 0;
		}
		give_up(call);
	}
	if (role == DHAT_ROLE_UNKNOWN) {
		count(DHAT_CTR_UNKNOWN_CALLS);
		return 0;
	}
	if (role == DHAT_ROLE_FREE) {
		if (is_told)
			send_free(arg0, cookie, free_flags(arg0));
		if (!cookie.parts.is_nesting)
			return 0;
	}
	if (role == DHAT_ROLE_REALPATH && arg0)
		return 0;
	arg1 = regs_numbered(regs, cookie.parts.arg_reg[1]);
	if (role == DHAT_ROLE_MMAP && !(arg1 & MAP_ANONYMOUS))
		return 0;
	arg2 = regs_numbered(regs, cookie.parts.arg_reg[2]);
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
	case DHAT_ROLE_MUNMAP: /* its third is any register's */
	case DHAT_ROLE_MREMAP:
		call->old_addr = arg0;
		call->old_bytes = arg1;
		call->size_bytes = whole_pages(arg2);
		break;
	default:
		call->size_bytes = arg0;
	}
	if (cookie.parts.domain == DHAT_DOMAIN_ANON)
		call->begun_ns = bpf_ktime_get_ns();
	call->role = role;
	call->domain = cookie.parts.domain;
	call->is_by_exit = cookie.parts.is_by_exit;
	call->is_by_result = cookie.parts.is_by_result;
	call->has_header = cookie.parts.has_header;
	call->site = cookie.parts.site;
	call->sp = sp;
	if (call->is_by_exit)
		bpf_probe_read_user(&call->return_pc, sizeof(call->return_pc), (void *)sp);
	begin_call(call);
	if (is_resizing(role) && call->old_addr)
		begin_realloc(call, cookie);
	return 1;
}

/* What a call for anonymous memory has handed out: its address, or 0 for nothing. */
static __always_inline __u64 leave_mapping(struct call *call, __u64 result)
{
	if (result == ~0ULL) /* MAP_FAILED; sbrk says the same */
		return 0;
	if (call->role == DHAT_ROLE_MREMAP)
		send_unmap(call->old_addr, call->old_bytes, call->begun_ns, BPF_RB_NO_WAKEUP);
	if (call->role == DHAT_ROLE_SBRK && (__s64)call->size_bytes <= 0) {
		if (call->size_bytes)
			send_unmap(result + call->size_bytes, -call->size_bytes, call->begun_ns,
				   BPF_RB_NO_WAKEUP);
		return 0;
	}
	return result;
}

/* At the return: pc, sp and fp are the caller's. */
static __always_inline int leave(void *regs, __u64 result, __u64 pc, __u64 sp, __u64 fp)
{
	struct call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL, 0);
	__u64 addr = result, stack_id, now, used, flags;
	int is_realloc, has_told, drawn;

	if (!call || !call->is_active) {
		/* not that of an inner function whose tail call's return was the same */
		if (!call || sp - 8 != call->sp)
			count(DHAT_CTR_UNPAIRED);
		return 0;
	}
	if (sp - 8 != call->sp) /* an inner call's return */
		return 0;
	end_call(call);
	if (call->role == DHAT_ROLE_FREE)
		return 0;
	if (call->role == DHAT_ROLE_MUNMAP) { /* one that fails changes nothing: ENOMEM, EINVAL */
		if (result == 0)
			send_unmap(call->old_addr, call->old_bytes, call->begun_ns,
				   free_flags(call->old_addr));
		return 0;
	}
	if (call->role == DHAT_ROLE_POSIX_MEMALIGN || call->role == DHAT_ROLE_DUPENV ||
	    call->role == DHAT_ROLE_REALLOCARR)
		addr = (__u32)result == 0 ? read_pointer(call->result_at) : 0;
	if (call->role == DHAT_ROLE_RESIZE)
		addr = result >= call->size_bytes ? call->old_addr : 0;
	is_realloc = is_resizing(call->role) && call->old_addr;
	has_told = has_told_old(call);
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
	drawn = addr ? draw_block(addr, call->size_bytes, call->domain) : DRAW_NOT;
	call->is_drawn = drawn == DRAW_DRAWN;
	if (addr && drawn == DRAW_NOT && !has_told)
		return 0;
	now = bpf_ktime_get_ns();
	used = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	flags = wake_flags(used);
	if (!addr) {
		if (has_told)
			end_realloc(call, now,
				    call->size_bytes && call->role != DHAT_ROLE_REALLOCF
					    ? DHAT_REALLOC_FAILED
					    : DHAT_REALLOC_FREED,
				    flags);
		if (!is_realloc || call->size_bytes)
			count(DHAT_CTR_FAILED);
		return 0;
	}
	if (drawn == DRAW_NOT) {
		end_realloc(call, now, DHAT_REALLOC_FREED, flags);
		return 0;
	}
	/* Keeps P3: what hands out gives way to what takes back. Of a realloc the BEGIN was sent,
	 * which closes the old block when no END comes. Before the stack: it would be walked in
	 * vain. */
	if (used > cfg_alloc_mark) {
		count(is_realloc ? DHAT_CTR_DROP_REALLOC : DHAT_CTR_SHED_ALLOC);
		if (has_told && is_sampling())
			end_realloc(call, now, DHAT_REALLOC_FREED, flags);
		return 0;
	}
	stack_id = take_stack(begin_stack(), regs, pc, sp, fp,
			      call->domain == DHAT_DOMAIN_ANON ? DHAT_STACK_ANON : 0, call->site);
	if (!has_told)
		send_alloc(call, addr, stack_id, now, flags);
	else if (send_realloc_end(call, addr, stack_id, now, DHAT_REALLOC_MOVED, flags) &&
		 is_sampling())
		enter_sample(call->old_addr, call->domain, BPF_NOEXIST); /* keeps L2 */
	return 0;
}

/* Has another tracer's program executed the ret already (places.h)? Then the return address is
 * where the thread goes on. */
static __always_inline int has_returned(const struct call *call, __u64 sp, __u64 pc)
{
	__u64 word = 0;

	return call->sp == sp - sizeof(word) &&
	       bpf_probe_read_user(&word, sizeof(word), (void *)call->sp) == 0 && word == pc;
}

/* At an exit probe the return address is still on the stack, unless the return probe of a function
 * called in the same place by a tail call hides it. Other functions may share the ret instruction:
 * only a call that waits for one is ended by it. */
static __always_inline int leave_by_exit(struct pt_regs *regs, union dhat_cookie_word cookie)
{
	struct call *call;
	__u64 pc, result = regs_result(regs), argument = regs_first_argument(regs);
	__u64 sp = regs_sp(regs), fp = regs_fp(regs), at = regs_pc(regs);

	if (!may_be_inside_a_call())
		return 0;
	call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL, 0);
	if (!call || !call->is_active || !call->is_by_exit)
		return 0;
	/* each load by itself: see regs_numbered() */
	barrier_var(result);
	barrier_var(argument);
	barrier_var(sp);
	barrier_var(fp);
	barrier_var(at);
	if (call->sp != sp && !has_returned(call, sp, at))
		return 0;
	sp = call->sp;
	if (cookie.parts.arg_reg[0]) /* a jump to memset and its like, which return it */
		result = argument;
	pc = find_pending_return(sp);
	if (!pc && bpf_probe_read_user(&pc, sizeof(pc), (void *)sp))
		return 0;
	return leave(regs, result, pc, sp + 8, fp);
}

/* The stack of the call at a result site, whose return address lies at `at`. What lies between is
 * read at once with what the walk begins with. */
static __always_inline __u64 take_result_stack(struct pt_regs *regs, union dhat_cookie_word cookie,
					       __u64 at, __u8 flags)
{
	__u64 pc, fp, hidden, fp_words = cookie.parts.arg_reg[2];
	struct unwind_scratch *s = begin_stack();

	if (!s)
		return 0;
	if (unwind_slide(s, regs_sp(regs))) {
		count(DHAT_CTR_STOP_FIRST + DHAT_STOP_BAD_MEMORY);
		release_scratch(s);
		return 0;
	}
	pc = s->window[cookie.parts.sp_words];
	fp = regs_fp(regs);
	barrier_var(fp); /* see regs_numbered() */
	if (fp_words)
		fp = s->window[fp_words - 1];
	hidden = find_pending_return(at);
	return take_stack(s, regs, hidden ? hidden : pc, at + 8, fp, flags, cookie.parts.site);
}

/* At a result site: the block is known, and will be handed out. A function of its own, or clang
 * makes one load of the registers that the others read, too: see regs_numbered(). */
static __noinline int hand_out(struct pt_regs *regs, __u64 cookie_word)
{
	union dhat_cookie_word cookie = { .word = cookie_word };
	struct call *call;
	__u64 at = regs_sp(regs) + 8 * (__u64)cookie.parts.sp_words, used, flags, addr;
	struct call now = { .domain = cookie.parts.domain, .has_header = cookie.parts.has_header };
	__u64 stack_id, time_ns;
	int has_begun = 0, drawn;

	if (cookie.parts.role != DHAT_RESULT_ALWAYS && !regs_hold(regs, cookie.parts.role - 1))
		return 0; /* it goes the other way */
	call = may_be_inside_a_call()
		       ? bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL, 0)
		       : NULL;
	if (call && call->is_active) {
		has_begun = call->is_by_result && call->sp == at && call->site == cookie.parts.site;
		if (!has_begun && is_inside(call, at, cookie.parts.site)) {
			count(DHAT_CTR_NESTED);
			return 0;
		}
		if (!has_begun)
			give_up(call);
		end_call(call);
	}
	if (cookie.parts.arg_reg[0] == DHAT_RESULT_NONE) {
		if (has_begun)
			count(DHAT_CTR_FAILED);
		return 0;
	}
	addr = regs_numbered(regs, cookie.parts.arg_reg[0]);
	if (!addr) {
		count(DHAT_CTR_FAILED);
		return 0;
	}
	if (cookie.parts.arg_reg[1] != DHAT_RESULT_SAVED) {
		now.size_bytes = regs_numbered(regs, cookie.parts.arg_reg[1]);
	} else if (has_begun) {
		now.size_bytes = call->size_bytes;
	} else {
		count(DHAT_CTR_UNPAIRED);
		return 0;
	}
	drawn = draw_block(addr, now.size_bytes, now.domain);
	if (drawn == DRAW_NOT)
		return 0;
	now.is_drawn = drawn == DRAW_DRAWN;
	used = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	flags = wake_flags(used);
	if (used > cfg_alloc_mark) { /* keeps P3, as in leave() */
		count(DHAT_CTR_SHED_ALLOC);
		return 0;
	}
	time_ns = bpf_ktime_get_ns();
	stack_id = take_result_stack(regs, cookie, at, 0);
	send_alloc(&now, addr, stack_id, time_ns, flags);
	return 0;
}
