#include "uprobe.h"

#include "proto/base/cleanup.h"
#include "proto/wire/words.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Debian 12's headers and libbpf end before these: include/uapi/linux/bpf.h of 6.6 and 6.13 */
#define ATTACH_TYPE_UPROBE_MULTI 48
#define ATTACH_TYPE_UPROBE_SESSION 57
#define ATTACH_TYPE_PERF_EVENT 41
#define UPROBE_MULTI_RETURN 1

struct link_create_uprobe_multi { /* the part of union bpf_attr for BPF_LINK_CREATE */
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t count, multi_flags, pid, pad;
};

static const char *const kind_names[UPROBE_KINDS] = { DHAT_LINK_NAMES };

const char *uprobe_kind_name(enum uprobe_kind kind)
{
	return kind_names[kind];
}

enum uprobe_kind uprobe_kind_of_name(const char *name)
{
	int kind = 0;

	while (kind < UPROBE_KINDS && strcmp(kind_names[kind], name) != 0)
		kind++;
	return kind;
}

int uprobe_attach_type(enum uprobe_kind kind)
{
	switch (kind) {
	case UPROBE_SESSION:
		return ATTACH_TYPE_UPROBE_SESSION;
	case UPROBE_MULTI:
		return ATTACH_TYPE_UPROBE_MULTI;
	default:
		return 0;
	}
}

/* What the links of one call have in common. */
struct attaching {
	enum uprobe_kind kind;
	const struct uprobe_programs *programs;
	pid_t pid;
	const char *path;
	struct holder *holder;
	bool places_nothing; /* perf: for what is mapped later only, and that is nothing */
};

static bool is_plain(const struct attaching *to, const struct uprobe_site *site)
{
	return to->kind == UPROBE_SESSION && !site->wants_return && to->programs->plain;
}

static int program_for(const struct attaching *to, const struct uprobe_site *site, bool is_return)
{
	if (is_plain(to, site))
		return to->programs->plain;
	return is_return ? to->programs->on_return : to->programs->entry;
}

/* One link a place, though it could be one for many: when we are killed while the kernel is placing
 * the second of two breakpoints, it cannot take back the first (see holder.h); of one alone either
 * nothing is there yet or the link is. 24 links take 0.3 ms to make, and to let go 5 to 75 ms. */
static int attach_multi_one(const struct attaching *to, const struct uprobe_site *site,
			    bool is_return)
{
	struct link_create_uprobe_multi attr = {
		.prog_fd = program_for(to, site, is_return),
		.attach_type = uprobe_attach_type(is_plain(to, site) ? UPROBE_MULTI : to->kind),
		.path = (uintptr_t)to->path,
		.offsets = (uintptr_t)&site->file_offset,
		.cookies = (uintptr_t)&site->cookie,
		.count = 1,
		.multi_flags = is_return ? UPROBE_MULTI_RETURN : 0,
		.pid = to->pid,
	};
	int fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr)), error;

	if (fd < 0)
		return -errno;
	error = holder_keep(to->holder, fd);
	if (error)
		holder_close(&fd, 1);
	return error;
}

/* Type and retprobe bit of the uprobe PMU: Documentation/trace/uprobetracer.rst and
 * /sys/bus/event_source/devices/uprobe. */
static int read_pmu(const char *file, unsigned *ret)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[96];

	snprintf(path, sizeof(path), "/sys/bus/event_source/devices/uprobe/%s", file);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	/* "9", or "config:0" */
	return fscanf(f, "%*[^0-9]") >= 0 && fscanf(f, "%u", ret) == 1 ? 0 : -EINVAL;
}

int uprobe_settle(pid_t pid, const char *path, uint64_t file_offset)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.uprobe_path = (uintptr_t)path,
		.probe_offset = file_offset,
		.disabled = 1, /* the breakpoint is there all the same */
	};
	unsigned type = 0;
	int fd, error = read_pmu("type", &type);

	if (error)
		return error;
	attr.type = type;
	fd = syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	holder_close(&fd, 1);
	return 0;
}

/* By hand, as the other kinds are: the holder wants the descriptor of a link, and no libbpf object
 * that closes what it holds. */
static int attach_perf_one(const struct attaching *to, const struct uprobe_site *site,
			   bool is_return)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.uprobe_path = (uintptr_t)to->path,
		.probe_offset = site->file_offset,
		/* the kernel then leaves it to exec to place the breakpoints */
		.enable_on_exec = to->places_nothing,
		.disabled = to->places_nothing,
	};
	union bpf_attr link = { 0 };
	unsigned type = 0, bit = 0;
	int event, fd, error = read_pmu("type", &type);

	if (error == 0)
		error = read_pmu("format/retprobe", &bit);
	if (error)
		return error;
	attr.type = type;
	attr.config = is_return ? 1ULL << bit : 0;
	event = syscall(SYS_perf_event_open, &attr, to->pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return -errno;
	link.link_create.prog_fd = program_for(to, site, is_return);
	link.link_create.target_fd = event;
	link.link_create.attach_type = ATTACH_TYPE_PERF_EVENT;
	link.link_create.perf_event.bpf_cookie = site->cookie;
	fd = syscall(SYS_bpf, BPF_LINK_CREATE, &link, sizeof(link));
	error = fd < 0 ? -errno : holder_keep(to->holder, fd);
	if (error)
		holder_close((int[]){ event, fd }, fd < 0 ? 1 : 2);
	else
		close(event); /* the link holds it */
	return error;
}

/* Returns first: an entry that comes between would wait for its return in vain. */
static int attach_all(const struct attaching *to, const struct uprobe_site *sites, size_t count)
{
	int (*attach_one)(const struct attaching *, const struct uprobe_site *, bool) =
		to->kind == UPROBE_PERF ? attach_perf_one : attach_multi_one;
	int error = 0;

	for (size_t i = 0; i < count && error == 0 && to->kind != UPROBE_SESSION; i++)
		if (sites[i].wants_return)
			error = attach_one(to, &sites[i], true);
	for (size_t i = 0; i < count && error == 0; i++)
		error = attach_one(to, &sites[i], false);
	return error;
}

int uprobe_attach(enum uprobe_kind kind, const struct uprobe_programs *programs, pid_t pid,
		  const char *path, const struct uprobe_site *sites, size_t count,
		  struct holder *holder, struct dhat_error *err)
{
	const struct attaching to = {
		.kind = kind, .programs = programs, .pid = pid, .path = path, .holder = holder
	};
	size_t before = holder_count(holder);
	int error = attach_all(&to, sites, count);

	if (error == 0)
		return 0;
	holder_let_go(holder, before);
	return dhat_error_errno(err, -error, "cannot place %zu %s probes in %s", count,
				uprobe_kind_name(kind), path);
}

/* ---- guards ---------------------------------------------------------------------------------- */

/* A process that has no memory any more, and is waited for by nobody yet. */
static pid_t make_zombie(void)
{
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			syscall(SYS_exit_group, 0);
	while (pid > 0 && waitid(P_PID, pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
	return pid;
}

int uprobe_guard(enum uprobe_kind kind, const struct uprobe_programs *programs, const char *path,
		 const struct uprobe_site *sites, size_t count, struct holder *holder)
{
	_cleanup_free_ struct uprobe_site *entries = calloc(count + 1, sizeof(*entries));
	struct attaching to = { .kind = kind,
				.programs = programs,
				.pid = kind == UPROBE_PERF ? getpid() : make_zombie(),
				.path = path,
				.holder = holder,
				.places_nothing = true };
	int error = entries ? 0 : -ENOMEM;

	if (to.pid < 0)
		return -EAGAIN;
	for (size_t i = 0; i < count && error == 0; i++)
		entries[i].file_offset = sites[i].file_offset;
	if (error == 0)
		error = attach_all(&to, entries, count);
	while (kind != UPROBE_PERF && waitpid(to.pid, NULL, 0) < 0 && errno == EINTR)
		;
	return error;
}

/* Where uprobe_try() puts its probe. */
__attribute__((noinline, used)) static void uprobe_try_site(void)
{
	__asm__ volatile("");
}

/* File offset of an address of our own executable. */
static int own_file_offset(uintptr_t addr, uint64_t *ret)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end, offset;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 && addr >= start &&
		    addr < end) {
			*ret = addr - start + offset;
			return 0;
		}
	}
	return -ENOENT;
}

int uprobe_try(enum uprobe_kind kind, const struct uprobe_programs *programs,
	       struct dhat_error *err)
{
	struct uprobe_site site = { .wants_return = true };
	struct holder *holder = NULL;
	int error = own_file_offset((uintptr_t)uprobe_try_site, &site.file_offset);

	if (error)
		return dhat_error_errno(err, -error, "cannot find our own code");
	error = holder_new(&holder);
	if (error == 0)
		error = uprobe_attach(kind, programs, getpid(), "/proc/self/exe", &site, 1, holder,
				      NULL);
	holder_free(holder);
	if (error)
		return dhat_error_set(err, -error, DHAT_EXIT_UNSUPPORTED,
				      "this kernel has no %s links (%s): leave --link out, or try "
				      "--link perf",
				      uprobe_kind_name(kind), strerror(-error));
	return 0;
}
