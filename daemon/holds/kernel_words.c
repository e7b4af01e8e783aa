#include "kernel_words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/proc/file.h"
#include "daemon/proc/open_files.h"
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

/* "    0: 0x7f3ab4000000/65536" (io_uring/fdinfo.c, UserBufs): address and bytes */
int kernel_words_of_uring(const char *text, struct kernel_words *words)
{
	int r = 0;

	for (const char *line = text; line && r == 0; line = strchr(line, '\n')) {
		unsigned number, bytes;
		uint64_t value;

		line += *line == '\n';
		if (sscanf(line, " %u: 0x%" SCNx64 "/%u", &number, &value, &bytes) == 3)
			r = kernel_words_add(words, value, "buffers of an io_uring");
	}
	return r;
}

static const struct {
	const char *link;
	int (*take)(const char *text, struct kernel_words *words);
} keepers[] = {
	{ "anon_inode:[eventpoll]", kernel_words_of_epoll },
	{ "anon_inode:[io_uring]", kernel_words_of_uring },
};

struct taking {
	pid_t pid;
	struct kernel_words *words;
};

static int take_file(void *taking_, const char *number, const char *link)
{
	const struct taking *taking = taking_;
	_cleanup_free_ char *text = NULL;
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(keepers); i++) {
		if (strcmp(link, keepers[i].link) != 0)
			continue;
		snprintf(path, sizeof(path), "fdinfo/%.20s", number);
		return proc_read(taking->pid, path, &text, NULL)
			       ? 0
			       : keepers[i].take(text, taking->words);
	}
	return 0;
}

int kernel_words_read(pid_t pid, struct kernel_words *ret)
{
	_cleanup_free_ char *text = NULL;
	struct kernel_words words = { 0 };
	struct taking taking = { pid, &words };
	int r = open_files_visit(pid, take_file, &taking);

	if (r == 0 && proc_read(pid, "timers", &text, NULL) == 0)
		r = kernel_words_of_timers(text, &words);
	if (r) {
		kernel_words_deinit(&words);
		return r;
	}
	*ret = words;
	return 0;
}
