#include "choice.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "proto/base/program.h"
#include "proto/base/say.h"
#include "proto/base/units.h"
#include "proto/wire/words.h"

static bool is_attached(const Dhat__TargetStatus *status)
{
	return status->target && !strcmp(status->target->state, DHAT_STATE_ATTACHED);
}

static size_t count_attached(const Dhat__Status *status)
{
	size_t count = 0;

	for (size_t i = 0; i < status->n_targets; i++)
		count += is_attached(status->targets[i]);
	return count;
}

static void print_one(const Dhat__TargetStatus *status)
{
	char name[DHAT_PROGRAM_CHARS], size[DHAT_UNIT_CHARS];

	dhat_program_name(status->target->command, status->target->executable, name);
	dhat_say("dhatctl", "%8" PRIu32 "  %-20s %s live", status->target->pid, name,
		 dhat_format_size(status->totals ? status->totals->live_bytes : 0, size));
}

static bool has_all(const char *command)
{
	static const char *const commands[] = { "stats", "suspects", "explain" };

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(command, commands[i]))
			return true;
	return false;
}

int choice_check(const char *socket_path, const char *command, struct dhat_error *err)
{
	Dhat__Response *response = NULL;
	const Dhat__TargetStatus *first = NULL;
	const Dhat__Status *status;
	int r;

	r = client_status(socket_path, &response, err);
	if (!response)
		return r;
	status = response->status;
	if (count_attached(status) > 1) {
		for (size_t i = 0; i < status->n_targets; i++) {
			if (!is_attached(status->targets[i]))
				continue;
			first = first ? first : status->targets[i];
			print_one(status->targets[i]);
		}
		r = dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				   "several processes are attached: say which, as in `dhatctl %s "
				   "%" PRIu32 "'%s",
				   command, first->target->pid,
				   has_all(command) ? "; --all puts those of one program together"
						    : "");
	}
	dhat__response__free_unpacked(response, NULL);
	return r;
}

int choice_all(const char *socket_path, uint32_t **ret_pids, size_t *ret_count,
	       struct dhat_error *err)
{
	Dhat__Response *response = NULL;
	size_t attached, count = 0;
	uint32_t *pids;
	bool is_early;
	int r;

	r = client_status(socket_path, &response, err);
	if (!response)
		return r;
	attached = count_attached(response->status);
	is_early = client_is_early(response->status);
	pids = calloc(response->status->n_targets + 1, sizeof(*pids));
	for (size_t i = 0; pids && i < response->status->n_targets; i++) {
		const Dhat__TargetStatus *status = response->status->targets[i];

		if (status->target && (is_attached(status) || !attached))
			pids[count++] = status->target->pid;
	}
	dhat__response__free_unpacked(response, NULL);
	if (!pids)
		return dhat_error_errno(err, ENOMEM, "cannot list the targets");
	if (!count) {
		free(pids);
		if (is_early)
			return dhat_error_set(err, EAGAIN, DHAT_EXIT_NOT_YET,
					      "dhatd is still attaching: ask again in a moment, "
					      "or with --wait");
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "nothing is attached: dhatctl attach --pid N");
	}
	if (is_early)
		dhat_say("dhatctl", "dhatd is still attaching to others: these are not all "
				    "(--wait)");
	*ret_pids = pids;
	*ret_count = count;
	return 0;
}

/* Only the target asked for stays. */
static int select_target(Dhat__Status *status, uint32_t pid, struct dhat_error *err)
{
	size_t kept = 0;

	for (size_t i = 0; pid && i < status->n_targets; i++) {
		Dhat__TargetStatus *target = status->targets[i];

		if (target->target && target->target->pid == pid)
			status->targets[kept++] = target;
		else
			dhat__target_status__free_unpacked(target, NULL);
	}
	if (!pid)
		return 0;
	status->n_targets = kept;
	if (kept)
		return 0;
	for (size_t i = 0; i < status->n_attaching; i++) {
		if (status->attaching[i] == pid)
			return dhat_error_set(err, EAGAIN, DHAT_EXIT_NOT_YET,
					      "attaching to %" PRIu32
					      " ...: ask again in a moment, "
					      "or with --wait",
					      pid);
	}
	return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
			      "process %" PRIu32 " is none of dhatd's targets: `dhatctl attach "
			      "--pid %" PRIu32 "' adds it",
			      pid, pid);
}

int choice_status(const char *socket_path, uint32_t pid, Dhat__Response **ret,
		  struct dhat_error *err)
{
	uint64_t end_ns = client_patience_end();
	struct dhat_error why;
	int r;

	for (;;) {
		r = client_status(socket_path, ret, err);
		if (r < 0)
			return r;
		why = (struct dhat_error){ 0 };
		r = select_target((*ret)->status, pid, &why);
		if (r == 0)
			return 0;
		dhat__response__free_unpacked(*ret, NULL);
		if (!client_is_patient(end_ns))
			return dhat_error_set(err, -r, why.code, "%s", why.message);
	}
}
