#include "preflight.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/kernel/features.h"
#include "daemon/object/machine/machine.h"
#include "daemon/object/sites/hidden.h"
#include "daemon/proc/file.h"
#include "identity.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

/* ---- the list ----------------------------------------------------------------------------- */

static struct preflight_hazard *add(struct preflight *preflight, const char *name,
				    const char *format, va_list args)
{
	struct preflight_hazard *grown, *hazard;

	grown = reallocarray(preflight->hazards, preflight->count + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	preflight->hazards = grown;
	hazard = &grown[preflight->count++];
	*hazard = (struct preflight_hazard){ 0 };
	snprintf(hazard->name, sizeof(hazard->name), "%s", name);
	vsnprintf(hazard->detail, sizeof(hazard->detail), format, args);
	return hazard;
}

int preflight_add(struct preflight *preflight, const char *name, const char *format, ...)
{
	struct preflight_hazard *hazard;
	va_list args;

	va_start(args, format);
	hazard = add(preflight, name, format, args);
	va_end(args);
	return hazard ? 0 : -ENOMEM;
}

int preflight_partial(struct preflight *preflight, const char *name, const char *format, ...)
{
	struct preflight_hazard *hazard;
	va_list args;

	va_start(args, format);
	hazard = add(preflight, name, format, args);
	va_end(args);
	if (!hazard)
		return -ENOMEM;
	hazard->is_partial = true;
	return 0;
}

int preflight_block(struct preflight *preflight, const char *name, int error, enum dhat_exit code,
		    const char *format, ...)
{
	struct preflight_hazard *hazard;
	va_list args;

	va_start(args, format);
	hazard = add(preflight, name, format, args);
	va_end(args);
	if (!hazard)
		return -ENOMEM;
	hazard->is_blocking = true;
	hazard->error = error;
	hazard->code = code;
	return 0;
}

void preflight_deinit(struct preflight *preflight)
{
	free(preflight->hazards);
	*preflight = (struct preflight){ 0 };
}

int preflight_verdict(const struct preflight *preflight, struct dhat_error *err)
{
	size_t i;

	for (i = 0; i < preflight->count; i++)
		if (preflight->hazards[i].is_blocking)
			return dhat_error_set(err, preflight->hazards[i].error,
					      preflight->hazards[i].code, "%s",
					      preflight->hazards[i].detail);
	return 0;
}

/* ---- /proc/PID/status --------------------------------------------------------------------- */

static const char *line_value(const char *text, const char *name)
{
	size_t size = strlen(name);
	const char *at = text;

	while (at) {
		if (!strncmp(at, name, size) && at[size] == ':')
			return at + size + 1;
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	return "";
}

void preflight_parse_status(const char *text, struct preflight_status *ret)
{
	struct preflight_status status = { 0 };
	const char *at;
	int used;

	sscanf(line_value(text, "State"), " %c", &status.state);
	status.tgid = atoi(line_value(text, "Tgid"));
	status.pid = atoi(line_value(text, "Pid"));
	status.tracer_pid = atoi(line_value(text, "TracerPid"));
	status.seccomp_mode = atoi(line_value(text, "Seccomp"));
	status.seccomp_filters = atoi(line_value(text, "Seccomp_filters"));
	status.effective_caps = strtoull(line_value(text, "CapEff"), NULL, 16);
	status.caught_signals = strtoull(line_value(text, "SigCgt"), NULL, 16);
	at = line_value(text, "NSpid");
	while (sscanf(at, "%*[\t ]%d%n", &status.ns_pid, &used) == 1) {
		status.ns_depth++;
		at += used;
	}
	*ret = status;
}

/* ---- the host ----------------------------------------------------------------------------- */

static bool has_cap(unsigned long long caps, int cap)
{
	return caps >> cap & 1;
}

static int check_rights(struct preflight *preflight)
{
	_cleanup_free_ char *text = NULL;
	struct preflight_status own;

	if (proc_read(getpid(), "status", &text, NULL) < 0)
		return 0;
	preflight_parse_status(text, &own);
	if (has_cap(own.effective_caps, CAP_SYS_ADMIN))
		return 0;
	if (!has_cap(own.effective_caps, CAP_BPF) || !has_cap(own.effective_caps, CAP_PERFMON))
		return preflight_block(preflight, "no rights", EPERM, DHAT_EXIT_NOT_PERMITTED,
				       "dhatd may not load BPF programs: run it as root (sudo), or "
				       "with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
	if (!has_cap(own.effective_caps, CAP_SYS_PTRACE))
		return preflight_add(
			preflight, "few rights",
			"without CAP_SYS_PTRACE only processes of the same user can be "
			"looked at");
	return 0;
}

static int check_kernel(struct preflight *preflight)
{
	switch (features_lack()) {
	case FEATURES_LACK_BPF:
		return preflight_block(preflight, "no BPF", ENOSYS, DHAT_EXIT_UNSUPPORTED,
				       "this kernel has no bpf system call (CONFIG_BPF_SYSCALL)");
	case FEATURES_LACK_UPROBES:
		return preflight_block(preflight, "no uprobes", ENOTSUP, DHAT_EXIT_UNSUPPORTED,
				       "this kernel has no uprobes (CONFIG_UPROBE_EVENTS)");
	case FEATURES_LOCKED_DOWN:
		return preflight_block(preflight, "lockdown", EPERM, DHAT_EXIT_UNSUPPORTED,
				       "this kernel is locked down (confidentiality), so that BPF "
				       "programs may not read what they are given");
	case FEATURES_LACK_NOTHING:
		break;
	}
	return 0;
}

int preflight_host(struct preflight *preflight)
{
	int r = check_rights(preflight);

	return r ? r : check_kernel(preflight);
}

/* ---- the process -------------------------------------------------------------------------- */

/* include/linux/sched.h; field 9 of /proc/PID/stat, behind the name, which may hold anything. */
#define PF_KTHREAD 0x00200000u

static bool is_kernel_thread(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	unsigned flags = 0;
	const char *at;

	if (proc_read_main(pid, "stat", &text, NULL) < 0)
		return false;
	at = strrchr(text, ')');
	return at && sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
	       flags & PF_KTHREAD;
}

static int check_state(struct preflight *preflight, pid_t pid, const struct preflight_status *s)
{
	if (s->tgid != s->pid)
		return preflight_block(preflight, "a thread", EINVAL, DHAT_EXIT_UNSUITABLE,
				       "%d is a thread of process %d: attach to that", (int)pid,
				       (int)s->tgid);
	if (s->state == 'Z' || s->state == 'X')
		return preflight_block(preflight, "zombie", ESRCH, DHAT_EXIT_NO_PROCESS,
				       "process %d has ended; its parent has not noticed yet",
				       (int)pid);
	if (is_kernel_thread(pid))
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

bool preflight_is_emulator(const char *path)
{
	static const char *const machines[] = {
		"aarch64", "alpha",	 "arm",	  "hexagon", "hppa",   "i386", "loongarch64",
		"m68k",	   "microblaze", "mips",  "nios2",   "or1k",   "ppc",  "riscv",
		"s390x",   "sh4",	 "sparc", "x86_64",  "xtensa",
	};
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t i;

	/* qemu-system-…, qemu-img and others run their own code and may be looked at */
	for (i = 0; !strncmp(name, "qemu-", 5) && i < ARRAY_SIZE(machines); i++)
		if (!strncmp(name + 5, machines[i], strlen(machines[i])))
			return true;
	return strstr(path, "/valgrind/") && (strstr(name, "-amd64-") || strstr(name, "-x86-"));
}

static int check_machine(struct preflight *preflight, pid_t pid)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX] = "";
	Elf64_Ehdr head;
	int error = proc_open(pid, "exe", &fd);
	bool is_denied = error == -EACCES || error == -EPERM;

	proc_read_link(pid, "exe", path, sizeof(path));
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
	if (preflight_is_emulator(path))
		return preflight_block(preflight, "emulator", ENOTSUP, DHAT_EXIT_UNSUITABLE,
				       "process %d is %s, which translates the code of another "
				       "program: no probe in that is ever reached",
				       (int)pid, path);
	if (fd < 0 || pread(fd, &head, sizeof(head), 0) < EI_NIDENT + 4 ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG))
		return 0; /* ends right now, or is so odd that attaching will tell */
	if (head.e_ident[EI_CLASS] == ELFCLASS32)
		return preflight_block(preflight, "32-bit", ENOTSUP, DHAT_EXIT_UNSUITABLE,
				       "process %d is a 32-bit program; only %s ones can be "
				       "profiled",
				       (int)pid, this_machine.name);
	if (head.e_ident[EI_DATA] != ELFDATA2LSB || head.e_machine != this_machine.elf)
		return preflight_block(preflight, "foreign machine", ENOTSUP, DHAT_EXIT_UNSUITABLE,
				       "process %d is a program for another machine (ELF machine "
				       "%u); only %s ones can be profiled",
				       (int)pid, (unsigned)head.e_machine, this_machine.name);
	return 0;
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

static int check_namespaces(struct preflight *preflight, pid_t pid,
			    const struct preflight_status *s)
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
		snprintf(inside, sizeof(inside), "; inside it is process %d", (int)s->ns_pid);
	return preflight_add(preflight, "container",
			     "the process has another namespace than dhatd (%s)%s; its files are "
			     "read through /proc/%d/root and map_files",
			     list, inside, (int)pid);
}

static int check_seccomp(struct preflight *preflight, const struct preflight_status *s)
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

static int check_tracer(struct preflight *preflight, const struct preflight_status *s)
{
	_cleanup_free_ char *name = NULL;

	if (s->tracer_pid == 0)
		return 0;
	if (proc_read(s->tracer_pid, "comm", &name, NULL) == 0)
		name[strcspn(name, "\n")] = '\0';
	return preflight_add(
		preflight, "traced",
		"process %d (%s) traces it: while that stops it nothing is counted, and "
		"a breakpoint of its own on a probed place will not be hit",
		(int)s->tracer_pid, name ? name : "unknown");
}

/* The numbers are those of the process; how it goes, a thread that lives tells. */
static int read_status(pid_t pid, struct preflight_status *ret)
{
	_cleanup_free_ char *text = NULL, *living = NULL;
	struct preflight_status status;
	int r = proc_read_main(pid, "status", &text, NULL);

	if (r == 0)
		r = proc_read(pid, "status", &living, NULL);
	if (r < 0)
		return r;
	preflight_parse_status(text, ret);
	preflight_parse_status(living, &status);
	ret->state = status.state;
	ret->tracer_pid = status.tracer_pid;
	ret->seccomp_mode = status.seccomp_mode;
	ret->seccomp_filters = status.seccomp_filters;
	return 0;
}

int preflight_process(struct preflight *preflight, pid_t pid)
{
	struct preflight_status status;
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
	return r ? r : check_tracer(preflight, &status);
}

/* ---- what the ELF files say ---------------------------------------------------------------- */

int preflight_executable(struct preflight *preflight, const struct object_desc *executable,
			 const char *path, size_t site_count)
{
	static const char how[] =
		"name its functions with --alloc 'BINARY:FUNCTION(size=arg1)' and "
		"--free 'BINARY:FUNCTION(ptr=arg1)', or BINARY+0xADDRESS";

	if (executable && executable->is_go && site_count == 0)
		return preflight_block(preflight, "go", ENOTSUP, DHAT_EXIT_NO_ALLOCATOR,
				       "%s is a Go program, whose heap does not come from malloc: "
				       "use Go's own profiler (net/http/pprof)",
				       path);
	if (executable && executable->is_go)
		return preflight_add(
			preflight, "go",
			"a Go program: only what its C code allocates is seen, its own "
			"heap is not");
	if (site_count > 0)
		return 0;
	if (executable && executable->is_static && !executable->has_symtab &&
	    executable->entry_count > 0)
		return preflight_add(
			preflight, "static and stripped",
			"%s is linked statically and has no symbols: an attach looks for its "
			"allocator by its code, and is refused if that proves nothing",
			path);
	if (executable && executable->is_static && !executable->has_symtab)
		return preflight_block(
			preflight, "static and stripped", ENOENT, DHAT_EXIT_NO_ALLOCATOR,
			"%s is linked statically and has no symbols, so its allocator "
			"cannot be found: %s",
			path, how);
	return preflight_block(preflight, "no allocator", ENOENT, DHAT_EXIT_NO_ALLOCATOR,
			       "no known allocator in process (%s): %s", path, how);
}

int preflight_sites(struct preflight *preflight, const struct sites *sites, const char *path)
{
	size_t i;
	int r = 0;

	for (i = 0; i < sites->count && r == 0; i++) {
		const struct site *site = &sites->list[i];

		if (site->is_refused)
			r = preflight_add(preflight, "unseen function",
					  "%s of %s: %s; what it does is "
					  "not counted",
					  site->function, path, site->note);
		else if (site->is_unknown)
			r = preflight_add(preflight, "unknown function",
					  "%s of %s looks like one of %s that dhatd does not know: "
					  "its calls are counted, and the first one makes the "
					  "profile inexact",
					  site->function, path, site->allocator);
		else if (!site->is_emulated)
			r = preflight_add(preflight, "slow probe",
					  "%s of %s has to be single-stepped, which costs some ten "
					  "times what the others do",
					  site->function, path);
		else if (site->is_repeated)
			r = preflight_add(preflight, "repeated probe",
					  "%s of %s jumps back to its entry: its probe may be hit "
					  "several times a call",
					  site->function, path);
	}
	return r;
}

int preflight_hidden(struct preflight *preflight, const struct object_desc *desc, const char *path,
		     uint32_t makers)
{
	char text[HIDDEN_TEXT_CHARS];
	int r = 0;

	for (unsigned maker = 0; maker < OBJECT_MAKER_COUNT && r == 0; maker++) {
		if (!(makers >> maker & 1))
			continue;
		hidden_describe(desc, path, maker, text, sizeof(text));
		r = preflight_partial(preflight, "hidden allocator", "%s", text);
	}
	return r;
}

/* ---- programs that copy their code ---------------------------------------------------------- */

/* What is done at the start of a program is done by then. */
#define YOUNG_NS 5000000000ull

static bool is_young(pid_t pid)
{
	uint64_t began_ns = identity_start_ticks(pid) * (1000000000 / sysconf(_SC_CLK_TCK));

	return clock_now_ns(CLOCK_BOOTTIME) < began_ns + YOUNG_NS;
}

/* libhugetlbfs(7): a program that it is linked to, or preloaded into, has its segments moved. */
static bool has_elfmap(pid_t pid)
{
	static const char name[] = "HUGETLB_ELFMAP=";
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	if (proc_read(pid, "environ", &text, &size))
		return false;
	for (const char *at = text; at < text + size; at += strlen(at) + 1)
		if (!strncmp(at, name, strlen(name)))
			return at[strlen(name)] && strcmp(at + strlen(name), "no") != 0;
	return false;
}

int preflight_copier(struct preflight *preflight, const struct object_desc *desc, const char *path,
		     pid_t pid, bool from_start)
{
	const char *by = desc->copier ? desc->copier_name : "HUGETLB_ELFMAP";
	enum copier copier = desc->copier;

	if (copier == COPIER_NONE && desc->is_program && has_elfmap(pid))
		copier = COPIER_DOES;
	if (copier == COPIER_NONE)
		return 0;
	if (copier == COPIER_DOES && (from_start || is_young(pid)))
		return preflight_block(preflight, "copies its code", ENOTSUP, DHAT_EXIT_UNSUITABLE,
				       "%s copies its own code at its start (%s): made while it is "
				       "probed, the copy would have the breakpoints, and the "
				       "process would die of them; let it start alone, and attach "
				       "by --pid after %llu s",
				       path, by, YOUNG_NS / 1000000000);
	if (copier == COPIER_DOES)
		return 0; /* it has done so */
	return preflight_add(preflight, "copies its code",
			     "%s can copy its own code to other memory (%s): if it does so while "
			     "it is watched, the copy has breakpoints, and the process may die of "
			     "them: LIMITS in dhatd(8)",
			     path, by);
}

static bool is_between(const struct procmaps_entry *before, const struct procmaps_entry *entry,
		       const struct procmaps_entry *behind)
{
	return before->inode && procmaps_is_same_file(before, behind) &&
	       before->end == entry->start && entry->end == behind->start &&
	       behind->file_offset - before->file_offset == behind->start - before->start;
}

int preflight_copied(struct preflight *preflight, const struct procmaps *maps)
{
	for (size_t i = 1; i + 1 < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];

		if (!entry->is_executable || entry->inode || entry->path[0] ||
		    !is_between(entry - 1, entry, entry + 1))
			continue;
		return preflight_add(preflight, "copied code",
				     "%" PRIu64 " KiB of %s are a copy in memory of no file: "
				     "functions there cannot be probed, and frames there have no "
				     "names",
				     (entry->end - entry->start) / 1024, entry[-1].path);
	}
	return 0;
}
