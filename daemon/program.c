#include "program.h"

#include "proto/base/cleanup.h"
#include "proto/base/say.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

DEFINE_CLEANUP_PTR(struct target *, target_unref)
DEFINE_CLEANUP_PTR(struct target_copy *, target_copy_free)

/* What a thread of ours holds by ptrace is waited for as if it were a child: its stops, too. */
static bool has_ended(const siginfo_t *info)
{
	return info->si_pid && (info->si_code == CLD_EXITED || info->si_code == CLD_KILLED ||
				info->si_code == CLD_DUMPED);
}

bool program_runs_on(const struct dhatd *dhatd)
{
	siginfo_t info = { 0 };

	return dhatd->program &&
	       waitid(P_PID, dhatd->program, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       !has_ended(&info);
}

/* Who watches it has waited for it, too; nobody has if its last program could not be watched. */
static bool wait_status(struct dhatd *dhatd, int *ret)
{
	_cleanup_(target_unref_ptr) struct target *target = NULL;

	if (targets_find(dhatd->targets, dhatd->program, &target, NULL) == 0 &&
	    target_wait_status(target, ret))
		return true;
	return waitpid(dhatd->program, ret, WNOHANG) == dhatd->program;
}

int program_status(struct dhatd *dhatd)
{
	int status;

	if (!dhatd->program || !wait_status(dhatd, &status))
		return 0;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static bool is_wrapper(struct target *const *list, size_t count, size_t at)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	bool has_next = false;

	for (size_t i = at + 1; i < count; i++)
		has_next |= target_pid(list[i]) == target_pid(list[at]);
	return has_next && target_copy(list[at], false, &copy, NULL) == 0 &&
	       copy->state == TARGET_REPLACED &&
	       copy->end_ns - copy->observed_since_ns < PROGRAM_WRAPPER_NS;
}

/* "nice, sh, env" */
static void add_name(const struct target *target, char *ret, size_t size)
{
	char name[DHAT_PROGRAM_CHARS];
	size_t used = strlen(ret);

	target_name(target, name);
	snprintf(ret + used, size - used, "%s%s", used ? ", " : "", name);
}

size_t program_leave_out_wrappers(const struct dhatd *dhatd, struct target **list, size_t count)
{
	char names[256] = "";
	size_t left = 0;

	if (!dhatd->program || dhatd->options.target.follow_exec)
		return count;
	for (size_t i = 0; i < count; i++) {
		if (is_wrapper(list, count, i)) {
			add_name(list[i], names, sizeof(names));
			target_unref(list[i]);
		} else {
			list[left++] = list[i];
		}
	}
	if (left < count)
		dhat_say("dhatd",
			 "left out: %s, which soon executed another program (--follow-exec keeps "
			 "their profiles)",
			 names);
	return left;
}
