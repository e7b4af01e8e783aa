#include "keep.h"

#include "daemon/serve/taken.h"
#include "proto/base/cleanup.h"
#include "proto/base/output.h"
#include "proto/base/say.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

void keep_name(char *ret, size_t size, const struct keep_place *place, pid_t pid, unsigned number)
{
	const char *path = place->path;
	int stem = (int)dhat_exporter_stem(place->exporter, path);

	if (!number || !dhat_output_is_file(path))
		snprintf(ret, size, "%s", path);
	else if (number == 1)
		snprintf(ret, size, "%.*s.%d%s", stem, path, (int)pid, path + stem);
	else
		snprintf(ret, size, "%.*s.%d-%u%s", stem, path, (int)pid, number, path + stem);
}

/* The kernel's bound on pids, and a number that nobody reaches. */
#define LARGEST_PID 4194304
#define LARGE_NUMBER 999999

int keep_settle(struct keep_place *ret, const char *path, struct dhat_error *err)
{
	char longest[PATH_MAX + 64]; /* so that one that is too long is not cut, but refused */
	int error = dhat_exporter_of_path(path, &ret->exporter, err);

	ret->path = path;
	if (error == 0)
		error = dhat_output_try(path, err);
	if (error)
		return error;
	keep_name(longest, sizeof(longest), ret, LARGEST_PID, LARGE_NUMBER);
	return dhat_output_try(longest, err);
}

#define MAX_NUMBER_ELSEWHERE 10000

/* A name that nothing has there yet: of the process, of now, and in the format that was asked for.
 * Of a process that executed another program there are several profiles. */
static int name_elsewhere(char *ret, size_t size, const char *folder,
			  const struct dhat_exporter *exporter, pid_t pid)
{
	char number[16] = "";

	for (unsigned i = 2; i < MAX_NUMBER_ELSEWHERE; i++) {
		snprintf(ret, size, "%s/dhatd-%d-%lld%s%s", folder, (int)pid, (long long)time(NULL),
			 number, exporter->suffix);
		if (faccessat(AT_FDCWD, ret, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : -errno;
		snprintf(number, sizeof(number), "-%u", i);
	}
	return -EEXIST;
}

/* Files there are made under a name of their own and renamed (output.h), so that a folder which
 * everybody may write to is no danger. */
static int save_elsewhere(const struct dhat_snapshot *snapshot,
			  const struct dhat_exporter *exporter, pid_t pid, char *ret, size_t size)
{
	const char *const folders[] = { getenv("TMPDIR"), "/var/tmp", "/tmp", "/dev/shm" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		if (!folders[i] || !*folders[i])
			continue;
		if (name_elsewhere(ret, size, folders[i], exporter, pid) == 0 &&
		    dhat_save(snapshot, ret, exporter, NULL, NULL) == 0)
			return 0;
	}
	return -ENOSPC;
}

int keep_profile(struct target *target, struct symbolizer *symbolizer, struct holds_book *book,
		 const struct keep_place *place, const char *path, bool *ret_is_kept,
		 struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	struct dhat_error why = { 0 };
	const struct taken_options options = { .book = book };
	char elsewhere[PATH_MAX];
	int error = taken_snapshot(target, symbolizer, &options, &snapshot, err);

	if (error)
		return error;
	error = dhat_save(snapshot, path, place->exporter, NULL, &why);
	if (error == 0) {
		*ret_is_kept = true;
		dhat_say("dhatd", "wrote %s", path);
		return 0;
	}
	*ret_is_kept = save_elsewhere(snapshot, place->exporter, target_pid(target), elsewhere,
				      sizeof(elsewhere)) == 0;
	if (*ret_is_kept)
		return dhat_error_set(err, -error, DHAT_EXIT_OUTPUT,
				      "%.300s; the profile of %d is in %.150s instead", why.message,
				      (int)target_pid(target), elsewhere);
	return dhat_error_set(err, -error, DHAT_EXIT_OUTPUT, "%s", why.message);
}
