#include "check.h"

#include <errno.h>
#include <unistd.h>

#include "daemon/kernel/features.h"
#include "daemon/proc/status.h"
#include "identity.h"
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

static const struct object_desc *find_executable(const struct objects *objects,
						 const struct target_identity *identity)
{
	for (size_t i = 0; i < objects->count; i++) {
		const struct object_slot *slot = objects_at(objects, i);

		if (slot->survey && identity_is_executable(identity, slot->fd))
			return &slot->survey->desc;
	}
	return NULL;
}

int check_found(const struct objects *objects, const struct target_identity *identity,
		struct findings *findings)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	int error = preflight_executable(&preflight, find_executable(objects, identity),
					 identity->executable, 1);

	for (size_t i = 0; i < preflight.count && error == 0; i++) {
		const struct preflight_hazard *hazard = &preflight.hazards[i];

		error = hazard->is_partial
				? findings_partial(findings, hazard->name, 0, "%s", hazard->detail)
				: findings_note(findings, hazard->detail);
	}
	return error;
}

int check_nothing_found(const struct objects *objects, const struct target_identity *identity,
			struct dhat_error *err)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	int error = preflight_executable(&preflight, find_executable(objects, identity),
					 identity->executable, 0);

	if (error == 0)
		error = preflight_verdict(&preflight, err);
	if (error)
		return error;
	/* what a plan leaves open was tried: its code proves nothing */
	return dhat_error_set(err, ENOENT, DHAT_EXIT_NO_ALLOCATOR,
			      "%s is linked statically and has no symbols, and its code shows no "
			      "allocator that is known: name its functions with --alloc "
			      "'BINARY+0xADDRESS(size=arg1)' and --free "
			      "'BINARY+0xADDRESS(ptr=arg1)'",
			      identity->executable);
}
