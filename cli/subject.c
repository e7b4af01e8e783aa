#include "subject.h"

#include "choice.h"
#include "client.h"
#include "input.h"

bool subject_takes_word(struct subject *subject, char *word)
{
	if (command_takes_pid_word(&subject->pid, word))
		return true;
	if (subject->path)
		return false;
	subject->path = word;
	return true;
}

bool subject_is_two(const struct subject *subject)
{
	return subject->pid && subject->path;
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
