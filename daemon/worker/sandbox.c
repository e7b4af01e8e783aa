#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

#define NOBODY 65534 /* Debian policy 9.2.2: owns no files */

/* Address space beyond private memory: files are mapped whole, and debug files run to gigabytes. */
#define MAPPED_FILES_BYTES (64ull << 30)
#define MAX_FILES 256

static int set_limit(int resource, uint64_t value, struct dhat_error *err)
{
	struct rlimit limit = { value, value };

	if (setrlimit(resource, &limit))
		return dhat_error_errno(err, errno, "worker: cannot set limit %d to %llu", resource,
					(unsigned long long)value);
	return 0;
}

static int limit_resources(const struct sandbox_limits *limits, struct dhat_error *err)
{
	int r = set_limit(RLIMIT_CORE, 0, err);

	if (!r)
		r = set_limit(RLIMIT_FSIZE, 0, err);
	if (!r)
		r = set_limit(RLIMIT_NOFILE, MAX_FILES, err);
	if (!r && limits->memory_bytes)
		r = set_limit(RLIMIT_DATA, limits->memory_bytes, err);
	if (!r && limits->memory_bytes)
		r = set_limit(RLIMIT_AS, limits->memory_bytes + MAPPED_FILES_BYTES, err);
	return r;
}

/* A directory that lists nothing but our own descriptors, and goes away with us. Best effort: no
 * call that takes a path is let through anyway. */
static void hide_files(void)
{
	if (!chroot("/proc/self/fdinfo") && chdir("/"))
		_exit(1);
}

static int drop_root(struct dhat_error *err)
{
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return dhat_error_errno(err, errno, "worker: cannot become nobody");
	return 0;
}

/* Capabilities can be had without being root (a unit file's AmbientCapabilities). By hand: all of
 * them at once are one system call, and a library would only wrap it. */
static int drop_capabilities(struct dhat_error *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none))
		return dhat_error_errno(err, errno, "worker: cannot drop capabilities");
	return 0;
}

/* Calls that need no look at their arguments. */
static const int allowed[] = {
	SCMP_SYS(read),
	SCMP_SYS(pread64),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(getrandom),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(restart_syscall),
};

static int allow_with_arguments(scmp_filter_ctx filter)
{
	/* no code but what is mapped now */
	int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* glibc's fstat() */
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
				     SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH));
	/* libelf asks whether a descriptor is one */
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				     SCMP_A1(SCMP_CMP_EQ, F_GETFD));
	return r;
}

static void release_filter(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

/* What is not allowed fails with EPERM rather than kills: libraries try to open message catalogues,
 * split DWARF by its path and the like, and go on well without. */
static int filter_calls(struct dhat_error *err)
{
	_cleanup_(release_filter) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ARRAY_SIZE(allowed); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!r)
		r = allow_with_arguments(filter);
	if (!r)
		r = seccomp_load(filter);
	if (r)
		return dhat_error_errno(err, -r, "worker: cannot filter system calls");
	return 0;
}

int sandbox_enter(const struct sandbox_limits *limits, struct dhat_error *err)
{
	int r = limit_resources(limits, err);

	if (!r && geteuid() == 0) {
		hide_files();
		r = drop_root(err);
	}
	if (!r)
		r = drop_capabilities(err);
	if (!r && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)))
		r = dhat_error_errno(err, errno, "worker: cannot give up privileges for good");
	return r ? r : filter_calls(err);
}
