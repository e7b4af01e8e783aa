#include "left.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue.h"
#include "request.h"

/* -ENOENT: there is nothing of the kind. */
static int look_into(const char *folder, const char *name, struct left *ret)
{
	char path[PATH_MAX], oldest[PATH_MAX];
	struct queue_state state;

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path) ||
	    queue_peek(path, &state, oldest))
		return -ENOENT;
	ret->folder = strdup(path);
	if (!ret->folder)
		return -ENOMEM;
	ret->files = state.files;
	ret->bytes = state.bytes;
	request_url(oldest, ret->url);
	return 0;
}

int left_look(const char *folder, struct left **ret, size_t *ret_count)
{
	struct left *list = calloc(LEFT_MAX, sizeof(*list));
	DIR *dir = list ? opendir(folder) : NULL;
	struct dirent *entry;
	size_t count = 0;
	int r = list ? 0 : -ENOMEM;

	while (dir && r != -ENOMEM && count < LEFT_MAX && (entry = readdir(dir))) {
		r = *entry->d_name == '.' ? -ENOENT
					  : look_into(folder, entry->d_name, &list[count]);
		count += r == 0;
	}
	if (dir)
		closedir(dir);
	if (r == -ENOMEM) {
		left_free(list, count);
		return r;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

void left_free(struct left *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i].folder);
	free(list);
}
