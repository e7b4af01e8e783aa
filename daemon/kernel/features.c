#include "features.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/cleanup.h"
#include "selftest.h"

enum features_lack features_lack(void)
{
	_cleanup_close_ int fd = open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC);
	char lockdown[128] = "";

	/* No command has this number: a kernel with bpf(2) says EINVAL, or EPERM to the
	 * unprivileged. */
	if (syscall(SYS_bpf, INT_MAX, NULL, 0) < 0 && errno == ENOSYS)
		return FEATURES_LACK_BPF;
	if (access("/sys/bus/event_source/devices", F_OK) == 0 &&
	    access("/sys/bus/event_source/devices/uprobe", F_OK) < 0)
		return FEATURES_LACK_UPROBES;
	if (fd >= 0 && read(fd, lockdown, sizeof(lockdown) - 1) > 0 &&
	    strstr(lockdown, "[confidentiality]"))
		return FEATURES_LOCKED_DOWN;
	return FEATURES_LACK_NOTHING;
}

int features_links(enum uprobe_kind kind, struct dhat_error *err)
{
	static atomic_bool is_known[UPROBE_KINDS];
	int error;

	if (is_known[kind])
		return 0;
	error = selftest_links(kind, err);
	if (error == 0)
		error = selftest_threads(kind, err);
	if (error == 0)
		is_known[kind] = true;
	return error;
}

static _Atomic int first_kind = UPROBE_SESSION;

enum uprobe_kind features_first_kind(void)
{
	return atomic_load(&first_kind);
}

void features_kind_works(enum uprobe_kind kind)
{
	atomic_store(&first_kind, kind);
}

uint64_t features_trap_ns(enum uprobe_kind kind)
{
	static atomic_uint_least64_t known[UPROBE_KINDS]; /* 0: not asked yet */
	uint64_t ns = kind < UPROBE_KINDS ? atomic_load(&known[kind]) : FEATURES_TRAP_NS;

	if (ns)
		return ns;
	if (selftest_trap(kind, &ns, NULL) || !ns)
		ns = FEATURES_TRAP_NS;
	atomic_store(&known[kind], ns);
	return ns;
}

bool features_return_probes_kill(enum uprobe_kind kind)
{
	static _Atomic int answers[UPROBE_KINDS]; /* 0: not asked yet; 1: no; 2: yes */
	enum selftest_result result = SELFTEST_KILLED;

	if (answers[kind] == 0)
		answers[kind] =
			selftest_seccomp(kind, &result, NULL) == 0 && result == SELFTEST_UNHARMED
				? 1
				: 2;
	return answers[kind] == 2;
}

bool features_write_registers(enum uprobe_kind kind)
{
	static _Atomic int answers[UPROBE_KINDS]; /* 0: not asked yet; 1: no; 2: yes */

	if (answers[kind] == 0)
		answers[kind] = selftest_writes_registers(kind) ? 2 : 1;
	return answers[kind] == 2;
}
