/* Moments of a target that people have named. */
#include "private.h"

#include "proto/base/cleanup.h"
#include "proto/profile/mark.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

_Static_assert(MOMENTS_NAME_CHARS > DHAT_MARK_MAX_CHARS, "a moment has room for a mark's name");

int target_mark(struct target *target, const char *name, struct dhat_error *err)
{
	int error = -ESRCH;

	if (!dhat_is_mark_name(name))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "a mark's name has " DHAT_MARK_NAMES);
	target_drain_now(target);
	target_lock(target);
	if (target->life.state == TARGET_ATTACHED)
		error = heap_mark(target->heap, name, clock_now_ns(CLOCK_MONOTONIC));
	target_unlock(target);
	if (error == -ESRCH)
		return dhat_error_set(
			err, ESRCH, DHAT_EXIT_NO_PROCESS,
			"process %d is not watched any more: there is nothing to mark",
			(int)target->pid);
	if (error == -EEXIST)
		return dhat_error_set(err, EEXIST, DHAT_EXIT_ALREADY,
				      "process %d has a mark %s already: give another name, or "
				      "first `dhatctl mark --remove %s'",
				      (int)target->pid, name, name);
	if (error == -ENOSPC)
		return dhat_error_set(err, ENOSPC, DHAT_EXIT_FAILED,
				      "process %d has %d marks, and cannot have more: `dhatctl "
				      "mark' lists them, `dhatctl mark --remove NAME' removes one",
				      (int)target->pid, MOMENTS_MAX);
	return error;
}

/* "a, b, c"; what has no room is left out. With `lock`. */
static void list_names(const struct moments *moments, char *ret, size_t size)
{
	size_t used = 0;

	*ret = '\0';
	for (uint32_t i = 0; i < moments->count; i++) {
		const char *name = moments->list[i].name;

		if (used + strlen(name) + strlen(", …") >= size) {
			snprintf(ret + used, size - used, ", …");
			return;
		}
		used += snprintf(ret + used, size - used, "%s%s", i ? ", " : "", name);
	}
}

int target_unmark(struct target *target, const char *name, struct dhat_error *err)
{
	char names[256];
	int error;

	target_lock(target);
	error = heap_unmark(target->heap, name);
	list_names(heap_moments(target->heap), names, sizeof(names));
	target_unlock(target);
	if (error == -ENOENT && !dhat_is_mark_name(name))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "a mark's name has " DHAT_MARK_NAMES);
	if (error == -ENOENT)
		return dhat_error_set(err, ENOENT, DHAT_EXIT_USAGE,
				      "process %d has no mark %s; it has: %s", (int)target->pid,
				      name, *names ? names : "none");
	return error;
}
