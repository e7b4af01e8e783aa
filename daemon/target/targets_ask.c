/* Which of the targets somebody means, and what is said to whoever means none. */
#include "targets_private.h"

#include "proto/base/program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* With `lock`: " 12 (nginx), 34 (redis-server)": the choice, for an error. What there is no room
 * for is counted. */
static void list_names(struct targets *targets, char *ret, size_t size)
{
	size_t used = 0, i;

	ret[0] = '\0';
	for (i = 0; i < targets->count && used + DHAT_PROGRAM_CHARS + 40 < size; i++) {
		char name[DHAT_PROGRAM_CHARS];

		target_name(targets->entries[i].target, name);
		used += snprintf(ret + used, size - used, "%s %d (%s%s)", i ? "," : "",
				 (int)target_pid(targets->entries[i].target), name,
				 targets->entries[i].is_over ? ", ended" : "");
	}
	if (i < targets->count)
		snprintf(ret + used, size - used, " and %zu more", targets->count - i);
}

/* With `lock`. */
static int not_yet(struct targets *targets, pid_t pid, struct dhat_error *err)
{
	for (size_t i = 0; i < targets->reserved_count; i++)
		if (!pid || targets->reserved[i].pid == pid)
			return dhat_error_set(err, EAGAIN, DHAT_EXIT_NOT_YET,
					      "attaching to %d ...: ask again in a moment, or with "
					      "--wait",
					      (int)targets->reserved[i].pid);
	if (targets->is_starting)
		return dhat_error_set(err, EAGAIN, DHAT_EXIT_NOT_YET,
				      "dhatd is just starting: ask again in a moment, or with "
				      "--wait");
	return 0;
}

/* With `lock`. */
static int choose_program(struct targets *targets, const char *program, struct target **ret,
			  struct dhat_error *err)
{
	char names[400], name[DHAT_PROGRAM_CHARS];

	for (size_t i = 0; i < targets->count; i++) {
		const struct entry *entry = &targets->entries[i];

		target_name(entry->target, name);
		if (entry->is_over || strcmp(name, program) != 0)
			continue;
		*ret = target_ref(entry->target);
		return 0;
	}
	if (not_yet(targets, 0, err))
		return -EAGAIN;
	list_names(targets, names, sizeof(names));
	return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
			      "no process of %s is attached; attached:%s", program,
			      names[0] ? names : " none");
}

static int choose(struct targets *targets, pid_t pid, const char *how, struct target **ret,
		  struct dhat_error *err)
{
	struct target *only = NULL, *last = NULL;
	size_t attached = 0, matching = 0;
	char names[400];

	list_names(targets, names, sizeof(names));
	for (size_t i = 0; i < targets->count; i++) {
		const struct entry *entry = &targets->entries[i];

		if (pid && target_pid(entry->target) != pid)
			continue;
		matching++;
		last = entry->target;
		if (!entry->is_over) {
			attached++;
			only = entry->target;
		}
	}
	if (matching == 0 && not_yet(targets, pid, err))
		return -EAGAIN;
	if (matching == 0 && pid)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "process %d is not attached; attached:%s", (int)pid,
				      names[0] ? names : " none");
	if (matching == 0)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "nothing is attached: dhatctl attach --pid N");
	/* of several profiles of one pid (before and after an exec) the newest */
	if (!only && (pid || matching == 1))
		only = last;
	if (!only || (attached > 1 && !pid))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "several processes are attached: choose %s:%s", how, names);
	*ret = target_ref(only);
	return 0;
}

int targets_ask(struct targets *targets, const struct targets_question *question,
		struct target **ret, struct dhat_error *err)
{
	int error;

	pthread_mutex_lock(&targets->lock);
	if (question->program && !question->pid)
		error = choose_program(targets, question->program, ret, err);
	else
		error = choose(targets, question->pid, question->how, ret, err);
	pthread_mutex_unlock(&targets->lock);
	return error;
}

int targets_find(struct targets *targets, pid_t pid, struct target **ret, struct dhat_error *err)
{
	const struct targets_question question = { .pid = pid, .how = "with --pid" };

	return targets_ask(targets, &question, ret, err);
}
