/* What must be known of a target before it is attached to. */
#include "private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/kernel/selftest.h"
#include "identity.h"
#include "preflight.h"
#include "proto/base/cleanup.h"

/* `dhatd run` traces its program until the probes are in place; then it is a target. */
static int check_own(const struct target *target, struct dhat_error *err)
{
	_cleanup_free_ char *status = NULL;
	const char *line;

	if (target->options.from_start || proc_read(target->pid, "status", &status, NULL))
		return 0;
	line = strstr(status, "\nTracerPid:");
	if (!line || atoi(line + strlen("\nTracerPid:")) != getpid())
		return 0;
	return dhat_error_set(err, EALREADY, DHAT_EXIT_ALREADY,
			      "process %d is just being started by this dhatd: it will be a target "
			      "in a moment",
			      (int)target->pid);
}

/* The hazards that do not stand in the way are kept as notes. */
int target_preflight(struct target *target, struct dhat_error *err)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	int error = check_own(target, err);

	if (error == 0)
		error = preflight_host(&preflight);
	/* of a program that is being started all the rest is as we made it */
	if (error == 0 && !target->options.from_start)
		error = preflight_process(&preflight, target->pid);
	if (error == 0)
		error = preflight_verdict(&preflight, err);
	for (size_t i = 0; i < preflight.count && error == 0; i++)
		error = texts_add(&target->notes, preflight.hazards[i].detail);
	target->has_seccomp = preflight.has_seccomp;
	return error;
}

int target_explain_nothing(const struct target *target, struct dhat_error *err)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	const struct object_desc *executable = NULL;
	int error;

	for (size_t i = 0; i < target->objects.count && !executable; i++) {
		const struct object_slot *slot = objects_at(&target->objects, i);

		if (slot->path && strcmp(slot->path, target->identity.executable) == 0)
			executable = slot->desc;
	}
	error = preflight_executable(&preflight, executable, target->identity.executable, 0);
	return error ? error : preflight_verdict(&preflight, err);
}

/* What a kind of link does to a process with a filter is the kernel's way: asked once. */
static bool return_probes_kill(enum uprobe_kind kind)
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

int target_choose_returns(struct target *target)
{
	target->avoids_return_probes = target->options.no_return_probes;
	if (!target->has_seccomp || target->avoids_return_probes ||
	    !return_probes_kill(target->kind))
		return 0;
	target->avoids_return_probes = true;
	return texts_add(&target->notes,
			 "this kernel would let the target's seccomp filter kill it "
			 "at a return probe: exit probes are used instead");
}
