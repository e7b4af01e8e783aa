#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asker.h"
#include "cleanup.h"
#include "text.h"

#define STDOUT_NAME "the standard output"

struct dhat_output {
	FILE *stream;
	char *path;
	char *temporary; /* NULL: written to path itself */
	bool is_stdout;
};

static int fail(struct dhat_error *err, int error, const char *path)
{
	if (error == ENOSPC || error == EDQUOT)
		return dhat_error_set(err, error, DHAT_EXIT_OUTPUT,
				      "cannot write %s: %s: free some space or write elsewhere; %s",
				      path, strerror(error),
				      !strcmp(path, STDOUT_NAME)
					      ? "what is there now is cut short"
					      : "what was there before is unchanged");
	if (error == EPIPE)
		return dhat_error_set(err, error, DHAT_EXIT_OUTPUT,
				      "cannot write %s: the reader has gone", path);
	return dhat_error_set(err, error, DHAT_EXIT_OUTPUT, "cannot write %s: %s", path,
			      strerror(error));
}

/* What sudo has made is of no use to the one who asked if he cannot open it. */
static void give_to_asker(int fd)
{
	uid_t uid;
	gid_t gid;

	if (dhat_asker(&uid, &gid) && fchown(fd, uid, gid) < 0)
		return; /* a file system without owners: then it is readable, or root's */
}

/* "dir/name" → "dir/.name.XXXXXX", opened. */
static int open_temporary(struct dhat_output *output)
{
	const char *name = dhat_text_base_name(output->path);
	_cleanup_close_ int fd = -1;

	/* a file name has at most 255 characters: a long one is cut */
	if (asprintf(&output->temporary, "%.*s.%.200s.XXXXXX", (int)(name - output->path),
		     output->path, name) < 0) {
		output->temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(output->temporary, O_CLOEXEC); /* mode 0600 */
	if (fd < 0) {
		int error = errno;

		free(output->temporary);
		output->temporary = NULL;
		return -error;
	}
	give_to_asker(fd);
	output->stream = fdopen(fd, "w");
	if (!output->stream)
		return -errno;
	take_fd(fd);
	return 0;
}

static int open_directly(struct dhat_output *output)
{
	_cleanup_close_ int fd = open(output->path, O_WRONLY | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	output->stream = fdopen(fd, "w");
	if (!output->stream)
		return -errno;
	take_fd(fd);
	return 0;
}

static int output_open(struct dhat_output *output)
{
	struct stat stat_;

	if (!strcmp(output->path, "-")) {
		output->stream = stdout;
		output->is_stdout = true;
		return 0;
	}
	if (!*output->path)
		return -ENOENT;
	if (stat(output->path, &stat_) < 0)
		/* the temporary name is cut, and would show it at the end only */
		return errno == ENAMETOOLONG ? -errno : open_temporary(output);
	if (S_ISDIR(stat_.st_mode))
		return -EISDIR;
	return S_ISREG(stat_.st_mode) ? open_temporary(output) : open_directly(output);
}

int dhat_output_new(const char *path, struct dhat_output **ret, struct dhat_error *err)
{
	struct dhat_output *output = calloc(1, sizeof(*output));
	int r;

	if (!output)
		return fail(err, ENOMEM, path);
	output->path = strdup(path);
	r = output->path ? output_open(output) : -ENOMEM;
	if (r < 0) {
		dhat_output_free(output);
		return fail(err, -r, path);
	}
	*ret = output;
	return 0;
}

void dhat_output_free(struct dhat_output *output)
{
	if (!output)
		return;
	if (output->stream && !output->is_stdout)
		fclose(output->stream);
	if (output->temporary)
		unlink(output->temporary);
	free(output->temporary);
	free(output->path);
	free(output);
}

FILE *dhat_output_stream(struct dhat_output *output)
{
	return output->stream;
}

/* So that the new name survives a crash, too. */
static void sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory = slash ? strndup(path, slash - path + 1) : strdup(".");
	_cleanup_close_ int fd = -1;

	if (!directory)
		return;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fsync(fd);
}

/* 0 or -errno: what was written is in the kernel. */
static int flush_stream(FILE *stream)
{
	errno = 0;
	if (fflush(stream) != 0)
		return errno ? -errno : -EIO;
	/* it failed long ago and its errno is gone; what is wrong with the descriptor itself can be
	 * asked again, and else there is one usual cause */
	if (ferror(stream))
		return write(fileno(stream), "", 0) < 0 ? -errno : -ENOSPC;
	return 0;
}

static int flush(struct dhat_output *output)
{
	int r = flush_stream(output->stream);

	if (r == 0 && output->temporary && fsync(fileno(output->stream)) < 0)
		return -errno;
	return r;
}

bool dhat_output_is_file(const char *path)
{
	struct stat stat_;

	return strcmp(path, "-") != 0 &&
	       (stat(path, &stat_) < 0 || S_ISREG(stat_.st_mode) || S_ISDIR(stat_.st_mode));
}

int dhat_output_try(const char *path, struct dhat_error *err)
{
	static const char page[4096]; /* a full disk has room for a name, still, and no more */
	struct dhat_output *output = NULL;
	int r;

	/* opening a pipe would wait for its reader, and disturb him */
	if (!dhat_output_is_file(path))
		return 0;
	r = dhat_output_new(path, &output, err);
	if (r < 0)
		return r;
	fwrite(page, 1, sizeof(page), output->stream);
	r = flush(output);
	dhat_output_free(output);
	return r < 0 ? fail(err, -r, path) : 0;
}

int dhat_output_check_stdout(struct dhat_error *err)
{
	int r = flush_stream(stdout), fd;

	if (r == 0) {
		/* some file systems (NFS) say at a close what became of the bytes; a copy of the
		 * descriptor can be closed as well */
		fd = dup(STDOUT_FILENO);
		if (fd >= 0 && close(fd) < 0)
			r = -errno;
	}
	return r < 0 ? fail(err, -r, STDOUT_NAME) : 0;
}

int dhat_output_commit(struct dhat_output *output, struct dhat_error *err)
{
	const char *name = output->is_stdout ? STDOUT_NAME : output->path;
	int r;

	r = flush(output);
	if (r < 0)
		return fail(err, -r, name);
	if (output->is_stdout)
		return 0;
	r = fclose(output->stream);
	output->stream = NULL;
	if (r != 0)
		return fail(err, errno, name);
	if (!output->temporary)
		return 0;
	if (rename(output->temporary, output->path) < 0)
		return fail(err, errno, name);
	free(output->temporary);
	output->temporary = NULL;
	sync_directory(output->path);
	return 0;
}
