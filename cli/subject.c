#include "subject.h"

#include <errno.h>

#include "choice.h"
#include "client.h"
#include "input.h"

enum { KEY_ALL = 0x700 };

static const struct argp_option options[] = {
	{ "all", KEY_ALL, 0, 0, "All attached processes; those of one program are put together",
	  1 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct subject *subject = state->input;

	if (key != KEY_ALL)
		return ARGP_ERR_UNKNOWN;
	subject->is_all = true;
	return 0;
}

const struct argp subject_argp = { .options = options, .parser = parse_option };

static bool takes_word(struct subject *subject, char *word)
{
	if (command_takes_pid_word(&subject->pid, word))
		return true;
	if (subject->path)
		return false;
	subject->path = word;
	return true;
}

error_t subject_parse(struct subject *subject, int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_ARG:
		if (takes_word(subject, arg))
			return 0;
		argp_error(state, "%s: one process, or one file", arg);
		return EINVAL;
	case ARGP_KEY_END:
		if (!!subject->pid + !!subject->path + subject->is_all <= 1)
			return 0;
		argp_error(state, subject->is_all ? "one process, --all of them, or one file?"
						  : "one process, or one file?");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int subject_fetch(const struct subject *subject, const struct common *common, const char *command,
		  struct dhat_snapshot **ret, struct dhat_error *err)
{
	Dhat__SnapshotRequest asked = DHAT__SNAPSHOT_REQUEST__INIT;
	int r;

	if (subject->path)
		return input_read(subject->path, ret, err);
	r = subject->pid ? 0 : choice_check(common->socket_path, command, err);
	asked.pid = subject->pid;
	asked.with_pages = subject->with_pages;
	return r < 0 ? r : client_snapshot(common->socket_path, &asked, ret, err);
}

int subject_fetch_all(const struct subject *subject, const struct common *common,
		      const char *command, struct programs *ret, struct dhat_error *err)
{
	Dhat__SnapshotRequest wanted = DHAT__SNAPSHOT_REQUEST__INIT;
	struct dhat_snapshot *snapshot = NULL;
	int r;

	wanted.with_pages = subject->with_pages;
	if (subject->is_all)
		return programs_fetch_all(ret, common->socket_path, &wanted, err);
	r = subject_fetch(subject, common, command, &snapshot, err);
	return r < 0 ? r : programs_add(ret, snapshot, err);
}
