/* selftest: programs that only count how often they were run, on code of dhatd's own: see
 * daemon/kernel/selftest.h. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>
/* after bpf_helpers.h */
#include <bpf/bpf_core_read.h>

#include "machine.h"

#include "compiled_by.h"

char LICENSE[] SEC("license") = "GPL";

__u64 hit_count = 0;

SEC("uprobe")
int selftest_hit(void *ctx)
{
	__sync_fetch_and_add(&hit_count, 1);
	return 0;
}

/* At the entry alone: a session wants no return when 1 comes from there. */
SEC("uprobe")
int selftest_entry(void *ctx)
{
	__sync_fetch_and_add(&hit_count, 1);
	return 1;
}

/* Kernels before 6.19 do not load it: "?", only when asked for. In the place of the first
 * instruction of machine_answering_function(): another answer, and on behind it. */
SEC("?uprobe")
int selftest_answer(struct pt_regs *regs)
{
	__sync_fetch_and_add(&hit_count, 1);
	regs_answer(regs);
	return 0;
}
