#include "judge.h"

#include "daemon/serve/taken.h"
#include "proto/base/cleanup.h"
#include "proto/export/gate.h"

#include <errno.h>
#include <stdio.h>

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

/* What goes on under the same number as another program is judged there: a shell that starts a test
 * is not what was meant. */
static bool goes_on(const struct target *target, struct target *const *later, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (target_pid(later[i]) == target_pid(target))
			return true;
	return false;
}

static int check_end(struct target *target, struct dhat_error *err)
{
	enum target_state state = target_state_of(target);
	char name[DHAT_PROGRAM_CHARS];

	if (state == TARGET_EXITED || state == TARGET_KILLED)
		return 0;
	target_name(target, name);
	if (state == TARGET_REPLACED)
		return dhat_error_set(
			err, EINVAL, DHAT_EXIT_FAILED,
			"the conditions were not judged: %s has executed another program, which "
			"could not be watched",
			name);
	return dhat_error_set(err, EINVAL, DHAT_EXIT_FAILED,
			      "the conditions were not judged: %s has not ended", name);
}

static int judge(struct dhatd *dhatd, struct target *target, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	const struct taken_options options = { .book = dhatd->book };
	struct dhat_error why = { 0 };
	int error = check_end(target, err);

	if (error == 0)
		error = taken_snapshot(target, dhatd->symbolizer, &options, &snapshot, &why);
	if (error == -EBUSY) { /* whoever takes a copy just now has to stand back */
		control_free(take_ptr(dhatd->control));
		why = (struct dhat_error){ 0 };
		error = taken_snapshot(target, dhatd->symbolizer, &options, &snapshot, &why);
	}
	if (error && why.code)
		dhat_error_set(err, -error, why.code, "%s", why.message);
	return error ?: dhat_gate_judge(&dhatd->options.gate, take_ptr(snapshot), err);
}

int judge_all(struct dhatd *dhatd, struct target *const *list, size_t count,
	      enum dhat_exit *ret_code, struct dhat_error *err)
{
	int error = 0;

	if (!dhat_gate_is_asked(&dhatd->options.gate))
		return 0;
	for (size_t i = 0; i < count && error == 0; i++)
		if (!goes_on(list[i], list + i + 1, count - i - 1))
			error = judge(dhatd, list[i], err);
	/* the program's own output has the standard output */
	return error
		       ?: dhat_gate_finish(&dhatd->options.gate, stderr, false, "dhatd", ret_code,
					   err);
}
