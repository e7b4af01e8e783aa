/* dhat.bpf: the kernel side of one target: the programs.
 *
 * A call of an allocator function is seen at its entry and at its return: allocator_calls.h. What
 * else happens to the target: lifecycle.h.
 *
 * Programs run preemptible: nothing per-CPU is ours, so the state is per task and the scratch
 * memory is claimed.
 */
#include "allocator_calls.h"
#include "compiled_by.h"
#include "lifecycle.h"
#include "own_stack.h"
#include "places.h"

char LICENSE[] SEC("license") = "GPL";

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

/* A function of its own, and so is hand_out(): 6.1 gives the variables of all functions that are
 * called at a time 512 bytes, and each of the two has 160. */
static __noinline int enter_or_leave(struct pt_regs *regs, __u64 cookie_word)
{
	union dhat_cookie_word cookie = { .word = cookie_word };

	if (cookie.parts.phase == DHAT_PHASE_EXIT)
		return leave_by_exit(regs, cookie);
	return enter(regs, cookie);
}

static __always_inline void see(struct pt_regs *regs, union dhat_cookie_word cookie)
{
	if (cookie.parts.phase == DHAT_PHASE_RESULT)
		hand_out(regs, cookie.word);
	else
		enter_or_leave(regs, cookie.word);
}

OWN_STACK(entry);
OWN_STACK(returning);
OWN_STACK(session);

SEC("uprobe")
int dhat_entry(struct pt_regs *regs)
{
	KEEP_OWN_STACK(entry, regs);
	if (is_ours())
		see(regs, find_cookie(regs));
	execute(regs); /* while nothing is counted, too */
	return 0;
}

SEC("uretprobe")
int dhat_return(struct pt_regs *regs)
{
	KEEP_OWN_STACK(returning, regs);
	if (!is_ours())
		return 0;
	return leave(regs, regs_result(regs), regs_pc(regs), regs_sp(regs), regs_fp(regs));
}

/* Its probes keep breakpoints where they are: daemon/kernel/tracer.h. 0: the event is of no
 * interest. */
SEC("uprobe")
int dhat_anchor(struct pt_regs *regs)
{
	return 0;
}

/* In the second half the function's address is the site's, and pc is the caller's already. (There
 * is a kfunc to ask, but its prototype has changed: 7.3 refuses the one of 6.13.) */
static __always_inline int is_session_return(struct pt_regs *regs)
{
	return bpf_get_func_ip(regs) != regs_pc(regs);
}

/* Both halves in one link (kernel >= 6.13), of places whose return is awaited. 1 from the entry:
 * not this time. */
SEC("uprobe")
int dhat_session(struct pt_regs *regs)
{
	int is_awaited;

	KEEP_OWN_STACK(session, regs);
	if (is_session_return(regs))
		return is_ours() &&
		       leave(regs, regs_result(regs), regs_pc(regs), regs_sp(regs), regs_fp(regs));
	is_awaited = is_ours() && enter(regs, find_cookie(regs));
	execute(regs);
	return !is_awaited;
}
