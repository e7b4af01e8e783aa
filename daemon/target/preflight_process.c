/* What the process itself is, and who else is at it. */
#include "preflight.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/object/machine/machine.h"
#include "daemon/proc/file.h"
#include "daemon/proc/status.h"
#include "emulator.h"
#include "proto/base/cleanup.h"
#include "ptracer.h"

static int check_state(struct preflight *preflight, pid_t pid, const struct proc_status *s)
{
	if (s->tgid != s->pid)
		return preflight_block(preflight, "a thread", EINVAL, DHAT_EXIT_UNSUITABLE,
				       "%d is a thread of process %d: attach to that", (int)pid,
				       (int)s->tgid);
	if (s->state == 'Z' || s->state == 'X')
		return preflight_block(preflight, "zombie", ESRCH, DHAT_EXIT_NO_PROCESS,
				       "process %d has ended; its parent has not noticed yet",
				       (int)pid);
	if (proc_is_kernel_thread(pid))
		return preflight_block(preflight, "kernel thread", EINVAL, DHAT_EXIT_UNSUITABLE,
				       "%d is a thread of the kernel and has no heap", (int)pid);
	if (pid == getpid())
		return preflight_block(preflight, "myself", EINVAL, DHAT_EXIT_UNSUITABLE,
				       "%d is dhatd itself, whose every answer would ask the next "
				       "question",
				       (int)pid);
	if (s->state == 'T' || s->state == 't')
		return preflight_add(preflight, "stopped",
				     "the process is stopped; there is nothing to count before it "
				     "goes on");
	return 0;
}

static bool lacks_ptrace(void)
{
	struct proc_status own;

	return proc_status_read(getpid(), &own) == 0 && !(own.effective_caps >> CAP_SYS_PTRACE & 1);
}

int preflight_machine(struct preflight *preflight, const Elf64_Ehdr *head, pid_t pid)
{
	if (memcmp(head->e_ident, ELFMAG, SELFMAG))
		return 0; /* so odd that attaching will tell */
	if (head->e_ident[EI_CLASS] == ELFCLASS32)
		return preflight_block(preflight, "32-bit", ENOTSUP, DHAT_EXIT_UNSUITABLE,
				       "process %d is a 32-bit program; only %s ones can be "
				       "profiled",
				       (int)pid, this_machine.name);
	if (head->e_ident[EI_DATA] != ELFDATA2LSB || head->e_machine != this_machine.elf)
		return preflight_block(preflight, "foreign machine", ENOTSUP, DHAT_EXIT_UNSUITABLE,
				       "process %d is a program for another machine (ELF machine "
				       "%u); only %s ones can be profiled",
				       (int)pid, (unsigned)head->e_machine, this_machine.name);
	return 0;
}

static int check_machine(struct preflight *preflight, pid_t pid)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX] = "";
	Elf64_Ehdr head;
	int error = proc_open(pid, "exe", &fd);
	bool is_denied = error == -EACCES || error == -EPERM;

	proc_read_link(pid, "exe", path, sizeof(path));
	if (is_denied && geteuid() == 0 && lacks_ptrace())
		return preflight_block(preflight, "no rights", EACCES, DHAT_EXIT_NOT_PERMITTED,
				       "process %d may not be looked at: dhatd is root without "
				       "CAP_SYS_PTRACE (CapabilityBoundingSet= of a unit)",
				       (int)pid);
	if (is_denied && geteuid() == 0)
		return preflight_block(preflight, "no rights", EACCES, DHAT_EXIT_NOT_PERMITTED,
				       "process %d may not be looked at, though dhatd is root: a "
				       "security module or a user namespace stands between",
				       (int)pid);
	if (is_denied)
		return preflight_block(preflight, "no rights", EACCES, DHAT_EXIT_NOT_PERMITTED,
				       "process %d belongs to somebody else: run dhatd as root "
				       "(sudo)",
				       (int)pid);
	if (emulator_is(path))
		return preflight_block(preflight, "emulator", ENOTSUP, DHAT_EXIT_UNSUITABLE,
				       "process %d is %s, which translates the code of another "
				       "program: no probe in that is ever reached",
				       (int)pid, path);
	if (fd < 0 || pread(fd, &head, sizeof(head), 0) < EI_NIDENT + 4)
		return 0; /* ends right now, or is so odd that attaching will tell */
	return preflight_machine(preflight, &head, pid);
}

static bool is_other_namespace(pid_t pid, const char *kind)
{
	_cleanup_close_ int dir_fd = -1;
	struct stat own, other;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	if (stat(path, &own) < 0 || proc_open_dir(pid, &dir_fd) < 0)
		return false;
	snprintf(path, sizeof(path), "ns/%s", kind);
	return fstatat(dir_fd, path, &other, 0) == 0 &&
	       (own.st_ino != other.st_ino || own.st_dev != other.st_dev);
}

static int check_namespaces(struct preflight *preflight, pid_t pid, const struct proc_status *s)
{
	static const struct {
		const char *kind, *what;
	} kinds[] = { { "mnt", "mount" }, { "pid", "pid" }, { "user", "user" } };
	char list[64] = "", inside[48] = "";
	size_t i, n = 0;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (is_other_namespace(pid, kinds[i].kind))
			n += snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
				      kinds[i].what);
	if (n == 0)
		return 0;
	if (s->ns_depth > 1)
		snprintf(inside, sizeof(inside), "; inside it is process %d",
			 (int)s->ns_pids[s->ns_depth - 1]);
	return preflight_add(preflight, "container",
			     "the process has another namespace than dhatd (%s)%s; its files are "
			     "read through /proc/%d/root and map_files",
			     list, inside, (int)pid);
}

static int check_seccomp(struct preflight *preflight, const struct proc_status *s)
{
	if (s->seccomp_mode == 0)
		return 0;
	preflight->has_seccomp = true;
	if (s->seccomp_mode == 1)
		return preflight_add(
			preflight, "seccomp",
			"the process is in seccomp's strict mode: whether return probes "
			"would kill it is tried out on a process of our own before");
	return preflight_add(preflight, "seccomp",
			     "the process has %d seccomp filter%s: whether return probes would get "
			     "it killed is tried out on a process of our own before",
			     s->seccomp_filters, s->seccomp_filters == 1 ? "" : "s");
}

static int check_tracer(struct preflight *preflight, pid_t pid)
{
	struct ptracer tracer;

	if (ptracer_find(pid, &tracer) || !tracer.pid)
		return 0;
	return preflight_add(
		preflight, "traced",
		"process %d (%s) traces it: while that stops it nothing is counted, and "
		"a breakpoint of its own on a probed place will not be hit",
		(int)tracer.pid, tracer.name);
}

/* The numbers are those of the process; how it goes, a thread that lives tells. */
static int read_status(pid_t pid, struct proc_status *ret)
{
	struct proc_status living = { 0 };
	int r = proc_status_read_main(pid, ret);

	if (r == 0)
		r = proc_status_read(pid, &living);
	if (r < 0)
		return r;
	ret->state = living.state;
	ret->seccomp_mode = living.seccomp_mode;
	ret->seccomp_filters = living.seccomp_filters;
	return 0;
}

int preflight_process(struct preflight *preflight, pid_t pid)
{
	struct proc_status status;
	int r = read_status(pid, &status);

	if (r == -ENOMEM)
		return r;
	if (r == -EACCES || r == -EPERM)
		return preflight_block(preflight, "no rights", EACCES, DHAT_EXIT_NOT_PERMITTED,
				       "process %d may not be looked at: run dhatd as root (sudo)",
				       (int)pid);
	if (r < 0)
		return preflight_block(preflight, "no process", ESRCH, DHAT_EXIT_NO_PROCESS,
				       "no process %d: look for the right one with pgrep -a NAME",
				       (int)pid);
	r = check_state(preflight, pid, &status);
	if (r || preflight_verdict(preflight, NULL))
		return r;
	r = check_machine(preflight, pid);
	if (!r)
		r = check_namespaces(preflight, pid, &status);
	if (!r)
		r = check_seccomp(preflight, &status);
	return r ? r : check_tracer(preflight, pid);
}
