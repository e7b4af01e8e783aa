#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/profile/snapshot_file.h"

int input_read(const char *path, struct dhat_snapshot **ret, struct dhat_error *err)
{
	_cleanup_fclose_ FILE *file = NULL;

	if (!strcmp(path, "-"))
		return dhat_snapshot_read(stdin, "the standard input", ret, err);
	file = fopen(path, "re");
	if (!file)
		return dhat_error_set(err, errno, DHAT_EXIT_BAD_FILE, "cannot read %s: %s", path,
				      strerror(errno));
	return dhat_snapshot_read(file, path, ret, err);
}
