/* selftest: a program that only counts how often it was run. Used on a child of dhatd's own, to see
 * whether a return probe harms a process with a seccomp filter. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

__u64 hit_count = 0;

SEC("uprobe")
int selftest_hit(void *ctx)
{
	__sync_fetch_and_add(&hit_count, 1);
	return 0;
}
