#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "progress.h"
#include "proto/base/cleanup.h"
#include "proto/import/import.h"

int input_read(const char *path, struct dhat_snapshot **ret, struct dhat_error *err)
{
	_cleanup_fclose_ FILE *file = NULL;
	int r;

	if (!strcmp(path, "-"))
		return dhat_import(stdin, "the standard input", ret, err);
	file = fopen(path, "re");
	if (!file)
		return dhat_error_set(err, errno, DHAT_EXIT_BAD_FILE, "cannot read %s: %s", path,
				      strerror(errno));
	progress_begin("reading", path);
	r = dhat_import(file, path, ret, err);
	progress_end();
	return r;
}

int input_check_history(const struct dhat_snapshot *snapshot, struct dhat_error *err)
{
	if (!snapshot->lacks)
		return 0;
	return dhat_error_set(err, ENODATA, DHAT_EXIT_BAD_FILE,
			      "what grows cannot be judged by a profile that was %s; `dhatctl "
			      "stats' and `dhatctl diff' can show it",
			      snapshot->lacks);
}

/* Whose code a line is, is told by its object. */
static bool has_objects(const struct dhat_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->frame_count; i++) {
		const Dhat__Frame *frame = snapshot->frames[i];

		if (frame->n_locations && *frame->locations[0]->file && !*frame->object)
			return false;
	}
	return true;
}

int input_check_suspects(const struct dhat_snapshot *snapshot, struct dhat_error *err)
{
	if (!snapshot->lacks || (snapshot->head->taken_unix_ns && has_objects(snapshot) &&
				 dhat_snapshot_lists_all(snapshot)))
		return 0;
	return dhat_error_set(err, ENODATA, DHAT_EXIT_BAD_FILE,
			      "what became of its suspects cannot be judged by a profile that was "
			      "%s; `dhatctl diff' can compare it",
			      snapshot->lacks);
}
