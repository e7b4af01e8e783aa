#include "preflight.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/kernel/features.h"
#include "daemon/proc/status.h"
#include "proto/base/cleanup.h"

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

/* ---- the host ----------------------------------------------------------------------------- */

static bool has_cap(unsigned long long caps, int cap)
{
	return caps >> cap & 1;
}

int preflight_rights(struct preflight *preflight, unsigned long long caps, bool is_root)
{
	bool may_all = has_cap(caps, CAP_SYS_ADMIN);

	if (!may_all && (!has_cap(caps, CAP_BPF) || !has_cap(caps, CAP_PERFMON)))
		return preflight_block(preflight, "no rights", EPERM, DHAT_EXIT_NOT_PERMITTED,
				       "dhatd may not load BPF programs: run it as root (sudo), or "
				       "with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
	/* sandbox.c: the worker of root's becomes somebody else */
	if (is_root && (!has_cap(caps, CAP_SETUID) || !has_cap(caps, CAP_SETGID)))
		return preflight_block(
			preflight, "no rights", EPERM, DHAT_EXIT_NOT_PERMITTED,
			"dhatd is root without CAP_SETUID and CAP_SETGID: its helper, which "
			"reads programs and libraries, could not give up being root; leave it "
			"both (CapabilityBoundingSet= of a unit), or run dhatd as another "
			"user with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
	if (!has_cap(caps, CAP_SYS_PTRACE))
		return preflight_add(
			preflight, "few rights",
			"without CAP_SYS_PTRACE only processes of the same user can be "
			"looked at");
	return 0;
}

static int check_rights(struct preflight *preflight)
{
	struct proc_status own;

	if (proc_status_read(getpid(), &own) < 0)
		return 0;
	return preflight_rights(preflight, own.effective_caps, geteuid() == 0);
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
