#include "check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/kernel/features.h"
#include "daemon/proc/status.h"
#include "proto/base/cleanup.h"

/* `dhatd run` traces its program until the probes are in place; then it is a target. */
static int check_own(pid_t pid, struct dhat_error *err)
{
	struct proc_status status;

	if (proc_status_read(pid, &status) || status.tracer_pid != getpid())
		return 0;
	return dhat_error_set(err, EALREADY, DHAT_EXIT_ALREADY,
			      "process %d is just being started by this dhatd: it will be a target "
			      "in a moment",
			      (int)pid);
}

int check_process(pid_t pid, bool from_start, struct preflight *ret, struct dhat_error *err)
{
	int error = from_start ? 0 : check_own(pid, err);

	if (error == 0)
		error = preflight_host(ret);
	if (error == 0 && !from_start)
		error = preflight_process(ret, pid);
	return error ? error : preflight_verdict(ret, err);
}

struct check_returns check_returns(enum uprobe_kind kind, bool has_seccomp, bool is_asked_for)
{
	struct check_returns returns = { .avoids_probes = is_asked_for };

	if (has_seccomp && !is_asked_for && features_return_probes_kill(kind)) {
		returns.avoids_probes = true;
		returns.note = "this kernel would let the target's seccomp filter kill it "
			       "at a return probe: exit probes are used instead";
	}
	return returns;
}

int check_nothing_found(const struct objects *objects, const char *executable,
			struct dhat_error *err)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	const struct object_desc *desc = NULL;
	int error;

	for (size_t i = 0; i < objects->count && !desc; i++) {
		const struct object_slot *slot = objects_at(objects, i);

		if (slot->path && slot->survey && strcmp(slot->path, executable) == 0)
			desc = &slot->survey->desc;
	}
	error = preflight_executable(&preflight, desc, executable, 0);
	return error ? error : preflight_verdict(&preflight, err);
}
