/* floor: what probes cost when their programs do nothing, or nothing but bpf_get_stack.
 *
 * The same sites and kinds of link as dhatd uses (floor.c); what is left out is all that dhatd
 * does.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#define MAX_FRAMES 127 /* as in dhat_abi.h */
#define SCRATCHES 64

/* not by CPU: a uprobe's program may be preempted while it holds one */
struct scratch {
	__u64 frames[MAX_FRAMES];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCHES);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch_by_thread SEC(".maps");

const volatile bool is_session;
__u64 stacks, frames;

SEC("uprobe")
int floor_entry(void *ctx)
{
	return 0;
}

SEC("uprobe")
int floor_free(void *ctx)
{
	return is_session; /* 1: this call's return is of no interest */
}

SEC("uprobe")
int floor_return(void *ctx)
{
	return 0;
}

/* at malloc only; free's site gets floor_free */
SEC("uprobe")
int stack_entry(struct pt_regs *ctx)
{
	__u32 slot = (__u32)bpf_get_current_pid_tgid() % SCRATCHES;
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_by_thread, &slot);
	long bytes;

	if (!scratch || (is_session && bpf_get_func_ip(ctx) != ctx->rip))
		return 0;
	bytes = bpf_get_stack(ctx, scratch->frames, sizeof(scratch->frames), BPF_F_USER_STACK);
	if (bytes > 0) {
		stacks++;
		frames += bytes / 8;
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
