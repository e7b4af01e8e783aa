#pragma once
/* selftest: what this kernel's probes do, found out by trying them on code of our own. Who wants an
 * answer, and not a new try, asks features.h.
 *
 * Does a link see all threads of a process? Multi links of 6.6.0 to 6.6.32 and of 6.7 to early 6.9
 * compare the thread and not the process, and see one thread only.
 *
 * Does a return probe kill a process that has a seccomp filter? Kernels from 6.11 on run return
 * probes through a system call of their own; some of them let a filter that does not know it kill
 * the process. Nothing tells such a kernel from a mended one but trying: a child of ours puts
 * itself under an allow-list of the strictest kind and calls a function that has a return probe.
 * The target is not touched.
 *
 * May a program write registers, and is the instruction then left alone (bpf/places.h)? From 6.19
 * on; older ones refuse the program.
 *
 * What does one trap cost?
 */
#include <stdbool.h>
#include <sys/types.h>

#include "proto/base/error.h"
#include "uprobe.h"

enum selftest_result {
	SELFTEST_UNHARMED, /* the probe was hit, and the child lived on */
	SELFTEST_KILLED,   /* use exit probes, or none */
};

/* 0: there are links of this kind, at entries and at returns. DHAT_EXIT_UNSUPPORTED. */
int selftest_links(enum uprobe_kind kind, struct dhat_error *err);

/* 0: links of this kind see calls of any thread. DHAT_EXIT_UNSUPPORTED: they do not, or there are
 * no such links. Tried on a thread of this process, at an entry only: dhatd may itself be under a
 * filter that a return probe would not outlive. Takes milliseconds. */
int selftest_threads(enum uprobe_kind kind, struct dhat_error *err);

/* With the kind of link that will be used on the target. Takes milliseconds. On failure nothing is
 * known: treat it as SELFTEST_KILLED. */
int selftest_seccomp(enum uprobe_kind kind, enum selftest_result *ret, struct dhat_error *err);

/* With this kind of link, shown by a call of a child. Takes milliseconds. */
bool selftest_writes_registers(enum uprobe_kind kind);

/* What one trap costs the thread that makes it, in ns of its CPU time, here and now: a link of this
 * kind, at an instruction that the kernel emulates, with a program that does next to nothing. The
 * least of some batches, so that what else the machine does counts little. Takes milliseconds. */
int selftest_trap(enum uprobe_kind kind, uint64_t *ret_ns, struct dhat_error *err);

/* How a probe is put on the child: for tests of the judgement itself. */
struct selftest_prober {
	int (*attach)(void *context, pid_t pid, uint64_t file_offset, struct dhat_error *err);
	bool (*was_hit)(void *context); /* since attach */
	void *context;
	/* what is called, and what it must answer to 42; NULL: a function that returns that */
	int (*function)(int);
	int answer;
};
int selftest_run(const struct selftest_prober *prober, enum selftest_result *ret,
		 struct dhat_error *err);
int selftest_run_threads(const struct selftest_prober *prober, bool *ret_sees_all,
			 struct dhat_error *err);
