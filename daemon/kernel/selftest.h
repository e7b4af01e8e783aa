#pragma once
/* selftest: does a return probe kill a process that has a seccomp filter?
 *
 * Kernels from 6.11 on run return probes through a system call of their own; some of them let a
 * filter that does not know it kill the process. Nothing tells such a kernel from a mended one but
 * trying: a child of ours puts itself under an allow-list of the strictest kind and calls a
 * function that has a return probe. The target is not touched.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "proto/base/error.h"
#include "uprobe.h"

enum selftest_result {
	SELFTEST_UNHARMED, /* the probe was hit, and the child lived on */
	SELFTEST_KILLED,   /* use exit probes, or none */
};

/* With the kind of link that will be used on the target. Takes milliseconds. On failure nothing is
 * known: treat it as SELFTEST_KILLED. */
int selftest_seccomp(enum uprobe_kind kind, enum selftest_result *ret, struct dhat_error *err);

/* How a probe is put on the child: for tests of the judgement itself. */
struct selftest_prober {
	int (*attach)(void *context, pid_t pid, uint64_t file_offset, struct dhat_error *err);
	bool (*was_hit)(void *context); /* since attach */
	void *context;
};
int selftest_run(const struct selftest_prober *prober, enum selftest_result *ret,
		 struct dhat_error *err);
