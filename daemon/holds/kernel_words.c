#include "kernel_words.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/proc/file.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

void kernel_words_deinit(struct kernel_words *words)
{
	free(words->list);
	*words = (struct kernel_words){ 0 };
}

int kernel_words_add(struct kernel_words *words, uint64_t value, const char *name)
{
	if (array_make_room(&words->list, &words->room, words->count))
		return -ENOMEM;
	words->list[words->count++] = (struct kernel_word){ value, name };
	return 0;
}

/* The number that follows a word in each line that has it. */
static int take_lines(const char *text, const char *begin, const char *before, const char *name,
		      struct kernel_words *words)
{
	int r = 0;

	for (const char *line = text; line && r == 0; line = strchr(line, '\n')) {
		const char *end, *at;
		uint64_t value;

		line += *line == '\n';
		end = strchrnul(line, '\n');
		at = strncmp(line, begin, strlen(begin)) ? NULL : strstr(line, before);
		if (at && at < end && sscanf(at + strlen(before), " %" SCNx64, &value) == 1)
			r = kernel_words_add(words, value, name);
	}
	return r;
}

/* "tfd:        5 events:       19 data:     55d5c8b2a2a0  pos:0 ino:1 sdev:2" (fs/eventpoll.c) */
int kernel_words_of_epoll(const char *text, struct kernel_words *words)
{
	return take_lines(text, "tfd:", " data:", "epoll data", words);
}

/* "signal: 34/00007f3ab4000b70" (fs/proc/base.c) */
int kernel_words_of_timers(const char *text, struct kernel_words *words)
{
	return take_lines(text, "signal:", "/", "a timer", words);
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int take_epoll(pid_t pid, const char *number, struct kernel_words *words)
{
	_cleanup_free_ char *text = NULL;
	char path[64];

	snprintf(path, sizeof(path), "fdinfo/%.20s", number);
	return proc_read(pid, path, &text, NULL) ? 0 : kernel_words_of_epoll(text, words);
}

static int take_all_epolls(pid_t pid, struct kernel_words *words)
{
	_cleanup_(close_dir) DIR *dir = NULL;
	_cleanup_close_ int process_fd = -1, fd = -1;
	int r = proc_open_dir(pid, &process_fd);
	struct dirent *entry;

	if (r)
		return r;
	fd = openat(process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	fd = -1; /* the directory's */
	while (r == 0 && (entry = readdir(dir))) {
		char link[64];
		ssize_t size = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		if (size <= 0)
			continue;
		link[size] = '\0';
		if (!strcmp(link, "anon_inode:[eventpoll]"))
			r = take_epoll(pid, entry->d_name, words);
	}
	return r;
}

int kernel_words_read(pid_t pid, struct kernel_words *ret)
{
	_cleanup_free_ char *text = NULL;
	struct kernel_words words = { 0 };
	int r = take_all_epolls(pid, &words);

	if (r == 0 && proc_read(pid, "timers", &text, NULL) == 0)
		r = kernel_words_of_timers(text, &words);
	if (r) {
		kernel_words_deinit(&words);
		return r;
	}
	*ret = words;
	return 0;
}
